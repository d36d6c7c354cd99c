// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Posting receive requests, to a QP or a shared queue. */
#include <config.h>

#include <assert.h>
#include <errno.h>

#include "pinrxe.h"
#include "wqe.h"

static __attribute__((noinline)) int
fill_list(struct pinrxe_rq *rq, struct rxe_recv_wqe *wqe, const struct ibv_recv_wr *wr)
{
	uint64_t length;

	if ((uint32_t)wr->num_sge > rq->max_sge)
		return EINVAL;
	length = pinrxe_copy_sge(wqe->dma.sge, wr->sg_list, wr->num_sge);
	if (length > PINRXE_MAX_MESSAGE)
		return EINVAL;
	wqe->wr_id = wr->wr_id;
	pinrxe_init_dma(&wqe->dma, length, wr->num_sge);
	return 0;
}

/* One entry of data is what most requests have; any slot has room for it. */
static_assert(sizeof(struct rxe_recv_wqe) + sizeof(struct rxe_sge) <= 64, "slot");

static inline int fill(struct pinrxe_rq *rq, uint32_t index, const struct ibv_recv_wr *wr)
{
	struct rxe_recv_wqe *wqe = pinrxe_slot(&rq->ring, index);
	uint32_t length;

	if (unlikely(wr->num_sge != 1 || !rq->max_sge))
		return fill_list(rq, wqe, wr);
	length = wr->sg_list->length;
	if (unlikely(length > PINRXE_MAX_MESSAGE))
		return EINVAL;
	memcpy(wqe->dma.sge, wr->sg_list, sizeof(struct rxe_sge));
	wqe->wr_id = wr->wr_id;
	pinrxe_init_dma(&wqe->dma, length, 1);
	return 0;
}

static inline int post_locked(struct pinrxe_rq *rq, struct ibv_recv_wr *wr,
			      struct ibv_recv_wr **bad)
{
	struct pinrxe_ring *ring = &rq->ring;
	uint32_t index = ring->own;
	int err = 0;

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

static __attribute__((noinline)) int
post_after_wait(struct pinrxe_rq *rq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	pinrxe_lock_wait(&rq->lock);
	return post_locked(rq, wr, bad);
}

static inline int post(struct pinrxe_rq *rq, struct ibv_recv_wr *wr,
		       struct ibv_recv_wr **bad)
{
	if (unlikely(!pinrxe_trylock(&rq->lock)))
		return post_after_wait(rq, wr, bad);
	return post_locked(rq, wr, bad);
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

/* The QP receives from an SRQ and has no ring, or is not in a state to take requests. */
static __attribute__((noinline)) int
post_unusual(struct pinrxe_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct ibv_qp *base = &qp->vqp.qp;
	int err;

	if (!qp->rq.ring.buf || base->state == IBV_QPS_RESET) {
		*bad = wr;
		return EINVAL;
	}
	err = post(&qp->rq, wr, bad);
	if (base->state == IBV_QPS_ERR)
		flush(base);
	return err;
}

int pinrxe_post_recv(struct ibv_qp *base, struct ibv_recv_wr *wr,
		     struct ibv_recv_wr **bad)
{
	struct pinrxe_qp *qp = to_qp(base);

	if (unlikely(!qp->rq.ring.buf || base->state == IBV_QPS_RESET ||
		     base->state == IBV_QPS_ERR))
		return post_unusual(qp, wr, bad);
	return post(&qp->rq, wr, bad);
}

int pinrxe_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr,
			 struct ibv_recv_wr **bad)
{
	return post(&to_srq(srq)->rq, wr, bad);
}
