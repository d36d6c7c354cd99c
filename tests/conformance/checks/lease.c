// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* L1, L5, L6, L7: taking, asking for and releasing an exclusive layout lease. */
#include <errno.h>
#include <linux/capability.h>

#include "scene.h"

CHECK(l1_owner_takes_exclusive_lease, "L1", STOCK_FAIL)
{
	struct scene s = scene_open();

	expect_value(F_UNLCK, a_getlease(s.holder, s.fd));
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(F_UNLCK, a_getlease(s.holder, s.fd));
}

CHECK(l1_write_only_descriptor_is_enough, "L1", STOCK_FAIL)
{
	struct actor *a = actor_start("A");
	long fd = must(a_open(a, make_file("f", PAGE), O_WRONLY));

	expect(0, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(a, fd));
}

CHECK(l1_empty_file, "L1", STOCK_FAIL)
{
	struct actor *a = actor_start("A");
	struct actor *b = actor_start("B");
	const char *path = make_file("empty", 0);
	long fd = must(a_open(a, path, O_RDWR));

	/* The lease covers offset 0 to the largest, so also what is written later. */
	expect(0, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	must(a_pwrite(a, fd, 0, PAGE, 7));
	expect(ETXTBSY, a_truncate(b, path, 0));
	expect_true(file_has_pattern(path, 0, PAGE, 7),
		    "the content written under the lease is gone");
}

CHECK(l1_normal_user_owns_file, "L1", STOCK_FAIL)
{
	struct actor *root = actor_start("root");
	struct actor *user = actor_start("user");
	const char *path = make_file("f", PAGE);
	long fd;

	must(a_chown(root, path, NOBODY));
	must(a_become(user, NOBODY, 0));
	fd = must(a_open(user, path, O_RDWR));
	expect(0, a_setlease(user, fd, EXCLUSIVE_LAYOUT));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(user, fd));
}

CHECK(l1_cap_lease_instead_of_ownership, "L1", STOCK_FAIL)
{
	struct actor *root = actor_start("root");
	struct actor *user = actor_start("user");
	const char *path = make_file("f", PAGE);
	long fd;

	must(a_chmod(root, path, 0666));
	must(a_become(user, NOBODY, 1ULL << CAP_LEASE));
	fd = must(a_open(user, path, O_RDWR));
	expect(0, a_setlease(user, fd, EXCLUSIVE_LAYOUT));
}

CHECK(l1_lease_stays_when_file_is_given_away, "L1,L2", STOCK_FAIL)
{
	struct actor *root = actor_start("root");
	struct actor *user = actor_start("user");
	const char *path = make_file("f", KiB(8));
	long fd;

	must(a_chown(root, path, NOBODY));
	must(a_become(user, NOBODY, 0));
	fd = must(a_open(user, path, O_RDWR));
	require(0, a_setlease(user, fd, EXCLUSIVE_LAYOUT));
	must(a_chown(root, path, 12345));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(user, fd));
	expect(ETXTBSY, a_truncate(root, path, PAGE));
	expect(0, a_setlease(user, fd, F_LAYOUT | F_UNLCK));
	expect(EACCES, a_setlease(user, fd, EXCLUSIVE_LAYOUT));
	expect(0, a_truncate(root, path, PAGE));
}

CHECK(l1_taking_a_held_lease_again, "L1,L6", STOCK_FAIL)
{
	struct scene s = scene_leased();

	/* Still one lease: one release ends it. */
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(l6_unlock_without_lease, "L6", STOCK_FAIL)
{
	struct scene s = scene_open();

	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_UNLCK));
}

CHECK(l6_unlock_releases, "L6", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");

	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(b, s.path, PAGE));
}

CHECK(l6_plain_unlock_releases_layout_lease, "L6", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");

	expect(0, a_setlease(s.holder, s.fd, F_UNLCK));
	expect_value(F_UNLCK, a_getlease(s.holder, s.fd));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_UNLCK));
	expect(0, a_truncate(b, s.path, PAGE));
}

CHECK(l6_unlock_with_pins_is_busy, "L6,P3", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");

	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_UNLCK));
	/* Nothing changed: the lease holds, and new pins still succeed. */
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, NULL));
}

CHECK(l6_unlock_after_last_pin, "L6,P3", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct mr second;

	must(v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, &second));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, v_dereg(s.holder, &second));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, NULL));
}
