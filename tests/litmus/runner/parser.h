/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What lex.c, header.c and parse.c share. */
#ifndef PINV_LITMUS_PARSER_H
#define PINV_LITMUS_PARSER_H

#include <setjmp.h>

#include "litmus.h"

#define LINE_WORDS 64

struct parser {
	struct litmus *l;
	char *error;
	size_t error_len;
	jmp_buf out;
	char **lines;
	int nr_lines;
	int line; /* number of the current one, from 1 */
	const char *text;
	char *word[LINE_WORDS];
	int words, at;
	struct name **last_name;
	struct step **last;
	struct outcome_row **last_row;
	unsigned int group, group_size; /* inside "together" */
	unsigned int round;
	int depth;
	struct name *waiting[16]; /* actors whose last step "blocks" */
	unsigned int nr_waiting;
};

_Noreturn void mistake(struct parser *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void *take(struct parser *p, size_t len);
char *keep(struct parser *p, const char *text);

void split(struct parser *p, const char *line);
const char *peek(const struct parser *p);
bool next_is(struct parser *p, const char *word);
char *next(struct parser *p, const char *what);
void end_of_line(struct parser *p);

bool to_size(const char *word, uint64_t *size);
bool to_range(const char *word, struct range *r);
int to_errno(const char *word);

struct name *find_name(const struct litmus *l, const char *text);
struct name *define(struct parser *p, const char *text, enum kind kind,
		    struct name *owner);
bool can_use(const struct name *n, const struct name *actor);

/* True if the line belongs to the header and has been dealt with. */
bool header_line(struct parser *p);
void header_complete(struct parser *p);

void parse_args(struct parser *p, struct step *s);
void parse_expect(struct parser *p, struct step *s);
struct expect one_expect(struct parser *p, const char *word, const struct verb *v);

#endif
