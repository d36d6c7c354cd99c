// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* C1–C4, T6, T7: close and munmap under pins, the zombie lease and its end. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

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

CHECK(c1_descriptors_close_in_any_order, "C1,O5", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct scene t = scene_pinned_by(actor_start("other"), s.path, s.size);
	struct actor *c = actor_start("C");

	/* Data first and uverbs last; then the other way. */
	expect(0, a_close(s.holder, s.fd));
	expect(0, v_close_fd(s.holder, 0));
	expect(0, v_close_fd(t.holder, 0));
	expect(0, a_close(t.holder, t.fd));
	/* The mappings keep the descriptions and so the leases. */
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	expect(0, a_munmap(s.holder, s.addr, s.size));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	expect(0, a_munmap(t.holder, t.addr, t.size));
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(c1_exit_with_everything_open, "C1,O5,T6", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *c = actor_start("C");

	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	actor_exit(s.holder);
	eventually(a_truncate(c, s.path, PAGE));
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

CHECK(c2_mremap_and_remapped_range, "C2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B"), *peer = actor_start("peer");

	/* Other memory at the address of the MR: the device still reaches the file. */
	must(a_mmap(s.holder, (uint64_t)s.addr, s.size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 12));
	expect_true(file_has_pattern(s.path, 0, s.size, 12),
		    "remote data is not in the file");
	expect(EILSEQ, a_mem_check(s.holder, (uint64_t)s.addr, s.size, 12, 0));
}

CHECK(c3_zombie_ends_with_its_last_pin, "C3,C4,T6", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");
	struct mr second;

	must(v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, &second));
	scene_unmap_and_close(&s);
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(0, v_dereg(s.holder, &second));
	expect_pins(s.holder, "");
	eventually(a_truncate(b, s.path, PAGE));
}

CHECK(c3_zombie_ends_with_the_context, "C3,C4,T6", STOCK_FAIL)
{
	struct scene s = scene_zombie();
	struct actor *b = actor_start("B");

	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(0, v_close_fd(s.holder, 0));
	eventually(a_truncate(b, s.path, PAGE));
}

CHECK(c4_dereg_after_close_and_munmap, "C4,T6", STOCK_FAIL)
{
	struct scene s = scene_zombie();

	expect(EDEADLK, a_truncate(s.holder, s.path, PAGE));
	expect(0, v_dereg(s.holder, &s.mr));
	/* At once in the process that dropped the last reference. */
	expect(0, a_truncate(s.holder, s.path, PAGE));
}

CHECK(c3_two_zombies, "C3,L5", STOCK_FAIL)
{
	struct scene s = scene_zombie();
	struct scene t = scene_pinned_by(actor_start("other"), s.path, s.size);
	struct actor *b = actor_start("B");

	scene_unmap_and_close(&t);
	expect(ETXTBSY, a_truncate(s.holder, s.path, PAGE));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(ETXTBSY, a_truncate(s.holder, s.path, PAGE));
	expect(EDEADLK, a_truncate(t.holder, t.path, PAGE));
	expect(0, v_dereg(t.holder, &t.mr));
	eventually(a_truncate(b, s.path, PAGE));
}

/* ---- T7: blocks under pins ---- */

#define BIG MiB(16)
/* Other activity of the file system moves the count by less than this. */
#define SLACK MiB(2)

static struct scene unlinked_zombie(void)
{
	struct scene s =
		scene_pinned_by(actor_start("holder"), make_file("big", BIG), BIG);

	must(a_unlink(s.holder, s.path));
	scene_unmap_and_close(&s);
	return s;
}

CHECK(t7_unlink_keeps_pinned_blocks, "T7,C3", STOCK_FAIL)
{
	struct scene s = unlinked_zombie();
	struct actor *b = actor_start("B");
	uint64_t before = fs_free_settled(check_dir());
	struct deadline by;

	must(SYS(b, SYS_sync, V(0)));
	expect_true(fs_free(check_dir()) < before + SLACK,
		    "blocks were freed under the pins");
	expect(0, v_dereg(s.holder, &s.mr));
	by = deadline_in(2000);
	while (fs_free(check_dir()) < before + BIG - SLACK && deadline_wait(&by))
		;
	expect_true(fs_free(check_dir()) >= before + BIG - SLACK,
		    "within 2 s after the last pin: %lu of %lu KiB are free again",
		    (unsigned long)((fs_free(check_dir()) - before) >> 10),
		    (unsigned long)(BIG >> 10));
}

CHECK(t7_freed_name_new_file_other_blocks, "T7", STOCK_FAIL)
{
	struct scene s = unlinked_zombie();
	struct actor *peer = actor_start("peer");
	const char *next = make_file("next", 2 * BIG);

	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	expect(0, v_read_check(peer, 0, &s.mr, 0, KiB(64), FILE_SEED));
	expect(0, v_write(peer, 0, &s.mr, 0, KiB(64), 13));
	expect(0, v_write(peer, 0, &s.mr, BIG - KiB(64), KiB(64), 13));
	must(file_write("/proc/sys/vm/drop_caches", "3"));
	expect(0, v_read_check(peer, 0, &s.mr, BIG - KiB(64), KiB(64), 13));
	expect_true(file_has_pattern(next, 0, 2 * BIG, FILE_SEED),
		    "a new file got blocks that the MR writes to");
}

CHECK(t7_drop_caches_leaves_a_zombie_alone, "T7,C3", STOCK_FAIL)
{
	struct scene s = scene_zombie();
	struct actor *b = actor_start("B");

	must(file_write("/proc/sys/vm/drop_caches", "3"));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect_true(file_has_pattern(s.path, 0, s.size, FILE_SEED),
		    "the content is gone");
}

/*
 * A bind mount of the check's directory in a mount namespace of the actor: its descriptions count
 * as users of that mount alone, and it goes away with the process.
 */
static const char *bind_mount(struct actor *a)
{
	const char *at = in_dir("mnt");

	must(SYS(a, SYS_mkdir, STR(at), V(0755)));
	must(SYS(a, SYS_unshare, V(CLONE_NEWNS)));
	must(SYS(a, SYS_mount, STR("none"), STR("/"), V(0), V(MS_REC | MS_PRIVATE),
		 V(0)));
	must(SYS(a, SYS_mkdir, STR(in_dir("inner")), V(0755)));
	must(SYS(a, SYS_mount, STR(in_dir("inner")), STR(at), V(0), V(MS_BIND), V(0)));
	return at;
}

static struct scene zombie_on(struct actor *a, const char *mount)
{
	struct scene s;
	char path[512];

	make_file("inner/f", SCENE_SIZE);
	snprintf(path, sizeof(path), "%s/f", mount);
	s = scene_pinned_by(a, path, SCENE_SIZE);
	expect(EBUSY, SYS(a, SYS_umount2, STR(mount), V(0)));
	scene_unmap_and_close(&s);
	s.path = in_dir("inner/f");
	return s;
}

CHECK(t7_umount_is_busy_while_pinned, "T7", STOCK_FAIL)
{
	struct actor *a = actor_start("A");
	const char *mount = bind_mount(a);
	struct scene s = zombie_on(a, mount);

	expect(EBUSY, SYS(a, SYS_umount2, STR(mount), V(0)));
	expect(0, v_dereg(a, &s.mr));
	expect(0, SYS(a, SYS_umount2, STR(mount), V(0)));
}

CHECK(t7_lazy_umount_is_safe, "T7", STOCK_FAIL)
{
	struct actor *a = actor_start("A"), *b = actor_start("B"),
		     *peer = actor_start("peer");
	const char *mount = bind_mount(a);
	struct scene s = zombie_on(a, mount);

	must(v_open(peer, 0));
	v_connect(peer, 0, a, 0);
	expect(0, SYS(a, SYS_umount2, STR(mount), V(MNT_DETACH)));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 14));
	expect_true(file_has_pattern(s.path, 0, s.size, 14),
		    "remote data is not in the file");
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(0, v_dereg(a, &s.mr));
	eventually(a_truncate(b, s.path, PAGE));
}

CHECK(t7_remount_read_only_is_busy_while_pinned, "T7", STOCK_FAIL)
{
	struct actor *a = actor_start("A");
	const char *mount = bind_mount(a);
	struct scene s = zombie_on(a, mount);

	/* The device would go on writing into a mount that allows no writing. */
	expect(EBUSY, SYS(a, SYS_mount, STR("none"), STR(mount), V(0),
			  V(MS_REMOUNT | MS_BIND | MS_RDONLY), V(0)));
	expect(0, v_dereg(a, &s.mr));
	expect(0, SYS(a, SYS_mount, STR("none"), STR(mount), V(0),
		      V(MS_REMOUNT | MS_BIND | MS_RDONLY), V(0)));
}
