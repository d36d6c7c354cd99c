/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A file whose fsync takes its time, with the entry of its first page locked. */
#ifndef PINV_TEST_SLOW_SYNC_H
#define PINV_TEST_SLOW_SYNC_H

#include "scene.h"

/*
 * Maps the first page so many times that an fsync, which has to look at each mapping, takes 30 ms at
 * least.  How long it takes, in ms.  The page is clean then, and has the content of FILE_SEED.
 */
int make_sync_slow(const struct scene *s);

/* The page is dirty again, its content as before. */
void dirty_first_page(const struct scene *s);

/* By an actor that has the file open; actor_call_end() gives the result. */
void fsync_begin(struct actor *a, long fd);

#endif
