// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_ioctl.h"

static uint64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
}

/* ---- ext4: from fs/ext4/ext4.h, which is not exported ---- */

struct move_extent {
	uint32_t reserved;
	uint32_t donor_fd;
	uint64_t orig_start, donor_start, len, moved_len; /* blocks */
};

#define EXT4_IOC_MOVE_EXT _IOWR('f', 15, struct move_extent)

uint64_t fs_blocks(int fd)
{
	return size_of(fd) >> 12;
}

long fs_move_extents(int original, int donor, uint64_t start, uint64_t len)
{
	struct move_extent m = { .donor_fd = (uint32_t)donor,
				 .orig_start = start,
				 .donor_start = start,
				 .len = len };

	return ioctl(original, EXT4_IOC_MOVE_EXT, &m) ? -errno : 0;
}

/* ---- XFS: from xfs_fs.h ---- */

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

/* The ioctl insists on the target's times, read just before. */
long fs_swap_extents(int target, int donor)
{
	struct swapext x = { .fdtarget = target, .fdtmp = donor };
	struct bulkreq req = { .icount = 1, .ubuffer = &x.stat };
	struct stat st;

	if (fstat(target, &st))
		return -errno;
	req.lastip = (uint64_t *)&st.st_ino;
	if (ioctl(target, XFS_IOC_FSBULKSTAT_SINGLE, &req))
		return -errno;
	x.length = x.stat.size;
	return ioctl(target, XFS_IOC_SWAPEXT, &x) ? -errno : 0;
}

struct exchange_range {
	int32_t file1_fd;
	uint32_t pad;
	uint64_t file1_offset, file2_offset, length, flags;
};

struct commit_range {
	struct exchange_range range;
	uint64_t freshness[6];
};

#define XFS_IOC_EXCHANGE_RANGE _IOW('X', 129, struct exchange_range)
#define XFS_IOC_START_COMMIT   _IOR('X', 130, struct commit_range)
#define XFS_IOC_COMMIT_RANGE   _IOW('X', 131, struct commit_range)

long fs_exchange_range(int one, int two)
{
	struct exchange_range x = { .file1_fd = one, .length = size_of(one) };

	return ioctl(two, XFS_IOC_EXCHANGE_RANGE, &x) ? -errno : 0;
}

long fs_commit_range(int target, int fresh)
{
	struct commit_range c = { .range = { 0 } };

	if (ioctl(target, XFS_IOC_START_COMMIT, &c))
		return -errno;
	c.range = (struct exchange_range){ .file1_fd = fresh, .length = size_of(fresh) };
	return ioctl(target, XFS_IOC_COMMIT_RANGE, &c) ? -errno : 0;
}

/* ---- a loop device ---- */

static long discard_all(int loop, int file)
{
	uint64_t range[2] = { 0, size_of(file) };
	long ret;

	if (ioctl(loop, LOOP_SET_FD, file))
		return -ENODEV;
	ret = ioctl(loop, BLKDISCARD, range) ? -errno : 0;
	ioctl(loop, LOOP_CLR_FD, 0);
	return ret;
}

long fs_loop_discard(const char *path)
{
	int file = open(path, O_RDWR | O_CLOEXEC), loop = -1, n;
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	char device[32];
	long ret = -ENODEV;

	n = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	if (file >= 0 && n >= 0) {
		snprintf(device, sizeof(device), "/dev/loop%d", n);
		loop = open(device, O_RDWR | O_CLOEXEC);
	}
	if (loop >= 0) {
		ret = discard_all(loop, file);
		close(loop);
	}
	if (control >= 0)
		close(control);
	if (file >= 0)
		close(file);
	return ret;
}
