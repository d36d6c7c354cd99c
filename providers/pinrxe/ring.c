// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mapping the rings. All that is used of a ring later is checked here. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

/* The smallest slot must hold what the caller is going to store or read in it. */
static bool geometry_valid(uint32_t shift, uint32_t mask, size_t size, size_t slot_size)
{
	if (shift > 16 || ((size_t)1 << shift) < slot_size)
		return false;
	if (mask & (mask + 1) || mask == UINT32_MAX)
		return false;
	return size >= sizeof(struct rxe_queue_buf) &&
	       ((size - sizeof(struct rxe_queue_buf)) >> shift) > mask;
}

static int adopt(struct pinrxe_ring *ring, void *area, size_t size, size_t slot_size)
{
	struct rxe_queue_buf *buf = area;

	/* fetched once: what is checked is what is used */
	uint32_t shift = *(volatile __u32 *)&buf->log2_elem_size;
	uint32_t mask = *(volatile __u32 *)&buf->index_mask;

	if (!geometry_valid(shift, mask, size, slot_size))
		return EINVAL;
	ring->slots = buf->data;
	ring->mask = mask;
	ring->shift = shift;
	ring->size = size;
	/* a reader of completions may look at it without the lock, see cq.h */
	__atomic_store_n(&ring->buf, buf, __ATOMIC_RELEASE);
	return 0;
}

int pinrxe_ring_map(struct pinrxe_ring *ring, int fd, const struct mminfo *info,
		    size_t slot_size)
{
	void *area;
	int err;

	if (info->size < sizeof(struct rxe_queue_buf))
		return EINVAL;
	area = mmap(NULL, info->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    info->offset);
	if (area == MAP_FAILED)
		return errno;
	err = adopt(ring, area, info->size, slot_size);
	if (err) {
		munmap(area, info->size);
		return err;
	}
	ring->own = 0;
	ring->other = 0;
	return 0;
}

/*
 * A resize must not fail after the kernel has switched to the new ring: nobody could read
 * it. So address space for the new ring is reserved before the kernel is asked, and the
 * ring is then mapped over the reservation.
 */
int pinrxe_ring_reserve(const struct pinrxe_ring *ring, uint32_t entries, void **area,
			size_t *size)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t slots = 1;

	if (entries > INT32_MAX)
		return EINVAL;
	while (slots < (size_t)entries + 1)
		slots <<= 1;
	*size = (sizeof(struct rxe_queue_buf) + (slots << ring->shift) + page - 1) &
		-page;
	*area = mmap(NULL, *size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		     -1, 0);
	return *area == MAP_FAILED ? errno : 0;
}

void pinrxe_ring_release(void *area, size_t size)
{
	munmap(area, size);
}

/* The mapping of the old ring, *old, and the indices of the new one are left to the caller. */
int pinrxe_ring_replace(struct pinrxe_ring *ring, int fd, const struct mminfo *info,
			void *area, size_t size, struct pinrxe_ring *old)
{
	void *map;
	int err;

	*old = *ring;
	if (info->size != size) {
		/* not the size that was foreseen: map it anywhere */
		munmap(area, size);
		area = NULL;
	}
	map = mmap(area, info->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | (area ? MAP_FIXED : 0), fd, info->offset);
	if (map == MAP_FAILED) {
		err = errno;
		if (area)
			munmap(area, size);
		return err;
	}
	err = adopt(ring, map, info->size, (size_t)1 << old->shift);
	if (err)
		munmap(map, info->size);
	return err;
}

void pinrxe_ring_unmap(struct pinrxe_ring *ring)
{
	if (ring->buf)
		munmap(ring->buf, ring->size);
	ring->buf = NULL;
}
