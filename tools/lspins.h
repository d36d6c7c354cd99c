/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* lspins: what its parts share. */
#ifndef LSPINS_H
#define LSPINS_H

#include <stdbool.h>
#include <stdio.h>
#include "pinverbs.h"

enum {
	EXIT_LISTED = 0,
	EXIT_FAILED = 1,    /* wrong usage too */
	EXIT_INCOMPLETE = 2 /* some processes could not be looked at */
};

enum column {
	COLUMN_COMMAND,
	COLUMN_PID,
	COLUMN_USER,
	COLUMN_OWNER_FD,
	COLUMN_OWNER,
	COLUMN_FILE,
	COLUMN_PAGES,
	COLUMN_SIZE,
	COLUMN_MRS,
	COLUMN_LEASE,
	COLUMN_HOLDER,
	COLUMN_DEV,
	COLUMN_INODE,
	COLUMN_COUNT
};

#define MOST_COLUMNS 32

struct options {
	int pid;
	char **files;
	int file_count;
	bool json, raw, bytes, no_headings, kill, yes;
	double interval; /* of --watch; 0: once */
	int signal;      /* of --kill */
	enum column columns[MOST_COLUMNS];
	unsigned column_count;
};

/* Lists of pins, one for each file or a single one, and their entries. */
struct listing {
	struct pinv_pins **lists;
	size_t list_count, list_room;
	const struct pinv_pin **entries;
	size_t count;
	unsigned unseen;
};

/* lspins_list.c: exit status. */
int make_listing(const struct options *options, struct listing *listing);
void free_listing(struct listing *listing);
int say_unseen(unsigned unseen);

/* lspins_cells.c */
enum shape {
	SHAPE_TEXT,
	SHAPE_NUMBER,
	SHAPE_NUMBERS /* of any count */
};

const char *column_name(enum column column);
enum shape column_shape(enum column column);
/* -1: there is no such column. */
int find_column(const char *name, size_t length);

/* A cell's content, to be freed; NULL: unknown (known), or there is none (!known). */
struct cell {
	char *text;
	bool unknown;
};

struct cell make_cell(const struct pinv_pin *pin, enum column column, bool bytes);

/* lspins_print.c */
void print_listing(FILE *out, const struct options *options,
		   const struct listing *listing);

/* lspins_kill.c: exit status. */
int kill_holders(const struct options *options);

/* lspins_watch.c: exit status. */
int watch_listing(const struct options *options);

/* lspins.c: the status, or EXIT_FAILED if what was printed did not get out. */
int flush_output(int status);

/* lspins_version.c */
void print_version(void);

/* End the program when there is no memory left. */
void *must(void *memory);

#endif
