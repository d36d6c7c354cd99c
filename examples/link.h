/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the two-process examples need of RDMA besides memory regions: a connection whose server
 * offers one region, to which the client writes; and words that both send each other.
 */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>
#include <stdint.h>
#include <rdma/rdma_cma.h>

struct link {
	struct rdma_cm_id *id;
	/* Client: what the server offers. */
	uint64_t address, length;
	uint32_t rkey;
	/* Words on their way; a word of the other side lands in the second. */
	uint64_t words[2];
	struct ibv_mr *words_mr;
};

/*
 * All return 0, or -1 with errno. ECONNRESET: the other side has gone. The server's address must
 * be one of an RDMA device (rdma link).
 */
int link_listen(struct rdma_cm_id **listener, const char *address, const char *port);
int link_accept(struct link *link, struct rdma_cm_id *listener, struct ibv_pd *pd,
		const struct ibv_mr *offered);
int link_connect(struct link *link, const char *address, const char *port);

/* Write to the offered region, and wait until the other side has it. */
int link_write(struct link *link, struct ibv_mr *from, size_t from_offset, size_t length,
	       uint64_t offset);

/* Wait for the end of the one request that is under way. */
int link_sent(struct link *link);

/* A word is received in the order sent, and after the writes before it. */
int link_send(struct link *link, uint64_t word);
int link_receive(struct link *link, uint64_t *word);

void link_close(struct link *link);

/* link_address.c: a decimal number from 0 to most; -1: it is none. */
int link_number(const char *text, int most);
int link_resolve(const char *address, const char *port, const struct rdma_addrinfo *hints,
		 struct rdma_addrinfo **info);

#endif
