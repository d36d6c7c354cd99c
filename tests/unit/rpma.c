// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * rpma FILE ADDRESS: librpma writes to a file on persistent memory, as its own examples do and
 * without a word about leases. The server registers a mapping of FILE; a child connects to
 * ADDRESS, writes and flushes; the server finds it with read(2).
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <librpma.h>

#define SIZE 65536
#define PORT "7204"
#define TEXT "written by librpma"

static void must(int result, const char *what)
{
	if (result)
		errx(1, "%s: %s", what, rpma_err_2str(result));
}

static struct rpma_peer *make_peer(const char *address,
				   enum rpma_util_ibv_context_type type)
{
	struct ibv_context *context;
	struct rpma_peer *peer;

	must(rpma_utils_get_ibv_context(address, type, &context), "device");
	must(rpma_peer_new(context, &peer), "peer");
	return peer;
}

static void await_event(struct rpma_conn *conn, enum rpma_conn_event wanted)
{
	enum rpma_conn_event event;

	must(rpma_conn_next_event(conn, &event), "event");
	if (event != wanted)
		errx(1, "event %s", rpma_utils_conn_event_2str(event));
}

static void write_and_flush(struct rpma_conn *conn, struct rpma_peer *peer)
{
	static char text[4096] __attribute__((aligned(4096))) = TEXT;
	struct rpma_conn_private_data data;
	struct rpma_mr_remote *remote;
	struct rpma_mr_local *local;
	struct rpma_cq *cq;
	struct ibv_wc wc;

	must(rpma_conn_get_private_data(conn, &data), "private data");
	must(rpma_mr_remote_from_descriptor(data.ptr, data.len, &remote), "descriptor");
	must(rpma_mr_reg(peer, text, sizeof(text),
			 RPMA_MR_USAGE_WRITE_SRC | RPMA_MR_USAGE_READ_DST, &local),
	     "register source");
	must(rpma_write(conn, remote, 4096, local, 0, sizeof(TEXT),
			RPMA_F_COMPLETION_ON_ERROR, NULL),
	     "write");
	must(rpma_flush(conn, remote, 4096, sizeof(TEXT), RPMA_FLUSH_TYPE_VISIBILITY,
			RPMA_F_COMPLETION_ALWAYS, NULL),
	     "flush");
	must(rpma_conn_get_cq(conn, &cq), "completion queue");
	must(rpma_cq_wait(cq), "wait");
	must(rpma_cq_get_wc(cq, 1, &wc, NULL), "completion");
	if (wc.status != IBV_WC_SUCCESS)
		errx(1, "flush: %s", ibv_wc_status_str(wc.status));
	must(rpma_mr_dereg(&local), "deregister source");
	must(rpma_mr_remote_delete(&remote), "delete descriptor");
}

static void run_client(const char *address)
{
	struct rpma_peer *peer = make_peer(address, RPMA_UTIL_IBV_CONTEXT_REMOTE);
	struct rpma_conn_req *request;
	struct rpma_conn *conn;

	must(rpma_conn_req_new(peer, address, PORT, NULL, &request), "request");
	must(rpma_conn_req_connect(&request, NULL, &conn), "connect");
	await_event(conn, RPMA_CONN_ESTABLISHED);
	write_and_flush(conn, peer);
	must(rpma_conn_disconnect(conn), "disconnect");
	await_event(conn, RPMA_CONN_CLOSED);
	must(rpma_conn_delete(&conn), "delete connection");
	must(rpma_peer_delete(&peer), "delete peer");
}

static void serve(struct rpma_peer *peer, struct rpma_ep *ep, struct rpma_mr_local *file)
{
	struct rpma_conn_private_data data;
	struct rpma_conn_req *request;
	struct rpma_conn *conn;
	char descriptor[64];
	size_t length;

	(void)peer;
	must(rpma_mr_get_descriptor_size(file, &length), "descriptor size");
	must(rpma_mr_get_descriptor(file, descriptor), "descriptor");
	data.ptr = descriptor;
	data.len = length;
	must(rpma_ep_next_conn_req(ep, NULL, &request), "wait for client");
	must(rpma_conn_req_connect(&request, &data, &conn), "accept");
	await_event(conn, RPMA_CONN_ESTABLISHED);
	await_event(conn, RPMA_CONN_CLOSED);
	must(rpma_conn_disconnect(conn), "disconnect");
	must(rpma_conn_delete(&conn), "delete connection");
}

static int run(const char *path, const char *address)
{
	struct rpma_peer *peer = make_peer(address, RPMA_UTIL_IBV_CONTEXT_LOCAL);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), status;
	struct rpma_mr_local *file;
	char text[sizeof(TEXT)];
	struct rpma_ep *ep;
	void *memory;
	pid_t child;

	if (fd < 0 || ftruncate(fd, SIZE))
		err(1, "%s", path);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		err(1, "%s", path);
	must(rpma_mr_reg(peer, memory, SIZE,
			 RPMA_MR_USAGE_WRITE_DST | RPMA_MR_USAGE_FLUSH_TYPE_VISIBILITY |
				 RPMA_MR_USAGE_READ_SRC,
			 &file),
	     "register file");
	must(rpma_ep_listen(peer, address, PORT, &ep), "listen");
	child = fork();
	if (!child) {
		/* Of the parent's objects it uses none. */
		execl("/proc/self/exe", "rpma", address, NULL);
		_exit(1);
	}
	serve(peer, ep, file);
	waitpid(child, &status, 0);
	must(rpma_ep_shutdown(&ep), "shutdown");
	must(rpma_mr_dereg(&file), "deregister file");
	must(rpma_peer_delete(&peer), "delete peer");
	if (pread(fd, text, sizeof(text), 4096) != sizeof(text) || strcmp(text, TEXT))
		errx(1, "%s: not what was written", path);
	return status != 0;
}

int main(int argc, char **argv)
{
	if (argc == 2) {
		run_client(argv[1]);
		return 0;
	}
	if (argc != 3)
		errx(2, "usage: rpma FILE ADDRESS");
	return run(argv[1], argv[2]);
}
