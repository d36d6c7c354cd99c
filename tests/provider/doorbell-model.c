// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Can a request be forgotten when a doorbell is left out? Tries every interleaving of a program
 * that posts requests as pinrxe_publish_send() does, and of the kernel's sender, on a machine
 * with store buffers (x86): a store becomes visible some time later, a load may come first, a
 * fence or a locked instruction waits for the buffer to be empty.
 *
 * Indices only grow here, so a store buffer is the distance between what a side has stored and
 * what memory shows.
 *
 * The kernel's side, from rxe_req.c, rxe_comp.c and rxe_task.c of Linux 6.12:
 *  - a doorbell, or a packet that arrives, wakes the task if it sleeps, else makes it go round
 *    once more (rxe_sched_task, under a lock);
 *  - at work: send what is new (the program's index is loaded behind a spin lock), complete
 *    what has been acknowledged (store the kernel's index, then the CQ's lock), until neither
 *    finds anything to do; then sleep, under the task's lock;
 *  - in error: complete everything in a loop: load the program's index, take the CQ's lock,
 *    store the kernel's index.
 * Nothing may sleep for ever while a request is not complete.
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	POSTS = 5
};

/* Of the program and of the kernel's task: where they are. */
enum {
	STORE,
	LOAD,
	RING,
	USER_DONE
};
enum {
	SLEEP,
	SEND,
	COMPLETE,
	FLUSH_LOAD,
	FLUSH_STORE,
	FINISH
};

struct state {
	uint8_t user, stored, shown;           /* program's index: stored, visible */
	uint8_t task, completed, visible;      /* kernel's index: stored, visible */
	uint8_t sent, under_way, acknowledged; /* at work */
	uint8_t again, progress;
};

struct rules {
	bool error;      /* the QP is in error */
	bool fence;      /* between the program's store and load */
	uint8_t earlier; /* requests that must be seen incomplete to leave a doorbell out */
};

/* --- set of states that have been looked at */

enum {
	BUCKETS = 1 << 20
};
static struct state table[BUCKETS];
static uint8_t used[BUCKETS];
static unsigned int states;

static bool add(const struct state *s)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < sizeof(*s); i++)
		hash = (hash ^ ((const uint8_t *)s)[i]) * 1099511628211u;
	for (hash %= BUCKETS; used[hash]; hash = (hash + 1) % BUCKETS)
		if (!memcmp(&table[hash], s, sizeof(*s)))
			return false;
	if (++states > BUCKETS / 2)
		errx(1, "too many states");
	used[hash] = 1;
	table[hash] = *s;
	return true;
}

/* --- steps: each changes *s and returns true, or cannot be taken */

static void wake(struct state *s, const struct rules *r)
{
	if (s->task == SLEEP)
		s->task = r->error ? FLUSH_LOAD : SEND;
	else
		s->again = 1;
}

static bool user_step(struct state *s, const struct rules *r)
{
	uint8_t earlier;

	switch (s->user) {
	case STORE:
		s->stored++;
		s->user = LOAD;
		return true;
	case LOAD:
		if (r->fence && s->shown != s->stored)
			return false;
		earlier = s->stored - 1 - s->visible;
		s->user = earlier >= r->earlier ? STORE : RING;
		break;
	case RING: /* a system call that takes locks */
		if (s->shown != s->stored)
			return false;
		wake(s, r);
		s->user = STORE;
		break;
	default:
		return false;
	}
	if (s->user == STORE && s->stored == POSTS)
		s->user = USER_DONE;
	return true;
}

static bool task_step(struct state *s, const struct rules *r)
{
	bool locked = s->visible == s->completed;

	switch (s->task) {
	case SEND:
		if (!locked)
			return false;
		s->progress = s->sent < s->shown;
		s->sent += s->progress;
		s->under_way += s->progress;
		s->task = COMPLETE;
		return true;
	case COMPLETE:
		if (s->acknowledged) {
			s->acknowledged--;
			s->completed++;
			s->task = SEND;
		} else {
			s->task = s->progress ? SEND : FINISH;
		}
		return true;
	case FLUSH_LOAD:
		s->task = s->completed < s->shown ? FLUSH_STORE : FINISH;
		return true;
	case FLUSH_STORE:
		if (!locked)
			return false;
		s->completed++;
		s->task = FLUSH_LOAD;
		return true;
	case FINISH:
		if (!locked)
			return false;
		s->task = SLEEP;
		if (s->again)
			wake(s, r);
		s->again = 0;
		return true;
	default:
		return false;
	}
}

static bool packet_step(struct state *s, const struct rules *r)
{
	if (!s->under_way)
		return false;
	s->under_way--;
	s->acknowledged++;
	wake(s, r);
	return true;
}

static bool user_buffer_step(struct state *s, const struct rules *r)
{
	(void)r;
	if (s->shown == s->stored)
		return false;
	s->shown++;
	return true;
}

static bool kernel_buffer_step(struct state *s, const struct rules *r)
{
	(void)r;
	if (s->visible == s->completed)
		return false;
	s->visible++;
	return true;
}

/* True if a state can be reached in which nothing moves and a request is not complete. */
static bool loses(const struct state *s, const struct rules *r)
{
	static bool (*const steps[])(struct state *, const struct rules *) = {
		user_step, task_step, packet_step, user_buffer_step, kernel_buffer_step
	};
	bool moved = false;

	if (!add(s))
		return false;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct state next = *s;

		if (!steps[i](&next, r))
			continue;
		moved = true;
		if (loses(&next, r))
			return true;
	}
	return !moved && s->completed < POSTS;
}

static int check(const char *text, struct rules rules, bool expected)
{
	struct state start = {};
	bool lost;

	memset(used, 0, sizeof(used));
	states = 0;
	lost = loses(&start, &rules);
	printf("%s: %s (%u states)\n", text, lost ? "can lose a request" : "loses none",
	       states);
	return lost != expected;
}

int main(void)
{
	int wrong = 0;

	/* what is done */
	wrong |= check("at work, two earlier ones", (struct rules){ false, true, 2 },
		       false);
	wrong |= check("in error, two earlier ones", (struct rules){ true, true, 2 },
		       false);
	/* what is not, and why: these show that the model can tell */
	wrong |= check("at work, one earlier one", (struct rules){ false, true, 1 },
		       false);
	wrong |=
		check("in error, one earlier one", (struct rules){ true, true, 1 }, true);
	wrong |= check("at work, no fence", (struct rules){ false, false, 2 }, true);
	wrong |= check("in error, no fence", (struct rules){ true, false, 2 }, true);
	wrong |= check("at work, none earlier", (struct rules){ false, true, 0 }, true);
	if (wrong)
		puts("not as expected");
	return wrong;
}
