// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Actors: processes that do one step at a time for the director (see actor.h).
 *
 * A step is one SOCK_SEQPACKET message.  It is a system call, a function of this program, or one
 * of the few steps that change the actor itself (fork, exec, exit, passing descriptors).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor.h"
#include "check.h"
#include "task.h"

#define ACTORS_MAX 64

int step_deadline_ms = 8000;

enum step_kind {
	STEP_SYSCALL,
	STEP_CALL,
	STEP_FORK,
	STEP_EXEC,
	STEP_EXIT,
	STEP_SEND,
	STEP_RECV
};

struct step {
	int32_t kind;
	uint32_t data_len;
	int64_t nr; /* system call number, function offset or descriptor */
	uint64_t arg[6];
	uint8_t is_data[6]; /* the argument is an offset into data */
	int64_t result;
	_Alignas(16) unsigned char data[ACTOR_DATA_MAX];
};

#define STEP_HEAD offsetof(struct step, data)

static struct actor actors[ACTORS_MAX];
static unsigned int nr_actors;

/* ---- messages ---- */

static int msg_send(int sock, const void *buf, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)buf, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -errno;
}

/* Returns the length received, 0 at end of file, -errno. */
static ssize_t msg_recv(int sock, void *buf, size_t len, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { buf, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*fd = -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	return n;
}

/* ---- the actor's side ---- */

static long do_syscall(struct step *s)
{
	uint64_t a[6];
	long ret;
	int i;

	for (i = 0; i < 6; i++)
		a[i] = s->is_data[i] ? (uint64_t)(uintptr_t)(s->data + s->arg[i])
				     : s->arg[i];
	ret = syscall(s->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	return ret < 0 ? -errno : ret;
}

static long do_call(struct step *s)
{
	actor_fn fn = (actor_fn)((uintptr_t)msg_send + (uintptr_t)s->nr);

	return fn(s->data, s->data_len);
}

/* The child serves on the socket that came with the step. */
static long do_fork(int *sock, int child_sock, const void *name)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		close(*sock);
		*sock = child_sock;
		prctl(PR_SET_NAME, name);
		return 0;
	}
	close(child_sock);
	return pid;
}

static void *exec_image(void *arg)
{
	execl("/proc/self/exe", "conformance", "--actor", arg, (char *)NULL);
	return NULL;
}

static long do_exec(int sock, bool from_thread)
{
	char arg[16];
	pthread_t t;

	fcntl(sock, F_SETFD, 0);
	snprintf(arg, sizeof(arg), "%d", sock);
	if (!from_thread)
		exec_image(arg);
	else if (!pthread_create(&t, NULL, exec_image, arg))
		pthread_join(t, NULL); /* comes back only if the exec has failed */
	return errno ? -errno : -EAGAIN;
}

static long do_recv(int from)
{
	ssize_t n;
	char c;
	int fd;

	n = msg_recv(from, &c, 1, &fd);
	close(from);
	if (n <= 0)
		return n ? n : -EPIPE;
	return fd >= 0 ? fd : -EBADMSG;
}

static long do_step(struct step *s, int *sock, int fd)
{
	long ret;

	switch (s->kind) {
	case STEP_SYSCALL:
		return do_syscall(s);
	case STEP_CALL:
		return do_call(s);
	case STEP_FORK:
		return do_fork(sock, fd, s->data);
	case STEP_EXEC:
		return do_exec(*sock, s->nr);
	case STEP_SEND:
		ret = msg_send(fd, "", 1, (int)s->nr);
		close(fd);
		return ret;
	case STEP_RECV:
		return do_recv(fd);
	default:
		_exit(0);
	}
}

void actor_serve(int sock)
{
	static struct step s;
	int fd;

	/* Lease breaks signal the holder; the steps look at results only. */
	signal(SIGIO, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	while (msg_recv(sock, &s, sizeof(s), &fd) > 0) {
		s.result = do_step(&s, &sock, fd);
		if (msg_send(sock, &s, STEP_HEAD + s.data_len, -1))
			break;
	}
	_exit(0);
}

bool actor_main(int argc, char **argv)
{
	static const struct step started;

	if (argc != 3 || strcmp(argv[1], "--actor"))
		return false;
	fcntl(atoi(argv[2]), F_SETFD, FD_CLOEXEC);
	msg_send(atoi(argv[2]), &started, STEP_HEAD, -1);
	actor_serve(atoi(argv[2]));
}

/* ---- the director's side ---- */

static struct step *step_buf(int kind, int64_t nr)
{
	static __thread struct step s; /* steps of several actors may run at once */

	memset(&s, 0, STEP_HEAD);
	s.kind = kind;
	s.nr = nr;
	return &s;
}

__thread void (*actor_gate)(void);

static void step_send(struct actor *a, const struct step *s, int fd)
{
	void (*gate)(void) = actor_gate;
	int err;

	actor_gate = NULL;
	if (gate)
		gate();
	if (a->busy)
		broken("%s: a step was sent before the previous one answered", a->name);
	err = msg_send(a->sock, s, STEP_HEAD + s->data_len, fd);
	if (err)
		broken("%s: cannot send a step: %s", a->name, errno_name(-err));
	a->busy = true;
}

/*
 * Waits for the answer.  A task that sleeps for the whole deadline without running once has failed;
 * for one that runs, the limit of the whole check is the only one.
 */
static void await_answer(struct actor *a, int deadline_ms)
{
	struct pollfd p = { .fd = a->sock, .events = POLLIN };
	struct task_watch watch = { 0 };
	char where[2048];
	int r, look = 20;

	for (;;) {
		r = poll(&p, 1, look);
		if (r > 0)
			return;
		look = look < 500 ? 2 * look : 500;
		if (r < 0 || a->remote || task_blocked_ms(a->pid, &watch) < deadline_ms)
			continue;
		/* or the child that it waits for */
		task_describe(watch.pid ? watch.pid : a->pid, where, sizeof(where));
		fail_now("%s: still blocked after %d ms: %s", a->name, deadline_ms,
			 where);
	}
}

static long step_result(struct actor *a, struct step *s, int deadline_ms)
{
	ssize_t n;
	int fd;

	await_answer(a, deadline_ms);
	n = msg_recv(a->sock, s, sizeof(*s), &fd);
	if (n <= 0 && a->killed)
		return -ESRCH;
	if (n <= 0)
		broken("%s (pid %d): died instead of answering", a->name, a->pid);
	a->busy = false;
	return s->result;
}

bool actor_answers(struct actor *a, int limit_ms)
{
	struct pollfd answer = { .fd = a->sock, .events = POLLIN };

	return poll(&answer, 1, limit_ms) == 1;
}

bool actor_blocks(struct actor *a)
{
	struct deadline by = deadline_in(step_deadline_ms);
	struct task_watch watch = { 0 };

	while (a->busy && deadline_wait(&by))
		if (task_blocked_ms(a->pid, &watch) >= 100)
			return a->busy;
	return false;
}

static long step_do(struct actor *a, struct step *s, int fd)
{
	step_send(a, s, fd);
	if (fd >= 0)
		close(fd);
	return step_result(a, s, step_deadline_ms);
}

static void socket_pair(int sv[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		broken("socketpair: %s", errno_name(errno));
}

struct actor *actor_adopt(const char *name, pid_t pid, int sock)
{
	struct actor *a = &actors[nr_actors];

	if (nr_actors++ == ACTORS_MAX)
		broken("more than %d actors", ACTORS_MAX);
	snprintf(a->name, sizeof(a->name), "%s", name);
	a->pid = pid;
	a->sock = sock;
	a->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	report_process(pid);
	if (a->pidfd < 0)
		broken("%s: pidfd_open(%d): %s", name, pid, errno_name(errno));
	return a;
}

struct actor *actor_start(const char *name)
{
	int sv[2];
	pid_t pid;

	socket_pair(sv);
	pid = fork();
	if (pid < 0)
		broken("fork: %s", errno_name(errno));
	if (!pid) {
		unsigned int i;

		/* An actor that outlived the director would keep its leases. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, name);
		for (i = 0; i < nr_actors; i++) {
			close(actors[i].sock);
			close(actors[i].pidfd);
		}
		close(sv[0]);
		actor_serve(sv[1]);
	}
	close(sv[1]);
	return actor_adopt(name, pid, sv[0]);
}

struct actor *actor_start_exec(const char *name)
{
	struct actor *a = actor_start(name);
	long ret = actor_exec(a);

	if (ret)
		broken("%s: exec: %s", name, errno_name((int)-ret));
	return a;
}

struct actor *actor_fork(struct actor *parent, const char *name)
{
	struct step *s = step_buf(STEP_FORK, 0);
	struct actor *a;
	int sv[2];
	long pid;

	socket_pair(sv);
	snprintf((char *)s->data, 16, "%s", name);
	s->data_len = 16;
	pid = step_do(parent, s, sv[1]);
	if (pid < 0)
		broken("%s: fork: %s", parent->name, errno_name((int)-pid));
	a = actor_adopt(name, (pid_t)pid, sv[0]);
	a->busy = true; /* the child answers the fork, too */
	step_result(a, s, step_deadline_ms);
	return a;
}

long actor_exec(struct actor *a)
{
	return step_do(a, step_buf(STEP_EXEC, 0), -1);
}

long actor_exec_from_thread(struct actor *a)
{
	return step_do(a, step_buf(STEP_EXEC, 1), -1);
}

static void wait_dead(struct actor *a)
{
	struct pollfd p = { .fd = a->pidfd, .events = POLLIN };
	char where[2048];

	if (poll(&p, 1, step_deadline_ms) != 1) {
		task_describe(a->pid, where, sizeof(where));
		fail_now("%s: does not die: %s", a->name, where);
	}
}

void actor_exit(struct actor *a)
{
	step_send(a, step_buf(STEP_EXIT, 0), -1);
	wait_dead(a);
}

void actor_kill(struct actor *a)
{
	a->killed = true;
	kill(a->pid, SIGKILL);
	wait_dead(a);
}

bool actor_dead(const struct actor *a)
{
	struct pollfd p = { .fd = a->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

void actor_reap(struct actor *a)
{
	if (waitpid(a->pid, NULL, 0) != a->pid)
		broken("%s: waitpid: %s", a->name, errno_name(errno));
}

static size_t align_data(size_t len)
{
	return (len + 15) & ~(size_t)15;
}

static void args_pack(struct step *s, const struct sys_arg *args, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (args[i].kind == ARG_VALUE) {
			s->arg[i] = args[i].value;
			continue;
		}
		if (s->data_len + align_data(args[i].len) > ACTOR_DATA_MAX)
			broken("arguments of system call %ld are too long", (long)s->nr);
		s->is_data[i] = 1;
		s->arg[i] = s->data_len;
		if (args[i].kind == ARG_OUT)
			memset(s->data + s->data_len, 0, args[i].len);
		else
			memcpy(s->data + s->data_len, args[i].buf, args[i].len);
		s->data_len += (uint32_t)align_data(args[i].len);
	}
}

long actor_syscall(struct actor *a, long nr, const struct sys_arg *args, unsigned int n)
{
	struct step *s = step_buf(STEP_SYSCALL, nr);
	unsigned int i;
	long ret;

	args_pack(s, args, n);
	ret = step_do(a, s, -1);
	for (i = 0; i < n; i++)
		if (args[i].kind == ARG_OUT || args[i].kind == ARG_INOUT)
			memcpy(args[i].buf, s->data + s->arg[i], args[i].len);
	return ret;
}

void actor_call_begin(struct actor *a, actor_fn fn, const void *buf, size_t len)
{
	/* The distance to a fixed function survives exec, the address does not. */
	struct step *s =
		step_buf(STEP_CALL, (int64_t)((uintptr_t)fn - (uintptr_t)msg_send));

	if (len > ACTOR_DATA_MAX)
		broken("argument of a call is too long");
	if (len)
		memcpy(s->data, buf, len);
	s->data_len = (uint32_t)len;
	step_send(a, s, -1);
}

long actor_call_end(struct actor *a, void *buf, size_t len, int deadline_ms)
{
	struct step *s = step_buf(STEP_CALL, 0);
	long ret = step_result(a, s, deadline_ms);

	if (buf)
		memcpy(buf, s->data, len);
	return ret;
}

long actor_call(struct actor *a, actor_fn fn, void *buf, size_t len)
{
	actor_call_begin(a, fn, buf, len);
	return actor_call_end(a, buf, len, step_deadline_ms);
}

long actor_send_fd(struct actor *from, int fd, struct actor *to)
{
	int sv[2];
	long ret;

	socket_pair(sv);
	ret = step_do(from, step_buf(STEP_SEND, fd), sv[0]);
	if (ret) {
		close(sv[1]);
		return ret;
	}
	return step_do(to, step_buf(STEP_RECV, 0), sv[1]);
}
