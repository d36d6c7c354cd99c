// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* L5, L7, L11: whose the lease is, and what is left of it when its holder is gone. */
#include <errno.h>

#include "scene.h"

CHECK(l7_forked_child_holds_nothing, "L7,P1", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct actor *child = actor_fork(s.holder, "child");

	expect_value(F_UNLCK, a_getlease(child, s.fd));
	expect(EAGAIN, a_setlease(child, s.fd, F_LAYOUT | F_UNLCK));
	expect(EAGAIN, a_setlease(child, s.fd, F_UNLCK));
	must(v_open(child, 0));
	/* Neither through the inherited mapping nor through one of its own. */
	expect(EPERM, v_reg(child, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	s.addr = must(a_mmap_shared(child, s.fd, s.size));
	expect(EPERM, v_reg(child, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
}

CHECK(l7_lease_belongs_to_the_thread_group, "L7,L11", STOCK_FAIL)
{
	struct scene s = scene_open();
	struct actor *c = actor_start("C");

	expect(0, a_fcntl_in_thread(s.holder, s.fd, F_SETLEASE, EXCLUSIVE_LAYOUT));
	/* The thread is gone, the process is not. */
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_pin(&s);
	expect(EBUSY, a_fcntl_in_thread(s.holder, s.fd, F_SETLEASE, F_LAYOUT | F_UNLCK));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(0, a_fcntl_in_thread(s.holder, s.fd, F_SETLEASE, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(c, s.path, PAGE));
}

CHECK(l7_dup_is_the_same_description, "L7,P1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *c = actor_start("C");
	long copy = must(a_dup(s.holder, s.fd));

	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, copy));
	must(a_close(s.holder, s.fd));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, copy));
	s.addr = must(a_mmap_shared(s.holder, copy, s.size));
	scene_pin(&s);
	expect(0, v_dereg(s.holder, &s.mr));
	expect(0, a_setlease(s.holder, copy, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(c, s.path, PAGE));
}

/* The description lives on in B, so only the holder's end can end the lease. */
CHECK(l11_holder_is_killed, "L11", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B"), *c = actor_start("C");
	long fd = must(actor_send_fd(s.holder, (int)s.fd, b));
	long addr = must(a_mmap_shared(b, fd, s.size));

	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	actor_kill(s.holder); /* and nobody reaps it */
	must(v_open(b, 0));
	expect(EPERM, v_reg(b, 0, (uint64_t)addr, s.size, REMOTE_RW, NULL));
	expect(0, a_truncate(c, s.path, PAGE));
	expect_value(F_UNLCK, a_getlease(b, fd));
}

CHECK(l11_parent_exits_child_keeps_description, "L11,L7", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct actor *child = actor_fork(s.holder, "child");
	struct actor *c = actor_start("C");

	actor_exit(s.holder);
	must(v_open(child, 0));
	expect(EPERM, v_reg(child, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	expect(0, a_truncate(c, s.path, PAGE));
}

CHECK(l11_closing_the_description_ends_the_lease, "L11,C1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *c = actor_start("C");

	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	expect(0, a_close(s.holder, s.fd));
	expect(0, a_truncate(c, s.path, PAGE));
}
