// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* O1, L11: a process whose threads do not end together. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>

#include "coop.h"

static void *stay(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* A child whose first thread ends; the second does nothing. */
static long fork_without_leader(void *buf, size_t size)
{
	pthread_t t;
	pid_t pid = fork();

	(void)buf;
	(void)size;
	if (pid)
		return pid < 0 ? -errno : pid;
	if (pthread_create(&t, NULL, stay, NULL))
		_exit(1);
	pthread_exit(NULL);
}

/* The first thread is a zombie: 0, or -EAGAIN as long as it is not. */
static long leader_ended(pid_t pid)
{
	char path[64], text[512], *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (file_read(path, text, sizeof(text)) < 0)
		return -ESRCH;
	state = strrchr(text, ')');
	return state && state[2] == 'Z' ? 0 : -EAGAIN;
}

CHECK(o1_process_whose_first_thread_has_ended, "O1,O2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor other = { .name = "child without its first thread" };

	other.pid = (pid_t)must(actor_call(s.holder, fork_without_leader, NULL, 0));
	report_process(other.pid);
	eventually(leader_ended(other.pid));
	expect_pins(&other, pins_text(s.holder, s.uverbs_fd, s.path));
	must(v_dereg(s.holder, &s.mr));
	expect_pins(&other, "");
}

static void *stay_and_tell(void *tid)
{
	__atomic_store_n((pid_t *)tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	return stay(NULL);
}

static long start_thread(void *buf, size_t size)
{
	static pid_t tid;
	pthread_t t;

	(void)buf;
	(void)size;
	if (pthread_create(&t, NULL, stay_and_tell, &tid))
		return -EAGAIN;
	while (!__atomic_load_n(&tid, __ATOMIC_ACQUIRE))
		sched_yield();
	return tid;
}

/*
 * A thread that has ended and that its tracer does not reap delays what the end of the process tells
 * others, but not the end of its leases.
 */
CHECK(l11_holder_with_a_traced_thread_dies, "L11,L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *child = actor_fork(s.holder, "child"), *b = actor_start("breaker");
	struct actor *tracer = actor_start("tracer");
	long tid = must(actor_call(s.holder, start_thread, NULL, 0));

	set_for_check("/proc/sys/fs/lease-break-time", "0");
	must(SYS(tracer, SYS_ptrace, V(PTRACE_SEIZE), V(tid), V(0), V(0)));
	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	kill(s.holder->pid, SIGKILL);
	expect(0, truncate_end(b));
	expect_value(F_UNLCK, a_getlease(child, s.fd));
}
