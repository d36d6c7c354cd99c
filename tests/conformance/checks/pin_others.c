// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* P6: pinners other than RDMA get for DAX files what the stock kernel gives, lease or no lease. */
#include <errno.h>

#include "scene.h"

static void uring_refused(struct scene *s)
{
	long ret = a_uring_register_buffer(s->holder, (uint64_t)s->addr, s->size);

	if (ret == -ENOSYS)
		skip("kernel without io_uring");
	expect(EOPNOTSUPP, ret);
}

CHECK(p6_io_uring_fixed_buffer, "P6", STOCK_PASS)
{
	struct scene s = scene_open();

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	uring_refused(&s);
}

CHECK(p6_io_uring_fixed_buffer_under_lease, "P6", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	uring_refused(&s);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(p6_io_uring_fixed_buffer_with_pins, "P6", STOCK_FAIL)
{
	struct scene s = scene_pinned();

	uring_refused(&s);
}

static void gup_test_refused(struct scene *s)
{
	long ret = a_gup_test_longterm(s->holder, (uint64_t)s->addr, s->size);

	if (ret == -ENOENT)
		skip("no /sys/kernel/debug/gup_test");
	expect(EOPNOTSUPP, ret);
}

CHECK(p6_caller_without_owner, "P6", STOCK_PASS)
{
	struct scene s = scene_open();

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	gup_test_refused(&s);
}

CHECK(p6_caller_without_owner_under_lease, "P6", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	gup_test_refused(&s);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(p6_anonymous_fixed_buffer, "P6,P5", STOCK_PASS)
{
	struct actor *a = actor_start("A");
	long addr = must(a_mmap(a, 0, KiB(64), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	long ret = a_uring_register_buffer(a, (uint64_t)addr, KiB(64));

	if (ret == -ENOSYS)
		skip("kernel without io_uring");
	expect(0, ret);
}
