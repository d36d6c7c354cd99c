// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Steps that change where the blocks of a file are, or that one might take for such. */
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "do.h"
#include "fs_ioctl.h"

/* Opcode of Linux 6.9; the headers of older systems do not have it. */
#define URING_OP_FTRUNCATE 55

DO(truncate)
{
	return a_truncate(a, path_of(&arg[0]), arg[1].number);
}

DO(ftruncate)
{
	return a_ftruncate(a, fd_of(&arg[0]), arg[1].number);
}

#define MODE_WORDS "preallocate|keep-size|punch|zero|zero-keep|collapse|insert|unshare"

static const int modes[] = {
	0,
	FALLOC_FL_KEEP_SIZE,
	FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	FALLOC_FL_ZERO_RANGE,
	FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	FALLOC_FL_COLLAPSE_RANGE,
	FALLOC_FL_INSERT_RANGE,
	FALLOC_FL_UNSHARE_RANGE,
};

DO(fallocate)
{
	struct range range = range_of_fd(a, fd_of(&arg[0]), arg[2].range);

	return a_fallocate(a, fd_of(&arg[0]), modes[arg[1].number], range.from,
			   range.to - range.from);
}

/* ---- two files ---- */

/* The ioctls of a step open both files themselves: the actor needs no descriptor of its own. */
struct pair_step {
	char one[512], two[512];
	struct range range;
};

static long on_pair(struct actor *a, struct arg *one, struct arg *two,
		    const struct range *range, actor_fn fn)
{
	struct pair_step p = { .range = range ? *range : WHOLE };

	snprintf(p.one, sizeof(p.one), "%s", path_of(one));
	snprintf(p.two, sizeof(p.two), "%s", path_of(two));
	return actor_call(a, fn, &p, sizeof(p));
}

struct pair {
	int one, two;
};

static long open_pair(const struct pair_step *p, struct pair *fd)
{
	fd->one = open(p->one, O_RDWR | O_CLOEXEC);
	if (fd->one < 0)
		return -errno;
	fd->two = open(p->two, O_RDWR | O_CLOEXEC);
	if (fd->two >= 0)
		return 0;
	close(fd->one);
	return -errno;
}

static long close_pair(const struct pair *fd, long ret)
{
	close(fd->one);
	close(fd->two);
	return ret;
}

static long clone_files(void *buf, size_t size)
{
	const struct pair_step *p = buf;
	struct file_clone_range c = { .src_offset = p->range.from,
				      .dest_offset = p->range.from };
	struct pair fd;
	long ret = open_pair(p, &fd);

	(void)size;
	if (ret)
		return ret;
	c.src_fd = fd.one;
	c.src_length = p->range.to == RANGE_END ? 0 : p->range.to - p->range.from;
	if (p->range.to == RANGE_END && !p->range.from)
		ret = ioctl(fd.two, FICLONE, fd.one);
	else
		ret = ioctl(fd.two, FICLONERANGE, &c);
	return close_pair(&fd, ret ? -errno : 0);
}

DO(clone)
{
	return on_pair(a, &arg[0], &arg[1], arg[2].kind ? &arg[2].range : NULL,
		       clone_files);
}

static uint64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
}

static uint64_t length(const struct range *r, int fd)
{
	return (r->to == RANGE_END ? size_of(fd) : r->to) - r->from;
}

/* The ioctl succeeds and says per destination what became of it. */
static long dedupe_files(void *buf, size_t size)
{
	const struct pair_step *p = buf;
	union {
		struct file_dedupe_range range;
		char room[sizeof(struct file_dedupe_range) +
			  sizeof(struct file_dedupe_range_info)];
	} d = { .room = { 0 } };
	struct pair fd;
	long ret = open_pair(p, &fd);

	(void)size;
	if (ret)
		return ret;
	d.range.src_offset = p->range.from;
	d.range.src_length = length(&p->range, fd.one);
	d.range.dest_count = 1;
	d.range.info[0].dest_fd = fd.two;
	d.range.info[0].dest_offset = p->range.from;
	ret = ioctl(fd.one, FIDEDUPERANGE, &d) ? -errno : d.range.info[0].status;
	return close_pair(&fd, ret == FILE_DEDUPE_RANGE_DIFFERS ? -EILSEQ : ret);
}

DO(dedupe)
{
	return on_pair(a, &arg[0], &arg[1], arg[2].kind ? &arg[2].range : NULL,
		       dedupe_files);
}

static long copy_files(void *buf, size_t size)
{
	const struct pair_step *p = buf;
	loff_t from = (loff_t)p->range.from, to = from;
	struct pair fd;
	long ret = open_pair(p, &fd);
	size_t left;

	(void)size;
	if (ret)
		return ret;
	left = length(&p->range, fd.one);
	while (left) {
		ssize_t n = copy_file_range(fd.one, &from, fd.two, &to, left, 0);

		if (n <= 0)
			return close_pair(&fd, n ? -errno : -ENODATA);
		left -= (size_t)n;
	}
	return close_pair(&fd, 0);
}

DO(copy)
{
	return on_pair(a, &arg[0], &arg[1], arg[2].kind ? &arg[2].range : NULL,
		       copy_files);
}

/* ---- what defragmenters and repair use ---- */

static long on_two_fds(void *buf, long (*fn)(int one, int two))
{
	struct pair fd;
	long ret = open_pair(buf, &fd);

	return ret ? ret : close_pair(&fd, fn(fd.one, fd.two));
}

static long move_all_extents(int original, int donor)
{
	return fs_move_extents(original, donor, 0, fs_blocks(original));
}

static long move_extents(void *buf, size_t size)
{
	(void)size;
	return on_two_fds(buf, move_all_extents);
}

static long swap_extents(void *buf, size_t size)
{
	(void)size;
	return on_two_fds(buf, fs_swap_extents);
}

static long exchange(void *buf, size_t size)
{
	(void)size;
	return on_two_fds(buf, fs_exchange_range);
}

static long commit(void *buf, size_t size)
{
	(void)size;
	return on_two_fds(buf, fs_commit_range);
}

DO(move_extents)
{
	return on_pair(a, &arg[0], &arg[1], NULL, move_extents);
}

DO(swap_extents)
{
	return on_pair(a, &arg[0], &arg[1], NULL, swap_extents);
}

DO(exchange)
{
	return on_pair(a, &arg[0], &arg[1], NULL, exchange);
}

DO(commit)
{
	return on_pair(a, &arg[0], &arg[1], NULL, commit);
}

static long on_one_fd(struct actor *a, struct arg *file, unsigned long cmd)
{
	long fd = a_open(a, path_of(file), O_RDWR), ret;

	if (fd < 0)
		return fd;
	ret = a_ioctl_fd(a, fd, cmd, 0);
	a_close(a, fd);
	return ret;
}

DO(swap_boot)
{
	return on_one_fd(a, &arg[0], EXT4_IOC_SWAP_BOOT);
}

DO(migrate)
{
	return on_one_fd(a, &arg[0], EXT4_IOC_MIGRATE);
}

/* XFS: scrubs the mapping of a file's blocks, or repairs it. */
static long scrub_mapping(struct actor *a, struct arg *file, bool repair)
{
	struct fs_scrub s = { .type = FS_SCRUB_BMBTD,
			      .flags = repair ? FS_SCRUB_REPAIR : 0 };
	long fd = a_open(a, path_of(file), O_RDWR), ret;

	if (fd < 0)
		return fd;
	ret = SYS(a, SYS_ioctl, V(fd), V(XFS_IOC_SCRUB), INOUT(&s, sizeof(s)));
	a_close(a, fd);
	return ret;
}

DO(scrub)
{
	return scrub_mapping(a, &arg[0], false);
}

DO(repair)
{
	return scrub_mapping(a, &arg[0], true);
}

/* ---- the same from elsewhere ---- */

DO(madvise_remove)
{
	struct range range = arg[1].range;

	if (!range_within(&range, arg[0].name->map.len))
		broken("the range is not within the mapping");
	return a_madvise(a, (long)(arg[0].name->map.addr + range.from),
			 range.to - range.from, MADV_REMOVE);
}

DO(uring_truncate)
{
	return a_uring_request(a, URING_OP_FTRUNCATE, fd_of(&arg[0]), arg[1].number, 0,
			       0);
}

DO(uring_punch)
{
	struct range range = range_of_fd(a, fd_of(&arg[0]), arg[1].range);

	/* The length travels in addr, the mode in len. */
	return a_uring_request(a, IORING_OP_FALLOCATE, fd_of(&arg[0]), range.from,
			       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       range.to - range.from);
}

struct path_step {
	char path[512];
};

static long loop_discard(void *buf, size_t size)
{
	const struct path_step *p = buf;

	(void)size;
	return fs_loop_discard(p->path);
}

DO(loop_discard)
{
	struct path_step p;

	snprintf(p.path, sizeof(p.path), "%s", path_of(&arg[0]));
	return actor_call(a, loop_discard, &p, sizeof(p));
}

const struct verb block_verbs[] = {
	{ "truncate", "FILE SIZE", K_NONE, do_truncate, "truncates $1 to $2", 0, NULL },
	{ "ftruncate", "FD SIZE", K_NONE, do_ftruncate, "truncates $1 to $2", 0, NULL },
	{ "fallocate", "FD " MODE_WORDS " RANGE", K_NONE, do_fallocate,
	  "calls fallocate ($2) on bytes $3 of $1", 0, NULL },
	{ "clone", "FILE to FILE [RANGE]", K_NONE, do_clone,
	  "lets $2 share the blocks of $1{ in $3}", 0, NULL },
	{ "dedupe", "FILE to FILE [RANGE]", K_NONE, do_dedupe,
	  "deduplicates $2 against $1{ in $3}", 0, NULL },
	{ "copy", "FILE to FILE [RANGE]", K_NONE, do_copy,
	  "copies $1 to $2{, bytes $3,} with copy_file_range", 0, NULL },
	{ "move-extents", "FILE donor FILE", K_NONE, do_move_extents,
	  "moves extents of $1 to the blocks of $2 (MOVE_EXT)", 0, NULL },
	{ "swap-extents", "FILE with FILE", K_NONE, do_swap_extents,
	  "swaps the extents of $1 and $2 (SWAPEXT)", 0, NULL },
	{ "exchange", "FILE with FILE", K_NONE, do_exchange,
	  "exchanges the content of $1 and $2 (EXCHANGE_RANGE)", 0, NULL },
	{ "commit", "FILE with FILE", K_NONE, do_commit,
	  "commits the content of $2 to $1 (COMMIT_RANGE)", 0, NULL },
	{ "swap-boot", "FILE", K_NONE, do_swap_boot,
	  "swaps the blocks of $1 and of the boot loader (SWAP_BOOT)", 0, NULL },
	{ "migrate", "FILE", K_NONE, do_migrate, "migrates $1 to extents (MIGRATE)", 0,
	  NULL },
	{ "scrub", "FILE", K_NONE, do_scrub, "scrubs the mapping of $1", 0, NULL },
	{ "repair", "FILE", K_NONE, do_repair, "repairs the mapping of $1", 0, NULL },
	{ "madvise-remove", "MAP RANGE", K_NONE, do_madvise_remove,
	  "removes $2 of the mapping $1 (MADV_REMOVE)", 0, NULL },
	{ "uring-truncate", "FD SIZE", K_NONE, do_uring_truncate,
	  "truncates $1 to $2 through io_uring", 0, NULL },
	{ "uring-punch", "FD RANGE", K_NONE, do_uring_punch,
	  "punches $2 of $1 through io_uring", 0, NULL },
	{ "loop-discard", "FILE", K_NONE, do_loop_discard,
	  "discards all of a loop device over $1", 0, NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
