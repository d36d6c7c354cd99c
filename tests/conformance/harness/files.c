// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "files.h"

/* Byte number pos & 7 of the word of the content that has byte number pos. */
static uint64_t pattern_word(uint64_t seed, uint64_t pos)
{
	uint64_t x = (pos / 8 + 1) * 0x9e3779b97f4a7c15ULL + seed * 0xd6e8feb86659fd93ULL;

	return (x ^ x >> 32) | 0x0101010101010101ULL;
}

/* How many bytes from pos on are in one word, and the first of them at its low end. */
static size_t pattern_at(uint64_t seed, uint64_t pos, size_t len, uint64_t *word)
{
	unsigned int skipped = pos % 8;

	*word = pattern_word(seed, pos) >> (8 * skipped);
	return len < 8 - skipped ? len : 8 - skipped;
}

/* By words: every content passes here, and a guest is emulated. */
void pattern_fill(void *buf, size_t len, uint64_t seed, uint64_t pos)
{
	unsigned char *p = buf;
	uint64_t word;
	size_t n;

	for (; len; len -= n, pos += n, p += n) {
		n = pattern_at(seed, pos, len, &word);
		if (n == 8)
			memcpy(p, &word, 8);
		else
			memcpy(p, &word, n);
	}
}

bool pattern_matches(const void *buf, size_t len, uint64_t seed, uint64_t pos)
{
	const unsigned char *p = buf;
	uint64_t word, seen;
	size_t n;

	for (; len; len -= n, pos += n, p += n) {
		n = pattern_at(seed, pos, len, &word);
		if (n == 8) {
			memcpy(&seen, p, 8);
			if (seen != word)
				return false;
		} else if (memcmp(p, &word, n)) {
			return false;
		}
	}
	return true;
}

static int open_new(const char *path, uint64_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, (off_t)size))
		broken("%s: cannot create: %s", path, errno_name(errno));
	return fd;
}

static const char *full_path(const char *name)
{
	return name[0] == '/' ? name : in_dir(name);
}

const char *make_sparse_file(const char *name, uint64_t size)
{
	const char *path = full_path(name);

	close(open_new(path, size));
	return path;
}

const char *make_file(const char *name, uint64_t size)
{
	return make_file_with(name, size, FILE_SEED);
}

const char *make_file_with(const char *name, uint64_t size, uint64_t seed)
{
	const char *path = full_path(name);
	int fd = open_new(path, size);
	unsigned char buf[KiB(64)];
	uint64_t pos;

	for (pos = 0; seed && pos < size; pos += sizeof(buf)) {
		size_t n = size - pos < sizeof(buf) ? size - pos : sizeof(buf);

		pattern_fill(buf, n, seed, pos);
		if (pwrite(fd, buf, n, (off_t)pos) != (ssize_t)n)
			broken("%s: cannot write: %s", path, errno_name(errno));
	}
	if (seed && fsync(fd))
		broken("%s: fsync: %s", path, errno_name(errno));
	close(fd);
	return path;
}

bool file_has_content_at(const char *path, uint64_t pos, uint64_t len, uint64_t seed,
			 uint64_t from)
{
	unsigned char buf[KiB(64)];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool same = fd >= 0;

	while (same && len) {
		size_t n = len < sizeof(buf) ? len : sizeof(buf);

		same = pread(fd, buf, n, (off_t)pos) == (ssize_t)n &&
		       pattern_matches(buf, n, seed, from);
		pos += n;
		from += n;
		len -= n;
	}
	if (fd >= 0)
		close(fd);
	return same;
}

bool file_has_pattern(const char *path, uint64_t pos, uint64_t len, uint64_t seed)
{
	return file_has_content_at(path, pos, len, seed, pos);
}

bool file_is_zero(const char *path, uint64_t pos, uint64_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char buf[PAGE];
	bool zero = fd >= 0;

	while (zero && len) {
		size_t n = len < sizeof(buf) ? len : sizeof(buf), i;

		zero = pread(fd, buf, n, (off_t)pos) == (ssize_t)n;
		for (i = 0; i < n; i++)
			zero = zero && !buf[i];
		pos += n;
		len -= n;
	}
	if (fd >= 0)
		close(fd);
	return zero;
}

/* ---- the state of a file ---- */

/* By words, as the content; a change of one word is never lost, of several hardly ever. */
static uint64_t hash_more(uint64_t h, const void *buf, size_t len)
{
	const unsigned char *p = buf;
	uint64_t word = 0;
	size_t n;

	for (; len; len -= n, p += n) {
		n = len < 8 ? len : 8;
		if (n == 8)
			memcpy(&word, p, 8);
		else
			memcpy(&word, p, n);
		h = (h ^ word) * 0x100000001b3ULL;
		h ^= h >> 32;
	}
	return h;
}

static uint64_t hash_content(int fd, const char *path)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	unsigned char buf[KiB(64)];
	off_t pos = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), pos)) > 0) {
		h = hash_more(h, buf, (size_t)n);
		pos += n;
	}
	if (n < 0)
		broken("%s: cannot read: %s", path, errno_name(errno));
	return h;
}

#define EXTENTS_MAX 64

static struct fiemap *file_extents(int fd)
{
	static union {
		struct fiemap map;
		char room[sizeof(struct fiemap) +
			  EXTENTS_MAX * sizeof(struct fiemap_extent)];
	} u;

	memset(&u, 0, sizeof(u));
	u.map.fm_length = FIEMAP_MAX_OFFSET;
	u.map.fm_flags = FIEMAP_FLAG_SYNC;
	u.map.fm_extent_count = EXTENTS_MAX;
	return ioctl(fd, FS_IOC_FIEMAP, &u.map) ? NULL : &u.map;
}

static uint64_t hash_extents(int fd)
{
	struct fiemap *m = file_extents(fd);
	uint64_t h = 0;
	uint32_t i;

	for (i = 0; m && i < m->fm_mapped_extents; i++) {
		h = hash_more(h, &m->fm_extents[i].fe_logical, sizeof(uint64_t));
		h = hash_more(h, &m->fm_extents[i].fe_physical, sizeof(uint64_t));
		h = hash_more(h, &m->fm_extents[i].fe_length, sizeof(uint64_t));
		h = hash_more(h, &m->fm_extents[i].fe_flags, sizeof(uint32_t));
	}
	return h;
}

long file_shared_extents(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct fiemap *m = fd < 0 ? NULL : file_extents(fd);
	long ret = m ? 0 : -errno;
	uint32_t i;

	for (i = 0; m && i < m->fm_mapped_extents; i++)
		ret += !!(m->fm_extents[i].fe_flags & FIEMAP_EXTENT_SHARED);
	if (fd >= 0)
		close(fd);
	return ret;
}

static bool not_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec >= b->tv_nsec;
}

/*
 * File times advance with the timer tick.  A change in the tick of the last one would not show, so
 * the state is taken only when that tick is over.
 */
static void wait_for_tick_after(const struct stat *st)
{
	struct timespec now;

	do
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	while (not_before(&st->st_ctim, &now) || not_before(&st->st_mtim, &now));
}

void file_state(const char *path, struct file_state *s)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char cap[64];
	ssize_t n;

	memset(s, 0, sizeof(*s));
	if (fd < 0 || fstat(fd, &s->st))
		broken("%s: cannot open: %s", path, errno_name(errno));
	wait_for_tick_after(&s->st);
	s->content = hash_content(fd, path);
	s->extents = hash_extents(fd);
	n = fgetxattr(fd, "security.capability", cap, sizeof(cap));
	s->capability = n > 0 ? hash_more(1, cap, (size_t)n) : 0;
	close(fd);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

const char *file_difference(const char *path, const struct file_state *before)
{
	struct file_state now;

	file_state(path, &now);
	return before->st.st_ino != now.st.st_ino                 ? "identity"
	       : before->st.st_size != now.st.st_size             ? "size"
	       : before->st.st_mode != now.st.st_mode             ? "mode"
	       : before->st.st_uid != now.st.st_uid               ? "owner"
	       : before->content != now.content                   ? "content"
	       : before->extents != now.extents                   ? "block map"
	       : !same_time(&before->st.st_mtim, &now.st.st_mtim) ? "mtime"
	       : !same_time(&before->st.st_ctim, &now.st.st_ctim) ? "ctime"
	       : before->capability != now.capability             ? "security.capability"
								  : NULL;
}

void expect_unchanged(const char *path, const struct file_state *before,
		      const char *after)
{
	const char *what = file_difference(path, before);

	if (what)
		fail_at(__FILE__, __LINE__, "%s: the file's %s changed", after, what);
}

bool file_set_capability(const char *path)
{
	struct vfs_cap_data cap = { .magic_etc = VFS_CAP_REVISION_2 };

	cap.data[0].permitted = 1u << CAP_NET_RAW;
	if (!setxattr(path, "security.capability", &cap, XATTR_CAPS_SZ_2, 0))
		return true;
	if (errno != EOPNOTSUPP)
		broken("%s: security.capability: %s", path, errno_name(errno));
	return false;
}

/* ---- small files, trees, file systems ---- */

ssize_t file_read(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	while (used < len - 1 && (n = read(fd, buf + used, len - 1 - used)) > 0)
		used += (size_t)n;
	if (n < 0)
		n = -errno;
	close(fd);
	buf[used] = '\0';
	return n < 0 ? n : (ssize_t)used;
}

int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

int file_empty(const char *path)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int file_remove_tree(const char *path)
{
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

const char *fs_name(const char *path)
{
	struct statfs s;

	if (statfs(path, &s))
		broken("%s: statfs: %s", path, errno_name(errno));
	switch (s.f_type) {
	case EXT4_SUPER_MAGIC:
		return "ext4";
	case XFS_SUPER_MAGIC:
		return "xfs";
	case TMPFS_MAGIC:
		return "tmpfs";
	default:
		return "other";
	}
}

uint64_t fs_free(const char *path)
{
	struct statfs s;

	if (statfs(path, &s))
		broken("%s: statfs: %s", path, errno_name(errno));
	return (uint64_t)s.f_bfree * (uint64_t)s.f_bsize;
}

/* XFS frees the blocks of removed files in the background. */
uint64_t fs_free_settled(const char *path)
{
	struct deadline by = deadline_in(2000);
	uint64_t last, now = fs_free(path);
	unsigned int same = 0;

	do {
		last = now;
		now = fs_free(path);
		same = last == now ? same + 1 : 0;
	} while (same < 10 && deadline_wait(&by));
	return now;
}

long vmstat(const char *name)
{
	static char text[16384];
	size_t len = strlen(name);
	char *p;
	int err;

	err = file_write("/proc/sys/vm/stat_refresh", "1");
	if (err)
		broken("vm.stat_refresh: %s", errno_name(-err));
	if (file_read("/proc/vmstat", text, sizeof(text)) < 0)
		broken("/proc/vmstat cannot be read");
	for (p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (!strncmp(p, name, len) && p[len] == ' ')
			return atol(p + len);
	broken("no %s in /proc/vmstat", name);
}
