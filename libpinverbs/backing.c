// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What a file's memory is: where it is kept, how long, how it is mapped. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "backing.h"
#include "internal.h"

const char *sys_root = "/sys";

static int look_at_file_system(int fd, struct backing *backing)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return errno;
	backing->granule = sysconf(_SC_PAGESIZE);
	switch ((unsigned long)fs.f_type) {
	case HUGETLBFS_MAGIC:
		/* It maps whole huge pages only. */
		backing->granule = fs.f_bsize;
		backing->kind = BACKING_MEMORY;
		break;
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		backing->kind = BACKING_MEMORY;
		break;
	default:
		backing->kind = BACKING_CACHED;
	}
	return 0;
}

/* A decimal number in a file of the device's folder in sysfs; 0: there is none. */
static uint64_t device_number(const char *device, const char *name)
{
	char path[PATH_MAX], text[32];
	ssize_t length;
	int fd;

	SAY(path, "%s/%s", device, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	return strtoull(text, NULL, 10);
}

static bool is_dax_device(const char *device)
{
	char path[PATH_MAX], target[PATH_MAX], *name;
	ssize_t length;

	SAY(path, "%s/subsystem", device);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	name = strrchr(target, '/');
	return name && !strcmp(name, "/dax");
}

static int look_at_device(const struct stat *st, struct backing *backing)
{
	char device[128];

	SAY(device, "%s/dev/char/%u:%u", sys_root, major(st->st_rdev),
	    minor(st->st_rdev));
	if (!is_dax_device(device))
		return EINVAL;
	backing->kind = BACKING_DEVICE_DAX;
	backing->size = device_number(device, "size");
	backing->granule = device_number(device, "align");
	/* Without sysfs there is no telling what can be mapped. */
	return backing->size && backing->granule ? 0 : EINVAL;
}

int look_at_backing(int fd, struct backing *backing)
{
	struct stat st;
	bool dax;
	int err;

	if (fstat(fd, &st))
		return errno;
	if (S_ISCHR(st.st_mode))
		return look_at_device(&st, backing);
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	err = look_at_file_system(fd, backing);
	if (!err)
		err = file_is_dax(fd, &dax);
	if (err)
		return err;
	backing->size = st.st_size;
	if (dax)
		backing->kind = BACKING_DAX;
	return 0;
}
