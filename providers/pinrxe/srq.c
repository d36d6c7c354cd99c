// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Shared receive queues. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pinrxe.h"
#include "pinrxe-abi.h"

struct ibv_srq *pinrxe_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	struct pinrxe_create_srq_cmd_resp resp = {};
	struct ibv_create_srq cmd;
	struct pinrxe_srq *srq;
	int err;

	srq = calloc(1, sizeof(*srq));
	if (!srq)
		return NULL;
	err = ibv_cmd_create_srq(pd, &srq->vsrq.srq, attr, &cmd, sizeof(cmd),
				 &resp.ibv_resp, sizeof(resp));
	if (err)
		goto free_srq;
	srq->rq.max_sge = attr->attr.max_sge;
	srq->vsrq.srq_type = IBV_SRQT_BASIC;
	srq->vsrq.srq_num = resp.srq_num;
	pinrxe_lock_init(&srq->rq.lock, pinrxe_single_threaded(pd));
	err = pinrxe_ring_map(&srq->rq.ring, pd->context->cmd_fd, &resp.mi,
			      pinrxe_recv_slot_size(srq->rq.max_sge));
	if (err) {
		pinrxe_err(pd->context, "cannot map the ring of an SRQ: %s\n",
			   strerror(err));
		ibv_cmd_destroy_srq(&srq->vsrq.srq);
		goto free_srq;
	}
	return &srq->vsrq.srq;

free_srq:
	free(srq);
	errno = err;
	return NULL;
}

/* The kernel's driver has the basic type only. */
struct ibv_srq *pinrxe_create_srq_ex(struct ibv_context *context,
				     struct ibv_srq_init_attr_ex *attr)
{
	struct ibv_srq_init_attr basic = { .srq_context = attr->srq_context,
					   .attr = attr->attr };
	struct ibv_srq *srq;

	(void)context;
	if (!check_comp_mask(attr->comp_mask,
			     IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD) ||
	    (attr->comp_mask & IBV_SRQ_INIT_ATTR_TYPE &&
	     attr->srq_type != IBV_SRQT_BASIC)) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	if (!(attr->comp_mask & IBV_SRQ_INIT_ATTR_PD) || !attr->pd) {
		errno = EINVAL;
		return NULL;
	}
	srq = pinrxe_create_srq(attr->pd, &basic);
	if (srq)
		attr->attr = basic.attr;
	return srq;
}

/*
 * A resize: the kernel moves what is posted to the new ring and counts its slots from 0, so
 * the producer index that it has written there is the number of them. Nobody may post
 * meanwhile.
 */
static int resize(struct pinrxe_srq *srq, struct ibv_srq_attr *attr, int mask)
{
	struct ibv_context *context = srq->vsrq.srq.context;
	struct pinrxe_ring *ring = &srq->rq.ring;
	struct pinrxe_modify_srq_cmd cmd = {};
	struct mminfo info = {};
	struct pinrxe_ring old;
	size_t size;
	void *area;
	int err;

	err = pinrxe_ring_reserve(ring, attr->max_wr, &area, &size);
	if (err)
		return err;
	cmd.mmap_info_addr = (uintptr_t)&info;
	err = ibv_cmd_modify_srq(&srq->vsrq.srq, attr, mask, &cmd.ibv_cmd, sizeof(cmd));
	if (err) {
		pinrxe_ring_release(area, size);
		return err;
	}
	err = pinrxe_ring_replace(ring, context->cmd_fd, &info, area, size, &old);
	if (err) {
		pinrxe_err(context, "SRQ lost: cannot map its new ring: %s\n",
			   strerror(err));
		return err;
	}
	ring->own = pinrxe_load_index(&ring->buf->producer_index) & ring->mask;
	ring->other = 0;
	pinrxe_ring_unmap(&old);
	return 0;
}

int pinrxe_modify_srq(struct ibv_srq *base, struct ibv_srq_attr *attr, int mask)
{
	struct pinrxe_modify_srq_cmd cmd = {};
	struct pinrxe_srq *srq = to_srq(base);
	int err;

	if (!(mask & IBV_SRQ_MAX_WR))
		return ibv_cmd_modify_srq(base, attr, mask, &cmd.ibv_cmd, sizeof(cmd));
	pinrxe_lock(&srq->rq.lock);
	err = resize(srq, attr, mask);
	pinrxe_unlock(&srq->rq.lock);
	return err;
}

int pinrxe_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr)
{
	struct ibv_query_srq cmd;

	return ibv_cmd_query_srq(srq, attr, &cmd, sizeof(cmd));
}

int pinrxe_destroy_srq(struct ibv_srq *base)
{
	struct pinrxe_srq *srq = to_srq(base);
	int err = ibv_cmd_destroy_srq(base);

	if (err)
		return err;
	pinrxe_ring_unmap(&srq->rq.ring);
	free(srq);
	return 0;
}

int pinrxe_get_srq_num(struct ibv_srq *srq, uint32_t *num)
{
	*num = to_srq(srq)->vsrq.srq_num;
	return 0;
}
