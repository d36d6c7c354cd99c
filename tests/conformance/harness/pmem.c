// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "check.h"
#include "files.h"
#include "ops.h"
#include "pmem.h"

#define DRIVER "/sys/bus/nd/drivers/nd_pmem"

static void find_mount_point(struct pmem *p, const char *path)
{
	char parent[PATH_MAX + 4];
	struct stat here, st;

	if (!realpath(path, p->mount_point) || stat(path, &here))
		broken("%s: %s", path, errno_name(errno));
	for (;;) {
		if (!S_ISDIR(here.st_mode))
			snprintf(parent, sizeof(parent), "%.*s",
				 (int)(strrchr(p->mount_point, '/') - p->mount_point),
				 p->mount_point);
		else
			snprintf(parent, sizeof(parent), "%s/..", p->mount_point);
		if (stat(parent, &st) || st.st_dev != here.st_dev)
			break;
		if (!realpath(parent, p->mount_point))
			broken("%s: %s", parent, errno_name(errno));
		here = st;
	}
}

struct pmem pmem_of(const char *path)
{
	char link[128], target[PATH_MAX];
	struct pmem p;
	struct stat st;
	ssize_t n;

	find_mount_point(&p, path);
	if (stat(path, &st))
		broken("%s: %s", path, errno_name(errno));
	snprintf(p.type, sizeof(p.type), "%s", fs_name(path));
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_dev),
		 minor(st.st_dev));
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		skip("the file system is on no block device");
	target[n] = '\0';
	snprintf(p.node, sizeof(p.node), "/dev/%.50s", strrchr(target, '/') + 1);
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u/device", major(st.st_dev),
		 minor(st.st_dev));
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		skip("%s is not the persistent memory itself", p.node);
	target[n] = '\0';
	snprintf(p.device, sizeof(p.device), "%.60s", strrchr(target, '/') + 1);
	snprintf(link, sizeof(link), DRIVER "/%s", p.device);
	if (access(link, F_OK))
		skip("%s does not belong to nd_pmem", p.device);
	return p;
}

/* In an actor: writes the device's name to the driver's bind or unbind. */
struct driver_step {
	char file[64], device[64];
};

static long driver_write(void *buf, size_t size)
{
	const struct driver_step *d = buf;
	int fd = open(d->file, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	(void)size;
	if (fd < 0)
		return -errno;
	n = write(fd, d->device, strlen(d->device));
	close(fd);
	return n < 0 ? -errno : 0;
}

static void driver_begin(const struct pmem *p, struct actor *a, const char *file)
{
	struct driver_step d;

	snprintf(d.file, sizeof(d.file), DRIVER "/%s", file);
	memcpy(d.device, p->device, sizeof(d.device));
	actor_call_begin(a, driver_write, &d, sizeof(d));
}

static long driver_do(const struct pmem *p, struct actor *a, const char *file)
{
	driver_begin(p, a, file);
	return actor_call_end(a, NULL, 0, step_deadline_ms);
}

void pmem_unbind_begin(const struct pmem *p, struct actor *a)
{
	sync();
	driver_begin(p, a, "unbind");
}

long pmem_unbind(const struct pmem *p)
{
	struct actor *a = actor_start("admin");

	pmem_unbind_begin(p, a);
	return actor_call_end(a, NULL, 0, step_deadline_ms);
}

static void mount_again(const struct pmem *p, struct actor *a)
{
	require(0, SYS(a, SYS_mount, STR(p->node), STR(p->mount_point), STR(p->type),
		       V(0), STR("dax=always")));
}

void pmem_bring_back(const struct pmem *p)
{
	struct actor *a = actor_start("admin");
	struct deadline by = deadline_in(2000);

	expect(0, SYS(a, SYS_umount2, STR(p->mount_point), V(0)));
	expect(0, driver_do(p, a, "bind"));
	while (access(p->node, F_OK) && deadline_wait(&by))
		;
	mount_again(p, a);
}

long pmem_check(const struct pmem *p)
{
	const char *const xfs[] = { "xfs_repair", "-n", p->node, NULL };
	const char *const ext4[] = { "e2fsck", "-f", "-n", p->node, NULL };
	struct actor *a = actor_start("admin");
	long ret;

	ret = SYS(a, SYS_umount2, STR(p->mount_point), V(0));
	if (ret)
		return ret;
	ret = a_run(a, strcmp(p->type, "xfs") ? ext4 : xfs);
	mount_again(p, a);
	return ret;
}
