/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The scenes that many checks start from: a leased file, a pinned file, a peer with traffic. */
#ifndef PINV_TEST_SCENE_H
#define PINV_TEST_SCENE_H

#include "check.h"
#include "files.h"
#include "ops.h"
#include "verbs.h"

/* An actor that has a file open, and what it made of it. */
struct scene {
	struct actor *holder;
	const char *path;
	uint64_t size;
	long fd;
	long addr;      /* shared, writable mapping of the whole file; 0: none */
	long uverbs_fd; /* descriptor of the holder's context 0 */
	struct mr mr;   /* over the whole mapping */
};

#define SCENE_SIZE KiB(64)

/* Each builds on the one before; all end the check if they cannot be made. */
struct scene scene_open(void);   /* a file with content, open for writing */
struct scene scene_leased(void); /* … under an exclusive layout lease */
struct scene scene_mapped(void); /* … and mapped */
struct scene scene_pinned(void); /* … and registered */
struct scene scene_zombie(void); /* … then unmapped and closed */

/* The same for a given actor and file. */
struct scene scene_pinned_by(struct actor *a, const char *path, uint64_t size);

void scene_open_verbs(struct scene *s);
void scene_pin(struct scene *s);
void scene_unmap_and_close(struct scene *s);

/* /proc/<pid>/file_pins of an actor, compared with the text. */
void expect_file_pins(const char *file, int line, struct actor *a, const char *want);
#define expect_pins(a, want) expect_file_pins(__FILE__, __LINE__, a, want)

/* "5: /dev/infiniband/uverbs0\n\t<path>\n" for one file pinned through that descriptor. */
const char *pins_text(struct actor *a, long uverbs_fd, const char *path);

#endif
