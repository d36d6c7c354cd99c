// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * P10: registering an MR anew for another range.  The new range is tested like that of a new
 * registration; whatever refuses it leaves the MR as it was: its pins, its lease, its traffic.
 */
#include <errno.h>

#include "scene.h"

/* Pages acquired and not released, over the whole system. */
static long pins_out(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

static long anonymous(struct actor *a, uint64_t len)
{
	return must(a_mmap(a, 0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0));
}

/* Another file of the holder, mapped; with a lease or without. */
struct other {
	const char *path;
	long fd, addr;
};

static struct other other_file(struct scene *s, bool leased)
{
	struct other o = { .path = make_file("other", s->size) };

	o.fd = must(a_open(s->holder, o.path, O_RDWR));
	if (leased)
		must(a_setlease(s->holder, o.fd, EXCLUSIVE_LAYOUT));
	o.addr = must(a_mmap_shared(s->holder, o.fd, s->size));
	return o;
}

static struct actor *peer_of(struct scene *s)
{
	struct actor *peer = actor_start("peer");

	must(v_open(peer, 0));
	v_connect(peer, 0, s->holder, 0);
	return peer;
}

/* The MR of the scene still covers its file, in every respect. */
static void still_whole(struct scene *s, struct actor *peer, long pins, uint64_t seed)
{
	expect_value(pins, pins_out());
	expect_pins(s->holder, pins_text(s->holder, s->uverbs_fd, s->path));
	expect(EBUSY, a_setlease(s->holder, s->fd, F_LAYOUT | F_UNLCK));
	expect(0, v_write(peer, 0, &s->mr, 0, s->size, seed));
	expect_true(file_has_pattern(s->path, 0, s->size, seed),
		    "data written through the old MR is not in the file");
	expect(0, v_read_check(peer, 0, &s->mr, 0, s->size, seed));
}

CHECK(p10_another_leased_file, "P10,P11,L6,O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct other o = other_file(&s, true);
	struct actor *peer = peer_of(&s), *b = actor_start("B");
	struct mr old = s.mr;
	long pins = pins_out();

	require(0, v_rereg(s.holder, &s.mr, (uint64_t)o.addr, s.size));
	expect_value(pins, pins_out());
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, o.path));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EBUSY, a_setlease(s.holder, o.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(b, s.path, PAGE));
	expect(ETXTBSY, a_truncate(b, o.path, PAGE));

	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 31));
	expect_true(file_has_pattern(o.path, 0, s.size, 31),
		    "remote data is not in the other file");
	expect_true(file_has_pattern(s.path, 0, PAGE, FILE_SEED),
		    "remote data is in the file that the MR has left");
	/* The old range is out of reach; this ends the connection. */
	expect(EREMOTEIO, v_write(peer, 0, &old, 0, PAGE, 32));

	expect(0, v_dereg(s.holder, &s.mr));
	expect_value(pins - (long)(s.size / PAGE), pins_out());
	expect(ETXTBSY, a_truncate(b, o.path, PAGE));
	expect(0, a_setlease(s.holder, o.fd, F_LAYOUT | F_UNLCK));
}

CHECK(p10_part_of_the_same_file, "P10,P11", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *peer = peer_of(&s);
	uint64_t half = s.size / 2;
	long pins = pins_out();

	/* An attempt to unlock has no effect on what follows. */
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	require(0, v_rereg(s.holder, &s.mr, (uint64_t)s.addr + half, half));
	expect_value(pins - (long)(half / PAGE), pins_out());
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(0, v_write(peer, 0, &s.mr, 0, half, 33));
	expect_true(file_has_content_at(s.path, half, half, 33, 0),
		    "remote data is not in the second half");
	expect_true(file_has_pattern(s.path, 0, half, FILE_SEED),
		    "remote data is in the first half");
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(p10_file_without_lease, "P10,P1,P2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct other o = other_file(&s, false);
	struct actor *peer = peer_of(&s);
	long pins = pins_out();

	expect(EPERM, v_rereg(s.holder, &s.mr, (uint64_t)o.addr, s.size));
	expect(EPERM, v_rereg_with(s.holder, &s.mr, (uint64_t)o.addr, s.size, 0));
	still_whole(&s, peer, pins, 34);
}

CHECK(p10_lease_released_before, "P10,P3", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	long addr = anonymous(s.holder, s.size), pins;

	scene_open_verbs(&s);
	require(0, v_reg(s.holder, 0, (uint64_t)addr, s.size, REMOTE_RW, &s.mr));
	pins = pins_out();
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EPERM, v_rereg(s.holder, &s.mr, (uint64_t)s.addr, s.size));
	expect_value(pins, pins_out());
	expect_pins(s.holder, "");
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect(0, v_rereg(s.holder, &s.mr, (uint64_t)s.addr, s.size));
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
}

CHECK(p10_lease_on_one_of_two_files, "P10,P2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct other o = other_file(&s, false);
	struct actor *peer = peer_of(&s);
	long both = anonymous(s.holder, 2 * s.size), pins = pins_out();

	must(a_mmap(s.holder, (uint64_t)both, s.size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, s.fd, 0));
	must(a_mmap(s.holder, (uint64_t)both + s.size, s.size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, o.fd, 0));
	expect(EPERM, v_rereg(s.holder, &s.mr, (uint64_t)both, 2 * s.size));
	still_whole(&s, peer, pins, 35);
	expect(0, a_setlease(s.holder, o.fd, EXCLUSIVE_LAYOUT));
	expect(0, v_rereg(s.holder, &s.mr, (uint64_t)both, 2 * s.size));
	expect_value(pins + (long)(s.size / PAGE), pins_out());
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EBUSY, a_setlease(s.holder, o.fd, F_LAYOUT | F_UNLCK));
}

/* ---- from reading to writing ---- */

CHECK(p10_write_access_to_what_is_pinned_for_reading, "P10", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *peer = actor_start("peer");
	long pins;

	s.addr = must(a_mmap(s.holder, 0, s.size, PROT_READ, MAP_SHARED, s.fd, 0));
	scene_open_verbs(&s);
	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, IBV_ACCESS_REMOTE_READ,
			 &s.mr));
	pins = pins_out();
	expect(EACCES, v_rereg_access(s.holder, &s.mr, REMOTE_RW));
	/* The same range once more: like a registration, as the mapping is read-only. */
	expect(EFAULT,
	       v_rereg_with(s.holder, &s.mr, (uint64_t)s.addr, s.size, REMOTE_RW));
	expect_value(pins, pins_out());
	expect(0, v_read_check(peer, 0, &s.mr, 0, s.size, FILE_SEED));
	expect(EREMOTEIO, v_write(peer, 0, &s.mr, 0, PAGE, 36));
	expect_true(file_has_pattern(s.path, 0, s.size, FILE_SEED),
		    "written through an MR for reading");
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
}

CHECK(p10_write_access_through_a_writable_mapping, "P10,P11", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct actor *peer;

	scene_open_verbs(&s);
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, IBV_ACCESS_REMOTE_READ,
			 &s.mr));
	peer = peer_of(&s);
	/* Without a new range the pins stay as they are: made for reading. */
	expect(EACCES, v_rereg_access(s.holder, &s.mr, REMOTE_RW));
	expect(0, v_rereg_with(s.holder, &s.mr, (uint64_t)s.addr, s.size, REMOTE_RW));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 37));
	expect_true(file_has_pattern(s.path, 0, s.size, 37),
		    "remote data is not in the file");
}

CHECK(p10_description_open_for_reading, "P10,P1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *peer = peer_of(&s);
	long fd = must(a_open(s.holder, s.path, O_RDONLY)), pins = pins_out();
	long addr = must(a_mmap(s.holder, 0, s.size, PROT_READ, MAP_SHARED, fd, 0));

	expect(EPERM, v_rereg_with(s.holder, &s.mr, (uint64_t)addr, s.size,
				   IBV_ACCESS_REMOTE_READ));
	/* Refused before the lease is looked at, as a registration is. */
	expect(EFAULT, v_rereg(s.holder, &s.mr, (uint64_t)addr, s.size));
	still_whole(&s, peer, pins, 38);
}

/* ---- to and from other memory ---- */

CHECK(p10_from_anonymous_memory_to_a_file_and_back, "P10,P5,O1", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	long addr = anonymous(s.holder, s.size), pins;
	struct actor *peer;

	scene_open_verbs(&s);
	peer = peer_of(&s);
	require(0, v_reg(s.holder, 0, (uint64_t)addr, s.size, REMOTE_RW, &s.mr));
	pins = pins_out();
	expect_pins(s.holder, "");

	require(0, v_rereg(s.holder, &s.mr, (uint64_t)s.addr, s.size));
	expect_value(pins, pins_out());
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 39));
	expect_true(file_has_pattern(s.path, 0, s.size, 39),
		    "remote data is not in the file");

	require(0, v_rereg(s.holder, &s.mr, (uint64_t)addr, s.size));
	expect_value(pins, pins_out());
	expect_pins(s.holder, "");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 40));
	expect(0, a_mem_check(s.holder, (uint64_t)addr, s.size, 40, 0));
	expect_true(file_has_pattern(s.path, 0, s.size, 39),
		    "remote data is in the file that the MR has left");
}

CHECK(p10_bad_range, "P10,P8", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *peer = peer_of(&s);
	const char *sparse = make_sparse_file("sparse", s.size);
	long fd = must(a_open(s.holder, sparse, O_RDWR)), hole, gone, pins;

	must(a_setlease(s.holder, fd, EXCLUSIVE_LAYOUT));
	hole = must(a_mmap(s.holder, 0, s.size, PROT_READ, MAP_SHARED, fd, 0));
	gone = anonymous(s.holder, s.size);
	must(a_munmap(s.holder, gone, s.size));
	pins = pins_out();
	/* A hole that nothing may fill, and memory that nobody mapped. */
	expect(EFAULT, v_rereg_with(s.holder, &s.mr, (uint64_t)hole, s.size,
				    IBV_ACCESS_REMOTE_READ));
	expect(EFAULT, v_rereg(s.holder, &s.mr, (uint64_t)gone, s.size));
	expect(0, a_setlease(s.holder, fd, F_LAYOUT | F_UNLCK));
	still_whole(&s, peer, pins, 41);
}

CHECK(p10_over_the_memlock_limit, "P10,P9", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct other o = other_file(&s, true);
	struct actor *peer;
	long pins;

	scene_open_verbs(&s);
	peer = peer_of(&s);
	must(a_become(s.holder, NOBODY, 0));
	/* One range and the queue pair's buffer fit, two ranges do not. */
	must(a_set_memlock(s.holder, KiB(64) + s.size + s.size / 2));
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	pins = pins_out();
	/* The new pins are made while the old ones exist. */
	expect(ENOMEM, v_rereg(s.holder, &s.mr, (uint64_t)o.addr, s.size));
	expect_value(pins, pins_out());
	expect(0, a_setlease(s.holder, o.fd, F_LAYOUT | F_UNLCK));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 42));
	expect_true(file_has_pattern(s.path, 0, s.size, 42),
		    "data written through the old MR is not in the file");
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

/* ---- by another process ---- */

CHECK(p10_by_a_child, "P10,L7,O2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *child = actor_fork(s.holder, "child");
	struct mr mr = s.mr;
	long pins = pins_out();

	/* It has the mapping and the context, but no lease. */
	expect(EPERM, v_rereg(child, &mr, (uint64_t)s.addr, s.size));
	expect_value(pins, pins_out());
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));

	/* Its own lease, on the description that it inherited: the parent's is free then. */
	must(a_setlease(child, s.fd, EXCLUSIVE_LAYOUT));
	expect(0, v_rereg(child, &mr, (uint64_t)s.addr, s.size));
	expect_value(pins, pins_out());
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EBUSY, a_setlease(child, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, v_dereg(s.holder, &mr));
	expect(0, a_setlease(child, s.fd, F_LAYOUT | F_UNLCK));
}
