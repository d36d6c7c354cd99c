// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* NFS direct I/O in which an allocation fails, the first, then the second, and so on. */
#include <fcntl.h>
#include <stdio.h>

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

NFS4_CHECK(without_memory, "D1", STOCK_FAIL)
{
	struct transfer t = { .at = memory_new(MEMORY_SMALL, KiB(160)) + 100 };
	struct pins before;

	make_file("file", KiB(160));
	nfs_mount_at(version, check_dir(), ",rsize=65536,wsize=65536");
	t.fd = open_file(nfs_path("file"), O_RDWR | O_DIRECT);
	before = pins_now();
	expect_value((long)TRANSFER, transfer(&t));
	expect_balance(before, pages_of(t.at, TRANSFER));
	if (check_has_failed())
		return;
	let_allocations_fail();
	expect_true(fail_each_allocation(&t) >= 5, "hardly a read fails");
	t.write = true;
	expect_true(fail_each_allocation(&t) >= 5, "hardly a write fails");
}
