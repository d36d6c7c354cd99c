// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* L9: /proc/locks and fdinfo show layout leases in the shape that parsers expect. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "scene.h"

/* The eight words of a line of /proc/locks after its number, as lslocks(8) takes it apart. */
struct lock_line {
	char type[32], state[32], mode[32], place[64], start[32], end[32];
	int pid;
};

static bool parse(const char *line, struct lock_line *l)
{
	char number[32], extra[8];

	return sscanf(line, "%31s %31s %31s %31s %d %63s %31s %31s %7s", number, l->type,
		      l->state, l->mode, &l->pid, l->place, l->start, l->end,
		      extra) == 8 &&
	       number[strlen(number) - 1] == ':';
}

static void place_of(const char *path, char *buf, size_t len)
{
	struct stat st;

	if (stat(path, &st))
		broken("%s: cannot stat", path);
	snprintf(buf, len, "%02x:%02x:%lu", major(st.st_dev), minor(st.st_dev),
		 st.st_ino);
}

/* Number of well-formed lines for the file and process; others of the file are failures. */
static int count_lines(char *text, const char *prefix, const char *place, int pid)
{
	struct lock_line l;
	char *line;
	int n = 0;

	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (strncmp(line, prefix, strlen(prefix)) || !strstr(line, place))
			continue;
		line += strlen(prefix);
		if (!parse(line, &l) || strcmp(l.place, place) || l.pid != pid ||
		    strcmp(l.start, "0") || strcmp(l.end, "EOF"))
			fail_at(__FILE__, __LINE__, "not in the known shape: \"%s\"",
				line);
		else
			n++;
	}
	return n;
}

static int lines_in(const char *file, const char *prefix, const struct scene *s)
{
	static char text[65536];
	char place[64];

	if (file_read(file, text, sizeof(text)) < 0)
		broken("cannot read %s", file);
	place_of(s->path, place, sizeof(place));
	return count_lines(text, prefix, place, s->holder->pid);
}

static const char *fdinfo(const struct scene *s)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%ld", s->holder->pid, s->fd);
	return path;
}

CHECK(l9_proc_locks_shows_the_lease, "L9", STOCK_FAIL)
{
	struct scene s = scene_leased();

	expect_value(1, lines_in("/proc/locks", "", &s));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(0, lines_in("/proc/locks", "", &s));
}

CHECK(l9_proc_locks_shows_both_kinds, "L9,L4", STOCK_FAIL)
{
	struct scene s = scene_leased();

	must(a_setlease(s.holder, s.fd, F_WRLCK));
	expect_value(2, lines_in("/proc/locks", "", &s));
}

CHECK(l9_proc_locks_with_pins, "L9", STOCK_FAIL)
{
	struct scene s = scene_pinned();

	expect_value(1, lines_in("/proc/locks", "", &s));
}

CHECK(l9_proc_locks_shows_zombie, "L9,C3,O4", STOCK_FAIL)
{
	struct scene s = scene_zombie();

	expect_value(1, lines_in("/proc/locks", "", &s));
	must(v_dereg(s.holder, &s.mr));
	expect_value(0, lines_in("/proc/locks", "", &s));
}

CHECK(l9_fdinfo_shows_the_lease, "L9", STOCK_FAIL)
{
	struct scene s = scene_leased();

	expect_value(1, lines_in(fdinfo(&s), "lock:\t", &s));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect_value(0, lines_in(fdinfo(&s), "lock:\t", &s));
}

CHECK(l9_lslocks_still_parses, "L9", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");
	char pid[16], script[256];
	const char *argv[] = { "sh", "-c", script, NULL };
	long ret;

	snprintf(pid, sizeof(pid), "%d", s.holder->pid);
	/* One line for the holder, with a type and the range from 0 to 0 (the end). */
	snprintf(script, sizeof(script),
		 "command -v lslocks || exit 77; "
		 "lslocks -n -r -p %s -o TYPE,PID,START,END | grep -Ex '[A-Z]+ %s 0 0'",
		 pid, pid);
	ret = a_run(b, argv);
	if (ret == 77)
		skip("no lslocks program");
	expect_value(0, ret);
}

/* The state of the file's only lease in /proc/locks is this word. */
static bool lease_is(const struct scene *s, const char *state)
{
	static char text[65536];
	char place[64], *line;
	struct lock_line l;

	place_of(s->path, place, sizeof(place));
	must(file_read("/proc/locks", text, sizeof(text)) < 0 ? -EIO : 0);
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (parse(line, &l) && !strcmp(l.place, place))
			return !strcmp(l.state, state);
	return false;
}

CHECK(o4_context_registered_with_io_uring, "O4,L9,T6", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *c = actor_start("C");
	long ring = must(a_uring_keep_fd(s.holder, s.uverbs_fd));

	must(a_close(s.holder, s.uverbs_fd));
	expect_pins(s.holder, "");
	expect_true(lease_is(&s, "PINNED"), "the lease is not shown as pinned");
	scene_unmap_and_close(&s);
	expect_true(lease_is(&s, "ZOMBIE"), "the lease is not shown as a zombie");
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	must(a_close(s.holder, ring));
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(c3_file_registered_with_io_uring, "C3,L9,T6", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *c = actor_start("C");
	long ring = must(a_uring_keep_fd(s.holder, s.fd));

	/* The ring has the description still, so the lease is none that only pins keep. */
	scene_unmap_and_close(&s);
	expect_true(lease_is(&s, "PINNED"), "the lease is not shown as pinned");
	must(v_dereg(s.holder, &s.mr));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	must(a_close(s.holder, ring));
	eventually(a_truncate(c, s.path, PAGE));
}
