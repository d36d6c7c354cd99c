// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The iterator matrix: each kind of iterator that a process can bring about, read and write, on each
 * kind of file.  Each row does one transfer of 64 KiB and says what was pinned and unpinned, whether
 * the content is right, and the references of a page of the user's before and after; the table goes
 * to iterators.FS in $DIO_RESULTS.
 *
 *	ubuf	pread(), pwrite()
 *	iovec	preadv(), pwritev() of four segments
 *	bvec	splice() from and to a pipe, whose pages are the kernel's
 *	bvec*	a registered io_uring buffer: pinned when it was registered, and no more by I/O
 *
 * kvec, xarray, folio queue and discard do not reach direct I/O from user space here; KUnit's
 * iov_iter suite, which the kernel of flavour test has, covers their extraction.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse.h"
#include "loop.h"
#include "nfs.h"
#include "ring.h"

#define LEN   KiB(64)
#define PAGES ((long)(LEN / PAGE))

enum iterator {
	ITER_UBUF,
	ITER_IOVEC,
	ITER_BVEC,
	ITER_FIXED,
	ITERATORS
};

static const char *const iterator_name[] = { "ubuf", "iovec", "bvec", "bvec*" };

struct row {
	const char *target;
	enum iterator iterator;
	bool write;
	long acquired, released, before, after;
	bool content;
};

static FILE *table;
static struct pins start; /* before there was anything that pins */

static void open_table(void)
{
	const char *out = getenv("DIO_RESULTS");
	char path[300];

	snprintf(path, sizeof(path), "%s/iterators.%s", out ? out : "/tmp",
		 fs_name(check_dir()));
	table = fopen(path, "ae");
	if (!table)
		broken("%s: %s", path, errno_name(errno));
	setlinebuf(table);
}

static void put_row(const struct row *r)
{
	if (!table)
		open_table();
	fprintf(table, "%-8s %-6s %-5s %8ld %8ld  %-8s %4ld %4ld\n", r->target,
		iterator_name[r->iterator], r->write ? "write" : "read", r->acquired,
		r->released, r->content ? "right" : "WRONG", r->before, r->after);
}

/* ---- one transfer at position 0 ---- */

static long by_vector(int fd, unsigned char *at, bool write)
{
	struct iovec iov[4];
	int i;

	for (i = 0; i < 4; i++)
		iov[i] = (struct iovec){ at + (size_t)i * LEN / 4, LEN / 4 };
	return result(write ? pwritev(fd, iov, 4, 0) : preadv(fd, iov, 4, 0));
}

static long by_pipe(int fd, unsigned char *at, bool writing)
{
	size_t left = LEN;
	int ends[2];
	off_t pos = 0;
	ssize_t n;

	if (pipe2(ends, O_CLOEXEC) || fcntl(ends[1], F_SETPIPE_SZ, (int)LEN) < 0)
		broken("pipe: %s", errno_name(errno));
	if (writing && write(ends[1], at, LEN) != (ssize_t)LEN)
		return -EIO;
	for (; left; left -= (size_t)n) {
		n = writing ? splice(ends[0], NULL, fd, &pos, left, 0)
			    : splice(fd, &pos, ends[1], NULL, left, 0);
		if (n <= 0)
			return n ? -errno : -ENODATA;
	}
	if (!writing && read(ends[0], at, LEN) != (ssize_t)LEN)
		return -EIO;
	close(ends[0]);
	close(ends[1]);
	return (long)LEN;
}

static long transfer(enum iterator iterator, struct ring *ring, int fd, unsigned char *at,
		     bool write)
{
	switch (iterator) {
	case ITER_UBUF:
		return result(write ? pwrite(fd, at, LEN, 0) : pread(fd, at, LEN, 0));
	case ITER_IOVEC:
		return by_vector(fd, at, write);
	case ITER_BVEC:
		return by_pipe(fd, at, write);
	default:
		return ring_do(ring, write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED,
			       fd, at, LEN, 0);
	}
}

/*
 * Pins of one transfer: want where only the file's own direct I/O pins.  Where more do, like
 * FUSE's device, at least so many, and all of them are released.
 */
static void one_row(struct row *r, int fd, struct ring *ring, unsigned char *at,
		    long want, bool more)
{
	static uint64_t seed = 10;
	struct pins before;
	struct pins now;
	uint64_t pfn;
	long n;

	pattern_fill(at, LEN, ++seed, 0);
	/* a read has to find this in the file, a write to put it there */
	if (!r->write) {
		require(0, write_at(fd, at, LEN, 0));
		memset(at, 0, LEN);
	}
	pfn = pfn_of(at);
	await_outstanding(start, r->iterator == ITER_FIXED ? PAGES : 0);
	before = pins_now();
	r->before = page_counts(pfn).references;
	n = transfer(r->iterator, ring, fd, at, r->write);
	expect_true(n == (long)LEN, "%s, %s, %s: %s", r->target,
		    iterator_name[r->iterator], r->write ? "write" : "read",
		    errno_name(n < 0 ? (int)-n : ENODATA));
	if (more)
		expect_balance(before, want);
	else
		expect_pinned(before, want);
	now = pins_now();
	r->acquired = now.acquired - before.acquired;
	r->released = now.released - before.released;
	r->after = page_counts(pfn).references;
	if (r->write) {
		memset(at, 0, LEN);
		require(0, read_at(fd, at, LEN, 0));
	}
	r->content = pattern_matches(at, LEN, seed, 0);
	expect_true(r->content, "%s, %s, %s: other content", r->target,
		    iterator_name[r->iterator], r->write ? "write" : "read");
	expect_value(r->before, r->after);
	put_row(r);
}

static void rows(const char *target, int fd, bool more)
{
	unsigned char *at = memory_new(MEMORY_SMALL, LEN);
	struct ring ring = ring_new();
	struct row r = { .target = target };
	int i;

	settle_references();
	for (i = 0; i < 2 * ITERATORS; i++) {
		bool fixed = i / 2 == ITER_FIXED;

		r.iterator = (enum iterator)(i / 2);
		r.write = i % 2;
		if (fixed)
			require(0, ring_register(&ring, at, LEN));
		one_row(&r, fd, &ring, at, r.iterator <= ITER_IOVEC ? PAGES : 0, more);
		if (fixed)
			require(0, ring_unregister(&ring));
	}
}

/* ---- the kinds of file ---- */

CHECK(iterators_file, "D1,D2", STOCK_PASS)
{
	start = pins_now();
	rows(fs_name(check_dir()), open_file(make_file("file", LEN), O_RDWR | O_DIRECT),
	     false);
}

CHECK(iterators_vfat, "D1,D2", STOCK_FAIL)
{
	char path[64];
	int fd;

	start = pins_now();
	snprintf(path, sizeof(path), "/mnt/vfat/iterators-%d", getpid());
	make_file(path, LEN);
	fd = open_file(path, O_RDWR | O_DIRECT);
	unlink(path);
	/* the legacy code pins a page once more for each step of its way */
	rows("vfat", fd, true);
}

/* A loop device over a file is a block device; the file below has the driver's vectors. */
CHECK(iterators_block_device, "D1,D2", STOCK_PASS)
{
	int fd = loop_device(make_file("image", MiB(1)), 0);

	start = pins_now();
	require(0, result(fcntl(fd, F_SETFL, O_DIRECT)));
	rows("block", fd, false);
}

CHECK(iterators_loop, "D1,D2", STOCK_PASS)
{
	int fd = loop_device(make_file("image", MiB(1)), LO_FLAGS_DIRECT_IO);

	start = pins_now();
	require(0, result(fcntl(fd, F_SETFL, O_DIRECT)));
	rows("loop", fd, false);
}

NFS_CHECK(iterators, "D1,D2", STOCK_FAIL)
{
	start = pins_now();
	make_file("file", LEN);
	nfs_mount_at(version, check_dir(), ",port=2049"); /* none of this has to wait */
	rows(version == NFS3 ? "nfs3" : "nfs4",
	     open_file(nfs_path("file"), O_RDWR | O_DIRECT), false);
}

CHECK(iterators_fuse, "D1,D2", STOCK_PASS)
{
	start = pins_now();
	rows("fuse", open_file(fuse_mount(), O_RDWR | O_DIRECT), true);
}
