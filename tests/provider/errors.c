// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * QPs that the kernel moves to the error state: receives that are posted to them come back flushed,
 * whichever way the program learns of it. Runs in a guest, with the provider that IBV_DRIVERS names.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "fabric.h"

static void post_receive(struct ibv_qp *qp, uint64_t wr_id)
{
	struct ibv_recv_wr recv = { .wr_id = wr_id }, *bad;

	CHECK_INT(ibv_post_recv(qp, &recv, &bad), 0);
}

/* A write with a key that the peer does not have: both QPs are in error then. */
static void post_refused(struct fabric *f, struct end *end, uint64_t wr_id)
{
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;

	wr = write_wr(f, &sge, 0, 4096, 8);
	wr.wr_id = wr_id;
	wr.wr.rdma.rkey ^= 1;
	CHECK_INT(ibv_post_send(end->qp, &wr, &bad), 0);
}

/* Several times: each receive has to have the kernel look again. */
static void expect_flushed_receives(struct end *end)
{
	for (uint64_t i = 100; i < 110; i++) {
		post_receive(end->qp, i);
		expect_wc(end->cq, i, IBV_WC_WR_FLUSH_ERR);
	}
}

/* After a reset the QP is as good as new: nothing is flushed that should not be. */
static void expect_recovery(struct fabric *f, struct pair *p)
{
	struct ibv_send_wr wr = { .wr_id = 1,
				  .opcode = IBV_WR_SEND,
				  .send_flags = IBV_SEND_SIGNALED };
	struct ibv_send_wr *bad;

	set_state(p->a.qp, IBV_QPS_RESET);
	set_state(p->b.qp, IBV_QPS_RESET);
	connect_end(f, &p->a, p->b.qp->qp_num);
	connect_end(f, &p->b, p->a.qp->qp_num);
	post_receive(p->a.qp, 2);
	CHECK_INT(ibv_post_send(p->b.qp, &wr, &bad), 0);
	expect_wc(p->b.cq, 1, IBV_WC_SUCCESS);
	expect_wc(p->a.cq, 2, IBV_WC_SUCCESS);
}

static void seen_by_polling(struct fabric *f)
{
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	for (int i = 0; i < 3; i++) {
		post_refused(f, &p.a, 7);
		expect_wc(p.a.cq, 7, IBV_WC_REM_ACCESS_ERR);
		/* the program has not been told of the state, and is not told by the library's copy */
		CHECK_INT(p.a.qp->state, IBV_QPS_RTS);
		expect_flushed_receives(&p.a);
		expect_recovery(f, &p);
	}
	break_pair(&p);
}

static void seen_by_extended_polling(struct fabric *f)
{
	struct ibv_cq_init_attr_ex attr = { .cqe = 100 };
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	struct ibv_poll_cq_attr poll_attr = {};
	struct ibv_cq_ex *cq = ibv_create_cq_ex(f->context, &attr);
	struct end end = {};

	CHECK(cq != NULL);
	init.send_cq = init.recv_cq = end.cq = ibv_cq_ex_to_cq(cq);
	end.qp = ibv_create_qp(f->pd, &init);
	CHECK(end.qp != NULL);
	connect_end(f, &end, end.qp->qp_num);
	post_refused(f, &end, 7);
	while (ibv_start_poll(cq, &poll_attr))
		;
	CHECK_INT(cq->wr_id, 7);
	CHECK(cq->status != IBV_WC_SUCCESS);
	/* before the poll is over */
	post_receive(end.qp, 99);
	ibv_end_poll(cq);
	expect_wc(end.cq, 99, IBV_WC_WR_FLUSH_ERR);
	expect_flushed_receives(&end);
	break_end(&end);
}

/* Posted when the kernel has emptied the ring and the program cannot know yet. */
static void posted_before_it_is_seen(struct fabric *f)
{
	struct ibv_comp_channel *channel = ibv_create_comp_channel(f->context);
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	struct ibv_cq *cq;
	struct end end;
	void *context;

	CHECK(channel != NULL);
	init.send_cq = init.recv_cq = end.cq =
		ibv_create_cq(f->context, 100, NULL, channel, 0);
	CHECK(end.cq != NULL);
	end.qp = ibv_create_qp(f->pd, &init);
	CHECK(end.qp != NULL);
	connect_end(f, &end, end.qp->qp_num);
	CHECK_INT(ibv_req_notify_cq(end.cq, 0), 0);
	post_refused(f, &end, 7);
	CHECK_INT(ibv_get_cq_event(channel, &cq, &context), 0);
	ibv_ack_cq_events(cq, 1);
	for (uint64_t i = 50; i < 53; i++)
		post_receive(end.qp, i);
	CHECK(take_wc(end.cq).status != IBV_WC_SUCCESS);
	for (uint64_t i = 50; i < 53; i++)
		expect_wc(end.cq, i, IBV_WC_WR_FLUSH_ERR);
	expect_flushed_receives(&end);
	break_end(&end);
	CHECK_INT(ibv_destroy_comp_channel(channel), 0);
}

/* The peer's QP had no request that could have completed: nothing is in its CQ. */
static void seen_by_a_query(struct fabric *f)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	post_refused(f, &p.a, 7);
	do
		CHECK_INT(ibv_query_qp(p.b.qp, &attr, IBV_QP_STATE, &init), 0);
	while (attr.qp_state != IBV_QPS_ERR);
	expect_flushed_receives(&p.b);
	expect_wc(p.a.cq, 7, IBV_WC_REM_ACCESS_ERR);
	expect_recovery(f, &p);
	break_pair(&p);
}

/* --- QPs that fail, are reset and destroyed while other threads poll their CQ and post to others */

enum {
	ROUNDS = 40,
	CQ_SIZE = 4095
};

struct watched {
	struct ibv_cq *cq;
	struct ibv_qp *other;
	atomic_bool fed, end;
	atomic_int wrong, of_the_other, posted;
};

static void *watch(void *arg)
{
	struct watched *w = arg;
	struct ibv_wc wc[3];
	int n;

	while (!w->end || w->of_the_other < w->posted) {
		n = ibv_poll_cq(w->cq, 3, wc);
		for (int i = 0; i < n; i++) {
			w->of_the_other += wc[i].qp_num == w->other->qp_num;
			w->wrong += wc[i].status == IBV_WC_SUCCESS;
		}
		w->wrong += n < 0;
		sched_yield();
	}
	return NULL;
}

/* To a QP in error: each of them comes back, unless the CQ overflows, so no more than it has room for. */
static void *feed(void *arg)
{
	struct watched *w = arg;
	struct ibv_recv_wr recv = {}, *bad;

	while (!w->fed) {
		if (w->posted - w->of_the_other < CQ_SIZE / 2 &&
		    !ibv_post_recv(w->other, &recv, &bad))
			w->posted++;
		sched_yield();
	}
	return NULL;
}

static void destroyed_while_others_poll(struct fabric *f)
{
	struct ibv_qp_init_attr_ex attr = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	static struct watched w; /* the threads outlive a check that does not hold */
	pthread_t threads[3];
	struct end other, end;

	make_end(f, &other, attr);
	CHECK_INT(ibv_resize_cq(other.cq, CQ_SIZE), 0);
	connect_end(f, &other, other.qp->qp_num);
	w.cq = other.cq;
	w.other = other.qp;
	post_refused(f, &other, 7);
	CHECK(take_wc(other.cq).status != IBV_WC_SUCCESS);
	CHECK_INT(pthread_create(&threads[0], NULL, watch, &w), 0);
	CHECK_INT(pthread_create(&threads[1], NULL, watch, &w), 0);
	CHECK_INT(pthread_create(&threads[2], NULL, feed, &w), 0);
	init.send_cq = init.recv_cq = end.cq = w.cq;
	for (int i = 0; i < ROUNDS; i++) {
		end.qp = ibv_create_qp(f->pd, &init);
		if (!end.qp)
			break;
		connect_end(f, &end, end.qp->qp_num);
		post_receive(end.qp, 0);
		post_refused(f, &end, 0);
		if (i % 2)
			set_state(end.qp, IBV_QPS_RESET);
		CHECK_INT(ibv_destroy_qp(end.qp), 0);
	}
	/* those who poll go on until they have all that was posted: so that has to be known first */
	w.fed = true;
	pthread_join(threads[2], NULL);
	w.end = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK(end.qp != NULL);
	CHECK_INT(w.wrong, 0);
	CHECK_INT(w.of_the_other, w.posted);
	break_end(&other);
}

static const struct test tests[] = {
	{ "seen-by-polling", seen_by_polling },
	{ "seen-by-extended-polling", seen_by_extended_polling },
	{ "posted-before-it-is-seen", posted_before_it_is_seen },
	{ "seen-by-a-query", seen_by_a_query },
	{ "destroyed-while-others-poll", destroyed_while_others_poll },
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
