// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* P1, P2, P8: ranges whose parts are mapped in different ways, and mappings that change. */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "scene.h"

static long pinned_pages(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

static long protect(struct actor *a, long addr, uint64_t len, int prot)
{
	return SYS(a, SYS_mprotect, V(addr), V(len), V(prot));
}

/* A registration that is refused: nothing is pinned, and the lease can be released. */
static void expect_refused(int want, struct scene *s, long addr, uint64_t len, int access)
{
	long before = pinned_pages();

	expect(want, v_reg(s->holder, 0, (uint64_t)addr, len, access, NULL));
	expect_value(before, pinned_pages());
	expect_pins(s->holder, "");
	expect(0, a_setlease(s->holder, s->fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(s->holder, s->fd, EXCLUSIVE_LAYOUT));
}

static void expect_registers(struct scene *s, long addr, uint64_t len, int access)
{
	long before = pinned_pages();

	expect(0, v_reg(s->holder, 0, (uint64_t)addr, len, access, &s->mr));
	expect_value(before + (long)(len / PAGE), pinned_pages());
	expect(0, v_dereg(s->holder, &s->mr));
	expect_value(before, pinned_pages());
	expect_pins(s->holder, "");
}

CHECK(p2_part_without_access, "P2", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	scene_open_verbs(&s);
	expect_registers(&s, s.addr, s.size, REMOTE_RW);
	must(protect(s.holder, s.addr + 3 * PAGE, PAGE, PROT_NONE));
	expect_refused(EFAULT, &s, s.addr, s.size, REMOTE_RW);
	expect_refused(EFAULT, &s, s.addr, s.size, 0);
	expect_registers(&s, s.addr, 3 * PAGE, REMOTE_RW);
	must(protect(s.holder, s.addr + 3 * PAGE, PAGE, PROT_READ));
	expect_refused(EFAULT, &s, s.addr, s.size, REMOTE_RW);
	expect_registers(&s, s.addr, s.size, 0);
	must(protect(s.holder, s.addr + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	expect_registers(&s, s.addr, s.size, REMOTE_RW);
}

/* Whether a hole is filled follows from what the mapping allows now. */
CHECK(p8_mapping_that_becomes_writable, "P8", STOCK_FAIL)
{
	struct scene s = { .holder = actor_start("holder"), .size = SCENE_SIZE };

	s.path = make_sparse_file("sparse", s.size);
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	require(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_open_verbs(&s);
	must(protect(s.holder, s.addr, s.size, PROT_READ));
	expect_refused(EFAULT, &s, s.addr, s.size, 0);
	must(protect(s.holder, s.addr, s.size, PROT_READ | PROT_WRITE));
	expect_registers(&s, s.addr, s.size, 0);
}

/* Read-only, then written by its process: the region and the file are the same memory. */
CHECK(p11_read_only_region_sees_later_stores, "P11,P8", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct actor *peer = actor_start("peer");

	scene_open_verbs(&s);
	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, IBV_ACCESS_REMOTE_READ,
			 &s.mr));
	must(a_mem_write(s.holder, (uint64_t)s.addr, s.size, 6, 0));
	expect(0, v_read_check(peer, 0, &s.mr, 0, s.size, 6));
	expect_true(file_has_pattern(s.path, 0, s.size, 6), "the file has other content");
}

CHECK(p1_mapping_that_moved, "P1,P2", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	long old = s.addr;
	long to = must(a_mmap(s.holder, 0, 2 * s.size, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	scene_open_verbs(&s);
	must(SYS(s.holder, SYS_mremap, V(old), V(s.size), V(s.size),
		 V(MREMAP_MAYMOVE | MREMAP_FIXED), V(to)));
	expect_refused(EFAULT, &s, old, s.size, REMOTE_RW);
	expect_registers(&s, to, s.size, REMOTE_RW);
	/* of one that became two, each is a mapping of the leased description */
	must(a_munmap(s.holder, to + 2 * PAGE, PAGE));
	expect_refused(EFAULT, &s, to, s.size, REMOTE_RW);
	expect_registers(&s, to, 2 * PAGE, REMOTE_RW);
	expect_registers(&s, to + 3 * PAGE, s.size - 3 * PAGE, REMOTE_RW);
}

/* One range over huge pages of hugetlbfs, the file and anonymous memory. */
CHECK(p5_hugetlb_beside_a_leased_file, "P5,P2,P1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	uint64_t len = MiB(2) + s.size + MiB(1);
	long base, huge, at;

	set_for_check("/proc/sys/vm/nr_hugepages", "2");
	huge = must(SYS(s.holder, SYS_memfd_create, STR("huge"), V(MFD_HUGETLB)));
	must(a_ftruncate(s.holder, huge, MiB(2)));
	base = must(a_mmap(s.holder, 0, MiB(8), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	at = (long)(((uint64_t)base + MiB(2) - 1) & ~(MiB(2) - 1));
	require(0, a_mmap(s.holder, (uint64_t)at, MiB(2), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, huge, 0) == at
			   ? 0
			   : -ENOMEM);
	must(a_mmap(s.holder, (uint64_t)at + MiB(2), s.size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, s.fd, 0));
	scene_open_verbs(&s);
	/* the first registration may keep something of its own */
	expect_registers(&s, at, len, REMOTE_RW);
	expect_registers(&s, at, len, REMOTE_RW);
	expect_registers(&s, at + (long)MiB(1), MiB(1) + 2 * PAGE, REMOTE_RW);
	/* the lease is missing for the part in the middle */
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)at, len, REMOTE_RW, NULL));
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_registers(&s, at, len, REMOTE_RW);
}

/* ---- userfaultfd ---- */

struct uffd_step {
	uint64_t addr, len;
	int fd;
};

static long uffd_register(void *buf, size_t size)
{
	struct uffd_step *u = buf;
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { u->addr, u->len },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };

	(void)size;
	u->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (u->fd < 0 || ioctl(u->fd, UFFDIO_API, &api))
		return -errno;
	return ioctl(u->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

static long uffd_serve(void *buf, size_t size)
{
	const struct uffd_step *u = buf;
	struct uffdio_zeropage zero = { .range = { u->addr, u->len } };
	struct pollfd fault = { .fd = u->fd, .events = POLLIN };

	(void)size;
	if (poll(&fault, 1, 5000) != 1)
		return -ETIMEDOUT;
	return ioctl(u->fd, UFFDIO_ZEROPAGE, &zero) ? -errno : 0;
}

CHECK(p1_userfaultfd_has_no_dax_files, "P1", STOCK_PASS)
{
	struct scene s = scene_open();
	struct uffd_step u = { .len = s.size };

	u.addr = (uint64_t)must(a_mmap_shared(s.holder, s.fd, s.size));
	expect(EINVAL, actor_call(s.holder, uffd_register, &u, sizeof(u)));
}

/* The walk stops for a page of somebody else's in the middle, and starts again behind it. */
CHECK(p2_registration_that_waits_for_a_page, "P2,P5,O1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *server = actor_start("server");
	struct uffd_step u = { .len = 2 * PAGE };
	long base, before, fd;

	base = must(a_mmap(s.holder, 0, 2 * s.size + u.len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	must(a_mmap(s.holder, (uint64_t)base, s.size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, s.fd, 0));
	must(a_mmap(s.holder, (uint64_t)base + s.size + u.len, s.size,
		    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, s.fd, 0));
	u.addr = (uint64_t)base + s.size;
	scene_open_verbs(&s);
	require(0, actor_call(s.holder, uffd_register, &u, sizeof(u)));
	fd = actor_send_fd(s.holder, u.fd, server);
	u.fd = (int)fd;
	before = pinned_pages();
	actor_call_begin(server, uffd_serve, &u, sizeof(u));
	require(0,
		v_reg(s.holder, 0, (uint64_t)base, 2 * s.size + u.len, REMOTE_RW, &s.mr));
	expect(0, actor_call_end(server, &u, sizeof(u), step_deadline_ms));
	expect_value(before + (long)((2 * s.size + u.len) / PAGE), pinned_pages());
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, v_dereg(s.holder, &s.mr));
	expect_value(before, pinned_pages());
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

static long register_range(void *buf, size_t size)
{
	const uint64_t *range = buf;

	(void)size;
	return ibv_reg_mr(v_local_pd(0), (void *)range[0], range[1], REMOTE_RW) ? 0
										: -errno;
}

/* Killed while it waits: nothing stays, and the file is free. */
CHECK(o5_killed_in_the_middle_of_a_registration, "O5,P2,T6", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *other = actor_start("other");
	struct uffd_step u = { .len = 2 * PAGE };
	uint64_t range[2];
	long base, before;

	base = must(a_mmap(s.holder, 0, s.size + u.len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	must(a_mmap(s.holder, (uint64_t)base, s.size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, s.fd, 0));
	u.addr = (uint64_t)base + s.size;
	scene_open_verbs(&s);
	require(0, actor_call(s.holder, uffd_register, &u, sizeof(u)));
	before = pinned_pages();
	range[0] = (uint64_t)base;
	range[1] = s.size + u.len;
	actor_call_begin(s.holder, register_range, range, sizeof(range));
	eventually(pinned_pages() > before ? 0 : -EAGAIN);
	expect(ETXTBSY, a_truncate(other, s.path, 0));
	actor_kill(s.holder);
	eventually(a_truncate(other, s.path, 0));
	expect_value(before, pinned_pages());
}
