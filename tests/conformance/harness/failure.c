// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Injected failures. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "failure.h"
#include "files.h"

#define MIN_ORDER    "/sys/kernel/debug/fail_page_alloc/min-order"
#define FAILSLAB     "/sys/kernel/debug/failslab/"
#define CACHE_FILTER FAILSLAB "cache-filter"
#define NODES        "/sys/kernel/slab/radix_tree_node/"

#define SETTINGS 8

/* Of which the first is there if the kernel can let allocations fail. */
static void set_each(const char *const settings[SETTINGS][2])
{
	unsigned int i;

	if (access("/proc/self/fail-nth", W_OK) || access(settings[0][0], W_OK))
		skip("kernel without FAULT_INJECTION, FAILSLAB and FAIL_PAGE_ALLOC");
	for (i = 0; i < SETTINGS && settings[i][0]; i++)
		set_for_check(settings[i][0], settings[i][1]);
}

void let_allocations_fail(void)
{
	static const char *const settings[SETTINGS][2] = {
		{ FAILSLAB "ignore-gfp-wait", "N" },
		{ FAILSLAB "verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
		{ MIN_ORDER, "0" },
		{ CACHE_FILTER, "N" },
	};

	set_each(settings);
}

void let_only_fail(enum allocation kind)
{
	/* no page is that large; no cache has the mark that the filter looks for */
	if (file_write(MIN_ORDER, kind == OBJECTS ? "30" : "0") ||
	    file_write(CACHE_FILTER, kind == PAGES ? "Y" : "N"))
		broken("failslab and fail_page_alloc cannot be set");
}

void let_nodes_fail(void)
{
	static const char *const settings[SETTINGS][2] = {
		{ FAILSLAB "ignore-gfp-wait", "N" }, { FAILSLAB "verbose", "0" },
		{ FAILSLAB "task-filter", "Y" },     { FAILSLAB "times", "-1" },
		{ FAILSLAB "probability", "100" },   { FAILSLAB "space", "0" },
		{ NODES "failslab", "1" },           { CACHE_FILTER, "Y" },
	};

	set_each(settings);
}

void nodes_before_failure(unsigned int n)
{
	char text[32];

	if (file_read(NODES "object_size", text, sizeof(text)) < 0)
		broken("no size of a node");
	/* "space" is in bytes, and has to be more than what is asked for */
	snprintf(text, sizeof(text), "%lu", n * strtoul(text, NULL, 10) + 1);
	if (file_write(FAILSLAB "space", text))
		broken("failslab cannot be set");
}

int failures_on(bool on)
{
	return file_write("/proc/self/make-it-fail", on ? "1" : "0");
}

int failure_arm(int nth)
{
	char text[16];
	int fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC), n;

	n = snprintf(text, sizeof(text), "%d", nth);
	if (fd < 0 || write(fd, text, n) != n)
		return -errno;
	return fd;
}

int failure_disarm(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0 || pwrite(fd, "0", 1, 0) != 1)
		return -1;
	close(fd);
	return atoi(text);
}
