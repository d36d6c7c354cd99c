// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Direct I/O: once, and in flight while other things happen to its memory.
 *
 * For that a thread of the actor keeps reading a file with O_DIRECT into the first half of every page of a
 * mapping, and compares.  The actor may write to the second halves, and fork: a page that is
 * copied under a read in flight would lose what the device delivers.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "do.h"

#define HALF (PAGE / 2)

static struct reader {
	pthread_t thread;
	sem_t first_round;
	_Atomic int stop;
	bool running;
	int fd;
	unsigned char *addr;
	uint64_t len;
	long result;
} reader; /* in the actor: one at a time */

static long read_round(const struct reader *r)
{
	uint64_t pos;

	for (pos = 0; pos < r->len; pos += PAGE) {
		memset(r->addr + pos, 0, HALF);
		if (pread(r->fd, r->addr + pos, HALF, (off_t)pos) != (ssize_t)HALF)
			return -EIO;
		if (!pattern_matches(r->addr + pos, HALF, FILE_SEED, pos))
			return -EILSEQ;
	}
	return 0;
}

/* What goes wrong in a round that had begun before the end was asked for still counts. */
static void *read_thread(void *arg)
{
	struct reader *r = arg;
	bool first = true;

	do {
		r->result = read_round(r);
		if (first)
			sem_post(&r->first_round);
		first = false;
	} while (!r->result && !r->stop);
	return NULL;
}

struct direct_step {
	int fd;
	uint64_t addr, len, seed;
};

static long start_reading(void *buf, size_t size)
{
	const struct direct_step *d = buf;

	(void)size;
	if (reader.running)
		return -EALREADY;
	reader = (struct reader){ .fd = d->fd,
				  .addr = (unsigned char *)(uintptr_t)d->addr,
				  .len = d->len };
	sem_init(&reader.first_round, 0, 0);
	if (pthread_create(&reader.thread, NULL, read_thread, &reader))
		return -EAGAIN;
	reader.running = true;
	while (sem_wait(&reader.first_round))
		;
	return 0;
}

DO(direct_flow)
{
	struct direct_step d = { .fd = (int)fd_of(&arg[0]),
				 .addr = arg[1].name->map.addr,
				 .len = arg[1].name->map.len };

	return actor_call(a, start_reading, &d, sizeof(d));
}

static long stop_reading(void *buf, size_t size)
{
	(void)buf;
	(void)size;
	if (!reader.running)
		return -EALREADY;
	reader.stop = 1;
	pthread_join(reader.thread, NULL);
	reader.running = false;
	return reader.result;
}

DO(direct_settle)
{
	return actor_call(a, stop_reading, NULL, 0);
}

static long write_halves(void *buf, size_t size)
{
	const struct direct_step *d = buf;
	uint64_t pos;

	(void)size;
	for (pos = HALF; pos < d->len; pos += PAGE)
		pattern_fill((void *)(uintptr_t)(d->addr + pos), HALF, d->seed, pos);
	return 0;
}

DO(store_halves)
{
	struct direct_step d = { .addr = arg[0].name->map.addr,
				 .len = arg[0].name->map.len,
				 .seed = arg[1].number };

	return actor_call(a, write_halves, &d, sizeof(d));
}

/* ---- once, of a whole mapping or file ---- */

static long whole(long n, uint64_t len)
{
	return n < 0 || n == (long)len ? (n < 0 ? n : 0) : -EIO;
}

DO(direct_write)
{
	uint64_t len = arg[1].name->map.len;

	return whole(SYS(a, SYS_pwrite64, V(fd_of(&arg[0])), V(arg[1].name->map.addr),
			 V(len), V(0)),
		     len);
}

DO(direct_read)
{
	uint64_t len = arg[1].name->map.len;

	return whole(SYS(a, SYS_pread64, V(fd_of(&arg[0])), V(arg[1].name->map.addr),
			 V(len), V(0)),
		     len);
}

DO(sendfile)
{
	return whole(SYS(a, SYS_sendfile, V(fd_of(&arg[1])), V(fd_of(&arg[0])), V(0),
			 V(arg[2].number)),
		     arg[2].number);
}

const struct verb direct_verbs[] = {
	{ "direct-write", "FD from MAP", K_NONE, do_direct_write,
	  "writes all of the mapping $2 to the start of $1", 0, NULL },
	{ "direct-read", "FD into MAP", K_NONE, do_direct_read,
	  "fills the mapping $2 from the start of $1", 0, NULL },
	{ "sendfile", "FD to FD SIZE", K_NONE, do_sendfile,
	  "sends the next $3 of $1 to $2 by sendfile", 0, NULL },
	{ "direct-flow", "FD into MAP", K_NONE, do_direct_flow,
	  "keeps reading content 1 of $1 with direct I/O into the first half of each "
	  "page of $2",
	  0, NULL },
	{ "direct-settle", "", K_NONE, do_direct_settle,
	  "stops reading with direct I/O; all of it was right", 0, NULL },
	{ "store-halves", "MAP content N", K_NONE, do_store_halves,
	  "stores content $2 to the second half of each page of the mapping $1", 0,
	  NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
