// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * NFS direct I/O in which an allocation of the caller fails, the first, then the second, and so on;
 * and in which the first few of the RPC's own context fail.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "nfs.h"

#define NTH_MAX 400
/* several requests, the last pages of which have been pinned when the first ones are made */
#define TRANSFER ((size_t)150000)

struct transfer {
	int fd;
	unsigned char *at;
	bool write;
};

static long transfer(const struct transfer *t)
{
	return result(t->write ? pwrite(t->fd, t->at, TRANSFER, 777)
			       : pread(t->fd, t->at, TRANSFER, 777));
}

/* Whatever becomes of the call, what it has pinned is pinned no more; how many calls failed. */
static int fail_each_allocation(const struct transfer *t)
{
	struct pins before;
	int nth, left = 0, fd, failures = 0;
	long ret = 0;

	for (nth = 1; nth < NTH_MAX && !left; nth++) {
		before = pins_now();
		fd = failure_arm(nth);
		ret = transfer(t);
		left = failure_disarm(fd);
		if (fd < 0 || left < 0)
			broken("no failure of allocation %d", nth);
		failures += ret != (long)TRANSFER;
		expect_balance(before, 0);
		if (check_has_failed())
			fail_now("after the failure of allocation %d", nth);
	}
	expect_true(nth < NTH_MAX, "still failing at allocation %d", nth);
	expect_value((long)TRANSFER, ret);
	return failures;
}

/* As long as there is memory, a read succeeds and pins. */
static struct transfer with_memory(int version, const char *port)
{
	struct transfer t = { .at = memory_new(MEMORY_SMALL, KiB(160)) + 100 };
	struct pins before;
	char options[64];

	make_file("file", KiB(160));
	snprintf(options, sizeof(options), "%s,rsize=65536,wsize=65536", port);
	nfs_mount_at(version, check_dir(), options);
	t.fd = open_file(nfs_path("file"), O_RDWR | O_DIRECT);
	before = pins_now();
	expect_value((long)TRANSFER, transfer(&t));
	expect_balance(before, pages_of(t.at, TRANSFER));
	if (check_has_failed())
		fail_now("with memory");
	return t;
}

NFS4_CHECK(without_memory, "D1", STOCK_FAIL)
{
	struct transfer t = with_memory(version, "");

	let_allocations_fail();
	expect_true(fail_each_allocation(&t) >= 5, "hardly a read fails");
	t.write = true;
	expect_true(fail_each_allocation(&t) >= 5, "hardly a write fails");
}

/* ---- failures in the RPC's context ---- */

#define FAILSLAB "/sys/kernel/debug/failslab/"

/* Where a function of the kernel is, as failslab wants it. */
static void find_function(const char *name, char start[24], char end[24])
{
	FILE *f = fopen("/proc/kallsyms", "re");
	char line[256], symbol[128];
	unsigned long at, found = 0;

	if (!f)
		broken("/proc/kallsyms");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx %*c %127s", &at, symbol) != 2)
			continue;
		if (!found && !strcmp(symbol, name))
			found = at;
		else if (found && at > found)
			break;
	}
	fclose(f);
	if (!found)
		broken("no %s in the kernel", name);
	snprintf(start, 24, "0x%lx", found);
	snprintf(end, 24, "0x%lx", at);
}

/* The allocations that fail are those below this function, whichever task they are of. */
static void fail_below(const char *function)
{
	char start[24], end[24];

	find_function(function, start, end);
	set_for_check(FAILSLAB "times", "0");
	set_for_check(FAILSLAB "verbose", "0");
	set_for_check(FAILSLAB "ignore-gfp-wait", "N");
	set_for_check(FAILSLAB "require-start", start);
	set_for_check(FAILSLAB "require-end", end);
	set_for_check(FAILSLAB "probability", "100");
}

static void let_fail(int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", n);
	if (file_write(FAILSLAB "times", text))
		broken(FAILSLAB "times");
}

/* How many have not failed yet; none will any more. */
static int failures_left(void)
{
	char text[32];

	if (file_read(FAILSLAB "times", text, sizeof(text)) < 0)
		broken(FAILSLAB "times");
	let_fail(0);
	return atoi(text);
}

/* What has no memory there tries again, or ends the call. */
static void fail_first_ones(const struct transfer *t)
{
	struct pins before;
	long ret;
	int n;

	for (n = 1; n <= 16; n *= 4) {
		before = pins_now();
		let_fail(n);
		ret = transfer(t);
		expect_value(0, failures_left());
		expect_true(ret == (long)TRANSFER || ret < 0, "%ld bytes", ret);
		expect_pinned(before, pages_of(t->at, TRANSFER) + TRANSFER / KiB(64));
		if (check_has_failed())
			fail_now("%s: after %d failures", t->write ? "write" : "read", n);
	}
}

NFS4_CHECK(rpc_without_memory, "D1", STOCK_FAIL)
{
	struct transfer t = with_memory(version, ",port=2049");

	fail_below("rpc_async_schedule");
	fail_first_ones(&t);
	t.write = true;
	fail_first_ones(&t);
}
