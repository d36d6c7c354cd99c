// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * appendlog: a log on persistent memory to which another host appends, with a barrier.
 *
 *   appendlog server FILE ADDRESS [PORT]
 *   appendlog client ADDRESS COUNT [PORT]
 *
 * The client writes records straight into the server's file. An RDMA write that has completed is
 * in the server's memory, but a power cut could still lose it. So after some records the client
 * sends a barrier, the number of bytes; the server makes them durable with pinv_mr_persist() and
 * answers. Only then does the client count the records as written.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <pinverbs.h>
#include "link.h"
#include "show.h"

#define SIZE   (1024 * 1024)
#define RECORD 64
#define BATCH  16 /* records between barriers */

/* Answers each barrier, until the client has gone. Returns the bytes that are durable. */
static uint64_t serve(struct link *link, struct pinv_mr *file)
{
	uint64_t durable = 0, end;

	while (!link_receive(link, &end)) {
		if (end < durable || end > SIZE)
			errx(1, "a barrier that is not in the file");
		errno = pinv_mr_persist(file, durable, end - durable);
		if (end > durable && errno)
			err(1, "persist");
		durable = end;
		if (link_send(link, durable))
			break;
	}
	return durable;
}

static int count_records(const char *path, uint64_t bytes)
{
	char record[RECORD], expected[RECORD] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC), i;

	for (i = 0; (uint64_t)i < bytes / RECORD; i++) {
		snprintf(expected, sizeof(expected), "record %d\n", i);
		if (read(fd, record, RECORD) != RECORD || strcmp(record, expected))
			errx(1, "%s: record %d is not what was written", path, i);
	}
	close(fd);
	return i;
}

static int run_server(const char *path, const char *address, const char *port)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct rdma_cm_id *listener;
	struct pinv_mr *file;
	struct ibv_pd *pd;
	struct link link;
	uint64_t durable;

	if (fd < 0 || ftruncate(fd, SIZE))
		err(1, "%s", path);
	if (link_listen(&listener, address, port))
		err(1, "listen on %s", address);
	pd = ibv_alloc_pd(listener->verbs);
	if (!pd)
		err(1, "protection domain");
	/* Lease, mapping and region in one; from here on nobody can cut the file. */
	file = pinv_reg_file_mr(pd, fd, 0, 0,
				IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	if (!file)
		err(1, "%s", path);
	close(fd);
	printf("ready\n");
	fflush(stdout);
	if (link_accept(&link, listener, pd, pinv_mr_ibv(file)))
		err(1, "accept");
	durable = serve(&link, file);
	link_close(&link);
	errno = pinv_dereg_mr(file);
	if (errno)
		err(1, "deregister");
	printf("server: %d records are durable\n", count_records(path, durable));
	ibv_dealloc_pd(pd);
	rdma_destroy_ep(listener);
	return 0;
}

static void barrier(struct link *link, uint64_t end)
{
	uint64_t durable;

	if (link_send(link, end) || link_receive(link, &durable))
		err(1, "barrier");
	if (durable != end)
		errx(1, "barrier: the server has %" PRIu64 " of %" PRIu64 " bytes",
		     durable, end);
}

static int run_client(const char *address, int count, const char *port)
{
	static char records[BATCH * RECORD];
	struct ibv_mr *source;
	struct link link;
	int i;

	if (link_connect(&link, address, port))
		err(1, "connect to %s", address);
	source = ibv_reg_mr(link.id->pd, records, sizeof(records), 0);
	if (!source)
		err(1, "register records");
	for (i = 0; i < count; i++) {
		size_t at = i % BATCH * RECORD;

		memset(records + at, 0, RECORD);
		snprintf(records + at, RECORD, "record %d\n", i);
		if (link_write(&link, source, at, RECORD, (uint64_t)i * RECORD))
			err(1, "write record %d", i);
		if ((i + 1) % BATCH == 0 || i + 1 == count)
			barrier(&link, (uint64_t)(i + 1) * RECORD);
	}
	printf("client: %d records written and acknowledged\n", count);
	ibv_dereg_mr(source);
	link_close(&link);
	return 0;
}

int main(int argc, char **argv)
{
	const char *port = argc > 4 ? argv[4] : "7205";
	int count;

	pinv_set_log(show, NULL);
	if (argc >= 4 && argc <= 5 && !strcmp(argv[1], "server"))
		return run_server(argv[2], argv[3], port);
	count = argc >= 4 ? link_number(argv[3], SIZE / RECORD) : 0;
	if (argc >= 4 && argc <= 5 && !strcmp(argv[1], "client") && count > 0)
		return run_client(argv[2], count, port);
	errx(2,
	     "usage: appendlog server FILE ADDRESS [PORT] | client ADDRESS COUNT [PORT]");
}
