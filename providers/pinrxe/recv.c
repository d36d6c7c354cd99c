// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Posting receive requests, to a QP or a shared queue. */
#include <config.h>

#include <assert.h>
#include <errno.h>

#include "pinrxe.h"
#include "wqe.h"

static inline int fill(struct pinrxe_rq *rq, uint32_t index, const struct ibv_recv_wr *wr)
{
	struct rxe_recv_wqe *wqe = pinrxe_slot(&rq->ring, index);
	uint64_t length;

	if (unlikely((uint32_t)wr->num_sge > rq->max_sge))
		return EINVAL;
	length = pinrxe_copy_sge(wqe->dma.sge, wr->sg_list, wr->num_sge);
	if (unlikely(length > PINRXE_MAX_MESSAGE))
		return EINVAL;
	wqe->wr_id = wr->wr_id;
	pinrxe_init_dma(&wqe->dma, length, wr->num_sge);
	return 0;
}

static inline int post(struct pinrxe_rq *rq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct pinrxe_ring *ring = &rq->ring;
	uint32_t index;
	int err = 0;

	pinrxe_lock(&rq->lock);
	index = ring->own;
	for (; wr; wr = wr->next) {
		if (unlikely(pinrxe_full(ring, index))) {
			err = ENOMEM;
			break;
		}
		err = fill(rq, index, wr);
		if (unlikely(err))
			break;
		index = pinrxe_next(ring, index);
	}
	/* those before a bad one are posted */
	pinrxe_publish(ring, index);
	pinrxe_unlock(&rq->lock);
	if (unlikely(err))
		*bad = wr;
	return err;
}

/*
 * Requests given to a QP in error come back flushed. There is no doorbell for receives; to
 * be told of the error state again makes the kernel look.
 */
static void flush(struct ibv_qp *base)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
	struct ibv_modify_qp cmd;

	ibv_cmd_modify_qp(base, &attr, IBV_QP_STATE, &cmd, sizeof(cmd));
}

int pinrxe_post_recv(struct ibv_qp *base, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct pinrxe_qp *qp = to_qp(base);
	int err;

	/* no ring: the QP receives from an SRQ */
	if (unlikely(!qp->rq.ring.buf || base->state == IBV_QPS_RESET)) {
		*bad = wr;
		return EINVAL;
	}
	err = post(&qp->rq, wr, bad);
	if (unlikely(base->state == IBV_QPS_ERR && !err))
		flush(base);
	return err;
}

int pinrxe_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	return post(&to_srq(srq)->rq, wr, bad);
}
