// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* T1, T2, L3: XFS EXCHANGE_RANGE, with the leased file as either argument. */
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "coop.h"

/* From fs/xfs/libxfs/xfs_fs.h; the headers of older systems do not have it. */
struct exchange_range {
	int32_t file1_fd;
	uint32_t pad;
	uint64_t file1_offset, file2_offset, length, flags;
};

#define EXCHANGE_RANGE _IOW('X', 129, struct exchange_range)

struct exchange_step {
	char one[512], two[512];
};

/* Exchanges a page of two files; the second is the one that the request goes to. */
static long exchange(void *buf, size_t size)
{
	const struct exchange_step *e = buf;
	struct exchange_range x = { .length = PAGE };
	long ret;
	int fd;

	(void)size;
	x.file1_fd = open(e->one, O_RDWR | O_CLOEXEC);
	fd = open(e->two, O_RDWR | O_CLOEXEC);
	ret = ioctl(fd, EXCHANGE_RANGE, &x) ? -errno : 0;
	close(fd);
	close(x.file1_fd);
	return ret;
}

static void exchange_begin(struct actor *a, const char *one, const char *two)
{
	struct exchange_step e;

	snprintf(e.one, sizeof(e.one), "%s", one);
	snprintf(e.two, sizeof(e.two), "%s", two);
	actor_call_begin(a, exchange, &e, sizeof(e));
}

static long exchange_end(struct actor *a)
{
	return actor_call_end(a, NULL, 0, STEP_DEADLINE_MS);
}

static long a_exchange(struct actor *a, const char *one, const char *two)
{
	exchange_begin(a, one, two);
	return exchange_end(a);
}

static void need_exchange(void)
{
	long ret = a_exchange(actor_start("prober"), make_file("one", SCENE_SIZE),
			      make_file("two", SCENE_SIZE));

	if (ret == -EOPNOTSUPP || ret == -ENOTTY)
		skip("no EXCHANGE_RANGE on this file system (xfs with the feature "
		     "exchange)");
	require(0, ret);
}

CHECK(t1_exchange_range, "T1,T2,T6", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");
	const char *other = make_file("other", SCENE_SIZE);
	struct file_state before, other_before;

	need_exchange();
	file_set_capability(s.path);
	file_state(s.path, &before);
	file_state(other, &other_before);
	expect(ETXTBSY, a_exchange(b, s.path, other));
	expect(ETXTBSY, a_exchange(b, other, s.path));
	expect(EDEADLK, a_exchange(s.holder, s.path, other));
	expect(EDEADLK, a_exchange(s.holder, other, s.path));
	expect_unchanged(s.path, &before, "EXCHANGE_RANGE");
	expect_unchanged(other, &other_before, "EXCHANGE_RANGE");
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_exchange(b, s.path, other));
}

CHECK(t1_exchange_range_after_munmap_and_close, "T1,C2,C3,T6", STOCK_FAIL)
{
	struct scene s = scene_zombie();
	struct actor *b = actor_start("B");
	const char *other = make_file("other", SCENE_SIZE);

	need_exchange();
	expect(ETXTBSY, a_exchange(b, s.path, other));
	expect(ETXTBSY, a_exchange(b, other, s.path));
	must(v_dereg(s.holder, &s.mr));
	eventually(a_exchange(b, other, s.path));
}

static void exchange_waits(bool leased_first)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	const char *other = make_file("other", SCENE_SIZE);
	long fd = must(a_open(c, s.path, O_RDWR));

	need_exchange();
	if (leased_first)
		exchange_begin(b, s.path, other);
	else
		exchange_begin(b, other, s.path);
	expect_recalled(&s);
	expect(0, a_pread_check(c, fd, 0, PAGE, FILE_SEED));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, exchange_end(b));
}

CHECK(l3_exchange_range_waits_for_the_first_file, "L3,T1", STOCK_FAIL)
{
	exchange_waits(true);
}

CHECK(l3_exchange_range_waits_for_the_second_file, "L3,T1", STOCK_FAIL)
{
	exchange_waits(false);
}
