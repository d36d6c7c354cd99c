// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <config.h>

#include "lock.h"

void pinrxe_lock_wait(struct pinrxe_lock *lock)
{
	unsigned int tries = 0;

	do {
		/* read only: the line stays shared until there is something to win */
		while (atomic_load_explicit(&lock->held, memory_order_relaxed))
			if (++tries > 64)
				sched_yield();
	} while (atomic_exchange_explicit(&lock->held, true, memory_order_acquire));
}
