// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>
#include "fabric_common.h"
#include "traffic.h"

struct fi_info *fabric_info;
struct fid_fabric *fabric_fabric;
struct fid_domain *fabric_domain;

void fabric_must(ssize_t result, const char *what)
{
	if (result)
		errx(1, "%s: %s", what, fi_strerror(-result));
}

bool fabric_completed(struct fid_cq *cq, ssize_t got)
{
	struct fi_cq_err_entry error = { 0 };

	if (got == -FI_EAVAIL) {
		fi_cq_readerr(cq, &error, 0);
		errx(1, "write: %s", fi_strerror(error.err));
	}
	if (got < 0 && got != -FI_EAGAIN)
		errx(1, "completion queue: %s", fi_strerror(-got));
	return got == 1;
}

/* For the device that has the address or leads there. */
static void set_up(const struct fabric_program *program, const char *address,
		   uint64_t flags)
{
	struct fi_info *hints = fi_allocinfo();

	if (!hints)
		errx(1, "no memory");
	hints->caps = FI_MSG | FI_RMA;
	hints->ep_attr->type = program->type;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	hints->fabric_attr->prov_name = strdup(program->provider);
	fabric_must(fi_getinfo(FI_VERSION(1, 14), address, program->port, flags, hints,
			       &fabric_info),
		    "find provider");
	fi_freeinfo(hints);
	fabric_must(fi_fabric(fabric_info->fabric_attr, &fabric_fabric, NULL), "fabric");
	fabric_must(fi_domain(fabric_fabric, fabric_info, &fabric_domain, NULL),
		    "domain");
	program->set_up();
}

static void clean_up(const struct fabric_program *program)
{
	program->clean_up();
	fabric_must(fi_close(&fabric_domain->fid), "close domain");
	fabric_must(fi_close(&fabric_fabric->fid), "close fabric");
	fi_freeinfo(fabric_info);
}

static void run_peer(const struct fabric_program *program, const char *address)
{
	static char data[TRAFFIC_LENGTH];
	struct fabric_offer offer;
	struct fid_mr *mr;

	if (read(STDIN_FILENO, &offer, sizeof(offer)) != sizeof(offer))
		err(1, "offer");
	set_up(program, address, program->peer_flags);
	traffic_fill(data);
	fabric_must(fi_mr_reg(fabric_domain, data, sizeof(data), FI_WRITE, 0, 0, 0, &mr,
			      NULL),
		    "register source");
	program->write(&offer, data, mr);
	fabric_must(fi_close(&mr->fid), "deregister source");
	clean_up(program);
}

static void run_server(const struct fabric_program *program, const char *path,
		       char *address)
{
	char *const peer[] = { "fabric-peer", address, NULL };
	struct fabric_offer offer = { 0 };
	struct fid_mr *mr;
	int fd, input, status;
	void *memory;
	pid_t child;

	set_up(program, address, FI_SOURCE);
	memory = traffic_map(path, &fd);
	fabric_must(fi_mr_reg(fabric_domain, memory, TRAFFIC_SIZE,
			      FI_REMOTE_WRITE | FI_REMOTE_READ, 0, 0, 0, &mr, NULL),
		    "register file");
	offer.memory = (uintptr_t)memory;
	offer.key = fi_mr_key(mr);
	program->listen(&offer);
	child = traffic_start_peer(peer, &input);
	if (write(input, &offer, sizeof(offer)) != sizeof(offer))
		err(1, "offer");
	program->serve(path, child);
	if (waitpid(child, &status, 0) != child || status)
		errx(1, "the peer has failed: status %#x", status);
	traffic_see_pins(path);
	fabric_must(fi_close(&mr->fid), "deregister");
	clean_up(program);
	traffic_compare(path, fd);
}

int fabric_main(const struct fabric_program *program, int argc, char **argv)
{
	if (argc != 2 && argc != 3)
		errx(2, "usage: %s FILE ADDRESS", program->name);
	if (argc == 2)
		run_peer(program, argv[1]);
	else
		run_server(program, argv[1], argv[2]);
	return 0;
}
