// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tracepoints: whoever asks why a truncate failed finds out who tried, on which file, and who is in
 * the way, from one line.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "coop.h"

#define TRACING "/sys/kernel/tracing/"
#define EVENTS  TRACING "events/layout_lease/"

void trace_layout_leases(void)
{
	if (access(TRACING "events", F_OK))
		skip("no tracefs at " TRACING);
	if (access(EVENTS "enable", F_OK))
		fail_now("no layout_lease events");
	set_for_check(EVENTS "enable", "1");
	must(file_empty(TRACING "trace"));
}

void expect_no_event(const char *name)
{
	static char text[65536];

	must(file_read(TRACING "trace", text, sizeof(text)));
	expect_true(!strstr(text, name), "\"%s\" in\n%s", name, text);
}

/* "dev=259:0 ino=131" */
static const char *where(const char *path)
{
	static char text[64];
	struct stat st;

	if (stat(path, &st))
		broken("%s: %s", path, errno_name(errno));
	snprintf(text, sizeof(text), "dev=%u:%u ino=%lu", major(st.st_dev),
		 minor(st.st_dev), (unsigned long)st.st_ino);
	return text;
}

/* The events since the last call hold the line, and as often as that. */
static void expect_events(int times, const char *line)
{
	static char text[65536];
	const char *p = text;
	int n = 0;

	must(file_read(TRACING "trace", text, sizeof(text)));
	while ((p = strstr(p, line))) {
		p += strlen(line);
		n += *p == '\n';
	}
	expect_true(n == times, "\"%s\": expected %d times, seen %d times in\n%s", line,
		    times, n, text);
}

__attribute__((format(printf, 2, 3))) static void expect_event(int times, const char *fmt,
							       ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	expect_events(times, line);
}

CHECK(o1_trace_refused_layout_change, "T1,T2,L9", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("trunc-test");
	const char *file = where(s.path);

	trace_layout_leases();
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect_event(1,
		     "layout_change_refused: comm=trunc-test tgid=%d %s error=-26 "
		     "holder=%d kind=exclusive pins=1",
		     b->pid, file, s.holder->pid);
	expect(EDEADLK, a_ftruncate(s.holder, s.fd, PAGE));
	expect_event(1,
		     "layout_change_refused: comm=holder tgid=%d %s error=-35 holder=%d "
		     "kind=exclusive pins=1",
		     s.holder->pid, file, s.holder->pid);
	/* What is allowed says nothing. */
	expect(0, a_truncate(b, s.path, 2 * SCENE_SIZE));
	expect_event(0, "tgid=%d %s error=0", b->pid, file);
}

CHECK(o1_trace_life_of_a_lease, "L1,L6,L2", STOCK_FAIL)
{
	struct scene s = scene_open();
	struct actor *user = actor_start("user");
	const char *file = where(s.path);
	int holder = s.holder->pid;
	long fd;

	must(a_chmod(s.holder, s.path, 0666));
	must(a_become(user, NOBODY, 0));
	fd = must(a_open(user, s.path, O_RDWR));
	/* Without leases there is nothing to trace, whatever tracefs has. */
	require(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	trace_layout_leases();
	expect(EACCES, a_setlease(user, fd, EXCLUSIVE_LAYOUT));
	expect_event(1, "layout_lease_refuse: %s arg=F_LAYOUT|F_EXCLUSIVE error=-13",
		     file);
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect_event(1, "layout_lease_grant: %s kind=exclusive holder=%d pins=0", file,
		     holder);
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_pin(&s);
	expect_event(1, "layout_lease_pin: %s kind=exclusive holder=%d pins=1", file,
		     holder);
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_event(1, "layout_lease_refuse: %s arg=F_LAYOUT|F_UNLCK error=-16", file);
	must(v_dereg(s.holder, &s.mr));
	expect_event(1, "layout_lease_unpin: %s kind=exclusive holder=%d pins=0", file,
		     holder);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_event(1, "layout_lease_end: %s kind=exclusive holder=%d pins=0", file,
		     holder);
}

CHECK(l3_trace_recall, "L3", STOCK_FAIL)
{
	struct scene s = scene_cooperative();
	struct actor *b = actor_start("breaker");
	const char *file = where(s.path);

	trace_layout_leases();
	truncate_begin(b, s.path, PAGE);
	expect_recalled(&s);
	expect_event(1, "layout_lease_recall: %s kind=cooperative holder=%d pins=0", file,
		     s.holder->pid);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, truncate_end(b));
	expect_event(1, "layout_lease_end: %s kind=cooperative holder=%d pins=0", file,
		     s.holder->pid);
}

CHECK(l11_trace_end_of_a_dead_holders_lease, "L11", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *child = actor_fork(s.holder, "child");
	const char *file = where(s.path);

	trace_layout_leases();
	actor_kill(s.holder);
	expect(0, a_ftruncate(child, s.fd, PAGE));
	expect_event(1, "layout_lease_end: %s kind=exclusive holder=%d pins=0", file,
		     s.holder->pid);
}
