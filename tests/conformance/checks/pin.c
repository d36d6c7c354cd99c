// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* P1–P4: which registrations of file memory succeed. */
#include <errno.h>

#include "scene.h"

CHECK(p1_registration_under_lease, "P1", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	scene_open_verbs(&s);
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect(0, v_dereg(s.holder, &s.mr));
}

CHECK(p1_no_lease, "P1", STOCK_FAIL)
{
	struct scene s = scene_open();

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_open_verbs(&s);
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, 0, NULL));
}
