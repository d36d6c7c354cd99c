/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Memory allocations of the calling task that fail. */
#ifndef PINV_TEST_FAILURE_H
#define PINV_TEST_FAILURE_H

#include <stdbool.h>

/*
 * For the rest of the check allocations that may sleep can fail too, of any size, and without a trace
 * in the log.  Skips the check on a kernel that cannot.
 */
void let_allocations_fail(void);

enum allocation {
	OBJECTS, /* of the slab allocator */
	PAGES
};

/* From then on, of what let_allocations_fail() says, only these. */
void let_only_fail(enum allocation kind);

/*
 * Instead, for the rest of the check: nodes of trees (XArray), those of tasks with failures_on().  All
 * of them but the next n, as the kernel asks a second time for one that it has not got.
 */
void let_nodes_fail(void);
void nodes_before_failure(unsigned int n);
/* Zero, or -errno; for the calling task. */
int failures_on(bool on);

/* The nth one from now on fails.  Gives what failure_disarm() wants, or -errno. */
int failure_arm(int nth);
/* What is left of the count, -1 if unknown; 0: the failure has happened. */
int failure_disarm(int fd);

#endif
