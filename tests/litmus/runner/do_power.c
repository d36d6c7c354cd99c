// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Steps that take the persistent memory away, that hold what is written back to it, and those that
 * end the guest.
 *
 * The guest is ended by whoever started the runner, when all tests that it runs have come to such a
 * step: the file that LITMUS_CUT names is told.  The runner of the next guest, --restarted, goes on
 * behind the step.
 */
#include <stdlib.h>
#include <unistd.h>

#include "do.h"
#include "pmem.h"

static struct pmem away;
static bool is_away;

/* Whom to tell that the guest may end. */
static const char *who_ends_the_guest(void)
{
	const char *to = getenv("LITMUS_CUT");

	if (!to)
		skip("nobody here ends the guest and starts another; ./pinverbs test "
		     "does");
	return to;
}

/* The power is cut, or the processes are killed and the file systems unmounted. */
DO(restart)
{
	const char *to = who_ends_the_guest();
	char line[128];
	int err;

	snprintf(line, sizeof(line), "%s %s.%s\n", r->litmus->ends->name, fs_names[r->fs],
		 r->litmus->name);
	err = file_write(to, line);
	if (err)
		broken("%s: %s", to, errno_name(-err));
	for (;;)
		pause();
}

DO(checks_clean)
{
	struct pmem p = pmem_of(path_of(&arg[0]));
	long ret = pmem_check(&p);

	if (ret < 0)
		return seen_instead(r, "cannot check: %s", errno_name((int)-ret));
	return ret ? seen_instead(r, "its check exits with %ld", ret) : 0;
}

/* Of the kernel for power cuts alone: a number holds that process, a negative one lets it go. */
#define GATE "/sys/module/power_cut/parameters/hold"

static long tell_gate(long pid)
{
	char number[24];
	int err;

	/* the guests that end so have this kernel */
	who_ends_the_guest();
	snprintf(number, sizeof(number), "%ld", pid);
	err = file_write(GATE, number);
	if (err)
		broken("this kernel cannot hold a write-back: %s: %s", GATE,
		       errno_name(-err));
	return 0;
}

DO(hold)
{
	return tell_gate(arg[0].name->actor->pid);
}

DO(let_go)
{
	return tell_gate(-arg[0].name->actor->pid);
}

DO(unbind)
{
	long ret;

	away = pmem_of(path_of(&arg[0]));
	ret = pmem_unbind(&away);
	if (ret)
		return seen_instead(r, "%s", errno_name((int)-ret));
	is_away = true;
	return 0;
}

DO(bind)
{
	if (!is_away)
		broken("nothing is unbound");
	pmem_bring_back(&away);
	is_away = false;
	return 0;
}

/* The tests that follow need it, however this one ended. */
void power_restore(const struct litmus *l)
{
	const struct name *n;

	if (!is_away)
		return;
	for (n = l->names; n; n = n->next)
		if (n->kind == K_ACTOR && n->actor && !actor_dead(n->actor))
			actor_kill(n->actor);
	pmem_bring_back(&away);
	is_away = false;
}

const struct verb power_verbs[] = {
	{ "power-cut", "", K_NONE, do_restart,
	  "the power is cut: all processes are gone, and what was not written back; the "
	  "machine "
	  "starts again",
	  VERB_LOOK | VERB_RESTART, NULL },
	{ "reboot", "", K_NONE, do_restart,
	  "the machine is shut down in order: all processes are killed, then the file "
	  "systems unmounted, which works; it starts again",
	  VERB_LOOK | VERB_RESTART, NULL },
	{ "checks-clean", "FILE", K_NONE, do_checks_clean,
	  "the file system of $1 checks clean", VERB_LOOK, NULL },
	{ "hold-write-back", "of ACTOR", K_NONE, do_hold,
	  "whenever $1 has written back a range of a file, it is held before it knows",
	  VERB_LOOK, NULL },
	{ "release-write-back", "of ACTOR", K_NONE, do_let_go,
	  "$1 goes on after its write-back, and is held no more", VERB_LOOK, NULL },
	{ "unbind", "FILE", K_NONE, do_unbind,
	  "the persistent memory of $1 is taken from its driver", VERB_LOOK, NULL },
	{ "rebind", "FILE", K_NONE, do_bind, "the persistent memory of $1 comes back",
	  VERB_LOOK, NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
