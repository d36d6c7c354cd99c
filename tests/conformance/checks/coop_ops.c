// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* L3: which operations recall cooperative leases, and what is tested again after the wait. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "coop.h"
#include "layout.h"

/* ---- an operation that goes on while the director does something else ---- */

int op_begin(const struct layout_op *op, struct actor *a, const char *path,
	     const char *other)
{
	int ends[2];
	pid_t pid;
	long ret;

	if (pipe2(ends, O_CLOEXEC))
		broken("pipe: %s", errno_name(errno));
	pid = fork();
	if (pid < 0)
		broken("fork: %s", errno_name(errno));
	if (!pid) {
		ret = op->run(a, path, other);
		if (write(ends[1], &ret, sizeof(ret)) != sizeof(ret))
			_exit(1);
		_exit(0);
	}
	report_process(pid);
	close(ends[1]);
	return ends[0];
}

long op_end(int end)
{
	struct pollfd p = { .fd = end, .events = POLLIN };
	long ret = -ETIMEDOUT;

	if (poll(&p, 1, step_deadline_ms) == 1 &&
	    read(end, &ret, sizeof(ret)) != sizeof(ret))
		ret = -EPIPE;
	close(end);
	return ret;
}

/* ---- every layout change ---- */

static bool always_refused(const struct layout_op *op)
{
	long ret = op->run(actor_start("prober"), make_file("probe", SCENE_SIZE),
			   make_file("probe-other", SCENE_SIZE));

	return ret == -EOPNOTSUPP || ret == -ENOTTY;
}

static void waits_for_release(const struct layout_op *op)
{
	struct scene s = scene_cooperative();
	const char *other = make_file("other", SCENE_SIZE);
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	struct file_state before;
	long fd;
	int end;

	if (always_refused(op))
		skip("%s: not on a DAX file of %s", op->name, fs_name(s.path));
	set_for_check("/proc/sys/fs/lease-break-time", "0");
	fd = must(a_open(c, s.path, O_RDWR));
	file_set_capability(s.path);
	file_state(s.path, &before);
	end = op_begin(op, b, s.path, other);
	expect_recalled(&s);
	expect_unchanged(s.path, &before, op->name);
	/*
	 * No inode lock is held: this takes it, shared.  A write would as well, but
	 * SWAPEXT wants the times to be those that its caller has seen.
	 */
	expect(0, a_pread_check(c, fd, 0, PAGE, FILE_SEED));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_result(__FILE__, __LINE__, op->name, 0, op_end(end));
}

/* Nobody is kept from a lease by who has given up, and no lock is left behind. */
static void ends_by_a_signal(const struct layout_op *op)
{
	struct scene s = scene_cooperative();
	const char *other = make_file("other", SCENE_SIZE);
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	long fd = must(a_open(c, s.path, O_RDWR)), fd2 = must(a_open(c, other, O_RDWR));
	struct file_state before;
	int end;

	if (always_refused(op))
		skip("%s: not on a DAX file of %s", op->name, fs_name(s.path));
	set_for_check("/proc/sys/fs/lease-break-time", "0");
	must(actor_call(b, catch_interrupts, NULL, 0));
	file_set_capability(s.path);
	file_state(s.path, &before);
	end = op_begin(op, b, s.path, other);
	expect_recalled(&s);
	kill(b->pid, SIGUSR1);
	expect_result(__FILE__, __LINE__, op->name, EINTR, op_end(end));
	expect_unchanged(s.path, &before, op->name);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(c, fd, F_LAYOUT));
	expect(0, a_setlease(c, fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(c, fd2, F_LAYOUT));
	expect(0, a_setlease(c, fd2, F_LAYOUT | F_UNLCK));
	expect_result(__FILE__, __LINE__, op->name, 0, op->run(b, s.path, other));
}

#define RECALLED_BY(op)                                        \
	CHECK(l3_##op##_waits, "L3,T1", STOCK_FAIL)            \
	{                                                      \
		waits_for_release(&op_##op);                   \
	}                                                      \
	CHECK(l3_##op##_ends_by_a_signal, "L3,T1", STOCK_FAIL) \
	{                                                      \
		ends_by_a_signal(&op_##op);                    \
	}

RECALLED_BY(truncate)
RECALLED_BY(truncate_to_zero)
RECALLED_BY(ftruncate)
RECALLED_BY(open_truncate)
RECALLED_BY(punch_hole)
RECALLED_BY(zero_range)
RECALLED_BY(zero_range_keep_size)
RECALLED_BY(collapse_range)
RECALLED_BY(insert_range)
RECALLED_BY(madvise_remove)
RECALLED_BY(clone_from)
RECALLED_BY(clone_to)
RECALLED_BY(clone_range_from)
RECALLED_BY(clone_range_to)
RECALLED_BY(clone_within)
RECALLED_BY(dedupe_from)
RECALLED_BY(dedupe_to)
RECALLED_BY(swap_extents_target)
RECALLED_BY(swap_extents_donor)

#define RECALLED_BY_RING(op)                        \
	CHECK(l3_##op##_waits, "L3,T1", STOCK_FAIL) \
	{                                           \
		waits_for_release(&op_##op);        \
	}

RECALLED_BY_RING(uring_ftruncate)
RECALLED_BY_RING(uring_fallocate)

/* A thread of the ring does it, which would keep its process if it went on waiting. */
CHECK(l3_uring_request_ends_with_its_process, "L3,T1", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	long fd = must(a_open(b, s.path, O_RDWR));
	struct file_state before;

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	file_state(s.path, &before);
	/* The length is in addr, the mode in len. */
	a_uring_request_begin(b, IORING_OP_FALLOCATE, fd, PAGE,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE);
	expect_recalled(&s);
	actor_kill(b);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_unchanged(s.path, &before, "killed request");
	expect(0, a_truncate(c, s.path, PAGE));
}

CHECK(l3_leases_on_both_files, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative(), t = s;
	struct actor *b = actor_start("breaker");
	int end;

	t.path = make_file("other", SCENE_SIZE);
	if (always_refused(&op_clone_from))
		skip("file system without reflink: no operation over two files");
	t.holder = actor_start("holder of the other");
	must(a_block_signal(t.holder, SIGIO));
	t.fd = must(a_open(t.holder, t.path, O_RDWR));
	must(a_setlease(t.holder, t.fd, F_LAYOUT));

	end = op_begin(&op_clone_from, b, s.path, t.path);
	/* Both know at once, whatever the order. */
	expect_recalled(&s);
	expect_recalled(&t);
	expect(0, a_setlease(t.holder, t.fd, F_LAYOUT | F_UNLCK));
	expect(EAGAIN, a_setlease(t.holder, t.fd, F_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, op_end(end));
}

CHECK(l3_other_operations_recall_nothing, "L3,T3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("B");
	const char *link = in_dir("link");
	long fd, addr;

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	fd = must(a_open(b, s.path, O_RDWR));
	expect(0, a_pread_check(b, fd, 0, PAGE, FILE_SEED));
	expect(0, a_pwrite(b, fd, 0, PAGE, FILE_SEED));
	expect(0, a_pwrite(b, fd, s.size, PAGE, FILE_SEED));
	expect(0, a_ftruncate(b, fd, 2 * s.size));
	expect(0, a_ftruncate(b, fd, 2 * s.size));
	expect(0, a_pwrite(b, fd, s.size + 4 * PAGE, PAGE, FILE_SEED));
	expect(0, a_fallocate(b, fd, 0, 0, 3 * s.size));
	expect(0, a_fallocate(b, fd, FALLOC_FL_KEEP_SIZE, 0, 4 * s.size));
	expect(0, a_fallocate(b, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      3 * s.size, s.size));
	addr = must(a_mmap_shared(b, fd, s.size));
	expect(0, a_mem_write(b, (uint64_t)addr, PAGE, FILE_SEED, 0));
	expect(0, a_msync(b, addr, s.size));
	expect(0, a_fsync(b, fd));
	expect(0, a_chmod(b, s.path, 0600));
	expect(0, a_link(b, s.path, link));
	expect(0, a_unlink(b, link));
	expect_not_recalled(&s);
}

/* ---- what is tested again ---- */

static long set_flag(struct actor *a, long fd, int flag, bool on)
{
	int flags = 0;

	must(SYS(a, SYS_ioctl, V(fd), V(FS_IOC_GETFLAGS), OUT(&flags, sizeof(flags))));
	flags = on ? flags | flag : flags & ~flag;
	return SYS(a, SYS_ioctl, V(fd), V(FS_IOC_SETFLAGS), IN(&flags, sizeof(flags)));
}

static void refused_after_the_wait(const struct layout_op *op, int flag)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker");
	int end;

	end = op_begin(op, b, s.path, NULL);
	expect_recalled(&s);
	require(0, set_flag(s.holder, s.fd, flag, true));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_result(__FILE__, __LINE__, op->name, EPERM, op_end(end));
	/* In any case, or the file could not be removed. */
	expect(0, set_flag(s.holder, s.fd, flag, false));
	expect_true(file_has_pattern(s.path, 0, SCENE_SIZE, FILE_SEED), "%s: changed",
		    op->name);
}

CHECK(l3_truncate_of_what_became_immutable, "L3", STOCK_FAIL)
{
	refused_after_the_wait(&op_truncate, FS_IMMUTABLE_FL);
}

CHECK(l3_ftruncate_of_what_became_immutable, "L3", STOCK_FAIL)
{
	refused_after_the_wait(&op_ftruncate, FS_IMMUTABLE_FL);
}

CHECK(l3_fallocate_of_what_became_immutable, "L3", STOCK_FAIL)
{
	refused_after_the_wait(&op_punch_hole, FS_IMMUTABLE_FL);
}

CHECK(l3_truncate_of_what_became_append_only, "L3", STOCK_FAIL)
{
	refused_after_the_wait(&op_truncate, FS_APPEND_FL);
}

CHECK(l3_fallocate_of_what_became_append_only, "L3", STOCK_FAIL)
{
	refused_after_the_wait(&op_collapse_range, FS_APPEND_FL);
}

CHECK(l3_permission_is_tested_again, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *user = actor_start("user");

	must(a_chmod(s.holder, s.path, 0666));
	must(a_become(user, NOBODY, 0));
	truncate_begin(user, s.path, PAGE);
	expect_recalled(&s);
	must(a_chmod(s.holder, s.path, 0644));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EACCES, truncate_end(user));
	expect_true(file_has_pattern(s.path, 0, SCENE_SIZE, FILE_SEED), "changed");
}

/* The mode that the truncate takes the set-user-id bit from is the one after the wait. */
CHECK(l3_mode_that_changes_during_the_wait, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *user = actor_start("user");
	struct file_state after;

	must(a_chmod(s.holder, s.path, 04777));
	must(a_become(user, NOBODY, 0));
	truncate_begin(user, s.path, PAGE);
	expect_recalled(&s);
	must(a_chmod(s.holder, s.path, 02772));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(user));
	file_state(s.path, &after);
	expect_value(S_IFREG | 0772, after.st.st_mode & ~02000);
}

/* Grown during the wait: no layout change any more, whatever it was before. */
CHECK(l3_size_that_changes_during_the_wait, "L3,T3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	struct file_state after;
	long fd = must(a_open(c, s.path, O_RDWR));

	truncate_begin(b, s.path, 2 * PAGE);
	expect_recalled(&s);
	must(a_ftruncate(s.holder, s.fd, PAGE));
	must(a_setlease(c, fd, EXCLUSIVE_LAYOUT));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(b));
	file_state(s.path, &after);
	expect_value(2 * PAGE, after.st.st_size);
}

/* ---- a signal to the one who waits ---- */

struct dedupe_step {
	char from[256], to[256];
	int status;
};

static void got_signal(int signo)
{
	(void)signo;
}

static long dedupe_step(void *buf, size_t size)
{
	const struct sigaction act = { .sa_handler = got_signal };
	struct dedupe_step *d = buf;
	union {
		struct file_dedupe_range range;
		char room[sizeof(struct file_dedupe_range) +
			  sizeof(struct file_dedupe_range_info)];
	} r = { .room = { 0 } };
	int from = open(d->from, O_RDONLY | O_CLOEXEC);

	(void)size;
	r.range.src_length = SCENE_SIZE;
	r.range.dest_count = 1;
	r.range.info[0].dest_fd = open(d->to, O_RDWR | O_CLOEXEC);
	/* without SA_RESTART */
	sigaction(SIGUSR1, &act, NULL);
	if (ioctl(from, FIDEDUPERANGE, &r))
		return -errno;
	d->status = r.range.info[0].status;
	return 0;
}

/* The status of a destination is for the program: no number of the kernel's own. */
static void interrupted_dedupe(const char *(*leased)(const struct dedupe_step *d))
{
	struct actor *a = actor_start("A"), *holder = actor_start("holder");
	struct dedupe_step d = { .status = 1 };
	struct scene s = { .holder = holder };

	snprintf(d.from, sizeof(d.from), "%s", make_file("from", SCENE_SIZE));
	snprintf(d.to, sizeof(d.to), "%s", make_file("to", SCENE_SIZE));
	if (always_refused(&op_dedupe_to))
		skip("%s cannot share blocks", fs_name(d.to));
	set_for_check("/proc/sys/fs/lease-break-time", "0");
	must(a_block_signal(holder, SIGIO));
	s.fd = must(a_open(holder, leased(&d), O_RDWR));
	must(a_setlease(holder, s.fd, F_LAYOUT));

	actor_call_begin(a, dedupe_step, &d, sizeof(d));
	expect_recalled(&s);
	kill(a->pid, SIGUSR1);
	expect(0, actor_call_end(a, &d, sizeof(d), step_deadline_ms));
	expect_value(-EINTR, d.status);
	/* the next one is as if nothing had been */
	expect(0, a_setlease(holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, actor_call(a, dedupe_step, &d, sizeof(d)));
	expect_value(FILE_DEDUPE_RANGE_SAME, d.status);
}

static const char *the_source(const struct dedupe_step *d)
{
	return d->from;
}

static const char *the_destination(const struct dedupe_step *d)
{
	return d->to;
}

CHECK(l3_interrupted_dedupe_from, "L3,T1", STOCK_FAIL)
{
	interrupted_dedupe(the_source);
}

CHECK(l3_interrupted_dedupe_to, "L3,T1", STOCK_FAIL)
{
	interrupted_dedupe(the_destination);
}

/* ---- signals to the holder ---- */

CHECK(l3_classic_lease_on_the_same_description, "L3,L4", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("B");
	siginfo_t info;
	long flags;

	must(a_block_signal(s.holder, SIGUSR2));
	must(a_setlease(s.holder, s.fd, F_WRLCK));
	must(a_fcntl(s.holder, s.fd, F_SETSIG, SIGUSR2));
	expect(EAGAIN, a_open(b, s.path, O_WRONLY | O_TRUNC | O_NONBLOCK));
	expect_value(SIGUSR2, a_wait_signal(s.holder, SIGUSR2, 5000, &info));
	expect_true(!signal_is_pending(s.holder, SIGIO), "the layout lease was recalled");
	must(a_setlease(s.holder, s.fd, F_UNLCK));
	expect_value(F_LAYOUT, a_getlease(s.holder, s.fd));

	/* The settings went with the classic lease; the layout lease has its own. */
	must(a_fcntl(s.holder, s.fd, F_SETOWN, 1));
	must(a_fcntl(s.holder, s.fd, F_SETSIG, SIGUSR2));
	flags = must(a_fcntl(s.holder, s.fd, F_GETFL, 0));
	expect(EAGAIN, a_open(b, s.path, O_WRONLY | O_TRUNC | O_NONBLOCK));
	expect_recalled(&s);
	expect_true(!signal_is_pending(s.holder, SIGUSR2), "F_SETSIG was used");
	expect_value(1, a_fcntl(s.holder, s.fd, F_GETOWN, 0));
	expect_value(SIGUSR2, a_fcntl(s.holder, s.fd, F_GETSIG, 0));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(1, a_fcntl(s.holder, s.fd, F_GETOWN, 0));
	expect_value(SIGUSR2, a_fcntl(s.holder, s.fd, F_GETSIG, 0));
	expect_value(flags, a_fcntl(s.holder, s.fd, F_GETFL, 0));
}

/* One thread of a process can take the signal, as a library needs it. */
CHECK(l3_thread_that_owns_the_description, "L3", STOCK_FAIL)
{
	struct scene s = scene_open();
	struct actor *b = actor_start("B");
	struct f_owner_ex owner = { F_OWNER_TID, s.holder->pid };
	siginfo_t info;
	int signo = SIGRTMIN + 3;

	must(a_block_signal(s.holder, SIGIO));
	must(a_block_signal(s.holder, signo));
	must(SYS(s.holder, SYS_fcntl, V(s.fd), V(F_SETOWN_EX),
		 IN(&owner, sizeof(owner))));
	must(a_fcntl(s.holder, s.fd, F_SETSIG, signo));
	must(a_setlease(s.holder, s.fd, F_LAYOUT));
	expect(EAGAIN, a_open(b, s.path, O_WRONLY | O_TRUNC | O_NONBLOCK));
	expect_value(signo, a_wait_signal(s.holder, signo, 5000, &info));
	expect_value(s.fd, info.si_fd);
	expect_true(!signal_is_pending(s.holder, SIGIO), "SIGIO as well");
}

/* ---- through overlayfs ---- */

/* The file of an overlay's layer, with a cooperative lease of somebody who takes the signal. */
static struct scene cooperative_on(const char *name)
{
	struct scene s = { .holder = actor_start("holder"), .path = in_dir(name) };

	must(a_block_signal(s.holder, SIGIO));
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	must(a_setlease(s.holder, s.fd, F_LAYOUT));
	return s;
}

static void overlay_waits(const struct layout_op *op)
{
	struct actor *c = actor_start("C");
	const char *above = overlay(c, "upper/f", "");
	struct actor *b = actor_fork(c, "breaker");
	struct scene s = cooperative_on("upper/f");
	long fd = must(a_open(c, above, O_RDWR));
	int end;

	end = op_begin(op, b, above, NULL);
	expect_recalled(&s);
	/* Neither the overlay inode nor the one below is locked. */
	expect(0, a_pwrite(c, fd, 0, PAGE, FILE_SEED));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_result(__FILE__, __LINE__, op->name, 0, op_end(end));
}

CHECK(l3_truncate_through_overlayfs, "L3,T1", STOCK_FAIL)
{
	overlay_waits(&op_truncate);
}

CHECK(l3_open_truncate_through_overlayfs, "L3,T1", STOCK_FAIL)
{
	overlay_waits(&op_open_truncate);
}

CHECK(l3_punch_hole_through_overlayfs, "L3,T1", STOCK_FAIL)
{
	overlay_waits(&op_punch_hole);
}

static long copy_up_run(struct actor *a, const char *path, const char *other)
{
	long fd = a_open(a, path, O_WRONLY);

	(void)other;
	return fd < 0 ? fd : a_close(a, fd);
}

static const struct layout_op copy_up = { "copy-up", copy_up_run, NULL };

/* Recalled, and waited for before the overlay is locked. */
CHECK(l3_copy_up_by_overlayfs, "L3,T1", STOCK_FAIL)
{
	struct actor *c = actor_start("C");
	const char *above = overlay(c, "lower/f", "");
	struct scene s;
	struct actor *b = actor_fork(c, "breaker");
	int end;

	s = cooperative_on("lower/f");
	end = op_begin(&copy_up, b, above, NULL);
	expect_recalled(&s);
	expect(0, a_chmod(c, in_dir("merged"), 0700));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, op_end(end));
}

static void overlay_interrupted(const char *file, const struct layout_op *op)
{
	struct actor *c = actor_start("C");
	const char *above = overlay(c, file, "");
	struct actor *b = actor_fork(c, "breaker");
	struct scene s = cooperative_on(file);
	struct file_state before;
	int end;

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	must(actor_call(b, catch_interrupts, NULL, 0));
	file_state(s.path, &before);
	end = op_begin(op, b, above, NULL);
	expect_recalled(&s);
	kill(b->pid, SIGUSR1);
	expect_result(__FILE__, __LINE__, op->name, EINTR, op_end(end));
	expect_unchanged(s.path, &before, op->name);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_result(__FILE__, __LINE__, op->name, 0, op->run(b, above, NULL));
}

CHECK(l3_punch_hole_through_overlayfs_interrupted, "L3,T1", STOCK_FAIL)
{
	overlay_interrupted("upper/f", &op_punch_hole);
}

CHECK(l3_copy_up_by_overlayfs_interrupted, "L3,T1", STOCK_FAIL)
{
	overlay_interrupted("lower/f", &copy_up);
}

/* truncate() waits where it does for other files, with the overlay inode unlocked, which chmod() takes. */
CHECK(l3_truncate_copies_up, "L3,T1", STOCK_FAIL)
{
	struct actor *c = actor_start("C");
	const char *above = overlay(c, "lower/f", "");
	struct scene s;
	struct actor *b = actor_fork(c, "breaker");
	struct file_state before;

	s = cooperative_on("lower/f");
	truncate_begin(b, above, PAGE);
	expect_recalled(&s);
	if (!actor_blocks(b))
		fail_now("the truncate does not sleep");
	expect(EAGAIN, a_chmod(c, above, 0640));
	expect_true(access(in_dir("upper/f"), F_OK), "something has been copied");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(b));
	expect_true(file_has_pattern(s.path, 0, SCENE_SIZE, FILE_SEED),
		    "the lower file has changed");
	file_state(in_dir("upper/f"), &before);
	expect_value(PAGE, before.st.st_size);
}

/* With directories or the inode locked nobody waits: the lease is recalled, and the caller comes back. */
CHECK(l3_copy_up_under_locks, "L3,T4", STOCK_FAIL)
{
	struct actor *c = actor_start("C");
	const char *above = overlay(c, "lower/f", ""), *other = in_dir("merged/g");
	struct scene s;

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	s = cooperative_on("lower/f");
	expect(EAGAIN, a_rename(c, above, other));
	expect_recalled(&s);
	expect(EAGAIN, a_link(c, above, other));
	expect(EAGAIN, a_chmod(c, above, 0640));
	expect(EAGAIN, a_open(c, above, O_WRONLY | O_NONBLOCK));
	expect_true(access(in_dir("upper/f"), F_OK), "something has been copied");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_rename(c, above, other));
}

/* The lower file has the data and the lease, the upper one the attributes. */
CHECK(l3_truncate_waits_for_the_data_below, "L3,T4", STOCK_FAIL)
{
	struct actor *c = actor_start("C");
	const char *above = overlay(c, "lower/f", ",metacopy=on");
	struct scene s;
	struct actor *b = actor_fork(c, "breaker");

	must(a_chmod(c, above, 0640));
	s = cooperative_on("lower/f");
	truncate_begin(b, above, PAGE);
	expect_recalled(&s);
	if (!actor_blocks(b))
		fail_now("the truncate does not sleep");
	expect(0, a_chmod(c, above, 0600));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(b));
}

/*
 * After the chmod the upper file has the attributes and its lease, the lower one still the data: the
 * wait is for the lease that was found, asleep, and a signal ends it.
 */
CHECK(l3_truncate_of_a_metadata_copy, "L3,T4", STOCK_FAIL)
{
	struct actor *c = actor_start("C");
	const char *above = overlay(c, "lower/f", ",metacopy=on");
	struct actor *b = actor_fork(c, "breaker"), *again = actor_fork(c, "again");
	struct scene s = { .holder = actor_start("holder"), .path = in_dir("upper/f") };
	struct file_state before;

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	must(a_chmod(c, above, 0640));
	file_state(s.path, &before);
	if ((uint64_t)before.st.st_blocks * 512 >= SCENE_SIZE)
		fail_now("the chmod has copied the data");
	must(a_block_signal(s.holder, SIGIO));
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	must(a_setlease(s.holder, s.fd, F_LAYOUT));

	truncate_begin(b, above, 0);
	expect_recalled(&s);
	if (!actor_blocks(b))
		fail_now("the truncate does not sleep");
	kill(b->pid, SIGUSR1);
	expect(EINTR, truncate_end(b));
	truncate_begin(again, above, 0);
	expect_true(actor_blocks(again), "the second truncate does not sleep");
	actor_kill(again);
	expect_unchanged(s.path, &before, "truncates that were interrupted");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(c, above, 0));
}

/* Everybody may write to the file, which takes its privileges, but for the lease. */
static long lease_privileged(struct actor *holder, const char *path)
{
	long fd = must(a_open(holder, path, O_RDWR));

	must(a_chmod(holder, path, 06777));
	if (!file_set_capability(path))
		skip("%s without security attributes", fs_name(path));
	must(a_setlease(holder, fd, EXCLUSIVE_LAYOUT));
	return fd;
}

/* overlayfs removes privileges itself, before it asks the file system below. */
CHECK(t1_overlayfs_leaves_privileges_alone, "T1", STOCK_FAIL)
{
	struct actor *a = actor_start("above"), *holder = actor_start("holder");
	const char *above = overlay(a, "upper/f", ""), *path = in_dir("upper/f");
	long fd = lease_privileged(holder, path), from, to;
	struct file_state before;

	make_file("upper/from", SCENE_SIZE);
	file_state(path, &before);
	must(a_become(a, NOBODY, 0));
	expect(ETXTBSY, a_truncate(a, above, PAGE));
	expect(ETXTBSY, a_open(a, above, O_WRONLY | O_TRUNC));
	to = must(a_open(a, above, O_RDWR));
	expect(ETXTBSY, a_ftruncate(a, to, PAGE));
	expect(ETXTBSY,
	       a_fallocate(a, to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	from = must(a_open(a, in_dir("merged/from"), O_RDONLY));
	if (!strcmp(fs_name(path), "xfs"))
		expect(ETXTBSY, a_ioctl_fd(a, to, FICLONE, from));
	expect_unchanged(path, &before, "overlayfs");
	/* What the refused ones must not do is what the successful one does. */
	must(a_setlease(holder, fd, F_LAYOUT | F_UNLCK));
	must(a_ftruncate(a, to, PAGE));
	expect(ENODATA, SYS(holder, SYS_getxattr, STR(path), STR("security.capability"),
			    V(0), V(0)));
}

/* The same where the data would have to be copied up first, which is what is refused. */
CHECK(t1_overlayfs_leaves_privileges_below_alone, "T1", STOCK_FAIL)
{
	struct actor *a = actor_start("above"), *holder = actor_start("holder");
	const char *above = overlay(a, "lower/f", ",metacopy=on"),
		   *path = in_dir("lower/f");
	long fd = lease_privileged(holder, path);
	struct file_state before;

	file_state(path, &before);
	must(a_become(a, NOBODY, 0));
	expect(ETXTBSY, a_truncate(a, above, PAGE));
	expect(ETXTBSY, a_truncate(a, above, 2 * SCENE_SIZE));
	expect(ETXTBSY, a_open(a, above, O_WRONLY | O_TRUNC));
	expect_unchanged(path, &before, "overlayfs");
	must(SYS(a, SYS_getxattr, STR(above), STR("security.capability"), V(0), V(0)));
	expect_true(access(in_dir("upper/f"), F_OK), "something has been copied");
	must(a_setlease(holder, fd, F_LAYOUT | F_UNLCK));
	must(a_truncate(a, above, PAGE));
	expect(ENODATA,
	       SYS(a, SYS_getxattr, STR(above), STR("security.capability"), V(0), V(0)));
}
