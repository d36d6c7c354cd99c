// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Two errors of rxe that have nothing to do with leases. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "scene.h"
#include "verbs_private.h"

/* IBV_WR_FLUSH of later releases of libibverbs; librxe passes on all but rkey, range and kind. */
#define WR_FLUSH ((enum ibv_wr_opcode)14)

/* Two contexts, each with a queue pair, joined. */
static struct actor *joined_with_itself(void)
{
	struct actor *a = actor_start("A");

	must(v_open(a, 0));
	must(v_open(a, 1));
	v_connect(a, 0, a, 1);
	return a;
}

static long post(struct ibv_qp *qp, enum ibv_wr_opcode opcode, uint64_t wr_id,
		 struct ibv_mr *mr)
{
	struct ibv_sge sge = { .length = 8 };
	struct ibv_send_wr wr = { .wr_id = wr_id,
				  .opcode = opcode,
				  .send_flags = IBV_SEND_SIGNALED,
				  .sg_list = &sge,
				  .num_sge = mr ? 1 : 0 };
	struct ibv_send_wr *bad;

	if (mr) {
		sge.addr = (uintptr_t)mr->addr;
		sge.lkey = mr->lkey;
	}
	return -ibv_post_send(qp, &wr, &bad);
}

static long post_recv(struct ibv_qp *qp, struct ibv_mr *mr)
{
	struct ibv_sge sge = { (uintptr_t)mr->addr, 8, mr->lkey };
	struct ibv_recv_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;

	return -ibv_post_recv(qp, &wr, &bad);
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static long take(struct ibv_cq *cq, struct ibv_wc *wc)
{
	time_t end = seconds() + 4;
	int n;

	while (!(n = ibv_poll_cq(cq, 1, wc)))
		if (seconds() > end)
			return -ETIME;
	return n < 0 ? -EIO : 0;
}

static long take_success(struct ibv_cq *cq, uint64_t wr_id)
{
	struct ibv_wc wc;
	long ret = take(cq, &wc);

	if (ret)
		return ret;
	return wc.status == IBV_WC_SUCCESS && wc.wr_id == wr_id ? 0 : -EREMOTEIO;
}

/* ---- a local operation behind a request that is sent again ---- */

static long receiver_not_ready(struct ibv_qp *qp)
{
	char path[128], text[32];

	snprintf(path, sizeof(path),
		 "/sys/class/infiniband/%s/ports/1/hw_counters/rcvd_rnr_err",
		 ibv_get_device_name(qp->context->device));
	return file_read(path, text, sizeof(text)) > 0 ? atol(text) : -EIO;
}

/* The second time is that of a request that was sent again, with what is behind it. */
static long await_retry(struct ibv_qp *qp, long before)
{
	time_t end = seconds() + 4;
	long now;

	do {
		now = receiver_not_ready(qp);
		if (now < 0 || before < 0)
			return -EIO;
		if (now >= before + 2)
			return 0;
	} while (seconds() <= end);
	return -ETIME;
}

static long bind_behind_a_retry(void *buf, size_t size)
{
	struct actor_context *c = v_context(0), *peer = v_context(1);
	long ret, before = receiver_not_ready(c->qp);
	struct ibv_mw_bind bind = { .wr_id = 2, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_mw *mw = ibv_alloc_mw(c->pd, IBV_MW_TYPE_1);
	struct ibv_mr *mr;

	(void)buf;
	(void)size;
	mr = ibv_reg_mr(c->pd, c->scratch, PAGE,
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
	if (!mw || !mr)
		return v_errno_or(EIO);
	bind.bind_info = (struct ibv_mw_bind_info){ mr, (uintptr_t)mr->addr, PAGE,
						    IBV_ACCESS_REMOTE_READ };
	ret = post(c->qp, IBV_WR_SEND, 1, mr);
	if (!ret)
		ret = -ibv_bind_mw(c->qp, mw, &bind);
	if (!ret)
		ret = post(c->qp, IBV_WR_SEND, 3, mr);
	if (!ret)
		ret = await_retry(c->qp, before);
	if (!ret)
		ret = post_recv(peer->qp, peer->scratch_mr);
	if (!ret)
		ret = post_recv(peer->qp, peer->scratch_mr);
	for (uint64_t wr_id = 1; !ret && wr_id <= 3; wr_id++)
		ret = take_success(c->cq, wr_id);
	return ret;
}

CHECK(p11_local_operation_behind_a_retry, "P11", STOCK_FAIL)
{
	expect(0, actor_call(joined_with_itself(), bind_behind_a_retry, NULL, 0));
}

/* ---- FLUSH without responder resources ---- */

static long drop_responder_resources(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr, reset = { .qp_state = IBV_QPS_RESET };
	struct ibv_qp_init_attr init;

	if (ibv_query_qp(qp, &attr, IBV_QP_AV | IBV_QP_DEST_QPN, &init) ||
	    ibv_modify_qp(qp, &reset, IBV_QP_STATE))
		return v_errno_or(EIO);
	attr.qp_state = IBV_QPS_INIT;
	if (ibv_modify_qp(qp, &attr,
			  IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				  IBV_QP_ACCESS_FLAGS))
		return v_errno_or(EIO);
	attr.qp_state = IBV_QPS_RTR;
	attr.max_dest_rd_atomic = 0;
	if (ibv_modify_qp(qp, &attr,
			  IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				  IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
				  IBV_QP_MIN_RNR_TIMER))
		return v_errno_or(EIO);
	return 0;
}

/* The status of its completion. */
static long flush(void *buf, size_t size)
{
	struct actor_context *c = v_context(0);
	struct ibv_wc wc;
	long ret;

	(void)buf;
	(void)size;
	ret = drop_responder_resources(v_context(1)->qp);
	if (ret)
		return ret;
	ret = post(c->qp, WR_FLUSH, 1, NULL);
	if (ret == -EINVAL)
		return -ENOTSUP;
	if (!ret)
		ret = take(c->cq, &wc);
	return ret ? ret : (long)wc.status;
}

/*
 * The kernel has to look for resources first, then at the rkey, which is wrong here.  Stock
 * complains of the rkey; with a good one it would use resources that are not there, and die.
 */
CHECK(p11_flush_without_responder_resources, "P11", STOCK_FAIL)
{
	long status = actor_call(joined_with_itself(), flush, NULL, 0);

	if (status == -ENOTSUP)
		skip("the provider has a call of its own for FLUSH");
	expect_value(IBV_WC_REM_INV_REQ_ERR, status);
}
