// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Pages of the kernel that reach NFS direct I/O: from pipes, other files, a loop device, swap.
 * They are the kernel's own, so nothing is pinned or unpinned, and the content is right.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/swap.h>

#include "loop.h"
#include "nfs.h"

#define FILE_SIZE KiB(256)
#define NEW_SEED  7

static void new_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) || fcntl(ends[1], F_SETPIPE_SZ, (int)KiB(64)) < 0)
		broken("pipe: %s", errno_name(errno));
}

static void splice_all(int from, off_t *from_pos, int to, off_t *to_pos, size_t len)
{
	ssize_t n;

	for (; len; len -= (size_t)n) {
		n = splice(from, from_pos, to, to_pos, len, 0);
		if (n <= 0)
			fail_now("splice: %s with %zu bytes to go", errno_name(errno),
				 len);
	}
}

NFS_CHECK(splice, "D2", STOCK_PASS)
{
	const char *on_server = make_file("file", FILE_SIZE);
	unsigned char data[KiB(64)];
	struct pins before;
	int ends[2], fd;
	off_t pos;

	nfs_mount(version);
	fd = open_file(nfs_path("file"), O_RDWR | O_DIRECT);
	new_pipe(ends);
	before = pins_now();
	pattern_fill(data, sizeof(data), NEW_SEED, KiB(64));
	expect(0, result(write(ends[1], data, sizeof(data))));
	pos = KiB(64);
	splice_all(ends[0], NULL, fd, &pos, sizeof(data));
	pos = KiB(32);
	splice_all(fd, &pos, ends[1], NULL, sizeof(data));
	expect(0, result(read(ends[0], data, sizeof(data))));
	expect_not_pinned(before);
	expect_true(pattern_matches(data, KiB(32), FILE_SEED, KiB(32)) &&
			    pattern_matches(data + KiB(32), KiB(32), NEW_SEED, KiB(64)),
		    "the pipe has other data");
	expect_true(file_has_pattern(on_server, 0, KiB(64), FILE_SEED) &&
			    file_has_pattern(on_server, KiB(64), KiB(64), NEW_SEED) &&
			    file_has_pattern(on_server, KiB(128), KiB(128), FILE_SEED),
		    "the server has other data");
}

NFS4_CHECK(sendfile, "D2", STOCK_PASS)
{
	const char *on_server = make_sparse_file("to", FILE_SIZE);
	const char *copy = make_sparse_file("copy", 0);
	struct pins before;
	int from, to, back;
	off_t pos = 0;

	make_file_with("from", FILE_SIZE, NEW_SEED);
	nfs_mount(version);
	from = open_file(in_dir("from"), O_RDONLY);
	to = open_file(nfs_path("to"), O_RDWR | O_DIRECT);
	back = open_file(copy, O_RDWR);
	before = pins_now();
	expect_value((long)FILE_SIZE, result(sendfile(to, from, &pos, FILE_SIZE)));
	pos = 0;
	expect_value((long)FILE_SIZE, result(sendfile(back, to, &pos, FILE_SIZE)));
	expect_not_pinned(before);
	expect_true(file_has_pattern(on_server, 0, FILE_SIZE, NEW_SEED),
		    "the server has other data");
	expect_true(file_has_pattern(copy, 0, FILE_SIZE, NEW_SEED),
		    "what came back is other data");
}

/*
 * The loop driver sends asynchronous requests and frees their vectors at completion.  The device's
 * page cache is the kernel's; direct I/O of a process on the device pins once, in the block layer.
 */
NFS_CHECK(loop, "D1,D2", STOCK_PASS)
{
	const char *on_server = make_file("image", MiB(1));
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	struct pins before;
	int fd;

	nfs_mount(version);
	fd = loop_device(nfs_path("image"), LO_FLAGS_DIRECT_IO);
	before = pins_now();
	expect(0, read_at(fd, at, KiB(64), KiB(64)));
	expect_true(pattern_matches(at, KiB(64), FILE_SEED, KiB(64)), "read other data");
	pattern_fill(at, KiB(64), NEW_SEED, KiB(256));
	expect(0, write_at(fd, at, KiB(64), KiB(256)));
	expect(0, result(fsync(fd)));
	expect_not_pinned(before);
	expect_true(file_has_pattern(on_server, KiB(256), KiB(64), NEW_SEED),
		    "the server has other data");

	require(0, result(fcntl(fd, F_SETFL, O_DIRECT)));
	expect(0, read_at(fd, at, KiB(64), KiB(512)));
	expect_pinned(before, 16);
	expect_true(pattern_matches(at, KiB(64), FILE_SEED, KiB(512)), "read other data");
	pattern_fill(at, KiB(64), NEW_SEED, KiB(512));
	expect(0, write_at(fd, at, KiB(64), KiB(512)));
	expect_pinned(before, 32);
	expect_true(file_has_pattern(on_server, KiB(512), KiB(64), NEW_SEED),
		    "the server has other data");
}

/* Several requests of the loop driver in flight, their answers late. */
NFS4_CHECK(loop_in_flight, "D2", STOCK_PASS)
{
	const char *on_server = make_file("image", MiB(1));
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	struct iovec iov = { at, KiB(64) };
	struct pins before;
	struct request r;
	int fd;

	nfs_mount(version);
	fd = loop_device(nfs_path("image"), LO_FLAGS_DIRECT_IO);
	require(0, result(fcntl(fd, F_SETFL, O_DIRECT)));
	pattern_fill(at, KiB(64), NEW_SEED, KiB(128));
	before = pins_now();
	nfs_hold();
	require(0, request_start(&r, true, fd, &iov, 1, KiB(128)));
	/* the block layer's pins; the loop driver's request adds none */
	expect_in_flight(before, 16);
	nfs_release();
	expect_value((long)KiB(64), request_end(&r, 5000));
	expect_pinned(before, 16);
	expect_true(file_has_pattern(on_server, KiB(128), KiB(64), NEW_SEED),
		    "the server has other data");
}

/* How many pages of a file are pages of the content of seed, wherever. */
static size_t pages_found(const char *path, size_t size, uint64_t seed, size_t content)
{
	unsigned char *want = memory_new(MEMORY_SMALL, content), page[PAGE];
	int fd = open_file(path, O_RDONLY);
	size_t pos, i, found = 0;

	pattern_fill(want, content, seed, 0);
	for (pos = 0; pos < size; pos += PAGE) {
		if (pread(fd, page, PAGE, (off_t)pos) != (ssize_t)PAGE)
			break;
		for (i = 0; i < content; i += PAGE)
			found += !memcmp(page, want + i, PAGE);
	}
	close(fd);
	return found;
}

/* Swap over NFS is direct I/O of the client's own pages. */
NFS4_CHECK(swap, "D2", STOCK_PASS)
{
	const size_t size = KiB(256);
	const char *on_server = make_swap_file("swap", MiB(1));
	unsigned char *at = memory_new(MEMORY_SMALL, size);
	struct deadline by = deadline_in(5000);
	struct pins before;
	size_t found;

	nfs_mount(version);
	pattern_fill(at, size, NEW_SEED, 0);
	before = pins_now();
	if (swapon(nfs_path("swap"), 0)) {
		if (errno == EINVAL)
			skip("kernel without NFS_SWAP");
		fail_now("swapon: %s", errno_name(errno));
	}
	/* madvise() does not wait for the writes, and leaves out pages that are in use just now */
	do {
		expect(0, result(madvise(at, size, MADV_PAGEOUT)));
		found = pages_found(on_server, MiB(1), NEW_SEED, size);
	} while (found < size / PAGE / 2 && deadline_wait(&by));
	expect_true(found >= size / PAGE / 2, "only %zu pages are in the swap file",
		    found);
	expect_true(pattern_matches(at, size, NEW_SEED, 0), "swap gave other data");
	expect(0, result(swapoff(nfs_path("swap"))));
	expect_true(pattern_matches(at, size, NEW_SEED, 0), "swap gave other data");
	expect_not_pinned(before);
}
