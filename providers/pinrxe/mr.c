// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Memory regions and windows. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pinrxe.h"
#include "pinrxe-abi.h"

struct pinrxe_mr {
	struct verbs_mr vmr;
	void *map; /* of a file, made for this region by pinrxedv_reg_lease_mr(); or NULL */
	size_t map_length;
};

static struct pinrxe_mr *to_mr(struct verbs_mr *vmr)
{
	return container_of(vmr, struct pinrxe_mr, vmr);
}

struct ibv_mr *pinrxe_reg_mr(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
			     int access)
{
	struct ib_uverbs_reg_mr_resp resp;
	struct ibv_reg_mr cmd;
	struct pinrxe_mr *mr;
	int err;

	mr = calloc(1, sizeof(*mr));
	if (!mr)
		return NULL;
	err = ibv_cmd_reg_mr(pd, addr, length, iova, access, &mr->vmr, &cmd, sizeof(cmd),
			     &resp, sizeof(resp));
	if (err) {
		free(mr);
		errno = err;
		return NULL;
	}
	return &mr->vmr.ibv_mr;
}

static void drop_mapping(struct pinrxe_mr *mr)
{
	if (mr->map)
		munmap(mr->map, mr->map_length);
	mr->map = NULL;
}

void pinrxe_mr_own_mapping(struct ibv_mr *base, void *map, size_t length)
{
	struct pinrxe_mr *mr = to_mr(verbs_get_mr(base));

	mr->map = map;
	mr->map_length = length;
}

int pinrxe_rereg_mr(struct verbs_mr *vmr, int flags, struct ibv_pd *pd, void *addr,
		    size_t length, int access)
{
	struct ib_uverbs_rereg_mr_resp resp;
	struct ibv_rereg_mr cmd;
	int err;

	err = ibv_cmd_rereg_mr(vmr, flags, addr, length, (uintptr_t)addr, access, pd,
			       &cmd, sizeof(cmd), &resp, sizeof(resp));
	/* the region is of other memory now */
	if (!err && flags & IBV_REREG_MR_CHANGE_TRANSLATION)
		drop_mapping(to_mr(vmr));
	return err;
}

int pinrxe_dereg_mr(struct verbs_mr *vmr)
{
	struct pinrxe_mr *mr = to_mr(vmr);
	int err = ibv_cmd_dereg_mr(vmr);

	if (err)
		return err;
	drop_mapping(mr);
	free(mr);
	return 0;
}

struct ibv_mw *pinrxe_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	struct ib_uverbs_alloc_mw_resp resp;
	struct ibv_alloc_mw cmd;
	struct ibv_mw *mw;
	int err;

	mw = calloc(1, sizeof(*mw));
	if (!mw)
		return NULL;
	err = ibv_cmd_alloc_mw(pd, type, mw, &cmd, sizeof(cmd), &resp, sizeof(resp));
	if (err) {
		free(mw);
		errno = err;
		return NULL;
	}
	return mw;
}

int pinrxe_dealloc_mw(struct ibv_mw *mw)
{
	int err = ibv_cmd_dealloc_mw(mw);

	if (!err)
		free(mw);
	return err;
}

/* Type 1: the verb chooses the new key, and the window has it when the post succeeds. */
int pinrxe_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw, struct ibv_mw_bind *bind)
{
	struct ibv_mw_bind_info *info = &bind->bind_info;
	struct ibv_send_wr *bad;
	struct ibv_send_wr wr = {
		.wr_id = bind->wr_id,
		.opcode = IBV_WR_BIND_MW,
		.send_flags = bind->send_flags,
		.bind_mw = { .mw = mw,
			     .rkey = ibv_inc_rkey(mw->rkey),
			     .bind_info = *info },
	};
	int err;

	if (mw->type != IBV_MW_TYPE_1 || info->mw_access_flags & IBV_ACCESS_ZERO_BASED)
		return EINVAL;
	err = pinrxe_post_send(qp, &wr, &bad);
	if (!err)
		mw->rkey = wr.bind_mw.rkey;
	return err;
}
