// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * L2: security modules are asked about layout leases in terms that they know, those of classic
 * leases.  None that looks at the argument is in the lab's kernels, so a probe looks at it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "scene.h"

#define TRACING "/sys/kernel/tracing/"
#define PROBE   "pinverbs/file_lock"

/* The arguments that the hook got for the actor since the last call, "1 2 ". */
static const char *asked(const struct actor *a)
{
	static char text[65536], seen[64];
	char task[32], *line, *next;
	const char *arg;
	int len = 0;

	seen[0] = '\0';
	snprintf(task, sizeof(task), "-%d ", a->pid);
	must(file_read(TRACING "trace", text, sizeof(text)));
	must(file_empty(TRACING "trace"));
	for (line = text; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		arg = strstr(line, " cmd=");
		if (line[0] != '#' && arg && strstr(line, task))
			len += snprintf(seen + len, sizeof(seen) - len, "%d ",
					atoi(arg + strlen(" cmd=")));
	}
	return seen;
}

static void expect_asked(const struct actor *a, int cmd)
{
	const char *seen = asked(a);
	char want[16];

	snprintf(want, sizeof(want), "%d ", cmd);
	expect_true(!strcmp(seen, want), "the hook got \"%s\" instead of \"%s\"", seen,
		    want);
}

/*
 * The function begins with a branch that the kernel patches when a module registers, and there
 * it takes no probe. So the probe is on its first instruction after that.
 */
static void probe_hook(void)
{
	char text[128];
	int offset, err = 0;

	/* that of an earlier run in this guest: a second one would be the event's, too */
	file_write(TRACING "kprobe_events", "-:" PROBE);
	for (offset = 0; offset < 32; offset++) {
		snprintf(text, sizeof(text),
			 "p:" PROBE " security_file_lock+%d cmd=%%si:u32", offset);
		err = file_write(TRACING "kprobe_events", text);
		if (!err)
			return;
		if (err == -ENOENT)
			skip("kernel without SECURITY");
	}
	broken("no probe on security_file_lock(): %s", errno_name(-err));
}

CHECK(l2_security_modules_are_asked, "L2,L3,L6", STOCK_FAIL)
{
	struct scene s = scene_open();

	if (access(TRACING "kprobe_events", W_OK))
		skip("kernel without KPROBE_EVENTS");
	probe_hook();
	set_for_check(TRACING "events/" PROBE "/enable", "1");
	must(file_empty(TRACING "trace"));

	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_asked(s.holder, F_WRLCK);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	expect_asked(s.holder, F_RDLCK);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_asked(s.holder, F_UNLCK);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT));
	asked(s.holder);
	/* the usage of 2019 */
	expect(0, a_setlease(s.holder, s.fd, F_UNLCK));
	expect_asked(s.holder, F_UNLCK);
}
