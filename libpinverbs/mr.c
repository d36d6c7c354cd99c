// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Memory regions on files. Building one takes the lease, maps, registers; giving it up goes
 * the same way back. The lease comes before the size is looked at and the pages are mapped:
 * from then on nobody else can cut the file (T1), so what was checked stays true.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "internal.h"

#define WRITE_ACCESS \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)

struct pinv_mr {
	unsigned long generation;
	struct description *desc; /* NULL: memory that needs no lease */
	void *map;                /* NULL: not mapped, or unmapped again */
	size_t map_length;
	size_t skip;        /* from map to the first registered byte */
	struct ibv_mr *ibv; /* NULL: not registered, or deregistered again */
};

struct range {
	uint64_t offset;
	size_t length;
};

static int lease_if_needed(struct pinv_mr *mr, int fd)
{
	bool dax;
	int err = file_is_dax(fd, &dax);

	if (err)
		return fail_file_mr(fd, "look at", err, 0);
	if (!dax)
		return 0;
	err = description_hold(fd, &mr->desc);
	return err ? fail_lease(fd, "take exclusive layout lease", err) : 0;
}

/* Fills in a length of 0. What passes fits an off_t, for so does the file's size. */
static int check_range(int fd, struct range *range)
{
	struct stat st;
	uint64_t size;

	if (fstat(fd, &st))
		return fail_file_mr(fd, "look at", errno, range->length);
	if (!S_ISREG(st.st_mode))
		return fail_lease(fd, "map", EINVAL);
	size = st.st_size;
	if (range->offset >= size || range->length > size - range->offset ||
	    (!range->length && size - range->offset > SIZE_MAX))
		return fail_range(fd, range->offset, range->length, size);
	if (!range->length)
		range->length = size - range->offset;
	return 0;
}

/* hugetlbfs maps whole huge pages only. */
static int mapping_granule(int fd, size_t *granule)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return errno;
	*granule = fs.f_type == HUGETLBFS_MAGIC ? (size_t)fs.f_bsize
						: (size_t)sysconf(_SC_PAGESIZE);
	return 0;
}

/* As far as the descriptor allows: a mapping for reading only would not fill holes (P8). */
static int mapping_protection(int fd, int access, int *protection)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return errno;
	*protection = PROT_READ;
	if ((flags & O_ACCMODE) == O_RDWR)
		*protection |= PROT_WRITE;
	else if (access & WRITE_ACCESS)
		return EACCES;
	return 0;
}

static int map_range(struct pinv_mr *mr, int fd, const struct range *range, int access)
{
	size_t granule = 1, skip, length;
	int protection = PROT_NONE, err;
	void *map;

	err = mapping_granule(fd, &granule);
	if (!err)
		err = mapping_protection(fd, access, &protection);
	if (err)
		return fail_file_mr(fd, "map", err, range->length);
	skip = range->offset % granule;
	if (range->length > SIZE_MAX - skip - granule)
		return fail_file_mr(fd, "map", ENOMEM, range->length);
	length = (skip + range->length + granule - 1) / granule * granule;
	map = mmap(NULL, length, protection, MAP_SHARED, fd, range->offset - skip);
	if (map == MAP_FAILED)
		return fail_file_mr(fd, "map", errno, range->length);
	mr->map = map;
	mr->map_length = length;
	mr->skip = skip;
	return 0;
}

static int register_range(struct pinv_mr *mr, struct ibv_pd *pd, int fd,
			  const struct range *range, int access)
{
	errno = 0;
	mr->ibv = ibv_reg_mr(pd, (char *)mr->map + mr->skip, range->length, access);
	if (mr->ibv)
		return 0;
	/* Not every provider sets errno. */
	return fail_file_mr(fd, "register", errno ? errno : EIO, range->length);
}

/* On failure the caller undoes what mr says has been done. */
static int build(struct pinv_mr *mr, struct ibv_pd *pd, int fd, struct range *range,
		 int access)
{
	int err = lease_if_needed(mr, fd);

	if (err)
		return err;
	/* Our duplicate: the caller's number may be closed by another thread meanwhile. */
	if (mr->desc)
		fd = description_fd(mr->desc);
	err = check_range(fd, range);
	if (err)
		return err;
	err = map_range(mr, fd, range, access);
	if (err)
		return err;
	return register_range(mr, pd, fd, range, access);
}

/* Goes on where an earlier call failed. Steps that mr does not show are not done. */
static int tear_down(struct pinv_mr *mr)
{
	int fd = mr->desc ? description_fd(mr->desc) : -1;
	int err;

	/* A child shares its parent's verbs context: the MR there is the parent's. */
	if (mr->ibv && mr->generation == process_generation()) {
		err = ibv_dereg_mr(mr->ibv);
		if (err)
			return fail_dereg(fd, "deregister", err);
	}
	mr->ibv = NULL;
	if (mr->map) {
		if (munmap(mr->map, mr->map_length))
			return fail_dereg(fd, "unmap", errno);
		mr->map = NULL;
	}
	if (mr->desc) {
		err = description_drop(mr->desc);
		if (err)
			return fail_release(fd, err);
		mr->desc = NULL;
	}
	return 0;
}

PINV_EXPORT struct pinv_mr *pinv_reg_file_mr(struct ibv_pd *pd, int fd, uint64_t offset,
					     size_t length, int access)
{
	struct range range = { .offset = offset, .length = length };
	struct pinv_mr *mr = calloc(1, sizeof(*mr));
	int err;

	if (!mr) {
		errno = fail_file_mr(fd, "register", ENOMEM, length);
		return NULL;
	}
	mr->generation = process_generation();
	err = build(mr, pd, fd, &range, access);
	if (!err)
		return mr;
	/* Registering is the last step, so there is no MR to undo. */
	if (mr->map)
		munmap(mr->map, mr->map_length);
	if (mr->desc)
		description_abandon(mr->desc);
	free(mr);
	errno = err;
	return NULL;
}

PINV_EXPORT int pinv_dereg_mr(struct pinv_mr *mr)
{
	int err = mr ? tear_down(mr) : 0;

	if (!err)
		free(mr);
	return err;
}

PINV_EXPORT struct ibv_mr *pinv_mr_ibv(const struct pinv_mr *mr)
{
	return mr->generation == process_generation() ? mr->ibv : NULL;
}
