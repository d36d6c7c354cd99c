// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Which devices are ours, and the table of what can be done with them. */
#define _GNU_SOURCE
#include <config.h>

#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pinrxe.h"
#include "pinrxe-abi.h"

#if IBVERBS_PABI_VERSION != 34
#error "pinrxe is written for private ABI 34 of libibverbs (rdma-core 44 to 56), and this is another"
#endif

/*
 * librxe claims the same devices. libibverbs gives a device to the first of its drivers
 * that wants it, and the order of drivers named in configuration files is that of a
 * directory. So that installing pinrxe next to librxe changes nothing by chance, pinrxe
 * wants devices only if
 *  - RDMAV_DRIVERS or, if that is not set, IBV_DRIVERS names it; drivers named there come
 *    before all others, in the order given there; or
 *  - these variables name neither it nor librxe, and librxe is not loaded: its driver file
 *    has been taken away, or the program is linked with libpinrxe.
 * That is decided once in a process, at the first device, for what is loaded may change.
 */
enum claim {
	CLAIM_NOT_KNOWN,
	CLAIM_YES,
	CLAIM_NO
};

static bool names_driver(const char *entry, size_t length, const char *name)
{
	const char *slash = memrchr(entry, '/', length);

	if (slash) {
		length -= slash + 1 - entry;
		entry = slash + 1;
		/* a path is completed to PATH-rdmav34.so, so it has "lib" */
		if (length < 3 || strncmp(entry, "lib", 3))
			return false;
		entry += 3;
		length -= 3;
	}
	return length == strlen(name) && !strncmp(entry, name, length);
}

static bool list_names_driver(const char *list, const char *name)
{
	size_t length;

	for (;; list += length + 1) {
		length = strcspn(list, ":;");
		if (names_driver(list, length, name))
			return true;
		if (!list[length])
			return false;
	}
}

static int is_librxe(struct dl_phdr_info *info, size_t size, void *found)
{
	const char *name = strrchr(info->dlpi_name, '/');

	(void)size;
	(void)found;
	name = name ? name + 1 : info->dlpi_name;
	return !strncmp(name, "librxe-rdmav", strlen("librxe-rdmav"));
}

static enum claim decide(void)
{
	const char *list = NULL;

	/* libibverbs does not listen to the environment of a set-user-ID program either */
	if (getuid() == geteuid()) {
		list = getenv("RDMAV_DRIVERS");
		if (!list)
			list = getenv("IBV_DRIVERS");
	}
	if (list && list_names_driver(list, "pinrxe"))
		return CLAIM_YES;
	if (list && list_names_driver(list, "rxe"))
		return CLAIM_NO;
	return dl_iterate_phdr(is_librxe, NULL) ? CLAIM_NO : CLAIM_YES;
}

static bool match_device(struct verbs_sysfs_dev *sysfs_dev)
{
	static _Atomic enum claim claim;

	if (!sysfs_dev->match)
		return false;
	/* libibverbs looks for devices under a lock of its own */
	if (claim == CLAIM_NOT_KNOWN)
		claim = decide();
	return claim == CLAIM_YES;
}

static int query_device(struct ibv_context *context,
			const struct ibv_query_device_ex_input *input,
			struct ibv_device_attr_ex *attr, size_t attr_size)
{
	struct ib_uverbs_ex_query_device_resp resp;
	size_t resp_size = sizeof(resp);
	uint64_t version;
	int err;

	err = ibv_cmd_query_device_any(context, input, attr, attr_size, &resp,
				       &resp_size);
	if (err)
		return err;
	version = resp.base.fw_ver;
	snprintf(attr->orig_attr.fw_ver, sizeof(attr->orig_attr.fw_ver), "%u.%u.%u",
		 (unsigned int)(version >> 32) & 0xffff,
		 (unsigned int)(version >> 16) & 0xffff, (unsigned int)version & 0xffff);
	return 0;
}

static int query_port(struct ibv_context *context, uint8_t port,
		      struct ibv_port_attr *attr)
{
	struct ibv_query_port cmd;

	return ibv_cmd_query_port(context, port, attr, &cmd, sizeof(cmd));
}

static void free_context(struct ibv_context *base)
{
	struct pinrxe_context *context = to_context(base);

	pthread_mutex_destroy(&context->qps_lock);
	verbs_uninit_context(&context->vctx);
	free(context);
}

static const struct verbs_context_ops context_ops = {
	.alloc_mw = pinrxe_alloc_mw,
	.alloc_parent_domain = pinrxe_alloc_parent_domain,
	.alloc_pd = pinrxe_alloc_pd,
	.alloc_td = pinrxe_alloc_td,
	.attach_mcast = ibv_cmd_attach_mcast,
	.bind_mw = pinrxe_bind_mw,
	.create_ah = pinrxe_create_ah,
	.create_cq = pinrxe_create_cq,
	.create_cq_ex = pinrxe_create_cq_ex,
	.create_qp = pinrxe_create_qp,
	.create_qp_ex = pinrxe_create_qp_ex,
	.create_srq = pinrxe_create_srq,
	.create_srq_ex = pinrxe_create_srq_ex,
	.dealloc_mw = pinrxe_dealloc_mw,
	.dealloc_pd = pinrxe_dealloc_pd,
	.dealloc_td = pinrxe_dealloc_td,
	.dereg_mr = pinrxe_dereg_mr,
	.destroy_ah = pinrxe_destroy_ah,
	.destroy_cq = pinrxe_destroy_cq,
	.destroy_qp = pinrxe_destroy_qp,
	.destroy_srq = pinrxe_destroy_srq,
	.detach_mcast = ibv_cmd_detach_mcast,
	.free_context = free_context,
	.get_srq_num = pinrxe_get_srq_num,
	.modify_qp = pinrxe_modify_qp,
	.modify_srq = pinrxe_modify_srq,
	.poll_cq = pinrxe_poll_cq,
	.post_recv = pinrxe_post_recv,
	.post_send = pinrxe_post_send,
	.post_srq_recv = pinrxe_post_srq_recv,
	.query_device_ex = query_device,
	.query_port = query_port,
	.query_qp = pinrxe_query_qp,
	.query_srq = pinrxe_query_srq,
	.reg_mr = pinrxe_reg_mr,
	.req_notify_cq = ibv_cmd_req_notify_cq,
	.rereg_mr = pinrxe_rereg_mr,
	.resize_cq = pinrxe_resize_cq,
};

/*
 * How many requests must be under way before doorbells are left out; only where that is proven,
 * see pinrxe_publish_send(), for fewer than two never. The default is more than it takes: a
 * request that waits for the kernel to look then waits for the first answer to one of eight, and
 * a packet lost among them is noticed by those after it.
 */
enum {
	FEWEST = 2,
	DEFAULT = 8
};

static uint32_t doorbells_wanted(struct ibv_context *context)
{
#ifdef __x86_64__
	const char *value = getenv("PINRXE_COALESCE");
	unsigned long number;
	char *end;

	if (!value)
		return DEFAULT;
	number = strtoul(value, &end, 10);
	if (*end || end == value || number > INT32_MAX)
		pinrxe_warn(context, "PINRXE_COALESCE: %s is no number, taken for 0\n",
			    value);
	else if (number)
		return number < FEWEST ? FEWEST : number;
#else
	(void)context;
#endif
	return PINRXE_ALL_DOORBELLS;
}

static struct verbs_context *alloc_context(struct ibv_device *device, int cmd_fd,
					   void *private_data)
{
	struct ib_uverbs_get_context_resp resp;
	struct pinrxe_context *context;
	struct ibv_get_context cmd;

	(void)private_data;
	context = verbs_init_and_alloc_context(device, cmd_fd, context, vctx,
					       RDMA_DRIVER_RXE);
	if (!context)
		return NULL;
	if (ibv_cmd_get_context(&context->vctx, &cmd, sizeof(cmd), &resp, sizeof(resp))) {
		verbs_uninit_context(&context->vctx);
		free(context);
		return NULL;
	}
	pthread_mutex_init(&context->qps_lock, NULL);
	verbs_set_ops(&context->vctx, &context_ops);
	context->coalesce = doorbells_wanted(&context->vctx.context);
	pinrxe_info(&context->vctx.context, "driven by pinrxe\n");
	return &context->vctx;
}

static struct verbs_device *alloc_device(struct verbs_sysfs_dev *sysfs_dev)
{
	struct pinrxe_device *device = calloc(1, sizeof(*device));

	(void)sysfs_dev;
	return device ? &device->vdev : NULL;
}

static void uninit_device(struct verbs_device *vdev)
{
	free(container_of(vdev, struct pinrxe_device, vdev));
}

static const struct verbs_match_ent match_table[] = {
	VERBS_DRIVER_ID(RDMA_DRIVER_RXE),
	VERBS_NAME_MATCH("rxe", NULL),
	{},
};

const struct verbs_device_ops pinrxe_device_ops = {
	.name = "pinrxe",
	.match_min_abi_version = PINRXE_ABI_VERSION,
	.match_max_abi_version = PINRXE_ABI_VERSION,
	.match_table = match_table,
	.match_device = match_device,
	.alloc_device = alloc_device,
	.uninit_device = uninit_device,
	.alloc_context = alloc_context,
};

PROVIDER_DRIVER(pinrxe, pinrxe_device_ops);
