// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "loop.h"

int loop_device(const char *path, uint32_t flags)
{
	struct loop_config config = { .block_size = 512 };
	int control = open_file("/dev/loop-control", O_RDWR), fd, number;
	char name[32];

	number = ioctl(control, LOOP_CTL_GET_FREE);
	if (number < 0)
		broken("no free loop device: %s", errno_name(errno));
	snprintf(name, sizeof(name), "/dev/loop%d", number);
	fd = open_file(name, O_RDWR);
	config.fd = (uint32_t)open_file(path, O_RDWR);
	config.info.lo_flags = flags | LO_FLAGS_AUTOCLEAR;
	if (ioctl(fd, LOOP_CONFIGURE, &config))
		broken("%s over %s: %s", name, path, errno_name(errno));
	if (flags & LO_FLAGS_DIRECT_IO) {
		struct loop_info64 info;

		if (ioctl(fd, LOOP_GET_STATUS64, &info) ||
		    !(info.lo_flags & LO_FLAGS_DIRECT_IO))
			broken("%s does no direct I/O", name);
	}
	close((int)config.fd);
	close(control);
	return fd;
}

const char *make_swap_file(const char *name, uint64_t size)
{
	/* as mkswap writes it: version, last page and bad pages at 1024, the magic at the end */
	struct {
		unsigned char boot[1024];
		uint32_t version, last, bad;
		unsigned char rest[PAGE - 1024 - 12 - 10];
		char magic[10];
	} header = { .version = 1, .last = (uint32_t)(size / PAGE - 1) };
	const char *path = make_file(name, size);
	int fd = open_file(path, O_RDWR);

	_Static_assert(sizeof(header) == PAGE, "a page");
	memcpy(header.magic, "SWAPSPACE2", 10);
	if (pwrite(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    fchmod(fd, 0600) || fsync(fd))
		broken("%s: %s", path, errno_name(errno));
	close(fd);
	return path;
}
