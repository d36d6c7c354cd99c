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

/* The lock is held. The QP receives from an SRQ, or is not in a state to take requests. */
static __attribute__((noinline)) int
post_unusual(struct pinrxe_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	int err;

	if (qp->rq_state != PINRXE_RQ_ERROR) {
		pinrxe_unlock(&qp->rq.lock);
		*bad = wr;
		return EINVAL;
	}
	err = post_locked(&qp->rq, wr, bad);
	pinrxe_qp_flush(qp);
	return err;
}

static inline int post_to_qp(struct pinrxe_qp *qp, struct ibv_recv_wr *wr,
			     struct ibv_recv_wr **bad)
{
	/* under the lock, see qp_error.c */
	if (unlikely(atomic_load_explicit(&qp->rq_state, memory_order_relaxed) !=
		     PINRXE_RQ_READY))
		return post_unusual(qp, wr, bad);
	return post_locked(&qp->rq, wr, bad);
}

static __attribute__((noinline)) int post_to_qp_after_wait(struct pinrxe_qp *qp,
							   struct ibv_recv_wr *wr,
							   struct ibv_recv_wr **bad)
{
	pinrxe_lock_wait(&qp->rq.lock);
	return post_to_qp(qp, wr, bad);
}

int pinrxe_post_recv(struct ibv_qp *base, struct ibv_recv_wr *wr,
		     struct ibv_recv_wr **bad)
{
	struct pinrxe_qp *qp = to_qp(base);

	if (unlikely(!pinrxe_trylock(&qp->rq.lock)))
		return post_to_qp_after_wait(qp, wr, bad);
	return post_to_qp(qp, wr, bad);
}

static __attribute__((noinline)) int
post_after_wait(struct pinrxe_rq *rq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	pinrxe_lock_wait(&rq->lock);
	return post_locked(rq, wr, bad);
}

int pinrxe_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr,
			 struct ibv_recv_wr **bad)
{
	struct pinrxe_rq *rq = &to_srq(srq)->rq;

	if (unlikely(!pinrxe_trylock(&rq->lock)))
		return post_after_wait(rq, wr, bad);
	return post_locked(rq, wr, bad);
}
