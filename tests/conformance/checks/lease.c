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
