/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the programs over libfabric have in common: a server that registers a mapping of a file, and
 * a peer, another process, that writes to it. The programs differ in how the two find each other.
 */
#ifndef FABRIC_COMMON_H
#define FABRIC_COMMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

/* What the peer has to know. */
struct fabric_offer {
	uint64_t memory, key;
	char name[256];
};

struct fabric_program {
	const char *name, *provider, *port;
	enum fi_ep_type type;
	uint64_t peer_flags; /* FI_SOURCE: the address is its own device's */

	void (*set_up)(void); /* with fabric_domain there */
	void (*clean_up)(void);
	void (*listen)(struct fabric_offer *offer);
	/* Until the peer has written. */
	void (*serve)(const char *path, pid_t peer);
	/* What the peer does: returns when data is at the server's. */
	void (*write)(const struct fabric_offer *offer, const void *data,
		      struct fid_mr *mr);
};

extern struct fi_info *fabric_info;
extern struct fid_fabric *fabric_fabric;
extern struct fid_domain *fabric_domain;

/* Ends the program unless result is 0. */
void fabric_must(ssize_t result, const char *what);

/* The same of what reading a completion queue has given; whether there was a completion. */
bool fabric_completed(struct fid_cq *cq, ssize_t got);

int fabric_main(const struct fabric_program *program, int argc, char **argv);

#endif
