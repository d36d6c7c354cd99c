/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* filelog: what the server and the client agree on, in network byte order. */
#ifndef FILELOG_H
#define FILELOG_H

#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>
#include <rdma/rdma_cma.h>

/* What a run ended with; 2 is wrong usage. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_MISMATCH = 3
};

#define RECORD_TEXT 48

/* One log record, as it lies in the file. */
struct record {
	__be64 sequence; /* from 0, and so the place in the file */
	__be64 run;      /* random for each run: old content never passes for new */
	char text[RECORD_TEXT];
};

/* Server to client, in the private data of the connection: where to write. */
struct export
{
	__be64 address;
	__be64 length;
	__be32 rkey;
	__be32 reserved;
};

/* Client to server, when all records are written. */
struct done {
	__be64 records;
	__be64 run;
	__be64 checksum; /* of all records */
};

/* Server to client: enum above. */
struct verdict {
	__be32 status;
};

/* Read the records that done tells of from the file; return what the run ended with. */
int verify_file(const char *path, const struct done *done);

int run_server(const char *path, const char *address, const char *port);
int run_client(const char *address, const char *port, uint64_t records);

#define CHECKSUM_START 0xcbf29ce484222325ULL
uint64_t checksum(uint64_t start, const void *data, size_t length);

/* Print one line with the meaning of errno; return EXIT_FAILED. */
int failed(const char *object, const char *operation, const char *remedy);

/* @flags: RAI_PASSIVE for an address to listen on. Says what is wrong, as failed(). */
int resolve(const char *address, const char *port, int flags,
	    struct rdma_addrinfo **info);

/* Wait for one completion; -1 with errno, ECONNRESET if the other side has gone. */
int await_completion(struct rdma_cm_id *id, struct ibv_cq *cq,
		     struct ibv_comp_channel *channel);

/*
 * Wait until the other side ends the connection. Who has received the last message does this: a
 * queue pair that goes at once may not have acknowledged it, and its sender would see a failure.
 */
void await_end(struct rdma_cm_id *id);

#endif
