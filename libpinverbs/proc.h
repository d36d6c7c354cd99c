/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Reading what /proc says about layout leases and file pins; nothing of it is exported. */
#ifndef PINVERBS_PROC_H
#define PINVERBS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_PATH 320 /* of a file of a process in /proc */

/* Where /proc is; changed by unit tests only. */
extern const char *proc_root;

/* A file as /proc names it: the device of the file system, and the inode. */
struct file_id {
	unsigned major, minor;
	uint64_t inode; /* 0: not known */
};

/* Errors of this program, not of the process that is looked at. */
bool is_exhausted(int err);

bool same_file(const struct file_id *a, const struct file_id *b);

/* A line of /proc/locks or of a descriptor's fdinfo. */
struct layout_lease {
	struct file_id file;
	int holder;
	bool cooperative;
	bool pinned;
	bool zombie;
};

/* A line of a uverbs descriptor's fdinfo: what lies under one lease. */
struct owner_pin {
	struct file_id file;
	uint64_t pages, regions;
	bool zombie;
};

struct process {
	int pid;
	uid_t user;
	bool kernel_thread;
	char command[64];
};

/*
 * The functions below return 0 or a positive errno: ENOENT or ESRCH when the process has
 * gone. @process is a number or "self".
 */

/* The whole file, ended by a 0 byte, to be freed. */
int proc_read(const char *process, const char *name, char **text);
int proc_read_process(const char *process, struct process *result);

/* The path that a symbolic link of /proc shows, escaped as file_pins does, to be freed. */
int proc_read_link(const char *process, const char *name, char **path);

/* Cut the next line off *text and end it with a 0 byte; NULL after the last. */
char *next_line(char **text);

bool parse_lease(const char *line, struct layout_lease *lease);
bool parse_owner_pin(const char *line, struct owner_pin *pin);

/* At which descriptors a process was seen to have leases; all 0: nobody has been looked at. */
struct lease_places {
	int pid;
	struct lease_place *list;
	size_t count, room;
};

void proc_forget_places(struct lease_places *places);

/*
 * Where the process has a description with that lease: the path of the file, to be freed.
 * ENODATA: it has neither a descriptor nor a mapping of it. @places saves looking at all of its
 * descriptors for each of its leases.
 */
int proc_find_lease(int pid, const struct file_id *file, struct lease_places *places,
		    char **path);

#endif
