// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * fork() while direct reads are in flight into private memory: what the device delivers later is
 * the parent's, whatever both write meanwhile, and the child has the memory as it was.
 *
 * The litmus tests fork-direct-io fork beside a loop of reads; here the reads cannot end before the
 * fork, since an NFS server keeps them: those of NFS, and those of a block device over NFS.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "nfs.h"
#include "scene.h"

#define HALF     (PAGE / 2)
#define OLD_SEED 5
#define NEW_SEED 7
#define OTHER    9
#define READS    8

struct family {
	unsigned char *at;
	size_t size;
	pid_t child;
	int go[2], done[2];
};

static void fill_halves(unsigned char *at, size_t size, uint64_t seed)
{
	size_t pos;

	for (pos = HALF; pos < size; pos += PAGE)
		pattern_fill(at + pos, HALF, seed, pos);
}

static bool halves_match(const unsigned char *at, size_t size, size_t first,
			 uint64_t seed)
{
	size_t pos;

	for (pos = first; pos < size; pos += PAGE)
		if (!pattern_matches(at + pos, HALF, seed, pos))
			return false;
	return true;
}

/* What the child must see is the memory at the time of the fork; then it writes all of it. */
static void child(void *arg)
{
	const struct family *f = arg;
	char byte;

	if (read(f->go[0], &byte, 1) != 1)
		_exit(2);
	if (!halves_match(f->at, f->size, HALF, OLD_SEED))
		_exit(3);
	pattern_fill(f->at, f->size, OTHER, 0);
	if (write(f->done[1], "", 1) != 1 || read(f->go[0], &byte, 1) != 1)
		_exit(4);
	_exit(pattern_matches(f->at, f->size, OTHER, 0) ? 0 : 5);
}

static void begin_family(struct family *f)
{
	if (pipe2(f->go, O_CLOEXEC) || pipe2(f->done, O_CLOEXEC))
		broken("pipe: %s", errno_name(errno));
	f->child = in_child(child, f);
}

/* The child compares and writes; when this returns it has done so. */
static void child_writes(const struct family *f)
{
	char byte;

	expect_true(write(f->go[1], "", 1) == 1 && read(f->done[0], &byte, 1) == 1,
		    "the child has other content, or died");
}

static void end_family(const struct family *f)
{
	expect_true(write(f->go[1], "", 1) == 1, "the child has gone");
	expect_value(0, child_status(f->child));
}

/*
 * Reads into the first half of every page, of which all are in flight when the process forks.  The
 * order of the writes after the fork decides who gets the copy where copying is late.
 */
static void fork_during_reads(int fd, enum memory kind, size_t size, bool child_first)
{
	struct family f = { .at = memory_new(kind, size), .size = size };
	size_t step = size / READS, i;
	struct request r[READS];
	struct iovec iov;

	for (i = 0; i < size; i += HALF)
		pattern_fill(f.at + i, HALF, OLD_SEED, i);
	nfs_hold();
	for (i = 0; i < READS; i++) {
		iov = (struct iovec){ f.at + i * step, HALF };
		require(0, request_start(&r[i], false, fd, &iov, 1, i * step));
	}
	begin_family(&f);
	if (child_first)
		child_writes(&f);
	fill_halves(f.at, size, NEW_SEED);
	if (!child_first)
		child_writes(&f);
	nfs_release();
	for (i = 0; i < READS; i++) {
		expect_value((long)HALF, request_end(&r[i], 8000));
		expect_true(pattern_matches(f.at + i * step, HALF, FILE_SEED, i * step),
			    "read %zu went elsewhere", i);
	}
	expect_true(halves_match(f.at, size, HALF, NEW_SEED), "the parent's writes went");
	end_family(&f);
}

static void over_nfs(enum memory kind, size_t size, bool child_first)
{
	if (kind == MEMORY_HUGETLB)
		set_for_check("/proc/sys/vm/nr_hugepages", "4");
	make_file("file", size);
	nfs_mount(NFS4);
	fork_during_reads(open_file(nfs_path("file"), O_RDONLY | O_DIRECT), kind, size,
			  child_first);
}

static void from_device(enum memory kind, size_t size, bool child_first)
{
	if (kind == MEMORY_HUGETLB)
		set_for_check("/proc/sys/vm/nr_hugepages", "4");
	fork_during_reads(held_device(size), kind, size, child_first);
}

/* A page that is only referenced is copied for whoever writes first: the parent, here. */
CHECK(fork_nfs_small_pages, "F2,D1", STOCK_FAIL)
{
	over_nfs(MEMORY_SMALL, KiB(64), false);
}

CHECK(fork_nfs_small_pages_child_first, "F2,D1", STOCK_FAIL)
{
	over_nfs(MEMORY_SMALL, KiB(64), true);
}

CHECK(fork_nfs_huge_page, "F2,D1", STOCK_FAIL)
{
	over_nfs(MEMORY_THP, THP_SIZE, false);
}

CHECK(fork_nfs_hugetlb, "F2,D1", STOCK_FAIL)
{
	over_nfs(MEMORY_HUGETLB, THP_SIZE, false);
}

CHECK(fork_device_small_pages, "F2,D1", STOCK_PASS)
{
	from_device(MEMORY_SMALL, KiB(64), false);
}

CHECK(fork_device_small_pages_child_first, "F2,D1", STOCK_PASS)
{
	from_device(MEMORY_SMALL, KiB(64), true);
}

CHECK(fork_device_huge_page, "F2,D1", STOCK_PASS)
{
	from_device(MEMORY_THP, THP_SIZE, false);
}

CHECK(fork_device_hugetlb, "F2,D1", STOCK_PASS)
{
	from_device(MEMORY_HUGETLB, THP_SIZE, false);
}

/* ---- a memory region and direct I/O on one buffer ---- */

#define BUFFER KiB(64)

struct reading {
	char path[300];
	uint64_t at;
};

static struct request in_actor;
static int source;

static long open_source(void *buf, size_t size)
{
	const struct reading *r = buf;

	(void)size;
	source = open(r->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	return source < 0 ? -errno : 0;
}

static long start_reading(void *buf, size_t size)
{
	const struct reading *r = buf;
	struct iovec iov = { (void *)(uintptr_t)r->at, BUFFER / 2 };

	(void)size;
	return request_start(&in_actor, false, source, &iov, 1, 0);
}

static long end_reading(void *buf, size_t size)
{
	(void)buf;
	(void)size;
	return request_end(&in_actor, 5000);
}

/* The device fills the first half, the peer the second, across a fork and writes by the child. */
static void read_and_rdma(const char *path)
{
	struct actor *a = actor_start("A"), *peer = actor_start("peer"), *child;
	struct reading r = { .at = 0 };
	struct mr mr;

	snprintf(r.path, sizeof(r.path), "%s", path);
	r.at = (uint64_t)must(a_mmap(a, 0, BUFFER, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	must(a_mem_write(a, r.at, BUFFER, OLD_SEED, 0));
	must(v_open(a, 0));
	must(v_open(peer, 0));
	v_connect(peer, 0, a, 0);
	require(0, v_reg(a, 0, r.at, BUFFER, REMOTE_RW, &mr));
	require(0, actor_call(a, open_source, &r, sizeof(r)));
	nfs_hold();
	require(0, actor_call(a, start_reading, &r, sizeof(r)));
	child = actor_fork(a, "child");
	expect(0, a_mem_check(child, r.at, BUFFER, OLD_SEED, 0));
	expect(0, a_mem_write(child, r.at, BUFFER, OTHER, 0));
	expect(0, v_write(peer, 0, &mr, BUFFER / 2, BUFFER / 2, NEW_SEED));
	nfs_release();
	expect_value((long)(BUFFER / 2), actor_call(a, end_reading, NULL, 0));
	expect(0, a_mem_check(a, r.at, BUFFER / 2, FILE_SEED, 0));
	expect(0, a_mem_check(a, r.at + BUFFER / 2, BUFFER / 2, NEW_SEED, BUFFER / 2));
	expect(0, a_mem_check(child, r.at, BUFFER, OTHER, 0));
	/* the region's pins hold what the read's no longer do */
	expect(0, v_write(peer, 0, &mr, 0, BUFFER, NEW_SEED));
	expect(0, a_mem_check(a, r.at, BUFFER, NEW_SEED, 0));
	expect(0, v_dereg(a, &mr));
}

CHECK(fork_nfs_and_rdma, "F1,F2", STOCK_PASS)
{
	make_file("file", BUFFER);
	nfs_mount(NFS4);
	read_and_rdma(nfs_path("file"));
}

CHECK(fork_device_and_rdma, "F1,F2", STOCK_PASS)
{
	char link[64], path[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", held_device(BUFFER));
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		broken("%s: %s", link, errno_name(errno));
	path[n] = '\0';
	read_and_rdma(path);
}
