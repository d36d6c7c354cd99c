// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * fabric FILE ADDRESS: libfabric's verbs provider registers a mapping of FILE, as any of its
 * programs may do, for the device that has ADDRESS; a peer, another process, connects and writes to
 * it, as fi_rma_bw does, which is in no package of Debian 12. Without a word about leases.
 */
#include <err.h>
#include "fabric_common.h"
#include "traffic.h"

#define PATIENCE 60000 /* ms, for each event */

static struct fid_eq *eq;
static struct fid_pep *listener;

static void set_up(void)
{
	struct fi_eq_attr attr = { .wait_obj = FI_WAIT_UNSPEC };

	fabric_must(fi_eq_open(fabric_fabric, &attr, &eq, NULL), "event queue");
}

static void clean_up(void)
{
	fabric_must(fi_close(&eq->fid), "close event queue");
}

static struct fid_ep *make_endpoint(struct fi_info *info, struct fid_cq **cq)
{
	struct fi_cq_attr attr = { .format = FI_CQ_FORMAT_CONTEXT,
				   .wait_obj = FI_WAIT_UNSPEC,
				   .size = 16 };
	struct fid_ep *ep;

	fabric_must(fi_endpoint(fabric_domain, info, &ep, NULL), "endpoint");
	fabric_must(fi_cq_open(fabric_domain, &attr, cq, NULL), "completion queue");
	fabric_must(fi_ep_bind(ep, &eq->fid, 0), "bind event queue");
	fabric_must(fi_ep_bind(ep, &(*cq)->fid, FI_TRANSMIT | FI_RECV),
		    "bind completion queue");
	fabric_must(fi_enable(ep), "enable");
	return ep;
}

static void close_endpoint(struct fid_ep *ep, struct fid_cq *cq)
{
	fabric_must(fi_close(&ep->fid), "close endpoint");
	fabric_must(fi_close(&cq->fid), "close completion queue");
}

static struct fi_info *await_event(uint32_t wanted)
{
	struct fi_eq_err_entry error = { 0 };
	struct fi_eq_cm_entry entry;
	uint32_t event;
	ssize_t got = fi_eq_sread(eq, &event, &entry, sizeof(entry), PATIENCE, 0);

	if (got == -FI_EAVAIL) {
		fi_eq_readerr(eq, &error, 0);
		errx(1, "event %u: %s", wanted, fi_strerror(error.err));
	}
	if (got < 0)
		errx(1, "event %u: %s", wanted, fi_strerror(-got));
	if (event != wanted)
		errx(1, "event %u, not %u", event, wanted);
	return entry.info;
}

static void write_to(const struct fabric_offer *offer, const void *data,
		     struct fid_mr *mr)
{
	struct fi_cq_entry entry;
	struct fid_cq *cq;
	struct fid_ep *ep = make_endpoint(fabric_info, &cq);

	fabric_must(fi_connect(ep, fabric_info->dest_addr, NULL, 0), "connect");
	await_event(FI_CONNECTED);
	fabric_must(fi_write(ep, data, TRAFFIC_LENGTH, fi_mr_desc(mr), 0,
			     offer->memory + TRAFFIC_OFFSET, offer->key, NULL),
		    "write");
	if (!fabric_completed(cq, fi_cq_sread(cq, &entry, 1, NULL, PATIENCE)))
		errx(1, "no completion within %d ms", PATIENCE);
	fabric_must(fi_shutdown(ep, 0), "shut down");
	close_endpoint(ep, cq);
}

static void start_listening(struct fabric_offer *offer)
{
	(void)offer; /* the peer connects to the address */
	fabric_must(fi_passive_ep(fabric_fabric, fabric_info, &listener, NULL),
		    "listener");
	fabric_must(fi_pep_bind(listener, &eq->fid, 0), "bind event queue");
	fabric_must(fi_listen(listener), "listen");
}

/* Accepts the peer and waits until it has gone. */
static void serve(const char *path, pid_t peer)
{
	struct fi_info *request = await_event(FI_CONNREQ);
	struct fid_cq *cq;
	struct fid_ep *ep = make_endpoint(request, &cq);

	(void)peer;
	fabric_must(fi_accept(ep, NULL, 0), "accept");
	await_event(FI_CONNECTED);
	traffic_see_pins(path);
	await_event(FI_SHUTDOWN);
	close_endpoint(ep, cq);
	fabric_must(fi_close(&listener->fid), "close listener");
	fi_freeinfo(request);
}

int main(int argc, char **argv)
{
	static const struct fabric_program program = {
		.name = "fabric",
		.provider = "verbs",
		.port = "7207",
		.type = FI_EP_MSG,
		.set_up = set_up,
		.clean_up = clean_up,
		.listen = start_listening,
		.serve = serve,
		.write = write_to,
	};

	return fabric_main(&program, argc, argv);
}
