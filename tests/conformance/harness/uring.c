// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The little of io_uring that the checks need, by system calls: no library hides the errno. */
#include <errno.h>
#include <linux/io_uring.h>
#include <sys/uio.h>

#include "ops.h"

struct uring_step {
	uint64_t addr, len, off;
	int opcode, fd;
};

static int ring_open(struct io_uring_params *p)
{
	int ring = (int)syscall(SYS_io_uring_setup, 4, p);

	return ring < 0 ? -errno : ring;
}

static long register_buffer(void *buf, size_t size)
{
	const struct uring_step *u = buf;
	struct io_uring_params p = { 0 };
	struct iovec iov = { (void *)(uintptr_t)u->addr, u->len };
	int ring = ring_open(&p);
	long ret;

	(void)size;
	if (ring < 0)
		return ring;
	ret = syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1);
	ret = ret < 0 ? -errno : 0;
	if (!ret)
		syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	close(ring);
	return ret;
}

long a_uring_register_buffer(struct actor *a, uint64_t addr, uint64_t len)
{
	struct uring_step u = { .addr = addr, .len = len };

	return actor_call(a, register_buffer, &u, sizeof(u));
}

static long keep_fd(void *buf, size_t size)
{
	const struct uring_step *u = buf;
	struct io_uring_params p = { 0 };
	int ring = ring_open(&p);

	(void)size;
	if (ring < 0 ||
	    !syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &u->fd, 1))
		return ring;
	close(ring);
	return -errno;
}

long a_uring_keep_fd(struct actor *a, long fd)
{
	struct uring_step u = { .fd = (int)fd };

	return actor_call(a, keep_fd, &u, sizeof(u));
}

static void *ring_map(int ring, uint64_t off, size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, ring, (off_t)off);
}

static long request(void *buf, size_t size)
{
	const struct uring_step *u = buf;
	struct io_uring_params p = { 0 };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int ring = ring_open(&p);
	unsigned char *sq, *cq;
	long ret;

	(void)size;
	if (ring < 0)
		return ring;
	sq = ring_map(ring, IORING_OFF_SQ_RING,
		      p.sq_off.array + p.sq_entries * sizeof(unsigned));
	cq = ring_map(ring, IORING_OFF_CQ_RING,
		      p.cq_off.cqes + p.cq_entries * sizeof(*cqe));
	sqe = ring_map(ring, IORING_OFF_SQES, p.sq_entries * sizeof(*sqe));
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED) {
		close(ring);
		return -ENOMEM;
	}
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = (uint8_t)u->opcode;
	sqe->fd = u->fd;
	sqe->off = u->off;
	sqe->addr = u->addr;
	sqe->len = (uint32_t)u->len;
	*(unsigned *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	ret = syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	cqe = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
	ret = ret < 0 ? -errno : cqe->res;
	close(ring);
	return ret;
}

long a_uring_request(struct actor *a, int opcode, long fd, uint64_t off, uint64_t len,
		     uint64_t addr)
{
	struct uring_step u = { addr, len, off, opcode, (int)fd };

	return actor_call(a, request, &u, sizeof(u));
}

void a_uring_request_begin(struct actor *a, int opcode, long fd, uint64_t off,
			   uint64_t len, uint64_t addr)
{
	struct uring_step u = { addr, len, off, opcode, (int)fd };

	actor_call_begin(a, request, &u, sizeof(u));
}
