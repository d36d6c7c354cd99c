// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * fabric_rdm FILE ADDRESS: as fabric, over libfabric's reliable datagrams (verbs;ofi_rxm), which is what
 * most of its programs use. Without a word about leases.
 */
#include <err.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include "fabric_common.h"
#include "traffic.h"

static struct fid_av *av;
static struct fid_cq *cq;
static struct fid_ep *ep;

static void set_up(void)
{
	struct fi_cq_attr cq_attr = { .format = FI_CQ_FORMAT_CONTEXT, .size = 16 };
	struct fi_av_attr av_attr = { .type = FI_AV_TABLE, .count = 1 };

	fabric_must(fi_av_open(fabric_domain, &av_attr, &av, NULL), "address vector");
	fabric_must(fi_cq_open(fabric_domain, &cq_attr, &cq, NULL), "completion queue");
	fabric_must(fi_endpoint(fabric_domain, fabric_info, &ep, NULL), "endpoint");
	fabric_must(fi_ep_bind(ep, &av->fid, 0), "bind address vector");
	fabric_must(fi_ep_bind(ep, &cq->fid, FI_TRANSMIT | FI_RECV),
		    "bind completion queue");
	fabric_must(fi_enable(ep), "enable");
}

static void clean_up(void)
{
	fabric_must(fi_close(&ep->fid), "close endpoint");
	fabric_must(fi_close(&cq->fid), "close completion queue");
	fabric_must(fi_close(&av->fid), "close address vector");
}

/*
 * Looks after connections too. Whether something has been completed. Both sides poll, and may have
 * one CPU.
 */
static bool progress(void)
{
	struct fi_cq_entry entry;
	bool completed = fabric_completed(cq, fi_cq_read(cq, &entry, 1));

	if (!completed)
		sched_yield();
	return completed;
}

static void write_to(const struct fabric_offer *offer, const void *data,
		     struct fid_mr *mr)
{
	fi_addr_t to;
	ssize_t result;

	if (fi_av_insert(av, offer->name, 1, &to, 0, NULL) != 1)
		errx(1, "address of the server");
	while ((result = fi_write(ep, data, TRAFFIC_LENGTH, fi_mr_desc(mr), to,
				  offer->memory + TRAFFIC_OFFSET, offer->key, NULL)) ==
	       -FI_EAGAIN)
		progress();
	fabric_must(result, "write");
	while (!progress())
		;
}

static void start_listening(struct fabric_offer *offer)
{
	size_t length = sizeof(offer->name);

	fabric_must(fi_getname(&ep->fid, offer->name, &length), "own address");
}

/* Nothing goes on without being asked for; the caller reaps the peer. */
static void serve(const char *path, pid_t peer)
{
	siginfo_t ended = { 0 };

	traffic_see_pins(path);
	while (!waitid(P_PID, peer, &ended, WEXITED | WNOHANG | WNOWAIT) && !ended.si_pid)
		progress();
}

int main(int argc, char **argv)
{
	static const struct fabric_program program = {
		.name = "fabric_rdm",
		.provider = "verbs;ofi_rxm",
		.type = FI_EP_RDM,
		.peer_flags = FI_SOURCE,
		.set_up = set_up,
		.clean_up = clean_up,
		.listen = start_listening,
		.serve = serve,
		.write = write_to,
	};

	return fabric_main(&program, argc, argv);
}
