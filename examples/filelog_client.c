// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* filelog client: writes records into the server's file and asks it to verify them. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <rdma/rdma_verbs.h>
#include "filelog.h"

#define QUEUE_DEPTH 64
#define PATIENCE    20000 /* ms for each answer of the network */

struct client {
	const char *address;
	struct rdma_cm_id *id;
	bool connected;
	struct export where;
	struct record *records;
	uint64_t count, run;
	struct ibv_mr *record_mr, *message_mr;
	struct {
		struct done done;
		struct verdict verdict;
	} message;
};

static int find_way(struct client *client, const char *port)
{
	struct rdma_addrinfo *info;
	int err;

	if (resolve(client->address, port, 0, &info))
		return EXIT_FAILED;
	err = rdma_create_id(NULL, &client->id, NULL, RDMA_PS_TCP) ||
	      rdma_resolve_addr(client->id, info->ai_src_addr, info->ai_dst_addr,
				PATIENCE) ||
	      rdma_resolve_route(client->id, PATIENCE);
	rdma_freeaddrinfo(info);
	if (err)
		return failed(client->address, "find a way there",
			      "give an address that an RDMA device reaches (rdma link)");
	return 0;
}

static int connect_to(struct client *client, const char *port)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = QUEUE_DEPTH,
			 .max_recv_wr = 1,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
	};
	struct rdma_conn_param param = { .retry_count = 7, .rnr_retry_count = 7 };
	const struct rdma_conn_param *answer;

	if (find_way(client, port))
		return EXIT_FAILED;
	if (rdma_create_qp(client->id, NULL, &attr))
		return failed(client->address, "create queue pair",
			      "check the limits of the device");
	if (rdma_connect(client->id, &param))
		return failed(client->address, "connect",
			      "see whether the server is ready");
	client->connected = true;
	answer = &client->id->event->param.conn;
	if (answer->private_data_len < sizeof(client->where)) {
		errno = EPROTO;
		return failed(client->address, "read where to write",
			      "see whether a filelog server listens on that port");
	}
	memcpy(&client->where, answer->private_data, sizeof(client->where));
	return 0;
}

static int make_records(struct client *client)
{
	uint64_t room = be64toh(client->where.length) / sizeof(*client->records);
	uint64_t i;

	if (client->count > room) {
		fprintf(stderr,
			"filelog: %s: write %" PRIu64
			" records: the file has room for %" PRIu64
			"; give a smaller -n, or the server a larger file\n",
			client->address, client->count, room);
		return EXIT_FAILED;
	}
	client->records = calloc(client->count, sizeof(*client->records));
	if (!client->records || getrandom(&client->run, sizeof(client->run), 0) < 0)
		return failed("records", "make", "write fewer");
	for (i = 0; i < client->count; i++) {
		struct record *record = &client->records[i];

		record->sequence = htobe64(i);
		record->run = client->run;
		snprintf(record->text, sizeof(record->text), "record %" PRIu64 "\n", i);
	}
	client->record_mr = rdma_reg_msgs(client->id, client->records,
					  client->count * sizeof(*client->records));
	client->message_mr =
		rdma_reg_msgs(client->id, &client->message, sizeof(client->message));
	if (!client->record_mr || !client->message_mr)
		return failed("records", "register", "raise ulimit -l, or write fewer");
	return 0;
}

/* One write each, at most QUEUE_DEPTH of them on their way at a time. */
static int write_records(struct client *client)
{
	uint64_t base = be64toh(client->where.address);
	uint32_t rkey = be32toh(client->where.rkey);
	struct rdma_cm_id *id = client->id;
	uint64_t posted = 0, finished = 0;

	while (finished < client->count) {
		if (posted < client->count && posted - finished < QUEUE_DEPTH) {
			if (rdma_post_write(id, NULL, &client->records[posted],
					    sizeof(struct record), client->record_mr,
					    IBV_SEND_SIGNALED,
					    base + posted * sizeof(struct record), rkey))
				return failed(client->address, "post a write",
					      "check the RDMA device");
			posted++;
		} else {
			if (await_completion(id, id->send_cq, id->send_cq_channel))
				return failed(client->address, "write records",
					      "see what the server says");
			finished++;
		}
	}
	return 0;
}

/* Tell the server that all is written, and what; it answers after it has looked. */
static int ask_for_verdict(struct client *client)
{
	struct rdma_cm_id *id = client->id;
	size_t bytes = client->count * sizeof(*client->records);
	uint64_t sum = checksum(CHECKSUM_START, client->records, bytes);
	int status;

	client->message.done = (struct done){
		.records = htobe64(client->count),
		.run = client->run,
		.checksum = htobe64(sum),
	};
	if (rdma_post_recv(id, NULL, &client->message.verdict, sizeof(struct verdict),
			   client->message_mr) ||
	    rdma_post_send(id, NULL, &client->message.done, sizeof(struct done),
			   client->message_mr, IBV_SEND_SIGNALED) ||
	    await_completion(id, id->send_cq, id->send_cq_channel) ||
	    await_completion(id, id->recv_cq, id->recv_cq_channel))
		return failed(client->address, "have the records verified",
			      "see what the server says");
	printf("wrote %" PRIu64 " records, %zu bytes, checksum %016" PRIx64 "\n",
	       client->count, bytes, sum);
	status = be32toh(client->message.verdict.status);
	if (status == EXIT_DONE)
		printf("the server found them in its file\n");
	else
		fprintf(stderr, "filelog: %s: the server found other data\n",
			client->address);
	await_end(id);
	return status;
}

static void clean_up(struct client *client)
{
	if (client->record_mr)
		rdma_dereg_mr(client->record_mr);
	if (client->message_mr)
		rdma_dereg_mr(client->message_mr);
	/* Without a connection rdma_disconnect() would wait for its end for ever. */
	if (client->connected)
		rdma_disconnect(client->id);
	if (client->id)
		rdma_destroy_ep(client->id);
	free(client->records);
}

int run_client(const char *address, const char *port, uint64_t records)
{
	struct client client = { .address = address, .count = records };
	int status = connect_to(&client, port);

	if (!status)
		status = make_records(&client);
	if (!status)
		status = write_records(&client);
	if (!status)
		status = ask_for_verdict(&client);
	clean_up(&client);
	return status;
}
