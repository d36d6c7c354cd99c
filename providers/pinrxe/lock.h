/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The lock of a ring's user-space end: held for some tens of instructions and never over a
 * system call, except by a resize, and by extended polling that finds an error. Where the
 * application has promised one thread (thread domain, single-threaded CQ) it does nothing.
 *
 * A waiter gives its CPU away after a few tries: the holder may have been preempted, and on
 * a machine with fewer CPUs than threads only the scheduler can let it go on.
 */
#ifndef PINRXE_LOCK_H
#define PINRXE_LOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <util/compiler.h>

struct pinrxe_lock {
	atomic_bool held;
	bool unneeded;
};

static inline void pinrxe_lock_init(struct pinrxe_lock *lock, bool unneeded)
{
	atomic_init(&lock->held, false);
	lock->unneeded = unneeded;
}

void pinrxe_lock_wait(struct pinrxe_lock *lock);

/* For callers that want their wait out of line: a function that calls saves registers. */
static inline bool pinrxe_trylock(struct pinrxe_lock *lock)
{
	return lock->unneeded ||
	       likely(!atomic_exchange_explicit(&lock->held, true, memory_order_acquire));
}

static inline void pinrxe_lock(struct pinrxe_lock *lock)
{
	if (unlikely(!pinrxe_trylock(lock)))
		pinrxe_lock_wait(lock);
}

/* Needs no look at "unneeded": the store does no harm. */
static inline void pinrxe_unlock(struct pinrxe_lock *lock)
{
	atomic_store_explicit(&lock->held, false, memory_order_release);
}

#endif
