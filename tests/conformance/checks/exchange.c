// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * T1, T2, L3: XFS EXCHANGE_RANGE and COMMIT_RANGE, with the leased file as either argument.  They need
 * a feature of the file system that older mkfs.xfs does not know: the checks switch it on.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "coop.h"
#include "remount.h"

/* From fs/xfs/libxfs/xfs_fs.h; the headers of older systems do not have it. */
struct exchange_range {
	int32_t file1_fd;
	uint32_t pad;
	uint64_t file1_offset, file2_offset, length, flags;
};

struct commit_range {
	int32_t file1_fd;
	uint32_t pad;
	uint64_t file1_offset, file2_offset, length, flags, freshness[6];
};

#define EXCHANGE_RANGE _IOW('X', 129, struct exchange_range)
#define START_COMMIT   _IOR('X', 130, struct commit_range)
#define COMMIT_RANGE   _IOW('X', 131, struct commit_range)

struct exchange_step {
	char one[512], two[512];
	bool commit;
};

/* Exchanges a page of two files, or two of one; the second is the one that the request goes to. */
static long exchange(void *buf, size_t size)
{
	const struct exchange_step *e = buf;
	int one = open(e->one, O_RDWR | O_CLOEXEC),
	    two = open(e->two, O_RDWR | O_CLOEXEC);
	struct exchange_range x = { .file1_fd = one, .length = PAGE };
	struct commit_range c = { .file1_fd = one, .length = PAGE };
	long ret;

	(void)size;
	if (!strcmp(e->one, e->two))
		x.file2_offset = c.file2_offset = 4 * PAGE;
	if (!e->commit)
		ret = ioctl(two, EXCHANGE_RANGE, &x) ? -errno : 0;
	else
		ret = ioctl(two, START_COMMIT, &c) || ioctl(two, COMMIT_RANGE, &c)
			      ? -errno
			      : 0;
	close(one);
	close(two);
	return ret;
}

static void exchange_begin(struct actor *a, const char *one, const char *two, bool commit)
{
	struct exchange_step e = { .commit = commit };

	snprintf(e.one, sizeof(e.one), "%s", one);
	snprintf(e.two, sizeof(e.two), "%s", two);
	actor_call_begin(a, exchange, &e, sizeof(e));
}

static long exchange_end(struct actor *a)
{
	return actor_call_end(a, NULL, 0, step_deadline_ms);
}

static long a_exchange(struct actor *a, const char *one, const char *two)
{
	exchange_begin(a, one, two, false);
	return exchange_end(a);
}

static long a_commit(struct actor *a, const char *one, const char *two)
{
	exchange_begin(a, one, two, true);
	return exchange_end(a);
}

/* ---- the feature ---- */

/* The superblock on disk: big endian, but for its checksum. */
#define SB_MAGIC    0   /* "XFSB" */
#define SB_SECTSIZE 102 /* 16 bits: what the checksum covers */
#define SB_INCOMPAT 216 /* 32 bits */
#define SB_CRC      224 /* 32 bits, little endian */
#define SB_MAX      4096

#define FEATURE_EXCHANGE 0x40u

static uint32_t crc32c(uint32_t crc, const unsigned char *p, size_t len)
{
	int i;

	while (len--) {
		crc ^= *p++;
		for (i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

/*
 * Switches the feature of the unmounted file system on or off in its first superblock, as xfs_db
 * does it: that program would have to be started four times in each check.
 */
static void set_exchange(const struct own_mount *m, bool on)
{
	unsigned char sb[SB_MAX];
	uint32_t features, crc;
	uint16_t size;
	int fd = open(m->node, O_RDWR | O_CLOEXEC);

	if (fd < 0 || pread(fd, sb, sizeof(sb), 0) != sizeof(sb))
		broken("%s: %s", m->node, errno_name(errno));
	memcpy(&size, sb + SB_SECTSIZE, sizeof(size));
	size = be16toh(size);
	memcpy(&crc, sb + SB_CRC, sizeof(crc));
	memset(sb + SB_CRC, 0, sizeof(crc));
	if (memcmp(sb + SB_MAGIC, "XFSB", 4) || size > sizeof(sb) ||
	    le32toh(crc) != ~crc32c(~0u, sb, size))
		broken("%s: no superblock of XFS with a checksum", m->node);
	memcpy(&features, sb + SB_INCOMPAT, sizeof(features));
	features = be32toh(features);
	features =
		htobe32(on ? features | FEATURE_EXCHANGE : features & ~FEATURE_EXCHANGE);
	memcpy(sb + SB_INCOMPAT, &features, sizeof(features));
	crc = htole32(~crc32c(~0u, sb, size));
	memcpy(sb + SB_CRC, &crc, sizeof(crc));
	if (pwrite(fd, sb, size, 0) != size || fsync(fd))
		broken("%s: cannot write: %s", m->node, errno_name(errno));
	close(fd);
}

static void switch_on(const struct own_mount *m)
{
	set_exchange(m, true);
}

static void switch_off(const struct own_mount *m)
{
	set_exchange(m, false);
}

/* Nothing may be open on the file system yet. */
static struct own_mount need_exchange(void)
{
	struct own_mount m = own_mount();

	if (strcmp(m.type, "xfs"))
		skip("an operation of xfs");
	need_leases();
	remount(&m, "dax=always", switch_on);
	return m;
}

/* Other programs of the same age as mkfs.xfs do not take the file system as it is. */
static void exchange_no_more(const struct own_mount *m, struct actor *const actors[])
{
	while (*actors)
		actor_kill(*actors++);
	remount(m, "dax=always", switch_off);
}

#define DONE_WITH(...)            \
	(struct actor *const[])   \
	{                         \
		__VA_ARGS__, NULL \
	}

/* ---- exclusive leases ---- */

static void refused(long (*op)(struct actor *a, const char *one, const char *two))
{
	struct own_mount m = need_exchange();
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");
	const char *other = make_file("other", SCENE_SIZE);
	struct file_state before, other_before;

	file_set_capability(s.path);
	file_state(s.path, &before);
	file_state(other, &other_before);
	expect(ETXTBSY, op(b, s.path, other));
	expect(ETXTBSY, op(b, other, s.path));
	expect(EDEADLK, op(s.holder, s.path, other));
	expect(EDEADLK, op(s.holder, other, s.path));
	expect_unchanged(s.path, &before, "the exchange");
	expect_unchanged(other, &other_before, "the exchange");
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, op(b, s.path, other));
	exchange_no_more(&m, DONE_WITH(s.holder, b));
}

CHECK(t1_exchange_range, "T1,T2,T6", STOCK_FAIL)
{
	refused(a_exchange);
}

CHECK(t1_commit_range, "T1,T2,T6", STOCK_FAIL)
{
	refused(a_commit);
}

CHECK(t1_exchange_range_within_a_file, "T1,T2,T6", STOCK_FAIL)
{
	struct own_mount m = need_exchange();
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");
	struct file_state before;

	file_state(s.path, &before);
	expect(ETXTBSY, a_exchange(b, s.path, s.path));
	expect(EDEADLK, a_exchange(s.holder, s.path, s.path));
	expect_unchanged(s.path, &before, "the exchange");
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_exchange(b, s.path, s.path));
	expect_true(file_has_content_at(s.path, 0, PAGE, FILE_SEED, 4 * PAGE) &&
			    file_has_content_at(s.path, 4 * PAGE, PAGE, FILE_SEED, 0),
		    "the pages were not exchanged");
	exchange_no_more(&m, DONE_WITH(s.holder, b));
}

CHECK(t1_exchange_range_after_munmap_and_close, "T1,C2,C3,T6", STOCK_FAIL)
{
	struct own_mount m = need_exchange();
	struct scene s = scene_zombie();
	struct actor *b = actor_start("B");
	const char *other = make_file("other", SCENE_SIZE);

	expect(ETXTBSY, a_exchange(b, s.path, other));
	expect(ETXTBSY, a_commit(b, other, s.path));
	must(v_dereg(s.holder, &s.mr));
	eventually(a_exchange(b, other, s.path));
	exchange_no_more(&m, DONE_WITH(s.holder, b));
}

/* ---- cooperative leases ---- */

static void exchange_waits(bool leased_first, bool commit)
{
	struct own_mount m = need_exchange();
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	const char *other = make_file("other", SCENE_SIZE);
	long fd = must(a_open(c, s.path, O_RDWR));

	if (leased_first)
		exchange_begin(b, s.path, other, commit);
	else
		exchange_begin(b, other, s.path, commit);
	expect_recalled(&s);
	expect(0, a_pread_check(c, fd, 0, PAGE, FILE_SEED));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, exchange_end(b));
	exchange_no_more(&m, DONE_WITH(s.holder, b, c));
}

CHECK(l3_exchange_range_waits_for_the_first_file, "L3,T1", STOCK_FAIL)
{
	exchange_waits(true, false);
}

CHECK(l3_exchange_range_waits_for_the_second_file, "L3,T1", STOCK_FAIL)
{
	exchange_waits(false, false);
}

CHECK(l3_commit_range_waits, "L3,T1", STOCK_FAIL)
{
	exchange_waits(false, true);
}

/* The kernel takes the files in the order of their addresses: neither may be forgotten. */
CHECK(l3_exchange_range_recalls_leases_on_both_files, "L3,T1", STOCK_FAIL)
{
	struct own_mount m = need_exchange();
	struct scene s = scene_cooperative();
	struct scene other = { .holder = actor_start("other"), .size = SCENE_SIZE };
	struct actor *b = actor_start("breaker");

	other.path = make_file("other", other.size);
	other.fd = must(a_open(other.holder, other.path, O_RDWR));
	must(a_block_signal(other.holder, SIGIO));
	must(a_setlease(other.holder, other.fd, F_LAYOUT));
	exchange_begin(b, s.path, other.path, false);
	expect_recalled(&s);
	expect_recalled(&other);
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	must(a_setlease(other.holder, other.fd, F_LAYOUT | F_UNLCK));
	expect(0, exchange_end(b));
	exchange_no_more(&m, DONE_WITH(s.holder, other.holder, b));
}

/* What the file was when the caller began must be what it is after the wait. */
CHECK(l3_commit_range_after_a_change, "L3,T1", STOCK_FAIL)
{
	struct own_mount m = need_exchange();
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker"), *c = actor_start("C");
	const char *other = make_file("other", SCENE_SIZE);
	long fd = must(a_open(c, s.path, O_RDWR));

	exchange_begin(b, other, s.path, true);
	expect_recalled(&s);
	must(a_pwrite(c, fd, 0, PAGE, 7));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EBUSY, exchange_end(b));
	expect(0, a_pread_check(c, fd, 0, PAGE, 7));
	exchange_no_more(&m, DONE_WITH(s.holder, b, c));
}
