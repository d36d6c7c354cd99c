// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "ring.h"

static void *ring_map(int fd, uint64_t off, size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)off);

	if (at == MAP_FAILED)
		broken("io_uring mmap: %s", errno_name(errno));
	return at;
}

struct ring ring_new(void)
{
	struct io_uring_params p = { 0 };
	struct ring r;
	unsigned char *sq, *cq;

	r.fd = (int)syscall(SYS_io_uring_setup, RING_ENTRIES, &p);
	if (r.fd < 0)
		broken("io_uring_setup: %s", errno_name(errno));
	sq = ring_map(r.fd, IORING_OFF_SQ_RING,
		      p.sq_off.array + p.sq_entries * sizeof(unsigned int));
	cq = ring_map(r.fd, IORING_OFF_CQ_RING,
		      p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe));
	r.sqes = ring_map(r.fd, IORING_OFF_SQES,
			  p.sq_entries * sizeof(struct io_uring_sqe));
	r.sq_tail = (void *)(sq + p.sq_off.tail);
	r.sq_array = (void *)(sq + p.sq_off.array);
	r.sq_mask = *(unsigned int *)(sq + p.sq_off.ring_mask);
	r.cq_head = (void *)(cq + p.cq_off.head);
	r.cq_tail = (void *)(cq + p.cq_off.tail);
	r.cq_mask = *(unsigned int *)(cq + p.cq_off.ring_mask);
	r.cqes = (void *)(cq + p.cq_off.cqes);
	return r;
}

long ring_register(struct ring *r, void *at, size_t len)
{
	struct iovec iov = { at, len };

	return result(
		syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_BUFFERS, &iov, 1));
}

long ring_unregister(struct ring *r)
{
	return result(syscall(SYS_io_uring_register, r->fd, IORING_UNREGISTER_BUFFERS,
			      NULL, 0));
}

void ring_start(struct ring *r, int opcode, int fd, void *at, size_t len, uint64_t pos,
		uint64_t mark)
{
	unsigned int tail = *r->sq_tail, i = tail & r->sq_mask;
	long n;

	r->sqes[i] = (struct io_uring_sqe){ .opcode = (uint8_t)opcode,
					    .fd = fd,
					    .addr = (uint64_t)(uintptr_t)at,
					    .len = (uint32_t)len,
					    .off = pos,
					    .user_data = mark };
	r->sq_array[i] = i;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	n = syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0);
	if (n != 1)
		broken("io_uring_enter: %s", errno_name(n < 0 ? errno : EIO));
}

long ring_end(struct ring *r, uint64_t *mark)
{
	unsigned int head = *r->cq_head;
	const struct io_uring_cqe *cqe = &r->cqes[head & r->cq_mask];
	long got;

	while (__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) == head)
		if (syscall(SYS_io_uring_enter, r->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL,
			    0) < 0 &&
		    errno != EINTR)
			broken("io_uring_enter: %s", errno_name(errno));
	got = cqe->res;
	if (mark)
		*mark = cqe->user_data;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return got;
}

long ring_do(struct ring *r, int opcode, int fd, void *at, size_t len, uint64_t pos)
{
	ring_start(r, opcode, fd, at, len, pos, 0);
	return ring_end(r, NULL);
}
