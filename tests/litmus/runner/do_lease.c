// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Steps with leases. */
#include "do.h"

#define KIND_WORDS "exclusive|layout|read|write"

static const int lease_arg[] = { EXCLUSIVE_LAYOUT, F_LAYOUT, F_RDLCK, F_WRLCK };

static const char *const lease_words[] = { "exclusive", "layout", "read",
					   "write",     "none",   NULL };

DO(lease)
{
	return a_setlease(a, fd_of(&arg[0]), lease_arg[arg[1].number]);
}

/* From a new thread of the actor, which then ends. */
DO(thread_lease)
{
	return a_fcntl_in_thread(a, fd_of(&arg[0]), F_SETLEASE, lease_arg[arg[1].number]);
}

/* "plain" is the F_UNLCK of a classic lease. */
DO(unlock)
{
	bool plain = arg[1].kind && arg[1].number == 1;

	return a_setlease(a, fd_of(&arg[0]), plain ? F_UNLCK : F_LAYOUT | F_UNLCK);
}

DO(getlease)
{
	long got = a_getlease(a, fd_of(&arg[0]));
	long i;

	if (got < 0)
		return got;
	for (i = 0; i < 4; i++)
		if (got == lease_arg[i])
			return i;
	return got == F_UNLCK ? 4 : 1000 + got;
}

/* Any argument of F_SETLEASE, by number. */
DO(setlease)
{
	return a_setlease(a, fd_of(&arg[0]), (int)arg[1].number);
}

const struct verb lease_verbs[] = {
	{ "lease", "FD " KIND_WORDS, K_NONE, do_lease, "takes the lease ($2) on $1", 0,
	  NULL },
	{ "thread-lease", "FD " KIND_WORDS, K_NONE, do_thread_lease,
	  "takes the lease ($2) on $1 in a thread that ends", 0, NULL },
	{ "unlock", "FD [layout|plain]", K_NONE, do_unlock,
	  "releases the lease on $1{ (F_UNLCK: $2)}", 0, NULL },
	{ "getlease", "FD", K_NONE, do_getlease, "asks which lease it has on $1", 0,
	  lease_words },
	{ "setlease", "FD N", K_NONE, do_setlease, "calls F_SETLEASE with $2 on $1", 0,
	  NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
