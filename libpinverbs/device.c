// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Opening an RDMA device, with the reason when there is none to open. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include "backing.h"
#include "internal.h"

static bool is_meant(struct ibv_device *device, const char *name)
{
	return !name || !strcmp(ibv_get_device_name(device), name);
}

/* A positive errno, though some providers forget to set it. */
static int error_of_open(void)
{
	return errno ? errno : EIO;
}

/* What libibverbs tries after a refused open() has an errno of its own, ENOENT. */
static void restore_refusal(const struct ibv_device *device)
{
	char path[PATH_MAX];
	int err = errno;

	SAY(path, "/dev/infiniband/%s", device->dev_name);
	if (!faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) || errno != EACCES)
		errno = err;
}

static struct ibv_pd *open_pd(struct ibv_device *device)
{
	struct ibv_context *context;
	struct ibv_pd *pd;
	int err;

	errno = 0;
	context = ibv_open_device(device);
	if (!context) {
		restore_refusal(device);
		return NULL;
	}
	pd = ibv_alloc_pd(context);
	if (pd)
		return pd;
	err = errno;
	ibv_close_device(context);
	errno = err;
	return NULL;
}

/* Of several that cannot be opened, the first is the one to be explained. */
static int open_one(struct ibv_device **list, const char *name, struct ibv_pd **pd)
{
	int err = ENODEV;

	for (; *list; list++) {
		if (!is_meant(*list, name))
			continue;
		*pd = open_pd(*list);
		if (*pd)
			return 0;
		if (err == ENODEV)
			err = error_of_open();
	}
	return err;
}

bool kernel_has_rdma_devices(void)
{
	struct dirent *entry;
	bool found = false;
	char path[PATH_MAX];
	DIR *dir;

	SAY(path, "%s/class/infiniband", sys_root);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir)) != NULL)
		found = entry->d_name[0] != '.';
	closedir(dir);
	return found;
}

PINV_EXPORT struct ibv_pd *pinv_open_pd(const char *device)
{
	struct ibv_device **list;
	struct ibv_pd *pd = NULL;
	int err;

	errno = 0;
	list = ibv_get_device_list(NULL);
	/* A kernel without RDMA has no device, which is what matters to the caller. */
	if (!list && errno != ENOSYS)
		err = error_of_open();
	else
		err = list ? open_one(list, device, &pd) : ENODEV;
	if (list)
		ibv_free_device_list(list);
	if (!err)
		return pd;
	errno = fail_open_pd(device, err);
	return NULL;
}

/* Some providers return -1 with errno, as the manual has it. */
static int positive(int result)
{
	return result < 0 ? error_of_open() : result;
}

PINV_EXPORT int pinv_close_pd(struct ibv_pd *pd)
{
	struct ibv_context *context;
	int err;

	if (!pd)
		return 0;
	context = pd->context;
	errno = 0;
	err = positive(ibv_dealloc_pd(pd));
	if (err)
		return fail_close_pd(context, "free protection domain", err);
	err = positive(ibv_close_device(context));
	return err ? fail_close_pd(context, "close", err) : 0;
}
