// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What the data path costs, for the provider that IBV_DRIVERS names.
 *
 *   bench callgrind   run by valgrind --tool=callgrind --collect-atstart=no: one dump for
 *                     each operation, of ROUNDS calls of it and nothing else
 *   bench total       in a guest whose time counts instructions: prints those of user and
 *                     kernel together for 8-byte writes, 16 single posts in flight
 *
 * Both ends of the connection are in this process.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <infiniband/verbs.h>
#include <valgrind/callgrind.h>

enum {
	ROUNDS = 64,
	CHAIN = 16,
	DEPTH = 64
};

struct end {
	struct ibv_qp *qp;
	struct ibv_qp_ex *ex;
	struct ibv_cq *cq;
};

static struct ibv_context *context;
static struct ibv_comp_channel *channel;
static struct ibv_pd *pd;
static struct ibv_mr *mr;
static union ibv_gid gid;
static int gid_index;
static uint64_t buffer[1024];

static void must(int ok, const char *what)
{
	if (!ok)
		err(1, "%s", what);
}

static void open_device(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);

	must(list && list[0], "no RDMA device");
	context = ibv_open_device(list[0]);
	must(context != NULL, "ibv_open_device");
	ibv_free_device_list(list);
	pd = ibv_alloc_pd(context);
	channel = ibv_create_comp_channel(context);
	must(pd && channel, "ibv_alloc_pd");
	mr = ibv_reg_mr(pd, buffer, sizeof(buffer),
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	must(mr != NULL, "ibv_reg_mr");
	gid_index = getenv("BENCH_GID") ? atoi(getenv("BENCH_GID")) : 1;
	must(!ibv_query_gid(context, 1, gid_index, &gid), "ibv_query_gid");
}

static void make_end(struct end *end)
{
	struct ibv_qp_init_attr_ex attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = DEPTH,
			 .max_recv_wr = 2 * ROUNDS,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE,
		.pd = pd,
	};

	end->cq = ibv_create_cq(context, 1024, NULL, channel, 0);
	must(end->cq != NULL, "ibv_create_cq");
	attr.send_cq = attr.recv_cq = end->cq;
	end->qp = ibv_create_qp_ex(context, &attr);
	must(end->qp != NULL, "ibv_create_qp_ex");
	end->ex = ibv_qp_to_qp_ex(end->qp);
}

static void connect_ends(struct ibv_qp *qp, uint32_t peer)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE,
	};

	must(!ibv_modify_qp(qp, &attr,
			    IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				    IBV_QP_ACCESS_FLAGS),
	     "INIT");
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = peer,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = { .is_global = 1,
			     .port_num = 1,
			     .grh = { .dgid = gid,
				      .sgid_index = gid_index,
				      .hop_limit = 1 } },
	};
	must(!ibv_modify_qp(qp, &attr,
			    IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				    IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
				    IBV_QP_MIN_RNR_TIMER),
	     "RTR");
	attr = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTS,
				     .timeout = 14,
				     .retry_cnt = 7,
				     .rnr_retry = 7,
				     .max_rd_atomic = 1 };
	must(!ibv_modify_qp(qp, &attr,
			    IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
				    IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
				    IBV_QP_MAX_QP_RD_ATOMIC),
	     "RTS");
}

static struct ibv_send_wr chain[CHAIN];
static struct ibv_sge sge;

static void make_chain(void)
{
	sge = (struct ibv_sge){ .addr = (uintptr_t)buffer,
				.length = 8,
				.lkey = mr->lkey };
	for (int i = 0; i < CHAIN; i++)
		chain[i] = (struct ibv_send_wr){
			.wr_id = i,
			.next = i + 1 < CHAIN ? &chain[i + 1] : NULL,
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = IBV_WR_RDMA_WRITE,
			.send_flags = IBV_SEND_SIGNALED,
			.wr.rdma = { (uintptr_t)&buffer[512], mr->rkey },
		};
}

/* Sleeps for an event rather than polling an empty queue. */
static void drain(struct ibv_cq *cq, int n)
{
	struct ibv_wc wc[CHAIN];
	struct ibv_cq *from;
	void *cookie;
	int got, i;

	while (n) {
		got = ibv_poll_cq(cq, n < CHAIN ? n : CHAIN, wc);
		must(got >= 0, "ibv_poll_cq");
		for (i = 0; i < got; i++)
			if (wc[i].status)
				errx(1, "completion: %s",
				     ibv_wc_status_str(wc[i].status));
		n -= got;
		if (got || !n)
			continue;
		must(!ibv_req_notify_cq(cq, 0), "ibv_req_notify_cq");
		got = ibv_poll_cq(cq, 1, wc);
		n -= got;
		if (got)
			continue;
		must(!ibv_get_cq_event(channel, &from, &cookie), "ibv_get_cq_event");
		ibv_ack_cq_events(from, 1);
	}
}

/* Posts a write and returns when its completion is there to be polled. */
static void await_completion(struct end *end)
{
	struct ibv_send_wr *bad;
	struct ibv_cq *from;
	void *cookie;

	struct pollfd pending = { .fd = channel->fd, .events = POLLIN };

	/* drain() may have polled a completion whose event is still there */
	while (poll(&pending, 1, 0)) {
		must(!ibv_get_cq_event(channel, &from, &cookie), "ibv_get_cq_event");
		ibv_ack_cq_events(from, 1);
	}
	chain[0].next = NULL;
	must(!ibv_req_notify_cq(end->cq, 0), "ibv_req_notify_cq");
	must(!ibv_post_send(end->qp, chain, &bad), "ibv_post_send");
	must(!ibv_get_cq_event(channel, &from, &cookie), "ibv_get_cq_event");
	ibv_ack_cq_events(from, 1);
}

#define MEASURED(call)                    \
	do {                              \
		CALLGRIND_TOGGLE_COLLECT; \
		call;                     \
		CALLGRIND_TOGGLE_COLLECT; \
	} while (0)

static void bench_send(struct end *end)
{
	struct ibv_send_wr *bad;
	struct ibv_wc wc;
	int i, n, failed;

	for (i = 0; i < ROUNDS; i++)
		MEASURED();
	CALLGRIND_DUMP_STATS_AT("nothing");
	chain[0].next = NULL;
	for (i = 0; i < ROUNDS; i++) {
		MEASURED(failed = ibv_post_send(end->qp, chain, &bad));
		must(!failed, "ibv_post_send");
		drain(end->cq, 1);
	}
	CALLGRIND_DUMP_STATS_AT("post_send");
	chain[0].next = &chain[1];
	for (i = 0; i < ROUNDS; i++) {
		MEASURED(failed = ibv_post_send(end->qp, chain, &bad));
		must(!failed, "ibv_post_send");
		drain(end->cq, CHAIN);
	}
	CALLGRIND_DUMP_STATS_AT("post_send_16");
	for (i = 0; i < ROUNDS; i++)
		MEASURED(n = ibv_poll_cq(end->cq, 1, &wc));
	must(n == 0, "an empty queue");
	CALLGRIND_DUMP_STATS_AT("poll_empty");
	for (i = 0; i < ROUNDS; i++) {
		await_completion(end);
		MEASURED(n = ibv_poll_cq(end->cq, 1, &wc));
		must(n == 1, "a completion");
	}
	CALLGRIND_DUMP_STATS_AT("poll_hit");
}

static void wr_batch(struct ibv_qp_ex *ex, int n)
{
	ibv_wr_start(ex);
	for (int i = 0; i < n; i++) {
		ex->wr_id = i;
		ex->wr_flags = IBV_SEND_SIGNALED;
		ibv_wr_rdma_write(ex, mr->rkey, (uintptr_t)&buffer[512]);
		ibv_wr_set_sge(ex, mr->lkey, (uintptr_t)buffer, 8);
	}
	must(!ibv_wr_complete(ex), "ibv_wr_complete");
}

static void bench_wr(struct end *end)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		MEASURED(wr_batch(end->ex, 1));
		drain(end->cq, 1);
	}
	CALLGRIND_DUMP_STATS_AT("wr");
	for (i = 0; i < ROUNDS; i++) {
		MEASURED(wr_batch(end->ex, CHAIN));
		drain(end->cq, CHAIN);
	}
	CALLGRIND_DUMP_STATS_AT("wr_16");
}

static void bench_recv(struct end *end)
{
	struct ibv_recv_wr *bad, wr = { .sg_list = &sge, .num_sge = 1 };
	int failed;

	for (int i = 0; i < ROUNDS; i++) {
		MEASURED(failed = ibv_post_recv(end->qp, &wr, &bad));
		must(!failed, "ibv_post_recv");
	}
	CALLGRIND_DUMP_STATS_AT("post_recv");
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Median of 31 rounds of 16 posts, per write. */
static void bench_total(struct end *end)
{
	uint64_t took[31], begin;
	struct ibv_send_wr *bad;

	for (int i = -4; i < 31; i++) {
		begin = now();
		for (int j = 0; j < CHAIN; j++) {
			chain[j].next = NULL;
			must(!ibv_post_send(end->qp, &chain[j], &bad), "ibv_post_send");
		}
		drain(end->cq, CHAIN);
		if (i >= 0)
			took[i] = now() - begin;
	}
	qsort(took, 31, sizeof(took[0]), compare);
	printf("total\t%llu\n", (unsigned long long)took[15] / CHAIN);
}

int main(int argc, char **argv)
{
	struct end a, b;

	if (argc != 2)
		errx(2, "usage: bench callgrind | total");
	open_device();
	make_end(&a);
	make_end(&b);
	connect_ends(a.qp, b.qp->qp_num);
	connect_ends(b.qp, a.qp->qp_num);
	make_chain();
	if (!strcmp(argv[1], "total")) {
		bench_total(&a);
		return 0;
	}
	bench_send(&a);
	bench_wr(&a);
	bench_recv(&b);
	return 0;
}
