// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* NFS direct I/O to an export that becomes read-only under an open file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nfs.h"

#define FILE_SIZE KiB(64)
#define PAGES     ((long)(FILE_SIZE / PAGE))
#define NEW_SEED  7

/* The file system's second export, and the check's folder there. */
struct exported {
	char path[128], folder[256];
};

static struct exported second_export(void)
{
	const char *dir = check_dir(), *end = strstr(dir, "-plain/");
	struct exported e;
	int root;

	if (!end || strncmp(dir, "/mnt/", 5))
		broken("%s: not exported twice", dir);
	root = (int)(end - dir) + (int)strlen("-plain");
	snprintf(e.path, sizeof(e.path), "/run/nfs-exports/%.*s-2", root - 5, dir + 5);
	snprintf(e.folder, sizeof(e.folder), "%.*s-2%s", root, dir, dir + root);
	return e;
}

/* "ro" instead of "rw", or the other way round; the other options stay. */
static void export_again(const struct exported *e, const char *option)
{
	char command[500];

	snprintf(command, sizeof(command),
		 "more=$(sed -n 's|^%s .(rw,\\(.*\\))|\\1|p' /etc/exports);"
		 " exportfs -i -o \"%s,$more\" '*:%s'",
		 e->path, option, e->path);
	if (system(command))
		broken("%s", command);
}

NFS4_CHECK(read_only_export, "D1", STOCK_FAIL)
{
	unsigned char *at = memory_new(MEMORY_SMALL, FILE_SIZE);
	const char *on_server = make_file("file", FILE_SIZE);
	struct exported e = second_export();
	struct pins before;
	int fd;

	make_file("unknown", FILE_SIZE);
	nfs_mount_at(version, e.folder, "");
	fd = open_file(nfs_path("file"), O_RDWR | O_DIRECT);
	export_again(&e, "ro");

	/* the server is the first to know: the pages have been pinned when it refuses */
	pattern_fill(at, FILE_SIZE, NEW_SEED, 0);
	before = pins_now();
	expect(EROFS, write_at(fd, at, FILE_SIZE, 0));
	expect_pinned(before, PAGES);
	expect_true(file_has_pattern(on_server, 0, FILE_SIZE, FILE_SEED),
		    "the server has other data");

	before = pins_now();
	expect(0, read_at(fd, at, FILE_SIZE, 0));
	expect_pinned(before, PAGES);
	expect_true(pattern_matches(at, FILE_SIZE, FILE_SEED, 0), "read other data");

	before = pins_now();
	expect(EROFS, result(open(nfs_path("unknown"), O_RDWR | O_DIRECT | O_CLOEXEC)));
	expect_not_pinned(before);

	export_again(&e, "rw");
	pattern_fill(at, FILE_SIZE, NEW_SEED, 0);
	before = pins_now();
	expect(0, write_at(fd, at, FILE_SIZE, 0));
	expect_pinned(before, PAGES);
	expect_true(file_has_pattern(on_server, 0, FILE_SIZE, NEW_SEED),
		    "the server has other data");
}
