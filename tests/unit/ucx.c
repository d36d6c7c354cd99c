// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * ucx FILE: UCX registers a mapping of FILE with the RDMA devices that UCX_NET_DEVICES and UCX_TLS
 * allow; a peer, another process, puts to it. Without a word about leases.
 */
#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <ucp/api/ucp.h>
#include "traffic.h"

#define MOST 4096 /* bytes of an address or a key */

/* What the peer has to know. */
struct offer {
	uint64_t memory;
	size_t address_length, key_length;
	char address[MOST], key[MOST];
};

static ucp_context_h context;
static ucp_worker_h worker;

static void must(ucs_status_t status, const char *what)
{
	if (status != UCS_OK)
		errx(1, "%s: %s", what, ucs_status_string(status));
}

static void set_up(void)
{
	ucp_params_t params = { .field_mask = UCP_PARAM_FIELD_FEATURES,
				.features = UCP_FEATURE_RMA };
	ucp_worker_params_t alone = { .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
				      .thread_mode = UCS_THREAD_MODE_SINGLE };

	must(ucp_init(&params, NULL, &context), "context");
	must(ucp_worker_create(context, &alone, &worker), "worker");
}

static void clean_up(void)
{
	ucp_worker_destroy(worker);
	ucp_cleanup(context);
}

/* Both sides poll, and may have one CPU. */
static void progress(void)
{
	if (!ucp_worker_progress(worker))
		sched_yield();
}

static void await(ucs_status_ptr_t request, const char *what)
{
	if (UCS_PTR_IS_ERR(request))
		must(UCS_PTR_STATUS(request), what);
	if (!UCS_PTR_IS_PTR(request))
		return;
	while (ucp_request_check_status(request) == UCS_INPROGRESS)
		progress();
	must(ucp_request_check_status(request), what);
	ucp_request_free(request);
}

/* The peer: what it puts has arrived when the flush has. */
static void run_peer(void)
{
	static char data[TRAFFIC_LENGTH];
	static struct offer offer;
	ucp_request_param_t none = { 0 };
	ucp_ep_params_t params = { .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS,
				   .address = (ucp_address_t *)offer.address };
	ucp_rkey_h key;
	ucp_ep_h ep;

	if (read(STDIN_FILENO, &offer, sizeof(offer)) != sizeof(offer))
		err(1, "offer");
	set_up();
	must(ucp_ep_create(worker, &params, &ep), "endpoint");
	must(ucp_ep_rkey_unpack(ep, offer.key, &key), "unpack key");
	traffic_fill(data);
	await(ucp_put_nbx(ep, data, sizeof(data), offer.memory + TRAFFIC_OFFSET, key,
			  &none),
	      "put");
	await(ucp_ep_flush_nbx(ep, &none), "flush");
	ucp_rkey_destroy(key);
	await(ucp_ep_close_nbx(ep, &none), "close endpoint");
	clean_up();
}

static void make_offer(ucp_mem_h handle, void *memory, struct offer *offer)
{
	ucp_address_t *address;
	void *key;

	must(ucp_worker_get_address(worker, &address, &offer->address_length), "address");
	must(ucp_rkey_pack(context, handle, &key, &offer->key_length), "pack key");
	if (offer->address_length > MOST || offer->key_length > MOST)
		errx(1, "address of %zu bytes, key of %zu", offer->address_length,
		     offer->key_length);
	memcpy(offer->address, address, offer->address_length);
	memcpy(offer->key, key, offer->key_length);
	offer->memory = (uintptr_t)memory;
	ucp_worker_release_address(worker, address);
	ucp_rkey_buffer_release(key);
}

int main(int argc, char **argv)
{
	ucp_mem_map_params_t map = { .field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS |
						   UCP_MEM_MAP_PARAM_FIELD_LENGTH,
				     .length = TRAFFIC_SIZE };
	char *const peer[] = { "ucx-peer", NULL };
	static struct offer offer;
	int fd, input, status;
	ucp_mem_h handle;
	pid_t child;

	if (argc == 1) {
		run_peer();
		return 0;
	}
	if (argc != 2)
		errx(2, "usage: ucx FILE");
	set_up();
	map.address = traffic_map(argv[1], &fd);
	must(ucp_mem_map(context, &map, &handle), "register file");
	make_offer(handle, map.address, &offer);
	traffic_see_pins(argv[1]);
	child = traffic_start_peer(peer, &input);
	if (write(input, &offer, sizeof(offer)) != sizeof(offer))
		err(1, "offer");
	/* The two of them connect while this side looks after its worker. */
	while (waitpid(child, &status, WNOHANG) == 0)
		progress();
	traffic_see_pins(argv[1]);
	must(ucp_mem_unmap(context, handle), "deregister");
	clean_up();
	if (status)
		errx(1, "the peer has failed: status %#x", status);
	traffic_compare(argv[1], fd);
	return 0;
}
