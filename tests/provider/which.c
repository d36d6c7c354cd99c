// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Prints which library drives a device: where its poll_cq comes from. */
#include <dlfcn.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <infiniband/verbs.h>
#ifdef LINKED
#include <infiniband/pinrxedv.h>
#endif

static struct ibv_context *open_device(const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context = NULL;

	for (int i = 0; list && list[i]; i++) {
		if (strcmp(ibv_get_device_name(list[i]), name))
			continue;
#ifdef LINKED
		printf("%s ",
		       pinrxedv_is_supported(list[i]) ? "supported" : "unsupported");
#endif
		context = ibv_open_device(list[i]);
	}
	ibv_free_device_list(list);
	return context;
}

int main(int argc, char **argv)
{
	struct ibv_context *context = open_device(argc > 1 ? argv[1] : "rxe0");
	const char *slash;
	Dl_info info;

	if (!context)
		errx(1, "no such device, or no driver for it");
	if (!dladdr((void *)context->ops.poll_cq, &info))
		errx(1, "poll_cq is in no library");
	slash = strrchr(info.dli_fname, '/');
	puts(slash ? slash + 1 : info.dli_fname);
	return ibv_close_device(context);
}
