// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * lspins --kill: ends the processes that keep files leased or pinned, in rounds: who only had
 * the lease under another's pins shows up once these are gone.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "lspins.h"

#define WAIT_MS 5000 /* for a killed process to end, and then for what it held */
#define STEP_MS 20

struct victim {
	int pid;
	int pidfd;
	char command[64];
};

struct victims {
	struct victim *list;
	size_t count;
};

static bool has_victim(const struct victims *victims, int pid)
{
	size_t i;

	for (i = 0; i < victims->count; i++)
		if (victims->list[i].pid == pid)
			return true;
	return false;
}

/* Only processes that were seen to have it: a number alone may be somebody else's by now. */
static bool is_seen(const struct pinv_pin *entry)
{
	return entry->pid > 0 && entry->command;
}

static bool still_listed(const struct listing *listing, int pid)
{
	size_t i;

	for (i = 0; i < listing->count; i++)
		if (is_seen(listing->entries[i]) && listing->entries[i]->pid == pid)
			return true;
	return false;
}

/* A pidfd that was there before the process was seen again is that process's. */
static void find_victims(const struct listing *listing, struct victims *victims)
{
	size_t i;

	victims->list = must(calloc(listing->count + 1, sizeof(*victims->list)));
	for (i = 0; i < listing->count; i++) {
		const struct pinv_pin *entry = listing->entries[i];
		struct victim *victim = &victims->list[victims->count];

		if (!is_seen(entry) || entry->pid == getpid() ||
		    has_victim(victims, entry->pid))
			continue;
		victim->pid = entry->pid;
		victim->pidfd = syscall(SYS_pidfd_open, entry->pid, 0);
		if (victim->pidfd < 0)
			continue;
		snprintf(victim->command, sizeof(victim->command), "%s", entry->command);
		victims->count++;
	}
}

static void free_victims(struct victims *victims)
{
	size_t i;

	for (i = 0; i < victims->count; i++)
		close(victims->list[i].pidfd);
	free(victims->list);
}

/* Those of real time have no names. */
static const char *signal_name(int number)
{
	static char text[16];

	if (sigabbrev_np(number))
		return sigabbrev_np(number);
	snprintf(text, sizeof(text), "signal %d", number);
	return text;
}

static bool confirmed(const struct options *options, const struct victim *victim)
{
	char answer[16], *letter;

	if (options->yes)
		return true;
	fprintf(stderr, "lspins: send %s to process %d (", signal_name(options->signal),
		victim->pid);
	for (letter = (char *)victim->command; *letter; letter++)
		fputc(*letter >= ' ' && *letter < 0x7f ? *letter : '?', stderr);
	fputs(")? (y/N) ", stderr);
	fflush(stderr);
	if (!fgets(answer, sizeof(answer), stdin)) {
		fputc('\n', stderr);
		return false;
	}
	/* The rest of a long line is not the next answer. */
	while (!strchr(answer, '\n') && fgets(answer + 1, sizeof(answer) - 1, stdin))
		;
	return answer[0] == 'y' || answer[0] == 'Y';
}

static bool end_process(const struct options *options, const struct victim *victim)
{
	struct pollfd ended = { .fd = victim->pidfd, .events = POLLIN };

	if (syscall(SYS_pidfd_send_signal, victim->pidfd, options->signal, NULL, 0) &&
	    errno != ESRCH) {
		fprintf(stderr,
			"lspins: process %d: send signal: %s; run as its user or root\n",
			victim->pid, strerror(errno));
		return false;
	}
	if (poll(&ended, 1, WAIT_MS) != 1) {
		fprintf(stderr,
			"lspins: process %d: has not ended %d s after %s; use --signal "
			"KILL\n",
			victim->pid, WAIT_MS / 1000, signal_name(options->signal));
		return false;
	}
	return true;
}

/* The kernel lets go of what a process held a moment after its end. */
static int wait_until_released(const struct options *options, const struct victims *ended)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	struct listing listing;
	int left = WAIT_MS / STEP_MS, status;
	bool held = true;
	size_t i;

	while (held && left--) {
		status = make_listing(options, &listing);
		if (status != EXIT_LISTED)
			return status;
		held = false;
		for (i = 0; i < ended->count; i++)
			held |= ended->list[i].pid &&
				still_listed(&listing, ended->list[i].pid);
		free_listing(&listing);
		if (held)
			nanosleep(&step, NULL);
	}
	return EXIT_LISTED;
}

/* *progress: whether somebody has been ended. */
static int kill_once(const struct options *options, bool *progress)
{
	struct listing before, now;
	struct victims victims = { 0 };
	int status = make_listing(options, &before);
	size_t i;

	*progress = false;
	if (status != EXIT_LISTED)
		return status;
	find_victims(&before, &victims);
	free_listing(&before);
	status = make_listing(options, &now);
	for (i = 0; status == EXIT_LISTED && i < victims.count; i++) {
		struct victim *victim = &victims.list[i];

		if (still_listed(&now, victim->pid) && confirmed(options, victim) &&
		    end_process(options, victim))
			*progress = true;
		else
			victim->pid = 0;
	}
	if (status == EXIT_LISTED)
		free_listing(&now);
	if (*progress)
		status = wait_until_released(options, &victims);
	free_victims(&victims);
	return status;
}

int kill_holders(const struct options *options)
{
	struct listing left;
	bool progress = true;
	int status = EXIT_LISTED;

	while (status == EXIT_LISTED && progress)
		status = kill_once(options, &progress);
	if (status == EXIT_LISTED)
		status = make_listing(options, &left);
	if (status != EXIT_LISTED)
		return status;
	status = say_unseen(left.unseen);
	if (left.count) {
		fprintf(stderr, "lspins: still leased or pinned:\n");
		print_listing(stderr, options, &left);
		if (status == EXIT_LISTED)
			status = EXIT_FAILED;
	}
	free_listing(&left);
	return status;
}
