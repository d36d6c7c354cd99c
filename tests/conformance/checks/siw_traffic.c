// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Memory that siw is writing to when it is deregistered.  The receiver keeps it from the first segment
 * of a message to the last, and lets go of it in a softirq.
 *
 * siw connects through the RDMA-CM only, which needs an address of its device's own: v1, the other end
 * of the pair that rxe0 is on, gets one.  What goes to it goes through lo, so that a message stops half way
 * while lo is down.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "scene.h"

#define DEVICE  "siw_conf"
#define NETDEV  "v1"
#define ADDRESS "10.78.0.1"

#define MESSAGE MiB(32)

/* ---- the network ---- */

static long set_address(void *buf, size_t size)
{
	struct ifreq r = { .ifr_name = NETDEV };
	struct sockaddr_in *to = (struct sockaddr_in *)&r.ifr_addr;
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long ret;

	(void)size;
	to->sin_family = AF_INET;
	inet_pton(AF_INET, buf, &to->sin_addr);
	ret = s < 0 || ioctl(s, SIOCSIFADDR, &r) ? -errno : 0;
	close(s);
	return ret;
}

static long set_lo(void *buf, size_t size)
{
	struct ifreq r = { .ifr_name = "lo" };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long ret;

	(void)size;
	ret = s < 0 || ioctl(s, SIOCGIFFLAGS, &r) ? -errno : 0;
	r.ifr_flags =
		(short)(*(bool *)buf ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
	if (!ret && ioctl(s, SIOCSIFFLAGS, &r))
		ret = -errno;
	close(s);
	return ret;
}

static long netdev_address(struct actor *a, const char *text)
{
	char buf[INET_ADDRSTRLEN];

	snprintf(buf, sizeof(buf), "%s", text);
	return actor_call(a, set_address, buf, sizeof(buf));
}

static long lo_up(struct actor *a, bool up)
{
	return actor_call(a, set_lo, &up, sizeof(up));
}

/* ---- in an actor: one connection ---- */

static struct rdma_cm_id *listener, *connection;
static struct ibv_mr *region;

static struct sockaddr_in address(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = port };

	inet_pton(AF_INET, ADDRESS, &a.sin_addr);
	return a;
}

static int add_queue_pair(struct rdma_cm_id *id)
{
	struct ibv_qp_init_attr a = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 1,
			 .max_recv_wr = 1,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
	};

	return rdma_create_qp(id, NULL, &a);
}

/* The port, as in an address. */
static long listen_here(void *buf, size_t size)
{
	struct sockaddr_in at = address(0);

	(void)buf;
	(void)size;
	if (rdma_create_id(NULL, &listener, NULL, RDMA_PS_TCP) ||
	    rdma_bind_addr(listener, (struct sockaddr *)&at) || rdma_listen(listener, 1))
		return -errno;
	return rdma_get_src_port(listener);
}

static long accept_one(void *buf, size_t size)
{
	(void)buf;
	(void)size;
	if (rdma_get_request(listener, &connection) || add_queue_pair(connection) ||
	    rdma_accept(connection, NULL))
		return -errno;
	return 0;
}

static long connect_to(void *buf, size_t size)
{
	struct sockaddr_in to = address((uint16_t) * (long *)buf);
	struct rdma_conn_param param = { .retry_count = 7 };

	(void)size;
	if (rdma_create_id(NULL, &connection, NULL, RDMA_PS_TCP) ||
	    rdma_resolve_addr(connection, NULL, (struct sockaddr *)&to, 2000) ||
	    rdma_resolve_route(connection, 2000) || add_queue_pair(connection) ||
	    rdma_connect(connection, &param))
		return -errno;
	return strcmp(ibv_get_device_name(connection->verbs->device), DEVICE) ? -ENODEV
									      : 0;
}

struct range {
	uint64_t addr, len;
	uint32_t rkey;
};

static long register_range(void *buf, size_t size)
{
	struct range *r = buf;

	(void)size;
	region = ibv_reg_mr(connection->pd, (void *)r->addr, r->len, REMOTE_RW);
	if (!region)
		return -errno;
	r->rkey = region->rkey;
	return 0;
}

static long deregister(void *buf, size_t size)
{
	(void)buf;
	(void)size;
	return -ibv_dereg_mr(region);
}

struct message {
	struct range to;
	int fill;
};

/* Starts one write of a byte all over a range, after the last one has ended. */
static long begin_write(void *buf, size_t size)
{
	const struct message *m = buf;
	static void *from;
	struct ibv_sge sge = { .length = (uint32_t)m->to.len };
	struct ibv_send_wr *bad, wr = { .opcode = IBV_WR_RDMA_WRITE,
					.send_flags = IBV_SEND_SIGNALED,
					.sg_list = &sge,
					.num_sge = 1 };
	struct ibv_wc wc;

	(void)size;
	if (region) {
		while (!ibv_poll_cq(connection->send_cq, 1, &wc))
			;
	} else {
		from = mmap(NULL, m->to.len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		region = from == MAP_FAILED ? NULL
					    : ibv_reg_mr(connection->pd, from, m->to.len,
							 IBV_ACCESS_LOCAL_WRITE);
		if (!region)
			return -errno;
	}
	memset(from, m->fill, m->to.len);
	sge.addr = (uint64_t)from;
	sge.lkey = region->lkey;
	wr.wr.rdma.remote_addr = m->to.addr;
	wr.wr.rdma.rkey = m->to.rkey;
	return -ibv_post_send(connection->qp, &wr, &bad);
}

/* The byte at an address of the actor's. */
static long byte_at(void *buf, size_t size)
{
	(void)size;
	return **(volatile unsigned char **)buf;
}

/* ---- the check ---- */

/* Connects them, with a region of the holder's that the peer may write to. */
static struct range connect_both(struct scene *s, struct actor *peer)
{
	struct range r = { (uint64_t)s->addr, s->size, 0 };
	long port = must(actor_call(s->holder, listen_here, NULL, 0));

	actor_call_begin(s->holder, accept_one, NULL, 0);
	require(0, actor_call(peer, connect_to, &port, sizeof(port)));
	require(0, actor_call_end(s->holder, NULL, 0, step_deadline_ms));
	require(0, actor_call(s->holder, register_range, &r, sizeof(r)));
	return r;
}

/* A message of which the first byte is there and the last one is not.  A quick machine needs several. */
static void stop_half_way(struct scene *s, struct actor *peer, struct actor *admin,
			  const struct range *to)
{
	long first = s->addr, last = s->addr + (long)s->size - 1;
	struct message m = { .to = *to };

	for (m.fill = 100; m.fill < 120; m.fill++) {
		require(0, actor_call(peer, begin_write, &m, sizeof(m)));
		eventually(actor_call(s->holder, byte_at, &first, sizeof(first)) == m.fill
				   ? 0
				   : -EAGAIN);
		require(0, lo_up(admin, false));
		if (actor_call(s->holder, byte_at, &last, sizeof(last)) != m.fill)
			return;
		require(0, lo_up(admin, true));
	}
	broken("every message was through at once");
}

CHECK(t6_siw_deregistered_in_the_middle_of_a_message, "T6,L6", STOCK_FAIL)
{
	struct actor *admin = actor_start("admin"), *peer = actor_start("peer");
	struct scene s = { .holder = actor_start("holder"), .size = MESSAGE };
	long other = netdev_address(admin, ADDRESS);
	struct range r;

	if (other)
		skip("no device " NETDEV ": %s", errno_name((int)-other));
	s.path = make_file("f", s.size);
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	require(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	require(0, a_rdma_link_add(admin, DEVICE, "siw", NETDEV));
	r = connect_both(&s, peer);

	stop_half_way(&s, peer, admin, &r);
	expect(0, actor_call(s.holder, deregister, NULL, 0));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	require(0, lo_up(admin, true));
	/* the next segment finds no region, and ends the connection */
	eventually(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_pins(s.holder, "");
	expect(0, a_truncate(admin, s.path, 0));

	actor_exit(s.holder);
	actor_exit(peer);
	expect(0, a_rdma_link_delete(admin, DEVICE));
	expect(0, netdev_address(admin, "0.0.0.0"));
}
