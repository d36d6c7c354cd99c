// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Completion queues: making, resizing and polling them. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cq.h"
#include "pinrxe.h"
#include "pinrxe-abi.h"

/* The kernel writes completions as uverbs defines them: what ibv_poll_cq() hands out. */
#define SAME_PLACE(kernel, verbs)                              \
	static_assert(offsetof(struct ib_uverbs_wc, kernel) == \
			      offsetof(struct ibv_wc, verbs),  \
		      "completions need a conversion")
SAME_PLACE(wr_id, wr_id);
SAME_PLACE(status, status);
SAME_PLACE(opcode, opcode);
SAME_PLACE(vendor_err, vendor_err);
SAME_PLACE(byte_len, byte_len);
SAME_PLACE(ex, imm_data);
SAME_PLACE(qp_num, qp_num);
SAME_PLACE(src_qp, src_qp);
SAME_PLACE(wc_flags, wc_flags);
SAME_PLACE(pkey_index, pkey_index);
SAME_PLACE(slid, slid);
SAME_PLACE(sl, sl);
SAME_PLACE(dlid_path_bits, dlid_path_bits);
static_assert(sizeof(struct ib_uverbs_wc) == sizeof(struct ibv_wc), "completions differ");

static struct pinrxe_cq *new_cq(struct ibv_context *context, int cqe,
				struct ibv_comp_channel *channel, int vector,
				bool one_thread)
{
	struct pinrxe_create_cq_cmd_resp resp = {};
	struct pinrxe_create_cq_cmd cmd = {};
	struct pinrxe_cq *cq;
	int err;

	cq = calloc(1, sizeof(*cq));
	if (!cq)
		return NULL;
	pinrxe_lock_init(&cq->lock, one_thread);
	err = ibv_cmd_create_cq(context, cqe, channel, vector, &cq->vcq.cq, &cmd.ibv_cmd,
				sizeof(cmd), &resp.ibv_resp, sizeof(resp));
	if (err)
		goto free_cq;
	err = pinrxe_ring_map(&cq->ring, context->cmd_fd, &resp.mi,
			      sizeof(struct ib_uverbs_wc));
	if (err) {
		pinrxe_err(context, "cannot map the ring of a CQ of %d entries: %s\n",
			   cqe, strerror(err));
		ibv_cmd_destroy_cq(&cq->vcq.cq);
		goto free_cq;
	}
	return cq;

free_cq:
	free(cq);
	errno = err;
	return NULL;
}

struct ibv_cq *pinrxe_create_cq(struct ibv_context *context, int cqe,
				struct ibv_comp_channel *channel, int vector)
{
	struct pinrxe_cq *cq = new_cq(context, cqe, channel, vector, false);

	return cq ? &cq->vcq.cq : NULL;
}

struct ibv_cq_ex *pinrxe_create_cq_ex(struct ibv_context *context,
				      struct ibv_cq_init_attr_ex *attr)
{
	bool one_thread = false;
	struct pinrxe_cq *cq;

	/* no time stamps, VLAN, flow tags and tag matching in Soft-RoCE */
	if (!check_comp_mask(attr->comp_mask,
			     IBV_CQ_INIT_ATTR_MASK_FLAGS | IBV_CQ_INIT_ATTR_MASK_PD) ||
	    !check_comp_mask(attr->wc_flags, IBV_WC_STANDARD_FLAGS)) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	if (attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) {
		/* the kernel stops at a full ring: overruns cannot be ignored */
		if (attr->flags & ~IBV_CREATE_CQ_ATTR_SINGLE_THREADED) {
			errno = EOPNOTSUPP;
			return NULL;
		}
		one_thread = attr->flags & IBV_CREATE_CQ_ATTR_SINGLE_THREADED;
	}
	if (attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD) {
		if (!attr->parent_domain || !to_pd(attr->parent_domain)->contained) {
			errno = EINVAL;
			return NULL;
		}
		one_thread |= pinrxe_single_threaded(attr->parent_domain);
	}
	cq = new_cq(context, attr->cqe, attr->channel, attr->comp_vector, one_thread);
	if (!cq)
		return NULL;
	pinrxe_fill_cq_ex(cq, attr->wc_flags);
	return &cq->vcq.cq_ex;
}

/*
 * A thread may be about to look at the header of a ring that has been replaced, so its
 * address must stay good. The kernel's page is exchanged for one of ours, and that holds
 * the link to the next of them.
 */
struct retired {
	struct retired *next;
	size_t size; /* what is mapped: a page, unless munmap() had no memory */
};

static void retire_ring(struct pinrxe_cq *cq, const struct pinrxe_ring *old)
{
	struct retired *page = (void *)old->buf;
	size_t length = sysconf(_SC_PAGESIZE), size = old->size;
	unsigned char there;

	if (size > length && !munmap((uint8_t *)page + length, size - length))
		size = length;
	/*
	 * Should it fail, the kernel's page, which it uses no more, serves as well. But a kernel
	 * that has no memory in the middle of this leaves nothing there.
	 */
	while (mmap(page, length, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
		if (!mincore(page, length, &there))
			break;
	}
	page->next = cq->retired;
	page->size = size;
	cq->retired = page;
}

static void free_retired(struct retired *page)
{
	struct retired *next;

	for (; page; page = next) {
		next = page->next;
		munmap(page, page->size);
	}
}

/*
 * The kernel moves what is left to the new ring, from our consumer index on, so no other
 * thread may poll meanwhile: the lock is held throughout.
 */
int pinrxe_resize_cq(struct ibv_cq *base, int cqe)
{
	struct pinrxe_resize_cq_cmd_resp resp = {};
	struct pinrxe_resize_cq_cmd cmd = {};
	struct pinrxe_cq *cq = to_cq(base);
	struct ibv_context *context = base->context;
	struct pinrxe_ring old;
	size_t size;
	void *area;
	int err;

	if (cqe <= 0)
		return EINVAL;
	pinrxe_lock(&cq->lock);
	err = pinrxe_ring_reserve(&cq->ring, cqe, &area, &size);
	if (err)
		goto unlock;
	err = ibv_cmd_resize_cq(base, cqe, &cmd.ibv_cmd, sizeof(cmd), &resp.ibv_resp,
				sizeof(resp));
	if (err) {
		pinrxe_ring_release(area, size);
		goto unlock;
	}
	err = pinrxe_ring_replace(&cq->ring, context->cmd_fd, &resp.mi, area, size, &old);
	if (err) {
		pinrxe_err(context, "CQ lost: cannot map its new ring: %s\n",
			   strerror(err));
		goto unlock;
	}
	/* the kernel numbers the entries of a new ring from 0 */
	pinrxe_cq_set_own(cq, 0);
	retire_ring(cq, &old);
unlock:
	pinrxe_unlock(&cq->lock);
	return err;
}

int pinrxe_destroy_cq(struct ibv_cq *base)
{
	struct pinrxe_cq *cq = to_cq(base);
	int err = ibv_cmd_destroy_cq(base);

	if (err)
		return err;
	pinrxe_ring_unmap(&cq->ring);
	free_retired(cq->retired);
	free(cq);
	return 0;
}

/* By the cheapest question that there is. The answer stays: then each empty poll asks. */
int pinrxe_cq_look(struct pinrxe_cq *cq)
{
	struct ib_uverbs_query_device_resp resp;
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_query_device cmd;
	} question = {
		.hdr = { .command = IB_USER_VERBS_CMD_QUERY_DEVICE,
			 .in_words = sizeof(question) / 4,
			 .out_words = sizeof(resp) / 4 },
		.cmd = { .response = (uintptr_t)&resp },
	};

	if (write(cq->vcq.cq.context->cmd_fd, &question, sizeof(question)) < 0 &&
	    errno == EIO)
		return pinrxe_cq_seems_empty(cq) ? -EIO : 0;
	__atomic_store_n(&cq->idle_polls, 0, __ATOMIC_RELAXED);
	return 0;
}

static inline void give_back(struct pinrxe_cq *cq, uint32_t consumer)
{
	pinrxe_cq_set_own(cq, consumer);
	pinrxe_store_index(&cq->ring.buf->consumer_index, consumer);
	pinrxe_unlock(&cq->lock);
}

/*
 * Goes on where take() has copied as its entry @i one that is not handed out as it is: an error, of which, before
 * the application can act on it, must be known that what it posts to that QP is flushed; or flags of the kernel's.
 */
static __attribute__((noinline)) int
take_rest(struct pinrxe_cq *cq, int n, struct ibv_wc *last, int i, uint32_t consumer)
{
	struct pinrxe_ring *ring = &cq->ring;
	uint32_t producer = pinrxe_load_index(&ring->buf->producer_index) & ring->mask;
	struct ibv_wc *wc = last - i;

	for (i++; i < n && consumer != producer; i++) {
		memcpy(&wc[i], pinrxe_slot(ring, consumer), sizeof(*wc));
		consumer = pinrxe_next(ring, consumer);
	}
	give_back(cq, consumer);
	for (n = 0; n < i; n++) {
		wc[n].wc_flags = pinrxe_wc_flags(wc[n].wc_flags);
		if (wc[n].status != IBV_WC_SUCCESS)
			pinrxe_qp_failed(cq->vcq.cq.context, wc[n].qp_num);
	}
	return i;
}

static inline int take(struct pinrxe_cq *cq, int n, struct ibv_wc *wc)
{
	struct pinrxe_ring *ring = &cq->ring;
	uint32_t consumer = ring->own;
	uint32_t mask = ring->mask;
	uint32_t producer;
	int i;

	producer = pinrxe_load_index(&ring->buf->producer_index) & mask;
	for (i = 0; i < n && consumer != producer; i++, wc++) {
		memcpy(wc, pinrxe_slot(ring, consumer), sizeof(*wc));
		consumer = (consumer + 1) & mask;
		if (unlikely(wc->status | (wc->wc_flags & PINRXE_KERNEL_WITH_INV)))
			return take_rest(cq, n, wc, i, consumer);
	}
	give_back(cq, consumer);
	return i;
}

static __attribute__((noinline)) int wait_and_take(struct pinrxe_cq *cq, int n,
						   struct ibv_wc *wc)
{
	pinrxe_lock_wait(&cq->lock);
	return take(cq, n, wc);
}

int pinrxe_poll_cq(struct ibv_cq *base, int n, struct ibv_wc *wc)
{
	struct pinrxe_cq *cq = to_cq(base);

	if (pinrxe_cq_seems_empty(cq))
		return pinrxe_cq_idle(cq);
	if (unlikely(!pinrxe_trylock(&cq->lock)))
		return wait_and_take(cq, n, wc);
	return take(cq, n, wc);
}

/*
 * Takes the completions of a QP out: what is left over from before it was reset must not be
 * taken for something that it does afterwards. Entries between our index and the kernel's
 * are ours alone; those kept move towards the kernel's end, in their order.
 */
void pinrxe_cq_clean(struct pinrxe_cq *cq, uint32_t qp_num)
{
	struct pinrxe_ring *ring = &cq->ring;
	uint32_t from, to;

	pinrxe_lock(&cq->lock);
	from = to = pinrxe_load_index(&ring->buf->producer_index) & ring->mask;
	while (from != ring->own) {
		const struct ib_uverbs_wc *wc;

		from = (from - 1) & ring->mask;
		wc = pinrxe_slot(ring, from);
		if (wc->qp_num == qp_num)
			continue;
		to = (to - 1) & ring->mask;
		if (to != from)
			memcpy(pinrxe_slot(ring, to), wc, sizeof(*wc));
	}
	pinrxe_cq_set_own(cq, to);
	pinrxe_store_index(&ring->buf->consumer_index, to);
	pinrxe_unlock(&cq->lock);
}
