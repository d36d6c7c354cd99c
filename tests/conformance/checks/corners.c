// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Sizes and histories of a file that a check for a lease or a pin must not stumble over. */
#include <errno.h>
#include <linux/fs.h>
#include <stdint.h>

#include "../harness/scene.h"

/* Rounding the size up to a page overflows: the range still is within the file. */
CHECK(t1_punch_hole_in_a_file_of_the_largest_size, "T1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");
	long fd = must(a_open(b, s.path, O_RDWR)), ret;

	ret = a_ftruncate(b, fd, INT64_MAX);
	if (ret == -EFBIG)
		skip("the largest file of this file system is smaller");
	require(0, ret);
	expect(ETXTBSY,
	       a_fallocate(b, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	expect(ETXTBSY,
	       a_fallocate(b, fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	expect(EDEADLK, a_fallocate(s.holder, s.fd,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
}

/* Pages mapped while their blocks were shared; sharing ends without a copy. */
CHECK(p1_file_that_has_shared_extents_no_more, "P1,L1,L2", STOCK_FAIL)
{
	struct scene s = scene_open();
	const char *copy = make_sparse_file("copy", 0);
	long copy_fd = must(a_open(s.holder, copy, O_RDWR)), ret;
	uint64_t pos;

	ret = a_ioctl_fd(s.holder, copy_fd, FICLONE, s.fd);
	if (ret == -EOPNOTSUPP || ret == -ENOTTY)
		skip("file system without reflink");
	require(0, ret);
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	/* reading brings the pages in while they are shared */
	expect(0, a_mem_check(s.holder, s.addr, PAGE, FILE_SEED, 0));
	expect(EOPNOTSUPP, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));

	/* not unlink(), which gives the blocks up some time later */
	for (pos = 0; pos < s.size; pos += PAGE)
		require(0, a_pwrite(s.holder, copy_fd, pos, PAGE, 7));
	require(0, a_fallocate(s.holder, s.fd, FALLOC_FL_UNSHARE_RANGE, 0, s.size));
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	scene_pin(&s);
}
