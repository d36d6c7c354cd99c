// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* filelog server: exports a file as a memory region and verifies what a client wrote. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <rdma/rdma_verbs.h>
#include "pinverbs.h"
#include "filelog.h"

#define EXPORT_SIZE (1024 * 1024)

struct server {
	const char *path;
	struct rdma_cm_id *listener, *client;
	bool connected;
	struct ibv_pd *pd;
	struct pinv_mr *file;
	struct ibv_mr *message;
	union {
		struct done done;
		struct verdict verdict;
	} buffer;
};

static int listen_on(struct server *server, const char *address, const char *port)
{
	const char *name = address ? address : "::"; /* any, of IPv4 too */
	struct rdma_addrinfo *info;
	int err;

	if (resolve(name, port, RAI_PASSIVE, &info))
		return EXIT_FAILED;
	err = rdma_create_ep(&server->listener, info, NULL, NULL);
	rdma_freeaddrinfo(info);
	if (err)
		return failed(name, "bind",
			      "give an address of an RDMA device (rdma link)");
	return 0;
}

/* Bound to one address we know the device; else take the first. */
static int open_device(struct server *server)
{
	struct ibv_context *verbs = server->listener->verbs;
	struct ibv_context **all;

	if (!verbs) {
		all = rdma_get_devices(NULL);
		if (!all || !all[0])
			return failed("RDMA devices", "list", "add one (rdma link add)");
		verbs = all[0];
		rdma_free_devices(all);
	}
	server->pd = ibv_alloc_pd(verbs);
	if (!server->pd)
		return failed(ibv_get_device_name(verbs->device),
			      "allocate protection domain",
			      "check the limits of the device");
	return 0;
}

/*
 * After this the file belongs to the memory region: our descriptor is closed at once, and
 * still nobody can cut the file before pinv_dereg_mr().
 */
static int export_file(struct server *server)
{
	int fd = open(server->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0)
		return failed(server->path, "open",
			      "name a file that you may write, with room");
	if (fstat(fd, &st) || (st.st_size < EXPORT_SIZE && ftruncate(fd, EXPORT_SIZE))) {
		failed(server->path, "extend to 1 MiB",
		       "name a regular file with room to grow");
		close(fd);
		return EXIT_FAILED;
	}
	server->file = pinv_reg_file_mr(server->pd, fd, 0, 0,
					IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	close(fd);
	/* The library has told the reason through print_log(). */
	return server->file ? 0 : EXIT_FAILED;
}

static int accept_client(struct server *server)
{
	struct ibv_mr *file = pinv_mr_ibv(server->file);
	struct export where = {
		.address = htobe64((uintptr_t)file->addr),
		.length = htobe64(file->length),
		.rkey = htobe32(file->rkey),
	};
	struct rdma_conn_param param = {
		.private_data = &where,
		.private_data_len = sizeof(where),
		.rnr_retry_count = 7,
	};
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 1,
			 .max_recv_wr = 1,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
	};

	if (rdma_get_request(server->listener, &server->client))
		return failed("listener", "wait for a client", "check the RDMA device");
	if (server->client->verbs != server->pd->context) {
		errno = EXDEV;
		return failed("client", "accept",
			      "it came by another RDMA device; use --bind");
	}
	if (rdma_create_qp(server->client, server->pd, &attr))
		return failed("client", "create queue pair",
			      "check the limits of the device");
	server->message =
		rdma_reg_msgs(server->client, &server->buffer, sizeof(server->buffer));
	if (!server->message || rdma_post_recv(server->client, NULL, &server->buffer,
					       sizeof(server->buffer), server->message))
		return failed("client", "prepare to receive", "raise ulimit -l");
	if (rdma_accept(server->client, &param))
		return failed("client", "accept", "see whether the client gave up");
	server->connected = true;
	return 0;
}

static int serve(struct server *server)
{
	struct rdma_cm_id *client = server->client;
	struct done done;
	int status, err;

	/* The message comes after the client's writes on the same queue pair: they are here. */
	if (await_completion(client, client->recv_cq, client->recv_cq_channel))
		return failed("client", "wait for its records",
			      "see what the client says");
	done = server->buffer.done;

	/* Deregisters, unmaps, releases the lease and closes. */
	err = pinv_dereg_mr(server->file);
	if (err)
		return EXIT_FAILED;
	server->file = NULL;
	status = verify_file(server->path, &done);

	server->buffer.verdict.status = htobe32(status);
	if (rdma_post_send(client, NULL, &server->buffer.verdict, sizeof(struct verdict),
			   server->message, IBV_SEND_SIGNALED) ||
	    await_completion(client, client->send_cq, client->send_cq_channel))
		return failed("client", "tell it the result", "see what the client says");
	return status;
}

/* In reverse order of making, as far as it got. */
static void clean_up(struct server *server)
{
	pinv_dereg_mr(server->file);
	if (server->message)
		rdma_dereg_mr(server->message);
	/* Without a connection rdma_disconnect() would wait for its end for ever. */
	if (server->connected)
		rdma_disconnect(server->client);
	if (server->client)
		rdma_destroy_ep(server->client);
	if (server->pd)
		ibv_dealloc_pd(server->pd);
	if (server->listener)
		rdma_destroy_ep(server->listener);
}

int run_server(const char *path, const char *address, const char *port)
{
	struct server server = { .path = path };
	int status = listen_on(&server, address, port);

	if (!status)
		status = open_device(&server);
	if (!status)
		status = export_file(&server);
	if (!status && rdma_listen(server.listener, 1))
		status = failed("listener", "listen", "use another port");
	if (!status) {
		printf("ready: %s, %zu bytes, port %u\n", path,
		       pinv_mr_ibv(server.file)->length,
		       be16toh(rdma_get_src_port(server.listener)));
		fflush(stdout);
		status = accept_client(&server);
	}
	if (!status)
		status = serve(&server);
	clean_up(&server);
	return status;
}
