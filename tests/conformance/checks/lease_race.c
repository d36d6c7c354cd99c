// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * L10: a grant and a layout change never overlap.  L3: nor does the end of a lease get lost in its recall.
 *
 * One process takes a lease, fills and registers the file, looks whether what it wrote is still
 * there, and gives everything back; another keeps truncating.  A shared page says when both have
 * seen enough, so that neither counts on luck or on time.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "scene.h"

#define RACE_SIZE   KiB(16)
#define RACE_ENOUGH 20

struct race {
	_Atomic long granted, refused, done;
	_Atomic int stop;
};

struct race_step {
	struct race *shared;
	long fd, addr;
	struct ibv_pd *pd;
	char path[256];
};

static bool enough(const struct race *r)
{
	return r->granted >= RACE_ENOUGH && r->refused >= RACE_ENOUGH &&
	       r->done >= RACE_ENOUGH;
}

static bool file_is(int fd, uint64_t seed)
{
	unsigned char buf[RACE_SIZE];

	return pread(fd, buf, sizeof(buf), 0) == (ssize_t)sizeof(buf) &&
	       pattern_matches(buf, sizeof(buf), seed, 0);
}

static long fill(int fd, uint64_t seed)
{
	unsigned char buf[RACE_SIZE];

	pattern_fill(buf, sizeof(buf), seed, 0);
	return pwrite(fd, buf, sizeof(buf), 0) == (ssize_t)sizeof(buf) ? 0 : -EIO;
}

/* One round of the holder; the MR comes from the context that v_open() made. */
static long hold_once(const struct race_step *r, uint64_t seed)
{
	struct ibv_mr *mr;
	long ret;

	if (fcntl((int)r->fd, F_SETLEASE, EXCLUSIVE_LAYOUT))
		return -errno;
	ret = fill((int)r->fd, seed);
	mr = ret ? NULL : ibv_reg_mr(r->pd, (void *)r->addr, RACE_SIZE, REMOTE_RW);
	if (!ret && !mr)
		ret = -errno;
	if (mr && !file_is((int)r->fd, seed))
		ret = -EILSEQ; /* changed while it could not */
	sched_yield();
	if (mr && !file_is((int)r->fd, seed))
		ret = -EILSEQ;
	if (mr && ibv_dereg_mr(mr))
		ret = -EIO;
	if (fcntl((int)r->fd, F_SETLEASE, F_LAYOUT | F_UNLCK))
		ret = -errno;
	return ret;
}

static long hold_loop(void *buf, size_t size)
{
	struct race_step *r = buf;
	uint64_t seed = 100;
	long ret = 0;

	(void)size;
	r->pd = v_local_pd(0);
	while (!ret && !r->shared->stop && !enough(r->shared)) {
		ret = hold_once(r, seed++);
		r->shared->granted += !ret;
	}
	r->shared->stop = 1;
	return ret;
}

static long truncate_loop(void *buf, size_t size)
{
	struct race_step *r = buf;
	long ret = 0;

	(void)size;
	while (!ret && !r->shared->stop) {
		if (!truncate(r->path, 0)) {
			r->shared->done++;
			truncate(r->path, RACE_SIZE);
		} else if (errno == ETXTBSY) {
			r->shared->refused++;
		} else {
			ret = -errno;
		}
		sched_yield();
	}
	r->shared->stop = 1;
	return ret;
}

CHECK(l10_grant_and_pin_against_truncate, "L10,T1", STOCK_FAIL)
{
	struct race *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct actor *a = actor_start("holder"), *b = actor_start("truncater");
	const char *path = make_file("f", RACE_SIZE);
	struct race_step ra = { .shared = shared }, rb = { .shared = shared };

	snprintf(rb.path, sizeof(rb.path), "%s", path);
	ra.fd = must(a_open(a, path, O_RDWR));
	ra.addr = must(a_mmap_shared(a, ra.fd, RACE_SIZE));
	must(v_open(a, 0));
	actor_call_begin(a, hold_loop, &ra, sizeof(ra));
	actor_call_begin(b, truncate_loop, &rb, sizeof(rb));
	expect(0, actor_call_end(a, NULL, 0, 20000));
	expect(0, actor_call_end(b, NULL, 0, 20000));
	expect_true(enough(shared), "only %ld grants, %ld refusals, %ld truncates",
		    shared->granted, shared->refused, shared->done);
}

/*
 * A description is closed for good at the moment in which its lease, the only one of the file, is recalled.  The
 * two find this moment: the holder closes later if it was not yet signalled, and earlier if it was.
 */
#define RECALL_NS 1000000000L
#define LOST_NS   8000000000L /* less than lease-break-time */

struct recall {
	_Atomic long begun, ended; /* rounds */
	_Atomic int stop;
};

struct recall_step {
	struct recall *shared;
	char path[256];
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static bool take_sigio(void)
{
	const struct timespec none = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	return sigtimedwait(&set, NULL, &none) == SIGIO;
}

/* One round; the other one begins at the same time.  SIGIO is blocked. */
static long close_once(const struct recall_step *r, int64_t delay)
{
	struct recall *shared = r->shared;
	int fd = open(r->path, O_RDWR | O_CLOEXEC);
	int64_t begin;

	if (fd < 0 || fcntl(fd, F_SETLEASE, F_LAYOUT))
		return -errno;
	shared->begun++;
	begin = now_ns();
	while (now_ns() < begin + delay)
		sched_yield();
	close(fd);
	while (shared->ended < shared->begun) {
		if (shared->stop)
			return -EIO;
		/* the lease went with the description, so there is nothing to wait for */
		if (now_ns() > begin + delay + LOST_NS)
			return -ETIMEDOUT;
		sched_yield();
	}
	return 0;
}

static long close_loop(void *buf, size_t size)
{
	const struct recall_step *r = buf;
	int64_t delay = 0, limit = now_ns() + RECALL_NS;
	long ret = 0, recalled = 0;
	sigset_t set;

	(void)size;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	while (!ret && now_ns() < limit) {
		ret = close_once(r, delay);
		if (take_sigio()) {
			recalled++;
			delay -= delay / 8;
		} else {
			delay += 2000 + delay / 8;
		}
	}
	r->shared->stop = 1;
	return ret ? ret : recalled;
}

static long recall_loop(void *buf, size_t size)
{
	const struct recall_step *r = buf;
	struct recall *shared = r->shared;
	long ret = 0;

	(void)size;
	while (!ret && !shared->stop) {
		if (shared->ended == shared->begun) {
			sched_yield();
			continue;
		}
		if (truncate(r->path, PAGE) || truncate(r->path, RACE_SIZE))
			ret = -errno;
		shared->ended++;
	}
	shared->stop = 1;
	return ret;
}

CHECK(l3_close_while_recalled, "L3,C1", STOCK_FAIL)
{
	struct recall_step r = {
		.shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0),
	};
	struct actor *a = actor_start("holder"), *b = actor_start("truncater");
	long recalled;

	snprintf(r.path, sizeof(r.path), "%s", make_file("f", RACE_SIZE));
	set_for_check("/proc/sys/fs/lease-break-time", "12");
	actor_call_begin(a, close_loop, &r, sizeof(r));
	actor_call_begin(b, recall_loop, &r, sizeof(r));
	recalled = actor_call_end(a, NULL, 0, 20000);
	expect_true(recalled > 0, "the holder: %ld, not a number of recalls", recalled);
	expect(0, actor_call_end(b, NULL, 0, 20000));
}
