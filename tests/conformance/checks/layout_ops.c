// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* How each layout change is done, and its effect on the content of a file of SCENE_SIZE. */
#include <errno.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <stdlib.h>

#include "layout.h"

/* Opcode of Linux 6.9; the headers of older systems do not have it. */
#define URING_OP_FTRUNCATE 55

static void cut(struct image *img, uint64_t size)
{
	img->size = size;
}

static void zero(struct image *img, uint64_t pos, uint64_t len)
{
	memset(img->byte + pos, 0, len);
}

static void unchanged(struct image *img)
{
	(void)img;
}

/* ---- truncate ---- */

static long truncate_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_truncate(a, path, PAGE + 100);
}

static void truncate_effect(struct image *img)
{
	cut(img, PAGE + 100);
}

const struct layout_op op_truncate = { "truncate", truncate_run, truncate_effect };

static long truncate_to_zero_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_truncate(a, path, 0);
}

static void empty_effect(struct image *img)
{
	cut(img, 0);
}

const struct layout_op op_truncate_to_zero = { "truncate to 0", truncate_to_zero_run,
					       empty_effect };

static long ftruncate_step(struct actor *a, long fd)
{
	return a_ftruncate(a, fd, PAGE + 100);
}

static long ftruncate_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, ftruncate_step);
}

const struct layout_op op_ftruncate = { "ftruncate", ftruncate_run, truncate_effect };

static long open_truncate_run(struct actor *a, const char *path, const char *other)
{
	long fd = a_open(a, path, O_WRONLY | O_TRUNC);

	(void)other;
	return fd < 0 ? fd : a_close(a, fd);
}

const struct layout_op op_open_truncate = { "open with O_TRUNC", open_truncate_run,
					    empty_effect };

/* ---- fallocate ---- */

static long punch_hole_step(struct actor *a, long fd)
{
	return a_fallocate(a, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE,
			   2 * PAGE);
}

static long punch_hole_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, punch_hole_step);
}

static void two_pages_zero(struct image *img)
{
	zero(img, PAGE, 2 * PAGE);
}

const struct layout_op op_punch_hole = { "PUNCH_HOLE", punch_hole_run, two_pages_zero };

static long zero_range_step(struct actor *a, long fd)
{
	return a_fallocate(a, fd, FALLOC_FL_ZERO_RANGE, PAGE, 2 * PAGE);
}

static long zero_range_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, zero_range_step);
}

const struct layout_op op_zero_range = { "ZERO_RANGE", zero_range_run, two_pages_zero };

static long zero_range_keep_size_step(struct actor *a, long fd)
{
	return a_fallocate(a, fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
			   SCENE_SIZE - PAGE, 4 * PAGE);
}

static long zero_range_keep_size_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, zero_range_keep_size_step);
}

static void last_page_zero(struct image *img)
{
	zero(img, SCENE_SIZE - PAGE, PAGE);
}

const struct layout_op op_zero_range_keep_size = { "ZERO_RANGE with KEEP_SIZE",
						   zero_range_keep_size_run,
						   last_page_zero };

static long collapse_range_step(struct actor *a, long fd)
{
	return a_fallocate(a, fd, FALLOC_FL_COLLAPSE_RANGE, PAGE, 2 * PAGE);
}

static long collapse_range_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, collapse_range_step);
}

static void collapse_range_effect(struct image *img)
{
	memmove(img->byte + PAGE, img->byte + 3 * PAGE, img->size - 3 * PAGE);
	img->size -= 2 * PAGE;
}

const struct layout_op op_collapse_range = { "COLLAPSE_RANGE", collapse_range_run,
					     collapse_range_effect };

static long insert_range_step(struct actor *a, long fd)
{
	return a_fallocate(a, fd, FALLOC_FL_INSERT_RANGE, PAGE, 2 * PAGE);
}

static long insert_range_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, insert_range_step);
}

static void insert_range_effect(struct image *img)
{
	memmove(img->byte + 3 * PAGE, img->byte + PAGE, img->size - PAGE);
	zero(img, PAGE, 2 * PAGE);
	img->size += 2 * PAGE;
}

const struct layout_op op_insert_range = { "INSERT_RANGE", insert_range_run,
					   insert_range_effect };

static long madvise_remove_step(struct actor *a, long fd)
{
	long addr = a_mmap_shared(a, fd, SCENE_SIZE);
	long ret;

	if (addr < 0)
		return addr;
	ret = a_madvise(a, addr + (long)PAGE, 2 * PAGE, MADV_REMOVE);
	a_munmap(a, addr, SCENE_SIZE);
	return ret;
}

static long madvise_remove_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, madvise_remove_step);
}

const struct layout_op op_madvise_remove = { "MADV_REMOVE", madvise_remove_run,
					     two_pages_zero };

/* ---- io_uring ---- */

static long uring_ftruncate_step(struct actor *a, long fd)
{
	return a_uring_request(a, URING_OP_FTRUNCATE, fd, PAGE + 100, 0, 0);
}

static long uring_ftruncate_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, uring_ftruncate_step);
}

const struct layout_op op_uring_ftruncate = { "io_uring FTRUNCATE", uring_ftruncate_run,
					      truncate_effect };

static long uring_fallocate_step(struct actor *a, long fd)
{
	/* The length travels in addr, the mode in len. */
	return a_uring_request(a, IORING_OP_FALLOCATE, fd, PAGE,
			       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE);
}

static long uring_fallocate_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return a_with_fd(a, path, O_RDWR, uring_fallocate_step);
}

const struct layout_op op_uring_fallocate = { "io_uring FALLOCATE", uring_fallocate_run,
					      two_pages_zero };

/* ---- sharing of blocks ---- */

static long clone_step(struct actor *a, const char *from, const char *to)
{
	long src = a_open(a, from, O_RDWR), dst = a_open(a, to, O_RDWR);
	long ret = src < 0 ? src : dst < 0 ? dst : a_ioctl_fd(a, dst, FICLONE, src);

	if (src >= 0)
		a_close(a, src);
	if (dst >= 0)
		a_close(a, dst);
	return ret;
}

static long clone_from_run(struct actor *a, const char *path, const char *other)
{
	return clone_step(a, path, other);
}

const struct layout_op op_clone_from = { "FICLONE, as source", clone_from_run,
					 unchanged };

static long clone_to_run(struct actor *a, const char *path, const char *other)
{
	return clone_step(a, other, path);
}

const struct layout_op op_clone_to = { "FICLONE, as destination", clone_to_run,
				       unchanged };

static long clone_range_step(struct actor *a, const char *from, const char *to,
			     uint64_t dest)
{
	long src = a_open(a, from, O_RDONLY), dst = a_open(a, to, O_RDWR);
	struct file_clone_range r = { .src_fd = src,
				      .src_offset = PAGE,
				      .src_length = 2 * PAGE,
				      .dest_offset = dest };
	long ret = src < 0 ? src : dst;

	if (ret >= 0)
		ret = SYS(a, SYS_ioctl, V(dst), V(FICLONERANGE), IN(&r, sizeof(r)));
	if (src >= 0)
		a_close(a, src);
	if (dst >= 0)
		a_close(a, dst);
	return ret;
}

static long clone_range_from_run(struct actor *a, const char *path, const char *other)
{
	return clone_range_step(a, path, other, PAGE);
}

const struct layout_op op_clone_range_from = { "FICLONERANGE, as source",
					       clone_range_from_run, unchanged };

static long clone_range_to_run(struct actor *a, const char *path, const char *other)
{
	return clone_range_step(a, other, path, PAGE);
}

const struct layout_op op_clone_range_to = { "FICLONERANGE, as destination",
					     clone_range_to_run, unchanged };

static long clone_within_run(struct actor *a, const char *path, const char *other)
{
	(void)other;
	return clone_range_step(a, path, path, 4 * PAGE);
}

static void two_pages_twice(struct image *img)
{
	memcpy(img->byte + 4 * PAGE, img->byte + PAGE, 2 * PAGE);
}

const struct layout_op op_clone_within = { "FICLONERANGE within a file", clone_within_run,
					   two_pages_twice };

/* The ioctl succeeds and says per destination what became of it. */
static long dedupe_step(struct actor *a, const char *from, const char *to)
{
	union {
		struct file_dedupe_range range;
		char room[sizeof(struct file_dedupe_range) +
			  sizeof(struct file_dedupe_range_info)];
	} r = { .room = { 0 } };
	long src = a_open(a, from, O_RDONLY), dst = a_open(a, to, O_RDWR);
	long ret = src < 0 ? src : dst;

	r.range.src_offset = PAGE;
	r.range.src_length = 2 * PAGE;
	r.range.dest_count = 1;
	r.range.info[0].dest_fd = dst;
	r.range.info[0].dest_offset = PAGE;
	if (ret >= 0)
		ret = SYS(a, SYS_ioctl, V(src), V(FIDEDUPERANGE), INOUT(&r, sizeof(r)));
	if (ret >= 0)
		ret = r.range.info[0].status == FILE_DEDUPE_RANGE_DIFFERS
			      ? -EILSEQ
			      : r.range.info[0].status;
	if (src >= 0)
		a_close(a, src);
	if (dst >= 0)
		a_close(a, dst);
	return ret;
}

static long dedupe_from_run(struct actor *a, const char *path, const char *other)
{
	return dedupe_step(a, path, other);
}

const struct layout_op op_dedupe_from = { "FIDEDUPERANGE, as source", dedupe_from_run,
					  unchanged };

static long dedupe_to_run(struct actor *a, const char *path, const char *other)
{
	return dedupe_step(a, other, path);
}

const struct layout_op op_dedupe_to = { "FIDEDUPERANGE, as destination", dedupe_to_run,
					unchanged };
