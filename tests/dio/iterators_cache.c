// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The rows of the iterator table that come from the cache of a network file system.  cachefiles
 * does direct I/O on a file of the file system under test, for the pages of another file:
 *
 *	folioq	NFS mounted with fsc: what the server sent is written to the cache, and read from it
 *	xarray	EROFS on demand: read from the cache; only ceph writes with it
 *
 * Pages of the page cache: never pinned.  The references are of such a page: before, of one of a
 * file that no cache knows, after, of one that was the buffer of the transfer.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/cachefiles.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "erofs.h"
#include "iterators.h"
#include "nfs.h"
#include "space.h"

#define LEN ROW_LEN

/* ---- the cache ---- */

static void command(int cache, const char *text)
{
	if (write(cache, text, strlen(text)) < 0)
		broken("/dev/cachefiles: %s: %s", text, errno_name(errno));
}

/* The cache lies in a folder of the check's; it ends with the check. */
static int cache_new(const char *bind)
{
	int cache = open_file("/dev/cachefiles", O_RDWR);
	char text[400];

	if (mkdir(in_dir("cache"), 0700))
		broken("cache: %s", errno_name(errno));
	snprintf(text, sizeof(text), "dir %s", in_dir("cache"));
	command(cache, text);
	command(cache, bind);
	return cache;
}

static char cached[600];

static int find_cached(const char *path, const struct stat *st, int type,
		       struct FTW *walk)
{
	(void)walk;
	if (type != FTW_F || st->st_size != (off_t)LEN)
		return 0;
	snprintf(cached, sizeof(cached), "%s", path);
	return 1;
}

/* The file in the cache; it gets its name when the cache has done with it. */
static const char *cached_file(void)
{
	struct deadline by = deadline_in(5000);

	while (nftw(in_dir("cache"), find_cached, 8, FTW_PHYS) != 1)
		if (!deadline_wait(&by))
			fail_now("no file in the cache");
	return cached;
}

/* ---- the page cache ---- */

static void *map_file(int fd)
{
	void *at = mmap(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		broken("mmap: %s", errno_name(errno));
	return at;
}

/* Pages of a file that are in memory: direct I/O leaves none. */
static int resident(const char *path)
{
	int fd = open_file(path, O_RDONLY), n = 0;
	unsigned char in[ROW_PAGES];
	void *at = map_file(fd);

	if (mincore(at, LEN, in))
		broken("mincore: %s", errno_name(errno));
	for (long i = 0; i < ROW_PAGES; i++)
		n += in[i] & 1;
	munmap(at, LEN);
	close(fd);
	return n;
}

/*
 * Reads a file through the page cache, in folios of one page, and says whether that is the content.
 * The references of a page, once they are as many as they should be.
 */
static bool read_cached(const char *path, uint64_t seed, long want, long *references)
{
	struct deadline by = deadline_in(5000);
	int fd = open_file(path, O_RDONLY);
	unsigned char *at = malloc(LEN), *page;
	bool right;

	if (!at || posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM))
		broken("%s: %s", path, errno_name(errno));
	require(0, read_at(fd, at, LEN, 0));
	right = pattern_matches(at, LEN, seed, 0);
	free(at);
	page = map_file(fd);
	if (!page[0])
		right = false;
	do {
		settle_references();
		*references = page_counts(pfn_of(page)).references;
	} while (want && *references != want && deadline_wait(&by));
	munmap(page, LEN);
	close(fd);
	return right;
}

/* As many as a page of the page cache has that is mapped once. */
static long plain_references(void)
{
	const char *path = make_file("plain", LEN);
	int fd = open_file(path, O_RDONLY);
	long references;

	if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) || resident(path))
		broken("%s stays in memory", path);
	close(fd);
	if (!read_cached(path, FILE_SEED, 0, &references))
		broken("%s has other content", path);
	return references;
}

static void end_row(struct row *r, struct pins since)
{
	struct pins now;

	expect_pinned(since, 0);
	now = pins_now();
	r->acquired = now.acquired - since.acquired;
	r->released = now.released - since.released;
	expect_true(r->content, "%s: other content", row_name(r));
	expect_value(r->before, r->after);
	row_put(r);
}

/* ---- folio queue ---- */

/* Reads the file of a new mount, which knows nothing of it; true if it had that content. */
static bool read_mounted(uint64_t seed, struct row *r)
{
	const char *at = nfs_mount_at(NFS3, check_dir(), ",port=2049,fsc");
	bool right = read_cached(nfs_path("file"), seed, r->before, &r->after);

	if (umount(at))
		broken("umount: %s", errno_name(errno));
	return right;
}

/*
 * Tells lockdep of a checking kernel whether to look at the order of locks.  While a reader of the NFS
 * file holds its invalidate_lock, cachefiles of 6.12 takes the cache's file system for writing; others take
 * the two the other way round.  This is so without the series, too, and lockdep finds it now and then.
 */
static void prove_lock_order(bool on)
{
	int fd = open("/proc/sys/kernel/prove_locking", O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || write(fd, on ? "1" : "0", 1) != 1)
		broken("prove_locking: %s", errno_name(errno));
	close(fd);
}

CHECK(iterators_folio_queue, "D1,D2", STOCK_PASS)
{
	struct row r = { fs_name(check_dir()), .iterator = ITER_FOLIOQ, .write = true };
	unsigned char *at = memory_new(MEMORY_SMALL, LEN);
	struct pins before;
	const char *path;
	int fd;

	cache_new("bind");
	r.before = plain_references();
	make_file_with("file", LEN, 2);
	prove_lock_order(false);
	/* the first to read it fills the cache */
	before = pins_now();
	r.content = read_mounted(2, &r);
	path = cached_file();
	expect_value(0, resident(path));
	expect_pinned(before, 0);
	r.content = r.content && file_has_pattern(path, 0, LEN, 2);
	end_row(&r, before);
	/* the second gets what is in the cache, which is no longer what the server has */
	fd = open_file(path, O_RDWR | O_DIRECT);
	pattern_fill(at, LEN, 3, 0);
	require(0, write_at(fd, at, LEN, 0));
	close(fd);
	r.write = false;
	before = pins_now();
	r.content = read_mounted(3, &r);
	expect_value(0, resident(path));
	end_row(&r, before);
	prove_lock_order(true);
}

/* ---- xarray ---- */

static char mounted[64], fsid[32];

static void read_erofs(void *arg)
{
	struct row *r = arg;
	char options[64], path[80];

	snprintf(options, sizeof(options), "fsid=%s", fsid);
	if (mount("none", mounted, "erofs", MS_RDONLY, options))
		fail_now("mounting erofs (%s): %s", options, errno_name(errno));
	snprintf(path, sizeof(path), "%s/" EROFS_FILE, mounted);
	r->content = read_cached(path, 2, r->before, &r->after);
	_exit(0);
}

/* What the cache asks for: the image, then its content. */
union cache_request {
	struct cachefiles_msg msg;
	char space[CACHEFILES_MSG_MAX_SIZE];
};

static void await_request(int cache, uint32_t opcode, union cache_request *m)
{
	struct pollfd p = { .fd = cache, .events = POLLIN };

	if (poll(&p, 1, 5000) != 1 || read(cache, m, sizeof(*m)) <= 0 ||
	    m->msg.opcode != opcode)
		fail_now("the cache does not ask for request %u", opcode);
}

/* At the first request for content all of it is written; the request, not answered yet. */
static union cache_request fill_cache(int cache, int *file)
{
	unsigned char *image = memory_new(MEMORY_SMALL, EROFS_SIZE(LEN));
	union cache_request m;
	char opened[64];

	erofs_image(image, LEN);
	pattern_fill(image + EROFS_START, LEN, 2, 0);
	await_request(cache, CACHEFILES_OP_OPEN, &m);
	*file = (int)((const struct cachefiles_open *)m.msg.data)->fd;
	snprintf(opened, sizeof(opened), "copen %u,%lu", m.msg.msg_id, EROFS_SIZE(LEN));
	command(cache, opened);
	await_request(cache, CACHEFILES_OP_READ, &m);
	require(0, write_at(*file, image, EROFS_SIZE(LEN), 0));
	return m;
}

/* Waits for the reader; there is nothing that the cache might still ask for. */
static void await_reader(pid_t reader, int cache)
{
	struct deadline by = deadline_in(8000);
	struct pollfd p = { .fd = cache, .events = POLLIN };
	int status;

	while (!waitpid(reader, &status, WNOHANG))
		if (poll(&p, 1, 0) || !deadline_wait(&by))
			fail_now("the cache asks for what it has");
	if (status)
		fail_now("the reader ended with status %d", status);
}

CHECK(iterators_xarray, "D1,D2", STOCK_PASS)
{
	struct row *r = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pins start = pins_now(), before;
	union cache_request last;
	int cache, file;
	pid_t reader;

	if (r == MAP_FAILED)
		broken("mmap: %s", errno_name(errno));
	*r = (struct row){ .target = fs_name(check_dir()), .iterator = ITER_XARRAY };
	cache = cache_new("bind ondemand");
	r->before = plain_references();
	own_mounts();
	snprintf(mounted, sizeof(mounted), "/run/erofs-%d", getpid());
	snprintf(fsid, sizeof(fsid), "pinverbs-%d", getpid());
	if (mkdir(mounted, 0755))
		broken("%s: %s", mounted, errno_name(errno));
	reader = in_child(read_erofs, r);
	last = fill_cache(cache, &file);
	await_outstanding(start, 0);
	before = pins_now();
	require(0, result(ioctl(file, CACHEFILES_IOC_READ_COMPLETE, last.msg.msg_id)));
	await_reader(reader, cache);
	end_row(r, before);
	r->write = true;
	row_none(r, "ceph");
}
