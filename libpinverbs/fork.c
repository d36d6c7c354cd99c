// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Pages under a private mapping must stay the parent's when it forks. Kernels since 5.12 copy
 * pinned pages for the child; for older ones libibverbs keeps the range from the child, if it
 * is told to before it registers anything.
 *
 * Libibverbs has no lock for being told. Ours is held while it allocates, and fork() may have
 * taken the lock of the program's allocator before it gets here: a child begins with a new one.
 */
#include <pthread.h>
#include "internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void after_fork_in_child(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, after_fork_in_child);
}

bool is_fork_safe(void)
{
	bool safe;

	pthread_mutex_lock(&lock);
	safe = ibv_is_fork_initialized() != IBV_FORK_DISABLED;
	pthread_mutex_unlock(&lock);
	return safe;
}

int make_fork_safe(void)
{
	int err = 0;

	pthread_mutex_lock(&lock);
	if (ibv_is_fork_initialized() == IBV_FORK_DISABLED)
		err = ibv_fork_init();
	pthread_mutex_unlock(&lock);
	return err;
}
