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
 *    what has been acknowledged (store the kernel's index), until neither finds anything to do;
 *    then sleep, under the task's lock;
 *  - local operations (binding a memory window, invalidating a key) and all requests of
 *    unreliable QPs are done when they are sent. They are completed when those before them are,
 *    in any number and without counting as something to do;
 *  - in error: complete everything in a loop: load the program's index, take the CQ's lock,
 *    store the kernel's index.
 * Nothing may sleep for ever while a request is not complete. The rule that is tried here is
 * that of pinrxe_publish_send().
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	uint8_t posts;
	uint32_t local;  /* bit per request: it is done when it is sent */
	bool local_ring; /* from the first local operation on none is left out */
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

static bool is_local(const struct rules *r, uint8_t request)
{
	return r->local >> request & 1;
}

/* Of the request that has just been stored */
static bool must_ring(const struct state *s, const struct rules *r)
{
	return r->local_ring && r->local & ((UINT32_C(1) << s->stored) - 1);
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
		s->user = earlier >= r->earlier && !must_ring(s, r) ? STORE : RING;
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
	if (s->user == STORE && s->stored == r->posts)
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
		s->under_way += s->progress && !is_local(r, s->sent);
		s->sent += s->progress;
		s->task = COMPLETE;
		return true;
	case COMPLETE:
		if (s->completed < s->sent && is_local(r, s->completed)) {
			s->completed++;
		} else if (s->acknowledged) {
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
	return !moved && s->completed < r->posts;
}

/* A kind of QP and a rule, with every mixture of requests that rules.local allows. */
static int check(const char *text, struct rules rules, bool expected)
{
	unsigned int mixtures = 0, all = 0;
	uint32_t allowed = rules.local;
	bool lost = false;

	rules.local = 0;
	do {
		struct state start = {};

		memset(used, 0, sizeof(used));
		states = 0;
		lost = loses(&start, &rules);
		all += states;
		mixtures++;
		/* the next subset of what is allowed */
		rules.local = (rules.local - allowed) & allowed;
	} while (!lost && rules.local);
	printf("%s %s: %s (%u states of %u mixtures)\n", lost == expected ? "ok" : "FAIL",
	       text, lost ? "can lose a request" : "loses none", all, mixtures);
	return lost != expected;
}

/* What is done, and must lose none. */
static int check_protocol(void)
{
	int wrong = 0;

	for (uint8_t earlier = 2; earlier <= 4; earlier++) {
		struct rules rules = { .fence = true,
				       .earlier = earlier,
				       .posts = earlier + 3 };

		printf("%d earlier ones:\n", earlier);
		wrong |= check("at work", rules, false);
		rules.error = true;
		wrong |= check("in error", rules, false);
		rules.error = false;
		rules.local_ring = true;
		rules.local = (UINT32_C(1) << rules.posts) - 1;
		wrong |= check("local operations", rules, false);
	}
	return wrong;
}

/* The default. */
static int check_default(void)
{
	struct rules rules = { .fence = true, .earlier = 8, .posts = 11 };
	int wrong;

	printf("eight earlier ones:\n");
	wrong = check("at work", rules, false);
	rules.error = true;
	return wrong | check("in error", rules, false);
}

/* Unreliable: all requests are done when sent, and doorbells are left out. */
static int check_unreliable(void)
{
	struct rules rules = { .fence = true, .earlier = 2, .posts = 6 };
	struct state start = {};
	bool lost;

	rules.local = (UINT32_C(1) << rules.posts) - 1;
	memset(used, 0, sizeof(used));
	states = 0;
	lost = loses(&start, &rules);
	printf("%s unreliable: %s (%u states)\n", lost ? "FAIL" : "ok",
	       lost ? "can lose a request" : "loses none", states);
	return lost;
}

/* What is not done, and why: these show that the model can tell. */
static int check_others(void)
{
	struct rules rules = { .fence = true, .earlier = 1, .posts = 5 };
	int wrong = 0;

	printf("other rules:\n");
	wrong |= check("at work, one earlier one", rules, false);
	rules.error = true;
	wrong |= check("in error, one earlier one", rules, true);
	rules.error = false;
	rules.earlier = 0;
	wrong |= check("at work, none earlier", rules, true);
	rules.earlier = 2;
	rules.fence = false;
	wrong |= check("at work, no fence", rules, true);
	rules.error = true;
	wrong |= check("in error, no fence", rules, true);
	rules.error = false;
	rules.fence = true;
	rules.local = (UINT32_C(1) << rules.posts) - 1;
	wrong |= check("local operations, doorbells left out", rules, true);
	return wrong;
}

int main(void)
{
	return check_protocol() | check_default() | check_unreliable() | check_others();
}
