/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The library's tests in the guest: what their files share. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <CUnit/Basic.h>
#include "pinverbs.h"

#define SIZE  (1024 * 1024)
#define WRITE (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)

/* A file of SIZE bytes, fresh for each test, and its descriptor. */
extern char guest_path[4096];
extern int guest_fd;
extern struct ibv_pd *guest_pd;

struct guest_test {
	const char *name;
	void (*run)(void);
};

/* Ended by a NULL name. */
extern const struct guest_test guest_kind_tests[], guest_bad_tests[];

/* The same twice, unless a descriptor has been opened or closed in between. */
unsigned count_descriptors(void);

/*
 * Writes to device DAX and flushes that, with a provider that has RDMA flush or without; @number is
 * that of the queue pair whose flush was refused.
 */
void guest_flush(struct ibv_pd *pd, bool flushes, uint32_t *number);

/* What truncating gives: to another process, or to this one. */
int truncate_errno(bool by_other);
enum pinv_lease_kind kind_held(void);

#endif
