// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The rule table: a row per rule, a column per flavour and file system.
 *
 * A cell is as bad as the worst of its tests.  One without a test is red unless every scenario of
 * the rule says in its file why it does not run on that file system.
 */
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define COLUMNS   8
#define RULES_MAX 64

/* In order of badness. */
enum cell {
	CELL_NONE,
	CELL_NOT_HERE,
	CELL_PASS,
	CELL_SKIP,
	CELL_BROKEN,
	CELL_FAIL
};

struct column {
	char flavour[16];
	enum fs fs;
	enum cell worst[RULES_MAX];
	unsigned int tests[RULES_MAX];
};

static struct column columns[COLUMNS];
static unsigned int nr_columns;

static struct column *column_of(const char *flavour, enum fs fs)
{
	unsigned int i;

	for (i = 0; i < nr_columns; i++)
		if (columns[i].fs == fs && !strcmp(columns[i].flavour, flavour))
			return &columns[i];
	if (nr_columns == COLUMNS)
		return NULL;
	snprintf(columns[i].flavour, sizeof(columns[i].flavour), "%s", flavour);
	columns[i].fs = fs;
	return &columns[nr_columns++];
}

static enum cell cell_of(const char *verdict)
{
	static const struct {
		const char *word;
		enum cell cell;
	} v[] = {
		{ "pass", CELL_PASS },
		{ "skip", CELL_SKIP },
		{ "broken", CELL_BROKEN },
		{ "fail", CELL_FAIL },
	};
	size_t i;

	for (i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		if (!strcmp(v[i].word, verdict))
			return v[i].cell;
	return CELL_BROKEN; /* what nobody knows is not good */
}

/* A test that could not run says nothing if others of the rule did. */
static void add_result(struct column *c, unsigned int rule, enum cell cell)
{
	enum cell *worst = &c->worst[rule];

	c->tests[rule]++;
	if (*worst == CELL_NONE || *worst == CELL_SKIP)
		*worst = cell;
	else if (cell != CELL_SKIP && cell > *worst)
		*worst = cell;
}

static void read_line(char *line)
{
	char *field[5], *save, *id;
	struct column *c = NULL;
	unsigned int i;

	for (i = 0; i < 5; i++) {
		field[i] = strsep(&line, "\t");
		if (!field[i])
			return;
	}
	field[4][strcspn(field[4], "\t\n")] = '\0';
	for (i = 0; i < FS_COUNT; i++)
		if (!strcmp(field[1], fs_names[i]))
			c = column_of(field[0], i);
	if (!c)
		return;
	for (id = strtok_r(field[3], ", ", &save); id; id = strtok_r(NULL, ", ", &save))
		for (i = 0; rules[i].id; i++)
			if (!strcmp(rules[i].id, id))
				add_result(c, i, cell_of(field[4]));
}

/* Why no scenario of the rule runs there; NULL if one does, or there is none. */
static const char *why_not(struct litmus *const *all, const char *rule, enum fs fs)
{
	const char *why = NULL;
	int i;

	for (; *all; all++)
		for (i = 0; (*all)->rules[i]; i++) {
			if (strcmp((*all)->rules[i], rule))
				continue;
			if ((*all)->on[fs])
				return NULL;
			why = (*all)->why_not[fs];
		}
	return why;
}

static const char *cell_text(enum cell c)
{
	static const char *const text[] = { "no test", "n.a.",   "pass",
					    "skipped", "broken", "FAIL" };

	return text[c];
}

static bool is_good(enum cell c)
{
	return c == CELL_PASS || c == CELL_NOT_HERE;
}

static void put_cell(const struct column *c, unsigned int rule, FILE *out, bool colour)
{
	enum cell cell = c->worst[rule];
	const char *on = !colour             ? ""
			 : is_good(cell)     ? ""
			 : cell == CELL_SKIP ? "\033[90m"
					     : "\033[31m";
	char text[32];

	snprintf(text, sizeof(text), c->tests[rule] ? "%s %u" : "%s", cell_text(cell),
		 c->tests[rule]);
	fprintf(out, "  %s%-10s%s", on, text, *on ? "\033[0m" : "");
}

static void put_heading(FILE *out)
{
	char text[sizeof(columns[0].flavour) + 8];
	unsigned int i;

	fprintf(out, "rule");
	for (i = 0; i < nr_columns; i++) {
		snprintf(text, sizeof(text), "%.15s %.6s", columns[i].flavour,
			 fs_names[columns[i].fs]);
		fprintf(out, "  %-10s", text);
	}
	fputc('\n', out);
}

bool rule_table(FILE *in, struct litmus *const *all, FILE *out, bool colour)
{
	unsigned int i, k;
	char *line = NULL;
	size_t room = 0;
	bool good = true;

	while (getline(&line, &room, in) > 0)
		read_line(line);
	free(line);
	put_heading(out);
	for (i = 0; rules[i].id; i++) {
		fprintf(out, "%-4s", rules[i].id);
		for (k = 0; k < nr_columns; k++) {
			struct column *c = &columns[k];

			if (!c->tests[i] && why_not(all, rules[i].id, c->fs))
				c->worst[i] = CELL_NOT_HERE;
			good = good && is_good(c->worst[i]);
			put_cell(c, i, out, colour);
		}
		fprintf(out, "  %s\n", rules[i].text);
	}
	for (i = 0; rules[i].id; i++)
		for (k = 0; k < nr_columns; k++)
			if (columns[k].worst[i] == CELL_NOT_HERE)
				fprintf(out, "%s is not applicable to %s: %s\n",
					rules[i].id, fs_names[columns[k].fs],
					why_not(all, rules[i].id, columns[k].fs));
	return good && nr_columns;
}
