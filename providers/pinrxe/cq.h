/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PINRXE_CQ_H
#define PINRXE_CQ_H

#include "pinrxe.h"

/* Written under the lock, read without it by pinrxe_cq_seems_empty(). */
static inline void pinrxe_cq_set_own(struct pinrxe_cq *cq, uint32_t index)
{
	__atomic_store_n(&cq->ring.own, index, __ATOMIC_RELEASE);
}

/*
 * Polling an empty ring, what most polls do, takes no lock and writes nothing that others read
 * but pinrxe_cq_idle().
 *
 * "Empty" must be true of some moment during the call, or a completion that came before a
 * request for notification could be missed. So the two indices must not be equal by being
 * of different times: the consumer index c old, the producer index p a lap younger. p = c
 * + ring size can only be written by a kernel that has acquired a consumer index of c + 1
 * or more, which was released after our own copy was; so whoever acquires that p, as the
 * first load does, sees c + 1 or more in the second. The loads must stay in this order.
 *
 * A resize by another thread: it makes the new ring visible before the new index, so who
 * sees the index of the new ring sees, in the last load, that the ring has changed. The
 * header of the old one stays readable until the CQ is destroyed.
 */
static inline bool pinrxe_cq_seems_empty(const struct pinrxe_cq *cq)
{
	struct rxe_queue_buf *buf = __atomic_load_n(&cq->ring.buf, __ATOMIC_ACQUIRE);
	uint32_t producer = pinrxe_load_index(&buf->producer_index);
	uint32_t consumer = __atomic_load_n(&cq->ring.own, __ATOMIC_ACQUIRE);

	return producer == consumer &&
	       buf == __atomic_load_n(&cq->ring.buf, __ATOMIC_RELAXED);
}

/* Asks the kernel whether the device is still there: -EIO if not, and nothing came meanwhile. */
int pinrxe_cq_look(struct pinrxe_cq *cq);

#define PINRXE_IDLE_POLLS (1 << 16)

/*
 * Requests under way when the device is removed are never completed, and nothing in the ring
 * tells. So that who only polls does not do so for ever, the kernel is asked now and then: too
 * seldom to cost anything. Polls that several threads make at once may count as one.
 */
static inline int pinrxe_cq_idle(struct pinrxe_cq *cq)
{
	uint32_t polls = __atomic_load_n(&cq->idle_polls, __ATOMIC_RELAXED) + 1;

	if (unlikely(polls >= PINRXE_IDLE_POLLS))
		return pinrxe_cq_look(cq);
	__atomic_store_n(&cq->idle_polls, polls, __ATOMIC_RELAXED);
	return 0;
}

#endif
