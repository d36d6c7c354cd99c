// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Kinds of objects, and what is left of them: queues that are reset, limits, domains, regions.
 * Runs in a guest, with the provider that IBV_DRIVERS names.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <infiniband/pinrxedv.h>
#include "fabric.h"

static struct ibv_send_wr message(uint64_t wr_id)
{
	return (struct ibv_send_wr){ .wr_id = wr_id,
				     .opcode = IBV_WR_SEND,
				     .send_flags = IBV_SEND_SIGNALED };
}

/* The peer refuses a write, which nobody asks for here. */
static void refuse_writes(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr = {};

	CHECK_INT(ibv_modify_qp(qp, &attr, IBV_QP_ACCESS_FLAGS), 0);
}

/* Of requests that wait in a queue which is reset nothing is left that could be taken for new. */
static void reset_forgets_requests(struct fabric *f, enum ibv_qp_type type)
{
	struct ibv_ah_attr to = {
		.is_global = 1,
		.port_num = 1,
		.grh = { .dgid = f->gid, .sgid_index = f->gid_index, .hop_limit = 1 }
	};
	struct ibv_send_wr wr = message(0);
	struct ibv_recv_wr recv = {}, *bad_recv;
	struct ibv_send_wr *bad;
	struct ibv_wc wc;
	struct pair p;

	wr.wr.ud.ah = ibv_create_ah(f->pd, &to);
	CHECK(wr.wr.ud.ah != NULL);
	make_pair(f, &p, type, small_cap, 0);
	wr.wr.ud.remote_qpn = p.b.qp->qp_num;
	for (uint64_t i = 0; i < 5; i++) {
		wr.wr_id = i;
		if (type == IBV_QPT_RC) {
			refuse_writes(p.b.qp);
			CHECK_INT(ibv_post_recv(p.b.qp, &recv, &bad_recv), 0);
		}
		CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		expect_wc(p.a.cq, i, IBV_WC_SUCCESS);
		set_state(p.a.qp, IBV_QPS_SQD);
		await_drained(f);
		for (int n = 0; n < 3; n++)
			CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		set_state(p.a.qp, IBV_QPS_RESET);
		set_state(p.b.qp, IBV_QPS_RESET);
		CHECK_INT(ibv_poll_cq(p.a.cq, 1, &wc), 0);
		connect_end(f, &p.a, p.b.qp->qp_num);
		connect_end(f, &p.b, p.a.qp->qp_num);
	}
	break_pair(&p);
	CHECK_INT(ibv_destroy_ah(wr.wr.ud.ah), 0);
}

static void reset_forgets_messages(struct fabric *f)
{
	reset_forgets_requests(f, IBV_QPT_RC);
}

static void reset_forgets_datagrams(struct fabric *f)
{
	reset_forgets_requests(f, IBV_QPT_UD);
}

/* The event comes once, when fewer requests are left than the limit, also in a ring that was changed. */
static void srq_limit_is_an_event(struct fabric *f)
{
	struct ibv_srq_attr change = { .max_wr = 31, .srq_limit = 3 }, now;
	struct ibv_recv_wr recv = {}, *bad_recv;
	struct ibv_async_event event;
	struct ibv_send_wr wr, *bad;
	struct ibv_srq *srq;
	struct pair p;

	srq = make_srq_pair(f, &p, 7);
	for (int i = 0; i < 4; i++)
		CHECK_INT(ibv_post_srq_recv(srq, &recv, &bad_recv), 0);
	CHECK_INT(ibv_modify_srq(srq, &change, IBV_SRQ_MAX_WR | IBV_SRQ_LIMIT), 0);
	CHECK_INT(ibv_query_srq(srq, &now), 0);
	CHECK_INT(now.max_wr, 31);
	CHECK_INT(now.srq_limit, 3);
	fcntl(f->context->async_fd, F_SETFL, O_NONBLOCK);
	for (uint64_t i = 0; i < 4; i++) {
		wr = message(i);
		CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		expect_wc(p.a.cq, i, IBV_WC_SUCCESS);
		expect_wc(p.b.cq, 0, IBV_WC_SUCCESS);
		/* 3, 2, 1 and none left */
		CHECK_INT(ibv_get_async_event(f->context, &event), i == 1 ? 0 : -1);
		if (i != 1)
			continue;
		CHECK_INT(event.event_type, IBV_EVENT_SRQ_LIMIT_REACHED);
		CHECK(event.element.srq == srq);
		ibv_ack_async_event(&event);
	}
	CHECK_INT(ibv_query_srq(srq, &now), 0);
	CHECK_INT(now.srq_limit, 0);
	break_pair(&p);
	CHECK_INT(ibv_destroy_srq(srq), 0);
}

/* A whole region is flushed; what it was not registered for is refused. */
static void kinds_of_flush(struct fabric *f)
{
	static const struct {
		int type, level, status;
	} kinds[] = {
		{ PINRXEDV_FLUSH_GLOBAL, PINRXEDV_FLUSH_MR, IBV_WC_SUCCESS },
		{ PINRXEDV_FLUSH_PERSISTENT, PINRXEDV_FLUSH_RANGE,
		  IBV_WC_REM_ACCESS_ERR },
	};
	struct ibv_qp_ex *ex;
	struct ibv_mr *mr;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, IBV_QP_EX_WITH_RDMA_WRITE);
	ex = ibv_qp_to_qp_ex(p.a.qp);
	mr = ibv_reg_mr(f->pd, f->memory, MEMORY,
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
				PINRXE_ACCESS_FLUSH_GLOBAL);
	CHECK(ex != NULL && mr != NULL);
	for (uint64_t i = 0; i < 2; i++) {
		ibv_wr_start(ex);
		ex->wr_id = i;
		ex->wr_flags = IBV_SEND_SIGNALED;
		CHECK_INT(pinrxedv_wr_flush(ex, mr->rkey, (uintptr_t)f->memory, 8,
					    kinds[i].type, kinds[i].level),
			  0);
		CHECK_INT(ibv_wr_complete(ex), 0);
		expect_wc(p.a.cq, i, kinds[i].status);
	}
	CHECK_INT(ibv_dereg_mr(mr), 0);
	break_pair(&p);
}

/* A PD stays as long as a parent domain has it, and no parent domain has another. */
static void parent_domain(struct fabric *f)
{
	struct ibv_parent_domain_init_attr attr = {};
	struct ibv_pd *pd, *parent;

	pd = attr.pd = ibv_alloc_pd(f->context);
	CHECK(pd != NULL);
	parent = ibv_alloc_parent_domain(f->context, &attr);
	CHECK(parent != NULL);
	CHECK_INT(ibv_dealloc_pd(pd), EBUSY);
	attr.pd = parent;
	CHECK(!ibv_alloc_parent_domain(f->context, &attr));
	CHECK_INT(errno, EINVAL);
	CHECK_INT(ibv_dealloc_pd(parent), 0);
	CHECK_INT(ibv_dealloc_pd(pd), 0);
}

/* A domain of one thread: its queues take no locks, and stay its as long as they are there. */
static void thread_domain(struct fabric *f)
{
	struct ibv_td_init_attr td_attr = {};
	struct ibv_parent_domain_init_attr attr = { .pd = f->pd };
	struct ibv_cq_init_attr_ex cq_attr = {
		.cqe = 100,
		.wc_flags = IBV_WC_EX_WITH_BYTE_LEN,
		.comp_mask = IBV_CQ_INIT_ATTR_MASK_FLAGS | IBV_CQ_INIT_ATTR_MASK_PD,
		.flags = IBV_CREATE_CQ_ATTR_SINGLE_THREADED,
	};
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	struct ibv_poll_cq_attr poll_attr = {};
	struct ibv_cq_ex *cq;
	struct end end;
	int n = 0;

	attr.td = ibv_alloc_td(f->context, &td_attr);
	CHECK(attr.td != NULL);
	cq_attr.parent_domain = ibv_alloc_parent_domain(f->context, &attr);
	CHECK(cq_attr.parent_domain != NULL);
	CHECK_INT(ibv_dealloc_td(attr.td), EBUSY);
	cq = ibv_create_cq_ex(f->context, &cq_attr);
	CHECK(cq != NULL);
	init.send_cq = init.recv_cq = end.cq = ibv_cq_ex_to_cq(cq);
	end.qp = ibv_create_qp(cq_attr.parent_domain, &init);
	CHECK(end.qp != NULL);
	connect_end(f, &end, end.qp->qp_num);
	post_writes(f, &end, 10, 5);
	while (n < 5) {
		if (ibv_start_poll(cq, &poll_attr))
			continue;
		do {
			CHECK_INT(cq->status, IBV_WC_SUCCESS);
			CHECK_INT(cq->wr_id, 10 + n++);
		} while (!ibv_next_poll(cq));
		ibv_end_poll(cq);
	}
	post_writes(f, &end, 20, 1);
	expect_wc(end.cq, 20, IBV_WC_SUCCESS);
	break_end(&end);
	CHECK_INT(ibv_dealloc_pd(cq_attr.parent_domain), 0);
	CHECK_INT(ibv_dealloc_td(attr.td), 0);
}

/* Flags and fields of extended CQs that nobody serves are refused, not left out. */
static void what_a_cq_lacks(struct fabric *f)
{
	struct ibv_cq_init_attr_ex attr = { .cqe = 10 };

	attr.wc_flags = IBV_WC_EX_WITH_COMPLETION_TIMESTAMP;
	CHECK(!ibv_create_cq_ex(f->context, &attr));
	CHECK_INT(errno, EOPNOTSUPP);
	attr.wc_flags = IBV_WC_STANDARD_FLAGS;
	attr.comp_mask = IBV_CQ_INIT_ATTR_MASK_FLAGS;
	attr.flags = IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN;
	CHECK(!ibv_create_cq_ex(f->context, &attr));
	CHECK_INT(errno, EOPNOTSUPP);
	attr.comp_mask = IBV_CQ_INIT_ATTR_MASK_PD;
	attr.parent_domain = f->pd; /* which is none */
	CHECK(!ibv_create_cq_ex(f->context, &attr));
	CHECK_INT(errno, EINVAL);
}

/* What the kernel's driver has not is refused with the same error, whatever it is. */
static void what_the_kernel_lacks(struct fabric *f)
{
	struct ibv_xrcd_init_attr xrcd = { .comp_mask = IBV_XRCD_INIT_ATTR_FD |
							IBV_XRCD_INIT_ATTR_OFLAGS,
					   .fd = -1,
					   .oflags = O_CREAT };
	struct ibv_qp_init_attr qp = { .qp_type = IBV_QPT_RAW_PACKET, .cap = small_cap };
	struct ibv_alloc_dm_attr dm = { .length = 4096 };
	struct ibv_cq *cq = ibv_create_cq(f->context, 10, NULL, NULL, 0);

	CHECK(cq != NULL);
	qp.send_cq = qp.recv_cq = cq;
	CHECK(!ibv_open_xrcd(f->context, &xrcd));
	CHECK_INT(errno, EOPNOTSUPP);
	CHECK(!ibv_create_qp(f->pd, &qp));
	CHECK_INT(errno, EOPNOTSUPP);
	CHECK(!ibv_reg_dmabuf_mr(f->pd, 0, 4096, 0, -1, IBV_ACCESS_LOCAL_WRITE));
	CHECK_INT(errno, EOPNOTSUPP);
	CHECK(!ibv_reg_mr(f->pd, f->memory, 4096, IBV_ACCESS_ON_DEMAND));
	CHECK_INT(errno, EOPNOTSUPP);
	CHECK(!ibv_alloc_dm(f->context, &dm));
	CHECK_INT(errno, EOPNOTSUPP);
	CHECK_INT(ibv_destroy_cq(cq), 0);
}

/* A region that begins at another address for peers, and at 0. */
static void region_with_iova(struct fabric *f)
{
	static const uint64_t iovas[] = { 0, UINT64_C(0x7000000000) };
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	struct ibv_mr *mr;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	for (uint64_t i = 0; i < 2; i++) {
		mr = ibv_reg_mr_iova(f->pd, f->memory + 8192, 4096, iovas[i],
				     IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
		CHECK(mr != NULL);
		f->memory[0] = 77 + i;
		wr = write_wr(f, &sge, 0, 0, 8);
		wr.wr.rdma.remote_addr = iovas[i] + 16;
		wr.wr.rdma.rkey = mr->rkey;
		CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		expect_wc(p.a.cq, 0, IBV_WC_SUCCESS);
		CHECK_INT(f->memory[8192 + 16], 77 + i);
		CHECK_INT(ibv_dereg_mr(mr), 0);
	}
	break_pair(&p);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
	(void)number;
	alarms++;
}

/* Signals do not end a doorbell or a poll: the handler asks for no restart of system calls. */
static void signals_all_the_time(struct fabric *f)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval often = { { 0, 500 }, { 0, 500 } },
			 never = { { 0, 0 }, { 0, 0 } };
	uint64_t i = 0;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	CHECK_INT(sigaction(SIGALRM, &action, NULL), 0);
	alarms = 0;
	CHECK_INT(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (; alarms < 50; i++) {
		post_writes(f, &p.a, i, 1);
		expect_wc(p.a.cq, i, IBV_WC_SUCCESS);
	}
	CHECK_INT(setitimer(ITIMER_REAL, &never, NULL), 0);
	CHECK(i > 1);
	break_pair(&p);
}

static const struct test tests[] = {
	{ "reset-forgets-messages", reset_forgets_messages },
	{ "reset-forgets-datagrams", reset_forgets_datagrams },
	{ "srq-limit-is-an-event", srq_limit_is_an_event },
	{ "kinds-of-flush", kinds_of_flush },
	{ "parent-domain", parent_domain },
	{ "thread-domain", thread_domain },
	{ "what-a-cq-lacks", what_a_cq_lacks },
	{ "what-the-kernel-lacks", what_the_kernel_lacks },
	{ "region-with-iova", region_with_iova },
	{ "signals-all-the-time", signals_all_the_time },
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
