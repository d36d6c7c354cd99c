// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * L4: layout leases and the classic leases do not see each other.
 *
 * A classic F_WRLCK lease needs the only descriptor that is open, so both are on it.
 */
#include <errno.h>
#include <signal.h>

#include "coop.h"

CHECK(l4_classic_lease_under_layout_lease, "L4,L1,L6", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");

	expect(0, a_setlease(s.holder, s.fd, F_WRLCK));
	expect_value(F_WRLCK, a_getlease(s.holder, s.fd));
	/* Plain F_UNLCK releases the classic lease first, and only that. */
	expect(0, a_setlease(s.holder, s.fd, F_UNLCK));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(0, a_setlease(s.holder, s.fd, F_UNLCK));
	expect_value(F_UNLCK, a_getlease(s.holder, s.fd));
}

CHECK(l4_layout_lease_under_classic_lease, "L4,L1,L6", STOCK_FAIL)
{
	struct scene s = scene_open();

	must(a_setlease(s.holder, s.fd, F_WRLCK));
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(F_WRLCK, a_getlease(s.holder, s.fd));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(F_WRLCK, a_getlease(s.holder, s.fd));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(F_WRLCK, a_getlease(s.holder, s.fd));
	expect(0, a_setlease(s.holder, s.fd, F_UNLCK));
}

CHECK(l4_breaking_the_classic_lease_leaves_the_layout_lease, "L4", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");

	must(a_setlease(s.holder, s.fd, F_WRLCK));
	expect(EAGAIN, a_open(b, s.path, O_RDONLY | O_NONBLOCK));
	/* F_GETLEASE shows what the classic lease is to become: readers do not disturb readers. */
	expect_value(F_RDLCK, a_getlease(s.holder, s.fd));
	must(a_setlease(s.holder, s.fd, F_UNLCK));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(0, a_open(b, s.path, O_RDONLY | O_NONBLOCK));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
}

CHECK(l4_layout_lease_stops_no_open, "L4", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");

	expect(0, a_open(b, s.path, O_RDONLY | O_NONBLOCK));
	expect(0, a_open(b, s.path, O_RDWR | O_NONBLOCK));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
}

CHECK(l4_classic_lease_conflicts_as_on_stock, "L4", STOCK_PASS)
{
	struct scene s = scene_open();
	struct actor *b = actor_start("B");
	long fd = must(a_open(b, s.path, O_RDONLY));

	expect(EAGAIN, a_setlease(s.holder, s.fd, F_WRLCK));
	expect(EAGAIN, a_setlease(b, fd, F_RDLCK));
	must(a_close(b, fd));
	expect(0, a_setlease(s.holder, s.fd, F_WRLCK));
	expect_value(F_WRLCK, a_getlease(s.holder, s.fd));
	expect(0, a_setlease(s.holder, s.fd, F_UNLCK));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_UNLCK));
}

CHECK(l4_signal_settings_of_the_description_stay, "L3,L4", STOCK_FAIL)
{
	struct scene s = scene_open();

	must(a_fcntl(s.holder, s.fd, F_SETOWN, 1));
	must(a_fcntl(s.holder, s.fd, F_SETSIG, 12));
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(1, a_fcntl(s.holder, s.fd, F_GETOWN, 0));
	expect_value(12, a_fcntl(s.holder, s.fd, F_GETSIG, 0));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(1, a_fcntl(s.holder, s.fd, F_GETOWN, 0));
	expect_value(12, a_fcntl(s.holder, s.fd, F_GETSIG, 0));
}

/* Whom a classic lease belongs to is asked first, as by any open for writing; then the truncate fails at once. */
CHECK(t1_classic_lease_is_recalled_first, "T1,L4", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");
	struct file_state before;
	siginfo_t info;

	file_set_capability(s.path);
	file_state(s.path, &before);
	must(a_block_signal(s.holder, SIGIO));
	must(a_setlease(s.holder, s.fd, F_WRLCK));
	truncate_begin(b, s.path, PAGE);
	expect_value(SIGIO, a_wait_signal(s.holder, SIGIO, 5000, &info));
	expect_true(actor_blocks(b), "the truncate does not wait for the classic lease");
	expect(0, a_setlease(s.holder, s.fd, F_UNLCK));
	expect(ETXTBSY, truncate_end(b));
	expect_unchanged(s.path, &before, "truncate");
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
}
