// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Costs of leases: what grows with them must not grow faster, and must not depend on pins. */
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define RUNS 31

static int new_file(const char *dir, const char *name, size_t size)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s.%d", dir, name, getpid());
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, size))
		die("%s: %s", path, strerror(errno));
	return fd;
}

static int reopen(int fd)
{
	char path[64];
	int new;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	new = open(path, O_RDWR | O_CLOEXEC);
	if (new < 0)
		die("reopen: %s", strerror(errno));
	return new;
}

static void lease(int fd, int arg)
{
	if (fcntl(fd, F_SETLEASE, arg))
		die("F_SETLEASE %#x: %s", arg, strerror(errno));
}

static void *map(int fd, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return at;
}

static void pin(void *at)
{
	if (!ibv_reg_mr(the_pd(), at, PAGE, IBV_ACCESS_LOCAL_WRITE))
		die("ibv_reg_mr: %s", strerror(errno));
}

/* By another process, for which every lease in the way is somebody else's. */
static double refusal(int fd)
{
	uint64_t samples[RUNS], result, t;
	int i, status, ends[2];

	if (pipe(ends))
		die("pipe: %s", strerror(errno));
	if (!fork()) {
		for (i = 0; i < RUNS; i++) {
			t = now();
			if (!ftruncate(fd, 0) || errno != ETXTBSY)
				die("ftruncate was not refused");
			samples[i] = now() - t;
		}
		result = median(samples, RUNS);
		_exit(write(ends[1], &result, sizeof(result)) != sizeof(result));
	}
	if (read(ends[0], &result, sizeof(result)) != sizeof(result) ||
	    wait(&status) < 0 || status)
		die("the process that truncates failed");
	close(ends[0]);
	close(ends[1]);
	return result;
}

void bench_refused_truncate(const char *dir)
{
	int fd = new_file(dir, "refused", KiB(64)), i;
	char *at = map(fd, KiB(64));

	lease(fd, EXCLUSIVE_LAYOUT);
	pin(at);
	report("refused-truncate-1", refusal(fd));
	for (i = 1; i < MANY; i++)
		pin(at);
	report("refused-truncate-many", refusal(fd));
}

static double read_file_pins(int files)
{
	uint64_t samples[7], t;
	static char buf[KiB(128)];
	int i, fd, lines;
	ssize_t n;

	for (i = 0; i < 7; i++) {
		fd = open("/proc/self/file_pins", O_RDONLY | O_CLOEXEC);
		lines = 0;
		t = now();
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			for (char *p = buf; (p = memchr(p, '\n', buf + n - p)); p++)
				lines++;
		samples[i] = now() - t;
		close(fd);
		if (lines != files + 1)
			die("file_pins has %d lines for %d files", lines, files);
	}
	return (double)median(samples, 7) / files;
}

void bench_file_pins(const char *dir)
{
	char name[32];
	int i, fd;
	void *at;

	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fd = new_file(dir, name, PAGE);
		lease(fd, EXCLUSIVE_LAYOUT);
		at = map(fd, PAGE);
		pin(at);
		munmap(at, PAGE);
		close(fd);
		if (i + 1 == MANY / 10)
			report("file-pins-line-tenth", read_file_pins(MANY / 10));
	}
	report("file-pins-line", read_file_pins(MANY));
}

/* Set and release a lease beside those that are there. */
static double lease_calls(int fd)
{
	uint64_t samples[RUNS], t;
	int i;

	for (i = 0; i < RUNS; i++) {
		t = now();
		lease(fd, EXCLUSIVE_LAYOUT);
		lease(fd, F_LAYOUT | F_UNLCK);
		samples[i] = now() - t;
	}
	return median(samples, RUNS) / 2.0;
}

void bench_lease_calls(const char *dir)
{
	int fd = new_file(dir, "leases", KiB(64)), other = reopen(fd), i;
	char *at;

	report("lease-call-0", lease_calls(fd));
	for (i = 0; i < MANY; i++)
		lease(reopen(fd), EXCLUSIVE_LAYOUT);
	report("lease-call-many", lease_calls(fd));
	lease(other, EXCLUSIVE_LAYOUT);
	at = map(other, KiB(64));
	for (i = 0; i < MANY; i++)
		pin(at);
	report("lease-call-many-pinned", lease_calls(fd));
}

/* Nobody has a lease: what everybody else pays. */
void bench_truncate(const char *dir)
{
	int fd = new_file(dir, "truncate", KiB(64)), i;
	uint64_t samples[201], t;

	for (i = 0; i < 201; i++) {
		if (posix_fallocate(fd, 0, KiB(64)))
			die("posix_fallocate: %s", strerror(errno));
		t = now();
		if (ftruncate(fd, KiB(32)))
			die("ftruncate: %s", strerror(errno));
		samples[i] = now() - t;
	}
	report("truncate", median(samples, 201));
}
