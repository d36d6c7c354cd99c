// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * L3: cooperative layout leases.
 *
 * A layout change by somebody else signals the holder and waits.  That a change waits is seen from
 * the holder's side: the signal has come, the file is as it was, and others can write to it, which
 * they could not if the one who waits held the inode.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "coop.h"

/* ---- steps ---- */

long a_block_signal(struct actor *a, int signo)
{
	uint64_t set = 1ULL << (signo - 1);

	return SYS(a, SYS_rt_sigprocmask, V(SIG_BLOCK), IN(&set, sizeof(set)), V(0),
		   V(sizeof(set)));
}

long a_wait_signal(struct actor *a, int signo, int ms, siginfo_t *info)
{
	uint64_t set = 1ULL << (signo - 1);
	struct timespec limit = { ms / 1000, ms % 1000 * 1000000L };

	return SYS(a, SYS_rt_sigtimedwait, IN(&set, sizeof(set)),
		   OUT(info, sizeof(*info)), IN(&limit, sizeof(limit)), V(sizeof(set)));
}

/* Every step is over when this is asked, so a signal that is not there will not come. */
bool signal_is_pending(struct actor *a, int signo)
{
	uint64_t set = 0;

	must(SYS(a, SYS_rt_sigpending, OUT(&set, sizeof(set)), V(sizeof(set))));
	return set & (1ULL << (signo - 1));
}

struct breaker_step {
	char path[512];
	uint64_t size;
};

static void got_signal(int signo)
{
	(void)signo;
}

long catch_interrupts(void *buf, size_t size)
{
	const struct sigaction act = { .sa_handler = got_signal };

	(void)buf;
	(void)size;
	/* without SA_RESTART */
	return sigaction(SIGUSR1, &act, NULL) ? -errno : 0;
}

static long truncate_step(void *buf, size_t size)
{
	const struct breaker_step *b = buf;

	(void)size;
	catch_interrupts(NULL, 0);
	return truncate(b->path, (off_t)b->size) ? -errno : 0;
}

void truncate_begin(struct actor *a, const char *path, uint64_t size)
{
	struct breaker_step b = { .size = size };

	snprintf(b.path, sizeof(b.path), "%s", path);
	actor_call_begin(a, truncate_step, &b, sizeof(b));
}

long truncate_end(struct actor *a)
{
	return actor_call_end(a, NULL, 0, step_deadline_ms);
}

struct scene scene_cooperative(void)
{
	struct scene s = scene_open();

	must(a_block_signal(s.holder, SIGIO));
	must(a_setlease(s.holder, s.fd, F_LAYOUT));
	return s;
}

void expect_recalled(struct scene *s)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	expect_value(SIGIO, a_wait_signal(s->holder, SIGIO, 5000, &info));
	expect_value(POLL_MSG, info.si_code);
	expect_value(s->fd, info.si_fd);
	expect_value(POLLIN | POLLRDNORM | POLLMSG, info.si_band);
	expect_value(F_UNLCK, a_getlease(s->holder, s->fd));
}

void expect_not_recalled(struct scene *s)
{
	expect_true(!signal_is_pending(s->holder, SIGIO), "%s was signalled",
		    s->holder->name);
	expect_value(F_LAYOUT, a_getlease(s->holder, s->fd));
}

/* ---- taking and releasing ---- */

CHECK(l3_taking_and_releasing, "L3,L1,L6", STOCK_FAIL)
{
	struct scene s = scene_open();
	long fd;

	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect_value(F_LAYOUT, a_getlease(s.holder, s.fd));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(F_UNLCK, a_getlease(s.holder, s.fd));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_UNLCK));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_UNLCK));

	fd = must(a_open(s.holder, s.path, O_RDONLY));
	expect(EBADF, a_setlease(s.holder, fd, F_LAYOUT));
}

CHECK(l2_cooperative_errors, "L2,L3", STOCK_FAIL)
{
	struct scene s = scene_open();
	struct actor *user = actor_start("user");
	long fd;

	must(a_chmod(s.holder, s.path, 0666));
	must(a_become(user, NOBODY, 0));
	fd = must(a_open(user, s.path, O_RDWR));
	expect(EACCES, a_setlease(user, fd, F_LAYOUT));
	fd = must(a_open(s.holder, check_dir(), O_RDONLY | O_DIRECTORY));
	expect(EINVAL, a_setlease(s.holder, fd, F_LAYOUT));
	fd = must(SYS(s.holder, SYS_memfd_create, STR("memfd"), V(0)));
	expect(EOPNOTSUPP, a_setlease(s.holder, fd, F_LAYOUT));
	set_for_check("/proc/sys/fs/leases-enable", "0");
	expect(EINVAL, a_setlease(s.holder, s.fd, F_LAYOUT));
}

CHECK(l3_allows_no_pins, "L3,P1", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct mr mr;

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_open_verbs(&s);
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &mr));
	expect_pins(s.holder, "");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(l3_cooperative_becomes_exclusive_and_back, "L3,L6,P1", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("B");

	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect_true(!signal_is_pending(s.holder, SIGIO), "recalled although exclusive");

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_pin(&s);
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	must(v_dereg(s.holder, &s.mr));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect_value(F_LAYOUT, a_getlease(s.holder, s.fd));
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));

	/* It is one lease: one release ends it, and it can be recalled again. */
	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(b));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

/* ---- the recall ---- */

CHECK(l3_layout_change_waits_for_the_release, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	struct file_state before;
	long fd = must(a_open(c, s.path, O_RDWR));

	file_set_capability(s.path);
	file_state(s.path, &before);
	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	expect_unchanged(s.path, &before, "recall");
	/* No inode lock is held: these take it. */
	expect(0, a_pwrite(c, fd, 0, PAGE, FILE_SEED));
	expect(0, a_pwrite(c, fd, SCENE_SIZE, PAGE, FILE_SEED));
	expect(0, a_chmod(c, s.path, 0640));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(b));
	file_state(s.path, &before);
	expect_value(PAGE, before.st.st_size);
	expect_true(!signal_is_pending(s.holder, SIGIO), "signalled twice");
}

CHECK(l3_plain_unlock_ends_the_wait, "L3,L6", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker");

	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	expect(0, a_setlease(s.holder, s.fd, F_UNLCK));
	expect(0, truncate_end(b));
}

CHECK(l3_close_ends_the_wait, "L3,C1", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker");

	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	expect(0, a_close(s.holder, s.fd));
	expect(0, truncate_end(b));
}

CHECK(l3_lease_break_time_ends_the_lease, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker");

	set_for_check("/proc/sys/fs/lease-break-time", "1");
	expect(0, a_truncate(b, s.path, PAGE));
	expect_recalled(&s);
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect_value(F_LAYOUT, a_getlease(s.holder, s.fd));
}

CHECK(l3_no_limit_is_interruptible, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	struct file_state before;

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	file_set_capability(s.path);
	file_state(s.path, &before);
	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	kill(b->pid, SIGUSR1);
	expect(EINTR, truncate_end(b));
	expect_unchanged(s.path, &before, "interrupted truncate");
	/* It is still being recalled, and the holder is not signalled again. */
	truncate_begin(c, s.path, PAGE);
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect(EAGAIN, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(c));
	expect_true(!signal_is_pending(s.holder, SIGIO), "signalled twice");
}

CHECK(l3_killed_while_waiting, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	struct file_state before;

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	file_state(s.path, &before);
	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	actor_kill(b);
	expect_unchanged(s.path, &before, "killed truncate");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	/* Nobody waits any more, so leases are granted again. */
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(c, s.path, PAGE));
}

/* The description lives on in the child, so the lease would, if its holder did. */
static void holder_ends(bool before_the_change)
{
	struct scene s = scene_cooperative();
	struct actor *child = actor_fork(s.holder, "child"), *b = actor_start("breaker");

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	if (!before_the_change) {
		truncate_begin(b, s.path, PAGE);
		expect_recalled(&s);
	}
	actor_kill(s.holder);
	if (before_the_change)
		truncate_begin(b, s.path, PAGE);
	expect(0, truncate_end(b));
	expect_value(F_UNLCK, a_getlease(child, s.fd));
}

CHECK(l3_holder_killed_while_it_is_waited_for, "L3,L11", STOCK_FAIL)
{
	holder_ends(false);
}

CHECK(l3_lease_of_a_dead_holder_is_not_waited_for, "L3,L11", STOCK_FAIL)
{
	holder_ends(true);
}

CHECK(l3_every_holder_gets_a_signal, "L3,L5,L7", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *child = actor_fork(s.holder, "child"), *c = actor_start("C");
	struct actor *b = actor_start("breaker");
	struct scene of_child = s, of_c = s;

	/* The same description, another one, and a descriptor of another number. */
	of_child.holder = child;
	must(a_setlease(child, s.fd, F_LAYOUT));
	of_c.holder = c;
	must(a_block_signal(c, SIGIO));
	must(a_open(c, s.path, O_RDONLY));
	of_c.fd = must(a_open(c, s.path, O_RDWR));
	must(a_setlease(c, of_c.fd, F_LAYOUT));

	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	expect_recalled(&of_child);
	expect_recalled(&of_c);
	expect(0, a_setlease(c, of_c.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(F_UNLCK, a_getlease(child, s.fd));
	expect(0, a_setlease(child, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(b));
}

CHECK(l3_own_layout_change_does_not_wait, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative(), t = s;

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	expect(0, a_ftruncate(s.holder, s.fd, 2 * PAGE));
	expect_not_recalled(&s);

	/* A foreign one is waited for, the own one stays. */
	t.holder = actor_start("other");
	must(a_block_signal(t.holder, SIGIO));
	t.fd = must(a_open(t.holder, s.path, O_RDWR));
	must(a_setlease(t.holder, t.fd, F_LAYOUT));
	truncate_begin(s.holder, s.path, PAGE);
	expect_recalled(&t);
	expect(0, a_setlease(t.holder, t.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(s.holder));
	expect_not_recalled(&s);
}

CHECK(l3_exclusive_leases_are_tested_first, "L3,T1,T2", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *x = actor_start("exclusive"), *b = actor_start("B");
	long fd = must(a_open(x, s.path, O_RDWR));

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	expect(0, a_setlease(x, fd, EXCLUSIVE_LAYOUT));
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(ETXTBSY, a_ftruncate(s.holder, s.fd, PAGE));
	expect(EDEADLK, a_ftruncate(x, fd, PAGE));
	expect_not_recalled(&s);
}

CHECK(l3_no_new_lease_while_somebody_waits, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	long fd = must(a_open(c, s.path, O_RDWR));

	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	expect(EAGAIN, a_setlease(c, fd, F_LAYOUT));
	expect(EAGAIN, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect(EAGAIN, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(b));
	expect(0, a_setlease(c, fd, F_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
}

/* An exclusive lease is granted all the same: whoever waits then finds it in the way. */
CHECK(l3_tests_are_repeated_after_the_wait, "L3,T1", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	long fd = must(a_open(c, s.path, O_RDWR));

	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	must(a_setlease(c, fd, EXCLUSIVE_LAYOUT));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(ETXTBSY, truncate_end(b));
}

CHECK(l3_open_without_blocking, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("B");
	struct file_state before;

	file_state(s.path, &before);
	expect(EAGAIN, a_open(b, s.path, O_WRONLY | O_TRUNC | O_NONBLOCK));
	expect_unchanged(s.path, &before, "open with O_TRUNC and O_NONBLOCK");
	expect_recalled(&s);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_open(b, s.path, O_WRONLY | O_TRUNC | O_NONBLOCK));
}

CHECK(l3_proc_locks, "L3,L9", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker");
	char text[65536], want[64];

	snprintf(want, sizeof(want), ": LAYOUT ACTIVE    READ %d ", s.holder->pid);
	must(file_read("/proc/locks", text, sizeof(text)));
	expect_true(strstr(text, want), "no line \"%s\" in\n%s", want, text);

	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	snprintf(want, sizeof(want), ": LAYOUT BREAKING  READ %d ", s.holder->pid);
	must(file_read("/proc/locks", text, sizeof(text)));
	expect_true(strstr(text, want), "no line \"%s\" in\n%s", want, text);
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(b));
	must(file_read("/proc/locks", text, sizeof(text)));
	expect_true(!strstr(text, "LAYOUT BREAK"), "still there:\n%s", text);
}
