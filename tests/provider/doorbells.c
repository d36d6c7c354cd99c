// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Which requests have a doorbell, and that those without are not forgotten. The doorbells are
 * counted: the provider's write() is ours.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <rdma/ib_user_verbs.h>
#include <infiniband/pinrxedv.h>
#include "fabric.h"

static atomic_int doorbells;

ssize_t write(int fd, const void *data, size_t length)
{
	uint32_t command;

	if (length >= sizeof(struct ib_uverbs_cmd_hdr)) {
		memcpy(&command, data, sizeof(command));
		doorbells += command == IB_USER_VERBS_CMD_POST_SEND;
	}
	return syscall(SYS_write, fd, data, length);
}

static const struct ibv_qp_cap cap = {
	.max_send_wr = 63, .max_recv_wr = 63, .max_send_sge = 1, .max_recv_sge = 1
};

/* From how many requests under way on PINRXE_COALESCE lets doorbells be left out */
static int threshold(void)
{
	const char *value = getenv("PINRXE_COALESCE");
	int number = value ? atoi(value) : 8;

	return number ? number : 1000;
}

static void post_send(struct fabric *f, struct pair *p, int n)
{
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;

	wr = write_wr(f, &sge, 0, 4096, 8);
	wr.opcode = IBV_WR_SEND;
	for (int i = 0; i < n; i++)
		CHECK_INT(ibv_post_send(p->a.qp, &wr, &bad), 0);
}

/* A send without a receive is tried again and again: nothing completes before this. */
static void let_through(struct fabric *f, struct pair *p, int n)
{
	struct ibv_sge sge = { (uintptr_t)f->memory + 8192, 8, f->mr->lkey };
	struct ibv_recv_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;

	for (int i = 0; i < n; i++)
		CHECK_INT(ibv_post_recv(p->b.qp, &wr, &bad), 0);
	for (int i = 0; i < n; i++)
		CHECK_INT(take_wc(p->b.cq).status, IBV_WC_SUCCESS);
}

static void take(struct pair *p, int n)
{
	while (n--)
		CHECK_INT(take_wc(p->a.cq).status, IBV_WC_SUCCESS);
}

static void left_out_from_threshold_on(struct fabric *f)
{
	int expected = threshold() < 20 ? threshold() : 20;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, cap, 0);
	for (int round = 0; round < 5; round++) {
		doorbells = 0;
		post_send(f, &p, 20);
		CHECK_INT(doorbells, expected);
		let_through(f, &p, 20);
		take(&p, 20);
	}
	break_pair(&p);
}

/* A batch has one doorbell or none. */
static void batches(struct fabric *f)
{
	int expected = threshold() < 20 ? (threshold() + 1) / 2 : 10;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, cap, IBV_QP_EX_WITH_SEND);
	doorbells = 0;
	for (int i = 0; i < 10; i++) {
		struct ibv_qp_ex *ex = ibv_qp_to_qp_ex(p.a.qp);

		ibv_wr_start(ex);
		ex->wr_flags = IBV_SEND_SIGNALED;
		for (int j = 0; j < 2; j++) {
			ibv_wr_send(ex);
			ibv_wr_set_sge(ex, f->mr->lkey, (uintptr_t)f->memory, 8);
		}
		CHECK_INT(ibv_wr_complete(ex), 0);
	}
	CHECK_INT(doorbells, expected);
	let_through(f, &p, 20);
	take(&p, 20);
	break_pair(&p);
}

/*
 * The kernel completes local operations without looking for new requests. (One that waits for a
 * send which is tried again would be carried out again too, and fail: hence not behind one here.)
 */
static void all_after_local_operation(struct fabric *f)
{
	struct ibv_mr *mr = ibv_reg_mr(f->pd, f->memory, 4096,
				       IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
	struct ibv_mw *mw = ibv_alloc_mw(f->pd, IBV_MW_TYPE_1);
	struct ibv_mw_bind bind = { .send_flags = IBV_SEND_SIGNALED,
				    .bind_info = { mr, (uintptr_t)f->memory, 4096,
						   IBV_ACCESS_REMOTE_READ } };
	struct pair p;

	CHECK(mr && mw);
	make_pair(f, &p, IBV_QPT_RC, cap, 0);
	CHECK_INT(ibv_bind_mw(p.a.qp, mw, &bind), 0);
	take(&p, 1);
	doorbells = 0;
	post_send(f, &p, 20);
	CHECK_INT(doorbells, 20);
	let_through(f, &p, 20);
	take(&p, 20);
	CHECK_INT(ibv_dealloc_mw(mw), 0);
	CHECK_INT(ibv_dereg_mr(mr), 0);
	break_pair(&p);
}

/* A lost packet would not be noticed. */
static void all_without_timeout(struct fabric *f)
{
	struct ibv_qp_attr attr = { .timeout = 0 };
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, cap, 0);
	set_state(p.a.qp, IBV_QPS_SQD);
	await_drained(f);
	/* with the state it would have to be drained once more */
	CHECK_INT(ibv_modify_qp(p.a.qp, &attr, IBV_QP_TIMEOUT), 0);
	set_state(p.a.qp, IBV_QPS_RTS);
	doorbells = 0;
	post_send(f, &p, 20);
	CHECK_INT(doorbells, 20);
	let_through(f, &p, 20);
	take(&p, 20);
	break_pair(&p);
}

/* One at a time: that none is under way is seen, however old the index seen last is. */
static void one_at_a_time(struct fabric *f)
{
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, cap, 0);
	wr = write_wr(f, &sge, 0, 4096, 8);
	doorbells = 0;
	for (int i = 0; i < 100; i++) {
		CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		CHECK_INT(doorbells, i + 1);
		take(&p, 1);
	}
	break_pair(&p);
}

/* Bursts of all sizes that meet the kernel in all states. */
static void none_is_forgotten(struct fabric *f)
{
	struct ibv_send_wr wr, *bad;
	unsigned int random = 1;
	struct ibv_sge sge;
	struct pair p;
	int open = 0;

	make_pair(f, &p, IBV_QPT_RC, cap, 0);
	wr = write_wr(f, &sge, 0, 4096, 8);
	for (int round = 0; round < 400; round++) {
		random = random * 1103515245 + 12345;
		for (int n = random >> 16 & 31; n && open < 63; n--, open++)
			CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		random = random * 1103515245 + 12345;
		/* all of them now and then: then none follows that could wake the kernel */
		for (int n = random >> 16 & 63; n && open; n--, open--)
			CHECK_INT(take_wc(p.a.cq).status, IBV_WC_SUCCESS);
	}
	take(&p, open);
	break_pair(&p);
}

static const struct test tests[] = {
	{ "left-out-from-threshold-on", left_out_from_threshold_on },
	{ "batches", batches },
	{ "all-after-local-operation", all_after_local_operation },
	{ "all-without-timeout", all_without_timeout },
	{ "one-at-a-time", one_at_a_time },
	{ "none-is-forgotten", none_is_forgotten },
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
