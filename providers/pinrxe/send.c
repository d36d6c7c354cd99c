// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* ibv_post_send() */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "send.h"

/*
 * The kernel looks at the ring when uverbs is written a POST_SEND without work requests. A
 * failure (the device has been removed) is told to the caller; what is in the ring then
 * stays there.
 */
int pinrxe_ring_doorbell(struct pinrxe_qp *qp)
{
	ssize_t n =
		write(qp->vqp.qp.context->cmd_fd, &qp->doorbell, sizeof(qp->doorbell));

	if (likely(n == sizeof(qp->doorbell)))
		return 0;
	return n < 0 ? errno : EIO;
}

/* Kept out of line: the usual request has its data in one or two entries. */
static __attribute__((noinline)) int
fill_inline(struct pinrxe_qp *qp, struct rxe_send_wqe *wqe, const struct ibv_send_wr *wr)
{
	uint8_t *to = wqe->dma.inline_data;
	uint32_t room = qp->max_inline;

	if (!(PINRXE_BIT(wr->opcode) & PINRXE_INLINE_OPCODES))
		return EINVAL;
	for (int i = 0; i < wr->num_sge; i++) {
		const struct ibv_sge *sge = &wr->sg_list[i];

		if (sge->length > room)
			return ENOMEM;
		/* an entry without data may have no address, which memcpy() must not get */
		if (!sge->length)
			continue;
		memcpy(to, (void *)(uintptr_t)sge->addr, sge->length);
		to += sge->length;
		room -= sge->length;
	}
	/* the kernel takes inline data by length, whatever the number of entries was */
	pinrxe_init_dma(&wqe->dma, qp->max_inline - room, 0);
	return 0;
}

static inline int fill_data(struct pinrxe_qp *qp, struct rxe_send_wqe *wqe,
			    const struct ibv_send_wr *wr)
{
	uint64_t length;

	if (unlikely((uint32_t)wr->num_sge > qp->max_sge))
		return EINVAL;
	if (unlikely(wr->send_flags & IBV_SEND_INLINE))
		return fill_inline(qp, wqe, wr);
	length = pinrxe_copy_sge(wqe->dma.sge, wr->sg_list, wr->num_sge);
	if (unlikely(length > PINRXE_MAX_MESSAGE))
		return EINVAL;
	pinrxe_init_dma(&wqe->dma, length, wr->num_sge);
	return 0;
}

static __attribute__((noinline)) int fill_atomic(struct rxe_send_wqe *wqe,
						 const struct ibv_send_wr *wr)
{
	if (wr->wr.atomic.remote_addr & 7 || wr->num_sge != 1 || wr->sg_list->length != 8)
		return EINVAL;
	pinrxe_wqe_atomic(wqe, wr->wr.atomic.remote_addr, wr->wr.atomic.rkey,
			  wr->wr.atomic.compare_add, wr->wr.atomic.swap);
	return 0;
}

static __attribute__((noinline)) int fill(struct pinrxe_qp *qp, struct rxe_send_wqe *wqe,
					  const struct ibv_send_wr *wr)
{
	uint32_t opcode = wr->opcode;
	int err;

	/* FLUSH and ATOMIC WRITE have no form here, only ibv_wr_*() and direct verbs */
	if (unlikely(opcode >= PINRXE_WR_FLUSH || !(qp->opcodes & PINRXE_BIT(opcode))))
		return EINVAL;
	pinrxe_wqe_start(wqe, wr->wr_id, opcode, wr->send_flags);
	switch (opcode) {
	case IBV_WR_RDMA_WRITE_WITH_IMM:
		wqe->wr.ex.imm_data = wr->imm_data;
		/* fallthrough */
	case IBV_WR_RDMA_WRITE:
	case IBV_WR_RDMA_READ:
		pinrxe_wqe_rdma(wqe, wr->wr.rdma.remote_addr, wr->wr.rdma.rkey);
		break;
	case IBV_WR_SEND_WITH_IMM:
	case IBV_WR_SEND_WITH_INV:
		/* one union here and there */
		wqe->wr.ex.imm_data = wr->imm_data;
		/* fallthrough */
	case IBV_WR_SEND:
		if (qp->ud)
			pinrxe_wqe_ud(wqe, wr->wr.ud.ah, wr->wr.ud.remote_qpn,
				      wr->wr.ud.remote_qkey);
		break;
	case IBV_WR_ATOMIC_CMP_AND_SWP:
	case IBV_WR_ATOMIC_FETCH_AND_ADD:
		err = fill_atomic(wqe, wr);
		if (err)
			return err;
		break;
	case IBV_WR_BIND_MW:
		pinrxe_local_operation(qp);
		pinrxe_wqe_bind(wqe, wr->bind_mw.mw, wr->bind_mw.rkey,
				&wr->bind_mw.bind_info);
		return 0;
	case IBV_WR_LOCAL_INV:
		pinrxe_local_operation(qp);
		pinrxe_wqe_local_inv(wqe, wr->invalidate_rkey);
		return 0;
	}
	return fill_data(qp, wqe, wr);
}

/* What a request and an entry have side by side in the same order is copied in one go. */
static_assert(offsetof(struct ibv_send_wr, send_flags) -
			      offsetof(struct ibv_send_wr, opcode) ==
		      offsetof(struct rxe_send_wr, send_flags) -
			      offsetof(struct rxe_send_wr, opcode),
	      "wr");
static_assert(offsetof(struct ibv_send_wr, imm_data) -
			      offsetof(struct ibv_send_wr, opcode) ==
		      offsetof(struct rxe_send_wr, ex) -
			      offsetof(struct rxe_send_wr, opcode),
	      "wr");

/*
 * The most frequent requests: connected, one entry of data, not inline. They differ in what
 * the kernel looks at, not in what may be filled in, so there is no case distinction.
 * Returns false, with nothing posted, if it is another request.
 */
static inline bool fill_simple(struct rxe_send_wqe *wqe, const struct ibv_send_wr *wr,
			       uint32_t simple)
{
	uint32_t opcode = wr->opcode;
	uint32_t length;

	if (unlikely(opcode > 31 || !(simple & PINRXE_BIT(opcode)) || wr->num_sge != 1 ||
		     wr->send_flags & IBV_SEND_INLINE))
		return false;
	length = wr->sg_list->length;
	if (unlikely(length > PINRXE_MAX_MESSAGE))
		return false;
	wqe->wr.wr_id = wr->wr_id;
	memcpy(&wqe->wr.opcode, &wr->opcode, 3 * sizeof(uint32_t));
	pinrxe_wqe_reset(wqe);
	pinrxe_wqe_rdma(wqe, wr->wr.rdma.remote_addr, wr->wr.rdma.rkey);
	memcpy(wqe->dma.sge, wr->sg_list, sizeof(struct rxe_sge));
	pinrxe_init_dma(&wqe->dma, length, 1);
	return true;
}

/* Some requests of a list could not be posted. */
static __attribute__((noinline)) int post_failed(struct pinrxe_qp *qp,
						 struct ibv_send_wr *first,
						 struct ibv_send_wr *wr,
						 struct ibv_send_wr **bad, int err)
{
	*bad = wr;
	/* those before it are posted */
	if (wr != first)
		pinrxe_ring_doorbell(qp);
	return err;
}

int pinrxe_post_send(struct ibv_qp *base, struct ibv_send_wr *wr,
		     struct ibv_send_wr **bad)
{
	struct pinrxe_qp *qp = to_qp(base);
	struct pinrxe_ring *ring = &qp->sq;
	struct ibv_send_wr *first = wr;
	uint32_t simple = qp->simple;
	struct rxe_send_wqe *wqe;
	uint32_t index;
	int err = 0;
	bool seen;

	if (unlikely(base->state < IBV_QPS_RTS)) {
		*bad = wr;
		return EINVAL;
	}
	if (unlikely(!wr))
		return 0;
	pinrxe_lock(&qp->sq_lock);
	index = ring->own;
	do {
		if (unlikely(pinrxe_full(ring, index))) {
			err = ENOMEM;
			break;
		}
		wqe = pinrxe_slot(ring, index);
		if (unlikely(!fill_simple(wqe, wr, simple))) {
			err = fill(qp, wqe, wr);
			if (unlikely(err))
				break;
		}
		index = pinrxe_next(ring, index);
		wr = wr->next;
	} while (wr);
	seen = pinrxe_publish_send(qp, index);
	pinrxe_unlock(&qp->sq_lock);
	if (unlikely(err))
		return post_failed(qp, first, wr, bad, err);
	if (seen)
		return 0;
	err = pinrxe_ring_doorbell(qp);
	if (unlikely(err))
		*bad = first;
	return err;
}
