// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Direct reads and writes of one page and of 1 MiB, from private memory of small pages.
 *
 * The device has to answer without interrupts, as persistent memory does: while a processor waits
 * for one, guest time is no count of instructions.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define LARGE      MiB(1)
#define RUNS_SMALL 401
#define RUNS_LARGE 61

static uint64_t measure(int fd, bool write, void *at, size_t len, int runs)
{
	uint64_t cost[RUNS_SMALL], t;
	ssize_t n;
	int i;

	for (i = 0; i < runs; i++) {
		t = now();
		n = write ? pwrite(fd, at, len, 0) : pread(fd, at, len, 0);
		cost[i] = now() - t;
		if (n != (ssize_t)len)
			die("%s of %zu bytes: %s", write ? "write" : "read", len,
			    n < 0 ? strerror(errno) : "short");
	}
	return median(cost, runs);
}

void bench_direct(const char *dir)
{
	char path[300];
	void *at = memory_make("anon4k", dir, LARGE);
	int fd;

	snprintf(path, sizeof(path), "%s/direct", dir);
	fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0600);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	/* allocated and written, so that a write changes no block map */
	if (pwrite(fd, at, LARGE, 0) != (ssize_t)LARGE || fsync(fd))
		die("%s: %s", path, strerror(errno));
	report("write-4k", measure(fd, true, at, PAGE, RUNS_SMALL));
	report("read-4k", measure(fd, false, at, PAGE, RUNS_SMALL));
	report("write-1m", measure(fd, true, at, LARGE, RUNS_LARGE));
	report("read-1m", measure(fd, false, at, LARGE, RUNS_LARGE));
	close(fd);
	unlink(path);
}
