// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "slow_sync.h"

#define SLOW_MS      30
#define MAPPINGS_MAX 32768 /* a process may have 65530 */

struct mappings {
	long fd, n;
};

static long map_again(void *buf, size_t size)
{
	const struct mappings *m = buf;

	(void)size;
	for (long i = 0; i < m->n; i++)
		if (mmap(NULL, PAGE, PROT_READ, MAP_SHARED, (int)m->fd, 0) == MAP_FAILED)
			return -errno;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

void dirty_first_page(const struct scene *s)
{
	must(a_mem_write(s->holder, (uint64_t)s->addr, PAGE, FILE_SEED, 0));
}

int make_sync_slow(const struct scene *s)
{
	struct mappings m = { .fd = s->fd, .n = 1024 };
	int64_t before;
	int took = 0;

	for (long all = 0; all < MAPPINGS_MAX && took < SLOW_MS; all += m.n) {
		require(0, actor_call(s->holder, map_again, &m, sizeof(m)));
		dirty_first_page(s);
		before = now_ms();
		must(a_fsync(s->holder, s->fd));
		took = (int)(now_ms() - before);
	}
	return took;
}

static long sync_file(void *buf, size_t size)
{
	(void)size;
	return fsync((int)*(long *)buf) ? -errno : 0;
}

void fsync_begin(struct actor *a, long fd)
{
	actor_call_begin(a, sync_file, &fd, sizeof(fd));
}
