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

#define PINRXE_BIT(opcode) (UINT32_C(1) << (opcode))

#define PINRXE_UD_OPCODES (PINRXE_BIT(IBV_WR_SEND) | PINRXE_BIT(IBV_WR_SEND_WITH_IMM))
#define PINRXE_UC_OPCODES                                                                      \
	(PINRXE_UD_OPCODES | PINRXE_BIT(IBV_WR_RDMA_WRITE) |                                   \
	 PINRXE_BIT(IBV_WR_RDMA_WRITE_WITH_IMM) | PINRXE_BIT(IBV_WR_BIND_MW))
#define PINRXE_RC_OPCODES                                                                      \
	(PINRXE_UC_OPCODES | PINRXE_BIT(IBV_WR_RDMA_READ) |                                    \
	 PINRXE_BIT(IBV_WR_ATOMIC_CMP_AND_SWP) | PINRXE_BIT(IBV_WR_ATOMIC_FETCH_AND_ADD) |     \
	 PINRXE_BIT(IBV_WR_SEND_WITH_INV) | PINRXE_BIT(IBV_WR_LOCAL_INV) |                    \
	 PINRXE_BIT(PINRXE_WR_FLUSH) | PINRXE_BIT(PINRXE_WR_ATOMIC_WRITE))
#define PINRXE_INLINE_OPCODES                                                                  \
	(PINRXE_BIT(IBV_WR_SEND) | PINRXE_BIT(IBV_WR_SEND_WITH_IMM) |                          \
	 PINRXE_BIT(IBV_WR_SEND_WITH_INV) | PINRXE_BIT(IBV_WR_RDMA_WRITE) |                    \
	 PINRXE_BIT(IBV_WR_RDMA_WRITE_WITH_IMM))

static inline void pinrxe_wqe_start(struct rxe_send_wqe *wqe, uint64_t wr_id, uint32_t opcode,
				    uint32_t flags)
{
	wqe->wr.wr_id = wr_id;
	wqe->wr.opcode = opcode;
	wqe->wr.send_flags = flags;
	/* what the kernel expects of an entry that it has not begun: posted, no error yet */
	wqe->status = 0;
	wqe->state = 0;
	wqe->has_rd_atomic = 0;
}

static inline void pinrxe_wqe_rdma(struct rxe_send_wqe *wqe, uint64_t addr, uint32_t rkey)
{
	wqe->wr.wr.rdma.remote_addr = addr;
	wqe->wr.wr.rdma.rkey = rkey;
	wqe->iova = addr;
}

static inline void pinrxe_wqe_atomic(struct rxe_send_wqe *wqe, uint64_t addr, uint32_t rkey,
				     uint64_t compare_add, uint64_t swap)
{
	wqe->wr.wr.atomic.remote_addr = addr;
	wqe->wr.wr.atomic.compare_add = compare_add;
	wqe->wr.wr.atomic.swap = swap;
	wqe->wr.wr.atomic.rkey = rkey;
	wqe->iova = addr;
}

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

#endif
