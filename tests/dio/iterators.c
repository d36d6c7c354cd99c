// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The iterator matrix: each kind of iterator that the kernel has, read and write, on each kind of
 * file.  Each row does one transfer of 64 KiB and says what was pinned and unpinned, whether
 * the content is right, and the references of a page of the user's before and after; the table goes
 * to iterators.FS in $DIO_RESULTS.
 *
 *	ubuf	pread(), pwrite()
 *	iovec	preadv(), pwritev() of four segments
 *	bvec	splice() from and to a pipe, whose pages are the kernel's
 *	bvec*	a registered io_uring buffer: pinned when it was registered, and no more by I/O
 *	kvec	the kernel's own memory: kexec_file_load() reads into it, a 9p client writes from it
 *
 * folioq and xarray reach direct I/O through a cache of network files only, see iterators_cache.c;
 * discard does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse.h"
#include "iterators.h"
#include "kvec.h"
#include "loop.h"
#include "nfs.h"
#include "ring.h"

#define LEN   ROW_LEN
#define PAGES ROW_PAGES

static struct pins start; /* before there was anything that pins */

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

/* What the rows of one file share. */
struct bed {
	int fd;
	struct ring ring;
	unsigned char *at;
	bool more; /* others pin too, like FUSE's device */
};

/* Nobody may have a kernel open for writing. */
static long by_kernel(struct bed *b, bool write)
{
	char path[32];
	long err;
	int fd;

	if (write)
		return kvec_write(b->fd, b->at, LEN);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", b->fd);
	fd = open_file(path, O_RDONLY | O_DIRECT);
	close(b->fd);
	b->fd = fd;
	err = kvec_read(fd);
	return err ? err : (long)LEN;
}

static long transfer(struct bed *b, const struct row *r)
{
	switch (r->iterator) {
	case ITER_UBUF:
		return result(r->write ? pwrite(b->fd, b->at, LEN, 0)
				       : pread(b->fd, b->at, LEN, 0));
	case ITER_IOVEC:
		return by_vector(b->fd, b->at, r->write);
	case ITER_BVEC:
		return by_pipe(b->fd, b->at, r->write);
	case ITER_KVEC:
		return by_kernel(b, r->write);
	default:
		return ring_do(&b->ring,
			       r->write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED,
			       b->fd, b->at, LEN, 0);
	}
}

/* A read has to find this in the file, a write to put it there. */
static void prepare(const struct bed *b, const struct row *r, uint64_t seed)
{
	pattern_fill(b->at, LEN, seed, 0);
	if (r->write)
		return;
	if (r->iterator == ITER_KVEC)
		kernel_image(b->at, LEN);
	require(0, write_at(b->fd, b->at, LEN, 0));
	memset(b->at, 0, LEN);
}

static bool content_right(const struct bed *b, const struct row *r, uint64_t seed)
{
	size_t header = 0;

	/* the kernel keeps what it reads; that it takes the file for a kernel has to do */
	if (r->iterator == ITER_KVEC && !r->write)
		return true;
	if (r->write) {
		memset(b->at, 0, LEN);
		require(0, read_at(b->fd, b->at, LEN, 0));
	}
	if (r->iterator == ITER_KVEC) {
		if (!kvec_header_matches(b->at, LEN))
			return false;
		header = KVEC_HEADER;
	}
	return pattern_matches(b->at + header, LEN - header, seed, header);
}

/*
 * Pins of one transfer: want where only the file's own direct I/O pins.  Where more do at least so
 * many, and all of them are released.
 */
static void one_row(struct bed *b, struct row *r, long want)
{
	static uint64_t seed = 10;
	struct pins before, now;
	uint64_t pfn;
	long n;

	prepare(b, r, ++seed);
	pfn = pfn_of(b->at);
	await_outstanding(start, r->iterator == ITER_FIXED ? PAGES : 0);
	before = pins_now();
	r->before = page_counts(pfn).references;
	n = transfer(b, r);
	expect_true(n == (long)LEN, "%s: %s", row_name(r),
		    errno_name(n < 0 ? (int)-n : ENODATA));
	if (b->more)
		expect_balance(before, want);
	else
		expect_pinned(before, want);
	now = pins_now();
	r->acquired = now.acquired - before.acquired;
	r->released = now.released - before.released;
	r->after = page_counts(pfn).references;
	r->content = n == (long)LEN && content_right(b, r, seed);
	expect_true(r->content, "%s: other content", row_name(r));
	expect_value(r->before, r->after);
}

/* Iterators that no file of this kind gets, or only those beside it. */
static void rows_of_others(const struct row *of, bool cached)
{
	struct row r = *of;

	for (r.iterator = ITER_FOLIOQ; r.iterator < ITERATORS; r.iterator++) {
		for (int write = 0; write <= 1; write++) {
			r.write = write;
			if (r.iterator == ITER_DISCARD)
				row_none(&r, "nobody");
			else if (!cached)
				row_none(&r, "no-cache");
		}
	}
}

/* The last, for after them the file cannot be written to any more. */
static void kvec_rows(struct bed *b, struct row r)
{
	struct row written;
	struct stat st;

	if (fstat(b->fd, &st))
		broken("fstat: %s", errno_name(errno));
	r.iterator = ITER_KVEC;
	r.write = true;
	one_row(b, &r, 0);
	written = r;
	r.write = false;
	if (S_ISREG(st.st_mode)) {
		require(0, result(ftruncate(b->fd, LEN)));
		one_row(b, &r, 0);
		row_put(&r);
	} else {
		row_none(&r, "no-file");
	}
	row_put(&written);
}

static void rows(const char *target, int fd, bool more)
{
	struct bed b = { fd, ring_new(), memory_new(MEMORY_SMALL, LEN), more };
	struct row r = { .target = target };
	int i;

	settle_references();
	for (i = 0; i < 2 * (ITER_FIXED + 1); i++) {
		bool fixed = i / 2 == ITER_FIXED;

		r.iterator = (enum iterator)(i / 2);
		r.write = i % 2;
		if (fixed)
			require(0, ring_register(&b.ring, b.at, LEN));
		one_row(&b, &r, r.iterator <= ITER_IOVEC ? PAGES : 0);
		row_put(&r);
		if (fixed)
			require(0, ring_unregister(&b.ring));
	}
	kvec_rows(&b, r);
	rows_of_others(&r, !strcmp(target, fs_name(check_dir())));
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
