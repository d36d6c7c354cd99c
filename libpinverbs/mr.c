// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Memory regions. Building one on a file takes the lease, maps, registers; giving it up goes
 * the same way back. The lease comes before the size is looked at and the pages are mapped:
 * from then on nobody else can cut the file (T1), so what was checked stays true.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libpmem.h>
#include "backing.h"
#include "internal.h"

#define WRITE_ACCESS \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)

/* What makes stores to the mapping durable. */
enum persistence {
	PERSISTENCE_NONE,
	PERSISTENCE_MSYNC,
	PERSISTENCE_FLUSH /* flushing CPU caches: the blocks are on record already (MAP_SYNC) */
};

struct pinv_mr {
	unsigned long generation;
	struct description *desc; /* NULL: memory that needs no lease */
	void *map;                /* NULL: not mapped, or unmapped again */
	size_t map_length;
	size_t skip;        /* from map to the first registered byte */
	size_t length;      /* of what is registered */
	struct ibv_mr *ibv; /* NULL: not registered, or deregistered again */
	enum persistence persistence;
};

struct request {
	struct ibv_pd *pd;
	int fd;
	uint64_t offset;
	size_t length;
	int access;
};

static int lease_if_needed(struct pinv_mr *mr, int fd)
{
	bool dax;
	int err = file_is_dax(fd, &dax);

	if (err)
		return fail_file_mr(fd, "look at", err, 0);
	if (!dax)
		return 0;
	err = description_hold(fd, PINV_LEASE_EXCLUSIVE, &mr->desc);
	return err ? fail_lease(fd, "take exclusive layout lease", err) : 0;
}

static int look_at_file(const struct request *request, struct backing *backing)
{
	int err = look_at_backing(request->fd, backing);

	if (err == EINVAL)
		return fail_lease(request->fd, "map", EINVAL);
	return err ? fail_file_mr(request->fd, "look at", err, request->length) : 0;
}

/* Fills in a length of 0. What passes fits an off_t, for so does the file's size. */
static int check_range(struct request *request, const struct backing *backing)
{
	uint64_t size = backing->size;

	if (request->offset >= size || request->length > size - request->offset ||
	    (!request->length && size - request->offset > SIZE_MAX))
		return fail_range(request->fd, request->offset, request->length, size);
	if (!request->length)
		request->length = size - request->offset;
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

/* MAP_SYNC, where the device has it, spares a system call for each pinv_mr_persist(). */
static void *map_shared(struct pinv_mr *mr, int fd, enum backing_kind kind,
			int protection, uint64_t offset)
{
	void *map;

	mr->persistence = kind == BACKING_MEMORY       ? PERSISTENCE_NONE
			  : kind == BACKING_DEVICE_DAX ? PERSISTENCE_FLUSH
						       : PERSISTENCE_MSYNC;
	if (kind == BACKING_DAX) {
		map = mmap(NULL, mr->map_length, protection,
			   MAP_SHARED_VALIDATE | MAP_SYNC, fd, offset);
		if (map != MAP_FAILED)
			mr->persistence = PERSISTENCE_FLUSH;
		if (map != MAP_FAILED || errno != EOPNOTSUPP)
			return map;
	}
	return mmap(NULL, mr->map_length, protection, MAP_SHARED, fd, offset);
}

static int map_range(struct pinv_mr *mr, const struct request *request,
		     const struct backing *backing)
{
	size_t granule = backing->granule, skip = request->offset % granule;
	int protection = PROT_NONE;
	int err = mapping_protection(request->fd, request->access, &protection);
	void *map;

	if (err)
		return fail_file_mr(request->fd, "map", err, request->length);
	if (request->length > SIZE_MAX - skip - granule)
		return fail_file_mr(request->fd, "map", ENOMEM, request->length);
	mr->map_length = (skip + request->length + granule - 1) / granule * granule;
	map = map_shared(mr, request->fd, backing->kind, protection,
			 request->offset - skip);
	if (map == MAP_FAILED)
		return fail_file_mr(request->fd, "map", errno, request->length);
	mr->map = map;
	mr->skip = skip;
	mr->length = request->length;
	return 0;
}

/* Not every provider sets errno. */
static int register_memory(struct pinv_mr *mr, struct ibv_pd *pd, void *address,
			   size_t length, int access)
{
	errno = 0;
	mr->ibv = ibv_reg_mr(pd, address, length, access);
	if (mr->ibv)
		return 0;
	return errno ? errno : EIO;
}

/* The blocks behind the end; should that fail, they go with the file. */
static void give_back(int fd, uint64_t size)
{
	if (ftruncate(fd, size))
		return;
}

/* Whether what was found until there was no more stays with the file. */
static bool keeps_blocks(const struct backing *backing)
{
	bool huge = backing->granule > (size_t)sysconf(_SC_PAGESIZE);

	return backing->kind == BACKING_DAX || (backing->kind == BACKING_MEMORY && huge);
}

/*
 * Blocks now rather than on the first write, when nobody could be told of their lack. A file system
 * may keep the blocks that it found until there were no more, ext4 with a larger size: so behind the
 * end first, from where they can be given back under any lease.
 */
static int extend(int fd, const struct backing *backing, size_t length)
{
	uint64_t size = backing->size;
	int err = 0;

	if (backing->kind == BACKING_DAX &&
	    fallocate(fd, FALLOC_FL_KEEP_SIZE, size, length) && errno != EOPNOTSUPP)
		err = errno;
	else if (fallocate(fd, 0, size, length) &&
		 (errno != EOPNOTSUPP || ftruncate(fd, size + length)))
		err = errno;
	if (err && keeps_blocks(backing))
		give_back(fd, size);
	return err;
}

/* @grow: bytes to append, which the range then is. */
static int grow_file(struct request *request, struct backing *backing)
{
	uint64_t size = backing->size;
	int err;

	if (!request->pd)
		return fail_no_pd();
	if (backing->kind == BACKING_DEVICE_DAX || !request->length ||
	    request->length > INT64_MAX - size)
		return fail_growth(request->fd, request->length, size,
				   backing->kind == BACKING_DEVICE_DAX);
	err = extend(request->fd, backing, request->length);
	if (err)
		return fail_file_mr(request->fd, "extend", err, request->length);
	request->offset = size;
	backing->size = size + request->length;
	return 0;
}

/* On failure the caller undoes what mr says has been done. */
static int build(struct pinv_mr *mr, struct request *request, bool grow)
{
	struct backing backing;
	int err = lease_if_needed(mr, request->fd);

	if (err)
		return err;
	/* Our duplicate: the caller's number may be closed by another thread meanwhile. */
	if (mr->desc)
		request->fd = description_fd(mr->desc);
	err = look_at_file(request, &backing);
	if (err)
		return err;
	err = grow ? grow_file(request, &backing) : check_range(request, &backing);
	if (err)
		return err;
	err = map_range(mr, request, &backing);
	if (err)
		return err;
	if (!request->pd)
		return fail_no_pd();
	err = register_memory(mr, request->pd, (char *)mr->map + mr->skip,
			      request->length, request->access);
	if (err == EOPNOTSUPP && (request->access & IBV_ACCESS_ON_DEMAND))
		return fail_on_demand(request->pd, err);
	return err ? fail_file_mr(request->fd, "register", err, request->length) : 0;
}

static struct pinv_mr *new_mr(void)
{
	struct pinv_mr *mr = calloc(1, sizeof(*mr));

	if (mr)
		mr->generation = process_generation();
	return mr;
}

static struct pinv_mr *make_file_mr(struct request *request, bool grow)
{
	struct pinv_mr *mr = new_mr();
	int err;

	if (!mr) {
		errno = fail_file_mr(request->fd, "register", ENOMEM, request->length);
		return NULL;
	}
	err = build(mr, request, grow);
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

PINV_EXPORT struct pinv_mr *pinv_reg_file_mr(struct ibv_pd *pd, int fd, uint64_t offset,
					     size_t length, int access)
{
	struct request request = { pd, fd, offset, length, access };

	return make_file_mr(&request, false);
}

PINV_EXPORT struct pinv_mr *pinv_grow_file_mr(struct ibv_pd *pd, int fd, size_t length,
					      int access, uint64_t *offset)
{
	struct request request = { pd, fd, 0, length, access };
	struct pinv_mr *mr = make_file_mr(&request, true);

	if (mr && offset)
		*offset = request.offset;
	return mr;
}

PINV_EXPORT struct pinv_mr *pinv_reg_mr(struct ibv_pd *pd, void *address, size_t length,
					int access)
{
	struct pinv_mr *mr;
	int err;

	if (!pd) {
		errno = fail_no_pd();
		return NULL;
	}
	/* The kernel would pin a page for it, if it begins within one. */
	if (!length) {
		errno = fail_address_mr(address, "register", EINVAL, length);
		return NULL;
	}
	mr = new_mr();
	if (!mr) {
		errno = fail_address_mr(address, "register", ENOMEM, length);
		return NULL;
	}
	err = make_fork_safe();
	if (err) {
		errno = fail_address_mr(address, "keep from forked children", err,
					length);
	} else {
		err = register_memory(mr, pd, address, length, access);
		if (!err) {
			mr->length = length;
			return mr;
		}
		errno = err == EOPNOTSUPP && (access & IBV_ACCESS_ON_DEMAND)
				? fail_on_demand(pd, err)
				: fail_address_mr(address, "register", err, length);
	}
	free(mr);
	return NULL;
}

/*
 * Whatever is asked of a removed device, EIO is the answer. The kernel has ended its MRs then.
 * A device that still answers has not let go of the memory.
 */
static bool device_is_gone(struct ibv_context *context)
{
	struct ibv_device_attr attr;

	return ibv_query_device(context, &attr) == EIO;
}

/* Goes on where an earlier call failed. Steps that mr does not show are not done. */
static int tear_down(struct pinv_mr *mr)
{
	int fd = mr->desc ? description_fd(mr->desc) : NO_FILE;
	int err;

	/* A child shares its parent's verbs context: the MR there is the parent's. */
	if (mr->ibv && mr->generation == process_generation()) {
		struct ibv_context *context = mr->ibv->context;

		err = ibv_dereg_mr(mr->ibv);
		if (err && !(err == EIO && device_is_gone(context)))
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

static int persist(const struct pinv_mr *mr, char *address, size_t length)
{
	size_t skip = (uintptr_t)address % sysconf(_SC_PAGESIZE);

	switch (mr->persistence) {
	case PERSISTENCE_FLUSH:
		pmem_persist(address, length);
		return 0;
	case PERSISTENCE_MSYNC:
		return msync(address - skip, length + skip, MS_SYNC) ? errno : 0;
	case PERSISTENCE_NONE:
		break;
	}
	return EOPNOTSUPP;
}

PINV_EXPORT int pinv_mr_persist(struct pinv_mr *mr, size_t offset, size_t length)
{
	int fd = mr->desc ? description_fd(mr->desc) : NO_FILE;
	int err;

	if (!mr->ibv)
		return fail_persist_gone(fd);
	if (!mr->map)
		return fail_persist(fd, EOPNOTSUPP);
	if (offset >= mr->length || length > mr->length - offset)
		return fail_persist_range(fd, offset, length, mr->length);
	if (!length)
		length = mr->length - offset;
	err = persist(mr, (char *)mr->map + mr->skip + offset, length);
	return err ? fail_persist(fd, err) : 0;
}
