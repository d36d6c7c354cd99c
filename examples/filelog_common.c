// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* filelog: what both sides need. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "filelog.h"

/* FNV-1a, 64 bits: short, and it sees every changed or misplaced byte. */
uint64_t checksum(uint64_t sum, const void *data, size_t length)
{
	const unsigned char *byte = data;

	while (length--)
		sum = (sum ^ *byte++) * 0x100000001b3ULL;
	return sum;
}

int failed(const char *object, const char *operation, const char *remedy)
{
	int err = errno;

	fprintf(stderr, "filelog: %s: %s: %s (%s); %s\n", object, operation,
		strerror(err), strerrorname_np(err), remedy);
	return EXIT_FAILED;
}

int resolve(const char *address, const char *port, int flags, struct rdma_addrinfo **info)
{
	struct rdma_addrinfo hints = { .ai_flags = flags, .ai_port_space = RDMA_PS_TCP };
	char *end;
	unsigned long number = strtoul(port, &end, 10);

	/* Neither a port that is none nor a name that is not known sets errno. */
	errno = EADDRNOTAVAIL;
	if (*port < '0' || *port > '9' || *end || number > UINT16_MAX)
		return failed(port, "resolve", "give a port from 0 to 65535");
	if (rdma_getaddrinfo(address, port, &hints, info)) {
		errno = EADDRNOTAVAIL;
		return failed(
			address, "resolve",
			flags & RAI_PASSIVE
				? "give an address of this host that an RDMA device "
				  "has (rdma link)"
				: "give an address that an RDMA device reaches "
				  "(rdma link)");
	}
	return 0;
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
	if (fds[0].revents) {
		if (ibv_get_cq_event(channel, &cq, &context))
			return -1;
		ibv_ack_cq_events(cq, 1);
		return 0;
	}
	/* Once connected, the only event there can be is the end of the connection. */
	errno = ECONNRESET;
	return -1;
}

int await_completion(struct rdma_cm_id *id, struct ibv_cq *cq,
		     struct ibv_comp_channel *channel)
{
	struct ibv_wc wc;
	int got;

	/* Ask to be woken before looking: what comes in between then wakes us too. */
	while ((got = ibv_poll_cq(cq, 1, &wc)) == 0) {
		if (ibv_req_notify_cq(cq, 0))
			return -1;
		got = ibv_poll_cq(cq, 1, &wc);
		if (got)
			break;
		if (sleep_on(id, channel))
			return -1;
	}
	if (got < 0)
		return -1;
	if (wc.status == IBV_WC_SUCCESS)
		return 0;
	fprintf(stderr, "filelog: work request: %s\n", ibv_wc_status_str(wc.status));
	errno = ECONNABORTED;
	return -1;
}

void await_end(struct rdma_cm_id *id)
{
	struct rdma_cm_event *event;

	if (!rdma_get_cm_event(id->channel, &event))
		rdma_ack_cm_event(event);
}
