// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* L5, L7, L11: whose the lease is, and what is left of it when its holder is gone. */
#include <errno.h>

#include "scene.h"

CHECK(l5_two_processes, "L5,T1,T6", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B"), *c = actor_start("C");
	long fd = must(a_open(b, s.path, O_RDWR));

	expect(0, a_setlease(b, fd, EXCLUSIVE_LAYOUT));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(b, fd));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(b, fd));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	expect(0, a_setlease(b, fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(c, s.path, PAGE));
}

CHECK(l5_one_process_two_descriptions, "L5,T1,T6", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *c = actor_start("C");
	long fd = must(a_open(s.holder, s.path, O_RDWR));

	expect_value(F_UNLCK, a_getlease(s.holder, fd));
	expect(EAGAIN, a_setlease(s.holder, fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(s.holder, fd, EXCLUSIVE_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, fd));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	expect(0, a_setlease(s.holder, fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(c, s.path, PAGE));
}

CHECK(l5_two_holders_with_pins, "L5,P1,T6", STOCK_FAIL)
{
	struct scene a = scene_pinned();
	struct scene b = scene_pinned_by(actor_start("B"), a.path, a.size);
	struct actor *c = actor_start("C");

	expect(0, v_dereg(a.holder, &a.mr));
	expect(0, a_setlease(a.holder, a.fd, F_LAYOUT | F_UNLCK));
	expect(EBUSY, a_setlease(b.holder, b.fd, F_LAYOUT | F_UNLCK));
	expect(EPERM, v_reg(a.holder, 0, (uint64_t)a.addr, PAGE, REMOTE_RW, NULL));
	expect(ETXTBSY, a_truncate(c, a.path, PAGE));
	expect(0, v_dereg(b.holder, &b.mr));
	expect(0, a_setlease(b.holder, b.fd, F_LAYOUT | F_UNLCK));
	eventually(a_truncate(c, a.path, PAGE));
}

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

CHECK(l7_child_closes_and_exits_parent_keeps_lease, "L7", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct actor *child = actor_fork(s.holder, "child");
	struct actor *c = actor_start("C");

	must(a_close(child, s.fd));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	actor_exit(child);
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	scene_pin(&s);
}

CHECK(l7_child_takes_its_own_on_the_same_description, "L7,L5,P1", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct actor *child = actor_fork(s.holder, "child");
	struct actor *c = actor_start("C");
	struct mr mr;

	must(v_open(child, 0));
	expect(0, a_setlease(child, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(child, s.fd));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	/* One lease per process: the parent's release is the parent's only. */
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(F_UNLCK, a_getlease(s.holder, s.fd));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(child, s.fd));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	require(0, v_reg(child, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &mr));
	must(v_open(s.holder, 0));
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	expect(0, v_dereg(child, &mr));
	expect(0, a_setlease(child, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(c, s.path, PAGE));
}

CHECK(l7_received_descriptor_brings_no_lease, "L7,P1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start_exec("B"), *c = actor_start("C");
	long fd = must(actor_send_fd(s.holder, (int)s.fd, b));
	long addr = must(a_mmap_shared(b, fd, s.size));

	must(v_open(b, 0));
	expect_value(F_UNLCK, a_getlease(b, fd));
	expect(EAGAIN, a_setlease(b, fd, F_LAYOUT | F_UNLCK));
	expect(EPERM, v_reg(b, 0, (uint64_t)addr, s.size, REMOTE_RW, NULL));
	/* With a lease of its own on that same description it may. */
	expect(0, a_setlease(b, fd, EXCLUSIVE_LAYOUT));
	expect(0, v_reg(b, 0, (uint64_t)addr, s.size, REMOTE_RW, NULL));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	expect(EBUSY, a_setlease(b, fd, F_LAYOUT | F_UNLCK));
}

CHECK(l7_sender_exits_receiver_has_nothing, "L7,L11", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start_exec("B"), *c = actor_start("C");
	long fd = must(actor_send_fd(s.holder, (int)s.fd, b));

	actor_exit(s.holder);
	expect_value(F_UNLCK, a_getlease(b, fd));
	expect(0, a_truncate(c, s.path, PAGE));
	expect(0, a_setlease(b, fd, EXCLUSIVE_LAYOUT));
	expect(ETXTBSY, a_truncate(c, s.path, 0));
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
static void holder_gone(void (*end)(struct actor *))
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B"), *c = actor_start("C");
	long fd = must(actor_send_fd(s.holder, (int)s.fd, b));
	long addr = must(a_mmap_shared(b, fd, s.size));

	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	end(s.holder); /* and nobody reaps it */
	must(v_open(b, 0));
	expect(EPERM, v_reg(b, 0, (uint64_t)addr, s.size, REMOTE_RW, NULL));
	expect(0, a_truncate(c, s.path, PAGE));
	expect_value(F_UNLCK, a_getlease(b, fd));
}

CHECK(l11_holder_exits, "L11", STOCK_FAIL)
{
	holder_gone(actor_exit);
}

CHECK(l11_holder_is_killed, "L11", STOCK_FAIL)
{
	holder_gone(actor_kill);
}

static void exit_and_reap(struct actor *a)
{
	actor_exit(a);
	actor_reap(a);
}

CHECK(l11_holder_exits_and_is_reaped, "L11", STOCK_FAIL)
{
	holder_gone(exit_and_reap);
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

CHECK(l11_holder_exits_with_pins, "L11,O3,T6", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start_exec("B"), *c = actor_start("C");
	long fd = must(actor_send_fd(s.holder, (int)s.fd, b));
	long uverbs = must(actor_send_fd(s.holder, (int)s.uverbs_fd, b));
	long addr = must(a_mmap_shared(b, fd, s.size));

	actor_exit(s.holder);
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	must(v_open(b, 0));
	expect(EPERM, v_reg(b, 0, (uint64_t)addr, s.size, REMOTE_RW, NULL));
	must(a_close(b, uverbs));
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(l11_exec_keeps_the_lease, "L11,O8", STOCK_FAIL)
{
	struct scene s = { .holder = actor_start("holder"), .size = SCENE_SIZE };
	struct actor *c = actor_start("C");

	s.path = make_file("f", s.size);
	s.fd = must(a_open_inherited(s.holder, s.path, O_RDWR));
	require(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	must(actor_exec(s.holder));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_pin(&s);
}

CHECK(l11_closing_the_description_ends_the_lease, "L11,C1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *c = actor_start("C");

	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	expect(0, a_close(s.holder, s.fd));
	expect(0, a_truncate(c, s.path, PAGE));
}
