/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The layout changes that checks try on a file, and what each does when nothing forbids it. */
#ifndef PINV_TEST_LAYOUT_H
#define PINV_TEST_LAYOUT_H

#include "scene.h"

/* What a file should hold, as far as the checks look. */
struct image {
	uint64_t size;
	unsigned char byte[2 * SCENE_SIZE];
};

struct layout_op {
	const char *name;
	/* Does it to the file; other is a second file with the same content. */
	long (*run)(struct actor *a, const char *path, const char *other);
	void (*effect)(struct image *img);
};

extern const struct layout_op op_truncate, op_truncate_to_zero, op_ftruncate,
	op_open_truncate, op_punch_hole, op_zero_range, op_zero_range_keep_size,
	op_collapse_range, op_insert_range, op_madvise_remove, op_uring_ftruncate,
	op_uring_fallocate, op_clone_from, op_clone_to, op_clone_range_from,
	op_clone_range_to, op_clone_within, op_dedupe_from, op_dedupe_to,
	op_move_extents_original, op_move_extents_donor, op_swap_boot,
	op_swap_extents_target, op_swap_extents_donor;

/*
 * The two halves of an operation that goes on while the director does something else: a second
 * process of the director gives the steps to the actor, which is its alone until the end.
 */
int op_begin(const struct layout_op *op, struct actor *a, const char *path,
	     const char *other);
long op_end(int end);

/*
 * An overlay in a mount namespace of the actor, all of it on the tested file system: the path of f
 * there, which is made as "upper/f" or "lower/f".  More options begin with a comma.
 */
const char *overlay(struct actor *a, const char *file, const char *options);

#endif
