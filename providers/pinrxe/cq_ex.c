// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Extended completion queues: the entry is read where the kernel has put it. */
#include <config.h>

#include <errno.h>

#include "cq.h"

/*
 * The CQ's lock stays held meanwhile; who waits for it waits for the application as well. As the
 * kernel has the QP in error, that is once.
 */
static __attribute__((noinline)) int entry_failed(struct pinrxe_cq *cq)
{
	pinrxe_qp_failed(cq->vcq.cq.context, cq->current->qp_num);
	return 0;
}

static inline int load_entry(struct pinrxe_cq *cq, uint32_t index)
{
	const struct ib_uverbs_wc *wc = pinrxe_slot(&cq->ring, index);

	cq->current = wc;
	cq->vcq.cq_ex.wr_id = wc->wr_id;
	cq->vcq.cq_ex.status = wc->status;
	if (unlikely(cq->vcq.cq_ex.status != IBV_WC_SUCCESS))
		return entry_failed(cq);
	return 0;
}

static int start_poll(struct ibv_cq_ex *base, struct ibv_poll_cq_attr *attr)
{
	struct pinrxe_cq *cq = cq_ex_to_cq(base);
	struct pinrxe_ring *ring = &cq->ring;
	uint32_t producer;

	if (unlikely(attr->comp_mask))
		return EINVAL;
	if (pinrxe_cq_seems_empty(cq))
		return unlikely(pinrxe_cq_idle(cq)) ? EIO : ENOENT;
	pinrxe_lock(&cq->lock);
	producer = pinrxe_load_index(&ring->buf->producer_index) & ring->mask;
	if (unlikely(producer == ring->own)) {
		pinrxe_unlock(&cq->lock);
		return ENOENT;
	}
	ring->other = producer;
	return load_entry(cq, ring->own);
}

/* The lock is held. The kernel gets the entries back all at once, in end_poll(). */
static int next_poll(struct ibv_cq_ex *base)
{
	struct pinrxe_cq *cq = cq_ex_to_cq(base);
	struct pinrxe_ring *ring = &cq->ring;
	uint32_t next;

	next = pinrxe_next(ring, ring->own);
	if (next == ring->other) {
		ring->other = pinrxe_load_index(&ring->buf->producer_index) & ring->mask;
		if (next == ring->other)
			return ENOENT;
	}
	pinrxe_cq_set_own(cq, next);
	return load_entry(cq, next);
}

static void end_poll(struct ibv_cq_ex *base)
{
	struct pinrxe_cq *cq = cq_ex_to_cq(base);
	uint32_t next = pinrxe_next(&cq->ring, cq->ring.own);

	pinrxe_cq_set_own(cq, next);
	pinrxe_store_index(&cq->ring.buf->consumer_index, next);
	pinrxe_unlock(&cq->lock);
}

static enum ibv_wc_opcode read_opcode(struct ibv_cq_ex *cq)
{
	return cq_ex_to_cq(cq)->current->opcode;
}

static uint32_t read_vendor_err(struct ibv_cq_ex *cq)
{
	return cq_ex_to_cq(cq)->current->vendor_err;
}

static uint32_t read_byte_len(struct ibv_cq_ex *cq)
{
	return cq_ex_to_cq(cq)->current->byte_len;
}

static __be32 read_imm_data(struct ibv_cq_ex *cq)
{
	/* immediate data or the invalidated key, by the flags */
	return cq_ex_to_cq(cq)->current->ex.imm_data;
}

static uint32_t read_qp_num(struct ibv_cq_ex *cq)
{
	return cq_ex_to_cq(cq)->current->qp_num;
}

static uint32_t read_src_qp(struct ibv_cq_ex *cq)
{
	return cq_ex_to_cq(cq)->current->src_qp;
}

static unsigned int read_wc_flags(struct ibv_cq_ex *cq)
{
	return pinrxe_wc_flags(cq_ex_to_cq(cq)->current->wc_flags);
}

static uint32_t read_slid(struct ibv_cq_ex *cq)
{
	return cq_ex_to_cq(cq)->current->slid;
}

static uint8_t read_sl(struct ibv_cq_ex *cq)
{
	return cq_ex_to_cq(cq)->current->sl;
}

static uint8_t read_dlid_path_bits(struct ibv_cq_ex *cq)
{
	return cq_ex_to_cq(cq)->current->dlid_path_bits;
}

void pinrxe_fill_cq_ex(struct pinrxe_cq *cq, uint64_t wc_flags)
{
	struct ibv_cq_ex *ex = &cq->vcq.cq_ex;

	ex->start_poll = start_poll;
	ex->next_poll = next_poll;
	ex->end_poll = end_poll;
	ex->read_opcode = read_opcode;
	ex->read_vendor_err = read_vendor_err;
	ex->read_wc_flags = read_wc_flags;
	if (wc_flags & IBV_WC_EX_WITH_BYTE_LEN)
		ex->read_byte_len = read_byte_len;
	if (wc_flags & IBV_WC_EX_WITH_IMM)
		ex->read_imm_data = read_imm_data;
	if (wc_flags & IBV_WC_EX_WITH_QP_NUM)
		ex->read_qp_num = read_qp_num;
	if (wc_flags & IBV_WC_EX_WITH_SRC_QP)
		ex->read_src_qp = read_src_qp;
	if (wc_flags & IBV_WC_EX_WITH_SLID)
		ex->read_slid = read_slid;
	if (wc_flags & IBV_WC_EX_WITH_SL)
		ex->read_sl = read_sl;
	if (wc_flags & IBV_WC_EX_WITH_DLID_PATH_BITS)
		ex->read_dlid_path_bits = read_dlid_path_bits;
}
