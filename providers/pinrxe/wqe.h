/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What send and receive work queue entries have in common. */
#ifndef PINRXE_WQE_H
#define PINRXE_WQE_H

#include <assert.h>
#include <string.h>

#include "pinrxe.h"

/* Of a port, as the kernel reports it; the kernel does not check lengths of user QPs. */
#define PINRXE_MAX_MESSAGE ((uint64_t)1 << 31)

static_assert(sizeof(struct rxe_sge) == sizeof(struct ibv_sge), "sge");
static_assert(offsetof(struct rxe_sge, addr) == offsetof(struct ibv_sge, addr), "sge");
static_assert(offsetof(struct rxe_sge, length) == offsetof(struct ibv_sge, length),
	      "sge");
static_assert(offsetof(struct rxe_sge, lkey) == offsetof(struct ibv_sge, lkey), "sge");

/* Returns the sum of the lengths; 2^31 entries could not overflow it. */
static inline uint64_t pinrxe_copy_sge(struct rxe_sge *to, const struct ibv_sge *from,
				       int n)
{
	uint64_t length = 0;

	for (int i = 0; i < n; i++) {
		memcpy(&to[i], &from[i], sizeof(*to));
		length += from[i].length;
	}
	return length;
}

/* A slot has what the kernel left there: everything that it starts from is set. */
static inline void pinrxe_init_dma(struct rxe_dma_info *dma, uint32_t length,
				   uint32_t num_sge)
{
	dma->length = length;
	dma->resid = length;
	dma->cur_sge = 0;
	dma->num_sge = num_sge;
	dma->sge_offset = 0;
}

#endif
