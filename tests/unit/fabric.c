// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * fabric FILE ADDRESS: libfabric's verbs provider registers a mapping of FILE, as any of its
 * programs may do, for the device that has ADDRESS; a peer, another process, connects and writes to
 * it, as fi_rma_bw does, which is in no package of Debian 12. Without a word about leases.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include "traffic.h"

#define PORT     "7207"
#define PATIENCE 60000 /* ms, for each event */

/* What the peer has to know. */
struct offer {
	uint64_t memory, key;
};

static struct fid_fabric *fabric;
static struct fid_domain *domain;
static struct fid_eq *eq;

static void must(ssize_t result, const char *what)
{
	if (result)
		errx(1, "%s: %s", what, fi_strerror(-result));
}

/* Everything but the endpoint, for the device that has the address or leads there. */
static struct fi_info *set_up(const char *address, uint64_t flags)
{
	struct fi_info *hints = fi_allocinfo(), *info;
	struct fi_eq_attr eq_attr = { .wait_obj = FI_WAIT_UNSPEC };

	if (!hints)
		errx(1, "no memory");
	hints->caps = FI_MSG | FI_RMA;
	hints->ep_attr->type = FI_EP_MSG;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	hints->fabric_attr->prov_name = strdup("verbs");
	must(fi_getinfo(FI_VERSION(1, 14), address, PORT, flags, hints, &info),
	     "find verbs provider");
	fi_freeinfo(hints);
	must(fi_fabric(info->fabric_attr, &fabric, NULL), "fabric");
	must(fi_domain(fabric, info, &domain, NULL), "domain");
	must(fi_eq_open(fabric, &eq_attr, &eq, NULL), "event queue");
	return info;
}

static void clean_up(struct fi_info *info)
{
	must(fi_close(&eq->fid), "close event queue");
	must(fi_close(&domain->fid), "close domain");
	must(fi_close(&fabric->fid), "close fabric");
	fi_freeinfo(info);
}

static struct fid_ep *make_endpoint(struct fi_info *info, struct fid_cq **cq)
{
	struct fi_cq_attr attr = { .format = FI_CQ_FORMAT_CONTEXT,
				   .wait_obj = FI_WAIT_UNSPEC,
				   .size = 16 };
	struct fid_ep *ep;

	must(fi_endpoint(domain, info, &ep, NULL), "endpoint");
	must(fi_cq_open(domain, &attr, cq, NULL), "completion queue");
	must(fi_ep_bind(ep, &eq->fid, 0), "bind event queue");
	must(fi_ep_bind(ep, &(*cq)->fid, FI_TRANSMIT | FI_RECV), "bind completion queue");
	must(fi_enable(ep), "enable");
	return ep;
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

static void await_completion(struct fid_cq *cq)
{
	struct fi_cq_err_entry error = { 0 };
	struct fi_cq_entry entry;
	ssize_t got = fi_cq_sread(cq, &entry, 1, NULL, PATIENCE);

	if (got == -FI_EAVAIL) {
		fi_cq_readerr(cq, &error, 0);
		errx(1, "write: %s", fi_strerror(error.err));
	}
	if (got != 1)
		errx(1, "completion: %s", fi_strerror(-got));
}

static void run_peer(const char *address)
{
	static char data[TRAFFIC_LENGTH];
	struct fi_info *info = set_up(address, 0);
	struct offer offer;
	struct fid_cq *cq;
	struct fid_ep *ep = make_endpoint(info, &cq);
	struct fid_mr *mr;

	if (read(STDIN_FILENO, &offer, sizeof(offer)) != sizeof(offer))
		err(1, "offer");
	traffic_fill(data);
	must(fi_mr_reg(domain, data, sizeof(data), FI_WRITE, 0, 0, 0, &mr, NULL),
	     "register source");
	must(fi_connect(ep, info->dest_addr, NULL, 0), "connect");
	await_event(FI_CONNECTED);
	must(fi_write(ep, data, sizeof(data), fi_mr_desc(mr), 0,
		      offer.memory + TRAFFIC_OFFSET, offer.key, NULL),
	     "write");
	await_completion(cq);
	must(fi_shutdown(ep, 0), "shut down");
	must(fi_close(&ep->fid), "close endpoint");
	must(fi_close(&cq->fid), "close completion queue");
	must(fi_close(&mr->fid), "deregister source");
	clean_up(info);
}

/* Accepts the peer and waits until it has gone. */
static void serve(const char *path, struct fid_pep *listener)
{
	struct fi_info *request = await_event(FI_CONNREQ);
	struct fid_cq *cq;
	struct fid_ep *ep = make_endpoint(request, &cq);

	must(fi_accept(ep, NULL, 0), "accept");
	await_event(FI_CONNECTED);
	traffic_see_pins(path);
	await_event(FI_SHUTDOWN);
	must(fi_close(&ep->fid), "close endpoint");
	must(fi_close(&cq->fid), "close completion queue");
	must(fi_close(&listener->fid), "close listener");
	fi_freeinfo(request);
}

int main(int argc, char **argv)
{
	char *const peer[] = { "fabric-peer", argv[argc - 1], NULL };
	struct fi_info *info;
	struct fid_pep *listener;
	struct offer offer;
	struct fid_mr *mr;
	int fd, input, status;
	void *memory;
	pid_t child;

	if (argc == 2) {
		run_peer(argv[1]);
		return 0;
	}
	if (argc != 3)
		errx(2, "usage: fabric FILE ADDRESS");
	info = set_up(argv[2], FI_SOURCE);
	memory = traffic_map(argv[1], &fd);
	must(fi_mr_reg(domain, memory, TRAFFIC_SIZE, FI_REMOTE_WRITE | FI_REMOTE_READ, 0,
		       0, 0, &mr, NULL),
	     "register file");
	must(fi_passive_ep(fabric, info, &listener, NULL), "listener");
	must(fi_pep_bind(listener, &eq->fid, 0), "bind event queue");
	must(fi_listen(listener), "listen");
	offer = (struct offer){ (uintptr_t)memory, fi_mr_key(mr) };
	child = traffic_start_peer(peer, &input);
	if (write(input, &offer, sizeof(offer)) != sizeof(offer))
		err(1, "offer");
	serve(argv[1], listener);
	if (waitpid(child, &status, 0) != child || status)
		errx(1, "the peer has failed: status %#x", status);
	must(fi_close(&mr->fid), "deregister");
	clean_up(info);
	traffic_compare(argv[1], fd);
	return 0;
}
