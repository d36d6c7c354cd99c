// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Making, changing and destroying queue pairs. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pinrxe-abi.h"
#include "send.h"

static uint32_t opcodes_of(enum ibv_qp_type type)
{
	switch (type) {
	case IBV_QPT_RC:
		return PINRXE_RC_OPCODES;
	case IBV_QPT_UC:
		return PINRXE_UC_OPCODES;
	case IBV_QPT_UD:
		return PINRXE_UD_OPCODES;
	default:
		return 0;
	}
}

static size_t send_slot_size(const struct pinrxe_qp *qp)
{
	size_t sge = (size_t)qp->max_sge * sizeof(struct rxe_sge);

	return sizeof(struct rxe_send_wqe) +
	       (sge > qp->max_inline ? sge : qp->max_inline);
}

static int map_rings(struct pinrxe_qp *qp, const struct pinrxe_create_qp_cmd_resp *resp,
		     bool has_rq)
{
	int fd = qp->vqp.qp.context->cmd_fd;
	int err;

	err = pinrxe_ring_map(&qp->sq, fd, &resp->sq_mi, send_slot_size(qp));
	if (err || !has_rq)
		return err;
	err = pinrxe_ring_map(&qp->rq.ring, fd, &resp->rq_mi,
			      pinrxe_recv_slot_size(qp->rq.max_sge));
	if (err)
		pinrxe_ring_unmap(&qp->sq);
	return err;
}

/* A POST_SEND of no work requests; made once, since it is the same every time. */
static void make_doorbell(struct pinrxe_qp *qp)
{
	qp->doorbell = (struct pinrxe_doorbell){
		.hdr = { .command = IB_USER_VERBS_CMD_POST_SEND,
			 .in_words = sizeof(qp->doorbell) / 4,
			 .out_words = sizeof(qp->doorbell_resp) / 4 },
		.cmd = { .response = (uintptr_t)&qp->doorbell_resp,
			 .qp_handle = qp->vqp.qp.handle,
			 .wqe_size = sizeof(struct ib_uverbs_send_wr) },
	};
}

static struct pinrxe_qp *new_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct pinrxe_create_qp_cmd_resp resp = {};
	struct ibv_create_qp cmd;
	struct pinrxe_qp *qp;
	int err;

	if (!opcodes_of(attr->qp_type)) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	qp = calloc(1, sizeof(*qp));
	if (!qp)
		return NULL;
	err = ibv_cmd_create_qp(pd, &qp->vqp.qp, attr, &cmd, sizeof(cmd), &resp.ibv_resp,
				sizeof(resp));
	if (err)
		goto free_qp;
	qp->max_sge = attr->cap.max_send_sge;
	qp->opcodes = opcodes_of(attr->qp_type);
	qp->ud = attr->qp_type == IBV_QPT_UD;
	qp->simple = qp->ud || !qp->max_sge ? 0 : qp->opcodes & PINRXE_SIMPLE_OPCODES;
	qp->max_inline = attr->cap.max_inline_data;
	qp->rq.max_sge = attr->cap.max_recv_sge;
	pinrxe_lock_init(&qp->sq_lock, pinrxe_single_threaded(pd));
	/* who polls the CQ of a QP in error takes it too: it may be another thread */
	pinrxe_lock_init(&qp->rq.lock, false);
	qp->rq_state = attr->srq ? PINRXE_RQ_NONE : PINRXE_RQ_RESET;
	pthread_mutex_init(&qp->state_lock, NULL);
	qp->coalesce = PINRXE_ALL_DOORBELLS;
	make_doorbell(qp);
	err = map_rings(qp, &resp, !attr->srq);
	if (err) {
		pinrxe_err(pd->context, "cannot map the rings of a QP: %s\n",
			   strerror(err));
		ibv_cmd_destroy_qp(&qp->vqp.qp);
		pthread_mutex_destroy(&qp->state_lock);
		goto free_qp;
	}
	pinrxe_qp_enter(qp);
	return qp;

free_qp:
	free(qp);
	errno = err;
	return NULL;
}

struct ibv_qp *pinrxe_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct pinrxe_qp *qp = new_qp(pd, attr);

	return qp ? &qp->vqp.qp : NULL;
}

struct ibv_qp *pinrxe_create_qp_ex(struct ibv_context *context,
				   struct ibv_qp_init_attr_ex *attr)
{
	struct ibv_qp_init_attr basic = {
		.qp_context = attr->qp_context,
		.send_cq = attr->send_cq,
		.recv_cq = attr->recv_cq,
		.srq = attr->srq,
		.cap = attr->cap,
		.qp_type = attr->qp_type,
		.sq_sig_all = attr->sq_sig_all,
	};
	bool extended = attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
	struct pinrxe_qp *qp;
	uint32_t opcodes = opcodes_of(attr->qp_type);

	(void)context;
	if (!check_comp_mask(attr->comp_mask, IBV_QP_INIT_ATTR_PD |
						      IBV_QP_INIT_ATTR_CREATE_FLAGS |
						      IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) ||
	    (attr->comp_mask & IBV_QP_INIT_ATTR_CREATE_FLAGS && attr->create_flags) ||
	    (extended && !pinrxe_qp_ex_possible(opcodes, attr->send_ops_flags))) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	if (!(attr->comp_mask & IBV_QP_INIT_ATTR_PD) || !attr->pd) {
		errno = EINVAL;
		return NULL;
	}
	qp = new_qp(attr->pd, &basic);
	if (!qp)
		return NULL;
	attr->cap = basic.cap;
	if (extended)
		pinrxe_fill_qp_ex(qp, attr->send_ops_flags);
	return &qp->vqp.qp;
}

static void set_coalesce(struct pinrxe_qp *qp, uint32_t coalesce)
{
	pinrxe_lock(&qp->sq_lock);
	qp->coalesce = coalesce;
	pinrxe_unlock(&qp->sq_lock);
}

/*
 * The rings are not reset with the QP: the kernel gives back what is in them and both sides
 * go on from where they are. Completions that are still in a CQ are.
 */
static void state_changed(struct pinrxe_qp *qp, enum ibv_qp_state from,
			  enum ibv_qp_state to)
{
	struct ibv_qp *base = &qp->vqp.qp;

	switch (to) {
	case IBV_QPS_RESET:
		pinrxe_cq_clean(to_cq(base->send_cq), base->qp_num);
		if (base->recv_cq != base->send_cq)
			pinrxe_cq_clean(to_cq(base->recv_cq), base->qp_num);
		break;
	case IBV_QPS_RTS:
		/* its send queue is empty: nothing in it forbids to leave doorbells out */
		if (from == IBV_QPS_RTR)
			set_coalesce(qp, to_context(base->context)->coalesce);
		/* for what was posted while the send queue was drained the kernel did not look */
		if (from == IBV_QPS_SQD)
			pinrxe_ring_doorbell(qp);
		break;
	default:
		break;
	}
}

static bool requests_left(const struct pinrxe_qp *qp)
{
	const struct pinrxe_ring *ring = &qp->sq;

	return (pinrxe_load_index(&ring->buf->consumer_index) & ring->mask) != ring->own;
}

/*
 * A reset of the kernel (6.12) looks where the next request is and then throws away those that
 * wait: afterwards it takes their slots, by now zero, for RDMA writes of no length. A second
 * reset, of a queue that is empty, sets that right.
 */
static int reset_again(struct ibv_qp *base)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };
	struct ibv_modify_qp cmd;

	return ibv_cmd_modify_qp(base, &attr, IBV_QP_STATE, &cmd, sizeof(cmd));
}

static int change_state(struct pinrxe_qp *qp, struct ibv_qp_attr *attr, int mask)
{
	bool again = attr->qp_state == IBV_QPS_RESET && requests_left(qp);
	enum pinrxe_rq_state from = pinrxe_qp_change(qp, attr->qp_state);
	struct ibv_modify_qp cmd;
	int err = ibv_cmd_modify_qp(&qp->vqp.qp, attr, mask, &cmd, sizeof(cmd));

	if (!err && again)
		err = reset_again(&qp->vqp.qp);
	pinrxe_qp_changed(qp, from, attr->qp_state, !err);
	return err;
}

int pinrxe_modify_qp(struct ibv_qp *base, struct ibv_qp_attr *attr, int mask)
{
	enum ibv_qp_state old = base->state;
	struct ibv_modify_qp cmd;
	int err;

	if (mask & IBV_QP_STATE)
		err = change_state(to_qp(base), attr, mask);
	else
		err = ibv_cmd_modify_qp(base, attr, mask, &cmd, sizeof(cmd));
	if (err)
		return err;
	if (mask & IBV_QP_STATE)
		state_changed(to_qp(base), old, attr->qp_state);
	/*
	 * Without a timeout a lost packet is only noticed by the next one: each request must go
	 * out at once.
	 */
	if (mask & IBV_QP_TIMEOUT && !attr->timeout)
		set_coalesce(to_qp(base), PINRXE_ALL_DOORBELLS);
	return 0;
}

int pinrxe_ask_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask,
		  struct ibv_qp_init_attr *init)
{
	struct ibv_query_qp cmd;

	return ibv_cmd_query_qp(qp, attr, mask, init, &cmd, sizeof(cmd));
}

int pinrxe_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask,
		    struct ibv_qp_init_attr *init)
{
	int err = pinrxe_ask_qp(qp, attr, mask, init);

	/* from now on the application knows */
	if (!err && mask & IBV_QP_STATE && attr->qp_state == IBV_QPS_ERR)
		pinrxe_qp_look(to_qp(qp));
	return err;
}

int pinrxe_destroy_qp(struct ibv_qp *base)
{
	struct pinrxe_qp *qp = to_qp(base);
	int err;

	pinrxe_qp_leave(qp);
	err = ibv_cmd_destroy_qp(base);
	if (err) {
		pinrxe_qp_enter(qp);
		/* it may have failed meanwhile */
		pinrxe_qp_look(qp);
		return err;
	}
	pinrxe_ring_unmap(&qp->sq);
	pinrxe_ring_unmap(&qp->rq.ring);
	pthread_mutex_destroy(&qp->state_lock);
	free(qp);
	return 0;
}
