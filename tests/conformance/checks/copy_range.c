// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * T3: copy_file_range() is no layout change.  Where it would share blocks, which is one, it copies
 * as long as somebody has a layout lease on one of the two files.
 */
#include <errno.h>
#include <stdio.h>

#include "coop.h"

struct copy_step {
	char from[256], to[256];
};

static long copy_file(void *buf, size_t size)
{
	const struct copy_step *c = buf;
	int from = open(c->from, O_RDONLY | O_CLOEXEC),
	    to = open(c->to, O_RDWR | O_CLOEXEC);
	ssize_t n = 1;
	long done = 0;

	(void)size;
	while (n > 0 && done < (long)SCENE_SIZE) {
		n = copy_file_range(from, NULL, to, NULL, SCENE_SIZE - done, 0);
		done += n;
	}
	n = n < 0 ? -errno : 0;
	close(from);
	close(to);
	return n ? n : done;
}

/* From a file with the content of FILE_SEED to one with another; a wait is a failure. */
static void expect_copy(const char *from, const char *to)
{
	struct actor *a = actor_start("copies");
	struct copy_step c;

	snprintf(c.from, sizeof(c.from), "%s", from);
	snprintf(c.to, sizeof(c.to), "%s", to);
	actor_call_begin(a, copy_file, &c, sizeof(c));
	expect_value(SCENE_SIZE, actor_call_end(a, NULL, 0, 2000));
	expect_true(file_has_pattern(to, 0, SCENE_SIZE, FILE_SEED), "not the content");
	expect_true(file_has_pattern(from, 0, SCENE_SIZE, FILE_SEED),
		    "the source has changed");
}

static void copy_under_a_lease(int lease, bool source, bool traced)
{
	const char *from = make_file("from", SCENE_SIZE),
		   *to = make_file_with("to", SCENE_SIZE, 7);
	struct scene s = { .holder = actor_start("holder") };
	long shared;

	/* without an end, so that a wait for the lease is seen as one */
	set_for_check("/proc/sys/fs/lease-break-time", "0");
	must(a_block_signal(s.holder, SIGIO));
	s.path = source ? from : to;
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	must(a_setlease(s.holder, s.fd, lease));
	if (traced)
		trace_layout_leases();
	expect_copy(from, to);
	/* Nothing was refused, so that the trace does not say so either. */
	if (traced)
		expect_no_event("layout_change_refused");
	expect_true(!signal_is_pending(s.holder, SIGIO), "the holder was signalled");
	expect_value(lease, a_getlease(s.holder, s.fd));
	shared = file_shared_extents(s.path);
	expect_value(0, shared);
}

CHECK(l3_copy_file_range_from, "T3,L3", STOCK_FAIL)
{
	copy_under_a_lease(F_LAYOUT, true, false);
}

CHECK(l3_copy_file_range_to, "T3,L3", STOCK_FAIL)
{
	copy_under_a_lease(F_LAYOUT, false, false);
}

CHECK(o1_trace_copy_file_range_from, "T3", STOCK_FAIL)
{
	copy_under_a_lease(EXCLUSIVE_LAYOUT, true, true);
}

CHECK(o1_trace_copy_file_range_to, "T3", STOCK_FAIL)
{
	copy_under_a_lease(EXCLUSIVE_LAYOUT, false, true);
}

CHECK(t5_copy_file_range_shares_blocks, "T5", STOCK_PASS)
{
	const char *from = make_file("from", SCENE_SIZE),
		   *to = make_file_with("to", SCENE_SIZE, 7);

	if (strcmp(fs_name(from), "xfs"))
		skip("%s cannot share blocks", fs_name(from));
	expect_copy(from, to);
	expect_true(file_shared_extents(from) > 0, "the blocks were copied");
}
