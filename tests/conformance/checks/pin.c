// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* P1, P2, P10: registrations of file memory; the litmus tests have which of them are refused. */
#include <errno.h>

#include "scene.h"

CHECK(p1_registration_under_lease, "P1", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	scene_open_verbs(&s);
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect(0, v_dereg(s.holder, &s.mr));
	/* Part of a page, and with every access right. */
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr + 100, 5000,
			REMOTE_RW | IBV_ACCESS_REMOTE_ATOMIC, NULL));
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, 0, NULL));
}

CHECK(p1_read_only_mapping, "P1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *peer = actor_start("peer");

	s.addr = must(a_mmap(s.holder, 0, s.size, PROT_READ, MAP_SHARED, s.fd, 0));
	scene_open_verbs(&s);
	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, IBV_ACCESS_REMOTE_READ,
			 &s.mr));
	expect(0, v_read_check(peer, 0, &s.mr, 0, s.size, FILE_SEED));
	/* Write access through it fails as for any read-only memory. */
	expect(EFAULT, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
}

CHECK(p1_many_registrations, "P1,L6", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct mr mr[32];
	unsigned int i;

	scene_open_verbs(&s);
	for (i = 0; i < 32; i++)
		require(0, v_reg(s.holder, 0, (uint64_t)s.addr + i % 16 * PAGE, PAGE,
				 REMOTE_RW, &mr[i]));
	for (i = 0; i < 32; i++) {
		expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
		expect(0, v_dereg(s.holder, &mr[i]));
	}
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

/* Pages acquired and not released, over the whole system. */
static long pins_out(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

CHECK(p2_counters_balance_over_large_registration, "P2", STOCK_FAIL)
{
	struct scene s =
		scene_pinned_by(actor_start("A"), make_file("large", MiB(8)), MiB(8));
	long before = pins_out();

	expect(0, v_dereg(s.holder, &s.mr));
	expect_value(before - (long)(MiB(8) / PAGE), pins_out());
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect_value(before, pins_out());
}

/* ---- P10: re-registration ---- */

CHECK(p10_new_access_rights, "P10,P11", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *peer = actor_start("peer");
	const char *want = pins_text(s.holder, s.uverbs_fd, s.path);
	long before;

	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	before = pins_out();
	expect(0, v_rereg_access(s.holder, &s.mr, IBV_ACCESS_REMOTE_READ));
	expect_pins(s.holder, want);
	expect_value(before, pins_out());
	expect(0, v_read_check(peer, 0, &s.mr, 0, s.size, FILE_SEED));
	expect(0, v_rereg_access(s.holder, &s.mr, REMOTE_RW));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 21));
	expect_true(file_has_pattern(s.path, 0, s.size, 21),
		    "remote data is not in the file");
	expect(0, v_dereg(s.holder, &s.mr));
	expect_pins(s.holder, "");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}
