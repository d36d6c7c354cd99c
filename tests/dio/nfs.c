// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * NFS direct I/O of user memory: pages are pinned, exactly those that the call touches, and
 * released once whatever becomes of the call.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "nfs.h"

#define FILE_SIZE KiB(256)
#define NEW_SEED  7

/* A file with content on the server, open for direct I/O on the client. */
static int direct_file(enum nfs_version version, const char **on_server)
{
	*on_server = make_file("file", FILE_SIZE);
	nfs_mount(version);
	return open_file(nfs_path("file"), O_RDWR | O_DIRECT);
}

NFS_CHECK(read_and_write, "D1", STOCK_FAIL)
{
	const char *on_server;
	int fd = direct_file(version, &on_server);
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	struct pins before = pins_now();

	expect(0, read_at(fd, at, KiB(64), KiB(64)));
	expect_pinned(before, 16);
	expect_true(pattern_matches(at, KiB(64), FILE_SEED, KiB(64)), "read other data");

	pattern_fill(at, KiB(64), NEW_SEED, KiB(128));
	before = pins_now();
	expect(0, write_at(fd, at, KiB(64), KiB(128)));
	expect_pinned(before, 16);
	expect_true(file_has_pattern(on_server, 0, KiB(128), FILE_SEED) &&
			    file_has_pattern(on_server, KiB(128), KiB(64), NEW_SEED) &&
			    file_has_pattern(on_server, KiB(192), KiB(64), FILE_SEED),
		    "the server has other data");
}

/* A read of many requests, and a large folio: every page of it counts. */
NFS4_CHECK(huge_page, "D1", STOCK_FAIL)
{
	const char *on_server = make_file("huge", THP_SIZE);
	unsigned char *at = memory_new(MEMORY_THP, THP_SIZE);
	struct pins before;
	int fd;

	nfs_mount_at(version, check_dir(), ",rsize=65536,wsize=65536");
	fd = open_file(nfs_path("huge"), O_RDWR | O_DIRECT);
	before = pins_now();
	expect(0, read_at(fd, at, THP_SIZE, 0));
	expect_pinned(before, THP_SIZE / PAGE);
	expect_true(pattern_matches(at, THP_SIZE, FILE_SEED, 0), "read other data");
	pattern_fill(at, THP_SIZE, NEW_SEED, 0);
	before = pins_now();
	expect(0, write_at(fd, at, THP_SIZE, 0));
	expect_pinned(before, THP_SIZE / PAGE);
	expect_true(file_has_pattern(on_server, 0, THP_SIZE, NEW_SEED),
		    "the server has other data");
}

/* Segments that begin and end within pages; NFS asks for no alignment. */
static int odd_vector(unsigned char *at, struct iovec iov[4], long *pages)
{
	static const struct {
		size_t at, len;
	} part[4] = { { 100, 5000 }, { 12288, 4096 }, { 20000, 1 }, { 30001, 20000 } };
	int i;

	*pages = 0;
	for (i = 0; i < 4; i++) {
		iov[i] = (struct iovec){ at + part[i].at, part[i].len };
		*pages += pages_of(iov[i].iov_base, iov[i].iov_len);
	}
	return 4;
}

static bool vector_matches(const struct iovec *iov, int n, uint64_t seed, uint64_t pos)
{
	for (; n; n--, iov++) {
		if (!pattern_matches(iov->iov_base, iov->iov_len, seed, pos))
			return false;
		pos += iov->iov_len;
	}
	return true;
}

static size_t vector_fill(const struct iovec *iov, int n, uint64_t seed, uint64_t pos)
{
	size_t len = 0;

	for (; n; n--, iov++) {
		pattern_fill(iov->iov_base, iov->iov_len, seed, pos + len);
		len += iov->iov_len;
	}
	return len;
}

NFS4_CHECK(unaligned_vector, "D1", STOCK_FAIL)
{
	const char *on_server;
	int fd = direct_file(version, &on_server), n;
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	struct iovec iov[4];
	struct pins before;
	long pages;
	size_t len;

	n = odd_vector(at, iov, &pages);
	before = pins_now();
	expect(0, result(preadv(fd, iov, n, 777)));
	expect_pinned(before, pages);
	expect_true(vector_matches(iov, n, FILE_SEED, 777), "read other data");
	expect_true(at[99] == 0xee && at[5100] == 0xee && at[19999] == 0xee &&
			    at[20001] == 0xee && at[50001] == 0xee,
		    "the read wrote beside its segments");
	len = vector_fill(iov, n, NEW_SEED, 333);
	before = pins_now();
	expect_value((long)len, result(pwritev(fd, iov, n, 333)));
	expect_pinned(before, pages);
	expect_true(file_has_pattern(on_server, 0, 333, FILE_SEED) &&
			    file_has_pattern(on_server, 333, len, NEW_SEED) &&
			    file_has_pattern(on_server, 333 + len, 4096, FILE_SEED),
		    "the server has other data");
}

/* What is pinned at a time ends within a page: it is pinned for what comes before and after. */
NFS4_CHECK(unaligned_requests, "D1", STOCK_FAIL)
{
	const char *on_server = make_file("file", KiB(320));
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(320)) + 100;
	const size_t len = 300000;
	struct pins before;
	int fd;

	nfs_mount_at(version, check_dir(), ",rsize=131072,wsize=131072");
	fd = open_file(nfs_path("file"), O_RDWR | O_DIRECT);
	before = pins_now();
	expect(0, read_at(fd, at, len, 777));
	expect_pinned(before, pages_of(at, len) + 2);
	expect_true(pattern_matches(at, len, FILE_SEED, 777), "read other data");
	pattern_fill(at, len, NEW_SEED, 333);
	before = pins_now();
	expect(0, write_at(fd, at, len, 333));
	expect_pinned(before, pages_of(at, len) + 2);
	expect_true(file_has_pattern(on_server, 0, 333, FILE_SEED) &&
			    file_has_pattern(on_server, 333, len, NEW_SEED) &&
			    file_has_pattern(on_server, 333 + len, 4096, FILE_SEED),
		    "the server has other data");
}

/*
 * What the server takes at a time ends within a page that was pinned as one: its request is split,
 * and each part has a pin.
 */
NFS4_CHECK(split_requests, "D1", STOCK_FAIL)
{
	const char *on_server = make_file("file", KiB(320));
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(320)) + 100;
	/* the second segment is pinned by whole pages, 100 bytes after what is taken at a time */
	struct iovec iov[2] = { { at, 2 * PAGE - 100 }, { at + 2 * PAGE - 100, 300000 } };
	const size_t len = iov[0].iov_len + iov[1].iov_len;
	struct pins before;
	int fd;

	nfs_mount_at(version, check_dir(), ",rsize=131072,wsize=131072");
	fd = open_file(nfs_path("file"), O_RDWR | O_DIRECT);
	before = pins_now();
	expect_value((long)len, result(preadv(fd, iov, 2, 777)));
	expect_pinned(before, pages_of(at, len) + 2);
	expect_true(pattern_matches(at, len, FILE_SEED, 777), "read other data");
	pattern_fill(at, len, NEW_SEED, 333);
	before = pins_now();
	expect_value((long)len, result(pwritev(fd, iov, 2, 333)));
	expect_pinned(before, pages_of(at, len) + 2);
	expect_true(file_has_pattern(on_server, 333, len, NEW_SEED),
		    "the server has other data");
}

NFS_CHECK(short_read, "D1", STOCK_FAIL)
{
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	struct pins before;
	int fd;

	make_file("short", 10000);
	nfs_mount(version);
	fd = open_file(nfs_path("short"), O_RDONLY | O_DIRECT);
	before = pins_now();
	expect_value(10000, result(pread(fd, at, KiB(64), 0)));
	expect_pinned(before, 16);
	expect_true(pattern_matches(at, 10000, FILE_SEED, 0), "read other data");
	expect_true(at[KiB(16)] == 0xee, "the read wrote far beyond the end of the file");
	before = pins_now();
	expect_value(0, result(pread(fd, at, KiB(64), KiB(64))));
	expect_pinned(before, 16);
}

/* ---- in flight ---- */

/* A request that cannot end: vector and memory may go, the pages stay until the answer. */
NFS4_CHECK(asynchronous_read, "D1", STOCK_FAIL)
{
	const char *on_server;
	int fd = direct_file(version, &on_server), n;
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	struct iovec *iov = (void *)memory_new(MEMORY_SMALL, PAGE);
	struct pins before = pins_now();
	struct request r;
	long pages;

	n = odd_vector(at, iov, &pages);
	nfs_hold();
	require(0, request_start(&r, false, fd, iov, n, 0));
	munmap(iov, PAGE);
	expect_in_flight(before, pages);
	nfs_release();
	expect_value(29097, request_end(&r, 5000));
	expect_pinned(before, pages);
	expect_true(pattern_matches(at + 100, 5000, FILE_SEED, 0) &&
			    pattern_matches(at + 12288, 4096, FILE_SEED, 5000) &&
			    pattern_matches(at + 30001, 20000, FILE_SEED, 9097),
		    "read other data");
}

NFS3_CHECK(asynchronous_write, "D1", STOCK_FAIL)
{
	const char *on_server;
	int fd = direct_file(version, &on_server);
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	struct iovec iov = { at, KiB(64) };
	struct pins before = pins_now();
	struct request r;

	pattern_fill(at, KiB(64), NEW_SEED, 0);
	nfs_hold();
	require(0, request_start(&r, true, fd, &iov, 1, 0));
	munmap(at, KiB(64));
	expect_in_flight(before, 16);
	nfs_release();
	expect_value((long)KiB(64), request_end(&r, 5000));
	expect_pinned(before, 16);
	expect_true(file_has_pattern(on_server, 0, KiB(64), NEW_SEED),
		    "the server has other data");
}

/* The connection breaks with the answers in it: the client asks again, with the same pages. */
NFS_CHECK(asked_again, "D1", STOCK_FAIL)
{
	const char *on_server;
	int fd = direct_file(version, &on_server);
	unsigned char *to = memory_new(MEMORY_SMALL, KiB(64));
	unsigned char *from = memory_new(MEMORY_SMALL, KiB(64));
	struct iovec read_iov = { to, KiB(64) }, write_iov = { from, KiB(64) };
	struct pins before = pins_now();
	struct request r, w;

	pattern_fill(from, KiB(64), NEW_SEED, KiB(128));
	nfs_hold();
	require(0, request_start(&r, false, fd, &read_iov, 1, 0));
	require(0, request_start(&w, true, fd, &write_iov, 1, KiB(128)));
	expect_in_flight(before, 32);
	nfs_cut();
	/* a client of v4.2 that is told to come back later does so after up to 15 s */
	expect_value((long)KiB(64), request_end(&r, 18000));
	expect_value((long)KiB(64), request_end(&w, 18000));
	expect_pinned(before, 32);
	expect_true(pattern_matches(to, KiB(64), FILE_SEED, 0), "read other data");
	expect_true(file_has_pattern(on_server, KiB(128), KiB(64), NEW_SEED),
		    "the server has other data");
}

struct reading {
	int fd;
	unsigned char *at;
};

static void read_all(void *arg)
{
	const struct reading *r = arg;

	_exit(read_at(r->fd, r->at, KiB(64), 0) < 0);
}

/* Who is killed while it waits leaves; what the server still may write to stays pinned. */
NFS4_CHECK(killed_reader, "D1", STOCK_FAIL)
{
	const char *on_server;
	struct reading r = { direct_file(version, &on_server), NULL };
	struct deadline by = deadline_in(2000);
	struct pins before, now;
	pid_t pid;
	int status;

	r.at = memory_new(MEMORY_SMALL, KiB(64));
	before = pins_now();
	nfs_hold();
	pid = in_child(read_all, &r);
	/* all of them: who is killed while it pins has asked for fewer */
	do
		now = pins_now();
	while (now.acquired - before.acquired < 16 && deadline_wait(&by));
	kill(pid, SIGKILL);
	status = child_status(pid);
	expect_true(WIFSIGNALED(status), "the reader ended with status %d", status);
	expect_in_flight(before, 16);
	nfs_release();
	expect_pinned(before, 16);
}

/* ---- calls that fail ---- */

NFS_CHECK(file_gone, "D1", STOCK_FAIL)
{
	const char *on_server;
	int fd = direct_file(version, &on_server);
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	struct pins before;

	if (unlink(on_server))
		broken("unlink: %s", errno_name(errno));
	before = pins_now();
	if (version == NFS3) {
		expect(ESTALE, read_at(fd, at, KiB(64), 0));
		expect_pinned(before, 16);
		before = pins_now();
		expect(ESTALE, write_at(fd, at, KiB(64), 0));
		expect_pinned(before, 16);
	} else { /* the client's open keeps it */
		expect(0, read_at(fd, at, KiB(64), 0));
		expect_pinned(before, 16);
	}
}

NFS3_CHECK(bad_memory, "D1", STOCK_FAIL)
{
	const char *on_server;
	int fd = direct_file(version, &on_server);
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	struct pins before = pins_now();

	/* half of it is gone: what could be pinned is released */
	munmap(at + KiB(32), KiB(32));
	expect_value((long)KiB(32), result(pread(fd, at, KiB(64), 0)));
	expect_pinned(before, 8);
	expect_true(pattern_matches(at, KiB(32), FILE_SEED, 0), "read other data");
	mprotect(at, KiB(32), PROT_READ);
	before = pins_now();
	expect(EFAULT, result(pread(fd, at, KiB(32), 0)));
	expect_not_pinned(before);
}

/* Takes all blocks of the server's file system. */
static void fill_disk(void)
{
	int fd = open_file(in_dir("filler"), O_RDWR | O_CREAT);
	off_t end = 0, len = (off_t)MiB(256);

	while (len >= 4096)
		if (fallocate(fd, 0, end, len))
			len /= 2;
		else
			end += len;
	close(fd);
}

NFS4_CHECK(no_space, "D1", STOCK_FAIL)
{
	unsigned char *at = memory_new(MEMORY_SMALL, MiB(1));
	struct pins before;
	int fd;

	make_sparse_file("file", MiB(8));
	nfs_mount(version);
	fd = open_file(nfs_path("file"), O_RDWR | O_DIRECT);
	fill_disk();
	before = pins_now();
	expect(ENOSPC, result(pwrite(fd, at, MiB(1), 0)));
	expect_pinned(before, MiB(1) / PAGE);
}
