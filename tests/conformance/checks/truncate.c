// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>

#include "scene.h"

CHECK(t1_truncate_first, "T1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start_exec("B");
	struct file_state before;

	file_state(s.path, &before);
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect_unchanged(s.path, &before, "truncate");
	must(v_dereg(s.holder, &s.mr));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(b, s.path, PAGE));
}
