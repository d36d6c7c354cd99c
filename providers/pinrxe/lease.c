// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Memory regions of files under layout leases. The lease is the caller's, before and after;
 * a refusal is explained in the log: the file, the rule of pinverbs(7), the remedy.
 */
#define _GNU_SOURCE
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pinrxe.h"
#include "pinrxedv.h"

#ifndef F_LAYOUT
#define F_LAYOUT 0x100
#endif
#ifndef F_EXCLUSIVE
#define F_EXCLUSIVE 0x200
#endif

struct request {
	struct ibv_pd *pd;
	int fd;
	uint64_t offset;
	size_t length;
	int access;
	bool writable;   /* the descriptor */
	char path[1024]; /* of the file, for messages */
};

/* Returns err, so that callers can end with it. */
static int refuse(const struct request *r, int err, const char *why)
{
	pinrxe_err(r->pd->context, "%s: bytes %" PRIu64 "+%zu not registered: %s: %s\n",
		   r->path, r->offset, r->length, strerror(err), why);
	return err;
}

static void find_path(struct request *r)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", r->fd);
	n = readlink(link, r->path, sizeof(r->path) - 1);
	if (n < 0)
		n = snprintf(r->path, sizeof(r->path), "descriptor %d", r->fd);
	r->path[n] = '\0';
}

static int check_file(struct request *r)
{
	int flags = fcntl(r->fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(r->fd, &st))
		return refuse(r, errno, "not an open descriptor");
	if (flags & O_PATH)
		return refuse(r, EBADF, "the descriptor was opened with O_PATH");
	r->writable = (flags & O_ACCMODE) == O_RDWR;
	if (!S_ISREG(st.st_mode))
		return refuse(r, EINVAL, "not a regular file (L2)");
	if (!r->length || r->offset > (uint64_t)st.st_size ||
	    r->length > (uint64_t)st.st_size - r->offset)
		return refuse(r, EINVAL,
			      "the range is empty or not within the file: ftruncate() it "
			      "first (T3)");
	if (!r->writable && (flags & O_ACCMODE) != O_RDONLY)
		return refuse(r, EACCES, "the descriptor is not open for reading");
	if (!r->writable &&
	    r->access & (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
			 IBV_ACCESS_REMOTE_ATOMIC))
		return refuse(
			r, EACCES,
			"write access needs a descriptor open for reading and writing");
	return 0;
}

/*
 * What keeps the process from pinning through this description, for a refusal by the kernel
 * says EPERM only. Changes nothing: releasing a lease that is not held is the test for a
 * kernel that knows them.
 */
static int check_lease(struct request *r)
{
	int kind = fcntl(r->fd, F_GETLEASE);

	if (kind == (F_LAYOUT | F_EXCLUSIVE))
		return 0;
	if (kind == F_LAYOUT)
		return refuse(r, EPERM,
			      "the lease on this description is a cooperative one, "
			      "which allows no pins (L3): take an exclusive one");
	/* a classic lease is reported first (L1) and hides what the kernel is going to see */
	if (kind == F_RDLCK || kind == F_WRLCK)
		return 0;
	if (kind == F_UNLCK && fcntl(r->fd, F_SETLEASE, F_LAYOUT | F_UNLCK) < 0 &&
	    errno == EINVAL)
		return refuse(r, EOPNOTSUPP,
			      "the kernel has no layout leases: boot one with the "
			      "pinverbs series");
	if (!r->writable)
		return refuse(r, EPERM,
			      "no lease can be taken on this description (P1, L2): open "
			      "the file for reading and writing");
	return refuse(r, EPERM,
		      "this process holds no exclusive layout lease on this description "
		      "(P1, L7): "
		      "fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE)");
}

static int explain_refusal(struct request *r, int err)
{
	switch (err) {
	case EPERM:
		return refuse(r, err,
			      "the lease was released, or is on another description (P1, "
			      "P3), or no memory may be locked (RLIMIT_MEMLOCK is 0)");
	case ENOMEM:
		return refuse(
			r, err,
			"over RLIMIT_MEMLOCK (P9), over what the device takes in one "
			"region, or no memory");
	case EFAULT:
		return refuse(
			r, err,
			"the kernel does not pin these pages (P7), or the file system "
			"cannot fill a hole (P8)");
	case EOPNOTSUPP:
		return refuse(r, err,
			      "an access flag that the device lacks, or a kernel that "
			      "refuses long-term pins of DAX files");
	default:
		return refuse(r, err, "ibv_reg_mr()");
	}
}

/* Mappings begin at pages; the region begins where it was asked to. */
static struct ibv_mr *map_and_register(struct request *r)
{
	size_t skip = r->offset & (sysconf(_SC_PAGESIZE) - 1);
	size_t map_length = r->length + skip;
	struct ibv_mr *mr;
	uint8_t *map;
	int err;

	if (map_length < skip) {
		errno = refuse(r, EINVAL, "the range is larger than the address space");
		return NULL;
	}
	map = mmap(NULL, map_length, PROT_READ | (r->writable ? PROT_WRITE : 0),
		   MAP_SHARED, r->fd, r->offset - skip);
	if (map == MAP_FAILED) {
		errno = refuse(r, errno, "mmap()");
		return NULL;
	}
	mr = ibv_reg_mr(r->pd, map + skip, r->length, r->access);
	if (!mr) {
		err = explain_refusal(r, errno);
		munmap(map, map_length);
		errno = err;
		return NULL;
	}
	pinrxe_mr_own_mapping(mr, map, map_length);
	return mr;
}

struct ibv_mr *pinrxedv_reg_lease_mr(struct ibv_pd *pd, int fd, uint64_t offset,
				     size_t length, int access)
{
	struct request r = {
		.pd = pd, .fd = fd, .offset = offset, .length = length, .access = access
	};
	int err;

	if (!pinrxedv_is_supported(pd->context->device)) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	find_path(&r);
	err = check_file(&r);
	if (!err)
		err = check_lease(&r);
	if (err) {
		errno = err;
		return NULL;
	}
	return map_and_register(&r);
}
