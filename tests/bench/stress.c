// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * stress: many processes lease, map, register, deregister, truncate, punch, fork and die on the
 * same few files for a while.  Every page of a file carries the file's tag or nothing, whoever
 * writes it, so a page that became another file's while it was pinned shows in a remote read and
 * in the files.  At the end nothing is pinned, nothing is leased, nobody hangs.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define HANG_S 40

struct shared *shared;
const char *dir;

void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("stress: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	atomic_store(&shared->failed, true);
	_exit(1);
}

static time_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* ---- counters of the kernel ---- */

static long vmstat(const char *name)
{
	char line[128];
	long value = -1;
	size_t len = strlen(name);
	FILE *f;
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) != 1)
		die("vm.stat_refresh: %s", strerror(errno));
	close(fd);
	f = fopen("/proc/vmstat", "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ' ')
			value = atol(line + len);
	if (!f || value < 0)
		die("no %s in /proc/vmstat", name);
	fclose(f);
	return value;
}

static long pinned(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

/* ---- workers ---- */

static pid_t workers[WORKERS_MAX];
static unsigned long beats[WORKERS_MAX];
static time_t beat_at[WORKERS_MAX];
static int worker_count = 8;

static void start(int i)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		/* its children too, so that nobody is left */
		setpgid(0, 0);
		worker(i);
		_exit(0);
	}
	setpgid(pid, pid);
	workers[i] = pid;
	beat_at[i] = seconds();
}

static void show_stack(pid_t pid)
{
	char command[128];

	snprintf(command, sizeof(command), "cat /proc/%d/status /proc/%d/stack >&2", pid,
		 pid);
	if (system(command))
		fprintf(stderr, "stress: no stack of %d\n", pid);
}

static void check_beats(void)
{
	int i;

	for (i = 0; i < worker_count; i++) {
		unsigned long beat = atomic_load(&shared->beat[i]);

		if (beat != beats[i]) {
			beats[i] = beat;
			beat_at[i] = seconds();
		} else if (seconds() > beat_at[i] + HANG_S) {
			show_stack(workers[i]);
			die("process %d has been in one step for %d s: %s", workers[i],
			    HANG_S, shared->step[i]);
		}
	}
}

static void reap(int i, bool killed)
{
	int status;
	time_t by = seconds() + HANG_S;

	while (waitpid(workers[i], &status, WNOHANG) == 0) {
		if (seconds() > by) {
			show_stack(workers[i]);
			die("process %d does not end: %s", workers[i], shared->step[i]);
		}
		usleep(2000);
	}
	if (!(WIFEXITED(status) && !WEXITSTATUS(status)) && !killed)
		die("a process ended with status %#x: %s", status, shared->step[i]);
	kill(-workers[i], SIGKILL);
}

static bool all_happened(void)
{
	int i;

	for (i = 0; i < DIDS; i++)
		if (!atomic_load(&shared->did[i]))
			return false;
	return true;
}

/* For the duration, and on a slow machine for longer, until everything has happened. */
static void run(int duration)
{
	struct timespec pause = { .tv_nsec = 150 * 1000 * 1000 };
	time_t end = seconds() + duration, limit = end + HANG_S;
	int i;

	for (i = 0; i < worker_count; i++)
		start(i);
	while (!atomic_load(&shared->failed) && seconds() < limit &&
	       (seconds() < end || !all_happened())) {
		nanosleep(&pause, NULL);
		check_beats();
		i = rand() % worker_count;
		kill(workers[i], SIGKILL);
		reap(i, true);
		count(DID_KILL);
		start(i);
	}
	atomic_store(&shared->stop, true);
	for (i = 0; i < worker_count; i++)
		reap(i, false);
}

/* ---- the end ---- */

static void check_end(long before)
{
	time_t by = seconds() + 10;
	char path[4096];
	int i, fd;

	while (pinned() != before)
		if (seconds() > by)
			die("%ld pages are still pinned", pinned() - before);
		else
			usleep(10000);
	for (i = 0; i < FILES; i++) {
		file_path(path, i);
		check_file(i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			die("%s: %s", path, strerror(errno));
		while (ftruncate(fd, 0))
			if (errno != ETXTBSY || seconds() > by)
				die("%s cannot be truncated at the end: %s", path,
				    strerror(errno));
			else
				usleep(10000);
		close(fd);
		unlink(path);
	}
}

static void report(void)
{
	static const char *const names[DIDS] = {
		[DID_PIN] = "registrations",
		[DID_REMOTE] = "remote reads and writes",
		[DID_ZOMBIE] = "zombies",
		[DID_CHANGE] = "layout changes done",
		[DID_REFUSED] = "layout changes refused",
		[DID_DEADLK] = "refused to the holder",
		[DID_UNLINK] = "files replaced",
		[DID_FORK] = "forks",
		[DID_KILL] = "kills",
	};
	int i;

	for (i = 0; i < DIDS; i++)
		printf("%-26s %lu\n", names[i], atomic_load(&shared->did[i]));
	if (!all_happened())
		die("something that was to be stressed never happened");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "processes", required_argument, NULL, 'p' },
		{ "seed", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	int opt, i, duration = 60;
	unsigned int seed = 1;
	long before;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 's')
			duration = atoi(optarg);
		else if (opt == 'p')
			worker_count = atoi(optarg);
		else if (opt == 'r')
			seed = (unsigned int)atoi(optarg);
		else
			return 2;
	}
	if (optind + 1 != argc || duration < 1 || worker_count < 1 ||
	    worker_count > WORKERS_MAX) {
		fprintf(stderr,
			"usage: stress [--seconds N] [--processes N] [--seed N] DIR\n");
		return 2;
	}
	dir = argv[optind];
	srand(seed);
	if (setrlimit(RLIMIT_MEMLOCK, &all))
		die("setrlimit: %s", strerror(errno));
	for (i = 0; i < FILES; i++)
		make_file(i);
	before = pinned();
	run(duration);
	if (atomic_load(&shared->failed))
		return 1;
	check_end(before);
	report();
	printf("%d processes, %d s, seed %u: ok\n", worker_count, duration, seed);
	return 0;
}
