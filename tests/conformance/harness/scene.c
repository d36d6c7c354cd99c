// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <stdio.h>

#include "scene.h"

static struct scene open_by(struct actor *a, const char *path, uint64_t size)
{
	struct scene s = { .holder = a, .path = path, .size = size };

	s.fd = must(a_open(a, path, O_RDWR));
	return s;
}

static void take_lease(struct scene *s)
{
	must(a_setlease(s->holder, s->fd, EXCLUSIVE_LAYOUT));
}

static void map(struct scene *s)
{
	s->addr = must(a_mmap_shared(s->holder, s->fd, s->size));
}

void scene_open_verbs(struct scene *s)
{
	s->uverbs_fd = must(v_open(s->holder, 0));
}

void scene_pin(struct scene *s)
{
	scene_open_verbs(s);
	must(v_reg(s->holder, 0, (uint64_t)s->addr, s->size, REMOTE_RW, &s->mr));
}

void scene_unmap_and_close(struct scene *s)
{
	must(a_munmap(s->holder, s->addr, s->size));
	must(a_close(s->holder, s->fd));
}

struct scene scene_open(void)
{
	return open_by(actor_start("holder"), make_file("leased", SCENE_SIZE),
		       SCENE_SIZE);
}

struct scene scene_leased(void)
{
	struct scene s = scene_open();

	take_lease(&s);
	return s;
}

struct scene scene_mapped(void)
{
	struct scene s = scene_leased();

	map(&s);
	return s;
}

struct scene scene_pinned(void)
{
	struct scene s = scene_mapped();

	scene_pin(&s);
	return s;
}

struct scene scene_zombie(void)
{
	struct scene s = scene_pinned();

	scene_unmap_and_close(&s);
	return s;
}

struct scene scene_pinned_by(struct actor *a, const char *path, uint64_t size)
{
	struct scene s = open_by(a, path, size);

	take_lease(&s);
	map(&s);
	scene_pin(&s);
	return s;
}

/* ---- /proc/<pid>/file_pins ---- */

void expect_file_pins(const char *file, int line, struct actor *a, const char *want)
{
	char path[64], text[4096];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/file_pins", a->pid);
	n = file_read(path, text, sizeof(text));
	if (n < 0)
		fail_at(file, line, "read of %s's file_pins: expected success, seen %s",
			a->name, errno_name((int)-n));
	else if (strcmp(text, want))
		fail_at(file, line, "%s's file_pins: expected\n%sseen\n%s", a->name,
			*want ? want : "(nothing)\n", *text ? text : "(nothing)\n");
}

const char *pins_text(struct actor *a, long uverbs_fd, const char *path)
{
	static char text[8][1024];
	static unsigned int next;
	char link[64], owner[256];
	ssize_t n;

	next = (next + 1) % 8;
	snprintf(link, sizeof(link), "/proc/%d/fd/%ld", a->pid, uverbs_fd);
	n = readlink(link, owner, sizeof(owner) - 1);
	if (n < 0)
		broken("%s: %s", link, errno_name(errno));
	owner[n] = '\0';
	snprintf(text[next], sizeof(text[next]), "%ld: %s\n\t%s\n", uverbs_fd, owner,
		 path);
	return text[next];
}
