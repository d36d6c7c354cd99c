// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The zero page: reading private memory that was never written finds it, 256 times in 1 MiB.  No
 * path of direct I/O may pin or unpin it, and after any number of calls it has the references that
 * it had before.
 *
 * The number of calls is that of a short run; DIO_LONG=1 makes it a million uses of each path.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fuse.h"
#include "nfs.h"
#include "ring.h"
#include "scene.h"

#define LARGE      MiB(1)
#define LONG_LARGE 4096
#define LONG_SMALL 1000

/* How often a short run calls: what costs little does all. */
struct times {
	int large, small;
	bool others_pin; /* FUSE's device does, the process's own pages */
};

static const struct times few = { 2, 10, false }, many = { 16, 100, false },
			  fuse = { 2, 10, true };

static bool long_run(void)
{
	const char *set = getenv("DIO_LONG");

	return set && *set == '1';
}

/* Uses len bytes from at; 0, or -errno. */
typedef long (*use_fn)(void *context, unsigned char *at, size_t len);

static uint64_t zero_page(void)
{
	unsigned char *at = memory_untouched(PAGE);
	uint64_t pfn;

	if (*(volatile unsigned char *)at)
		broken("new memory is not zero");
	pfn = pfn_of(at);
	if (!page_has_flag(pfn, KPF_BIT_ZERO))
		broken("reading new memory does not find the zero page");
	munmap(at, PAGE);
	return pfn;
}

static void zero_page_is_left_alone(use_fn use, void *context, struct times times)
{
	uint64_t zero = zero_page();
	unsigned char *at = memory_untouched(LARGE);
	struct page_counts before = page_counts(zero), after;
	struct pins pins = pins_now();
	int i;

	if (long_run())
		times = (struct times){ LONG_LARGE, LONG_SMALL, times.others_pin };
	for (i = 0; i < times.large; i++)
		require(0, use(context, at, LARGE));
	for (i = 0; i < times.small; i++)
		require(0, use(context, at + LARGE / 2, PAGE));
	after = page_counts(zero);
	expect_true(after.references == before.references,
		    "references: %ld before, %ld after", before.references,
		    after.references);
	expect_value(before.pins, after.pins);
	if (!times.others_pin)
		expect_not_pinned(pins);
	/* it was the zero page all along */
	expect_true(pfn_of(at + LARGE - PAGE) == zero,
		    "the memory is no longer untouched");
}

static long use_write(void *context, unsigned char *at, size_t len)
{
	return write_at(*(int *)context, at, len, 0) < 0 ? -EIO : 0;
}

static void write_to(const char *path, int flags, struct times times)
{
	int fd = open_file(path, O_RDWR | O_DIRECT | flags);
	unsigned char *back = memory_new(MEMORY_SMALL, LARGE);
	size_t i;

	require(0, write_at(fd, back, LARGE, 0));
	zero_page_is_left_alone(use_write, &fd, times);
	expect(0, read_at(fd, back, LARGE, 0));
	for (i = 0; i < LARGE && !back[i]; i++)
		;
	expect_true(i == LARGE, "what was written is not zero");
	close(fd);
}

/* ---- struct page is read as it should be ---- */

CHECK(dio_counts_of_a_page, "D1,D3", STOCK_PASS)
{
	static const enum memory kinds[] = { MEMORY_SMALL, MEMORY_THP, MEMORY_HUGETLB };
	struct ring ring = ring_new();
	size_t i;

	set_for_check("/proc/sys/vm/nr_hugepages", "2");
	for (i = 0; i < 3; i++) {
		size_t size = i ? THP_SIZE : PAGE;
		unsigned char *at = memory_new(kinds[i], size);
		uint64_t pfn = pfn_of(at + size - PAGE);
		struct page_counts before, during;

		settle_references();
		before = page_counts(pfn);
		expect_true(before.references >= 1 && before.pins == 0,
			    "memory %zu: %ld references, %ld pins", i, before.references,
			    before.pins);
		require(0, ring_register(&ring, at, size));
		during = page_counts(pfn);
		expect_true(during.pins >= 1 && during.references > before.references,
			    "memory %zu, pinned: %ld references, %ld pins", i,
			    during.references, during.pins);
		require(0, ring_unregister(&ring));
		during = page_counts(pfn);
		expect_true(during.pins == 0 && during.references == before.references,
			    "memory %zu, unpinned: %ld references, %ld pins", i,
			    during.references, during.pins);
	}
}

/* ---- paths ---- */

CHECK(zero_page_in_bio, "D3", STOCK_PASS)
{
	write_to(in_dir("file"), O_CREAT, many);
}

CHECK(zero_page_in_legacy_direct_io, "D3", STOCK_PASS)
{
	char path[64];

	snprintf(path, sizeof(path), "/mnt/vfat/zero-%d", getpid());
	write_to(path, O_CREAT, many);
	unlink(path);
}

/* Beyond the file's last block the legacy code fills blocks from the zero page itself. */
CHECK(zero_page_fills_blocks_in_legacy_direct_io, "D3", STOCK_PASS)
{
	unsigned char *at = memory_new(MEMORY_SMALL, PAGE);
	uint64_t zero = zero_page();
	struct page_counts before;
	char path[64];
	int fd, i;

	snprintf(path, sizeof(path), "/mnt/vfat/fill-%d", getpid());
	fd = open_file(path, O_RDWR | O_CREAT | O_DIRECT);
	before = page_counts(zero);
	for (i = 0; i < 100; i++) {
		expect(0, write_at(fd, at, 512, (uint64_t)i * 3 * PAGE + 512));
		expect_true(result(pread(fd, at, PAGE, (off_t)i * 3 * PAGE)) >= 1024,
			    "read less");
		expect_true(!at[0] && !at[511] && at[512] == 0xee,
			    "the block before is not zero");
		memset(at, 0xee, PAGE);
	}
	expect_value(before.references, page_counts(zero).references);
	unlink(path);
}

NFS4_CHECK(zero_page, "D3", STOCK_PASS)
{
	nfs_mount_at(version, check_dir(),
		     ",port=2049"); /* no proxy: the long run is slow */
	write_to(nfs_path("file"), O_CREAT, few);
}

/* In flight, where a reference could be seen. */
NFS4_CHECK(zero_page_in_flight, "D3", STOCK_FAIL)
{
	const char *on_server = make_file("file", LARGE);
	unsigned char *at = memory_untouched(KiB(64));
	uint64_t zero = zero_page();
	struct page_counts before = page_counts(zero), during;
	struct deadline by = deadline_in(2000);
	struct iovec iov = { at, KiB(64) };
	struct pins pins = pins_now();
	struct request r;
	int fd;

	nfs_mount(version);
	fd = open_file(nfs_path("file"), O_RDWR | O_DIRECT);
	nfs_hold();
	require(0, request_start(&r, true, fd, &iov, 1, 0));
	/* the socket has references of its own, until its peer has what was sent */
	do
		during = page_counts(zero);
	while (during.references != before.references && deadline_wait(&by));
	expect_value(before.references, during.references);
	expect_value(before.pins, during.pins);
	nfs_release();
	expect_value((long)KiB(64), request_end(&r, 5000));
	expect_not_pinned(pins);
	expect_value(before.references, page_counts(zero).references);
	expect_true(file_is_zero(on_server, 0, KiB(64)), "the server has other data");
}

CHECK(zero_page_in_fuse, "D3", STOCK_PASS)
{
	write_to(fuse_mount(), 0, fuse);
}

struct uring {
	struct ring ring;
	int fd;
};

static long use_uring(void *context, unsigned char *at, size_t len)
{
	struct uring *u = context;
	long n = ring_do(&u->ring, IORING_OP_WRITE, u->fd, at, len, 0);

	return n < 0 ? n : n == (long)len ? 0 : -EIO;
}

CHECK(zero_page_in_io_uring, "D3", STOCK_PASS)
{
	struct uring u = { ring_new(),
			   open_file(in_dir("file"), O_RDWR | O_CREAT | O_DIRECT) };

	zero_page_is_left_alone(use_uring, &u, many);
}

/* A fixed buffer is for writing too: it gets pages of its own, never the zero page. */
CHECK(zero_page_in_no_fixed_buffer, "D3", STOCK_PASS)
{
	int fd = open_file(in_dir("file"), O_RDWR | O_CREAT | O_DIRECT);
	unsigned char *at = memory_untouched(LARGE);
	uint64_t zero = zero_page();
	struct page_counts before = page_counts(zero);
	struct ring ring = ring_new();
	struct pins pins = pins_now();
	size_t pos;
	int i;

	for (i = 0; i < 4; i++) {
		require(0, ring_register(&ring, at, LARGE));
		expect_in_flight(pins, LARGE / PAGE);
		for (pos = 0; pos < LARGE; pos += 8 * PAGE)
			if (pfn_of(at + pos) == zero)
				fail_now("the zero page is in a fixed buffer");
		expect_value((long)LARGE,
			     ring_do(&ring, IORING_OP_WRITE_FIXED, fd, at, LARGE, 0));
		require(0, ring_unregister(&ring));
		expect_pinned(pins, LARGE / PAGE);
		require(0, result(madvise(at, LARGE, MADV_DONTNEED)));
		pins = pins_now();
	}
	expect_value(before.references, page_counts(zero).references);
}

struct pipe {
	int ends[2], null;
};

static long use_vmsplice(void *context, unsigned char *at, size_t len)
{
	struct pipe *p = context;
	struct iovec iov = { at, len };
	ssize_t n;

	if (vmsplice(p->ends[1], &iov, 1, 0) != (ssize_t)len)
		return -EIO;
	for (; len; len -= (size_t)n) {
		n = splice(p->ends[0], NULL, p->null, NULL, len, 0);
		if (n <= 0)
			return -EIO;
	}
	return 0;
}

CHECK(zero_page_in_vmsplice, "D3", STOCK_PASS)
{
	struct pipe p = { .null = open_file("/dev/null", O_WRONLY) };

	if (pipe2(p.ends, O_CLOEXEC) || fcntl(p.ends[1], F_SETPIPE_SZ, (int)LARGE) < 0)
		broken("pipe: %s", errno_name(errno));
	zero_page_is_left_alone(use_vmsplice, &p, many);
}

/* The huge zero page is an ordinary large folio to GUP: what it is lent comes back. */
CHECK(huge_zero_page_in_bio, "D3", STOCK_PASS)
{
	unsigned char *at = mmap(NULL, 2 * THP_SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open_file(in_dir("file"), O_RDWR | O_CREAT | O_DIRECT), i;
	struct page_counts before, after;
	struct pins pins;
	uint64_t pfn;

	at += -(uintptr_t)at % THP_SIZE;
	if (madvise(at, THP_SIZE, MADV_HUGEPAGE))
		broken("madvise: %s", errno_name(errno));
	if (*(volatile unsigned char *)at)
		broken("new memory is not zero");
	pfn = pfn_of(at);
	if (!page_has_flag(pfn, KPF_BIT_ZERO) || !page_has_flag(pfn, KPF_BIT_THP))
		skip("no huge zero page");
	before = page_counts(pfn);
	pins = pins_now();
	for (i = 0; i < 100; i++)
		require(0, write_at(fd, at, THP_SIZE, 0));
	after = page_counts(pfn);
	expect_balance(pins, 1);
	expect_true(after.references == before.references && !after.pins,
		    "references: %ld before, %ld after; pins: %ld", before.references,
		    after.references, after.pins);
}
