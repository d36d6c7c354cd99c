/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the files of verbs steps share: the contexts, in the process of the actor. */
#ifndef PINV_TEST_VERBS_PRIVATE_H
#define PINV_TEST_VERBS_PRIVATE_H

#include "files.h"
#include "verbs.h"

#define CONTEXTS 16
#define MRS      1024
#define SCRATCH  KiB(64)

struct actor_context {
	struct ibv_context *ibv;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_comp_channel *channel;
	struct ibv_mr *mr[MRS];
	struct ibv_mr *scratch_mr;
	unsigned char *scratch;
	int gid_index;
	enum ibv_mtu mtu;
};

struct actor_context *v_context(int ctx);

struct verbs_step {
	int ctx, slot, access, fd;
	uint64_t addr, len, raddr, seed, pos;
	uint32_t lkey, rkey, handle, qpn;
	union ibv_gid gid;
	char device[64];
};

/* verbs gives errno in several ways; a failing call that left none would look like success. */
long v_errno_or(int err);

#endif
