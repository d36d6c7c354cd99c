/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Requests of ext4, XFS and the loop driver whose headers are not always installed. */
#ifndef PINV_FS_IOCTL_H
#define PINV_FS_IOCTL_H

#include <linux/ioctl.h>
#include <stdint.h>

#define EXT4_IOC_MIGRATE   _IO('f', 9)
#define EXT4_IOC_SWAP_BOOT _IO('f', 17)

struct fs_scrub {
	uint32_t type, flags;
	uint64_t ino;
	uint32_t gen, agno;
	uint64_t reserved[5];
};

#define XFS_IOC_SCRUB   _IOWR('X', 60, struct fs_scrub)
#define FS_SCRUB_BMBTD  12
#define FS_SCRUB_REPAIR 1u

/* Each acts on the whole of both files, and gives 0 or -errno. */
long fs_swap_extents(int target, int donor);
long fs_exchange_range(int one, int two);
long fs_commit_range(int target, int fresh);

/* The same of a part, start and len in blocks of 4 KiB. */
long fs_move_extents(int original, int donor, uint64_t start, uint64_t len);

/* The blocks of a file. */
uint64_t fs_blocks(int fd);

/* A loop device over the file, all of it discarded: the discard's result. */
long fs_loop_discard(const char *path);

#endif
