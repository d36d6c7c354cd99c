// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "task.h"

static void read_proc(pid_t pid, const char *file, char *buf, size_t len)
{
	char path[96];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, len - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		n = snprintf(buf, len, "unknown");
	buf[n] = '\0';
}

static char state_in(const char *stat)
{
	const char *p = strrchr(stat, ')');

	return p && p[1] ? p[2] : '?';
}

static int parent_in(const char *stat)
{
	const char *p = strrchr(stat, ')');

	return p && strlen(p) > 4 ? atoi(p + 4) : 0;
}

/* The child that a task in wait4() waits for; 0 if there is none. */
static pid_t child_of(pid_t pid)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t child = 0;

	while (d && !child && (e = readdir(d))) {
		char stat[512];

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		read_proc(atoi(e->d_name), "stat", stat, sizeof(stat));
		if (parent_in(stat) == pid)
			child = atoi(e->d_name);
	}
	if (d)
		closedir(d);
	return child;
}

static unsigned long number_after(const char *text, const char *what)
{
	const char *p = strstr(text, what);

	return p ? strtoul(p + strlen(what), NULL, 10) : 0;
}

int task_blocked_ms(pid_t pid, struct task_watch *w)
{
	char stat[512], call[128], status[4096], state;
	unsigned long switches;
	struct timespec ts;
	int64_t now;
	long nr;

	read_proc(pid, "syscall", call, sizeof(call));
	nr = isdigit((unsigned char)*call) ? atol(call) : -1;
	if (nr == SYS_wait4) {
		pid_t child = child_of(pid);

		if (child)
			return task_blocked_ms(child, w);
	}
	read_proc(pid, "stat", stat, sizeof(stat));
	read_proc(pid, "status", status, sizeof(status));
	switches = number_after(status, "\nvoluntary_ctxt_switches:") +
		   number_after(status, "nonvoluntary_ctxt_switches:");
	state = state_in(stat);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * 1000000000LL + ts.tv_nsec;
	if ((state != 'S' && state != 'D') || nr == SYS_recvmsg || w->pid != pid ||
	    w->switches != switches || !w->asleep_since) {
		*w = (struct task_watch){ pid, switches, now };
		if ((state != 'S' && state != 'D') || nr == SYS_recvmsg)
			w->asleep_since = 0;
		return 0;
	}
	return (int)((now - w->asleep_since) / 1000000);
}

static size_t describe_thread(pid_t tid, char *buf, size_t len)
{
	char stat[512], comm[32], wchan[128], stack[1024];
	int n;

	read_proc(tid, "stat", stat, sizeof(stat));
	read_proc(tid, "comm", comm, sizeof(comm));
	read_proc(tid, "wchan", wchan, sizeof(wchan));
	read_proc(tid, "stack", stack, sizeof(stack));
	comm[strcspn(comm, "\n")] = '\0';
	n = snprintf(buf, len, "%s (%d), state %c, in %s, stack:\n%s", comm, tid,
		     state_in(stat), wchan, stack);
	return n < 0 ? 0 : (size_t)n < len ? (size_t)n : len - 1;
}

void task_describe(pid_t pid, char *buf, size_t len)
{
	char path[64];
	struct dirent *e;
	size_t used = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]) && used < len)
			used += describe_thread(atoi(e->d_name), buf + used, len - used);
	if (d)
		closedir(d);
	if (!used)
		snprintf(buf, len, "process %d is gone", pid);
}
