// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What the runner does and sees itself, from outside of all actors. */
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "do.h"

/* What "remember" has seen, for "unchanged" and "back". */
static struct memory {
	const char *path;
	struct file_state state;
} remembered[8];

static uint64_t free_space;
static long pins_out, pins_taken;

/* ---- /proc/PID/file_pins ---- */

static bool path_in_pins(const char *text, const char *path)
{
	char line[640];

	snprintf(line, sizeof(line), "\n\t%s\n", path);
	return strstr(text, line);
}

static unsigned int lines_of_files(const char *text)
{
	unsigned int n = 0;

	for (; (text = strstr(text, "\n\t")); text++)
		n++;
	return n;
}

#define DELETED "(deleted)"

/* The files that the process pins, through whichever descriptors, each counted once an owner. */
DO(pins)
{
	bool none = !strcmp(arg[1].words[0], "none");
	char path[64], text[16384], shown[600];
	unsigned int want = 0, i;
	bool all = true;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/file_pins", arg[0].name->actor->pid);
	n = file_read(path, text, sizeof(text));
	if (n < 0)
		return seen_instead(r, "%s: %s", path, errno_name((int)-n));
	for (i = 0; !none && arg[1].words[i]; i++, want++) {
		struct name *f = r->litmus->names;
		bool deleted;

		while (strcmp(f->text, arg[1].words[i]))
			f = f->next;
		deleted = arg[1].words[i + 1] && !strcmp(arg[1].words[i + 1], DELETED);
		snprintf(shown, sizeof(shown), "%s%s", f->path,
			 deleted ? " " DELETED : "");
		all = all && path_in_pins(text, shown);
		i += deleted;
	}
	if (all && lines_of_files(text) == want)
		return 0;
	return seen_instead(r, "file_pins of %s:\n%s", arg[0].word,
			    n ? text : "(nothing)\n");
}

/* The shape of what owns them: "fd" or "map" in front of each owner. */
DO(owners)
{
	char path[64], text[16384], seen[8] = "none";
	const char *at;
	bool map = false, fd = false;

	snprintf(path, sizeof(path), "/proc/%d/file_pins", arg[0].name->actor->pid);
	if (file_read(path, text, sizeof(text)) < 0)
		return seen_instead(r, "no %s", path);
	for (at = text; *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : "") {
		map = map || !strncmp(at, "map: ", 5);
		fd = fd || (*at >= '0' && *at <= '9');
	}
	if (map || fd)
		strcpy(seen, map && fd ? "both" : map ? "map" : "fd");
	return strcmp(seen, arg[1].word) ? seen_instead(r, "file_pins:\n%s", text) : 0;
}

/* ---- files ---- */

DO(content)
{
	const char *path = path_of(&arg[0]);
	struct range range = arg[1].range;
	struct stat st;
	bool same;

	if (stat(path, &st) || !range_within(&range, (uint64_t)st.st_size))
		return seen_instead(r, "no file of that size");
	if (arg[2].number)
		same = file_has_pattern(path, range.from, range.to - range.from,
					arg[2].number);
	else
		same = file_is_zero(path, range.from, range.to - range.from);
	return same ? 0 : seen_instead(r, "%s has other content there", arg[0].word);
}

DO(size)
{
	struct stat st;

	if (stat(path_of(&arg[0]), &st))
		return seen_instead(r, "%s: %s", arg[0].word, errno_name(errno));
	if ((uint64_t)st.st_size == arg[1].number)
		return 0;
	return seen_instead(r, "%ld bytes", (long)st.st_size);
}

DO(allocated)
{
	struct stat st;

	if (stat(path_of(&arg[0]), &st))
		return seen_instead(r, "%s: %s", arg[0].word, errno_name(errno));
	if ((uint64_t)st.st_blocks * 512 >= arg[1].number)
		return 0;
	return seen_instead(r, "%ld bytes allocated", (long)st.st_blocks * 512);
}

DO(shared_extents)
{
	long n = file_shared_extents(path_of(&arg[0]));

	return n == (long)arg[1].number ? 0 : seen_instead(r, "%ld shared extents", n);
}

static struct memory *memory_of(const char *path)
{
	size_t i;

	for (i = 0; i < sizeof(remembered) / sizeof(remembered[0]); i++) {
		if (!remembered[i].path)
			remembered[i].path = path;
		if (!strcmp(remembered[i].path, path))
			return &remembered[i];
	}
	broken("more than %zu remembered files", i);
}

DO(remember)
{
	file_state(path_of(&arg[0]), &memory_of(path_of(&arg[0]))->state);
	return 0;
}

DO(unchanged)
{
	struct memory *m = memory_of(path_of(&arg[0]));
	const char *what;

	if (!m->state.st.st_ino)
		broken("%s was not remembered", arg[0].word);
	what = file_difference(m->path, &m->state);
	return what ? seen_instead(r, "the file's %s changed", what) : 0;
}

/* ---- space ---- */

/* Other activity of the file system moves the count by less than this. */
#define SLACK MiB(2)

DO(remember_space)
{
	free_space = fs_free_settled(check_dir());
	return 0;
}

/* As much more is free than was remembered, give or take the slack. */
DO(freed)
{
	uint64_t now = fs_free(check_dir());
	int64_t more = (int64_t)(now - free_space);

	if (more > (int64_t)arg[0].number - (int64_t)SLACK &&
	    more < (int64_t)(arg[0].number + SLACK))
		return 0;
	return seen_instead(r, "%ld KiB more are free", (long)(more / 1024));
}

/* ---- counters ---- */

static long pages_out(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

DO(remember_pages)
{
	pins_out = pages_out();
	pins_taken = vmstat("nr_foll_pin_acquired");
	return 0;
}

/* Zero as well: what must not be pinned was not, not even for a moment. */
DO(pages_passed)
{
	long taken = vmstat("nr_foll_pin_acquired") - pins_taken, left;

	left = pages_out() - pins_out;
	return taken == (long)arg[0].number && !left
		       ? 0
		       : seen_instead(r, "%ld pages were pinned, %ld still are", taken,
				      left);
}

DO(pages_pinned)
{
	long more = pages_out() - pins_out;

	return more == (long)arg[0].number
		       ? 0
		       : seen_instead(r, "%ld more pages pinned", more);
}

/* ---- /proc/locks, fdinfo ---- */

/* Lines of the file in the shape that lslocks takes apart, and the state in the last of them. */
static int lines_in_locks(const char *path, char last[32])
{
	static char text[65536];
	char place[64], type[32], state[32], mode[32], at[64], start[32], end[32], *line,
		*save;
	struct stat st;
	int n = 0, pid;

	if (stat(path, &st) || file_read("/proc/locks", text, sizeof(text)) < 0)
		return -1;
	snprintf(place, sizeof(place), "%02x:%02x:%lu", major(st.st_dev),
		 minor(st.st_dev), st.st_ino);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%*31s %31s %31s %31s %d %63s %31s %31s", type, state,
			   mode, &pid, at, start, end) == 7 &&
		    !strcmp(at, place)) {
			strcpy(last, state);
			n++;
		}
	return n;
}

DO(locks)
{
	char state[32] = "no line";
	int n = lines_in_locks(path_of(&arg[0]), state);

	return n == (int)arg[1].number ? 0
				       : seen_instead(r, "%d lines in /proc/locks", n);
}

/* Of the only lease on the file. */
DO(lock_state)
{
	char state[32] = "no line";

	if (lines_in_locks(path_of(&arg[0]), state) == 1 &&
	    !strcasecmp(state, arg[1].word))
		return 0;
	return seen_instead(r, "%s", state);
}

/* The line of the file in the fdinfo of a context. */
DO(figures)
{
	char path[64], text[8192], inode[32], *line, *save;
	unsigned long pages, mrs;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%ld",
		 arg[0].name->owner->actor->pid, arg[0].name->fd);
	if (stat(path_of(&arg[1]), &st) || file_read(path, text, sizeof(text)) < 0)
		return seen_instead(r, "no %s", path);
	snprintf(inode, sizeof(inode), " ino: %lu ", st.st_ino);
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "file_pin: pages: %lu mrs: %lu", &pages, &mrs) != 2 ||
		    !strstr(line, inode))
			continue;
		if (pages == arg[2].number && mrs == arg[3].number)
			return 0;
		return seen_instead(r, "%s", line);
	}
	return seen_instead(r, "no line for the file");
}

/* ---- processes, settings ---- */

DO(kill)
{
	actor_kill(arg[0].name->actor);
	return 0;
}

DO(reap)
{
	actor_reap(arg[0].name->actor);
	return 0;
}

DO(dead)
{
	return actor_dead(arg[0].name->actor) ? 0 : seen_instead(r, "it is alive");
}

static long locked_kb(pid_t pid)
{
	char path[64], text[8192], *p;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (file_read(path, text, sizeof(text)) < 0 || !(p = strstr(text, "VmPin:")))
		broken("no VmPin in %s", path);
	return atol(p + strlen("VmPin:"));
}

DO(pinned_memory)
{
	long kb = locked_kb(arg[0].name->actor->pid);

	if ((uint64_t)kb << 10 == arg[1].number)
		return 0;
	return seen_instead(r, "VmPin is %ld KiB", kb);
}

DO(set)
{
	set_for_check(path_of(&arg[0]), arg[1].word);
	return 0;
}

const struct verb look_verbs[] = {
	{ "pins", "of ACTOR : FILES", K_NONE, do_pins, "$1 pins: $2", VERB_LOOK, NULL },
	{ "owners", "of ACTOR : fd|map|both|none", K_NONE, do_owners,
	  "the pins of $1 are shown by: $2", VERB_LOOK, NULL },
	{ "content", "of FILE RANGE : N", K_NONE, do_content,
	  "bytes $2 of $1 have content $3", VERB_LOOK, NULL },
	{ "size", "of FILE : SIZE", K_NONE, do_size, "the size of $1 is $2", VERB_LOOK,
	  NULL },
	{ "allocated", "of FILE : SIZE", K_NONE, do_allocated,
	  "at least $2 are allocated to $1", VERB_LOOK, NULL },
	{ "shared-extents", "of FILE : N", K_NONE, do_shared_extents,
	  "$1 has $2 shared extents", VERB_LOOK, NULL },
	{ "remember", "FILE", K_NONE, do_remember, "$1 is remembered as it is", VERB_LOOK,
	  NULL },
	{ "unchanged", "FILE", K_NONE, do_unchanged, "$1 is as remembered", VERB_LOOK,
	  NULL },
	{ "remember-space", "", K_NONE, do_remember_space, "the free space is remembered",
	  VERB_LOOK, NULL },
	{ "freed", "SIZE", K_NONE, do_freed, "$1 more are free than remembered",
	  VERB_LOOK, NULL },
	{ "remember-pages", "", K_NONE, do_remember_pages,
	  "the pinned pages are remembered", VERB_LOOK, NULL },
	{ "pages-pinned", "N", K_NONE, do_pages_pinned,
	  "$1 more pages are pinned than remembered", VERB_LOOK, NULL },
	{ "pages-passed", "N", K_NONE, do_pages_passed,
	  "$1 pages have been pinned since they were remembered, and unpinned", VERB_LOOK,
	  NULL },
	{ "locks", "of FILE : N", K_NONE, do_locks, "/proc/locks has $2 lines for $1",
	  VERB_LOOK, NULL },
	{ "lock-state", "of FILE : active|pinned|zombie|breaking", K_NONE, do_lock_state,
	  "/proc/locks shows the lease on $1 as $2", VERB_LOOK, NULL },
	{ "figures", "of CTX FILE : N pages N mrs", K_NONE, do_figures,
	  "the fdinfo of $1 shows $3 pages of $2 in $4 MRs", VERB_LOOK, NULL },
	{ "kill", "ACTOR", K_NONE, do_kill, "$1 is killed", VERB_LOOK | VERB_ENDS, NULL },
	{ "reap", "ACTOR", K_NONE, do_reap, "$1 is reaped", VERB_LOOK, NULL },
	{ "dead", "ACTOR", K_NONE, do_dead, "$1 is dead", VERB_LOOK, NULL },
	{ "pinned-memory", "of ACTOR : SIZE", K_NONE, do_pinned_memory,
	  "the memory of $1 that counts as pinned is $2", VERB_LOOK, NULL },
	{ "set", "FILE WORD", K_NONE, do_set, "$1 is set to $2 for the test", VERB_LOOK,
	  NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
