// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * L2, L3: what the NFS server and holders of layout leases are to each other.  A pNFS client has a
 * layout, the blocks of the file for its own use, which the server can recall; an exclusive lease
 * cannot be, so there is one or the other.  Cooperative leases and layouts leave each other alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nfs.h"
#include "nfs41.h"
#include "scene.h"

#define FILE_SIZE KiB(64)

/* A file of the DAX file system, opened by an actor and by the client. */
struct shared {
	char path[256];
	struct actor *holder;
	long fd;
};

static struct shared shared_file(bool pnfs)
{
	const uint64_t sigio = 1ULL << (SIGIO - 1);
	struct shared s;

	snprintf(s.path, sizeof(s.path), "%s/file", dax_folder());
	make_file(s.path, FILE_SIZE);
	s.holder = actor_start("holder");
	must(SYS(s.holder, SYS_rt_sigprocmask, V(SIG_BLOCK), IN(&sigio, sizeof(sigio)),
		 V(0), V(sizeof(sigio))));
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	nfs41_open(s.path, pnfs);
	if (pnfs && strcmp(fs_name(s.path), "xfs")) {
		expect_value(NFS4ERR_LAYOUTUNAVAILABLE, nfs41_layoutget(FILE_SIZE));
		nfs41_close();
		skip("%s has no block layouts", fs_name(s.path));
	}
	return s;
}

static bool sigio_is_pending(const struct shared *s)
{
	uint64_t set = 0;

	must(SYS(s->holder, SYS_rt_sigpending, OUT(&set, sizeof(set)), V(sizeof(set))));
	return set & (1ULL << (SIGIO - 1));
}

static void expect_not_recalled(const struct shared *s)
{
	expect_true(!sigio_is_pending(s), "the holder was signalled");
	expect_value(F_LAYOUT, a_getlease(s->holder, s->fd));
}

static long sigio_step(void *buf, size_t size)
{
	const struct timespec limit = { .tv_sec = 3 };
	sigset_t set;

	(void)buf, (void)size;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	return sigtimedwait(&set, NULL, &limit) == SIGIO ? 0 : -errno;
}

/* The client goes on meanwhile. */
static void expect_lease_recalled(const struct shared *s)
{
	actor_call_begin(s->holder, sigio_step, NULL, 0);
	nfs41_serve(s->holder->sock);
	expect(0, actor_call_end(s->holder, NULL, 0, step_deadline_ms));
	expect_value(F_UNLCK, a_getlease(s->holder, s->fd));
}

static void expect_size(const struct shared *s, uint64_t size)
{
	struct stat st;

	expect_true(!stat(s->path, &st) && (uint64_t)st.st_size == size,
		    "the file has %ld bytes", (long)st.st_size);
}

/* ---- exclusive leases ---- */

CHECK(pnfs_layout_refuses_an_exclusive_lease, "L2", STOCK_FAIL)
{
	struct shared s = shared_file(true);

	expect_value(NFS4_OK, nfs41_layoutget(FILE_SIZE));
	expect(EAGAIN, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(F_UNLCK, a_getlease(s.holder, s.fd));
	expect(EAGAIN, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(NFS4_OK, nfs41_layoutreturn());
	/* who cannot have a lease does not take the layout away */
	expect_true(!nfs41_is_recalled(0), "the layout was recalled");
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	nfs41_close();
}

/* The client reads and writes through the server meanwhile: NFS4ERR_DELAY would let it wait. */
CHECK(pnfs_layout_waits_for_an_exclusive_lease, "L2", STOCK_FAIL)
{
	struct shared s = shared_file(true);
	struct file_state before;

	file_state(s.path, &before);
	require(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(NFS4ERR_LAYOUTUNAVAILABLE, nfs41_layoutget(FILE_SIZE));
	expect_value(NFS4ERR_LAYOUTUNAVAILABLE, nfs41_layoutget(FILE_SIZE));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect_unchanged(s.path, &before, "LAYOUTGET");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(NFS4_OK, nfs41_layoutget(FILE_SIZE));
	expect(EAGAIN, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(NFS4_OK, nfs41_layoutreturn());
	nfs41_close();
}

/* Its lease is left on the description, which another process has too. */
CHECK(pnfs_layout_after_the_holder_has_exited, "L2,L11", STOCK_FAIL)
{
	struct shared s = shared_file(true);
	struct actor *heir = actor_start("heir");
	long fd = must(actor_send_fd(s.holder, (int)s.fd, heir));

	require(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(NFS4ERR_LAYOUTUNAVAILABLE, nfs41_layoutget(FILE_SIZE));
	actor_kill(s.holder);
	expect_value(NFS4_OK, nfs41_layoutget(FILE_SIZE));
	expect(EAGAIN, a_setlease(heir, fd, EXCLUSIVE_LAYOUT));
	expect_value(NFS4_OK, nfs41_layoutreturn());
	nfs41_close();
}

/* ---- cooperative leases ---- */

CHECK(pnfs_layout_beside_a_cooperative_lease, "L2,L3", STOCK_FAIL)
{
	struct shared s = shared_file(true);

	require(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect_value(NFS4_OK, nfs41_layoutget(FILE_SIZE));
	expect_not_recalled(&s);
	/* the layout is in the way of the other kind, and only of that */
	expect(EAGAIN, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_not_recalled(&s);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect_value(NFS4_OK, nfs41_layoutreturn());
	expect_true(!nfs41_is_recalled(0), "the layout was recalled");
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	nfs41_close();
}

struct change {
	char path[256];
	enum {
		WRITE,
		GROW,
		PREALLOCATE,
		SHRINK
	} kind;
};

static long change_step(void *buf, size_t size)
{
	const struct change *c = buf;
	int fd = open(c->path, O_WRONLY | O_CLOEXEC);

	(void)size;
	if (fd < 0)
		return -errno;
	switch (c->kind) {
	case WRITE:
		return write_at(fd, "x", 1, 5);
	case GROW:
		return result(ftruncate(fd, 2 * FILE_SIZE));
	case PREALLOCATE:
		return result(fallocate(fd, 0, FILE_SIZE, FILE_SIZE));
	default:
		return result(ftruncate(fd, 0));
	}
}

/* A process makes the change, and the client gets its layout recalled. */
static struct actor *change_begin(const struct shared *s, int kind)
{
	struct actor *a = actor_start("other");
	struct change c = { .kind = kind };

	snprintf(c.path, sizeof(c.path), "%s", s->path);
	actor_call_begin(a, change_step, &c, sizeof(c));
	expect_true(nfs41_is_recalled(5000), "the layout is not recalled");
	expect_true(a->busy, "did not wait for the layout");
	return a;
}

static long change_end(struct actor *a)
{
	/* the server asks once more after the layout has been returned */
	nfs41_serve(a->sock);
	return actor_call_end(a, NULL, 0, step_deadline_ms);
}

static void recalls_the_layout(int kind, bool leased)
{
	struct shared s = shared_file(true);
	struct actor *other;

	if (leased)
		require(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	require(0, -(long)nfs41_layoutget(FILE_SIZE));
	other = change_begin(&s, kind);
	expect_value(NFS4_OK, nfs41_layoutreturn());
	expect(0, change_end(other));
	if (leased)
		expect_not_recalled(&s);
	nfs41_close();
}

#define RECALLS_THE_LAYOUT(name, kind)                                 \
	CHECK(pnfs_##name##_recalls_the_layout, "T5", STOCK_PASS)      \
	{                                                              \
		recalls_the_layout(kind, false);                       \
	}                                                              \
	CHECK(pnfs_##name##_recalls_the_layout_only, "L3", STOCK_FAIL) \
	{                                                              \
		recalls_the_layout(kind, true);                        \
	}

RECALLS_THE_LAYOUT(write, WRITE)
RECALLS_THE_LAYOUT(growth, GROW)
RECALLS_THE_LAYOUT(preallocation, PREALLOCATE)

/* A layout change wants both back. */
CHECK(pnfs_truncate_recalls_layout_and_lease, "L3,T1", STOCK_FAIL)
{
	struct shared s = shared_file(true);
	struct actor *other;

	require(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	require(0, -(long)nfs41_layoutget(FILE_SIZE));
	other = change_begin(&s, SHRINK);
	expect_value(NFS4_OK, nfs41_layoutreturn());
	expect_lease_recalled(&s);
	expect_size(&s, FILE_SIZE);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, change_end(other));
	expect_size(&s, 0);
	nfs41_close();
}

/* ---- the server as the one who changes the layout ---- */

CHECK(nfs41_truncate_under_a_cooperative_lease, "L3", STOCK_FAIL)
{
	struct shared s = shared_file(false);

	require(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect_value(NFS4ERR_DELAY, nfs41_truncate(PAGE));
	expect_lease_recalled(&s);
	expect_value(NFS4ERR_DELAY, nfs41_truncate(PAGE));
	expect_true(!sigio_is_pending(&s), "signalled twice");
	expect_size(&s, FILE_SIZE);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(NFS4_OK, nfs41_truncate(PAGE));
	expect_size(&s, PAGE);
	nfs41_close();
}

/* A client that comes back ends a lease whose time is over. */
CHECK(nfs41_truncate_after_lease_break_time, "L3", STOCK_FAIL)
{
	struct shared s = shared_file(false);

	set_for_check("/proc/sys/fs/lease-break-time", "1");
	require(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect_value(NFS4ERR_DELAY, nfs41_truncate(PAGE));
	eventually(-(long)nfs41_truncate(PAGE));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_size(&s, PAGE);
	nfs41_close();
}

/* ---- pages in use for a moment ---- */

/* A direct write to another file is on its way from a mapping of this one. */
CHECK(pnfs_layout_of_a_page_in_use, "T4", STOCK_FAIL)
{
	struct shared s = shared_file(true);
	int to, from = open_file(s.path, O_RDWR);
	struct iovec iov = { .iov_len = PAGE };
	struct request r;

	make_file("other", FILE_SIZE);
	nfs_mount(NFS4);
	to = open_file(nfs_path("other"), O_RDWR | O_DIRECT);
	iov.iov_base = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, from, 0);
	if (iov.iov_base == MAP_FAILED)
		broken("mmap: %s", errno_name(errno));
	nfs_hold();
	require(0, request_start(&r, true, to, &iov, 1, 0));
	expect_value(NFS4ERR_DELAY, nfs41_layoutget(FILE_SIZE));
	nfs_release();
	expect_value((long)PAGE, request_end(&r, 5000));
	expect_value(NFS4_OK, nfs41_layoutget(FILE_SIZE));
	expect_value(NFS4_OK, nfs41_layoutreturn());
	nfs41_close();
}
