// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "fuse.h"
#include "space.h"

static char mounted[64], data[80], cached[80], hold[80];
static pid_t server;

static void serve(void *arg)
{
	const char *programs = getenv("DIO_PROGRAMS");
	char path[512];

	(void)arg;
	snprintf(path, sizeof(path), "%s/fuse-one", programs ? programs : ".");
	execl(path, "fuse-one", "-f", "-o", "max_idle_threads=4", mounted, NULL);
	_exit(127);
}

const char *fuse_mount(void)
{
	struct deadline by = deadline_in(8000);
	struct statfs fs;

	own_mounts();
	snprintf(mounted, sizeof(mounted), "/run/fuse-%d", getpid());
	snprintf(data, sizeof(data), "%s/data", mounted);
	snprintf(cached, sizeof(cached), "%s/cached", mounted);
	snprintf(hold, sizeof(hold), "%s/hold", mounted);
	if (mkdir(mounted, 0755))
		broken("%s: %s", mounted, errno_name(errno));
	server = in_child(serve, NULL);
	while (statfs(mounted, &fs) || fs.f_type != FUSE_SUPER_MAGIC)
		if (!deadline_wait(&by))
			broken("fuse-one does not mount");
	return data;
}

const char *fuse_cached(void)
{
	return cached;
}

pid_t fuse_server(void)
{
	return server;
}

void fuse_hold(void)
{
	int err = file_write(hold, "1");

	if (err)
		broken("%s: %s", hold, errno_name(-err));
}

void fuse_release(void)
{
	int err = file_write(hold, "0");

	if (err)
		broken("%s: %s", hold, errno_name(-err));
}

void fuse_await(int requests)
{
	struct deadline by = deadline_in(5000);
	char waiting[4];

	while (file_read(hold, waiting, 2) != 1 || *waiting - '0' != requests)
		if (!deadline_wait(&by))
			fail_now("%d requests do not reach the file system", requests);
}
