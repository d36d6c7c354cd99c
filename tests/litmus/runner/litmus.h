/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A litmus file in memory, and the table of what its steps can do.
 *
 * Documentation/litmus.md has the language.  parse.c turns a file into a struct litmus and finds
 * every mistake that does not need a kernel; run.c does the steps; explain.c tells them as prose.
 */
#ifndef PINV_LITMUS_H
#define PINV_LITMUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "verbs.h"

enum fs {
	FS_XFS,
	FS_EXT4,
	FS_COUNT
};

extern const char *const fs_names[FS_COUNT];

/* What an argument is, or the thing that a name stands for. */
enum kind {
	K_NONE,
	K_FILE,
	K_FD,
	K_MAP,
	K_CTX,
	K_MR,
	K_ACTOR,
	K_SIZE,
	K_RANGE,
	K_NUMBER,
	K_WORD,
	K_WORDS, /* the rest of the line */
	K_FILES, /* the rest of the line: names of files, or "none" */
};

struct range {
	uint64_t from, to; /* to == RANGE_END: as far as there is something */
};

#define RANGE_END    UINT64_MAX
#define WHOLE        ((struct range){ 0, RANGE_END })
#define ARGS_MAX     6
#define NAME_LEN     48
#define NAMES_INDEX  256
#define WORDS_MAX    24
#define TOGETHER_MAX 8

/* A name of the scenario; what it stands for is known once the step that defines it is done. */
struct name {
	char text[NAME_LEN];
	enum kind kind;
	struct name *owner;        /* the actor whose it is; NULL: everyone's */
	struct name *next, *alike; /* alike: in the same place of the index */
	int line;
	bool remote; /* an actor on the second guest */
	int lost;    /* the line of the step that ended the guest; 0: it is there */

	/* of a running scenario */
	struct actor *actor;
	const char *path;
	long fd; /* K_FD, K_CTX */
	int ctx; /* K_CTX */
	uint32_t pd;
	struct {
		uint64_t addr, len,
			pos; /* pos: position of its first byte in the content */
	} map;
	struct mr mr;
	struct name *of; /* the context of an MR */
};

struct arg {
	enum kind kind; /* K_NONE: an optional one that is not there */
	struct name *name;
	uint64_t number; /* also: which of several words; the set of them */
	struct range range;
	const char *word; /* as it stands in the file */
	const char *words[WORDS_MAX + 1];
};

/* The result that a step must have. */
struct expect {
	enum {
		E_OK,
		E_ERRNO,
		E_VALUE,
		E_FAILS,  /* any errno */
		E_BLOCKS, /* it waits; a later "returns" says what it gives */
	} what;
	long value;
};

struct verb;

struct step {
	struct step *next;
	const struct verb *verb;
	struct name *actor;  /* NULL: seen by the runner */
	struct name *result; /* the name that the step defines */
	struct arg arg[ARGS_MAX];
	struct expect expect[FS_COUNT];
	unsigned int eventually_ms; /* 0: holds at once */
	unsigned int group;         /* steps of one "together" have the same; 0: none */
	unsigned int round;         /* of a repeated step: 1, 2, …; 0: not repeated */
	int line;
	char text[200];
};

/* One permitted combination of the results of a "together". */
struct outcome_row {
	struct outcome_row *next;
	unsigned int group;
	struct expect expect[TOGETHER_MAX];
};

struct content_file {
	struct content_file *next;
	struct name *name;
	uint64_t size;
	unsigned int seed; /* 0: a hole */
	bool directory;
};

struct chunk {
	struct chunk *next;
	_Alignas(16) char data[];
};

struct litmus {
	struct chunk *chunks; /* all that the scenario consists of */
	char path[256];
	char name[64]; /* of the file, without .litmus */
	char title[160];
	char witness[160]; /* subject of a patch of the series, or empty */
	char no_witness[160];
	char *rules[24], *needs[8], *tags[12];
	bool on[FS_COUNT];
	char why_not[FS_COUNT][160];
	struct name *names, *index[NAMES_INDEX];
	struct content_file *files;
	struct step *steps;
	struct outcome_row *rows;
	unsigned int groups;
	const struct verb *ends; /* the step that ends the guest; it goes on in another */
};

/* Reads a file; NULL and a message "file:line: …" in error if it has a mistake. */
struct litmus *litmus_parse(const char *path, char *error, size_t len);
/* The same for text that is at hand. */
struct litmus *litmus_parse_text(const char *path, const char *text, char *error,
				 size_t len);

void litmus_free(struct litmus *l);

/* True for the id of a rule of the contract; the ids in order, NULL after the last. */
bool rule_known(const char *id);
extern const struct rule {
	const char *id, *text;
} rules[];

void litmus_explain(const struct litmus *l, FILE *out);
/* All verbs, as the table of Documentation/litmus.md. */
void litmus_verbs(FILE *out);
const char *expect_text(const struct expect *e, const struct verb *v, char *buf,
			size_t len);

/* ---- running ---- */

struct run {
	const struct litmus *litmus;
	enum fs fs;
	bool trace;
	bool restarted; /* the steps behind the one that ended the guest, in the next one */
};

/* In the director of a check: does all steps and reports what is not as it must be. */
void litmus_run(struct run *r);
/* At its end: brings back what a step took away. */
void power_restore(const struct litmus *l);

/*
 * What a step does.  Gives what the kernel gave: a value >= 0, or -errno.  A verb without actor
 * looks at the system from outside, and gives 0 or -errno after saying what it saw instead.
 */
struct verb {
	const char *name;
	/* Kinds in capitals, words as they are, [optional], one|of|several, +a|set|of. */
	const char *args;
	enum kind result; /* what "NAME =" in front stands for afterwards */
	long (*run)(struct run *r, struct actor *a, struct arg *arg, struct name *result);
	const char
		*prose; /* $1 … are the arguments, $= the result; {left out without $n} */
	unsigned int flags;
	const char *const *values; /* words for the values 0, 1, … */
};

#define VERB_LOOK 1u /* has no actor and no result */
#define VERB_ENDS 2u /* the actor is gone afterwards */
#define VERB_TAKES \
	4u /* the result belongs to the actor in the argument, not to the one who acts */
#define VERB_RESTART 8u /* all processes are gone; the steps behind have another guest */

/* Verbs that the parser itself knows about. */
extern const struct verb verb_returns;

const struct verb *verb_find(const char *name, bool look);
/* All of them, table by table, each ended by one without name; NULL after the last. */
extern const struct verb *const verb_tables[];

/* Inside a look: says what was seen instead; gives the errno that marks the step as failed. */
long seen_instead(struct run *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
