// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Layout changes that only one file system has: what defragmenters use. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fs_ioctl.h"
#include "layout.h"

static void unchanged(struct image *img)
{
	(void)img;
}

/* Two files and what is done to them, in the actor. */
struct pair {
	char one[512], two[512];
	long (*fn)(int one, int two);
};

static long on_pair_step(void *buf, size_t size)
{
	const struct pair *p = buf;
	int one = open(p->one, O_RDWR | O_CLOEXEC),
	    two = open(p->two, O_RDWR | O_CLOEXEC);
	long ret = one < 0 || two < 0 ? -errno : p->fn(one, two);

	(void)size;
	close(one);
	close(two);
	return ret;
}

static long on_pair(struct actor *a, const char *one, const char *two,
		    long (*fn)(int one, int two))
{
	struct pair p = { .fn = fn };

	snprintf(p.one, sizeof(p.one), "%s", one);
	snprintf(p.two, sizeof(p.two), "%s", two);
	return actor_call(a, on_pair_step, &p, sizeof(p));
}

/* ---- ext4 ---- */

static long move_two_blocks(int original, int donor)
{
	return fs_move_extents(original, donor, 1, 2);
}

static long move_extents_original_run(struct actor *a, const char *path,
				      const char *other)
{
	return on_pair(a, path, other, move_two_blocks);
}

const struct layout_op op_move_extents_original = { "MOVE_EXT, as original",
						    move_extents_original_run,
						    unchanged };

static long move_extents_donor_run(struct actor *a, const char *path, const char *other)
{
	return on_pair(a, other, path, move_two_blocks);
}

const struct layout_op op_move_extents_donor = { "MOVE_EXT, as donor",
						 move_extents_donor_run, unchanged };

static long swap_boot_step(struct actor *a, long fd)
{
	return a_ioctl_fd(a, fd, EXT4_IOC_SWAP_BOOT, 0);
}

static long swap_boot_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, swap_boot_step);
}

const struct layout_op op_swap_boot = { "SWAP_BOOT", swap_boot_run, unchanged };

/* ---- XFS ---- */

static long swap_extents_target_run(struct actor *a, const char *path, const char *other)
{
	return on_pair(a, path, other, fs_swap_extents);
}

const struct layout_op op_swap_extents_target = { "SWAPEXT, as target",
						  swap_extents_target_run, unchanged };

static long swap_extents_donor_run(struct actor *a, const char *path, const char *other)
{
	return on_pair(a, other, path, fs_swap_extents);
}

const struct layout_op op_swap_extents_donor = { "SWAPEXT, as donor",
						 swap_extents_donor_run, unchanged };
