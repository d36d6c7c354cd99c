// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* O1, L11: a process whose first thread has ended, and that goes on with another one. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "scene.h"

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
