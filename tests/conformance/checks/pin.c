// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* P1–P4: which registrations of file memory succeed, and that a failed one leaves nothing. */
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

CHECK(p1_no_lease, "P1", STOCK_FAIL)
{
	struct scene s = scene_open();

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_open_verbs(&s);
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, 0, NULL));
}

CHECK(p1_lease_taken_after_mmap, "P1", STOCK_FAIL)
{
	struct scene s = scene_open();

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	must(a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	scene_pin(&s);
}

CHECK(p1_lease_on_another_description, "P1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	long fd = must(a_open(s.holder, s.path, O_RDWR));

	s.addr = must(a_mmap_shared(s.holder, fd, s.size));
	scene_open_verbs(&s);
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	/* The same memory through the leased description succeeds. */
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
}

CHECK(p1_lease_of_another_process, "P1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start_exec("B");
	long fd = must(a_open(b, s.path, O_RDWR));
	long addr = must(a_mmap_shared(b, fd, s.size));

	must(v_open(b, 0));
	expect(EPERM, v_reg(b, 0, (uint64_t)addr, s.size, REMOTE_RW, NULL));
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

CHECK(p1_description_kept_by_the_mapping_alone, "P1,C1", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	must(a_close(s.holder, s.fd));
	scene_pin(&s);
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

/* ---- P2: several files in one registration ---- */

/* Two files of 64 KiB, mapped one behind the other; which of them are leased. */
struct two_files {
	struct actor *a;
	const char *path[2];
	long fd[2], addr;
};

#define EACH KiB(64)

static struct two_files two_files(bool lease_first, bool lease_second)
{
	struct two_files t = { .a = actor_start("A") };
	bool lease[2] = { lease_first, lease_second };
	int i;

	t.path[0] = make_file("first", EACH);
	t.path[1] = make_file("second", EACH);
	t.addr = must(
		a_mmap(t.a, 0, 2 * EACH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (i = 0; i < 2; i++) {
		t.fd[i] = must(a_open(t.a, t.path[i], O_RDWR));
		if (lease[i])
			require(0, a_setlease(t.a, t.fd[i], EXCLUSIVE_LAYOUT));
		must(a_mmap(t.a, (uint64_t)t.addr + (uint64_t)i * EACH, EACH,
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, t.fd[i], 0));
	}
	must(v_open(t.a, 0));
	return t;
}

/* Pages acquired and not released, over the whole system. */
static long pins_out(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

CHECK(p2_two_leased_files, "P2,O1", STOCK_FAIL)
{
	struct two_files t = two_files(true, true);
	long before = pins_out();
	struct mr mr;

	require(0, v_reg(t.a, 0, (uint64_t)t.addr, 2 * EACH, REMOTE_RW, &mr));
	expect_value(before + 2 * (long)(EACH / PAGE), pins_out());
	expect(EBUSY, a_setlease(t.a, t.fd[0], F_LAYOUT | F_UNLCK));
	expect(EBUSY, a_setlease(t.a, t.fd[1], F_LAYOUT | F_UNLCK));
	expect(0, v_dereg(t.a, &mr));
	expect_value(before, pins_out());
	expect(0, a_setlease(t.a, t.fd[0], F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(t.a, t.fd[1], F_LAYOUT | F_UNLCK));
}

/* A failed registration leaves no page pinned, no record, and the lease free to go. */
static void nothing_left(struct two_files *t, long before, int leased)
{
	expect_value(before, pins_out());
	expect_pins(t->a, "");
	expect(0, a_setlease(t->a, t->fd[leased], F_LAYOUT | F_UNLCK));
}

CHECK(p2_lease_on_the_first_file_missing, "P2", STOCK_FAIL)
{
	struct two_files t = two_files(false, true);
	long before = pins_out();

	expect(EPERM, v_reg(t.a, 0, (uint64_t)t.addr, 2 * EACH, REMOTE_RW, NULL));
	nothing_left(&t, before, 1);
}

CHECK(p2_lease_on_the_last_file_missing, "P2", STOCK_FAIL)
{
	struct two_files t = two_files(true, false);
	long before = pins_out();

	expect(EPERM, v_reg(t.a, 0, (uint64_t)t.addr, 2 * EACH, REMOTE_RW, NULL));
	nothing_left(&t, before, 0);
}

CHECK(p2_one_file_through_two_descriptions, "P2,P1,O1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	long fd = must(a_open(s.holder, s.path, O_RDWR));

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	must(a_mmap(s.holder, (uint64_t)s.addr + s.size / 2, s.size / 2,
		    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, s.size / 2));
	scene_open_verbs(&s);
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	expect(0, a_setlease(s.holder, fd, EXCLUSIVE_LAYOUT));
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EBUSY, a_setlease(s.holder, fd, F_LAYOUT | F_UNLCK));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(s.holder, fd, F_LAYOUT | F_UNLCK));
}

CHECK(p2_registration_over_the_end_of_the_mapping, "P2", STOCK_FAIL)
{
	struct two_files t = two_files(true, true);
	long before = pins_out();

	must(a_munmap(t.a, t.addr + (long)EACH + (long)PAGE, EACH - PAGE));
	expect(EFAULT, v_reg(t.a, 0, (uint64_t)t.addr, 2 * EACH, REMOTE_RW, NULL));
	nothing_left(&t, before, 0);
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

/* ---- P3, P4 ---- */

CHECK(p3_after_the_release, "P3", STOCK_FAIL)
{
	struct scene s = scene_pinned();

	expect(0, v_dereg(s.holder, &s.mr));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, NULL));
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, NULL));
}

CHECK(p4_zombie_allows_no_pin, "P4", STOCK_FAIL)
{
	struct scene s = scene_zombie();
	long fd = must(a_open(s.holder, s.path, O_RDWR));
	long addr = must(a_mmap_shared(s.holder, fd, s.size));

	expect_value(F_UNLCK, a_getlease(s.holder, fd));
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)addr, s.size, REMOTE_RW, NULL));
	expect(EAGAIN, a_setlease(s.holder, fd, F_LAYOUT | F_UNLCK));
	/* A new lease on the new description is a lease of its own. */
	expect(0, a_setlease(s.holder, fd, EXCLUSIVE_LAYOUT));
	expect(0, v_reg(s.holder, 0, (uint64_t)addr, s.size, REMOTE_RW, NULL));
}

CHECK(p4_zombie_allows_no_pin_through_another_context, "P4", STOCK_FAIL)
{
	struct scene s = scene_zombie();
	long fd = must(a_open(s.holder, s.path, O_RDWR));
	long addr = must(a_mmap_shared(s.holder, fd, s.size));

	must(v_open(s.holder, 1));
	expect(EPERM, v_reg(s.holder, 1, (uint64_t)addr, s.size, REMOTE_RW, NULL));
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
