// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Steps with processes: fork, exec, ends, passing descriptors, users, programs. */
#include <linux/capability.h>
#include <signal.h>

#include "do.h"

DO(fork)
{
	result->actor = actor_fork(a, result->text);
	return 0;
}

DO(exec)
{
	return actor_exec(a);
}

DO(exit)
{
	actor_exit(a);
	return 0;
}

DO(send)
{
	long fd = actor_send_fd(a, (int)fd_of(&arg[0]), arg[1].name->actor);

	if (fd >= 0 && result)
		result->fd = fd;
	return fd;
}

/* Sent, and never received: the result is the socket that it is in. */
DO(park)
{
	long fd = a_park_fd(a, fd_of(&arg[0]));

	if (fd >= 0 && result)
		result->fd = fd;
	return fd;
}

DO(become)
{
	static const uint64_t caps[] = { 0, 1ULL << CAP_LEASE };

	return a_become(a, (uid_t)arg[0].number, caps[arg[1].kind ? 1 : 0]);
}

/* A program, with the names of files replaced by their paths; its exit status. */
DO(run)
{
	const char *argv[WORDS_MAX + 1] = { NULL };
	struct name *n;
	int i;

	for (i = 0; arg[0].words[i]; i++) {
		argv[i] = arg[0].words[i];
		for (n = r->litmus->names; i && n; n = n->next)
			if (n->kind == K_FILE && !strcmp(n->text, argv[i]))
				argv[i] = n->path;
	}
	return a_run(a, argv);
}

/* ---- signals of a broken lease: an actor ignores them unless it counts ---- */

static volatile sig_atomic_t signals;

static void count_signal(int nr)
{
	(void)nr;
	signals++;
}

static long start_counting(void *buf, size_t size)
{
	struct sigaction act = { .sa_handler = count_signal, .sa_flags = SA_RESTART };

	(void)buf;
	(void)size;
	signals = 0;
	return sigaction(SIGIO, &act, NULL) ? -errno : 0;
}

static long get_count(void *buf, size_t size)
{
	(void)buf;
	(void)size;
	return signals;
}

DO(count_signals)
{
	return actor_call(a, start_counting, NULL, 0);
}

DO(signals)
{
	return actor_call(a, get_count, NULL, 0);
}

const struct verb task_verbs[] = {
	{ "fork", "", K_ACTOR, do_fork, "forks $=", 0, NULL },
	{ "exec", "", K_NONE, do_exec, "executes a fresh program", 0, NULL },
	{ "exit", "", K_NONE, do_exit, "exits", VERB_ENDS, NULL },
	{ "send", "FD to ACTOR", K_FD, do_send,
	  "sends $1 to $2 over a socket{, who has it as $=}", VERB_TAKES, NULL },
	{ "park", "FD", K_FD, do_park, "sends $1 over a socket that nobody reads{ ($=)}",
	  0, NULL },
	{ "become", "N [with-CAP_LEASE|plainly]", K_NONE, do_become,
	  "becomes user $1{, $2}", 0, NULL },
	{ "count-signals", "", K_NONE, do_count_signals, "counts SIGIO from now on", 0,
	  NULL },
	{ "signals", "", K_NONE, do_signals, "says how many SIGIO it got", 0, NULL },
	{ "run", "WORDS", K_NONE, do_run, "runs $1", 0, NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
