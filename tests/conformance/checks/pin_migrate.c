// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * P2: memory in a movable zone moves before it is pinned for long: all that has been pinned is let go, and
 * pinned once more.  The records of the files beside it count it once.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "scene.h"

#define ANON_PAGES 16

/* Makes a block of memory a movable zone, from which anonymous pages are taken first. */
static void make_movable_zone(void)
{
	char path[64];
	int i;

	for (i = 1023; i >= 0; i--) {
		snprintf(path, sizeof(path), "/sys/devices/system/memory/memory%d/state",
			 i);
		/* that of another block may be in use by the kernel */
		if (access(path, W_OK) || file_write(path, "offline"))
			continue;
		must(file_write(path, "online"));
		/* undone in the opposite order: offline, and then online as it was */
		set_for_check(path, "offline");
		set_for_check(path, "online_movable");
		return;
	}
	skip("no memory can be taken offline");
}

/* The file's pages, and behind them anonymous ones, where they will not stay. */
static long map_both(struct scene *s, uint64_t *len)
{
	uint64_t anon = ANON_PAGES * PAGE;
	long at = must(a_mmap(s->holder, 0, s->size + anon, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	must(a_mmap(s->holder, (uint64_t)at, s->size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED | MAP_POPULATE, s->fd, 0));
	must(a_mmap(s->holder, (uint64_t)at + s->size, anon, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0));
	*len = s->size + anon;
	return at;
}

static long pinned_pages(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

static void expect_figures(struct scene *s, const char *want)
{
	char path[64], text[2048];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%ld", s->holder->pid, s->uverbs_fd);
	require(0, file_read(path, text, sizeof(text)));
	expect_true(strstr(text, want) != NULL, "fdinfo: expected %s, seen\n%s", want,
		    text);
}

CHECK(p2_registration_whose_memory_has_to_move, "P2,P5,O1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	long at, pinned, moved;
	char want[64];
	uint64_t len;

	make_movable_zone();
	scene_open_verbs(&s);
	at = map_both(&s, &len);
	snprintf(want, sizeof(want), "pages: %llu mrs: 1 ",
		 (unsigned long long)(s.size / PAGE));
	pinned = pinned_pages();
	moved = vmstat("pgmigrate_success");
	require(0, v_reg(s.holder, 0, (uint64_t)at, len, REMOTE_RW, &s.mr));
	if (vmstat("pgmigrate_success") - moved < ANON_PAGES)
		broken("%ld of %d pages had to move", vmstat("pgmigrate_success") - moved,
		       ANON_PAGES);
	expect_figures(&s, want);
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect_value(pinned + (long)(len / PAGE), pinned_pages());
	expect(0, v_dereg(s.holder, &s.mr));
	expect_value(pinned, pinned_pages());
	expect_pins(s.holder, "");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

/* Behind that memory is a file without a lease: what is pinned by then has moved, and is let go. */
CHECK(p2_refused_after_memory_that_has_to_move, "P2,P1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	const char *second = make_file("second", PAGE);
	long at, pinned, fd;
	uint64_t len;

	make_movable_zone();
	scene_open_verbs(&s);
	at = map_both(&s, &len);
	fd = must(a_open(s.holder, second, O_RDWR));
	must(a_mmap(s.holder, (uint64_t)at + len - PAGE, PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, fd, 0));
	pinned = pinned_pages();
	expect(EPERM, v_reg(s.holder, 0, (uint64_t)at, len, REMOTE_RW, NULL));
	expect_value(pinned, pinned_pages());
	expect_pins(s.holder, "");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}
