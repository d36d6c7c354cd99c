// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Receives given to a QP in error come back flushed. The kernel empties the ring when the QP enters
 * that state, and each time that it is told to enter it; it has no doorbell for receives. So who
 * posts one has to know the state, and the kernel enters it by itself, which nothing in the rings
 * tells. It shows by a completion with an error or by a query (rdma_rxe has no asynchronous event for
 * it); whoever sees one asks the kernel, once for each time that the QP fails.
 *
 * Who finds the QP in error stores that, passes through the lock of the receive ring and then
 * tells the kernel. Who posts reads it under that lock. So a request has either been in the ring
 * when the kernel was told, or its poster knows and tells the kernel again.
 *
 * A QP that is told to enter the error state by mistake is lost. So that nobody acts on a state
 * that it has left, the state is changed and acted on under state_lock only.
 *
 * Locks: of a CQ (extended polling), qps_lock, state_lock, of the receive ring, in this order.
 */
#include <config.h>

#include "pinrxe.h"

static struct pinrxe_qp **bucket(struct pinrxe_context *context, uint32_t qp_num)
{
	return &context->qps[qp_num % PINRXE_QP_BUCKETS];
}

void pinrxe_qp_enter(struct pinrxe_qp *qp)
{
	struct pinrxe_context *context = to_context(qp->vqp.qp.context);
	struct pinrxe_qp **head = bucket(context, qp->vqp.qp.qp_num);

	pthread_mutex_lock(&context->qps_lock);
	qp->next = *head;
	*head = qp;
	pthread_mutex_unlock(&context->qps_lock);
}

/* Afterwards no other thread has to do with it, unless the application lets it. */
void pinrxe_qp_leave(struct pinrxe_qp *qp)
{
	struct pinrxe_context *context = to_context(qp->vqp.qp.context);
	struct pinrxe_qp **link = bucket(context, qp->vqp.qp.qp_num);

	pthread_mutex_lock(&context->qps_lock);
	while (*link != qp)
		link = &(*link)->next;
	*link = qp->next;
	pthread_mutex_unlock(&context->qps_lock);
}

static enum pinrxe_rq_state rq_state(const struct pinrxe_qp *qp)
{
	return atomic_load_explicit(&qp->rq_state, memory_order_relaxed);
}

static void set_rq_state(struct pinrxe_qp *qp, enum pinrxe_rq_state state)
{
	atomic_store_explicit(&qp->rq_state, state, memory_order_relaxed);
	/* who posts from now on sees it */
	pinrxe_lock(&qp->rq.lock);
	pinrxe_unlock(&qp->rq.lock);
}

static void tell_kernel(struct pinrxe_qp *qp)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
	struct ibv_modify_qp cmd;

	ibv_cmd_modify_qp(&qp->vqp.qp, &attr, IBV_QP_STATE, &cmd, sizeof(cmd));
}

static bool in_error(struct pinrxe_qp *qp)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;

	return !pinrxe_ask_qp(&qp->vqp.qp, &attr, IBV_QP_STATE, &init) &&
	       attr.qp_state == IBV_QPS_ERR;
}

/* Something tells that the kernel may have moved it to the error state. */
void pinrxe_qp_look(struct pinrxe_qp *qp)
{
	pthread_mutex_lock(&qp->state_lock);
	if (rq_state(qp) == PINRXE_RQ_READY && in_error(qp)) {
		set_rq_state(qp, PINRXE_RQ_ERROR);
		tell_kernel(qp);
	}
	pthread_mutex_unlock(&qp->state_lock);
}

/* A completion with an error, of a QP that may be gone. */
void pinrxe_qp_failed(struct ibv_context *base, uint32_t qp_num)
{
	struct pinrxe_context *context = to_context(base);
	struct pinrxe_qp *qp;

	pthread_mutex_lock(&context->qps_lock);
	for (qp = *bucket(context, qp_num); qp; qp = qp->next) {
		if (qp->vqp.qp.qp_num == qp_num) {
			pinrxe_qp_look(qp);
			break;
		}
	}
	pthread_mutex_unlock(&context->qps_lock);
}

/* A receive has been posted that found the QP in error. */
void pinrxe_qp_flush(struct pinrxe_qp *qp)
{
	pthread_mutex_lock(&qp->state_lock);
	if (rq_state(qp) == PINRXE_RQ_ERROR)
		tell_kernel(qp);
	pthread_mutex_unlock(&qp->state_lock);
}

static enum pinrxe_rq_state rq_state_in(enum ibv_qp_state state)
{
	switch (state) {
	case IBV_QPS_RESET:
		return PINRXE_RQ_RESET;
	case IBV_QPS_ERR:
		return PINRXE_RQ_ERROR;
	default:
		return PINRXE_RQ_READY;
	}
}

/* Around a change of the state that the application asks for. */
enum pinrxe_rq_state pinrxe_qp_change(struct pinrxe_qp *qp, enum ibv_qp_state to)
{
	enum pinrxe_rq_state from;

	pthread_mutex_lock(&qp->state_lock);
	from = rq_state(qp);
	/* before the kernel empties the ring: what is posted while it does must come back too */
	if (to == IBV_QPS_ERR && from != PINRXE_RQ_NONE)
		set_rq_state(qp, PINRXE_RQ_ERROR);
	return from;
}

void pinrxe_qp_changed(struct pinrxe_qp *qp, enum pinrxe_rq_state from,
		       enum ibv_qp_state to, bool done)
{
	if (from != PINRXE_RQ_NONE)
		set_rq_state(qp, done ? rq_state_in(to) : from);
	pthread_mutex_unlock(&qp->state_lock);
}
