/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the files with steps share. */
#ifndef PINV_LITMUS_DO_H
#define PINV_LITMUS_DO_H

#include <errno.h>
#include <string.h>

#include "check.h"
#include "files.h"
#include "litmus.h"
#include "ops.h"

#define UNUSED __attribute__((unused))

/* Begins the function that a verb is done by. */
#define DO(verb)                                                            \
	static long do_##verb(struct run *r UNUSED, struct actor *a UNUSED, \
			      struct arg *arg UNUSED, struct name *result UNUSED)

/* A range with its open end set to that of the thing; false if it does not lie within. */
bool range_within(struct range *r, uint64_t len);
/* A range with its open end set to the end of the actor's file. */
struct range range_of_fd(struct actor *a, long fd, struct range r);

static inline const char *path_of(const struct arg *arg)
{
	return arg->name->path;
}

static inline long fd_of(const struct arg *arg)
{
	return arg->name->fd;
}

/*
 * Mounts something where only the actor and its children see it, so that it goes with them, however
 * the test ends; an actor that has not yet got mounts of its own breaks the test.
 */
long mount_for(struct actor *a, const char *what, const char *on, const char *type,
	       unsigned long flags, const char *options);

extern const struct verb file_verbs[], block_verbs[], lease_verbs[], memory_verbs[],
	rdma_verbs[], task_verbs[], mount_verbs[], direct_verbs[], look_verbs[],
	power_verbs[], nfs_verbs[];

#endif
