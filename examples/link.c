// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A connection over librdmacm, for the examples. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <rdma/rdma_verbs.h>
#include "link.h"

#define PATIENCE 20000 /* ms, for each answer of the network */

/* In the private data of the connection. Both hosts have the same byte order here. */
struct offer {
	uint64_t address, length, rkey;
};

static int make_queue_pair(struct rdma_cm_id *id, struct ibv_pd *pd)
{
	struct ibv_qp_init_attr_ex attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 4,
			 .max_recv_wr = 4,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.comp_mask =
			IBV_QP_INIT_ATTR_SEND_OPS_FLAGS | (pd ? IBV_QP_INIT_ATTR_PD : 0),
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE,
		.pd = pd,
	};

	return rdma_create_qp_ex(id, &attr);
}

/* Sleep until the completion queue or the connection has news. */
static int sleep_on(struct rdma_cm_id *id, struct ibv_comp_channel *channel)
{
	struct pollfd fds[] = {
		{ .fd = channel->fd, .events = POLLIN },
		{ .fd = id->channel->fd, .events = POLLIN },
	};
	struct ibv_cq *cq;
	void *context;

	if (poll(fds, 2, -1) < 0)
		return -1;
	if (!fds[0].revents) {
		/* Once connected, the only event there can be is the end of the connection. */
		errno = ECONNRESET;
		return -1;
	}
	if (ibv_get_cq_event(channel, &cq, &context))
		return -1;
	ibv_ack_cq_events(cq, 1);
	return 0;
}

/* Ask to be woken before looking: what comes in between then wakes us too. */
static int await(struct rdma_cm_id *id, struct ibv_cq *cq,
		 struct ibv_comp_channel *channel)
{
	struct ibv_wc wc;
	int got;

	while ((got = ibv_poll_cq(cq, 1, &wc)) == 0) {
		if (ibv_req_notify_cq(cq, 0))
			return -1;
		got = ibv_poll_cq(cq, 1, &wc);
		if (got)
			break;
		if (sleep_on(id, channel))
			return -1;
	}
	errno = ECONNRESET;
	return got == 1 && wc.status == IBV_WC_SUCCESS ? 0 : -1;
}

static int expect_word(struct link *link)
{
	return rdma_post_recv(link->id, NULL, &link->words[1], sizeof(link->words[1]),
			      link->words_mr);
}

static int prepare(struct link *link)
{
	link->words_mr = rdma_reg_msgs(link->id, link->words, sizeof(link->words));
	return link->words_mr ? expect_word(link) : -1;
}

int link_listen(struct rdma_cm_id **listener, const char *address, const char *port)
{
	struct rdma_addrinfo hints = { .ai_flags = RAI_PASSIVE,
				       .ai_port_space = RDMA_PS_TCP },
			     *info;
	int err;

	if (link_resolve(address, port, &hints, &info))
		return -1;
	err = rdma_create_ep(listener, info, NULL, NULL);
	rdma_freeaddrinfo(info);
	/* Without a device, as with 0.0.0.0, there is nothing to register the file with. */
	if (!err && (*listener)->verbs)
		return rdma_listen(*listener, 1);
	errno = err ? errno : ENODEV;
	return -1;
}

int link_accept(struct link *link, struct rdma_cm_id *listener, struct ibv_pd *pd,
		const struct ibv_mr *offered)
{
	struct offer offer = { (uintptr_t)offered->addr, offered->length, offered->rkey };
	struct rdma_conn_param param = { .private_data = &offer,
					 .private_data_len = sizeof(offer),
					 .responder_resources = 1,
					 .rnr_retry_count = 7 };

	memset(link, 0, sizeof(*link));
	if (rdma_get_request(listener, &link->id) || make_queue_pair(link->id, pd) ||
	    prepare(link))
		return -1;
	return rdma_accept(link->id, &param);
}

int link_connect(struct link *link, const char *address, const char *port)
{
	/* a flush is among the requests that take a resource of the other side's */
	struct rdma_conn_param param = { .initiator_depth = 1,
					 .retry_count = 7,
					 .rnr_retry_count = 7 };
	struct rdma_addrinfo hints = { .ai_port_space = RDMA_PS_TCP }, *info;
	struct offer offer;
	int err;

	memset(link, 0, sizeof(*link));
	if (link_resolve(address, port, &hints, &info))
		return -1;
	err = rdma_create_id(NULL, &link->id, NULL, RDMA_PS_TCP) ||
	      rdma_resolve_addr(link->id, info->ai_src_addr, info->ai_dst_addr,
				PATIENCE) ||
	      rdma_resolve_route(link->id, PATIENCE);
	rdma_freeaddrinfo(info);
	if (err || make_queue_pair(link->id, NULL) || prepare(link) ||
	    rdma_connect(link->id, &param))
		return -1;
	if (link->id->event->param.conn.private_data_len < sizeof(offer)) {
		errno = EPROTO;
		return -1;
	}
	memcpy(&offer, link->id->event->param.conn.private_data, sizeof(offer));
	link->address = offer.address;
	link->length = offer.length;
	link->rkey = offer.rkey;
	return 0;
}

int link_sent(struct link *link)
{
	return await(link->id, link->id->send_cq, link->id->send_cq_channel);
}

int link_write(struct link *link, struct ibv_mr *from, size_t from_offset, size_t length,
	       uint64_t offset)
{
	if (offset > link->length || length > link->length - offset) {
		errno = ENOSPC;
		return -1;
	}
	if (rdma_post_write(link->id, NULL, (char *)from->addr + from_offset, length,
			    from, IBV_SEND_SIGNALED, link->address + offset, link->rkey))
		return -1;
	return link_sent(link);
}

int link_send(struct link *link, uint64_t word)
{
	link->words[0] = word;
	if (rdma_post_send(link->id, NULL, &link->words[0], sizeof(link->words[0]),
			   link->words_mr, IBV_SEND_SIGNALED))
		return -1;
	return link_sent(link);
}

int link_receive(struct link *link, uint64_t *word)
{
	if (await(link->id, link->id->recv_cq, link->id->recv_cq_channel))
		return -1;
	*word = link->words[1];
	return expect_word(link);
}

void link_close(struct link *link)
{
	if (link->words_mr)
		rdma_dereg_mr(link->words_mr);
	if (link->id) {
		rdma_disconnect(link->id);
		rdma_destroy_ep(link->id);
	}
	memset(link, 0, sizeof(*link));
}
