// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Y1: every fsync flushes what a device may have written, counted by a tracepoint. */
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "busy_page.h"
#include "slow_sync.h"

#define TRACING "/sys/kernel/tracing/"
#define EVENT   TRACING "events/fs_dax/dax_writeback_one/enable"

static unsigned long longest_flush; /* in pages; of those that flushed() has counted */

/* Pages of the file that were flushed since the last call. */
static long flushed(const struct stat *st)
{
	char line[512], file[64];
	unsigned long pages = 0, n;
	const char *p;
	FILE *f = fopen(TRACING "trace", "r");

	if (!f)
		broken("no " TRACING "trace");
	longest_flush = 0;
	snprintf(file, sizeof(file), "dev %u:%u ino 0x%lx ", major(st->st_dev),
		 minor(st->st_dev), (unsigned long)st->st_ino);
	while (fgets(line, sizeof(line), f)) {
		p = strstr(line, "dax_writeback_one: ");
		if (!p || !strstr(p, file))
			continue;
		p = strstr(p, "pglen ");
		n = p ? strtoul(p + strlen("pglen "), NULL, 0) : 0;
		if (!n)
			broken("unknown trace line: %s", line);
		pages += n;
		if (n > longest_flush)
			longest_flush = n;
	}
	fclose(f);
	f = fopen(TRACING "trace", "w"); /* empties it */
	if (!f)
		broken("cannot empty " TRACING "trace");
	fclose(f);
	return (long)pages;
}

static void trace_flushes(const struct scene *s, struct stat *st)
{
	if (access(EVENT, W_OK))
		skip("kernel without tracepoints");
	must(stat(s->path, st));
	set_for_check(EVENT, "1");
	flushed(st);
}

CHECK(y1_every_fsync_flushes_pinned_pages, "Y1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	const long pages = (long)(s.size / PAGE);
	struct actor *peer = actor_start("peer");
	struct stat st;

	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	trace_flushes(&s, &st);

	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 8));
	expect(0, a_fsync(s.holder, s.fd));
	expect_value(pages, flushed(&st));
	/* nothing faults now: only the pin tells that there may be new data */
	expect(0, v_write(peer, 0, &s.mr, 2 * PAGE, PAGE, 9));
	expect(0, a_fsync(s.holder, s.fd));
	expect_value(pages, flushed(&st));
	expect(0, v_write(peer, 0, &s.mr, 3 * PAGE, PAGE, 9));
	expect(0, a_msync(s.holder, s.addr, s.size));
	expect_value(pages, flushed(&st));

	/* the last data, then no more: one flush, and no further one */
	expect(0, v_write(peer, 0, &s.mr, 4 * PAGE, PAGE, 9));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(0, a_fsync(s.holder, s.fd));
	expect_value(pages, flushed(&st));
	expect(0, a_fsync(s.holder, s.fd));
	expect_value(0, flushed(&st));
}

CHECK(y1_fsync_of_another_descriptor_after_close, "Y1,C3", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *peer = actor_start("peer"), *other = actor_start("other");
	long fd = must(a_open(other, s.path, O_RDONLY));
	struct stat st;

	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	trace_flushes(&s, &st);
	scene_unmap_and_close(&s);
	expect(0, a_fsync(other, fd));
	flushed(&st);
	expect(0, v_write(peer, 0, &s.mr, 0, PAGE, 8));
	expect(0, a_fsync(other, fd));
	expect_value((long)(s.size / PAGE), flushed(&st));
}

/*
 * What an fsync has flushed is mapped read-only from then on.  A pin for writing has to undo that,
 * or nobody knows that there is something to flush.
 */
static void clean_when_registered(uint64_t size, unsigned long entry)
{
	struct scene s = { .holder = actor_start("holder"), .size = size };
	struct actor *peer = actor_start("peer");
	struct stat st;

	/* all blocks at once: what is written bit by bit may lie where no large entry can map it */
	s.path = make_file("clean", 0);
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	must(a_fallocate(s.holder, s.fd, 0, 0, size));
	require(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	s.addr = must(a_mmap_shared(s.holder, s.fd, size));
	trace_flushes(&s, &st);
	must(a_mem_write(s.holder, (uint64_t)s.addr, size, 2, 0));
	must(a_fsync(s.holder, s.fd));
	expect_value((long)(size / PAGE), flushed(&st));
	expect_value((long)entry, (long)longest_flush);
	must(a_mem_check(s.holder, (uint64_t)s.addr, size, 2, 0));
	must(a_fsync(s.holder, s.fd));
	expect_value(0, flushed(&st));

	scene_pin(&s);
	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	expect(0, v_write(peer, 0, &s.mr, size - PAGE, PAGE, 8));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(0, a_fsync(s.holder, s.fd));
	expect_value((long)(size / PAGE), flushed(&st));
}

CHECK(y1_registration_of_clean_pages, "Y1", STOCK_FAIL)
{
	clean_when_registered(SCENE_SIZE, 1);
}

CHECK(y1_registration_of_clean_large_pages, "Y1", STOCK_FAIL)
{
	clean_when_registered(MiB(8), MiB(2) / PAGE);
}

/* Begun at any time of another one that flushes the page, it ends after that. */
CHECK(y1_fsync_during_another_one, "Y1", STOCK_FAIL)
{
	struct scene s = scene_open();
	struct actor *one = actor_start("one"), *two = actor_start("two");
	long fd = must(a_open(one, s.path, O_RDWR)), again;
	const int steps = 4;
	struct stat st;
	int slow;

	again = must(a_open(two, s.path, O_RDWR));
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	trace_flushes(&s, &st);
	slow = make_sync_slow(&s);
	for (int i = 0; i < steps; i++) {
		dirty_first_page(&s);
		flushed(&st);
		fsync_begin(one, fd);
		poll(NULL, 0, i * slow / steps);
		fsync_begin(two, again);
		expect(0, actor_call_end(two, NULL, 0, step_deadline_ms));
		expect_true(flushed(&st) > 0,
			    "an fsync ended before the page was flushed");
		expect(0, actor_call_end(one, NULL, 0, step_deadline_ms));
	}
}

/* ---- a write that does not get to replace a block ---- */

static long share_page(struct actor *a, const struct scene *s, uint64_t pos)
{
	struct file_clone_range r = {
		.src_fd = s->fd, .src_offset = pos, .src_length = PAGE, .dest_offset = pos
	};
	long to = must(a_open(a, in_dir("clone"), O_RDWR | O_CREAT));

	r.src_fd = must(a_open(a, s->path, O_RDONLY));
	return SYS(a, SYS_ioctl, V(to), V(FICLONERANGE), IN(&r, sizeof(r)));
}

/*
 * A file whose first page is dirty and has a new block set aside for the next write: on XFS, a write to
 * a shared block sets blocks aside for its neighbours, too.
 */
static struct scene scene_with_new_block(struct actor *writer, long *fd)
{
	struct scene s = scene_open();

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	if (share_page(writer, &s, 8 * PAGE))
		skip("%s cannot share blocks", fs_name(s.path));
	*fd = must(a_open(writer, s.path, O_RDWR));
	must(a_mem_write(s.holder, (uint64_t)s.addr, PAGE, FILE_SEED, 0));
	must(a_pwrite(writer, *fd, 8 * PAGE, PAGE, FILE_SEED));
	return s;
}

static long write_first_page(void *buf, size_t size)
{
	unsigned char page[PAGE];

	(void)size;
	pattern_fill(page, PAGE, FILE_SEED, 0);
	return pwrite((int)*(long *)buf, page, PAGE, 0) == (ssize_t)PAGE ? 0 : -errno;
}

/* A write that waits, as the page is in use. */
static struct actor *write_begins(struct actor *writer, const struct scene *s, long fd)
{
	struct actor *reader = use_page(s->holder, s->addr);

	actor_call_begin(writer, write_first_page, &fd, sizeof(fd));
	if (!actor_blocks(writer))
		fail_now("a block was replaced with its page in use");
	return reader;
}

CHECK(y1_write_that_waits_is_interrupted, "Y1,T4", STOCK_FAIL)
{
	struct actor *writer = actor_start("writes"), *reader;
	struct scene s;
	struct stat st;
	long fd;

	s = scene_with_new_block(writer, &fd);
	reader = write_begins(writer, &s, fd);
	trace_flushes(&s, &st);
	actor_kill(writer);
	expect(0, end_of_use(reader));
	expect(0, a_fsync(s.holder, s.fd));
	expect_value(1, flushed(&st));
}

/*
 * Somebody else uses the page as soon as the wait is over.  Most of the time the write is quicker, and
 * there is nothing to flush.  What it must not do is end half way with the page clean.
 */
CHECK(y1_write_meets_the_next_user_of_a_page, "Y1,T4", STOCK_FAIL)
{
	struct actor *writer = actor_start("writes"), *reader;
	struct scene s;
	struct stat st;
	bool replaced;
	long fd;

	s = scene_with_new_block(writer, &fd);
	reader = write_begins(writer, &s, fd);
	trace_flushes(&s, &st);
	expect(0, end_of_use(reader));
	reader = use_page(s.holder, s.addr);
	replaced = actor_answers(writer, 1000);
	if (replaced)
		expect(0, actor_call_end(writer, NULL, 0, step_deadline_ms));
	else
		actor_kill(writer);
	expect(0, end_of_use(reader));
	expect(0, a_fsync(s.holder, s.fd));
	expect_value(replaced ? 0 : 1, flushed(&st));
}
