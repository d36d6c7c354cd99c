// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Steps with files and descriptors. */
#include <stdlib.h>
#include <sys/ioctl.h>

#include "do.h"

#define OPEN_WORDS \
	"rdonly|wronly|rdwr|creat|excl|trunc|append|direct|path|nonblock|inherit"
#define INHERIT (1u << 10)

/* "inherit" is no flag: it leaves close-on-exec away. */
static int open_flags(uint64_t words)
{
	static const int flag[] = {
		O_RDONLY, O_WRONLY, O_RDWR,   O_CREAT, O_EXCL,
		O_TRUNC,  O_APPEND, O_DIRECT, O_PATH,  O_NONBLOCK,
	};
	int flags = words & INHERIT ? 0 : O_CLOEXEC;
	size_t i;

	for (i = 0; i < sizeof(flag) / sizeof(flag[0]); i++)
		if (words >> i & 1)
			flags |= flag[i];
	return flags;
}

DO(open)
{
	long fd = SYS(a, SYS_openat, V(AT_FDCWD), STR(path_of(&arg[0])),
		      V(open_flags(arg[1].number)), V(0644));

	if (fd >= 0 && result)
		result->fd = fd;
	return fd;
}

DO(close)
{
	return a_close(a, fd_of(&arg[0]));
}

DO(dup)
{
	long fd = a_dup(a, fd_of(&arg[0]));

	if (fd >= 0 && result)
		result->fd = fd;
	return fd;
}

DO(inherit)
{
	return a_fcntl(a, fd_of(&arg[0]), F_SETFD, 0);
}

/* Memory without a name in any file system, normal or of huge pages. */
DO(memfd)
{
	unsigned int flags =
		MFD_CLOEXEC | (arg[1].kind && arg[1].number ? MFD_HUGETLB : 0);
	long fd = SYS(a, SYS_memfd_create, STR("litmus"), V(flags)), ret;

	if (fd < 0)
		return fd;
	ret = a_ftruncate(a, fd, arg[0].number);
	if (ret < 0)
		return ret;
	if (result)
		result->fd = fd;
	return fd;
}

/* ---- content ---- */

struct content_step {
	long fd;
	uint64_t from, to;
	unsigned long seed;
};

static void fill(unsigned char *buf, size_t n, unsigned long seed, uint64_t pos)
{
	if (seed)
		pattern_fill(buf, n, seed, pos);
	else
		memset(buf, 0, n);
}

static long write_content(void *arg, size_t size)
{
	const struct content_step *c = arg;
	unsigned char *buf = aligned_alloc(PAGE, KiB(64));
	uint64_t pos = c->from;
	long ret = buf ? 0 : -ENOMEM;

	(void)size;
	while (!ret && pos < c->to) {
		size_t n = c->to - pos < KiB(64) ? c->to - pos : KiB(64);
		ssize_t done;

		fill(buf, n, c->seed, pos);
		done = pwrite((int)c->fd, buf, n, (off_t)pos);
		ret = done < 0 ? -errno : done == 0 ? -EIO : 0;
		pos += ret ? 0 : (uint64_t)done;
	}
	free(buf);
	return ret;
}

static long read_content(void *arg, size_t size)
{
	const struct content_step *c = arg;
	unsigned char *buf = aligned_alloc(PAGE, KiB(64)), *want = malloc(KiB(64));
	uint64_t pos = c->from;
	long ret = buf && want ? 0 : -ENOMEM;

	(void)size;
	while (!ret && pos < c->to) {
		size_t n = c->to - pos < KiB(64) ? c->to - pos : KiB(64);
		ssize_t done = pread((int)c->fd, buf, n, (off_t)pos);

		if (done <= 0) {
			ret = done ? -errno : -ENODATA;
			break;
		}
		fill(want, (size_t)done, c->seed, pos);
		ret = memcmp(buf, want, (size_t)done) ? -EILSEQ : 0;
		pos += (uint64_t)done;
	}
	free(buf);
	free(want);
	return ret;
}

static long content_call(struct actor *a, struct arg *arg, actor_fn fn)
{
	struct content_step c = { .fd = fd_of(&arg[0]),
				  .from = arg[1].range.from,
				  .to = arg[1].range.to,
				  .seed = arg[2].number };

	if (c.to == RANGE_END) {
		struct stat st;
		long ret = SYS(a, SYS_fstat, V(c.fd), OUT(&st, sizeof(st)));

		if (ret < 0)
			return ret;
		c.to = (uint64_t)st.st_size;
	}
	return actor_call(a, fn, &c, sizeof(c));
}

DO(write)
{
	return content_call(a, arg, write_content);
}

DO(read)
{
	return content_call(a, arg, read_content);
}

/* ---- names and attributes ---- */

DO(fsync)
{
	return a_fsync(a, fd_of(&arg[0]));
}

DO(sync)
{
	return SYS(a, SYS_sync, V(0));
}

DO(unlink)
{
	return a_unlink(a, path_of(&arg[0]));
}

DO(rename)
{
	return a_rename(a, path_of(&arg[0]), path_of(&arg[1]));
}

DO(link)
{
	return a_link(a, path_of(&arg[0]), path_of(&arg[1]));
}

DO(chmod)
{
	return a_chmod(a, path_of(&arg[0]), (mode_t)arg[1].number);
}

DO(chown)
{
	return a_chown(a, path_of(&arg[0]), (uid_t)arg[1].number);
}

DO(touch)
{
	return SYS(a, SYS_utimensat, V(AT_FDCWD), STR(path_of(&arg[0])), V(0), V(0));
}

DO(setcap)
{
	return file_set_capability(path_of(&arg[0])) ? 0 : -EOPNOTSUPP;
}

DO(peruse)
{
	char buf[512];
	long fd = a_open(a, path_of(&arg[0]), O_RDONLY), n;

	if (fd < 0)
		return fd;
	n = SYS(a, SYS_read, V(fd), OUT(buf, sizeof(buf)), V(sizeof(buf)));
	a_close(a, fd);
	return n;
}

const struct verb file_verbs[] = {
	{ "open", "FILE +" OPEN_WORDS, K_FD, do_open, "opens $1 ($2){ as $=}", 0, NULL },
	{ "close", "FD", K_NONE, do_close, "closes $1", 0, NULL },
	{ "dup", "FD", K_FD, do_dup, "duplicates $1 as $=", 0, NULL },
	{ "memfd", "SIZE [normal|hugetlb]", K_FD, do_memfd,
	  "makes a memfd of $1{ ($2)}{ as $=}", 0, NULL },
	{ "inherit", "FD", K_NONE, do_inherit, "lets $1 stay open across exec", 0, NULL },
	{ "write", "FD RANGE content N", K_NONE, do_write,
	  "writes content $3 to bytes $2 of $1", 0, NULL },
	{ "read", "FD RANGE content N", K_NONE, do_read,
	  "reads content $3 from bytes $2 of $1", 0, NULL },
	{ "fsync", "FD", K_NONE, do_fsync, "syncs $1", 0, NULL },
	{ "sync", "", K_NONE, do_sync, "syncs everything", 0, NULL },
	{ "unlink", "FILE", K_NONE, do_unlink, "removes the name $1", 0, NULL },
	{ "rename", "FILE to FILE", K_NONE, do_rename, "renames $1 to $2", 0, NULL },
	{ "link", "FILE to FILE", K_NONE, do_link, "links $1 as $2", 0, NULL },
	{ "chmod", "FILE N", K_NONE, do_chmod, "sets the mode of $1 to $2", 0, NULL },
	{ "chown", "FILE to N", K_NONE, do_chown, "gives $1 to user $2", 0, NULL },
	{ "touch", "FILE", K_NONE, do_touch, "sets the times of $1", 0, NULL },
	{ "setcap", "FILE", K_NONE, do_setcap, "gives $1 a file capability", 0, NULL },
	{ "peruse", "FILE", K_NONE, do_peruse, "opens and reads $1", 0, NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
