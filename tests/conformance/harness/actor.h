/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Actors: the processes of a scenario.
 *
 * A check runs in one process, the director, that itself never opens, maps or leases the file
 * under test.  Every step is done by an actor, a real process that waits on a socket for the next
 * step, does it, and answers with the result.  The director sends a step only after the previous
 * one has answered, so the socket is also the barrier between actors.
 *
 * Results are those of the kernel: a value >= 0, or -errno.
 */
#ifndef PINV_TEST_ACTOR_H
#define PINV_TEST_ACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ACTOR_DATA_MAX 16384

struct actor {
	char name[32];
	pid_t pid;
	int pidfd;
	int sock;
	_Atomic bool busy;   /* a step was sent and has not answered */
	bool remote;         /* on another machine: what it does cannot be seen */
	_Atomic bool killed; /* a step that it is in gives -ESRCH */
};

/* One argument of a system call made by an actor. */
struct sys_arg {
	enum {
		ARG_VALUE,
		ARG_IN,
		ARG_OUT,
		ARG_INOUT
	} kind;
	uint64_t value;
	void *buf;
	size_t len;
};

#define V(x) ((struct sys_arg){ .kind = ARG_VALUE, .value = (uint64_t)(long)(x) })
#define STR(s) \
	((struct sys_arg){ .kind = ARG_IN, .buf = (void *)(s), .len = strlen(s) + 1 })
#define IN(p, n)    ((struct sys_arg){ .kind = ARG_IN, .buf = (void *)(p), .len = (n) })
#define OUT(p, n)   ((struct sys_arg){ .kind = ARG_OUT, .buf = (p), .len = (n) })
#define INOUT(p, n) ((struct sys_arg){ .kind = ARG_INOUT, .buf = (p), .len = (n) })

/* A function that an actor runs in its own process; buf goes there and comes back. */
typedef long (*actor_fn)(void *buf, size_t len);

/* The actors below never fail to start: failure to start ends the check as failed. */
struct actor *actor_start(const char *name); /* forked from the director */
struct actor *
actor_start_exec(const char *name); /* the same, then a fresh image by exec */
struct actor *actor_fork(struct actor *parent, const char *name);

/* Does steps that come over the socket, until it ends. */
_Noreturn void actor_serve(int sock);
/* Makes an actor of a process that does so at the other end of sock. */
struct actor *actor_adopt(const char *name, pid_t pid, int sock);

/* Replaces the actor's image; descriptors without FD_CLOEXEC stay at their numbers. */
long actor_exec(struct actor *a);
/* The same by a second thread, which becomes the first. */
long actor_exec_from_thread(struct actor *a);

/* Both return once the process is dead, with every descriptor closed, but not reaped. */
void actor_exit(struct actor *a);
void actor_kill(struct actor *a);
void actor_reap(struct actor *a);
bool actor_dead(const struct actor *a);

long actor_syscall(struct actor *a, long nr, const struct sys_arg *args, unsigned int n);
#define SYS(a, nr, ...)                                                 \
	actor_syscall(a, nr, (const struct sys_arg[]){ __VA_ARGS__ },   \
		      sizeof((const struct sys_arg[]){ __VA_ARGS__ }) / \
			      sizeof(struct sys_arg))

long actor_call(struct actor *a, actor_fn fn, void *buf, size_t len);

/* The two halves of actor_call(), for actors that run at the same time. */
void actor_call_begin(struct actor *a, actor_fn fn, const void *buf, size_t len);
long actor_call_end(struct actor *a, void *buf, size_t len, int deadline_ms);

/* Sends a descriptor straight from one actor to another; returns its number in the receiver. */
long actor_send_fd(struct actor *from, int fd, struct actor *to);

/* How long a step may take before it counts as blocked; set before a check starts. */
extern int step_deadline_ms;

/* True as soon as the step that an actor is in has ended; does not take the answer. */
bool actor_answers(struct actor *a, int limit_ms);

/* True once the step that an actor is in is seen to sleep; false if it ends, or runs for long. */
bool actor_blocks(struct actor *a);

/* Called once before the next step of this thread is sent: where several threads meet. */
extern __thread void (*actor_gate)(void);

/* True if the program was started as an actor's fresh image; then it served and must exit. */
bool actor_main(int argc, char **argv);

#endif
