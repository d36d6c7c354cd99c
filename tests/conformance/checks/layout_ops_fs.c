// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Layout changes that only one file system has: what defragmenters use. */
#include <errno.h>
#include <linux/ioctl.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "layout.h"

static void unchanged(struct image *img)
{
	(void)img;
}

/* ---- ext4 ---- */

/* From fs/ext4/ext4.h, which is not exported. */
struct move_extent {
	uint32_t reserved;
	uint32_t donor_fd;
	uint64_t orig_start, donor_start, len, moved_len; /* blocks */
};

#define EXT4_IOC_MOVE_EXT  _IOWR('f', 15, struct move_extent)
#define EXT4_IOC_SWAP_BOOT _IO('f', 17)

static long move_extents(struct actor *a, const char *original, const char *donor)
{
	long fd = a_open(a, original, O_RDWR), donor_fd = a_open(a, donor, O_RDWR);
	struct move_extent m = { .donor_fd = (uint32_t)donor_fd,
				 .orig_start = 1,
				 .donor_start = 1,
				 .len = 2 };
	long ret = fd < 0 ? fd : donor_fd;

	if (ret >= 0)
		ret = SYS(a, SYS_ioctl, V(fd), V(EXT4_IOC_MOVE_EXT),
			  INOUT(&m, sizeof(m)));
	a_close(a, fd);
	a_close(a, donor_fd);
	return ret;
}

static long move_extents_original_run(struct actor *a, const char *path,
				      const char *other)
{
	return move_extents(a, path, other);
}

const struct layout_op op_move_extents_original = { "MOVE_EXT, as original",
						    move_extents_original_run,
						    unchanged };

static long move_extents_donor_run(struct actor *a, const char *path, const char *other)
{
	return move_extents(a, other, path);
}

const struct layout_op op_move_extents_donor = { "MOVE_EXT, as donor",
						 move_extents_donor_run, unchanged };

static long swap_boot_run(struct actor *a, const char *path, const char *other)
{
	long fd = a_open(a, path, O_RDWR);
	long ret = fd < 0 ? fd : a_ioctl_fd(a, fd, EXT4_IOC_SWAP_BOOT, 0);

	(void)other;
	a_close(a, fd);
	return ret;
}

const struct layout_op op_swap_boot = { "SWAP_BOOT", swap_boot_run, unchanged };

/* ---- XFS ---- */

/* From xfs_fs.h, which is not always installed. */
struct bstime {
	long tv_sec;
	int32_t tv_nsec;
};

struct bstat {
	uint64_t ino;
	uint16_t mode, nlink;
	uint32_t uid, gid, rdev;
	int32_t blksize;
	int64_t size;
	struct bstime atime, mtime, ctime;
	int64_t blocks;
	uint32_t xflags;
	int32_t extsize, extents;
	uint32_t gen;
	uint16_t projid_lo, forkoff, projid_hi, sick, checked;
	unsigned char pad[2];
	uint32_t cowextsize, dmevmask;
	uint16_t dmstate, aextents;
};

struct bulkreq {
	uint64_t *lastip;
	int32_t icount;
	void *ubuffer;
	int32_t *ocount;
};

struct swapext {
	int64_t version, fdtarget, fdtmp, offset, length;
	char pad[16];
	struct bstat stat;
};

#define XFS_IOC_FSBULKSTAT_SINGLE _IOWR('X', 102, struct bulkreq)
#define XFS_IOC_SWAPEXT           _IOWR('X', 109, struct swapext)

struct swap_step {
	char target[512], donor[512];
};

/* In the actor: the ioctl insists on the target's times, read just before. */
static long swap(void *buf, size_t size)
{
	const struct swap_step *s = buf;
	int target = open(s->target, O_RDWR | O_CLOEXEC),
	    donor = open(s->donor, O_RDWR | O_CLOEXEC);
	struct swapext x = { .fdtarget = target, .fdtmp = donor };
	struct bulkreq req = { .icount = 1, .ubuffer = &x.stat };
	struct stat st;
	long ret = 0;

	(void)size;
	if (target < 0 || donor < 0 || fstat(target, &st))
		return -errno;
	req.lastip = (uint64_t *)&st.st_ino;
	if (ioctl(target, XFS_IOC_FSBULKSTAT_SINGLE, &req))
		ret = -errno;
	x.length = x.stat.size;
	if (!ret && ioctl(target, XFS_IOC_SWAPEXT, &x))
		ret = -errno;
	close(target);
	close(donor);
	return ret;
}

static long swap_extents(struct actor *a, const char *target, const char *donor)
{
	struct swap_step s;

	snprintf(s.target, sizeof(s.target), "%s", target);
	snprintf(s.donor, sizeof(s.donor), "%s", donor);
	return actor_call(a, swap, &s, sizeof(s));
}

static long swap_extents_target_run(struct actor *a, const char *path, const char *other)
{
	return swap_extents(a, path, other);
}

const struct layout_op op_swap_extents_target = { "SWAPEXT, as target",
						  swap_extents_target_run, unchanged };

static long swap_extents_donor_run(struct actor *a, const char *path, const char *other)
{
	return swap_extents(a, other, path);
}

const struct layout_op op_swap_extents_donor = { "SWAPEXT, as donor",
						 swap_extents_donor_run, unchanged };
