/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Send work queue entries, as ibv_post_send(), ibv_wr_*() and pinrxedv_wr_*() fill them. */
#ifndef PINRXE_SEND_H
#define PINRXE_SEND_H

#include "wqe.h"

/* Of enum ibv_wr_opcode of later releases: the kernel's numbers. */
enum {
	PINRXE_WR_FLUSH = 14,
	PINRXE_WR_ATOMIC_WRITE = 15,
};

/* rxe_send_wr.wr.flush, which headers before Linux 6.3 do not have */
struct pinrxe_wr_flush {
	__aligned_u64 remote_addr;
	__u32 length;
	__u32 rkey;
	__u8 type;
	__u8 level;
};

#define PINRXE_BIT(opcode) (UINT32_C(1) << (opcode))

#define PINRXE_UD_OPCODES (PINRXE_BIT(IBV_WR_SEND) | PINRXE_BIT(IBV_WR_SEND_WITH_IMM))
#define PINRXE_UC_OPCODES                                    \
	(PINRXE_UD_OPCODES | PINRXE_BIT(IBV_WR_RDMA_WRITE) | \
	 PINRXE_BIT(IBV_WR_RDMA_WRITE_WITH_IMM) | PINRXE_BIT(IBV_WR_BIND_MW))
#define PINRXE_RC_OPCODES                                                             \
	(PINRXE_UC_OPCODES | PINRXE_BIT(IBV_WR_RDMA_READ) |                           \
	 PINRXE_BIT(IBV_WR_ATOMIC_CMP_AND_SWP) |                                      \
	 PINRXE_BIT(IBV_WR_ATOMIC_FETCH_AND_ADD) | PINRXE_BIT(IBV_WR_SEND_WITH_INV) | \
	 PINRXE_BIT(IBV_WR_LOCAL_INV) | PINRXE_BIT(PINRXE_WR_FLUSH) |                 \
	 PINRXE_BIT(PINRXE_WR_ATOMIC_WRITE))
#define PINRXE_INLINE_OPCODES                                               \
	(PINRXE_BIT(IBV_WR_SEND) | PINRXE_BIT(IBV_WR_SEND_WITH_IMM) |       \
	 PINRXE_BIT(IBV_WR_SEND_WITH_INV) | PINRXE_BIT(IBV_WR_RDMA_WRITE) | \
	 PINRXE_BIT(IBV_WR_RDMA_WRITE_WITH_IMM))

/* What the kernel expects of an entry that it has not begun: posted, no error yet. */
static inline void pinrxe_wqe_reset(struct rxe_send_wqe *wqe)
{
	wqe->status = 0;
	wqe->state = 0;
	wqe->has_rd_atomic = 0;
}

static inline void pinrxe_wqe_start(struct rxe_send_wqe *wqe, uint64_t wr_id,
				    uint32_t opcode, uint32_t flags)
{
	wqe->wr.wr_id = wr_id;
	wqe->wr.opcode = opcode;
	wqe->wr.send_flags = flags;
	pinrxe_wqe_reset(wqe);
}

static inline void pinrxe_wqe_rdma(struct rxe_send_wqe *wqe, uint64_t addr, uint32_t rkey)
{
	wqe->wr.wr.rdma.remote_addr = addr;
	wqe->wr.wr.rdma.rkey = rkey;
	wqe->iova = addr;
}

static inline void pinrxe_wqe_atomic(struct rxe_send_wqe *wqe, uint64_t addr,
				     uint32_t rkey, uint64_t compare_add, uint64_t swap)
{
	wqe->wr.wr.atomic.remote_addr = addr;
	wqe->wr.wr.atomic.compare_add = compare_add;
	wqe->wr.wr.atomic.swap = swap;
	wqe->wr.wr.atomic.rkey = rkey;
	wqe->iova = addr;
}

/* Requests that fill_simple() may fill, see send.c. */
#define PINRXE_SIMPLE_OPCODES (PINRXE_INLINE_OPCODES | PINRXE_BIT(IBV_WR_RDMA_READ))

static inline void pinrxe_wqe_ud(struct rxe_send_wqe *wqe, const struct ibv_ah *ah,
				 uint32_t qpn, uint32_t qkey)
{
	wqe->wr.wr.ud.remote_qpn = qpn;
	wqe->wr.wr.ud.remote_qkey = qkey;
	wqe->wr.wr.ud.pkey_index = 0;
	wqe->wr.wr.ud.ah_num = to_ah(ah)->ah_num;
}

static inline void pinrxe_wqe_bind(struct rxe_send_wqe *wqe, const struct ibv_mw *mw,
				   uint32_t rkey, const struct ibv_mw_bind_info *info)
{
	wqe->wr.wr.mw.addr = info->addr;
	wqe->wr.wr.mw.length = info->length;
	wqe->wr.wr.mw.mr_lkey = info->mr ? info->mr->lkey : 0;
	wqe->wr.wr.mw.mw_rkey = mw->rkey;
	wqe->wr.wr.mw.rkey = rkey;
	wqe->wr.wr.mw.access = info->mw_access_flags;
	pinrxe_init_dma(&wqe->dma, 0, 0);
}

static inline void pinrxe_wqe_local_inv(struct rxe_send_wqe *wqe, uint32_t rkey)
{
	wqe->wr.ex.invalidate_rkey = rkey;
	pinrxe_init_dma(&wqe->dma, 0, 0);
}

/*
 * Publishes what has been filled. Returns true if the kernel need not be told, because
 * qp->coalesce earlier requests are not complete and it is certain to look by itself.
 *
 * The kernel (rxe_sender() of 6.12, rxe_requester() and rxe_completer() in turn) ends its
 * work on a send queue by loading our index and finding nothing new. Its index moves when a
 * request is completed, and after each move it loads ours again: so as long as requests
 * are seen that have not been completed, it is going to look. Seen: two stores, each
 * followed by a load of what the other side stores; the test is wrong if both loads can
 * miss the other's store. Ours is behind an exchange, which nothing passes. The kernel's is
 *  - of a QP at work: behind a spin lock taken since its store, a full barrier on x86;
 *  - of a QP in error, whose requests are flushed in a loop: only behind the lock of the CQ
 *    that was taken before the store. Its store before that one is certain to be visible.
 *    (Not if the CQ is full; but then completions get lost anyway.)
 * So the kernel's index may be seen one behind, and two earlier requests would be enough to
 * ask for; one is not. It is not so after local operations that had to wait for a request
 * before them: the kernel completes these without looking for new ones. So from the first of
 * them on every request has its doorbell, see pinrxe_local_operation().
 *
 * tests/provider/doorbell-model.c tries all interleavings of these loops with store buffers.
 * Other architectures' locks are no full barriers: there it stays off.
 */
static inline bool pinrxe_publish_send(struct pinrxe_qp *qp, uint32_t index)
{
	struct pinrxe_ring *ring = &qp->sq;
	uint32_t first = ring->own;
	uint32_t consumer;

	/* what was seen of the kernel's index last may be old: there are no more than that */
	if (((first - ring->other) & ring->mask) < qp->coalesce) {
		pinrxe_publish(ring, index);
		return false;
	}
	ring->own = index;
	atomic_exchange((_Atomic uint32_t *)&ring->buf->producer_index, index);
	consumer = atomic_load((const _Atomic uint32_t *)&ring->buf->consumer_index) &
		   ring->mask;
	ring->other = consumer;
	return ((first - consumer) & ring->mask) >= qp->coalesce;
}

/* Before a local operation is published; until the QP has been reset. */
static inline void pinrxe_local_operation(struct pinrxe_qp *qp)
{
	qp->coalesce = PINRXE_ALL_DOORBELLS;
}

#endif
