// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Reads /dev/kmsg.  A passing test fails if the kernel complained while it ran, so nothing is ever
 * taken off this list to make a test pass.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kmsg.h"

static const char *const complaints[] = {
	"WARNING:",
	"BUG:",
	"kernel BUG at",
	"Oops",
	"Kernel panic",
	"Call Trace:",
	"Bad page",
	"bad: scheduling",
	"general protection fault",
	"unable to handle",
	"stack segment",
	"INFO: trying to register non-static key",
	"turning off the locking correctness validator",
	"possible circular locking",
	"possible recursive locking",
	"possible irq lock inversion",
	"possible deadlock",
	"inconsistent lock state",
	"lock held when returning",
	"locks held by exiting",
	"held lock freed",
	"bad unlock balance",
	"suspicious RCU usage",
	"rcu_sched detected",
	"rcu: INFO",
	"self-detected stall",
	"soft lockup",
	"hard LOCKUP",
	"blocked for more than",
	"KASAN",
	"KCSAN",
	"UBSAN",
	"refcount_t",
	"list_add corruption",
	"list_del corruption",
	"ODEBUG",
	"kmemleak:",
	"page_alloc: Bad",
	"EXT4-fs error",
	"XFS: Assertion failed",
	"Internal error",
	"Corruption of in-memory data",
	"Metadata corruption",
	"VFS: Busy inodes",
};

static int fd = -1;

int kmsg_open(void)
{
	fd = open("/dev/kmsg", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return lseek(fd, 0, SEEK_END) < 0 ? -errno : 0;
}

/* What the kernel says once, it says once in each test. */
static void again_what_is_said_once(void)
{
	int once = open("/sys/kernel/debug/clear_warn_once", O_WRONLY | O_CLOEXEC);

	if (once < 0)
		return;
	if (write(once, "1", 1) != 1)
		perror("clear_warn_once");
	close(once);
}

void kmsg_mark(const char *name)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "<6>conformance: %s\n", name);

	again_what_is_said_once();

	/* Only a help for who reads the log: nothing depends on it. */
	if (fd >= 0 && write(fd, line, (size_t)n) < 0)
		return;
}

static bool complaint(const char *text)
{
	size_t i;

	if (!strncmp(text, "BUG ", 4)) /* the slab allocator's form */
		return true;
	for (i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++)
		if (strstr(text, complaints[i]))
			return true;
	return false;
}

bool kmsg_findings(char *buf, size_t len)
{
	char rec[8192], *text, *end;
	bool found = false;
	size_t used = 0;
	ssize_t n;

	buf[0] = '\0';
	for (;;) {
		n = read(fd, rec, sizeof(rec) - 1);
		if (n < 0 &&
		    errno == EPIPE) { /* records were lost: unknown is not clean */
			used += (size_t)snprintf(
				buf, len, "  records lost before they were read\n");
			found = true;
			continue;
		}
		if (n <= 0)
			break;
		rec[n] = '\0';
		text = strchr(rec, ';');
		text = text ? text + 1 : rec;
		end = strchr(text, '\n');
		if (end)
			*end = '\0';
		/* After the first complaint everything is shown: it is its context. */
		found = found || complaint(text);
		if (found && used < len)
			used += (size_t)snprintf(buf + used, len - used, "  %s\n", text);
	}
	return found;
}
