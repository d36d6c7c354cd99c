// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * O7: removing the RDMA device releases the pins at once, while processes keep their descriptors,
 * their mapped queues and threads that wait for events.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "scene.h"

/* Pages acquired and not released, over the whole system. */
static long pins_out(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

static long remove_link(const char *device)
{
	return a_rdma_link_delete(actor_start("remover"), device);
}

#define NETDEV "pvgone"

/* A network device of the check's own. */
static void add_netdev(struct actor *admin, const char *const add[])
{
	/* a killed run left it behind */
	if (!access("/sys/class/net/" NETDEV, F_OK))
		a_run(admin,
		      (const char *const[]){ "ip", "link", "delete", NETDEV, NULL });
	require(0, a_run(admin, add));
}

static long delete_netdev(struct actor *admin)
{
	return a_run(admin,
		     (const char *const[]){ "ip", "link", "delete", NETDEV, NULL });
}

/* ---- a process that is busy with the device: in the actor ---- */

struct busy {
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	pthread_t completions, events, poller;
	atomic_bool stop;
	int completion_errno, event;
};

static struct busy busy;

static void *wait_for_completion(void *arg)
{
	struct ibv_cq *cq;
	void *context;

	(void)arg;
	if (ibv_get_cq_event(busy.channel, &cq, &context))
		busy.completion_errno = errno;
	return NULL;
}

static void *wait_for_event(void *arg)
{
	struct ibv_async_event event;

	if (ibv_get_async_event(arg, &event))
		busy.event = -errno;
	else
		busy.event = (int)event.event_type;
	return NULL;
}

static void *poll_queue(void *arg)
{
	struct timespec pause = { .tv_nsec = 5000000 };
	struct ibv_wc wc;

	(void)arg;
	while (!busy.stop && !ibv_poll_cq(busy.cq, 1, &wc))
		nanosleep(&pause, NULL);
	return NULL;
}

static long start_busy(void *buf, size_t size)
{
	struct ibv_pd *pd = v_local_pd(0);
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC,
					 .cap = { .max_send_wr = 4,
						  .max_recv_wr = 4,
						  .max_send_sge = 1,
						  .max_recv_sge = 1 } };

	(void)buf;
	(void)size;
	busy.channel = ibv_create_comp_channel(pd->context);
	busy.cq = busy.channel ? ibv_create_cq(pd->context, 8, NULL, busy.channel, 0)
			       : NULL;
	init.send_cq = init.recv_cq = busy.cq;
	busy.qp = busy.cq ? ibv_create_qp(pd, &init) : NULL;
	if (!busy.qp || ibv_req_notify_cq(busy.cq, 0))
		return -EIO;
	if (pthread_create(&busy.completions, NULL, wait_for_completion, NULL) ||
	    pthread_create(&busy.events, NULL, wait_for_event, pd->context) ||
	    pthread_create(&busy.poller, NULL, poll_queue, NULL))
		return -EAGAIN;
	return 0;
}

/* What the threads have seen; the mapped queue can be polled up to here, and after. */
struct busy_end {
	int completion_errno, event;
};

static long end_busy(void *buf, size_t size)
{
	struct busy_end *end = buf;
	struct ibv_wc wc;

	(void)size;
	pthread_join(busy.completions, NULL);
	pthread_join(busy.events, NULL);
	busy.stop = true;
	pthread_join(busy.poller, NULL);
	end->completion_errno = busy.completion_errno;
	end->event = busy.event;
	return ibv_poll_cq(busy.cq, 1, &wc) ? -EIO : 0;
}

/* ---- the scene: a leased and mapped file, registered with a device of the check's own ---- */

static struct scene pinned_on(const char *device, const char *type)
{
	struct scene s = scene_mapped();

	a_rdma_device(actor_start("admin"), device, type);
	s.uverbs_fd = must(v_open_device(s.holder, 0, device));
	must(v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	return s;
}

/* The pins are gone, the lease is there and free to go, the descriptor gives EIO. */
static void expect_removed(struct scene *s, long pins)
{
	struct actor *b = actor_start("B");

	expect_value(pins, pins_out());
	expect_pins(s->holder, "");
	expect(ETXTBSY, a_truncate(b, s->path, PAGE));
	expect(EIO, v_reg(s->holder, 0, (uint64_t)s->addr, s->size, REMOTE_RW, NULL));
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s->holder, s->fd));
	expect(0, a_setlease(s->holder, s->fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(b, s->path, PAGE));
}

static void remove_under_a_busy_process(const char *device, const char *type)
{
	struct scene s = pinned_on(device, type);
	long pins = pins_out() - (long)(s.size / PAGE);
	struct busy_end end = { 0, 0 };
	struct actor *child;

	must(actor_call(s.holder, start_busy, NULL, 0));
	/* The child has the queues mapped as well. */
	child = actor_fork(s.holder, "child");
	require(0, remove_link(device));
	expect_removed(&s, pins);
	expect_pins(child, "");
	expect(0, actor_call(s.holder, end_busy, &end, sizeof(end)));
	expect_value(EIO, end.completion_errno);
	expect_value(IBV_EVENT_DEVICE_FATAL, end.event);
	actor_exit(s.holder);
	actor_exit(child);
	/* Nothing of the old device is in the way of a new one. */
	a_rdma_device(actor_start("admin"), device, type);
	expect(0, remove_link(device));
}

CHECK(o7_remove_rxe_under_a_busy_process, "O7,T6", STOCK_FAIL)
{
	remove_under_a_busy_process("rxe_gone", "rxe");
}

CHECK(o7_remove_siw_under_a_busy_process, "O7,T6", STOCK_FAIL)
{
	remove_under_a_busy_process("siw_gone", "siw");
}

/* ---- a zombie has nobody to release the lease ---- */

static void remove_ends_zombie(const char *device, const char *type)
{
	struct scene s = pinned_on(device, type);
	struct actor *b = actor_start("B");

	scene_unmap_and_close(&s);
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	require(0, remove_link(device));
	expect_pins(s.holder, "");
	eventually(a_truncate(b, s.path, PAGE));
}

CHECK(o7_remove_rxe_ends_the_zombie, "O7,C3,T6", STOCK_FAIL)
{
	remove_ends_zombie("rxe_gone", "rxe");
}

CHECK(o7_remove_siw_ends_the_zombie, "O7,C3,T6", STOCK_FAIL)
{
	remove_ends_zombie("siw_gone", "siw");
}

/* ---- descriptors elsewhere ---- */

CHECK(o7_remove_with_the_descriptor_elsewhere, "O7,O2,O3", STOCK_FAIL)
{
	struct scene s = pinned_on("rxe_gone", "rxe");
	struct actor *b = actor_start_exec("B"), *child = actor_fork(s.holder, "child");
	long fd = must(actor_send_fd(s.holder, (int)s.uverbs_fd, b));
	long pins = pins_out() - (long)(s.size / PAGE);

	expect_pins(b, pins_text(b, fd, s.path));
	expect_pins(child, pins_text(child, s.uverbs_fd, s.path));
	require(0, remove_link("rxe_gone"));
	expect_pins(b, "");
	expect_pins(child, "");
	expect_removed(&s, pins);
	expect(0, a_close(s.holder, s.uverbs_fd));
	expect(EIO, v_raw_reg(b, fd, 0, 0, PAGE, 0));
	expect(0, a_close(b, fd));
}

/* ---- below the RDMA device ---- */

/* Unbinding the driver of a network device ends in the same way: the device disappears. */
static void remove_netdev(const char *device, const char *type)
{
	struct actor *admin = actor_start("admin"), *b = actor_start("B");
	struct scene s = scene_mapped();

	add_netdev(admin, (const char *const[]){ "ip", "link", "add", NETDEV, "up",
						 "type", "dummy", NULL });
	if (a_rdma_link_add(admin, device, type, NETDEV))
		skip("no %s device on a dummy network device", type);
	s.uverbs_fd = must(v_open_device(s.holder, 0, device));
	must(v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	scene_unmap_and_close(&s);
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	require(0, delete_netdev(admin));
	/* By a kernel thread. */
	eventually(a_truncate(b, s.path, PAGE));
	expect_pins(s.holder, "");
	expect(EIO, v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, NULL));
}

CHECK(o7_remove_the_network_device_below_rxe, "O7,T6", STOCK_FAIL)
{
	remove_netdev("rxe_gone", "rxe");
}

CHECK(o7_remove_the_network_device_below_siw, "O7,T6", STOCK_FAIL)
{
	remove_netdev("siw_gone", "siw");
}

/* ---- while registrations come and go ---- */

/* Registers and deregisters until the device is gone; how often it has. */
static long churn(void *buf, size_t size)
{
	const struct scene *s = buf;
	struct ibv_pd *pd = v_local_pd(0);
	struct ibv_mr *mr;
	long n = 0;

	(void)size;
	while ((mr = ibv_reg_mr(pd, (void *)s->addr, s->size, REMOTE_RW))) {
		/* The device may go before, and takes the MR along. */
		ibv_dereg_mr(mr);
		n++;
	}
	return errno == EIO ? n : -errno;
}

static void remove_while_registering(const char *device, const char *type)
{
	struct scene s = scene_mapped();
	long pins, n;

	a_rdma_device(actor_start("admin"), device, type);
	s.uverbs_fd = must(v_open_device(s.holder, 0, device));
	pins = pins_out();
	actor_call_begin(s.holder, churn, &s, sizeof(s));
	require(0, remove_link(device));
	n = actor_call_end(s.holder, &s, sizeof(s), step_deadline_ms);
	expect_true(n >= 0, "registering until the device is gone: %s",
		    errno_name((int)-n));
	expect_removed(&s, pins);
}

CHECK(o7_remove_rxe_while_registering, "O7", STOCK_FAIL)
{
	remove_while_registering("rxe_gone", "rxe");
}

CHECK(o7_remove_siw_while_registering, "O7", STOCK_FAIL)
{
	remove_while_registering("siw_gone", "siw");
}

/* ---- under traffic ---- */

#define FLOOD_ADDR "10.98.7.1"

/* The address of a fresh RDMA device comes into its table by and by. */
static long gid_known(const char *device)
{
	char path[128], text[64];
	int i;

	for (i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), "/sys/class/infiniband/%s/ports/1/gids/%d",
			 device, i);
		if (file_read(path, text, sizeof(text)) > 0 &&
		    !strncmp(text, "0000:0000:0000:0000:0000:ffff:0a62:0701", 39))
			return 0;
	}
	return -EAGAIN;
}

CHECK(o7_remove_rxe_under_traffic, "O7,P11,T6", STOCK_FAIL)
{
	struct actor *admin = actor_start("admin"), *b = actor_start("B");
	struct actor *peer = actor_start("peer");
	/* an end of the pair can be set up when the other one is there */
	const char *const add[] = { "ip",   "link", "add",  NETDEV,     "type",
				    "veth", "peer", "name", NETDEV "1", NULL };
	const char *const up[] = { "ip", "link", "set", NETDEV, "up", NULL };
	const char *const peer_up[] = { "ip", "link", "set", NETDEV "1", "up", NULL };
	const char *const addr[] = { "ip",  "addr", "add", FLOOD_ADDR "/24",
				     "dev", NETDEV, NULL };
	struct scene s = scene_mapped();
	long ret;

	add_netdev(admin, add);
	require(0, a_run(admin, up));
	require(0, a_run(admin, peer_up));
	if (a_run(admin, addr) || a_rdma_link_add(admin, "rxe_gone", "rxe", NETDEV))
		skip("no rxe device on a veth pair of its own");
	eventually(gid_known("rxe_gone"));
	s.uverbs_fd = must(v_open_device(s.holder, 0, "rxe_gone"));
	must(v_open_device(peer, 0, "rxe_gone"));
	v_connect(peer, 0, s.holder, 0);
	must(v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 61));
	expect_true(file_has_pattern(s.path, 0, s.size, 61),
		    "remote data is not in the file");

	v_flood_begin(peer, 0, &s.mr, 62);
	scene_unmap_and_close(&s);
	require(0, remove_link("rxe_gone"));
	expect_pins(s.holder, "");
	eventually(a_truncate(b, s.path, 0));
	ret = v_flood_end(peer);
	expect_true(ret == -EIO || ret == -ETIME || ret == -EREMOTEIO,
		    "writing until the device is gone: %s", errno_name((int)-ret));
	expect_value(0, delete_netdev(admin));
}
