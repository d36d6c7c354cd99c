// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * L10: a grant and a layout change never overlap.
 *
 * One process takes a lease, fills and registers the file, looks whether what it wrote is still
 * there, and gives everything back; another keeps truncating.  A shared page says when both have
 * seen enough, so that neither counts on luck or on time.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
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
