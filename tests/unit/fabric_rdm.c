// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * fabric_rdm FILE ADDRESS: as fabric, over libfabric's reliable datagrams (verbs;ofi_rxm), which is what
 * most of its programs use. Without a word about leases.
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
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

/* What the peer has to know. */
struct offer {
	uint64_t memory, key;
	char name[256];
};

static struct fi_info *info;
static struct fid_fabric *fabric;
static struct fid_domain *domain;
static struct fid_av *av;
static struct fid_cq *cq;
static struct fid_ep *ep;

static void must(ssize_t result, const char *what)
{
	if (result)
		errx(1, "%s: %s", what, fi_strerror(-result));
}

static void find_provider(const char *address)
{
	struct fi_info *hints = fi_allocinfo();

	if (!hints)
		errx(1, "no memory");
	hints->caps = FI_MSG | FI_RMA;
	hints->ep_attr->type = FI_EP_RDM;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	hints->fabric_attr->prov_name = strdup("verbs;ofi_rxm");
	must(fi_getinfo(FI_VERSION(1, 14), address, NULL, FI_SOURCE, hints, &info),
	     "find provider");
	fi_freeinfo(hints);
}

static void set_up(const char *address)
{
	struct fi_cq_attr cq_attr = { .format = FI_CQ_FORMAT_CONTEXT, .size = 16 };
	struct fi_av_attr av_attr = { .type = FI_AV_TABLE, .count = 1 };

	find_provider(address);
	must(fi_fabric(info->fabric_attr, &fabric, NULL), "fabric");
	must(fi_domain(fabric, info, &domain, NULL), "domain");
	must(fi_av_open(domain, &av_attr, &av, NULL), "address vector");
	must(fi_cq_open(domain, &cq_attr, &cq, NULL), "completion queue");
	must(fi_endpoint(domain, info, &ep, NULL), "endpoint");
	must(fi_ep_bind(ep, &av->fid, 0), "bind address vector");
	must(fi_ep_bind(ep, &cq->fid, FI_TRANSMIT | FI_RECV), "bind completion queue");
	must(fi_enable(ep), "enable");
}

static void clean_up(void)
{
	must(fi_close(&ep->fid), "close endpoint");
	must(fi_close(&cq->fid), "close completion queue");
	must(fi_close(&av->fid), "close address vector");
	must(fi_close(&domain->fid), "close domain");
	must(fi_close(&fabric->fid), "close fabric");
	fi_freeinfo(info);
}

/* Looks after connections too. Whether something has been completed. */
static bool progress(void)
{
	struct fi_cq_err_entry error = { 0 };
	struct fi_cq_entry entry;
	ssize_t got = fi_cq_read(cq, &entry, 1);

	if (got == -FI_EAVAIL) {
		fi_cq_readerr(cq, &error, 0);
		errx(1, "write: %s", fi_strerror(error.err));
	}
	if (got < 0 && got != -FI_EAGAIN)
		errx(1, "completion queue: %s", fi_strerror(-got));
	return got == 1;
}

static void run_peer(const char *address)
{
	static char data[TRAFFIC_LENGTH];
	struct offer offer;
	struct fid_mr *mr;
	fi_addr_t to;
	ssize_t result;

	if (read(STDIN_FILENO, &offer, sizeof(offer)) != sizeof(offer))
		err(1, "offer");
	set_up(address);
	traffic_fill(data);
	must(fi_mr_reg(domain, data, sizeof(data), FI_WRITE, 0, 0, 0, &mr, NULL),
	     "register source");
	if (fi_av_insert(av, offer.name, 1, &to, 0, NULL) != 1)
		errx(1, "address of the server");
	while ((result = fi_write(ep, data, sizeof(data), fi_mr_desc(mr), to,
				  offer.memory + TRAFFIC_OFFSET, offer.key, NULL)) ==
	       -FI_EAGAIN)
		progress();
	must(result, "write");
	while (!progress())
		;
	must(fi_close(&mr->fid), "deregister source");
	clean_up();
}

int main(int argc, char **argv)
{
	char *const peer[] = { "fabric-peer", argv[argc - 1], NULL };
	struct offer offer;
	size_t length = sizeof(offer.name);
	struct fid_mr *mr;
	int fd, input, status;
	void *memory;
	pid_t child;

	if (argc == 2) {
		run_peer(argv[1]);
		return 0;
	}
	if (argc != 3)
		errx(2, "usage: fabric_rdm FILE ADDRESS");
	set_up(argv[2]);
	memory = traffic_map(argv[1], &fd);
	must(fi_mr_reg(domain, memory, TRAFFIC_SIZE, FI_REMOTE_WRITE | FI_REMOTE_READ, 0,
		       0, 0, &mr, NULL),
	     "register file");
	traffic_see_pins(argv[1]);
	offer = (struct offer){ (uintptr_t)memory, fi_mr_key(mr), "" };
	must(fi_getname(&ep->fid, offer.name, &length), "own address");
	child = traffic_start_peer(peer, &input);
	if (write(input, &offer, sizeof(offer)) != sizeof(offer))
		err(1, "offer");
	while (waitpid(child, &status, WNOHANG) == 0)
		progress();
	traffic_see_pins(argv[1]);
	must(fi_close(&mr->fid), "deregister");
	clean_up();
	if (status)
		errx(1, "the peer has failed: status %#x", status);
	traffic_compare(argv[1], fd);
	return 0;
}
