// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * libpinverbs-preload.so: lets programs that know nothing of leases register mappings of DAX
 * files. With LD_PRELOAD, and PINVERBS_PRELOAD naming the folders it is meant for, it stands
 * between the program and libibverbs: the lease is taken when the first MR of a file is made
 * and released with the last.
 *
 * The lease must be on the description that backs the mapping (P1), which the program may have
 * closed by then: mappings.c keeps a duplicate of it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "mappings.h"
#include "pinverbs.h"

#define EXPORT __attribute__((visibility("default")))

/* Libibverbs has macros of these names. */
#undef ibv_reg_mr
#undef ibv_reg_mr_iova

/* The leases that an MR needs. */
struct region {
	struct region *next;
	struct ibv_mr *mr;
	size_t count;
	struct pinv_lease *leases[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct region *regions;

/* Libibverbs makes some of its calls by others: the outermost counts. */
static __thread unsigned depth;

/*
 * The calls that are replaced here are no cancellation points, but what is done besides has some: so a
 * thread is not cancelled meanwhile.
 */
static int disable_cancel(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

static void restore_cancel(int before)
{
	pthread_setcancelstate(before, NULL);
}

static __thread int cancel_before; /* the outermost call */

static void show(void *arg, const char *message)
{
	(void)arg;
	fprintf(stderr, "%s\n", message);
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

/* A child made while another thread is here would find the lock taken for ever. */
__attribute__((constructor)) static void set_up(void)
{
	pthread_atfork(before_fork, after_fork, after_fork);
	if (getenv("PINVERBS_PRELOAD_LOG")) {
		pinv_set_log(show, NULL);
		explain_folders();
	}
}

static void *real(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (!function) {
		fprintf(stderr,
			"libpinverbs-preload: %s: not found: %s; load libibverbs\n", name,
			dlerror());
		abort();
	}
	return function;
}

/* All of a list. */
static void release(struct region *region)
{
	struct region *next;

	for (; region; region = next) {
		next = region->next;
		while (region->count)
			pinv_lease_release(region->leases[--region->count]);
		free(region);
	}
}

/*
 * What cannot be leased is for ibv_reg_mr() to refuse. NULL: no file that it is for, or no
 * memory, which comes to the same. Each call is followed by keep().
 */
static struct region *acquire(const void *address, size_t length)
{
	struct file *files[MOST_FILES];
	size_t count, i;
	struct region *region;

	if (depth++)
		return NULL;
	cancel_before = disable_cancel();
	count = files_in_range(address, length, files);
	if (!count)
		return NULL;
	region = calloc(1, sizeof(*region) + count * sizeof(*region->leases));
	for (i = 0; i < count; i++) {
		struct pinv_lease *lease =
			region ? pinv_lease_acquire(descriptor_of(files[i]),
						    PINV_LEASE_EXCLUSIVE)
			       : NULL;

		if (lease)
			region->leases[region->count++] = lease;
		put_file(files[i]);
	}
	return region;
}

static void remember(struct region *region)
{
	struct region *next;

	pthread_mutex_lock(&lock);
	for (; region; region = next) {
		next = region->next;
		region->next = regions;
		regions = region;
	}
	pthread_mutex_unlock(&lock);
}

static struct ibv_mr *keep(struct region *region, struct ibv_mr *mr)
{
	int err = errno;

	if (!mr) {
		release(region);
	} else if (region) {
		region->mr = mr;
		remember(region);
	}
	if (!--depth)
		restore_cancel(cancel_before);
	errno = err;
	return mr;
}

/* A list: of an MR that could not be changed there are two. */
static struct region *forget(const struct ibv_mr *mr)
{
	struct region **link = &regions, *region, *found = NULL;

	pthread_mutex_lock(&lock);
	while ((region = *link) != NULL) {
		if (region->mr != mr) {
			link = &region->next;
			continue;
		}
		*link = region->next;
		region->next = found;
		found = region;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

EXPORT struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *address, size_t length,
				 int access)
{
	struct ibv_mr *(*function)(struct ibv_pd *, void *, size_t, int) =
		real("ibv_reg_mr");
	struct region *region = acquire(address, length);

	return keep(region, function(pd, address, length, access));
}

EXPORT struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *address, size_t length,
				      uint64_t iova, int access)
{
	struct ibv_mr *(*function)(struct ibv_pd *, void *, size_t, uint64_t, int) =
		real("ibv_reg_mr_iova");
	struct region *region = acquire(address, length);

	return keep(region, function(pd, address, length, iova, access));
}

EXPORT struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *address, size_t length,
				       uint64_t iova, unsigned int access)
{
	struct ibv_mr *(*function)(struct ibv_pd *, void *, size_t, uint64_t,
				   unsigned int) = real("ibv_reg_mr_iova2");
	struct region *region = acquire(address, length);

	return keep(region, function(pd, address, length, iova, access));
}

/*
 * Where another range takes the place of the old one, the leases of both are held meanwhile; and until
 * the end if that fails, since what is pinned then is known when the MR has gone.
 */
EXPORT int ibv_rereg_mr(struct ibv_mr *mr, int flags, struct ibv_pd *pd, void *address,
			size_t length, int access)
{
	int (*function)(struct ibv_mr *, int, struct ibv_pd *, void *, size_t, int) =
		real("ibv_rereg_mr");
	struct region *region;
	int result;

	if (!(flags & IBV_REREG_MR_CHANGE_TRANSLATION))
		return function(mr, flags, pd, address, length, access);
	region = acquire(address, length);
	result = function(mr, flags, pd, address, length, access);
	if (!result)
		release(forget(mr));
	keep(region, result == IBV_REREG_MR_ERR_INPUT ? NULL : mr);
	return result;
}

EXPORT int ibv_dereg_mr(struct ibv_mr *mr)
{
	int (*function)(struct ibv_mr *) = real("ibv_dereg_mr");
	int before = disable_cancel();
	struct region *region = forget(mr);
	int err = function(mr);

	if (err)
		remember(region);
	else
		release(region);
	restore_cancel(before);
	return err;
}
