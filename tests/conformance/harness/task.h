/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a task is doing, seen from outside. */
#ifndef PINV_TEST_TASK_H
#define PINV_TEST_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A process blocks if all of it is asleep and has not run from one look to the next: what is merely
 * slow runs.  Whoever waits for a child is as its child is.
 */
struct task_watch {
	pid_t pid;
	unsigned long switches; /* times its threads were put on or off a CPU */
	int64_t asleep_since;   /* ns; 0: ran at the last look */
};

/* For how long it has been seen blocked, in ms; 0 if it runs, or waits for its next step. */
int task_blocked_ms(pid_t pid, struct task_watch *w);

/* Name, state, wait channel and kernel stack of every thread of a process. */
void task_describe(pid_t pid, char *buf, size_t len);

/* How long the process has run so far. */
int task_cpu_ms(pid_t pid);

#endif
