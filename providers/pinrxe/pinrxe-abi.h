/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Commands of uverbs with the parts that the kernel's Soft-RoCE driver adds to them. */
#ifndef PINRXE_ABI_H
#define PINRXE_ABI_H

#include <infiniband/kern-abi.h>
#include <rdma/rdma_user_rxe.h>
#include <kernel-abi/rdma_user_rxe.h>

DECLARE_DRV_CMD(pinrxe_create_ah_cmd, IB_USER_VERBS_CMD_CREATE_AH, empty,
		rxe_create_ah_resp);
DECLARE_DRV_CMD(pinrxe_create_cq_cmd, IB_USER_VERBS_CMD_CREATE_CQ, empty,
		rxe_create_cq_resp);
DECLARE_DRV_CMD(pinrxe_resize_cq_cmd, IB_USER_VERBS_CMD_RESIZE_CQ, empty,
		rxe_resize_cq_resp);
DECLARE_DRV_CMD(pinrxe_create_qp_cmd, IB_USER_VERBS_CMD_CREATE_QP, empty,
		rxe_create_qp_resp);
DECLARE_DRV_CMD(pinrxe_create_srq_cmd, IB_USER_VERBS_CMD_CREATE_SRQ, empty,
		rxe_create_srq_resp);
DECLARE_DRV_CMD(pinrxe_modify_srq_cmd, IB_USER_VERBS_CMD_MODIFY_SRQ, rxe_modify_srq_cmd,
		empty);

/* The kernel's driver numbers the ABI that it offers; pinrxe knows this one. */
enum {
	PINRXE_ABI_VERSION = 2
};

#endif
