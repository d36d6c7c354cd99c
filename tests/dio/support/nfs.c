// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"
#include "nfs.h"
#include "space.h"

static char mounted[300];

static void control(char command)
{
	static int fd = -1;
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = NFS_CONTROL };
	char answer;

	if (fd < 0) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)))
			broken("no nfs-hold at " NFS_CONTROL
			       ": run within tests/dio/with-nfs");
	}
	if (write(fd, &command, 1) != 1 || read(fd, &answer, 1) != 1)
		broken("nfs-hold has gone");
}

void nfs_hold(void)
{
	control('h');
}

void nfs_release(void)
{
	control('r');
}

void nfs_cut(void)
{
	control('c');
}

const char *nfs_mount_at(enum nfs_version version, const char *folder, const char *more)
{
	char source[400], options[400];

	if (strncmp(folder, "/mnt/", 5))
		broken("%s is not exported", folder);
	own_mounts();
	control('r');
	snprintf(mounted, sizeof(mounted), "/run/nfs-%d", getpid());
	if (mkdir(mounted, 0755) && errno != EEXIST)
		broken("%s: %s", mounted, errno_name(errno));
	snprintf(source, sizeof(source), "127.0.0.1:%s/%s",
		 version == NFS3 ? "/run/nfs-exports" : "", folder + 5);
	snprintf(options, sizeof(options),
		 "vers=%s,proto=tcp,port=2050,addr=127.0.0.1,%s%s",
		 version == NFS3 ? "3" : "4.2",
		 version == NFS3 ? "nolock,mountproto=tcp,mountport=20048,"
				   "mountaddr=127.0.0.1"
				 : "clientaddr=127.0.0.1",
		 more);
	if (mount(source, mounted, version == NFS3 ? "nfs" : "nfs4", 0, options))
		fail_now("mounting %s (%s): %s", source, options, errno_name(errno));
	return mounted;
}

const char *nfs_mount(enum nfs_version version)
{
	return nfs_mount_at(version, check_dir(), "");
}

const char *dax_folder(void)
{
	static char folder[128];
	const char *dir = check_dir(), *end = strstr(dir, "-plain/");

	if (!end)
		broken("%s: no DAX file system beside it", dir);
	snprintf(folder, sizeof(folder), "%.*s/served-%d", (int)(end - dir), dir,
		 getpid());
	if (mkdir(folder, 0755))
		broken("%s: %s", folder, errno_name(errno));
	return folder;
}

const char *nfs_path(const char *name)
{
	static char path[8][600];
	static unsigned int next;

	next = (next + 1) % 8;
	snprintf(path[next], sizeof(path[next]), "%s/%s", mounted, name);
	return path[next];
}

int held_device(size_t size)
{
	int fd;

	make_file("device", size);
	nfs_mount(NFS4);
	fd = loop_device(nfs_path("device"), LO_FLAGS_DIRECT_IO);
	if (fcntl(fd, F_SETFL, O_DIRECT))
		broken("loop device: %s", errno_name(errno));
	return fd;
}

long nfs_calls(void)
{
	char text[4096], *line;
	long calls;

	if (file_read("/proc/net/rpc/nfsd", text, sizeof(text)) < 0)
		broken("/proc/net/rpc/nfsd cannot be read");
	line = strstr(text, "\nrpc ");
	if (!line || sscanf(line, "\nrpc %ld", &calls) != 1)
		broken("/proc/net/rpc/nfsd has no number of calls");
	return calls;
}
