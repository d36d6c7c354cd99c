// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Waiting for a page that the kernel uses for a moment: who waits, who can be interrupted, and what
 * has to wait for the waiting.
 */
#include <errno.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "busy_page.h"
#include "coop.h"
#include "layout.h"
#include "remount.h"
#include "slow_sync.h"
#include "task.h"

/* A mapped file whose first page is in use. */
struct busy {
	struct scene s;
	struct actor *reader;
};

static struct busy busy_file(const char *path, uint64_t size)
{
	struct busy b = {
		.s = { .holder = actor_start("holder"), .path = path, .size = size }
	};

	b.s.fd = must(a_open(b.s.holder, path, O_RDWR));
	b.s.addr = must(a_mmap_shared(b.s.holder, b.s.fd, size));
	b.reader = use_page(b.s.holder, b.s.addr);
	return b;
}

/* ---- a lease cannot come between the look and the end of a layout change ---- */

static long take_lease(void *buf, size_t size)
{
	int fd = *(int *)buf;

	(void)size;
	return fcntl(fd, F_SETLEASE, EXCLUSIVE_LAYOUT) ? -errno : 0;
}

CHECK(l10_lease_waits_for_a_truncate_under_way, "L10,T1", STOCK_FAIL)
{
	struct busy b = busy_file(make_file("f", SCENE_SIZE), SCENE_SIZE);
	struct actor *breaker = actor_start("truncates"), *c = actor_start("C"),
		     *killed = actor_start("killed");
	int fd = (int)must(a_open(c, b.s.path, O_RDWR));
	int other = (int)must(a_open(killed, b.s.path, O_RDWR));

	truncate_begin(breaker, b.s.path, 0);
	if (!actor_blocks(breaker))
		fail_now("the truncate did not wait for the page");
	actor_call_begin(c, take_lease, &fd, sizeof(fd));
	expect_true(actor_blocks(c), "granted in the middle of a truncate");
	actor_call_begin(killed, take_lease, &other, sizeof(other));
	expect_true(actor_blocks(killed), "granted in the middle of a truncate");
	actor_kill(killed);
	expect(0, end_of_use(b.reader));
	expect(0, truncate_end(breaker));
	expect(0, actor_call_end(c, NULL, 0, step_deadline_ms));
	expect(0, a_setlease(c, fd, F_LAYOUT | F_UNLCK));
}

/* ---- a signal ends the wait ---- */

static void interrupted_at_a_page(const struct layout_op *op)
{
	struct busy b = busy_file(make_file("f", SCENE_SIZE), SCENE_SIZE);
	const char *other = make_file("other", SCENE_SIZE);
	struct actor *a = actor_start("A");
	struct task_watch watch = { .pid = a->pid };
	struct deadline late = deadline_in(step_deadline_ms);
	int end;

	must(actor_call(a, catch_interrupts, NULL, 0));
	end = op_begin(op, a, b.s.path, other);
	while (task_blocked_ms(a->pid, &watch) < 100)
		if (deadline_over(&late))
			fail_now("%s does not wait for the page", op->name);
	kill(a->pid, SIGUSR1);
	expect_result(__FILE__, __LINE__, op->name, EINTR, op_end(end));
	expect_true(file_has_pattern(b.s.path, 0, SCENE_SIZE, FILE_SEED),
		    "%s has changed the file", op->name);
	expect(0, end_of_use(b.reader));
	expect_result(__FILE__, __LINE__, op->name, 0, op->run(a, b.s.path, other));
}

#define INTERRUPTED_AT_A_PAGE(op)                                          \
	CHECK(t4_##op##_is_interrupted_at_a_page_in_use, "T4", STOCK_PASS) \
	{                                                                  \
		interrupted_at_a_page(&op_##op);                           \
	}

INTERRUPTED_AT_A_PAGE(truncate)
INTERRUPTED_AT_A_PAGE(punch_hole)
INTERRUPTED_AT_A_PAGE(zero_range)
INTERRUPTED_AT_A_PAGE(collapse_range)
INTERRUPTED_AT_A_PAGE(insert_range)

/* ---- the second inode of an operation ---- */

struct clone_step {
	char from[512], to[512];
};

static long clone_all(void *buf, size_t size)
{
	const struct clone_step *c = buf;
	int from = open(c->from, O_RDONLY | O_CLOEXEC),
	    to = open(c->to, O_RDWR | O_CLOEXEC);

	(void)size;
	return ioctl(to, FICLONE, from) ? -errno : 0;
}

static uint64_t inode_of(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		broken("%s: %s", path, errno_name(errno));
	return st.st_ino;
}

/* XFS locks the inode with the smaller number first. */
CHECK(t4_second_inode_has_a_page_in_use, "T4", STOCK_FAIL)
{
	const char *one = make_file("one", SCENE_SIZE),
		   *two = make_file("two", SCENE_SIZE);
	const char *high = inode_of(one) > inode_of(two) ? one : two;
	struct actor *a = actor_start("clones"), *again = actor_start("clones again");
	struct clone_step c;
	struct busy b;

	snprintf(c.from, sizeof(c.from), "%s", one);
	snprintf(c.to, sizeof(c.to), "%s", in_dir("probe"));
	make_file("probe", SCENE_SIZE);
	if (actor_call(a, clone_all, &c, sizeof(c)))
		skip("%s cannot share blocks", fs_name(one));

	b = busy_file(high, SCENE_SIZE);
	snprintf(c.from, sizeof(c.from), "%s", high == one ? two : one);
	snprintf(c.to, sizeof(c.to), "%s", high);
	actor_call_begin(a, clone_all, &c, sizeof(c));
	/* asleep, and a signal ends it while the page is still in use */
	expect_true(actor_blocks(a), "does not sleep while the page is in use");
	actor_kill(a);
	actor_call_begin(again, clone_all, &c, sizeof(c));
	expect_true(actor_blocks(again), "does not sleep while the page is in use");
	expect(0, end_of_use(b.reader));
	expect(0, actor_call_end(again, NULL, 0, step_deadline_ms));
}

/* ---- an entry whose page is in use stays ---- */

struct scrub {
	uint32_t type, flags;
	uint64_t ino;
	uint32_t gen, ag;
	uint64_t reserved[5];
};

#define XFS_SCRUB     _IOWR('X', 60, struct scrub)
#define SCRUB_MAPPING 12 /* data fork */
#define SCRUB_REPAIR  1

static long repair_mapping(void *buf, size_t size)
{
	struct scrub s = { .type = SCRUB_MAPPING, .flags = SCRUB_REPAIR };
	int fd = open(buf, O_RDWR | O_CLOEXEC);
	long ret = ioctl(fd, XFS_SCRUB, &s) ? -errno : 0;

	(void)size;
	close(fd);
	return ret;
}

static void need_repair(struct actor *admin, char *name, size_t size)
{
	long ret = actor_call(admin, repair_mapping, name, size);

	if (ret == -ENOTTY || ret == -EOPNOTSUPP)
		skip("no online repair (XFS_ONLINE_REPAIR)");
	require(0, ret);
}

/* Repair drops the page cache of the file.  The truncate must find the page nevertheless. */
CHECK(t4_repair_of_a_file_with_a_page_in_use, "T4,T7", STOCK_FAIL)
{
	const char *path = make_file("f", SCENE_SIZE);
	struct actor *admin = actor_start("admin"), *other = actor_start("other");
	char name[512];
	struct busy b;

	snprintf(name, sizeof(name), "%s", path);
	need_repair(admin, name, sizeof(name));
	b = busy_file(path, SCENE_SIZE);
	must(a_fsync(b.s.holder, b.s.fd));
	expect(EBUSY, actor_call(admin, repair_mapping, name, sizeof(name)));
	truncate_begin(other, path, 0);
	expect_true(actor_blocks(other), "the block of a page in use was freed");
	expect(0, end_of_use(b.reader));
	expect(0, truncate_end(other));
}

/* It has let the locks go for the wait, and has to have them when it gives up. */
CHECK(l3_repair_ends_by_a_signal, "L3,T1", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *admin = actor_start("admin");
	char name[512];

	snprintf(name, sizeof(name), "%s", make_file("probe", SCENE_SIZE));
	need_repair(admin, name, sizeof(name));
	snprintf(name, sizeof(name), "%s", s.path);
	set_for_check("/proc/sys/fs/lease-break-time", "0");
	must(actor_call(admin, catch_interrupts, NULL, 0));
	actor_call_begin(admin, repair_mapping, name, sizeof(name));
	expect_recalled(&s);
	kill(admin->pid, SIGUSR1);
	expect(EINTR, actor_call_end(admin, name, sizeof(name), step_deadline_ms));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, actor_call(admin, repair_mapping, name, sizeof(name)));
}

/* ---- an entry that a writeback has locked ---- */

/* A truncate that waits for the page; how long it ran before, in ms. */
static int truncate_until_it_waits(const char *path, int ms, struct actor *syncer,
				   long fd)
{
	struct actor *breaker = actor_start("breaker");
	int ran;

	truncate_begin(breaker, path, 0);
	poll(NULL, 0, ms > 0 ? ms : 0);
	fsync_begin(syncer, fd);
	if (!actor_blocks(breaker))
		fail_now("the block of a page in use was freed (%d ms)", ms);
	ran = task_cpu_ms(breaker->pid);
	actor_kill(breaker);
	expect(0, actor_call_end(syncer, NULL, 0, step_deadline_ms));
	return ran;
}

/*
 * A truncate unmaps the file, then looks at its entries, while an fsync looks at the mappings with the
 * entry locked.  An fsync that begins when the unmapping ends has it locked at the moment of the look.
 */
CHECK(t4_truncate_during_an_fsync, "T4,T7", STOCK_RACE)
{
	struct busy b = busy_file(make_file("f", SCENE_SIZE), SCENE_SIZE);
	struct actor *syncer = actor_start("syncs");
	long fd = must(a_open(syncer, b.s.path, O_RDWR));
	const int steps = 8, slow = make_sync_slow(&b.s);
	int unmaps = truncate_until_it_waits(b.s.path, 0, syncer, fd);

	for (int i = 0; i < steps; i++) {
		dirty_first_page(&b.s);
		truncate_until_it_waits(b.s.path, unmaps + slow * (2 - i) / 4, syncer,
					fd);
	}
	expect(0, end_of_use(b.reader));
}

/* ---- a file that is on its way out ---- */

struct handle_step {
	char dir[256], path[256];
	union {
		struct file_handle fh;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} handle;
};

static long take_handle(void *buf, size_t size)
{
	struct handle_step *h = buf;
	int mount_id;

	(void)size;
	h->handle.fh.handle_bytes = MAX_HANDLE_SZ;
	return name_to_handle_at(AT_FDCWD, h->path, &h->handle.fh, &mount_id, 0) ? -errno
										 : 0;
}

static long open_handle(void *buf, size_t size)
{
	struct handle_step *h = buf;
	int dir = open(h->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = open_by_handle_at(dir, &h->handle.fh, O_RDONLY | O_CLOEXEC);
	long ret = fd < 0 ? -errno : fd;

	(void)size;
	close(dir);
	return ret;
}

/* The last user of the inode has gone, which no other one has to wait for: an NFS server is one. */
CHECK(t7_handle_of_a_file_with_a_page_in_use, "T7,T4", STOCK_FAIL)
{
	struct busy b = busy_file(make_file("f", MiB(16)), MiB(16));
	struct actor *other = actor_start("other");
	struct pollfd answer = { .fd = other->sock, .events = POLLIN };
	uint64_t before = fs_free_settled(b.s.path);
	struct handle_step h = { .dir = "" };
	long fd;

	snprintf(h.dir, sizeof(h.dir), "%s", check_dir());
	snprintf(h.path, sizeof(h.path), "%s", b.s.path);
	require(0, actor_call(other, take_handle, &h, sizeof(h)));
	expect(0, a_unlink(other, b.s.path));
	expect(0, a_munmap(b.s.holder, b.s.addr, b.s.size));
	expect(0, a_close(b.s.holder, b.s.fd));

	/* Asleep or not: XFS looks again and again. */
	actor_call_begin(other, open_handle, &h, sizeof(h));
	if (poll(&answer, 1, 5000) != 1)
		fail_now("open_by_handle_at() waits for the page");
	fd = actor_call_end(other, NULL, 0, step_deadline_ms);
	if (fd >= 0) {
		expect(0, a_pread_check(other, fd, 0, PAGE, FILE_SEED));
		expect(0, a_close(other, fd));
	} else {
		expect_value(-ESTALE, fd);
	}
	expect_true(fs_free_settled(check_dir()) < before + MiB(8),
		    "blocks were freed with a page in use");
	expect(0, end_of_use(b.reader));
	eventually(fs_free_settled(check_dir()) >= before + MiB(8) ? 0 : -EAGAIN);
	expect(ESTALE, actor_call(other, open_handle, &h, sizeof(h)));
}

/* ---- memory runs short ---- */

static long drop_caches(void *buf, size_t size)
{
	long ret = 0;

	(void)buf;
	(void)size;
	/* names first, then the inodes that nothing refers to any more */
	for (int i = 0; !ret && i < 3; i++)
		ret = file_write("/proc/sys/vm/drop_caches", "3");
	return ret;
}

CHECK(t4_reclaim_with_a_page_in_use, "T4,T7", STOCK_FAIL)
{
	struct busy b = busy_file(make_file("f", SCENE_SIZE), SCENE_SIZE);
	struct actor *reclaims = actor_start("reclaims"),
		     *breaker = actor_start("breaker");

	sync();
	expect(0, a_munmap(b.s.holder, b.s.addr, b.s.size));
	expect(0, a_close(b.s.holder, b.s.fd));
	actor_call_begin(reclaims, drop_caches, NULL, 0);
	expect(0, actor_call_end(reclaims, NULL, 0, step_deadline_ms));
	/* and what it leaves of the file still says that the page is in use */
	truncate_begin(breaker, b.s.path, 0);
	expect_true(actor_blocks(breaker), "the truncate does not wait for the page");
	expect(0, end_of_use(b.reader));
	expect(0, truncate_end(breaker));
}

/* ---- the file system goes ---- */

static long unmount(void *buf, size_t size)
{
	(void)size;
	return umount2(buf, 0) ? -errno : 0;
}

CHECK(t7_unmounting_waits_for_a_page_in_use, "T7,T4", STOCK_FAIL)
{
	struct own_mount m = own_mount();
	struct busy b = busy_file(make_file("f", MiB(4)), MiB(4));
	struct actor *admin = actor_start("admin");

	expect(0, a_unlink(admin, b.s.path));
	expect(0, a_munmap(b.s.holder, b.s.addr, b.s.size));
	expect(0, a_close(b.s.holder, b.s.fd));
	actor_call_begin(admin, unmount, m.point, sizeof(m.point));
	expect_true(actor_blocks(admin), "unmounted with a page in use");
	expect(0, end_of_use(b.reader));
	expect(0, actor_call_end(admin, NULL, 0, step_deadline_ms));
	require(0, SYS(actor_start("admin"), SYS_mount, STR(m.node), STR(m.point),
		       STR(m.type), V(0), STR("dax=always")));
}
