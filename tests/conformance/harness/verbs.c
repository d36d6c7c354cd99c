// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"
#include "files.h"
#include "verbs.h"
#include "verbs_private.h"

static struct actor_context contexts[CONTEXTS];

struct actor_context *v_context(int ctx)
{
	return &contexts[ctx];
}

/* verbs gives errno in several ways; a failing call that left none would look like success. */
long v_errno_or(int err)
{
	return errno ? -errno : -err;
}

/* ---- contexts ---- */

/*
 * libibverbs loads every provider that is installed when a device has none yet.  Those of the lab's
 * devices come first, so that it does not: each actor is a fork and has to copy what is loaded.
 */
static void load_providers(void)
{
	static const char *const names[] = { "rxe", "siw" };
	static bool loaded;
	char pattern[PATH_MAX + 32];
	const char *slash;
	Dl_info library;
	size_t i;
	glob_t g;

	if (loaded || getenv("IBV_DRIVERS") || getenv("RDMAV_DRIVERS") ||
	    !dladdr(ibv_get_device_list, &library))
		return;
	loaded = true;
	slash = strrchr(library.dli_fname, '/');
	for (i = 0; slash && i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(pattern, sizeof(pattern), "%.*s/libibverbs/lib%s-rdmav*.so",
			 (int)(slash - library.dli_fname), library.dli_fname, names[i]);
		if (glob(pattern, 0, NULL, &g))
			continue;
		dlopen(g.gl_pathv[0], RTLD_NOW);
		globfree(&g);
	}
}

void verbs_preload(void)
{
	struct ibv_device **list;

	load_providers();
	list = ibv_get_device_list(NULL);
	if (list)
		ibv_free_device_list(list);
}

static long open_context(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct actor_context *c = &contexts[v->ctx];
	struct ibv_device **list;
	long ret = -ENODEV;
	int i;

	(void)size;
	load_providers();
	list = ibv_get_device_list(NULL);
	for (i = 0; list && list[i]; i++) {
		if (strcmp(ibv_get_device_name(list[i]), v->device))
			continue;
		errno = 0;
		c->ibv = ibv_open_device(list[i]);
		c->pd = c->ibv ? ibv_alloc_pd(c->ibv) : NULL;
		ret = c->pd ? c->ibv->cmd_fd : v_errno_or(EIO);
	}
	if (list)
		ibv_free_device_list(list);
	return ret;
}

static void destroy_qp(struct actor_context *c)
{
	if (c->qp)
		ibv_destroy_qp(c->qp);
	if (c->cq)
		ibv_destroy_cq(c->cq);
	if (c->scratch_mr)
		ibv_dereg_mr(c->scratch_mr);
	free(c->scratch);
}

static long close_context(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct actor_context *c = &contexts[v->ctx];
	int i, err;

	(void)size;
	destroy_qp(c);
	for (i = 0; i < MRS; i++)
		if (c->mr[i])
			ibv_dereg_mr(c->mr[i]);
	if (c->channel)
		ibv_destroy_comp_channel(c->channel);
	err = ibv_dealloc_pd(c->pd);
	if (!err)
		err = ibv_close_device(c->ibv) ? errno : 0;
	memset(c, 0, sizeof(*c));
	return -err;
}

static long close_context_fd(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct actor_context *c = &contexts[v->ctx];
	int fd = c->ibv->cmd_fd;

	(void)size;
	memset(c, 0, sizeof(*c));
	return close(fd) ? -errno : 0;
}

static long pd_handle(void *buf, size_t size)
{
	const struct verbs_step *v = buf;

	(void)size;
	return contexts[v->ctx].pd->handle;
}

static long channel_fd(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct actor_context *c = &contexts[v->ctx];

	(void)size;
	errno = 0;
	c->channel = ibv_create_comp_channel(c->ibv);
	return c->channel ? c->channel->fd : v_errno_or(EIO);
}

static long async_fd(void *buf, size_t size)
{
	const struct verbs_step *v = buf;

	(void)size;
	return contexts[v->ctx].ibv->async_fd;
}

static long on_context(struct actor *a, int ctx, actor_fn fn)
{
	struct verbs_step v = { .ctx = ctx };

	return actor_call(a, fn, &v, sizeof(v));
}

long v_open_device(struct actor *a, int ctx, const char *device)
{
	struct verbs_step v = { .ctx = ctx };

	strncpy(v.device, device, sizeof(v.device) - 1);
	return actor_call(a, open_context, &v, sizeof(v));
}

long v_open(struct actor *a, int ctx)
{
	return v_open_device(a, ctx, RXE_DEVICE);
}

long v_close(struct actor *a, int ctx)
{
	return on_context(a, ctx, close_context);
}

long v_close_fd(struct actor *a, int ctx)
{
	return on_context(a, ctx, close_context_fd);
}

long v_pd_handle(struct actor *a, int ctx)
{
	return on_context(a, ctx, pd_handle);
}

long v_channel_fd(struct actor *a, int ctx)
{
	return on_context(a, ctx, channel_fd);
}

long v_async_fd(struct actor *a, int ctx)
{
	return on_context(a, ctx, async_fd);
}

/* ---- memory regions ---- */

static long reg(void *buf, size_t size)
{
	struct verbs_step *v = buf;
	struct actor_context *c = &contexts[v->ctx];
	struct ibv_mr *mr;
	int slot;

	(void)size;
	for (slot = 0; slot < MRS && c->mr[slot]; slot++)
		;
	if (slot == MRS)
		return -ENFILE;
	errno = 0;
	mr = ibv_reg_mr(c->pd, (void *)(uintptr_t)v->addr, v->len, v->access);
	if (!mr)
		return v_errno_or(EIO);
	c->mr[slot] = mr;
	v->lkey = mr->lkey;
	v->rkey = mr->rkey;
	v->handle = mr->handle;
	return slot;
}

static long dereg(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct ibv_mr **mr = &contexts[v->ctx].mr[v->slot];
	int err = *mr ? ibv_dereg_mr(*mr) : EBADF;

	(void)size;
	if (!err)
		*mr = NULL;
	return -err;
}

long v_reg(struct actor *a, int ctx, uint64_t addr, uint64_t len, int access,
	   struct mr *mr)
{
	struct verbs_step v = { .ctx = ctx, .addr = addr, .len = len, .access = access };
	long slot = actor_call(a, reg, &v, sizeof(v));

	if (slot >= 0 && mr)
		*mr = (struct mr){ .ctx = ctx,
				   .slot = (int)slot,
				   .addr = addr,
				   .len = len,
				   .lkey = v.lkey,
				   .rkey = v.rkey,
				   .handle = v.handle };
	return slot;
}

long v_dereg(struct actor *a, const struct mr *mr)
{
	struct verbs_step v = { .ctx = mr->ctx, .slot = mr->slot };

	return actor_call(a, dereg, &v, sizeof(v));
}

struct ibv_pd *v_local_pd(int ctx)
{
	return contexts[ctx].pd;
}

/* One command of the write() interface, sent through ioctl(), which any process may use. */
long v_local_invoke(int fd, uint64_t cmd, void *in, uint16_t in_len, void *out,
		    uint16_t out_len)
{
	union {
		struct ib_uverbs_ioctl_hdr hdr;
		char room[sizeof(struct ib_uverbs_ioctl_hdr) +
			  3 * sizeof(struct ib_uverbs_attr)];
	} req = { .room = { 0 } };
	struct ib_uverbs_attr *attr = req.hdr.attrs;
	unsigned int n = 0;

	attr[n].attr_id = UVERBS_ATTR_WRITE_CMD;
	attr[n].len = sizeof(cmd);
	attr[n].flags = UVERBS_ATTR_F_MANDATORY;
	attr[n++].data = cmd;
	attr[n].attr_id = UVERBS_ATTR_CORE_IN;
	attr[n].len = in_len;
	attr[n].flags = UVERBS_ATTR_F_MANDATORY;
	attr[n++].data = in_len > sizeof(uint64_t) ? (uintptr_t)in : *(uint32_t *)in;
	if (out) {
		attr[n].attr_id = UVERBS_ATTR_CORE_OUT;
		attr[n].len = out_len;
		attr[n].flags = UVERBS_ATTR_F_MANDATORY;
		attr[n++].data = (uintptr_t)out;
	}
	req.hdr.object_id = UVERBS_OBJECT_DEVICE;
	req.hdr.method_id = UVERBS_METHOD_INVOKE_WRITE;
	req.hdr.driver_id = RDMA_DRIVER_RXE;
	req.hdr.num_attrs = (uint16_t)n;
	req.hdr.length = (uint16_t)(sizeof(req.hdr) + n * sizeof(*attr));
	return ioctl(fd, RDMA_VERBS_IOCTL, &req) ? -errno : 0;
}

static long raw_reg(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct ib_uverbs_reg_mr_resp resp = { 0 };
	struct ib_uverbs_reg_mr in = { .start = v->addr,
				       .length = v->len,
				       .hca_va = v->addr,
				       .pd_handle = v->handle,
				       .access_flags = (uint32_t)v->access };
	long ret = v_local_invoke(v->fd, IB_USER_VERBS_CMD_REG_MR, &in, sizeof(in), &resp,
				  sizeof(resp));

	(void)size;
	return ret ? ret : (long)resp.mr_handle;
}

static long raw_dereg(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct ib_uverbs_dereg_mr in = { .mr_handle = v->handle };

	(void)size;
	return v_local_invoke(v->fd, IB_USER_VERBS_CMD_DEREG_MR, &in, sizeof(in), NULL,
			      0);
}

long v_raw_reg(struct actor *a, long uverbs_fd, uint32_t pd, uint64_t addr, uint64_t len,
	       int access)
{
	struct verbs_step v = { .fd = (int)uverbs_fd,
				.handle = pd,
				.addr = addr,
				.len = len,
				.access = access };

	return actor_call(a, raw_reg, &v, sizeof(v));
}

long v_raw_dereg(struct actor *a, long uverbs_fd, uint32_t handle)
{
	struct verbs_step v = { .fd = (int)uverbs_fd, .handle = handle };

	return actor_call(a, raw_dereg, &v, sizeof(v));
}

/* ---- traffic ---- */

/* The index of a routable RoCEv2 address; PINVERBS_ADDR says which if there are several. */
static int find_gid(struct actor_context *c, union ibv_gid *gid)
{
	const char *addr = getenv("PINVERBS_ADDR");
	struct ibv_gid_entry e[64]; /* all at once: the table has a thousand places */
	ssize_t n = ibv_query_gid_table(c->ibv, e, sizeof(e) / sizeof(e[0]), 0), i;
	struct in_addr want;
	int best = -1;

	if (!addr || inet_pton(AF_INET, addr, &want) != 1)
		addr = NULL;
	for (i = 0; i < n; i++) {
		if (e[i].gid_type != IBV_GID_TYPE_ROCE_V2 || e[i].port_num != 1)
			continue;
		if (e[i].gid.raw[0] == 0xfe) /* link local */
			continue;
		if (best >= 0 && !(addr && !memcmp(e[i].gid.raw + 12, &want, 4)))
			continue;
		best = (int)e[i].gid_index;
		*gid = e[i].gid;
	}
	return best;
}

static long create_qp(void *buf, size_t size)
{
	struct verbs_step *v = buf;
	struct actor_context *c = &contexts[v->ctx];
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC,
					 .cap = { .max_send_wr = 4,
						  .max_recv_wr = 8,
						  .max_send_sge = 1,
						  .max_recv_sge = 1 } };
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT,
				    .port_num = 1,
				    .qp_access_flags =
					    REMOTE_RW | IBV_ACCESS_REMOTE_ATOMIC };
	struct ibv_port_attr port;

	(void)size;
	c->scratch = aligned_alloc(PAGE, SCRATCH);
	c->scratch_mr = ibv_reg_mr(c->pd, c->scratch, SCRATCH, IBV_ACCESS_LOCAL_WRITE);
	c->cq = ibv_create_cq(c->ibv, 16, NULL, NULL, 0);
	if (!c->scratch || !c->scratch_mr || !c->cq)
		return v_errno_or(EIO);
	init.send_cq = init.recv_cq = c->cq;
	c->qp = ibv_create_qp(c->pd, &init);
	if (!c->qp || ibv_modify_qp(c->qp, &attr,
				    IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
					    IBV_QP_ACCESS_FLAGS))
		return v_errno_or(EIO);
	if (ibv_query_port(c->ibv, 1, &port))
		return v_errno_or(EIO);
	/* few packets: each of them costs more than what is in it */
	c->mtu = port.active_mtu;
	c->gid_index = find_gid(c, &v->gid);
	v->qpn = c->qp->qp_num;
	return c->gid_index < 0 ? -EADDRNOTAVAIL : 0;
}

static long join_qp(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct actor_context *c = &contexts[v->ctx];
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = c->mtu,
		.dest_qp_num = v->qpn,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = { .is_global = 1,
			     .port_num = 1,
			     .grh = { .dgid = v->gid,
				      .hop_limit = 64,
				      .sgid_index = (uint8_t)c->gid_index } }
	};
	/* 0.27 s, seven times: rxe takes a count of 7 for no limit */
	struct ibv_qp_attr rts = { .qp_state = IBV_QPS_RTS,
				   .timeout = 16,
				   .retry_cnt = 6,
				   .rnr_retry = 7,
				   .max_rd_atomic = 1 };

	(void)size;
	errno = 0;
	if (ibv_modify_qp(c->qp, &rtr,
			  IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				  IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
				  IBV_QP_MIN_RNR_TIMER) ||
	    ibv_modify_qp(c->qp, &rts,
			  IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
				  IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
				  IBV_QP_MAX_QP_RD_ATOMIC))
		return v_errno_or(EIO);
	return 0;
}

void v_connect(struct actor *a, int actx, struct actor *b, int bctx)
{
	struct verbs_step va = { .ctx = actx }, vb = { .ctx = bctx };

	must(actor_call(a, create_qp, &va, sizeof(va)));
	must(actor_call(b, create_qp, &vb, sizeof(vb)));
	va.ctx = bctx; /* each side learns the other's address */
	vb.ctx = actx;
	must(actor_call(b, join_qp, &va, sizeof(va)));
	must(actor_call(a, join_qp, &vb, sizeof(vb)));
}
