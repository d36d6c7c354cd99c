/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Rings: one writer, one reader, shared with the kernel (struct rxe_queue_buf).
 *
 * The ABI: the writer of a ring owns producer_index, the reader consumer_index; both count
 * slots modulo the ring's size; equal means empty, so a ring of 2^n slots holds 2^n - 1.
 * The size is read once, when the ring is mapped, and checked against the mapping; what
 * the kernel writes into the header afterwards is never used but for its own index, masked.
 * An index that this side owns is kept in private memory and only ever written to the ring.
 * So no content of a ring can lead an access out of it.
 *
 * Memory order. The kernel side uses smp_load_acquire() on the index of the other side and
 * smp_store_release() on its own. Here:
 *
 *  publish: slots are filled, then the index is stored with release. The kernel's acquire
 *           of the index therefore sees complete slots.
 *  reuse:   the kernel's index is loaded with acquire before a slot that it has given back
 *           is overwritten (send, receive), or before a slot that it has filled is read
 *           (completions). The value may be old: then there seems to be less room, or
 *           fewer completions, than there is. It is never too new, for an index only
 *           moves forward.
 *  release: a completion is copied out before the consumer index is stored with release,
 *           so that the kernel, which acquires it, cannot overwrite what is being read.
 *
 * Between threads of the process the owner's private index is protected by a lock of the
 * object; the one exception, the test for an empty completion ring, is argued there.
 */
#ifndef PINRXE_RING_H
#define PINRXE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/compiler.h>
#include <rdma/rdma_user_rxe.h>

struct pinrxe_ring {
	struct rxe_queue_buf *buf;
	uint8_t *slots;
	uint32_t mask;
	uint32_t shift;
	uint32_t own;   /* our index: next slot to fill, or to read */
	uint32_t other; /* the kernel's index as last seen */
	size_t size;    /* of the mapping */
};

static inline void *pinrxe_slot(const struct pinrxe_ring *ring, uint32_t index)
{
	return ring->slots + ((size_t)index << ring->shift);
}

static inline uint32_t pinrxe_next(const struct pinrxe_ring *ring, uint32_t index)
{
	return (index + 1) & ring->mask;
}

static inline uint32_t pinrxe_load_index(const __u32 *index)
{
	return atomic_load_explicit((const _Atomic uint32_t *)index,
				    memory_order_acquire);
}

static inline void pinrxe_store_index(__u32 *index, uint32_t value)
{
	atomic_store_explicit((_Atomic uint32_t *)index, value, memory_order_release);
}

/* For rings that we fill. The kernel's index is fetched only when the ring seems full. */
static inline bool pinrxe_full(struct pinrxe_ring *ring, uint32_t index)
{
	uint32_t next = pinrxe_next(ring, index);

	if (likely(next != ring->other))
		return false;
	ring->other = pinrxe_load_index(&ring->buf->consumer_index) & ring->mask;
	return next == ring->other;
}

static inline void pinrxe_publish(struct pinrxe_ring *ring, uint32_t index)
{
	ring->own = index;
	pinrxe_store_index(&ring->buf->producer_index, index);
}

int pinrxe_ring_map(struct pinrxe_ring *ring, int fd, const struct mminfo *info,
		    size_t slot_size);
int pinrxe_ring_reserve(const struct pinrxe_ring *ring, uint32_t entries, void **area,
			size_t *size);
void pinrxe_ring_release(void *area, size_t size);
int pinrxe_ring_replace(struct pinrxe_ring *ring, int fd, const struct mminfo *info,
			void *area, size_t size, struct pinrxe_ring *old);
void pinrxe_ring_unmap(struct pinrxe_ring *ring);

#endif
