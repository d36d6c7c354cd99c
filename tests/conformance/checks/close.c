// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* C1, C2: close and munmap under pins; the litmus tests have the rest. */
#include <errno.h>

#include "scene.h"

CHECK(c1_close_with_pins, "C1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	long copy = must(a_dup(s.holder, s.fd));

	expect(0, a_close(s.holder, s.fd));
	expect(0, a_close(s.holder, copy));
	/* Still mapped: no zombie, so the process may still pin. */
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, NULL));
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
}

CHECK(c2_munmap_keeps_pins_and_lease, "C2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");
	struct file_state before;

	expect(0, a_munmap(s.holder, s.addr, s.size));
	file_state(s.path, &before);
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect_unchanged(s.path, &before, "truncate");
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}
