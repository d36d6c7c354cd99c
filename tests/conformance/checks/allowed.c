// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * T3, T5: what changes no block that the file has stays allowed, under lease and pins, and the
 * pinned memory stays the file's.
 *
 * ALLOWED() at the end makes two checks of each operation: by another process and by the holder
 * while the file is pinned, and with no lease at all.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>

#include "fs_ioctl.h"
#include "scene.h"

/* One operation on the file; 0 or more, or -errno. */
typedef long (*allowed_op)(struct actor *a, const char *path);

static void traffic_still_reaches_the_file(struct scene *s, struct actor *peer)
{
	must(v_open(peer, 0));
	v_connect(peer, 0, s->holder, 0);
	expect(0, v_write(peer, 0, &s->mr, 0, s->size, 77));
	expect(0, a_pread_check(s->holder, s->fd, 0, 2 * PAGE, 77));
	expect(0, a_pread_check(s->holder, s->fd, s->size - PAGE, PAGE, 77));
}

/* An operation that a file system does not have must fail the same way with and without lease. */
static int expected(allowed_op op)
{
	long ret = op(actor_start("prober"), make_file("probe", SCENE_SIZE));

	if (ret == -EOPNOTSUPP || ret == -ENOTTY)
		skip("%s does not have this operation", fs_name(check_dir()));
	return ret < 0 ? (int)-ret : 0;
}

/* Another process first, then the holder. */
static void allowed_under_pins(allowed_op op)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");

	expect_value(0, expected(op));
	expect(0, op(b, s.path));
	expect(0, op(s.holder, s.path));
	traffic_still_reaches_the_file(&s, b);
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
}

static void allowed_without_lease(allowed_op op)
{
	expect_value(0, expected(op));
}

/* ---- the operations ---- */

static long check_content(struct actor *a, long fd)
{
	return a_pread_check(a, fd, PAGE, 2 * PAGE, FILE_SEED);
}

static long op_read(struct actor *a, const char *path)
{
	return a_with_fd(a, path, O_RDONLY, check_content);
}

static long overwrite(struct actor *a, long fd)
{
	long n = a_pwrite(a, fd, PAGE, 2 * PAGE, 30);

	return n < 0 ? n : a_pread_check(a, fd, PAGE, 2 * PAGE, 30);
}

static long op_write_in_place(struct actor *a, const char *path)
{
	return a_with_fd(a, path, O_RDWR, overwrite);
}

static long op_direct_write_in_place(struct actor *a, const char *path)
{
	return a_with_fd(a, path, O_RDWR | O_SYNC, overwrite);
}

/* A hole behind the old end, then data into it. */
static long grow_and_fill(struct actor *a, long fd)
{
	long n = a_ftruncate(a, fd, 4 * SCENE_SIZE);

	if (n >= 0)
		n = a_pwrite(a, fd, 2 * SCENE_SIZE, 2 * PAGE, 31);
	return n < 0 ? n : a_pread_check(a, fd, 2 * SCENE_SIZE, 2 * PAGE, 31);
}

static long op_write_into_hole(struct actor *a, const char *path)
{
	return a_with_fd(a, path, O_RDWR, grow_and_fill);
}

static long append(struct actor *a, long fd)
{
	/* O_APPEND: the position does not matter. */
	return a_pwrite(a, fd, 0, 2 * PAGE, 32);
}

static long op_append(struct actor *a, const char *path)
{
	struct stat before, st;
	long n;

	if (stat(path, &before))
		return -errno;
	n = a_with_fd(a, path, O_WRONLY | O_APPEND, append);
	if (n < 0)
		return n;
	return !stat(path, &st) &&
			       (uint64_t)st.st_size == (uint64_t)before.st_size + 2 * PAGE
		       ? 0
		       : -EILSEQ;
}

static long op_truncate_up(struct actor *a, const char *path)
{
	return a_truncate(a, path, 8 * SCENE_SIZE + 1);
}

static long op_truncate_to_same_size(struct actor *a, const char *path)
{
	return a_truncate(a, path, SCENE_SIZE);
}

static long preallocate(struct actor *a, long fd)
{
	return a_fallocate(a, fd, 0, 0, 4 * SCENE_SIZE);
}

static long op_preallocate(struct actor *a, const char *path)
{
	return a_with_fd(a, path, O_RDWR, preallocate);
}

static long preallocate_keep_size(struct actor *a, long fd)
{
	return a_fallocate(a, fd, FALLOC_FL_KEEP_SIZE, SCENE_SIZE / 2, 4 * SCENE_SIZE);
}

static long op_preallocate_keep_size(struct actor *a, const char *path)
{
	return a_with_fd(a, path, O_RDWR, preallocate_keep_size);
}

static long unshare_range(struct actor *a, long fd)
{
	return a_fallocate(a, fd, FALLOC_FL_UNSHARE_RANGE, 0, SCENE_SIZE);
}

static long op_unshare_range(struct actor *a, const char *path)
{
	return a_with_fd(a, path, O_RDWR, unshare_range);
}

static long copy_between(struct actor *a, const char *from, const char *to)
{
	long src = a_open(a, from, O_RDONLY), dst = a_open(a, to, O_RDWR);
	long ret = src < 0 ? src : dst;

	if (ret >= 0)
		ret = SYS(a, SYS_copy_file_range, V(src), V(0), V(dst), V(0),
			  V(SCENE_SIZE), V(0));
	a_close(a, src);
	a_close(a, dst);
	return ret < 0 || ret == SCENE_SIZE ? ret : -EIO;
}

/* A name that no earlier call has used. */
static const char *fresh_name(void)
{
	static char name[16];
	static unsigned int n;

	snprintf(name, sizeof(name), "copy%u", n++);
	return name;
}

static long op_copy_file_range_from(struct actor *a, const char *path)
{
	const char *to = make_sparse_file(fresh_name(), 0);
	long ret = copy_between(a, path, to);

	if (ret < 0)
		return ret;
	return file_has_pattern(to, 0, SCENE_SIZE, FILE_SEED) ? 0 : -EILSEQ;
}

static long op_copy_file_range_to(struct actor *a, const char *path)
{
	return copy_between(a, make_file(fresh_name(), SCENE_SIZE), path);
}

static long op_rename(struct actor *a, const char *path)
{
	const char *to = in_dir("renamed");
	long ret = a_rename(a, path, to);

	return ret < 0 ? ret : a_rename(a, to, path);
}

static long op_unlink(struct actor *a, const char *path)
{
	return a_unlink(a, path);
}

static long op_link(struct actor *a, const char *path)
{
	const char *to = in_dir("link");
	long ret = a_link(a, path, to);

	return ret < 0 ? ret : a_unlink(a, to);
}

static long op_chmod(struct actor *a, const char *path)
{
	return a_chmod(a, path, 0600);
}

static long op_utimes(struct actor *a, const char *path)
{
	return SYS(a, SYS_utimensat, V(AT_FDCWD), STR(path), V(0), V(0));
}

static long map_and_write(struct actor *a, long fd)
{
	long addr = a_mmap_shared(a, fd, SCENE_SIZE);
	long ret = addr;

	if (addr >= 0)
		ret = a_mem_write(a, (uint64_t)addr, SCENE_SIZE, 33, 0);
	if (ret >= 0)
		ret = a_msync(a, addr, SCENE_SIZE);
	if (ret >= 0)
		ret = a_pread_check(a, fd, PAGE, 2 * PAGE, 33);
	if (addr >= 0)
		a_munmap(a, addr, SCENE_SIZE);
	return ret;
}

static long op_mmap(struct actor *a, const char *path)
{
	return a_with_fd(a, path, O_RDWR, map_and_write);
}

static long op_fsync(struct actor *a, const char *path)
{
	return a_with_fd(a, path, O_RDWR, a_fsync);
}

#define ALLOWED_WITHOUT(op)                              \
	CHECK(t5_##op##_without_lease, "T5", STOCK_PASS) \
	{                                                \
		allowed_without_lease(op_##op);          \
	}

#define ALLOWED(op)                                       \
	CHECK(t3_##op##_under_pins, "T3,P11", STOCK_FAIL) \
	{                                                 \
		allowed_under_pins(op_##op);              \
	}                                                 \
	ALLOWED_WITHOUT(op)

ALLOWED(read)
ALLOWED(write_in_place)
ALLOWED(direct_write_in_place)
ALLOWED(write_into_hole)
ALLOWED(append)
ALLOWED(truncate_up)
ALLOWED(truncate_to_same_size)
ALLOWED(preallocate)
ALLOWED(preallocate_keep_size)
ALLOWED(unshare_range)
ALLOWED(copy_file_range_from)
ALLOWED(copy_file_range_to)
ALLOWED(rename)
ALLOWED_WITHOUT(unlink)
ALLOWED(link)
ALLOWED(chmod)
ALLOWED(utimes)
ALLOWED(mmap)
ALLOWED(fsync)

/* One name each; the holder's is the last. */
CHECK(t3_unlink_under_pins, "T3,P11", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");
	const char *link = in_dir("link");

	must(a_link(b, s.path, link));
	expect(0, op_unlink(b, s.path));
	expect(0, op_unlink(s.holder, link));
	traffic_still_reaches_the_file(&s, b);
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(t3_copy_file_range_copies_instead_of_sharing, "T3", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B"), *peer = actor_start("peer");
	const char *copy = make_sparse_file(fresh_name(), 0);
	long shared;

	expect(0, copy_between(b, s.path, copy));
	expect(0, copy_between(b, make_file("from", SCENE_SIZE), s.path));
	shared = file_shared_extents(s.path);
	expect_value(0, shared);
	traffic_still_reaches_the_file(&s, peer);
	/* What arrives later in the pinned file must not arrive in the copy. */
	expect_true(file_has_pattern(copy, 0, SCENE_SIZE, FILE_SEED), "the copy changed");
}

CHECK(t3_freeing_blocks_beyond_the_end, "T3", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");
	struct stat st;
	long fd;

	must(a_fallocate(s.holder, s.fd, FALLOC_FL_KEEP_SIZE, SCENE_SIZE, MiB(1)));
	/* Same size: on XFS this frees what was preallocated behind the end. */
	expect(0, a_truncate(b, s.path, SCENE_SIZE));
	fd = must(a_open(b, s.path, O_RDWR));
	expect(0, a_fallocate(b, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      2 * SCENE_SIZE, MiB(1)));
	expect_true(!stat(s.path, &st) && st.st_size == SCENE_SIZE, "the size changed");
	traffic_still_reaches_the_file(&s, actor_start("peer"));
}

CHECK(t3_rename_over_and_recreate, "T3,T7", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");
	const char *other = make_file("other", SCENE_SIZE);

	expect(0, a_rename(b, other, s.path));
	traffic_still_reaches_the_file(&s, actor_start("peer"));
	/* The name stands for another file now, which nothing leases. */
	expect_true(file_has_pattern(s.path, 0, SCENE_SIZE, FILE_SEED),
		    "data for the renamed-over file arrived in the new one");
	expect(0, a_truncate(b, s.path, 0));
}

/* ---- ext4: from extents to block pointers and back, the blocks stay ---- */

/* Few enough for the pointers in the inode, which is all that the way back can do. */
#define MIGRATE_SIZE KiB(32)

static void migrate_there_and_back(struct actor *b, const char *path)
{
	long fd = must(a_open(b, path, O_RDWR));
	int flags = 0;

	must(SYS(b, SYS_ioctl, V(fd), V(FS_IOC_GETFLAGS), OUT(&flags, sizeof(flags))));
	expect_true(flags & FS_EXTENT_FL, "the file has no extents");
	flags &= ~FS_EXTENT_FL;
	expect(0,
	       SYS(b, SYS_ioctl, V(fd), V(FS_IOC_SETFLAGS), IN(&flags, sizeof(flags))));
	expect(0, a_ioctl_fd(b, fd, EXT4_IOC_MIGRATE, 0));
	must(SYS(b, SYS_ioctl, V(fd), V(FS_IOC_GETFLAGS), OUT(&flags, sizeof(flags))));
	expect_true(flags & FS_EXTENT_FL, "the file has not got its extents back");
}

static void ext4_only(void)
{
	if (strcmp(fs_name(check_dir()), "ext4"))
		skip("MIGRATE is an operation of ext4");
}

CHECK(t3_ext4_migrate_by_another_process, "T3", STOCK_FAIL)
{
	struct actor *holder = actor_start("holder"), *peer = actor_start("peer");
	struct scene s;

	ext4_only();
	s = scene_pinned_by(holder, make_file("f", MIGRATE_SIZE), MIGRATE_SIZE);
	migrate_there_and_back(peer, s.path);
	traffic_still_reaches_the_file(&s, peer);
}

CHECK(t5_ext4_migrate_without_lease, "T5", STOCK_PASS)
{
	const char *path = make_file("f", MIGRATE_SIZE);

	ext4_only();
	migrate_there_and_back(actor_start("B"), path);
	expect_true(file_has_pattern(path, 0, MIGRATE_SIZE, FILE_SEED),
		    "the content changed");
}

/* XFS without DAX has the same functions: its blocks can be shared, within a file too, and no more. */
CHECK(t5_blocks_shared_without_dax, "T5", STOCK_PASS)
{
	struct actor *a = actor_start("A");
	struct file_clone_range r = { .src_length = 2 * PAGE, .dest_offset = 2 * PAGE };
	char path[128];
	long fd;

	if (access("/mnt/xfs-plain", F_OK) || strcmp(fs_name("/mnt/xfs-plain"), "xfs"))
		skip("no XFS without DAX at /mnt/xfs-plain");
	snprintf(path, sizeof(path), "/mnt/xfs-plain/conformance-%d", getpid());
	fd = must(a_open(a, path, O_RDWR | O_CREAT | O_EXCL));
	must(a_pwrite(a, fd, 0, 2 * PAGE, FILE_SEED));
	must(a_pwrite(a, fd, 2 * PAGE, 2 * PAGE, 7));
	r.src_fd = fd;
	expect(0, SYS(a, SYS_ioctl, V(fd), V(FICLONERANGE), IN(&r, sizeof(r))));
	must(a_pwrite(a, fd, 0, PAGE, 8));
	expect(0, a_fallocate(a, fd, FALLOC_FL_UNSHARE_RANGE, 0, 4 * PAGE));
	must(a_pwrite(a, fd, PAGE, PAGE, 9));
	expect(0, a_pread_check(a, fd, 0, PAGE, 8));
	expect(0, a_pread_check(a, fd, PAGE, PAGE, 9));
	expect_true(file_has_content_at(path, 2 * PAGE, 2 * PAGE, FILE_SEED, 0),
		    "what was shared is not there");
	must(a_unlink(a, path));
}
