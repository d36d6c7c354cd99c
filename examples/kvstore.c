// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * kvstore: a key-value store on persistent memory, into which clients insert by RDMA.
 *
 *   kvstore server FILE ADDRESS [PORT]        serves one client
 *   kvstore put ADDRESS COUNT [PORT]          inserts key 0, 1, ... COUNT - 1
 *   kvstore check FILE COUNT                  whether all of them are there
 *
 * The file is a table of slots, one for each key. The client writes a slot into the server's
 * file and flushes it from afar, or, where provider or device cannot, asks the server to make
 * it durable; then the insertion is acknowledged. A slot carries a checksum, so one that a power cut has torn is not taken for an
 * entry. Nothing else is needed to open the table again, after a crash of server or machine.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <pinverbs.h>
#include "durable.h"
#include "show.h"

#define SLOTS 4096

struct slot {
	uint64_t key;
	char value[48];
	uint64_t checksum; /* never 0, so an empty slot is none */
};

static uint64_t checksum(const struct slot *slot)
{
	const unsigned char *byte = (const unsigned char *)slot;
	uint64_t sum = 0xcbf29ce484222325;
	size_t i;

	for (i = 0; i < offsetof(struct slot, checksum); i++)
		sum = (sum ^ byte[i]) * 0x100000001b3;
	return sum | 1;
}

static int count_entries(const struct slot *slots)
{
	int count = 0, i;

	for (i = 0; i < SLOTS; i++)
		count += slots[i].checksum && slots[i].checksum == checksum(&slots[i]);
	return count;
}

static int open_table(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		err(1, "%s", path);
	/* The size of a new table must be as durable as what is written to it later. */
	if (st.st_size == 0 && (ftruncate(fd, SLOTS * sizeof(struct slot)) || fsync(fd)))
		err(1, "%s", path);
	else if (st.st_size && st.st_size != SLOTS * sizeof(struct slot))
		errx(1, "%s: not a table", path);
	return fd;
}

static int run_server(const char *path, const char *address, const char *port)
{
	int fd = open_table(path);
	struct rdma_cm_id *listener;
	struct pinv_mr *table;
	struct ibv_pd *pd;
	struct link link;
	uint64_t number;
	bool flush;

	if (link_listen(&listener, address, port))
		err(1, "listen on %s", address);
	pd = ibv_alloc_pd(listener->verbs);
	if (!pd)
		err(1, "protection domain");
	table = pinv_reg_file_mr(pd, fd, 0, 0, DURABLE_ACCESS);
	flush = table;
	pinv_set_log(show, NULL);
	if (!table)
		table = pinv_reg_file_mr(pd, fd, 0, 0, WRITE_ACCESS);
	if (!table)
		err(1, "register %s", path);
	printf("ready: %d entries\n", count_entries(pinv_mr_ibv(table)->addr));
	fflush(stdout);
	if (link_accept(&link, listener, pd, pinv_mr_ibv(table)) ||
	    durable_offer(&link, flush))
		err(1, "accept");
	/* A client that cannot flush has written slot `number`: flush it, and say so. */
	while (!link_receive(&link, &number)) {
		if (number >= SLOTS ||
		    pinv_mr_persist(table, number * sizeof(struct slot),
				    sizeof(struct slot)))
			errx(1, "flush slot %" PRIu64, number);
		if (link_send(&link, number))
			break;
	}
	printf("server: %d entries\n", count_entries(pinv_mr_ibv(table)->addr));
	link_close(&link);
	if (pinv_dereg_mr(table))
		errx(1, "deregister");
	ibv_dealloc_pd(pd);
	rdma_destroy_ep(listener);
	return 0;
}

static void fill(struct slot *slot, uint64_t key)
{
	memset(slot, 0, sizeof(*slot));
	slot->key = key;
	snprintf(slot->value, sizeof(slot->value), "value of key %" PRIu64, key);
	slot->checksum = checksum(slot);
}

static int insert(struct link *link, struct ibv_mr *slot, uint64_t key, bool *flush)
{
	uint64_t offset = key * sizeof(struct slot), answer;

	if (*flush) {
		if (!durable_write(link, slot, sizeof(struct slot), offset))
			return 0;
		if (errno != EOPNOTSUPP)
			return -1;
		*flush = false;
	}
	if (link_write(link, slot, 0, sizeof(struct slot), offset) ||
	    link_send(link, key) || link_receive(link, &answer))
		return -1;
	errno = EPROTO;
	return answer == key ? 0 : -1;
}

static int run_put(const char *address, uint64_t count, const char *port)
{
	struct slot slot;
	struct ibv_mr *source;
	struct link link;
	uint64_t key;
	bool flush;

	if (link_connect(&link, address, port) || durable_accept(&link, &flush))
		err(1, "connect to %s", address);
	source = ibv_reg_mr(link.id->pd, &slot, sizeof(slot), 0);
	if (!source)
		err(1, "register slot");
	for (key = 0; key < count; key++) {
		fill(&slot, key);
		if (insert(&link, source, key, &flush))
			err(1, "insert key %" PRIu64, key);
	}
	printf("client: %" PRIu64 " insertions acknowledged, %s\n", count,
	       flush ? "flushed from here" : "flushed by the server");
	ibv_dereg_mr(source);
	link_close(&link);
	return 0;
}

static int run_check(const char *path, uint64_t count)
{
	static struct slot slots[SLOTS];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct slot expected;
	uint64_t key;

	/* What a short file does not have is an entry that is not there. */
	if (fd < 0 || read(fd, slots, sizeof(slots)) < 0)
		err(1, "%s", path);
	for (key = 0; key < count; key++) {
		fill(&expected, key);
		if (memcmp(&slots[key], &expected, sizeof(expected)))
			errx(1, "%s: key %" PRIu64 " was acknowledged and is not there",
			     path, key);
	}
	printf("check: all %" PRIu64 " acknowledged entries are there\n", count);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc >= 4 && argc <= 5 ? argv[1] : "";
	const char *port = argc > 4 ? argv[4] : "7206";
	int count = argc > 3 ? link_number(argv[3], SLOTS) : 0;

	if (!strcmp(what, "server"))
		return run_server(argv[2], argv[3], port);
	if (!strcmp(what, "put") && count > 0)
		return run_put(argv[2], count, port);
	if (!strcmp(what, "check") && count > 0)
		return run_check(argv[2], count);
	errx(2, "usage: kvstore server FILE ADDRESS [PORT] | put ADDRESS COUNT [PORT] | "
		"check FILE COUNT");
}
