// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Protection, parent and thread domains; address handles. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "pinrxe.h"
#include "pinrxe-abi.h"

struct ibv_pd *pinrxe_alloc_pd(struct ibv_context *context)
{
	struct ib_uverbs_alloc_pd_resp resp;
	struct ibv_alloc_pd cmd;
	struct pinrxe_pd *pd;

	pd = calloc(1, sizeof(*pd));
	if (!pd)
		return NULL;
	if (ibv_cmd_alloc_pd(context, &pd->pd, &cmd, sizeof(cmd), &resp, sizeof(resp))) {
		free(pd);
		return NULL;
	}
	return &pd->pd;
}

int pinrxe_dealloc_pd(struct ibv_pd *base)
{
	struct pinrxe_pd *pd = to_pd(base);
	int err;

	if (atomic_load(&pd->users))
		return EBUSY;
	if (pd->contained) {
		atomic_fetch_sub(&pd->contained->users, 1);
		if (pd->td)
			atomic_fetch_sub(&pd->td->users, 1);
	} else {
		err = ibv_cmd_dealloc_pd(base);
		if (err)
			return err;
	}
	free(pd);
	return 0;
}

/*
 * Allocators are accepted and not called: the rings, the only memory that they could serve,
 * belong to the kernel.
 */
struct ibv_pd *pinrxe_alloc_parent_domain(struct ibv_context *context,
					  struct ibv_parent_domain_init_attr *attr)
{
	struct pinrxe_pd *parent, *contained;

	if (ibv_check_alloc_parent_domain(attr))
		return NULL;
	if (!check_comp_mask(attr->comp_mask,
			     IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS |
				     IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT)) {
		errno = EINVAL;
		return NULL;
	}
	contained = to_pd(attr->pd);
	if (contained->contained || attr->pd->context != context) {
		errno = EINVAL;
		return NULL;
	}
	parent = calloc(1, sizeof(*parent));
	if (!parent)
		return NULL;
	if (attr->td) {
		parent->td = to_td(attr->td);
		atomic_fetch_add(&parent->td->users, 1);
	}
	parent->contained = contained;
	atomic_fetch_add(&contained->users, 1);
	ibv_initialize_parent_domain(&parent->pd, &contained->pd);
	return &parent->pd;
}

struct ibv_td *pinrxe_alloc_td(struct ibv_context *context, struct ibv_td_init_attr *attr)
{
	struct pinrxe_td *td;

	if (attr->comp_mask) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	td = calloc(1, sizeof(*td));
	if (!td)
		return NULL;
	td->td.context = context;
	return &td->td;
}

int pinrxe_dealloc_td(struct ibv_td *base)
{
	struct pinrxe_td *td = to_td(base);

	if (atomic_load(&td->users))
		return EBUSY;
	free(td);
	return 0;
}

struct ibv_ah *pinrxe_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
	struct pinrxe_create_ah_cmd_resp resp = {};
	struct pinrxe_ah *ah;
	int err;

	ah = calloc(1, sizeof(*ah));
	if (!ah)
		return NULL;
	err = ibv_cmd_create_ah(pd, &ah->ah, attr, &resp.ibv_resp, sizeof(resp));
	if (err) {
		free(ah);
		errno = err;
		return NULL;
	}
	ah->ah_num = resp.ah_num;
	if (!ah->ah_num) {
		pinrxe_err(pd->context, "the kernel numbers no address handles; 5.17 or "
					"later is needed\n");
		ibv_cmd_destroy_ah(&ah->ah);
		free(ah);
		errno = EOPNOTSUPP;
		return NULL;
	}
	return &ah->ah;
}

int pinrxe_destroy_ah(struct ibv_ah *ah)
{
	int err = ibv_cmd_destroy_ah(ah);

	if (!err)
		free(to_ah(ah));
	return err;
}
