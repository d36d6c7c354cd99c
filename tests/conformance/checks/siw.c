// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The same rules on the second driver that registers user memory through the owner-aware call:
 * siw.  Its queue pairs connect through the RDMA-CM only, so these checks move no data: see siw_traffic.c.
 */
#include <errno.h>

#include "scene.h"

#define SIW_DEVICE "siw_conf"

/* A mapped scene whose context 0 is on a siw device. */
static struct scene siw_scene(bool leased)
{
	struct scene s;

	a_rdma_device(actor_start("admin"), SIW_DEVICE, "siw");
	s = leased ? scene_mapped() : scene_open();
	if (!leased)
		s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	s.uverbs_fd = must(v_open_device(s.holder, 0, SIW_DEVICE));
	return s;
}

static void siw_remove(struct scene *s)
{
	if (!actor_dead(s->holder))
		actor_exit(s->holder);
	expect(0, a_rdma_link_delete(actor_start("remover"), SIW_DEVICE));
}

CHECK(p1_siw_no_lease, "P1,P2", STOCK_FAIL)
{
	struct scene s = siw_scene(false);

	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	expect_pins(s.holder, "");
	siw_remove(&s);
}

CHECK(p1_siw_under_lease, "P1,L6,O1,T1", STOCK_FAIL)
{
	struct scene s = siw_scene(true);
	struct actor *b = actor_start("B");

	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(0, v_dereg(s.holder, &s.mr));
	eventually(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_pins(s.holder, "");
	expect(0, a_truncate(b, s.path, PAGE));
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, NULL));
	siw_remove(&s);
}

CHECK(c3_siw_zombie, "C2,C3,C4,T6", STOCK_FAIL)
{
	struct scene s = siw_scene(true);
	struct actor *b = actor_start("B");

	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	scene_unmap_and_close(&s);
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(0, v_dereg(s.holder, &s.mr));
	eventually(a_truncate(b, s.path, PAGE));
	siw_remove(&s);
}

CHECK(o5_siw_kill_the_holder, "O5,T6", STOCK_FAIL)
{
	struct scene s = siw_scene(true);
	struct actor *b = actor_start("B");

	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	actor_kill(s.holder);
	eventually(a_truncate(b, s.path, PAGE));
	siw_remove(&s);
}

CHECK(p5_siw_anonymous_memory, "P5", STOCK_PASS)
{
	struct scene s = siw_scene(false);
	long addr = must(a_mmap(s.holder, 0, s.size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	expect(0, v_reg(s.holder, 0, (uint64_t)addr, s.size, REMOTE_RW, &s.mr));
	expect(0, v_dereg(s.holder, &s.mr));
	siw_remove(&s);
}
