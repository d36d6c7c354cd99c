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

/* What all threads of a process have done so far, and whether one of them runs. */
struct activity {
	unsigned long switches;
	bool runs;
};

static struct activity activity_of(pid_t pid)
{
	struct activity sum = { 0 };
	char path[64], text[4096];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		char state;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		read_proc(atoi(e->d_name), "stat", text, sizeof(text));
		state = state_in(text);
		sum.runs = sum.runs || (state != 'S' && state != 'D');
		read_proc(atoi(e->d_name), "status", text, sizeof(text));
		sum.switches += number_after(text, "\nvoluntary_ctxt_switches:") +
				number_after(text, "nonvoluntary_ctxt_switches:");
	}
	if (d)
		closedir(d);
	return sum;
}

int task_blocked_ms(pid_t pid, struct task_watch *w)
{
	struct activity now = activity_of(pid);
	struct timespec ts;
	char call[128];
	int64_t ns;
	pid_t child;
	long nr;

	read_proc(pid, "syscall", call, sizeof(call));
	nr = isdigit((unsigned char)*call) ? atol(call) : -1;
	child = nr == SYS_wait4 ? child_of(pid) : 0;
	if (child)
		return task_blocked_ms(child, w);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns = ts.tv_sec * 1000000000LL + ts.tv_nsec;
	if (now.runs || nr == SYS_recvmsg) {
		*w = (struct task_watch){ .pid = pid };
		return 0;
	}
	if (w->pid != pid || w->switches != now.switches || !w->asleep_since)
		*w = (struct task_watch){ pid, now.switches, ns };
	return (int)((ns - w->asleep_since) / 1000000);
}

int task_cpu_ms(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char stat[512];
	const char *p;

	read_proc(pid, "stat", stat, sizeof(stat));
	p = strrchr(stat, ')');
	if (p)
		sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
		       &system);
	return (int)((user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
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
