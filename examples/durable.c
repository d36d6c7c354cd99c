// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Writing and RDMA flush, for the examples. */
#include <errno.h>
#include <pinverbs.h>
#include "durable.h"

/* The region's access flags are not enough: the connection has to allow it too. */
int durable_offer(struct link *link, bool flush)
{
	struct ibv_qp_attr attr = { .qp_access_flags = DURABLE_ACCESS };

	if (flush && ibv_modify_qp(link->id->qp, &attr, IBV_QP_ACCESS_FLAGS))
		flush = false;
	return link_send(link, flush);
}

int durable_accept(struct link *link, bool *flush)
{
	uint64_t word;

	if (link_receive(link, &word))
		return -1;
	*flush = word;
	return 0;
}

/* One batch: the flush follows the write, and its end is the end of both. */
int durable_write(struct link *link, struct ibv_mr *from, size_t length, uint64_t offset)
{
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(link->id->qp);
	int flush, err;

	if (!qp || offset > link->length || length > link->length - offset) {
		errno = qp ? ENOSPC : EOPNOTSUPP;
		return -1;
	}
	ibv_wr_start(qp);
	qp->wr_flags = 0;
	ibv_wr_rdma_write(qp, link->rkey, link->address + offset);
	ibv_wr_set_sge(qp, from->lkey, (uintptr_t)from->addr, length);
	qp->wr_flags = IBV_SEND_SIGNALED;
	flush = pinv_wr_flush(qp, link->rkey, link->address + offset, length);
	if (flush == EOPNOTSUPP) {
		ibv_wr_abort(qp);
		errno = EOPNOTSUPP;
		return -1;
	}
	err = ibv_wr_complete(qp);
	if (err) {
		errno = err;
		return -1;
	}
	return link_sent(link);
}
