// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * T8: what a network client gets when the server refuses its layout change.  A process of the
 * server holds an exclusive layout lease on a file of a DAX file system; the client gets EIO at
 * once and asks once, and the file stays as it is.
 *
 * L4: what a client is told of the file's times.  L2: a client cannot lease.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "nfs.h"
#include "scene.h"

#define FILE_SIZE KiB(64)

static const char *served; /* folder on the DAX file system */
static struct actor *holder;

/* The file under a lease, and its path on the server. */
static const char *leased_file(enum nfs_version version)
{
	static char path[256];

	served = dax_folder();
	snprintf(path, sizeof(path), "%s/leased", served);
	make_file(path, FILE_SIZE);
	holder = actor_start("holder");
	must(a_setlease(holder, must(a_open(holder, path, O_RDWR)), EXCLUSIVE_LAYOUT));
	nfs_mount_at(version, served, "");
	return path;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct attempt {
	struct file_state before;
	const char *path;
	long calls;
	int64_t start;
};

static struct attempt attempt(const char *path)
{
	struct attempt a = { .path = path, .calls = nfs_calls(), .start = now_ms() };

	file_state(path, &a.before);
	return a;
}

/* A call has a few requests: looking the file up, opening, the change, closing. */
static void expect_refused(const struct attempt *a, const char *what, int want, long got)
{
	long calls = nfs_calls() - a->calls;
	int64_t ms = now_ms() - a->start;

	expect_true(got == -want, "%s: expected %s, seen %s", what, errno_name(want),
		    errno_name(got < 0 ? (int)-got : 0));
	expect_true(ms < 2000, "%s took %ld ms", what, (long)ms);
	expect_true(calls <= 16, "%s: the client asked %ld times", what, calls);
	expect_unchanged(a->path, &a->before, what);
}

#define expect_eio(path, step)                                 \
	do {                                                   \
		struct attempt a_ = attempt(path);             \
		expect_refused(&a_, #step, EIO, result(step)); \
	} while (0)

NFS_CHECK(truncate_under_lease, "T8", STOCK_FAIL)
{
	const char *path = leased_file(version);
	const char *file = nfs_path("leased");
	int fd = open_file(file, O_RDWR);

	expect_eio(path, truncate(file, PAGE));
	expect_eio(path, ftruncate(fd, 0));
	expect_eio(path, open(file, O_RDWR | O_TRUNC));
	/* what is no layout change the client may do */
	expect(0, result(ftruncate(fd, FILE_SIZE * 2)));
	expect(0, write_at(fd, "x", 1, 5));
	expect(0, result(fsync(fd)));
}

CHECK(nfs4_deallocate_under_lease, "T8", STOCK_FAIL)
{
	const char *path = leased_file(NFS4);
	int fd = open_file(nfs_path("leased"), O_RDWR);

	expect_eio(path,
		   fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	expect_eio(path, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE,
				   2 * PAGE));
	expect(0, result(fallocate(fd, 0, FILE_SIZE, FILE_SIZE)));
}

/* ext4 has no reflinks: it says so, lease or no lease. */
CHECK(nfs4_clone_under_lease, "T8", STOCK_FAIL)
{
	const char *path = leased_file(NFS4);
	int want = strcmp(fs_name(served), "xfs") ? EOPNOTSUPP : EIO;
	int leased = open_file(nfs_path("leased"), O_RDWR), other;
	char other_path[256];
	struct attempt a;

	snprintf(other_path, sizeof(other_path), "%s/other", served);
	make_file_with(other_path, FILE_SIZE, 7);
	other = open_file(nfs_path("other"), O_RDWR);
	a = attempt(path);
	expect_refused(&a, "CLONE of it", want, result(ioctl(other, FICLONE, leased)));
	a = attempt(path);
	expect_refused(&a, "CLONE onto it", want, result(ioctl(leased, FICLONE, other)));
	expect_true(file_has_pattern(other_path, 0, FILE_SIZE, 7),
		    "the other file changed");
}

/* The lease gone, the client's calls succeed. */
NFS4_CHECK(truncate_after_lease, "T8,T6", STOCK_FAIL)
{
	const char *path = leased_file(version);
	const char *file = nfs_path("leased");
	struct stat st;

	expect_eio(path, truncate(file, PAGE));
	actor_kill(holder);
	actor_reap(holder);
	expect(0, result(truncate(file, PAGE)));
	expect_true(!stat(path, &st) && st.st_size == (off_t)PAGE,
		    "the server's file has %ld bytes", (long)st.st_size);
}

/* What the client is told, which asks each time. */
static time_t told_mtime(void)
{
	struct stat st;

	if (stat(nfs_path("leased"), &st))
		fail_now("stat over NFS: %s", errno_name(errno));
	return st.st_mtime;
}

/*
 * NFSv3 shows the present as time of change while a process of the server holds a classic lease for
 * writing, so that clients drop what they have cached.  A layout lease is no reason to.
 */
NFS3_CHECK(mtime_under_lease, "L4", STOCK_FAIL)
{
	const struct timespec old[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
	char path[256];
	long fd;

	served = dax_folder();
	snprintf(path, sizeof(path), "%s/leased", served);
	make_file(path, FILE_SIZE);
	if (utimensat(AT_FDCWD, path, old, 0))
		broken("%s: %s", path, errno_name(errno));
	nfs_mount_at(version, served, ",noac");
	holder = actor_start("holder");
	fd = must(a_open(holder, path, O_RDWR));
	must(a_setlease(holder, fd, EXCLUSIVE_LAYOUT));
	expect_value(old->tv_sec, told_mtime());
	must(a_setlease(holder, fd, F_LAYOUT | F_UNLCK));
	must(a_setlease(holder, fd, F_LAYOUT));
	expect_value(old->tv_sec, told_mtime());
	must(a_setlease(holder, fd, F_WRLCK));
	expect_true(told_mtime() > old->tv_sec,
		    "a classic lease for writing is not seen in the time of change");
	must(a_setlease(holder, fd, F_UNLCK));
	expect_value(old->tv_sec, told_mtime());
}

/* L2: the client has nothing to lease, whatever its server has. */
NFS_CHECK(lease_on_the_clients_side, "L2", STOCK_FAIL)
{
	char path[256];
	int fd;

	served = dax_folder();
	snprintf(path, sizeof(path), "%s/leased", served);
	make_file(path, FILE_SIZE);
	nfs_mount_at(version, served, "");
	fd = open_file(nfs_path("leased"), O_RDWR);
	expect(EOPNOTSUPP, result(fcntl(fd, F_SETLEASE, EXCLUSIVE_LAYOUT)));
	expect(EOPNOTSUPP, result(fcntl(fd, F_SETLEASE, F_LAYOUT)));
	expect_value(F_UNLCK, result(fcntl(fd, F_GETLEASE)));
}
