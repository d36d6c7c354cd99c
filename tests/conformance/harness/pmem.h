/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The persistent memory below a mounted file system: taken away, brought back, checked. */
#ifndef PINV_TEST_PMEM_H
#define PINV_TEST_PMEM_H

#include <limits.h>

#include "actor.h"

struct pmem {
	char mount_point[PATH_MAX], node[64], device[64], type[8];
};

/* What the file is on; the check ends, skipped, if that is no persistent memory. */
struct pmem pmem_of(const char *path);

/* Takes the device from its driver. */
long pmem_unbind(const struct pmem *p);
/* The same by an actor; actor_call_end() gives the result. */
void pmem_unbind_begin(const struct pmem *p, struct actor *a);

/* Unmounts, binds and mounts again, for whatever follows. */
void pmem_bring_back(const struct pmem *p);

/*
 * Unmounts, has the file system's own program look for mistakes, and mounts again.  The exit status
 * of that program, or -errno.
 */
long pmem_check(const struct pmem *p);

#endif
