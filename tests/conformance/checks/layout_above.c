// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* T1: layout changes that reach the file from a layer above: overlayfs, a loop device. */
#include <errno.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "layout.h"

const char *overlay(struct actor *a, const char *file, const char *options)
{
	static const char *const part[] = { "lower", "upper", "work", "merged" };
	char all[1600];
	unsigned int i;

	for (i = 0; i < 4; i++)
		must(SYS(a, SYS_mkdir, STR(in_dir(part[i])), V(0755)));
	snprintf(all, sizeof(all), "lowerdir=%s,upperdir=%s,workdir=%s%s",
		 in_dir("lower"), in_dir("upper"), in_dir("work"), options);
	must(SYS(a, SYS_unshare, V(CLONE_NEWNS)));
	must(SYS(a, SYS_mount, STR("none"), STR("/"), V(0), V(MS_REC | MS_PRIVATE),
		 V(0)));
	make_file(file, SCENE_SIZE);
	must(SYS(a, SYS_mount, STR("overlay"), STR(in_dir("merged")), STR("overlay"),
		 V(0), STR(all)));
	return in_dir("merged/f");
}

static void overlay_step(bool leased)
{
	struct actor *a = actor_start("above"), *holder = actor_start("holder");
	const char *above = overlay(a, "upper/f", ""), *path = in_dir("upper/f");
	struct file_state before;
	long fd;

	if (leased)
		scene_pinned_by(holder, path, SCENE_SIZE);
	file_state(path, &before);
	if (leased) {
		expect(ETXTBSY, a_truncate(a, above, PAGE));
		expect(ETXTBSY, a_open(a, above, O_WRONLY | O_TRUNC));
		fd = must(a_open(a, above, O_RDWR));
		expect(ETXTBSY, a_ftruncate(a, fd, PAGE));
		expect(ETXTBSY,
		       a_fallocate(a, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				   PAGE));
		expect_unchanged(path, &before, "overlayfs");
	} else {
		expect(0, a_truncate(a, above, PAGE));
	}
}

CHECK(t1_through_overlayfs, "T1", STOCK_FAIL)
{
	overlay_step(true);
}

CHECK(t5_through_overlayfs_without_lease, "T5", STOCK_PASS)
{
	overlay_step(false);
}

/*
 * To copy the lower file up would part those who come through the overlay from the holder, and share its
 * blocks where the file system can. Only metadata may go.
 */
CHECK(t1_overlayfs_copy_up, "T1,T2,T6", STOCK_FAIL)
{
	struct actor *a = actor_start("above"), *holder = actor_start("holder");
	const char *above = overlay(a, "lower/f", ",metacopy=on"),
		   *path = in_dir("lower/f");
	struct file_state before;
	long fd;

	scene_pinned_by(holder, path, SCENE_SIZE);
	file_state(path, &before);
	expect(ETXTBSY, a_open(a, above, O_RDWR));
	expect(ETXTBSY, a_open(a, above, O_WRONLY | O_TRUNC));
	expect(ETXTBSY, a_truncate(a, above, PAGE));
	expect_true(access(in_dir("upper/f"), F_OK), "something has been copied");
	must(a_close(a, must(a_open(a, above, O_RDONLY))));
	expect(0, a_chmod(a, above, 0640));
	expect(ETXTBSY, a_open(a, above, O_RDWR));
	expect_unchanged(path, &before, "overlayfs");

	actor_kill(holder);
	fd = must(a_open(a, path, O_RDWR));
	eventually(a_setlease(a, fd, F_LAYOUT | F_EXCLUSIVE));
	expect(EDEADLK, a_open(a, above, O_RDWR));
	must(a_setlease(a, fd, F_LAYOUT | F_UNLCK));
	must(a_open(a, above, O_RDWR));
}

/* An overlay over an overlay: the lease is two layers down. */
CHECK(t1_copy_up_from_an_overlay, "T1", STOCK_FAIL)
{
	struct actor *a = actor_start("above"), *holder = actor_start("holder");
	const char *below = overlay(a, "lower/f", ""), *path = in_dir("lower/f");
	char all[1200];

	must(SYS(a, SYS_mkdir, STR(in_dir("upper2")), V(0755)));
	must(SYS(a, SYS_mkdir, STR(in_dir("work2")), V(0755)));
	must(SYS(a, SYS_mkdir, STR(in_dir("top")), V(0755)));
	snprintf(all, sizeof(all), "lowerdir=%s,upperdir=%s,workdir=%s", in_dir("merged"),
		 in_dir("upper2"), in_dir("work2"));
	must(SYS(a, SYS_mount, STR("overlay"), STR(in_dir("top")), STR("overlay"), V(0),
		 STR(all)));
	scene_pinned_by(holder, path, SCENE_SIZE);
	expect(ETXTBSY, a_open(a, in_dir("top/f"), O_RDWR));
	expect(ETXTBSY, a_truncate(a, in_dir("top/f"), PAGE));
	expect(ETXTBSY, a_open(a, below, O_RDWR));
	expect_true(access(in_dir("upper2/f"), F_OK), "something has been copied");
	actor_kill(holder);
	eventually(a_truncate(a, in_dir("top/f"), PAGE));
}

CHECK(l2_file_of_overlayfs, "L2,P1", STOCK_FAIL)
{
	struct actor *a = actor_start("A");
	const char *above = overlay(a, "upper/f", "");
	long fd = must(a_open(a, above, O_RDWR)), addr, real;
	struct mr mr;

	expect(EOPNOTSUPP, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	expect(EOPNOTSUPP, a_setlease(a, fd, F_LAYOUT));
	/* A mapping of it is one of the file below, but of another description. */
	addr = must(a_mmap_shared(a, fd, SCENE_SIZE));
	real = must(a_open(a, in_dir("upper/f"), O_RDWR));
	must(a_setlease(a, real, EXCLUSIVE_LAYOUT));
	must(v_open(a, 0));
	expect(EPERM, v_reg(a, 0, (uint64_t)addr, SCENE_SIZE, REMOTE_RW, &mr));
}

/* In the actor: a loop device over the file, all of it discarded; the discard's result. */
static long loop_discard(void *buf, size_t size)
{
	int fd = open(buf, O_RDWR | O_CLOEXEC);
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	uint64_t range[2] = { 0, SCENE_SIZE };
	char device[32];
	long ret = 0;
	int n, loop;

	(void)size;
	if (fd < 0 || control < 0)
		return -ENODEV;
	n = ioctl(control, LOOP_CTL_GET_FREE);
	snprintf(device, sizeof(device), "/dev/loop%d", n);
	loop = open(device, O_RDWR | O_CLOEXEC);
	if (n < 0 || loop < 0 || ioctl(loop, LOOP_SET_FD, fd))
		return -ENODEV;
	if (ioctl(loop, BLKDISCARD, range))
		ret = -errno;
	ioctl(loop, LOOP_CLR_FD, 0);
	close(loop);
	close(control);
	close(fd);
	return ret;
}

static long discard(struct actor *a, const char *path)
{
	char buf[512];
	long ret;

	snprintf(buf, sizeof(buf), "%s", path);
	ret = actor_call(a, loop_discard, buf, sizeof(buf));
	if (ret == -ENODEV)
		skip("no loop device");
	return ret;
}

CHECK(t1_loop_device_discard, "T1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");
	struct file_state before;
	long ret;

	file_state(s.path, &before);
	ret = discard(b, s.path);
	/* The block layer has its own errno for what a device refuses. */
	expect_true(ret < 0, "the discard of a pinned file succeeded");
	expect_unchanged(s.path, &before, "discard");
}

CHECK(t5_loop_device_discard_without_lease, "T5", STOCK_PASS)
{
	const char *path = make_file("f", SCENE_SIZE);

	expect(0, discard(actor_start("B"), path));
	expect_true(!file_has_pattern(path, 0, PAGE, FILE_SEED), "nothing was discarded");
}
