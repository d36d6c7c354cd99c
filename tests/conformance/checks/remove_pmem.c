// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * O7: the persistent memory goes away under a file system in use.  Each check takes the file system
 * that the checks run on away and brings it back: driver unbound, unmounted, bound, mounted.
 *
 * They start with a lease, so they end there on a kernel without the series, which would crash.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <rdma/ib_user_verbs.h>
#include <sys/ioctl.h>

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

/* Pinned pages are dirty to the end.  Who would flush them then finds nothing of them. */
CHECK(o7_fsync_after_pmem_has_gone, "O7,Y1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct pmem p = pmem_of(check_dir());
	struct actor *other = actor_start("other");
	long fd = must(a_open(other, s.path, O_RDWR));

	expect(0, a_mem_write(s.holder, (uint64_t)s.addr, s.size, 55, 0));
	expect(0, pmem_unbind(&p));
	expect(EIO, a_fsync(other, fd));
	expect(EIO, a_msync(s.holder, s.addr, s.size));
	sync();
	actor_exit(s.holder);
	actor_exit(other);
	pmem_bring_back(&p);
	expect_true(file_has_pattern(s.path, 0, s.size, 55),
		    "what was written is not there");
}

/* More pages than are forgotten with the lock held, all dirty, and each with an entry of its own. */
CHECK(o7_unbind_pmem_under_many_pages, "O7", STOCK_FAIL)
{
	const uint64_t size = 5000 * PAGE;
	struct pmem p = pmem_of(check_dir());
	struct actor *a = actor_start("A");
	const char *path = make_sparse_file("many", size + PAGE);
	long fd = must(a_open(a, path, O_RDWR)), room, at;

	must(a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	room = must(a_mmap(a, 0, size + MiB(2), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0));
	/* 2 MiB of memory and of the file do not begin at the same place */
	at = (room + (long)MiB(2) - 1) & -(long)MiB(2);
	expect_value(at, a_mmap(a, (uint64_t)at, size, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, fd, PAGE));
	expect(0, a_madvise(a, at, size, MADV_POPULATE_WRITE));
	expect(0, a_mem_write(a, (uint64_t)at + size - PAGE, PAGE, 57, 0));
	expect(0, pmem_unbind(&p));
	expect(EIO, a_fsync(a, fd));
	expect(EFAULT,
	       SYS(a, SYS_openat, V(AT_FDCWD), V(at + (long)(size - PAGE)), V(O_RDONLY)));
	sync();
	actor_exit(a);
	pmem_bring_back(&p);
	expect_true(file_has_content_at(path, size, PAGE, 57, 0),
		    "what was written is not there");
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

/* The oldest way to give a command. */
static long write_command(void *buf, size_t size)
{
	struct ib_uverbs_query_device_resp resp;
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_query_device cmd;
	} c = {
		.hdr = { IB_USER_VERBS_CMD_QUERY_DEVICE, sizeof(c) / 4,
			 sizeof(resp) / 4 },
		.cmd = { .response = (uint64_t)&resp },
	};

	(void)size;
	return write((int)*(long *)buf, &c, sizeof(c)) < 0 ? -errno : 0;
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
	expect(0, actor_call(s.holder, write_command, &s.uverbs_fd, sizeof(s.uverbs_fd)));
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
	expect(EIO,
	       actor_call(s.holder, write_command, &s.uverbs_fd, sizeof(s.uverbs_fd)));
	expect(EIO,
	       a_mmap(s.holder, 0, PAGE, PROT_READ, MAP_SHARED, (int)s.uverbs_fd, 0));
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

/* ---- commands that sleep for as long as a user likes ---- */

struct range {
	uint64_t addr, len;
};

/* Memory whose faults nobody serves. */
static long uffd_register(void *buf, size_t size)
{
	const struct range *r = buf;
	struct uffdio_register reg = { .range = { r->addr, r->len },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	(void)size;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

static long register_range(void *buf, size_t size)
{
	const struct range *r = buf;

	(void)size;
	return ibv_reg_mr(v_local_pd(0), (void *)r->addr, r->len, REMOTE_RW) ? 0 : -errno;
}

/* A registration, by context 0, of the first pages of a file, or none, and of such memory. */
static void begin_registration_that_waits(struct actor *a, long fd, uint64_t file_len)
{
	struct range r = { .len = PAGE };

	r.addr = (uint64_t)must(a_mmap(a, 0, file_len + PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) +
		 file_len;
	require(0, actor_call(a, uffd_register, &r, sizeof(r)));
	r.addr -= file_len;
	r.len += file_len;
	if (file_len)
		must(a_mmap(a, r.addr, file_len, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, (int)fd, 0));
	actor_call_begin(a, register_range, &r, sizeof(r));
	expect_true(actor_blocks(a), "the registration does not wait");
}

static bool answers(struct actor *a)
{
	return actor_answers(a, step_deadline_ms / 2);
}

/* Who has no pins on that memory is not waited for. */
CHECK(o7_unbind_pmem_beside_a_registration_that_waits, "O7", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct pmem p = pmem_of(check_dir());
	struct actor *stranger = actor_start("stranger"), *admin = actor_start("admin");

	must(v_open(stranger, 0));
	begin_registration_that_waits(stranger, -1, 0);
	pmem_unbind_begin(&p, admin);
	expect_true(answers(admin), "the unbind waits for the stranger");
	expect_pins(s.holder, "");
	expect_true(actor_blocks(stranger), "the stranger's registration ends");
	actor_kill(stranger);
	expect(0, actor_call_end(admin, NULL, 0, step_deadline_ms));
	actor_exit(s.holder);
	pmem_bring_back(&p);
}

/* The holder's own registration has the first pages pinned and waits for the last. */
static void begin_own_registration(struct scene *s, struct actor *other,
				   struct actor *admin, const struct pmem *p)
{
	long fd;

	scene_open_verbs(s);
	fd = must(actor_send_fd(s->holder, (int)s->uverbs_fd, other));
	begin_registration_that_waits(s->holder, s->fd, s->size);
	pmem_unbind_begin(p, admin);
	/* No other command is let in meanwhile, and none has to wait. */
	eventually(v_raw_reg(other, fd, 0, 0, PAGE, 0) == -EIO ? 0 : -EAGAIN);
	expect_true(actor_blocks(admin), "the unbind does not wait for the command");
	expect_true(actor_blocks(s->holder), "the registration ends");
}

CHECK(o7_unbind_pmem_under_a_registration_that_waits, "O7,O5", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct pmem p = pmem_of(check_dir());
	struct actor *other = actor_start_exec("other"), *admin = actor_start("admin");
	long pins = pins_out();

	begin_own_registration(&s, other, admin, &p);
	actor_kill(s.holder);
	expect(0, actor_call_end(admin, NULL, 0, step_deadline_ms));
	expect_value(pins, pins_out());
	actor_exit(other);
	pmem_bring_back(&p);
}

/* Who waits can be killed: the memory goes nevertheless, and with it who keeps it. */
CHECK(o7_unbind_pmem_that_is_killed, "O7,O5", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct pmem p = pmem_of(check_dir());
	struct actor *other = actor_start_exec("other"), *admin = actor_start("admin");
	long pins = pins_out();

	begin_own_registration(&s, other, admin, &p);
	actor_kill(admin);
	eventually(actor_dead(s.holder) ? 0 : -EAGAIN);
	expect_true(!actor_dead(other), "who has the descriptor only was killed, too");
	expect_value(pins, pins_out());
	actor_exit(other);
	pmem_bring_back(&p);
}

/* The removal of the RDMA device waits for a stranger, before it destroys anything. */
CHECK(o7_unbind_pmem_while_the_rdma_device_goes, "O7", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct pmem p = pmem_of(check_dir());
	struct actor *stranger = actor_start("stranger"), *admin = actor_start("admin");
	struct actor *remover = actor_start("remover");

	a_rdma_device(admin, "rxe_gone", "rxe");
	s.uverbs_fd = must(v_open_device(s.holder, 0, "rxe_gone"));
	must(v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	must(v_open_device(stranger, 0, "rxe_gone"));
	begin_registration_that_waits(stranger, -1, 0);
	a_rdma_link_delete_begin(remover, "rxe_gone");
	eventually(v_raw_reg(s.holder, s.uverbs_fd, 0, 0, PAGE, 0) == -EIO ? 0 : -EAGAIN);
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	pmem_unbind_begin(&p, admin);
	expect_true(answers(admin), "the unbind waits for the removal");
	expect_pins(s.holder, "");
	expect_true(actor_blocks(remover), "the removal does not wait");
	actor_kill(stranger);
	expect(0, actor_call_end(remover, NULL, 0, step_deadline_ms));
	expect(0, actor_call_end(admin, NULL, 0, step_deadline_ms));
	actor_exit(s.holder);
	pmem_bring_back(&p);
}
