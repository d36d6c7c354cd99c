// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * lab-guest PORT JOB: runs one command inside the guest and reports over the virtio port.
 *
 * JOB is a folder of the host: "args" and "env" (NUL-terminated strings), "cwd", and, when the
 * command gets a terminal, "tty".  Everything the command starts ends with it: what is left
 * is killed, so that its output is complete before the status is sent.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "frame.h"

#define HEARTBEAT_MS 2000
#define DRAIN_MS     5000

struct job {
	int port;
	int in, out, err; /* -1 when closed; with a terminal in == out */
	bool tty;
	pid_t pid;
	bool exited;
	bool quit;
	uint32_t status;
	char queue[FRAME_MAX]; /* stdin that the command has not taken yet */
	size_t queued;
	bool in_eof; /* close stdin once the queue is empty */
	char rx[sizeof(struct frame) + FRAME_MAX];
	size_t rx_len;
	int64_t sent_ms; /* when the host was last sent something */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err(1, "virtio port");
		p += n;
		len -= n;
	}
}

static void send_frame(struct job *job, uint32_t type, const void *data, size_t len)
{
	struct frame head = { .type = type, .len = len };
	char buf[sizeof(head) + FRAME_MAX];

	memcpy(buf, &head, sizeof(head));
	if (len)
		memcpy(buf + sizeof(head), data, len);
	write_all(job->port, buf, sizeof(head) + len);
	job->sent_ms = now_ms();
}

/* What happens here is no sign of life for the host: it may be that input is taken, and no more. */
static void say_alive(struct job *job)
{
	if (now_ms() - job->sent_ms >= HEARTBEAT_MS)
		send_frame(job, FRAME_ALIVE, NULL, 0);
}

static char *slurp(const char *dir, const char *name, size_t *len)
{
	char path[4096];
	struct stat st;
	char *data;
	size_t off = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		err(1, "%s", path);
	data = calloc(1, st.st_size + 1);
	if (!data)
		err(1, "%s", path);
	while (off < (size_t)st.st_size) {
		ssize_t n = read(fd, data + off, st.st_size - off);

		if (n <= 0)
			err(1, "%s", path);
		off += n;
	}
	close(fd);
	*len = off;
	return data;
}

/* The strings of a file of NUL-terminated strings, as an argv. */
static char **strings(const char *dir, const char *name)
{
	size_t len, n = 0, i = 0;
	char *data = slurp(dir, name, &len);
	char **list;

	for (size_t k = 0; k < len; k++)
		n += data[k] == '\0';
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		err(1, "%s/%s", dir, name);
	for (size_t k = 0; i < n; k += strlen(data + k) + 1)
		list[i++] = data + k;
	return list;
}

static bool is_set(const char *name, size_t len)
{
	for (char **e = environ; *e; e++)
		if (!strncmp(*e, name, len) && (*e)[len] == '=')
			return true;
	return false;
}

/* The caller's environment, with what init says about this guest (PINVERBS_...) in its place. */
static char **environment(const char *dir)
{
	char **theirs = strings(dir, "env");
	char **list;
	size_t n = 0, k = 0;

	while (theirs[n])
		n++;
	for (char **e = environ; *e; e++)
		n++;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		err(1, "environment");
	for (char **e = environ; *e; e++)
		if (!strncmp(*e, "PINVERBS_", 9))
			list[k++] = *e;
	for (char **t = theirs; *t; t++) {
		size_t name = strcspn(*t, "=");

		if (strncmp(*t, "PINVERBS_", 9) || !is_set(*t, name))
			list[k++] = *t;
	}
	return list;
}

static void run_command(const char *dir, char **env, char **args)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	sigset_t none;
	size_t len;
	char *cwd = slurp(dir, "cwd", &len);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	environ = env;
	if (chdir(cwd)) {
		fprintf(stderr, "pinverbs: working directory %s: %s in the guest\n", cwd,
			strerror(errno));
		_exit(126);
	}
	execvp(args[0], args);
	fprintf(stderr, "pinverbs: %s: %s\n", args[0],
		errno == ENOENT ? "command not found" : strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* What udev would make, and shells and programs rely on. */
static void standard_links(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "fd/0", "/dev/stdin" },
		{ "fd/1", "/dev/stdout" },
		{ "fd/2", "/dev/stderr" },
	};

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlink(links[i][0], links[i][1]) && errno != EEXIST)
			err(1, "%s", links[i][1]);
}

static void start(struct job *job, const char *dir)
{
	char **env = environment(dir);
	char **args = strings(dir, "args");
	int in[2], out[2], errp[2];
	char path[4096];

	snprintf(path, sizeof(path), "%s/tty", dir);
	job->tty = !access(path, F_OK);
	if (job->tty) {
		job->pid = forkpty(&job->out, NULL, NULL, NULL);
		if (job->pid < 0)
			err(1, "forkpty");
		if (!job->pid)
			run_command(dir, env, args);
		job->in = job->out;
		job->err = -1;
		fcntl(job->out, F_SETFL, O_NONBLOCK);
		return;
	}
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(errp, O_CLOEXEC))
		err(1, "pipe");
	job->pid = fork();
	if (job->pid < 0)
		err(1, "fork");
	if (!job->pid) {
		setsid();
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(errp[1], 2);
		run_command(dir, env, args);
	}
	close(in[0]);
	close(out[1]);
	close(errp[1]);
	job->in = in[1];
	job->out = out[0];
	job->err = errp[0];
	fcntl(job->in, F_SETFL, O_NONBLOCK);
}

static void close_in(struct job *job)
{
	static const char eot = 4;

	if (job->in < 0)
		return;
	if (job->tty)
		write_all(job->in, &eot, 1);
	else
		close(job->in);
	job->in = -1;
}

static void feed(struct job *job)
{
	ssize_t n;

	if (job->in >= 0 && job->queued) {
		n = write(job->in, job->queue, job->queued);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			/* nobody reads any more: what still comes is dropped */
			if (!job->tty)
				close(job->in);
			job->in = -1;
		}
		if (n > 0) {
			job->queued -= n;
			memmove(job->queue, job->queue + n, job->queued);
		}
	}
	if (job->in < 0)
		job->queued = 0;
	if (!job->queued && job->in_eof)
		close_in(job);
}

static void dump_tasks(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, "w", 1) < 0)
			warn("sysrq-trigger");
		close(fd);
	}
}

static void handle(struct job *job, const struct frame *head, const char *data)
{
	uint16_t size[2];
	struct winsize ws = { 0 };

	switch (head->type) {
	case FRAME_IN:
		memcpy(job->queue, data, head->len);
		job->queued = head->len;
		feed(job);
		break;
	case FRAME_IN_EOF:
		job->in_eof = true;
		feed(job);
		break;
	case FRAME_WINSIZE:
		memcpy(size, data, sizeof(size));
		ws.ws_row = size[0];
		ws.ws_col = size[1];
		if (job->tty)
			ioctl(job->out, TIOCSWINSZ, &ws);
		break;
	case FRAME_DUMP:
		dump_tasks();
		break;
	case FRAME_QUIT:
		job->quit = true;
		break;
	}
}

/* One frame at a time, and none while stdin is queued: the port's own flow control does the rest. */
static void receive(struct job *job)
{
	struct frame head;
	size_t want = sizeof(head);
	ssize_t n;

	memcpy(&head, job->rx, sizeof(head));
	if (job->rx_len >= sizeof(head))
		want += head.len;
	n = read(job->port, job->rx + job->rx_len, want - job->rx_len);
	if (n == 0)
		exit(1); /* the host is gone */
	if (n < 0) {
		if (errno == EINTR || errno == EAGAIN)
			return;
		err(1, "virtio port");
	}
	job->rx_len += n;
	if (job->rx_len < sizeof(head))
		return;
	memcpy(&head, job->rx, sizeof(head));
	if (head.len > FRAME_MAX)
		errx(1, "virtio port: frame of %u bytes", head.len);
	if (job->rx_len == sizeof(head) + head.len) {
		job->rx_len = 0;
		handle(job, &head, job->rx + sizeof(head));
	}
}

static void forward(struct job *job, int *fd, uint32_t type)
{
	char buf[FRAME_MAX];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n > 0) {
		send_frame(job, type, buf, n);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (job->in == *fd)
		job->in = -1;
	close(*fd);
	*fd = -1;
}

static void reap(struct job *job)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != job->pid)
			continue;
		job->exited = true;
		job->status =
			WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		/* all but init and this process */
		kill(-1, SIGKILL);
	}
}

/* One round of the loop; false when nothing happened for the given time. */
static bool round_trip(struct job *job, int chld, int timeout)
{
	struct signalfd_siginfo si;
	struct pollfd p[] = {
		{ .fd = job->queued ? -1 : job->port, .events = POLLIN },
		{ .fd = job->out, .events = POLLIN },
		{ .fd = job->err, .events = POLLIN },
		{ .fd = job->queued ? job->in : -1, .events = POLLOUT },
		{ .fd = chld, .events = POLLIN },
	};

	if (poll(p, 5, timeout) <= 0)
		return false;
	if (p[1].revents)
		forward(job, &job->out, FRAME_OUT);
	if (p[2].revents)
		forward(job, &job->err, FRAME_ERR);
	if (p[3].revents)
		feed(job);
	if (p[0].revents)
		receive(job);
	if (p[4].revents && read(chld, &si, sizeof(si)) == sizeof(si))
		reap(job);
	return true;
}

int main(int argc, char **argv)
{
	static struct job job;
	sigset_t mask;
	int chld;

	if (argc != 3)
		errx(2, "usage: lab-guest PORT JOB");
	job.port = open(argv[1], O_RDWR | O_CLOEXEC);
	if (job.port < 0)
		err(1, "%s", argv[1]);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	chld = signalfd(-1, &mask, SFD_CLOEXEC);
	if (chld < 0)
		err(1, "signalfd");

	standard_links();
	send_frame(&job, FRAME_STARTED, NULL, 0);
	start(&job, argv[2]);
	while (!job.exited) {
		round_trip(&job, chld, HEARTBEAT_MS);
		say_alive(&job);
	}
	/* A task that even SIGKILL does not end may keep the pipes open: do not wait for it. */
	while (job.out >= 0 || job.err >= 0)
		if (!round_trip(&job, chld, DRAIN_MS))
			break;
	send_frame(&job, FRAME_EXIT, &job.status, sizeof(job.status));
	job.queued = 0;
	while (!job.quit) {
		round_trip(&job, chld, HEARTBEAT_MS);
		say_alive(&job);
	}
	return 0;
}
