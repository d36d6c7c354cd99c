// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * FUSE: direct I/O of a client's memory, and the device through which the file system's process
 * gets requests and answers them.  The file system is fuse-one, over libfuse.
 *
 * L2: its files cannot be leased.
 *
 * Both sides touch user memory: the client's pages are known, the process's depend on libfuse.
 * Where the client's are kernel pages, what is pinned was pinned by the device.  The process may
 * unpin its last page after the client has its answer, so counting begins before it exists.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fuse.h"
#include "scene.h"

#define NEW_SEED 7

static int direct_file(void)
{
	return open_file(fuse_mount(), O_RDWR | O_DIRECT);
}

/* The client's pages at least; the device's come on top. */
CHECK(fuse_read_and_write, "D1", STOCK_PASS)
{
	struct pins before = pins_now();
	int fd = direct_file();
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));

	pattern_fill(at, KiB(64), NEW_SEED, 0);
	expect(0, write_at(fd, at, KiB(64), KiB(64)));
	expect_balance(before, 16);
	before = pins_now();
	memset(at, 0, KiB(64));
	expect(0, read_at(fd, at, KiB(64), KiB(64)));
	expect_balance(before, 16);
	expect_true(pattern_matches(at, KiB(64), NEW_SEED, 0), "read other data");
}

CHECK(fuse_huge_page, "D1", STOCK_PASS)
{
	struct pins before = pins_now();
	int fd = direct_file();
	unsigned char *at = memory_new(MEMORY_THP, THP_SIZE);

	pattern_fill(at, THP_SIZE, NEW_SEED, 0);
	expect(0, write_at(fd, at, THP_SIZE, 0));
	expect_balance(before, THP_SIZE / PAGE);
	memset(at, 0, THP_SIZE);
	before = pins_now();
	expect(0, read_at(fd, at, THP_SIZE, 0));
	expect_balance(before, THP_SIZE / PAGE);
	expect_true(pattern_matches(at, THP_SIZE, NEW_SEED, 0), "read other data");
}

struct transfer {
	int fd, from;
	unsigned char *at;
	size_t len;
};

static void read_it(void *arg)
{
	const struct transfer *t = arg;

	if (read_at(t->fd, t->at, t->len, 0) < 0)
		_exit(errno);
	_exit(pattern_matches(t->at, t->len, FILE_SEED, 0) ? 0 : 255);
}

static struct transfer held_transfer(size_t offset, size_t len)
{
	struct transfer t = { .fd = direct_file(), .len = len };

	t.at = memory_new(MEMORY_SMALL, len + PAGE) + offset;
	pattern_fill(t.at, len, FILE_SEED, 0);
	require(0, write_at(t.fd, t.at, len, 0));
	fuse_hold();
	return t;
}

/* While the file system's process sleeps, exactly the client's pages are pinned. */
CHECK(fuse_read_in_flight, "D1", STOCK_PASS)
{
	struct pins before = pins_now();
	struct transfer t = held_transfer(100, KiB(64));
	pid_t pid = in_child(read_it, &t);

	await_outstanding(before, 17);
	fuse_release();
	expect_value(0, WEXITSTATUS(child_status(pid)));
	expect_balance(before, 17);
}

CHECK(fuse_server_dies, "D1", STOCK_PASS)
{
	struct pins before = pins_now();
	struct transfer t = held_transfer(0, KiB(64));
	pid_t pid = in_child(read_it, &t);

	await_outstanding(before, 16);
	kill(fuse_server(), SIGKILL);
	expect_value(ECONNABORTED, WEXITSTATUS(child_status(pid)));
	expect_balance(before, 16);
}

/* ---- kernel pages ---- */

static void fill_pipe(int ends[2], size_t len)
{
	unsigned char data[KiB(64)];

	if (pipe2(ends, O_CLOEXEC) || fcntl(ends[1], F_SETPIPE_SZ, (int)len) < 0)
		broken("pipe: %s", errno_name(errno));
	pattern_fill(data, len, NEW_SEED, 0);
	expect(0, result(write(ends[1], data, len)));
}

static void splice_it(void *arg)
{
	const struct transfer *t = arg;
	off_t pos = 0;

	_exit(splice(t->from, NULL, t->fd, &pos, t->len, 0) != (ssize_t)t->len);
}

/* A pipe's pages in flight through FUSE are not pinned, and arrive. */
CHECK(fuse_splice_in_flight, "D2", STOCK_PASS)
{
	struct pins before = pins_now();
	struct transfer t = { .fd = direct_file(), .len = KiB(64) };
	unsigned char *at = memory_new(MEMORY_SMALL, KiB(64));
	int ends[2];
	pid_t pid;

	fill_pipe(ends, KiB(64));
	t.from = ends[0];
	fuse_hold();
	pid = in_child(splice_it, &t);
	fuse_await(1);
	await_outstanding(before, 0);
	fuse_release();
	expect_value(0, child_status(pid));
	expect_balance(before, 0);
	expect(0, read_at(t.fd, at, KiB(64), 0));
	expect_true(pattern_matches(at, KiB(64), NEW_SEED, 0), "the file has other data");
}

/* Pinned in between is what the device copied from and to: the process's buffers. */
CHECK(fuse_device_pins, "D1,D2", STOCK_FAIL)
{
	struct pins before = pins_now();
	int fd = direct_file(), ends[2];
	off_t pos = 0;
	unsigned char data[KiB(64)];

	fill_pipe(ends, KiB(64));
	expect_value((long)KiB(64), result(splice(ends[0], NULL, fd, &pos, KiB(64), 0)));
	expect_balance(before, 16);
	before = pins_now();
	pos = 0;
	expect_value((long)KiB(64), result(splice(fd, &pos, ends[1], NULL, KiB(64), 0)));
	expect_balance(before, 16);
	expect_value((long)KiB(64), result(read(ends[0], data, KiB(64))));
	expect_true(pattern_matches(data, KiB(64), NEW_SEED, 0),
		    "the pipe has other data");
}

CHECK(fuse_lease, "L2", STOCK_FAIL)
{
	int fd = open_file(fuse_mount(), O_RDWR);

	expect(EOPNOTSUPP, result(fcntl(fd, F_SETLEASE, EXCLUSIVE_LAYOUT)));
	expect(EOPNOTSUPP, result(fcntl(fd, F_SETLEASE, F_LAYOUT)));
	expect_value(F_UNLCK, result(fcntl(fd, F_GETLEASE)));
}
