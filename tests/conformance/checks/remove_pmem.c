// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * O7: the persistent memory goes away under a file system in use.  Each check takes the file system
 * that the checks run on away and brings it back: driver unbound, unmounted, bound, mounted.
 *
 * They start with a lease, so they end there on a kernel without the series, which would crash.
 */
#include <errno.h>

#include "pmem.h"
#include "scene.h"

/* Pages acquired and not released, over the whole system. */
static long pins_out(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

CHECK(o7_unbind_pmem_under_an_open_file, "O7", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct pmem p = pmem_of(check_dir());

	expect(0, a_mem_write(s.holder, (uint64_t)s.addr, 8192, 51, 0));
	expect(0, a_munmap(s.holder, s.addr, s.size));
	expect(0, pmem_unbind(&p));
	expect(0, a_close(s.holder, s.fd));
	actor_exit(s.holder);
	pmem_bring_back(&p);
	expect_true(file_has_pattern(s.path, 0, 8192, 51),
		    "what was written is not there");
	expect_true(file_has_pattern(s.path, 8192, s.size - 8192, FILE_SEED),
		    "the file has changed");
}

CHECK(o7_unbind_pmem_under_a_mapping, "O7", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct pmem p = pmem_of(check_dir());
	struct actor *child = actor_fork(s.holder, "child");

	expect(0, a_mem_write(s.holder, (uint64_t)s.addr, 8192, 52, 0));
	expect(0, a_mem_check(child, (uint64_t)s.addr, 8192, 52, 0));
	expect(0, pmem_unbind(&p));
	/* The kernel reads a path there: what would be SIGBUS is EFAULT. */
	expect(EFAULT, SYS(s.holder, SYS_openat, V(AT_FDCWD), V(s.addr), V(O_RDONLY)));
	expect(EFAULT, SYS(child, SYS_openat, V(AT_FDCWD), V(s.addr), V(O_RDONLY)));
	actor_exit(child);
	actor_exit(s.holder);
	pmem_bring_back(&p);
	expect_true(file_has_pattern(s.path, 0, 8192, 52),
		    "what was written is not there");
}

/*
 * Pins would keep the memory: they are taken back, with everything that the context has.  A context
 * without pins on that memory goes on.
 */
CHECK(o7_unbind_pmem_under_pins, "O7,O2,T7", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct pmem p = pmem_of(check_dir());
	struct actor *peer = actor_start("peer"), *other = actor_start_exec("other");
	long pins, anon, fd;
	struct mr second, third;

	scene_open_verbs(&s);
	must(v_open(s.holder, 1));
	must(v_open(s.holder, 2));
	must(v_open(peer, 0));
	pins = pins_out();
	v_connect(peer, 0, s.holder, 0);
	anon = must(a_mmap(s.holder, 0, s.size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	require(0, v_reg(s.holder, 1, (uint64_t)s.addr, PAGE, REMOTE_RW, &second));
	expect(0, v_write(peer, 0, &s.mr, 0, PAGE, 53));
	fd = must(actor_send_fd(s.holder, (int)s.uverbs_fd, other));

	expect(0, pmem_unbind(&p));
	/* The peer's buffer stays. */
	expect_value(pins + (long)(KiB(64) / PAGE), pins_out());
	expect_pins(s.holder, "");
	expect_pins(other, "");
	expect(EIO, v_reg(s.holder, 0, (uint64_t)anon, s.size, REMOTE_RW, NULL));
	expect(EIO, v_reg(s.holder, 1, (uint64_t)anon, s.size, REMOTE_RW, NULL));
	expect(EIO, v_raw_reg(other, fd, 0, 0, PAGE, 0));
	expect(0, v_reg(s.holder, 2, (uint64_t)anon, s.size, REMOTE_RW, &third));
	expect(0, v_dereg(s.holder, &third));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_true(v_write(peer, 0, &s.mr, 0, PAGE, 54) < 0,
		    "a peer still writes to the memory");
	actor_exit(s.holder);
	actor_exit(other);
	actor_exit(peer);
	pmem_bring_back(&p);
	expect_true(file_has_pattern(s.path, 0, PAGE, 53), "remote data is not there");
	expect_true(file_has_pattern(s.path, PAGE, s.size - PAGE, FILE_SEED),
		    "the file has changed");
}

CHECK(o7_unbind_pmem_under_a_zombie, "O7,C3", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct pmem p = pmem_of(check_dir());

	scene_pin(&s);
	scene_unmap_and_close(&s);
	expect(0, pmem_unbind(&p));
	expect_pins(s.holder, "");
	/* The process is there, with its descriptor, and not in the way. */
	pmem_bring_back(&p);
	expect(0, v_close_fd(s.holder, 0));
	expect_true(file_has_pattern(s.path, 0, s.size, FILE_SEED),
		    "the file has changed");
}

/* Registers and deregisters until something refuses; that. */
static long churn(void *buf, size_t size)
{
	const struct scene *s = buf;
	struct ibv_mr *mr;

	(void)size;
	while ((mr = ibv_reg_mr(v_local_pd(0), (void *)s->addr, s->size, REMOTE_RW)))
		ibv_dereg_mr(mr);
	return -errno;
}

CHECK(o7_unbind_pmem_while_registering, "O7", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct pmem p = pmem_of(check_dir());
	long pins = pins_out(), ret;

	scene_open_verbs(&s);
	actor_call_begin(s.holder, churn, &s, sizeof(s));
	expect(0, pmem_unbind(&p));
	ret = actor_call_end(s.holder, &s, sizeof(s), step_deadline_ms);
	/* Revoked, or between two registrations: then the mapping was empty. */
	expect_true(ret == -EIO || ret == -EFAULT || ret == -EOPNOTSUPP,
		    "registering until the memory is gone: %s", errno_name((int)-ret));
	expect_value(pins, pins_out());
	expect_pins(s.holder, "");
	actor_exit(s.holder);
	pmem_bring_back(&p);
}
