// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * T1, T2, T5, T6, C2: every layout change, with and without leases and pins in its way.
 *
 * LAYOUT_CHANGE() at the end makes the same three checks of each operation of layout_ops.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "layout.h"

static bool refuses_always(long ret)
{
	return ret == -EOPNOTSUPP || ret == -ENOTTY;
}

/*
 * The errno that an operation must fail with: want, or what the file system says about this
 * operation on every DAX file.  That is found out on two files without leases.
 */
static int refusal(const struct layout_op *op, int want)
{
	long ret = op->run(actor_start("prober"), make_file("probe", SCENE_SIZE),
			   make_file("probe-other", SCENE_SIZE));

	return refuses_always(ret) ? (int)-ret : want;
}

static void expect_refused(const struct layout_op *op, struct actor *by, const char *path,
			   const char *other, int want)
{
	struct file_state before;
	char step[128];
	long ret;

	file_set_capability(path);
	file_state(path, &before);
	ret = op->run(by, path, other);
	snprintf(step, sizeof(step), "%s by %s", op->name, by->name);
	expect_result(__FILE__, __LINE__, step, want, ret);
	expect_unchanged(path, &before, step);
}

static const char *other_file(void)
{
	return make_file("other", SCENE_SIZE);
}

/*
 * Under a lease, then with pages pinned, then under the leases of two processes, then with the pins
 * gone again: others are refused, the holder too, and the release is enough for it to succeed.
 */
static void refused_under_pins(const struct layout_op *op)
{
	struct scene s = scene_mapped();
	const char *other = other_file();
	struct actor *b = actor_start("another process");
	long fd = must(a_open(b, s.path, O_RDWR));
	int foreign = refusal(op, ETXTBSY);
	int own = foreign == ETXTBSY ? EDEADLK : foreign;

	expect_refused(op, b, s.path, other, foreign);
	expect_refused(op, s.holder, s.path, other, own);
	scene_pin(&s);
	expect_refused(op, b, s.path, other, foreign);
	expect_refused(op, s.holder, s.path, other, own);
	must(a_setlease(b, fd, EXCLUSIVE_LAYOUT));
	expect_refused(op, s.holder, s.path, other, foreign);
	expect_refused(op, b, s.path, other, foreign);
	must(a_setlease(b, fd, F_LAYOUT | F_UNLCK));
	must(v_dereg(s.holder, &s.mr));
	expect_refused(op, b, s.path, other, foreign);
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	/* Unmap: a mapping does not hinder the operation, only its content would be odd. */
	must(a_munmap(s.holder, s.addr, s.size));
	expect(foreign == ETXTBSY ? 0 : foreign, op->run(b, s.path, other));
}

/* Once the lease is a zombie; after it the holder itself succeeds at once. */
static void refused_after_close(const struct layout_op *op)
{
	struct scene s = scene_zombie();
	const char *other = other_file();
	struct actor *b = actor_start("another process");
	int foreign = refusal(op, ETXTBSY);
	int own = foreign == ETXTBSY ? EDEADLK : foreign;

	expect_refused(op, b, s.path, other, foreign);
	expect_refused(op, s.holder, s.path, other, own);
	must(v_dereg(s.holder, &s.mr));
	expect(own == EDEADLK ? 0 : own, op->run(s.holder, s.path, other));
}

static void image_of_new_file(struct image *img)
{
	memset(img, 0, sizeof(*img));
	img->size = SCENE_SIZE;
	pattern_fill(img->byte, SCENE_SIZE, FILE_SEED, 0);
}

static bool file_is_image(const char *path, const struct image *img)
{
	static unsigned char buf[sizeof(img->byte) + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)img->size && !memcmp(buf, img->byte, img->size);
}

static void as_on_stock(const struct layout_op *op)
{
	struct actor *a = actor_start("A");
	const char *path = make_file("f", SCENE_SIZE), *other = other_file();
	static struct image img;
	struct file_state before, after;
	long ret;

	file_set_capability(path);
	file_state(path, &before);
	ret = op->run(a, path, other);
	image_of_new_file(&img);
	if (refuses_always(ret)) {
		expect_unchanged(path, &before, op->name);
		return;
	}
	expect_result(__FILE__, __LINE__, op->name, 0, ret);
	op->effect(&img);
	expect_true(file_is_image(path, &img), "%s: the content is not what it should be",
		    op->name);
	file_state(path, &after);
	if (img.size != (uint64_t)before.st.st_size)
		expect_true(before.st.st_mtim.tv_sec != after.st.st_mtim.tv_sec ||
				    before.st.st_mtim.tv_nsec != after.st.st_mtim.tv_nsec,
			    "%s: mtime did not change", op->name);
}

#define LAYOUT_CHANGE_REFUSED(op)                                             \
	CHECK(t1_##op##_under_pins, "T1,T2,T4,T6", STOCK_FAIL)                \
	{                                                                     \
		refused_under_pins(&op_##op);                                 \
	}                                                                     \
	CHECK(t1_##op##_after_munmap_and_close, "T1,T2,C2,C3,T6", STOCK_FAIL) \
	{                                                                     \
		refused_after_close(&op_##op);                                \
	}

#define LAYOUT_CHANGE(op)                                \
	LAYOUT_CHANGE_REFUSED(op)                        \
	CHECK(t5_##op##_without_lease, "T5", STOCK_PASS) \
	{                                                \
		as_on_stock(&op_##op);                   \
	}

LAYOUT_CHANGE(truncate)
LAYOUT_CHANGE(truncate_to_zero)
LAYOUT_CHANGE(ftruncate)
LAYOUT_CHANGE(open_truncate)
LAYOUT_CHANGE(punch_hole)
LAYOUT_CHANGE(zero_range)
LAYOUT_CHANGE(zero_range_keep_size)
LAYOUT_CHANGE(collapse_range)
LAYOUT_CHANGE(insert_range)
LAYOUT_CHANGE(madvise_remove)
LAYOUT_CHANGE(uring_ftruncate)
LAYOUT_CHANGE(uring_fallocate)
LAYOUT_CHANGE(clone_from)
LAYOUT_CHANGE(clone_to)
LAYOUT_CHANGE(clone_range_from)
LAYOUT_CHANGE(clone_range_to)
LAYOUT_CHANGE(clone_within)
LAYOUT_CHANGE(dedupe_from)
LAYOUT_CHANGE(dedupe_to)
LAYOUT_CHANGE(move_extents_original)
LAYOUT_CHANGE(move_extents_donor)
LAYOUT_CHANGE(swap_extents_target)
LAYOUT_CHANGE(swap_extents_donor)

/* On the stock kernel it corrupts DAX files even without leases, so there is no T5 to it. */
LAYOUT_CHANGE_REFUSED(swap_boot)

CHECK(t2_leases_over_both_files, "T2", STOCK_FAIL)
{
	struct scene s = scene_leased();
	const char *other = other_file();
	struct actor *b = actor_start("B");
	long fd = must(a_open(s.holder, other, O_RDWR));
	long bfd = must(a_open(b, other, O_RDWR));

	if (refusal(&op_clone_from, EDEADLK) != EDEADLK)
		skip("file system without reflink: no operation over two files");
	must(a_setlease(s.holder, fd, EXCLUSIVE_LAYOUT));
	expect_refused(&op_clone_from, s.holder, s.path, other, EDEADLK);
	must(a_setlease(b, bfd, EXCLUSIVE_LAYOUT));
	expect_refused(&op_clone_from, s.holder, s.path, other, ETXTBSY);
	must(a_setlease(s.holder, fd, F_LAYOUT | F_UNLCK));
	expect_refused(&op_clone_from, s.holder, s.path, other, ETXTBSY);
}

CHECK(t1_security_capability_stays, "T1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");

	if (!file_set_capability(s.path))
		skip("%s without security attributes (CONFIG_EXT4_FS_SECURITY)",
		     fs_name(s.path));
	expect_refused(&op_truncate, b, s.path, NULL, ETXTBSY);
	expect_refused(&op_punch_hole, b, s.path, NULL, ETXTBSY);
	expect_refused(&op_open_truncate, b, s.path, NULL, ETXTBSY);
	/* What the refused ones must not do is what the successful one does. */
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	must(a_truncate(b, s.path, PAGE));
	expect(ENODATA,
	       SYS(b, SYS_getxattr, STR(s.path), STR("security.capability"), V(0), V(0)));
}

/* T1 says nothing of who asks: root and the file's owner are refused alike. */
CHECK(t1_refused_for_the_owner_too, "T1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *user = actor_start("user");

	must(a_chown(s.holder, s.path, NOBODY));
	must(a_become(user, NOBODY, 0));
	expect_refused(&op_truncate, user, s.path, NULL, ETXTBSY);
}

CHECK(t1_refused_to_an_unrelated_program, "T1,T2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start_exec("B");

	expect_refused(&op_truncate, b, s.path, NULL, ETXTBSY);
	expect_refused(&op_punch_hole, b, s.path, NULL, ETXTBSY);
}

CHECK(t1_permission_comes_first, "T1,T5", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *user = actor_start("user");

	must(a_become(user, NOBODY, 0));
	expect(EACCES, a_truncate(user, s.path, 0));
}

CHECK(t1_set_user_id_file_keeps_its_mode, "T1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *user = actor_start("user");

	must(a_chmod(s.holder, s.path, 06777));
	must(a_become(user, NOBODY, 0));
	expect_refused(&op_truncate, user, s.path, NULL, ETXTBSY);
	expect_refused(&op_punch_hole, user, s.path, NULL, ETXTBSY);
	expect_refused(&op_open_truncate, user, s.path, NULL, ETXTBSY);
}
