// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Pages of the page cache that a direct read is writing: fsync() of their file ends, and what is
 * delivered after it is lost neither by reclaim nor by a later clean.
 *
 * The file system under test has the file; the read is of a block device that an NFS server keeps
 * waiting, so the pages are pinned for as long as the check wants.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "fuse.h"
#include "nfs.h"
#include "ring.h"
#include "scene.h"
#include "task.h"

#define SIZE     KiB(64)
#define OLD_SEED 5

struct pinned_cache {
	const char *path;
	int fd;
	unsigned char *at; /* shared mapping of the whole file */
	struct request read;
	struct pins before;
};

/* A file whose pages a read in flight is going to fill. */
static struct pinned_cache pinned_by(int source)
{
	struct pinned_cache c = { .path = make_file_with("cached", SIZE, OLD_SEED) };
	struct iovec iov;

	c.fd = open_file(c.path, O_RDWR);
	c.at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c.fd, 0);
	if (c.at == MAP_FAILED)
		broken("mmap: %s", errno_name(errno));
	pattern_fill(c.at, SIZE, OLD_SEED, 0); /* dirty, and mapped for writing */
	iov = (struct iovec){ c.at, SIZE };
	nfs_hold();
	c.before = pins_now();
	require(0, request_start(&c.read, false, source, &iov, 1, 0));
	expect_in_flight(c.before, SIZE / PAGE);
	return c;
}

static struct pinned_cache pinned_cache(void)
{
	return pinned_by(held_device(SIZE));
}

static void end_read(struct pinned_cache *c)
{
	nfs_release();
	expect_value((long)SIZE, request_end(&c->read, 5000));
	expect_pinned(c->before, SIZE / PAGE);
	expect_true(pattern_matches(c->at, SIZE, FILE_SEED, 0),
		    "the read's data is not in the mapping");
}

static void drop_caches(void)
{
	int err = file_write("/proc/sys/vm/drop_caches", "1");

	if (err)
		broken("drop_caches: %s", errno_name(-err));
}

/* What is on the disk; the page cache has no say. */
static bool disk_has(const char *path, uint64_t seed)
{
	unsigned char *at = memory_new(MEMORY_SMALL, SIZE);
	int fd = open_file(path, O_RDONLY | O_DIRECT);
	bool same = read_at(fd, at, SIZE, 0) == (long)SIZE &&
		    pattern_matches(at, SIZE, seed, 0);

	munmap(at, SIZE);
	close(fd);
	return same;
}

static long timed_fsync(int fd)
{
	struct timespec a, b;
	long err;

	clock_gettime(CLOCK_MONOTONIC, &a);
	err = result(fsync(fd));
	clock_gettime(CLOCK_MONOTONIC, &b);
	return err ? err : b.tv_sec - a.tv_sec < 5 ? 0 : -ETIMEDOUT;
}

CHECK(page_cache_fsync_during_read, "D1", STOCK_PASS)
{
	struct pinned_cache c = pinned_cache();
	int i;

	for (i = 0; i < 3; i++)
		expect(0, timed_fsync(c.fd));
	expect_in_flight(c.before, SIZE / PAGE);
	expect_true(disk_has(c.path, OLD_SEED), "fsync left other data on the disk");
	/* looking was direct I/O too */
	c.before.acquired += SIZE / PAGE;
	c.before.released += SIZE / PAGE;
	end_read(&c);
	/* what came after the clean is dirty again */
	expect(0, timed_fsync(c.fd));
	expect_true(disk_has(c.path, FILE_SEED), "data that came after fsync is lost");
}

/* The same by NFS itself, which has to dirty the pages that it has filled. */
CHECK(page_cache_fsync_during_nfs_read, "D1", STOCK_FAIL)
{
	struct pinned_cache c;

	make_file("source", SIZE);
	nfs_mount(NFS4);
	c = pinned_by(open_file(nfs_path("source"), O_RDONLY | O_DIRECT));
	expect(0, timed_fsync(c.fd));
	drop_caches();
	end_read(&c);
	expect(0, result(munmap(c.at, SIZE)));
	drop_caches();
	expect(0, timed_fsync(c.fd));
	expect_true(disk_has(c.path, FILE_SEED), "data that came after fsync is lost");
}

CHECK(page_cache_reclaim_during_read, "D1", STOCK_PASS)
{
	struct pinned_cache c = pinned_cache();

	expect(0, timed_fsync(c.fd)); /* clean: reclaim may want them */
	drop_caches();
	expect(0, result(madvise(c.at, SIZE, MADV_PAGEOUT)));
	drop_caches();
	expect_in_flight(c.before, SIZE / PAGE);
	end_read(&c);
	drop_caches();
	expect(0, result(madvise(c.at, SIZE, MADV_PAGEOUT)));
	expect_true(pattern_matches(c.at, SIZE, FILE_SEED, 0), "reclaim lost the data");
	expect(0, timed_fsync(c.fd));
	drop_caches();
	expect_true(disk_has(c.path, FILE_SEED), "the data did not reach the disk");
}

/* The mapping goes while the read is in flight; its pages are the file's still. */
CHECK(page_cache_unmapped_during_read, "D1", STOCK_PASS)
{
	struct pinned_cache c = pinned_cache();

	expect(0, timed_fsync(c.fd));
	require(0, result(munmap(c.at, SIZE)));
	drop_caches();
	expect_in_flight(c.before, SIZE / PAGE);
	nfs_release();
	expect_value((long)SIZE, request_end(&c.read, 5000));
	expect_pinned(c.before, SIZE / PAGE);
	drop_caches();
	expect_true(file_has_pattern(c.path, 0, SIZE, FILE_SEED),
		    "reclaim lost the data");
	expect(0, timed_fsync(c.fd));
	expect_true(disk_has(c.path, FILE_SEED), "the data did not reach the disk");
}

/* Truncated under the read: it fills pages that are nobody's any more. */
CHECK(page_cache_truncated_during_read, "D1", STOCK_PASS)
{
	struct pinned_cache c = pinned_cache();

	expect(0, result(ftruncate(c.fd, 0)));
	expect(0, result(ftruncate(c.fd, (off_t)SIZE)));
	expect(0, timed_fsync(c.fd));
	nfs_release();
	expect_value((long)SIZE, request_end(&c.read, 5000));
	expect_pinned(c.before, SIZE / PAGE);
	expect_true(file_is_zero(c.path, 0, SIZE), "a truncated page is in the file");
	drop_caches();
	expect_true(file_is_zero(c.path, 0, SIZE), "a truncated page is on the disk");
}

/* ---- a page that somebody has locked when the read ends ---- */

static void sync_it(void *arg)
{
	_exit(fsync(*(int *)arg) ? 1 : 0);
}

/* Makes the page writable, and changes nothing. */
static void touch_it(void *arg)
{
	__atomic_fetch_or((unsigned char *)arg, 0, __ATOMIC_RELAXED);
	_exit(0);
}

/* Pages of a FUSE file that a read over NFS is going to fill. */
static struct pinned_cache pinned_fuse(void)
{
	struct pinned_cache c = { .path = fuse_mount() };
	struct iovec iov;
	int source;

	c.fd = open_file(fuse_cached(), O_RDWR);
	c.at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c.fd, 0);
	if (c.at == MAP_FAILED)
		broken("mmap: %s", errno_name(errno));
	pattern_fill(c.at, SIZE, OLD_SEED, 0);
	make_file("source", SIZE);
	nfs_mount(NFS4);
	source = open_file(nfs_path("source"), O_RDONLY | O_DIRECT);
	iov = (struct iovec){ c.at, SIZE };
	nfs_hold();
	c.before = pins_now();
	require(0, request_start(&c.read, false, source, &iov, 1, 0));
	expect_in_flight(c.before, SIZE / PAGE);
	return c;
}

/*
 * A write fault on a FUSE file has the page locked while it waits for the page's last write to end.
 * What fills the page must not wait for the lock where NFS ends all its requests, and the page has to be
 * dirty nevertheless.
 */
CHECK(page_cache_locked_during_nfs_read, "D1", STOCK_FAIL)
{
	struct pinned_cache c = pinned_fuse();
	struct deadline by = deadline_in(5000);
	struct task_watch watch = { 0 };
	pid_t syncs, faults;
	struct stat st;

	fuse_hold();
	syncs = in_child(sync_it, &c.fd);
	fuse_await(1);
	faults = in_child(touch_it, c.at);
	while (task_blocked_ms(faults, &watch) < 200)
		if (!deadline_wait(&by))
			fail_now("the write fault does not wait for the write");
	nfs_release();
	/* no other request of NFS is held up */
	expect(0, result(stat(nfs_path("source"), &st)));
	expect_value(-ETIME, request_end(&c.read, 200));
	fuse_release();
	expect_value((long)SIZE, request_end(&c.read, 5000));
	expect_value(0, child_status(syncs));
	expect_value(0, child_status(faults));
	expect_balance(c.before, SIZE / PAGE);
	expect_true(pattern_matches(c.at, SIZE, FILE_SEED, 0),
		    "the read's data is not in the mapping");
	expect(0, timed_fsync(c.fd));
	expect_true(file_has_pattern(c.path, 0, SIZE, FILE_SEED),
		    "the server does not have the data");
}

/* ---- long-term pins, which 6.12 refuses for writing ---- */

CHECK(page_cache_refuses_long_term_writing, "D1,P7", STOCK_PASS)
{
	int fd = open_file(make_file("cached", SIZE), O_RDWR);
	unsigned char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct ring ring = ring_new();
	struct pins before = pins_now();

	if (at == MAP_FAILED)
		broken("mmap: %s", errno_name(errno));
	expect(EFAULT, ring_register(&ring, at, SIZE));
	expect_outstanding(before, 0);
	/* first written to, so that there is nothing to fault in */
	memset(at, 1, SIZE);
	expect(EFAULT, ring_register(&ring, at, SIZE));
	expect_outstanding(before, 0);
}

/* Registered for reading: fsync() works, and a peer reads what the file has. */
CHECK(page_cache_registered_for_reading, "P7", STOCK_PASS)
{
	struct actor *a = actor_start("A"), *peer = actor_start("peer");
	const char *path = make_file("cached", SIZE);
	long fd = must(a_open(a, path, O_RDWR)), addr;
	struct mr mr;

	addr = must(a_mmap_shared(a, fd, SIZE));
	must(v_open(a, 0));
	must(v_open(peer, 0));
	v_connect(peer, 0, a, 0);
	expect(EFAULT, v_reg(a, 0, (uint64_t)addr, SIZE, REMOTE_RW, NULL));
	require(0, v_reg(a, 0, (uint64_t)addr, SIZE, IBV_ACCESS_REMOTE_READ, &mr));
	must(a_mem_write(a, (uint64_t)addr, SIZE, 3, 0));
	expect(0, a_fsync(a, fd));
	expect(0, v_read_check(peer, 0, &mr, 0, SIZE, 3));
	drop_caches();
	must(a_mem_write(a, (uint64_t)addr, SIZE, 4, 0));
	expect(0, a_fsync(a, fd));
	expect(0, v_read_check(peer, 0, &mr, 0, SIZE, 4));
	expect_true(disk_has(path, 4), "the data did not reach the disk");
	expect(0, v_dereg(a, &mr));
}
