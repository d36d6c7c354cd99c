// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* O1: who may read /proc/<pid>/file_pins, and what a reader costs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "scene.h"

/*
 * As for /proc/<pid>/maps: who may not look gets no descriptor either, which a privileged program
 * could be made to read.
 */
CHECK(o1_descriptor_needs_access, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *user = actor_start("user"), *root = actor_start("root");
	char path[64], buf[512] = "";
	long fd;

	must(a_become(user, NOBODY, 0));
	snprintf(path, sizeof(path), "/proc/%d/maps", s.holder->pid);
	require(EACCES, a_open(user, path, O_RDONLY));
	snprintf(path, sizeof(path), "/proc/%d/file_pins", s.holder->pid);
	require(0, file_read(path, buf, sizeof(buf)));
	fd = a_open(user, path, O_RDONLY);
	expect(EACCES, fd);
	if (fd < 0)
		return;
	fd = actor_send_fd(user, (int)fd, root);
	memset(buf, 0, sizeof(buf));
	must(SYS(root, SYS_read, V(fd), OUT(buf, sizeof(buf) - 1), V(sizeof(buf) - 1)));
	expect_true(!buf[0], "opened by a stranger, read by root: %s", buf);
}

static long vmalloc_used(void)
{
	char text[8192], *p;

	if (file_read("/proc/meminfo", text, sizeof(text)) < 0 ||
	    !(p = strstr(text, "VmallocUsed:")))
		broken("no VmallocUsed in /proc/meminfo");
	return strtol(p + strlen("VmallocUsed:"), NULL, 10) * 1024;
}

/* Descriptors times files is what the text can have; the kernel must not keep it all for a reader. */
CHECK(o1_reader_takes_little_memory, "O1", STOCK_FAIL)
{
	enum {
		FILES = 60,
		COPIES = 900,
		LONG = 150
	};
	struct scene s = scene_pinned();
	char name[LONG + 8], path[64], c, part[65536];
	size_t length = 0, want;
	long before, used;
	ssize_t n;
	int i, fd;

	want = strlen(pins_text(s.holder, s.uverbs_fd, s.path));
	for (i = 0; i < FILES; i++) {
		const char *file;
		long data, addr;

		snprintf(name, sizeof(name), "%0*d", LONG, i);
		file = make_file(name, PAGE);
		data = must(a_open(s.holder, file, O_RDWR));
		addr = must(a_mmap_shared(s.holder, data, PAGE));
		must(a_setlease(s.holder, data, EXCLUSIVE_LAYOUT));
		must(v_reg(s.holder, 0, (uint64_t)addr, PAGE, REMOTE_RW, NULL));
		must(a_close(s.holder, data));
		want += strlen(file) + 2;
	}
	for (i = 0; i < COPIES; i++)
		must(a_dup(s.holder, s.uverbs_fd));

	snprintf(path, sizeof(path), "/proc/%d/file_pins", s.holder->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	before = vmalloc_used();
	if (fd < 0 || read(fd, &c, 1) != 1)
		broken("%s: %s", path, strerror(errno));
	used = vmalloc_used() - before;
	expect_true(used < (long)MiB(1),
		    "a reader of one byte holds %ld bytes of the kernel's memory", used);
	/* All of it comes, each descriptor with all files. */
	for (length = 1; (n = read(fd, part, sizeof(part))) > 0;)
		length += (size_t)n;
	expect_value(0, n);
	expect_true(length > want * (COPIES + 1) && length < (want + 4) * (COPIES + 1),
		    "%zu bytes for %d descriptors with %zu each", length, COPIES + 1,
		    want);
	close(fd);
}
