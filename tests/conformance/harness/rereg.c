// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Re-registration.  librxe has no operation for it, so ibv_rereg_mr() would say EOPNOTSUPP. */
#include <rdma/ib_user_verbs.h>

#include "verbs.h"

struct rereg_step {
	int ctx;
	uint32_t handle, flags, access;
	uint64_t addr, len;
	uint32_t lkey, rkey;
};

static long rereg(void *buf, size_t size)
{
	struct rereg_step *r = buf;
	struct ib_uverbs_rereg_mr_resp resp = { 0 };
	struct ib_uverbs_rereg_mr in = { .mr_handle = r->handle,
					 .flags = r->flags,
					 .start = r->addr,
					 .length = r->len,
					 .hca_va = r->addr,
					 .access_flags = r->access };
	long ret = v_local_invoke(v_local_pd(r->ctx)->context->cmd_fd,
				  IB_USER_VERBS_CMD_REREG_MR, &in, sizeof(in), &resp,
				  sizeof(resp));

	(void)size;
	r->lkey = resp.lkey;
	r->rkey = resp.rkey;
	return ret;
}

static long rereg_flags(struct actor *a, struct mr *mr, uint32_t flags, uint64_t addr,
			uint64_t len, int access)
{
	struct rereg_step r = { .ctx = mr->ctx,
				.handle = mr->handle,
				.flags = flags,
				.access = (uint32_t)access,
				.addr = addr,
				.len = len };
	long ret = actor_call(a, rereg, &r, sizeof(r));

	if (ret)
		return ret;
	mr->lkey = r.lkey;
	mr->rkey = r.rkey;
	if (flags & IBV_REREG_MR_CHANGE_TRANSLATION) {
		mr->addr = addr;
		mr->len = len;
	}
	return 0;
}

long v_rereg_access(struct actor *a, const struct mr *mr, int access)
{
	struct mr same = *mr;

	return rereg_flags(a, &same, IBV_REREG_MR_CHANGE_ACCESS, 0, 0, access);
}

long v_rereg(struct actor *a, struct mr *mr, uint64_t addr, uint64_t len)
{
	return rereg_flags(a, mr, IBV_REREG_MR_CHANGE_TRANSLATION, addr, len, 0);
}

long v_rereg_with(struct actor *a, struct mr *mr, uint64_t addr, uint64_t len, int access)
{
	return rereg_flags(a, mr,
			   IBV_REREG_MR_CHANGE_TRANSLATION | IBV_REREG_MR_CHANGE_ACCESS,
			   addr, len, access);
}
