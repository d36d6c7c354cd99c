/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Files with known content, and proof that a file has not changed. */
#ifndef PINV_TEST_FILES_H
#define PINV_TEST_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define KiB(n) ((uint64_t)(n) << 10)
#define MiB(n) ((uint64_t)(n) << 20)
#define PAGE   4096UL

/*
 * The content that seed stands for: no byte of it is 0, so that a hole shows, and each eight of
 * them tell their position.
 */
void pattern_fill(void *buf, size_t len, uint64_t seed, uint64_t pos);
bool pattern_matches(const void *buf, size_t len, uint64_t seed, uint64_t pos);

#define FILE_SEED 1

/*
 * Creates a file in the check's directory (or at an absolute path) whose blocks are allocated and
 * written with the content of FILE_SEED, closes it and returns its path.
 */
const char *make_file(const char *name, uint64_t size);
/* With the content of seed; 0: one hole. */
const char *make_file_with(const char *name, uint64_t size, uint64_t seed);
const char *make_sparse_file(const char *name, uint64_t size);

/* The content of a file is that of seed from pos on, for len bytes. */
bool file_has_pattern(const char *path, uint64_t pos, uint64_t len, uint64_t seed);

bool file_is_zero(const char *path, uint64_t pos, uint64_t len);

/* The same where position pos of the file holds position from of the content. */
bool file_has_content_at(const char *path, uint64_t pos, uint64_t len, uint64_t seed,
			 uint64_t from);

/* Everything about a file that a refused layout change must leave alone. */
struct file_state {
	struct stat st;
	uint64_t content;
	uint64_t extents;
	uint64_t capability;
};

void file_state(const char *path, struct file_state *s);

/* What differs from the state; NULL if nothing does. */
const char *file_difference(const char *path, const struct file_state *before);

/* Fails the check, naming what differs and after which step. */
void expect_unchanged(const char *path, const struct file_state *before,
		      const char *after);

/*
 * Gives the file a security.capability, which a change of content would remove.  False if the
 * file system has no such attributes; one check of its own insists on them.
 */
bool file_set_capability(const char *path);

/* Number of extents that the file shares with others; -errno. */
long file_shared_extents(const char *path);

/* Whole small file as a string; length or -errno. */
ssize_t file_read(const char *path, char *buf, size_t len);
int file_write(const char *path, const char *text);
/* Truncates it; a trace is emptied by that, and not by writing to it. */
int file_empty(const char *path);

int file_remove_tree(const char *path);

/* The kind of file system: "xfs", "ext4", …; needs no mount table. */
const char *fs_name(const char *path);

/* Free bytes of the file system; settled: once earlier removals have come to their end. */
uint64_t fs_free(const char *path);
uint64_t fs_free_settled(const char *path);

/* A counter of /proc/vmstat, exact: per-CPU parts are folded first. */
long vmstat(const char *name);

#endif
