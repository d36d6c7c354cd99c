// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * ibv_wr_*(): requests are built in the ring and published together by wr_complete().
 *
 * After an error the batch goes on being built, but is not published. If the ring is full
 * it is built in the slot that always stays free, since a ring of 2^n slots holds one less:
 * so requests and setters have a place to write to at any time and need not test for errors.
 */
#include <config.h>

#include <assert.h>
#include <errno.h>

#include "pinrxedv.h"
#include "send.h"

static void wr_start(struct ibv_qp_ex *base)
{
	struct pinrxe_qp *qp = qp_ex_to_qp(base);

	pinrxe_lock(&qp->sq_lock);
	qp->building = qp->sq.own;
	qp->wqe = pinrxe_slot(&qp->sq, qp->building);
	qp->wr_err = likely(base->qp_base.state >= IBV_QPS_RTS) ? 0 : EINVAL;
}

static int wr_complete(struct ibv_qp_ex *base)
{
	struct pinrxe_qp *qp = qp_ex_to_qp(base);
	int err = qp->wr_err;
	bool seen;

	if (unlikely(err)) {
		pinrxe_unlock(&qp->sq_lock);
		return err;
	}
	seen = pinrxe_publish_send(qp, qp->building);
	pinrxe_unlock(&qp->sq_lock);
	return seen ? 0 : pinrxe_ring_doorbell(qp);
}

static void wr_abort(struct ibv_qp_ex *base)
{
	pinrxe_unlock(&qp_ex_to_qp(base)->sq_lock);
}

/* "building" is the slot of the next request: the free one when the ring is full. */
static inline struct rxe_send_wqe *begin(struct ibv_qp_ex *base, uint32_t opcode)
{
	struct pinrxe_qp *qp = qp_ex_to_qp(base);
	struct rxe_send_wqe *wqe = pinrxe_slot(&qp->sq, qp->building);

	if (unlikely(pinrxe_full(&qp->sq, qp->building)))
		qp->wr_err = ENOMEM;
	else
		qp->building = pinrxe_next(&qp->sq, qp->building);
	qp->wqe = wqe;
	/* inline is told by wr_set_inline_data() */
	pinrxe_wqe_start(wqe, base->wr_id, opcode, base->wr_flags & ~IBV_SEND_INLINE);
	/* a request may be left without data */
	pinrxe_init_dma(&wqe->dma, 0, 0);
	return wqe;
}

static inline void fail_batch(struct ibv_qp_ex *base, int err)
{
	qp_ex_to_qp(base)->wr_err = err;
}

static inline void set_length(struct rxe_send_wqe *wqe, uint32_t length)
{
	wqe->dma.length = length;
	wqe->dma.resid = length;
}

static void wr_send(struct ibv_qp_ex *base)
{
	begin(base, IBV_WR_SEND);
}

static void wr_send_imm(struct ibv_qp_ex *base, __be32 imm)
{
	begin(base, IBV_WR_SEND_WITH_IMM)->wr.ex.imm_data = imm;
}

static void wr_send_inv(struct ibv_qp_ex *base, uint32_t rkey)
{
	begin(base, IBV_WR_SEND_WITH_INV)->wr.ex.invalidate_rkey = rkey;
}

static void wr_rdma_write(struct ibv_qp_ex *base, uint32_t rkey, uint64_t addr)
{
	pinrxe_wqe_rdma(begin(base, IBV_WR_RDMA_WRITE), addr, rkey);
}

static void wr_rdma_write_imm(struct ibv_qp_ex *base, uint32_t rkey, uint64_t addr,
			      __be32 imm)
{
	struct rxe_send_wqe *wqe = begin(base, IBV_WR_RDMA_WRITE_WITH_IMM);

	wqe->wr.ex.imm_data = imm;
	pinrxe_wqe_rdma(wqe, addr, rkey);
}

static void wr_rdma_read(struct ibv_qp_ex *base, uint32_t rkey, uint64_t addr)
{
	pinrxe_wqe_rdma(begin(base, IBV_WR_RDMA_READ), addr, rkey);
}

static void atomic(struct ibv_qp_ex *base, uint32_t opcode, uint32_t rkey, uint64_t addr,
		   uint64_t compare_add, uint64_t swap)
{
	if (unlikely(addr & 7))
		fail_batch(base, EINVAL);
	pinrxe_wqe_atomic(begin(base, opcode), addr, rkey, compare_add, swap);
}

static void wr_atomic_cmp_swp(struct ibv_qp_ex *base, uint32_t rkey, uint64_t addr,
			      uint64_t compare, uint64_t swap)
{
	atomic(base, IBV_WR_ATOMIC_CMP_AND_SWP, rkey, addr, compare, swap);
}

static void wr_atomic_fetch_add(struct ibv_qp_ex *base, uint32_t rkey, uint64_t addr,
				uint64_t add)
{
	atomic(base, IBV_WR_ATOMIC_FETCH_AND_ADD, rkey, addr, add, 0);
}

static void wr_bind_mw(struct ibv_qp_ex *base, struct ibv_mw *mw, uint32_t rkey,
		       const struct ibv_mw_bind_info *info)
{
	pinrxe_local_operation(qp_ex_to_qp(base));
	pinrxe_wqe_bind(begin(base, IBV_WR_BIND_MW), mw, rkey, info);
}

static void wr_local_inv(struct ibv_qp_ex *base, uint32_t rkey)
{
	pinrxe_local_operation(qp_ex_to_qp(base));
	pinrxe_wqe_local_inv(begin(base, IBV_WR_LOCAL_INV), rkey);
}

/* The eight bytes travel in the entry: no memory region is needed for them. */
static void wr_atomic_write(struct ibv_qp_ex *base, uint32_t rkey, uint64_t addr,
			    const void *data)
{
	struct rxe_send_wqe *wqe = begin(base, PINRXE_WR_ATOMIC_WRITE);

	if (unlikely(addr & 7))
		fail_batch(base, EINVAL);
	pinrxe_wqe_rdma(wqe, addr, rkey);
	memcpy(wqe->dma.atomic_wr, data, 8);
	set_length(wqe, 8);
}

static void wr_flush(struct ibv_qp_ex *base, uint32_t rkey, uint64_t addr, size_t length,
		     uint8_t type, uint8_t level)
{
	struct rxe_send_wqe *wqe = begin(base, PINRXE_WR_FLUSH);
	struct pinrxe_wr_flush flush;

	if (unlikely(length > PINRXE_MAX_MESSAGE))
		fail_batch(base, EINVAL);
	flush = (struct pinrxe_wr_flush){ addr, length, rkey, type, level };
	memcpy(&wqe->wr.wr, &flush, sizeof(flush));
	wqe->iova = addr;
	/* nothing is sent, but the kernel takes the range from here */
	set_length(wqe, length);
}

static void wr_set_ud_addr(struct ibv_qp_ex *base, struct ibv_ah *ah, uint32_t qpn,
			   uint32_t qkey)
{
	pinrxe_wqe_ud(qp_ex_to_qp(base)->wqe, ah, qpn, qkey);
}

/* Any slot has room for one entry; the kernel refuses it if the QP was made for none. */
static_assert(sizeof(struct rxe_send_wqe) + sizeof(struct rxe_sge) <= 256, "slot");

static void wr_set_sge(struct ibv_qp_ex *base, uint32_t lkey, uint64_t addr,
		       uint32_t length)
{
	struct rxe_send_wqe *wqe = qp_ex_to_qp(base)->wqe;

	if (unlikely(length > PINRXE_MAX_MESSAGE))
		fail_batch(base, EINVAL);
	set_length(wqe, length);
	wqe->dma.num_sge = 1;
	wqe->dma.sge[0].addr = addr;
	wqe->dma.sge[0].length = length;
	wqe->dma.sge[0].lkey = lkey;
}

static void wr_set_sge_list(struct ibv_qp_ex *base, size_t n, const struct ibv_sge *list)
{
	struct pinrxe_qp *qp = qp_ex_to_qp(base);
	struct rxe_send_wqe *wqe = qp->wqe;
	uint64_t length;

	if (unlikely(n > qp->max_sge)) {
		fail_batch(base, EINVAL);
		return;
	}
	length = pinrxe_copy_sge(wqe->dma.sge, list, n);
	if (unlikely(length > PINRXE_MAX_MESSAGE))
		fail_batch(base, EINVAL);
	set_length(wqe, length);
	wqe->dma.num_sge = n;
}

static void wr_set_inline_data_list(struct ibv_qp_ex *base, size_t n,
				    const struct ibv_data_buf *list)
{
	struct pinrxe_qp *qp = qp_ex_to_qp(base);
	struct rxe_send_wqe *wqe = qp->wqe;
	uint8_t *to = wqe->dma.inline_data;
	size_t room = qp->max_inline;

	for (size_t i = 0; i < n; i++) {
		if (unlikely(list[i].length > room)) {
			fail_batch(base, ENOMEM);
			return;
		}
		if (!list[i].length)
			continue;
		memcpy(to, list[i].addr, list[i].length);
		to += list[i].length;
		room -= list[i].length;
	}
	wqe->wr.send_flags |= IBV_SEND_INLINE;
	set_length(wqe, qp->max_inline - room);
}

static void wr_set_inline_data(struct ibv_qp_ex *base, void *addr, size_t length)
{
	struct ibv_data_buf buf = { .addr = addr, .length = length };

	wr_set_inline_data_list(base, 1, &buf);
}

/*
 * struct ibv_qp_ex has grown within private ABI 34 (wr_flush came after rdma-core 44), and
 * libibverbs keeps a mask behind it, in struct verbs_qp: where that mask lies depends on the
 * libibverbs that runs, not on the headers that this was built with. It is found by asking:
 * the mask is where ibv_qp_to_qp_ex() takes notice. What lies behind it is not written to.
 */
enum {
	ROOM = sizeof(((struct pinrxe_qp *)0)->layout_room)
};

static size_t find_mask(void)
{
	struct {
		struct verbs_qp vqp;
		uint8_t room[ROOM];
	} probe;
	size_t offset = offsetof(struct ibv_qp_ex, wr_atomic_write);
	uint32_t mask = VERBS_QP_EX;

	for (; offset + sizeof(mask) <= sizeof(probe); offset += sizeof(void *)) {
		memset(&probe, 0, sizeof(probe));
		memcpy((uint8_t *)&probe + offset, &mask, sizeof(mask));
		if (ibv_qp_to_qp_ex(&probe.vqp.qp))
			return offset;
	}
	return 0;
}

/* 0: not found. Threads that get here together find the same. */
static size_t mask_offset(void)
{
	static atomic_size_t known;
	size_t offset = atomic_load_explicit(&known, memory_order_relaxed);

	if (!offset) {
		offset = find_mask();
		atomic_store_explicit(&known, offset, memory_order_relaxed);
	}
	return offset;
}

enum {
	WR_FLUSH_OFFSET = offsetof(struct ibv_qp_ex, wr_atomic_write) + sizeof(void *)
};

static const struct {
	uint64_t send_op;
	uint32_t opcode;
} send_ops[] = {
	{ IBV_QP_EX_WITH_RDMA_WRITE, IBV_WR_RDMA_WRITE },
	{ IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM, IBV_WR_RDMA_WRITE_WITH_IMM },
	{ IBV_QP_EX_WITH_SEND, IBV_WR_SEND },
	{ IBV_QP_EX_WITH_SEND_WITH_IMM, IBV_WR_SEND_WITH_IMM },
	{ IBV_QP_EX_WITH_RDMA_READ, IBV_WR_RDMA_READ },
	{ IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_CMP_AND_SWP },
	{ IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD, IBV_WR_ATOMIC_FETCH_AND_ADD },
	{ IBV_QP_EX_WITH_LOCAL_INV, IBV_WR_LOCAL_INV },
	{ IBV_QP_EX_WITH_BIND_MW, IBV_WR_BIND_MW },
	{ IBV_QP_EX_WITH_SEND_WITH_INV, IBV_WR_SEND_WITH_INV },
	{ PINRXE_QP_EX_WITH_FLUSH, PINRXE_WR_FLUSH },
	{ PINRXE_QP_EX_WITH_ATOMIC_WRITE, PINRXE_WR_ATOMIC_WRITE },
};

bool pinrxe_qp_ex_possible(uint32_t opcodes, uint64_t wanted)
{
	size_t offset = mask_offset();

	if (!offset)
		return false;
	if (wanted & PINRXE_QP_EX_WITH_FLUSH && offset <= WR_FLUSH_OFFSET)
		return false;
	for (size_t i = 0; i < sizeof(send_ops) / sizeof(send_ops[0]); i++)
		if (opcodes & PINRXE_BIT(send_ops[i].opcode))
			wanted &= ~send_ops[i].send_op;
	return !wanted;
}

static void fill_requests(struct ibv_qp_ex *ex, uint64_t wanted)
{
	if (wanted & IBV_QP_EX_WITH_RDMA_WRITE)
		ex->wr_rdma_write = wr_rdma_write;
	if (wanted & IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM)
		ex->wr_rdma_write_imm = wr_rdma_write_imm;
	if (wanted & IBV_QP_EX_WITH_SEND)
		ex->wr_send = wr_send;
	if (wanted & IBV_QP_EX_WITH_SEND_WITH_IMM)
		ex->wr_send_imm = wr_send_imm;
	if (wanted & IBV_QP_EX_WITH_RDMA_READ)
		ex->wr_rdma_read = wr_rdma_read;
	if (wanted & IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP)
		ex->wr_atomic_cmp_swp = wr_atomic_cmp_swp;
	if (wanted & IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD)
		ex->wr_atomic_fetch_add = wr_atomic_fetch_add;
	if (wanted & IBV_QP_EX_WITH_LOCAL_INV)
		ex->wr_local_inv = wr_local_inv;
	if (wanted & IBV_QP_EX_WITH_BIND_MW)
		ex->wr_bind_mw = wr_bind_mw;
	if (wanted & IBV_QP_EX_WITH_SEND_WITH_INV)
		ex->wr_send_inv = wr_send_inv;
	if (wanted & PINRXE_QP_EX_WITH_ATOMIC_WRITE)
		ex->wr_atomic_write = wr_atomic_write;
}

void pinrxe_fill_qp_ex(struct pinrxe_qp *qp, uint64_t wanted)
{
	void (*flush)(struct ibv_qp_ex *, uint32_t, uint64_t, size_t, uint8_t, uint8_t);
	struct ibv_qp_ex *ex = &qp->vqp.qp_ex;
	uint32_t mask = VERBS_QP_EX;

	fill_requests(ex, wanted);
	ex->wr_start = wr_start;
	ex->wr_complete = wr_complete;
	ex->wr_abort = wr_abort;
	ex->wr_set_sge = wr_set_sge;
	ex->wr_set_sge_list = wr_set_sge_list;
	ex->wr_set_inline_data = wr_set_inline_data;
	ex->wr_set_inline_data_list = wr_set_inline_data_list;
	if (qp->ud)
		ex->wr_set_ud_addr = wr_set_ud_addr;
	if (wanted & PINRXE_QP_EX_WITH_FLUSH) {
		flush = wr_flush;
		memcpy((uint8_t *)ex + WR_FLUSH_OFFSET, &flush, sizeof(flush));
	}
	memcpy((uint8_t *)&qp->vqp + mask_offset(), &mask, sizeof(mask));
}

/* --- direct verbs: for a libibverbs that lacks these requests */

static int check_dv(struct ibv_qp_ex *ex, uint32_t opcode)
{
	if (ex->wr_start != wr_start)
		return EOPNOTSUPP;
	return qp_ex_to_qp(ex)->opcodes & PINRXE_BIT(opcode) ? 0 : EOPNOTSUPP;
}

int pinrxedv_wr_flush(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t remote_addr,
		      size_t length, uint8_t type, uint8_t level)
{
	int err = check_dv(ex, PINRXE_WR_FLUSH);

	if (err)
		return err;
	wr_flush(ex, rkey, remote_addr, length, type, level);
	return qp_ex_to_qp(ex)->wr_err;
}

int pinrxedv_wr_atomic_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t remote_addr,
			     const void *data)
{
	int err = check_dv(ex, PINRXE_WR_ATOMIC_WRITE);

	if (err)
		return err;
	wr_atomic_write(ex, rkey, remote_addr, data);
	return qp_ex_to_qp(ex)->wr_err;
}
