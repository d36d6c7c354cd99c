// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * ucx FILE: UCX registers a mapping of FILE with the RDMA devices that UCX_NET_DEVICES and UCX_TLS
 * allow, and packs the key for a peer; without a word about leases.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <ucp/api/ucp.h>

#define SIZE 65536

static void must(ucs_status_t status, const char *what)
{
	if (status != UCS_OK)
		errx(1, "%s: %s", what, ucs_status_string(status));
}

int main(int argc, char **argv)
{
	ucp_params_t params = { .field_mask = UCP_PARAM_FIELD_FEATURES,
				.features = UCP_FEATURE_RMA };
	ucp_mem_map_params_t map = { .field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS |
						   UCP_MEM_MAP_PARAM_FIELD_LENGTH,
				     .length = SIZE };
	ucp_context_h context;
	ucp_mem_h handle;
	size_t length;
	void *key;
	int fd;

	if (argc != 2)
		errx(2, "usage: ucx FILE");
	must(ucp_init(&params, NULL, &context), "context");
	fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, SIZE))
		err(1, "%s", argv[1]);
	map.address = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map.address == MAP_FAILED)
		err(1, "%s", argv[1]);
	must(ucp_mem_map(context, &map, &handle), "register file");
	must(ucp_rkey_pack(context, handle, &key, &length), "pack key");
	printf("%s: registered, key of %zu bytes\n", argv[1], length);
	ucp_rkey_buffer_release(key);
	must(ucp_mem_unmap(context, handle), "deregister");
	ucp_cleanup(context);
	return 0;
}
