// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* RDMA flush between two queue pairs of this process, on device DAX: no kernel's leases are needed. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "guest.h"

#define LENGTH 8192
#define FLUSH  (PINV_ACCESS_FLUSH_PERSISTENT | PINV_ACCESS_FLUSH_GLOBAL)

struct end {
	struct ibv_cq *cq;
	struct ibv_qp *qp;
};

static void make(struct end *end, struct ibv_pd *pd)
{
	struct ibv_qp_init_attr_ex attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 4,
			 .max_recv_wr = 1,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE,
		.pd = pd,
	};

	end->cq = ibv_create_cq(pd->context, 16, NULL, NULL, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(end->cq);
	attr.send_cq = attr.recv_cq = end->cq;
	end->qp = ibv_create_qp_ex(pd->context, &attr);
	CU_ASSERT_PTR_NOT_NULL_FATAL(end->qp);
}

static void connect_to(struct end *end, uint32_t peer)
{
	struct ibv_qp_attr init = { .qp_state = IBV_QPS_INIT,
				    .port_num = 1,
				    .qp_access_flags = WRITE | FLUSH };
	struct ibv_qp_attr receive = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = peer,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 1,
		.ah_attr = { .is_global = 1,
			     .port_num = 1,
			     .grh = { .sgid_index = 1, .hop_limit = 1 } },
	};
	struct ibv_qp_attr send = { .qp_state = IBV_QPS_RTS,
				    .timeout = 14,
				    .retry_cnt = 7,
				    .rnr_retry = 7,
				    .max_rd_atomic = 1 };

	CU_ASSERT_EQUAL(ibv_query_gid(end->qp->context, 1, 1, &receive.ah_attr.grh.dgid),
			0);
	CU_ASSERT_EQUAL(ibv_modify_qp(end->qp, &init,
				      IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
					      IBV_QP_ACCESS_FLAGS),
			0);
	CU_ASSERT_EQUAL(ibv_modify_qp(end->qp, &receive,
				      IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
					      IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
					      IBV_QP_MAX_DEST_RD_ATOMIC |
					      IBV_QP_MIN_RNR_TIMER),
			0);
	CU_ASSERT_EQUAL(ibv_modify_qp(end->qp, &send,
				      IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
					      IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
					      IBV_QP_MAX_QP_RD_ATOMIC),
			0);
}

static void destroy(struct end *end)
{
	CU_ASSERT_EQUAL(ibv_destroy_qp(end->qp), 0);
	CU_ASSERT_EQUAL(ibv_destroy_cq(end->cq), 0);
}

static void assert_done(struct end *end, uint64_t id)
{
	struct ibv_wc wc = { 0 };
	int count;

	do
		count = ibv_poll_cq(end->cq, 1, &wc);
	while (!count);
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_EQUAL(wc.status, IBV_WC_SUCCESS);
	CU_ASSERT_EQUAL(wc.wr_id, id);
}

/* The first half to the second, and a flush of that behind it. */
static void write_and_flush(struct end *end, struct ibv_mr *mr, bool flushes)
{
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(end->qp);
	uintptr_t from = (uintptr_t)mr->addr, to = from + LENGTH / 2;

	memset((void *)from, 'f', LENGTH / 2);
	memset((void *)to, 0, LENGTH / 2);
	ibv_wr_start(qp);
	qp->wr_flags = IBV_SEND_SIGNALED;
	qp->wr_id = 1;
	ibv_wr_rdma_write(qp, mr->rkey, to);
	ibv_wr_set_sge(qp, mr->lkey, from, LENGTH / 2);
	qp->wr_id = 2;
	CU_ASSERT_EQUAL(pinv_wr_flush(qp, mr->rkey, to, LENGTH / 2),
			flushes ? 0 : EOPNOTSUPP);
	CU_ASSERT_EQUAL(ibv_wr_complete(qp), 0);
	assert_done(end, 1);
	if (flushes)
		assert_done(end, 2);
	CU_ASSERT_EQUAL(memcmp((void *)from, (void *)to, LENGTH / 2), 0);
}

/* What cannot be flushed at once takes its batch with it, if the provider has it at all. */
static void flush_too_much(struct end *end, struct ibv_mr *mr, bool flushes)
{
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(end->qp);
	int err;

	ibv_wr_start(qp);
	qp->wr_flags = IBV_SEND_SIGNALED;
	err = pinv_wr_flush(qp, mr->rkey, 0, (size_t)1 << 32);
	CU_ASSERT_EQUAL(err, flushes ? EINVAL : EOPNOTSUPP);
	CU_ASSERT_EQUAL(ibv_wr_complete(qp), flushes ? EINVAL : 0);
}

void guest_flush(struct ibv_pd *pd, bool flushes, uint32_t *number)
{
	const char *name = getenv("PINVERBS_DEVDAX");
	int device = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	struct pinv_mr *mr = pinv_reg_file_mr(pd, device, 0, LENGTH, WRITE | FLUSH);
	struct end end, peer;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	make(&end, pd);
	make(&peer, pd);
	connect_to(&end, peer.qp->qp_num);
	connect_to(&peer, end.qp->qp_num);
	*number = end.qp->qp_num;
	flush_too_much(&end, pinv_mr_ibv(mr), flushes);
	write_and_flush(&end, pinv_mr_ibv(mr), flushes);
	destroy(&peer);
	destroy(&end);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	close(device);
}
