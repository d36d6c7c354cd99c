// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The version, and which provider of libibverbs drives each RDMA device. */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <infiniband/verbs.h>
#include "lspins.h"

/* The library that has the device's operations */
static const char *provider_of(const struct ibv_context *context)
{
	const char *slash;
	Dl_info info;

	if (!dladdr((void *)context->ops.poll_cq, &info))
		return "an unknown library";
	slash = strrchr(info.dli_fname, '/');
	return slash ? slash + 1 : info.dli_fname;
}

static void print_device(struct ibv_device *device)
{
	struct ibv_context *context = ibv_open_device(device);

	if (!context) {
		printf("%s: cannot be opened: %s\n", ibv_get_device_name(device),
		       strerror(errno));
		return;
	}
	printf("%s: driven by %s\n", ibv_get_device_name(device), provider_of(context));
	ibv_close_device(context);
}

void print_version(void)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	int i;

	puts("lspins from pinverbs " PINVERBS_VERSION);
	for (i = 0; devices && devices[i]; i++)
		print_device(devices[i]);
	if (!i)
		puts("no RDMA device with a provider");
	if (devices)
		ibv_free_device_list(devices);
}
