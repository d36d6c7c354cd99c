/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Cooperative layout leases: their scene, signals, and who waits for them. */
#ifndef PINV_TEST_COOP_H
#define PINV_TEST_COOP_H

#include <signal.h>

#include "scene.h"

long a_block_signal(struct actor *a, int signo);
/* The signal, with its siginfo; -EAGAIN if none has come in time. */
long a_wait_signal(struct actor *a, int signo, int ms, siginfo_t *info);
bool signal_is_pending(struct actor *a, int signo);

/* A step, of actor_call(): SIGUSR1 interrupts the steps after it. */
long catch_interrupts(void *buf, size_t size);

/* A truncate that may have to wait: SIGUSR1 interrupts it. */
void truncate_begin(struct actor *a, const char *path, uint64_t size);
long truncate_end(struct actor *a);

/* A file under a cooperative lease; SIGIO is blocked. */
struct scene scene_cooperative(void);

/* Waits for the holder's SIGIO, which says all it should; the lease is on its way out. */
void expect_recalled(struct scene *s);
void expect_not_recalled(struct scene *s);

/* From here on, what happens to layout leases is recorded; ends the check where it cannot be. */
void trace_layout_leases(void);
void expect_no_event(const char *name);

#endif
