/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PINV_STRESS_H
#define PINV_STRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKERS_MAX 64
#define FILES       4
#define PAGES       64
#define PAGE        4096UL

#define F_LAYOUT         0x100
#define F_EXCLUSIVE      0x200
#define EXCLUSIVE_LAYOUT (F_LAYOUT | F_EXCLUSIVE)

enum did {
	DID_PIN,
	DID_REMOTE,
	DID_ZOMBIE,
	DID_CHANGE,
	DID_REFUSED,
	DID_DEADLK,
	DID_UNLINK,
	DID_FORK,
	DID_KILL,
	DIDS
};

/* What all processes see. */
struct shared {
	atomic_bool stop, failed;
	atomic_ulong did[DIDS];
	atomic_ulong beat[WORKERS_MAX];
	char step[WORKERS_MAX][64]; /* what a process is at, for the report of a hang */
};

extern struct shared *shared;
extern const char *dir;

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline void count(enum did what)
{
	atomic_fetch_add(&shared->did[what], 1);
}

void worker(int number);

/* Files: number i has the tag i + 1 in every word of a page that has content. */
void file_path(char *path, int file);
void make_file(int file);
void check_file(int file);
void tag_page(void *page, int file);
/* Ends the program if the page belongs to another file. */
void check_page(const void *page, int file, const char *seen_by);

#endif
