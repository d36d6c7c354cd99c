// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The reader copies from another process's mapping into memory that a userfaultfd keeps waiting:
 * process_vm_readv() holds the pages of the file until the page arrives.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "busy_page.h"

struct reader {
	uint64_t from;
	pid_t pid;
};

static struct {
	int uffd;
	char *to;
	pthread_t thread;
	struct reader r;
	ssize_t got;
} reading;

static void *read_memory(void *arg)
{
	struct iovec to = { reading.to, PAGE }, from = { (void *)reading.r.from, PAGE };

	(void)arg;
	reading.got = process_vm_readv(reading.r.pid, &to, 1, &from, 1, 0);
	return NULL;
}

static long begin_reading(void *buf, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg msg;
	struct pollfd fault = { .events = POLLIN };

	(void)size;
	reading.r = *(struct reader *)buf;
	reading.uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	reading.to = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	reg.range.start = (uint64_t)reading.to;
	reg.range.len = PAGE;
	if (reading.uffd < 0 || ioctl(reading.uffd, UFFDIO_API, &api) ||
	    ioctl(reading.uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	if (process_vm_readv(getpid(), NULL, 0, NULL, 0, 0))
		return -errno;
	errno = pthread_create(&reading.thread, NULL, read_memory, NULL);
	if (errno)
		return -errno;
	fault.fd = reading.uffd;
	if (poll(&fault, 1, 5000) != 1)
		return -ETIMEDOUT;
	return read(reading.uffd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -EIO;
}

/* The page arrives; what was read must be the content that the file had. */
static long end_reading(void *buf, size_t size)
{
	struct uffdio_zeropage zero = { .range = { (uint64_t)reading.to, PAGE } };

	(void)buf;
	(void)size;
	if (ioctl(reading.uffd, UFFDIO_ZEROPAGE, &zero))
		return -errno;
	pthread_join(reading.thread, NULL);
	if (reading.got != (ssize_t)PAGE)
		return -EIO;
	return pattern_matches(reading.to, PAGE, FILE_SEED, 0) ? 0 : -EILSEQ;
}

struct actor *use_page(struct actor *owner, long addr)
{
	struct actor *reader = actor_start("reader");
	struct reader r = { (uint64_t)addr, owner->pid };
	long err = actor_call(reader, begin_reading, &r, sizeof(r));

	if (err == -ENOSYS)
		skip("kernel without CROSS_MEMORY_ATTACH");
	require(0, err);
	return reader;
}

long end_of_use(struct actor *reader)
{
	return actor_call(reader, end_reading, NULL, 0);
}
