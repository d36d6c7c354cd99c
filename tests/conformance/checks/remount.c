// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mounting with other options, which "mount -o remount" does not change. */
#include <errno.h>
#include <linux/fs.h>
#include <mntent.h>
#include <stdio.h>
#include <sys/mount.h>

#include "remount.h"

struct own_mount own_mount(void)
{
	struct own_mount m = { .point = "" };
	FILE *f = setmntent("/proc/self/mounts", "r");
	struct mntent *e;
	size_t len;

	if (!f)
		broken("no /proc/self/mounts");
	while ((e = getmntent(f))) {
		len = strlen(e->mnt_dir);
		if (strncmp(e->mnt_dir, check_dir(), len) || check_dir()[len] != '/' ||
		    len < strlen(m.point))
			continue;
		snprintf(m.point, sizeof(m.point), "%s", e->mnt_dir);
		snprintf(m.node, sizeof(m.node), "%.63s", e->mnt_fsname);
		snprintf(m.type, sizeof(m.type), "%.15s", e->mnt_type);
	}
	endmntent(f);
	if (strncmp(m.node, "/dev/", 5))
		skip("the file system is on no device of its own");
	return m;
}

void need_leases(void)
{
	struct actor *a = actor_start("prober");
	long fd = must(a_open(a, make_file("probe", PAGE), O_RDWR));

	require(0, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	actor_exit(a);
}

void remount(const struct own_mount *m, const char *options,
	     void (*between)(const struct own_mount *m))
{
	struct actor *a = actor_start("admin");

	require(0, SYS(a, SYS_umount2, STR(m->point), V(0)));
	if (between)
		between(m);
	require(0, SYS(a, SYS_mount, STR(m->node), STR(m->point), STR(m->type), V(0),
		       STR(options)));
}

const char *make_dax_file(const char *name, uint64_t size)
{
	struct actor *a = actor_start("admin");
	struct fsxattr flags = { .fsx_xflags = FS_XFLAG_DAX };
	char path[64];
	long fd;

	/* The flag of a file counts when the inode is read; new files have the folder's. */
	if (access(in_dir("dax"), F_OK)) {
		must(SYS(a, SYS_mkdir, STR(in_dir("dax")), V(0755)));
		fd = must(a_open(a, in_dir("dax"), O_RDONLY | O_DIRECTORY));
		must(SYS(a, SYS_ioctl, V(fd), V(FS_IOC_FSSETXATTR),
			 IN(&flags, sizeof(flags))));
		must(a_close(a, fd));
	}
	snprintf(path, sizeof(path), "dax/%s", name);
	return make_file(path, size);
}
