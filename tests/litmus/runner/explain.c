// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Tells a scenario as prose, from the verbs' prose forms. */
#include <ctype.h>
#include <string.h>

#include "check.h"
#include "litmus.h"

const char *expect_text(const struct expect *e, const struct verb *v, char *buf,
			size_t len)
{
	switch (e->what) {
	case E_OK:
		return "ok";
	case E_ERRNO:
		return errno_name((int)e->value);
	case E_FAILS:
		return "any failure";
	case E_BLOCKS:
		return "it waits";
	default:
		if (v && v->values)
			return v->values[e->value];
		snprintf(buf, len, "%ld", e->value);
		return buf;
	}
}

static void put_words(const struct arg *a, FILE *out)
{
	int i;

	for (i = 0; a->words[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", a->words[i]);
}

/* $1 … are the arguments, $= the name of the result. */
static void put_value(const struct step *s, char what, FILE *out)
{
	const struct arg *a = isdigit((unsigned char)what) ? &s->arg[what - '1'] : NULL;

	if (!a)
		fputs(s->result ? s->result->text : "", out);
	else if (a->words[0])
		put_words(a, out);
	else
		fputs(a->word, out);
}

/* Is every value of the part in braces there? */
static bool part_is_there(const struct step *s, const char *part)
{
	for (; *part != '}'; part++) {
		if (*part != '$')
			continue;
		if (part[1] == '=' ? !s->result : !s->arg[part[1] - '1'].kind)
			return false;
	}
	return true;
}

static void put_prose(const struct step *s, FILE *out)
{
	const char *p;

	for (p = s->verb->prose; *p; p++) {
		if (*p == '{' && !part_is_there(s, p))
			p = strchr(p, '}');
		else if (*p == '$')
			put_value(s, *++p, out);
		else if (*p != '{' && *p != '}')
			fputc(*p, out);
	}
}

static void put_result(const struct litmus *l, const struct step *s, FILE *out)
{
	char buf[32];
	int i, first = l->on[0] ? 0 : 1;
	const struct expect *e = &s->expect[first];

	if (s->verb->flags & VERB_LOOK || s->group) {
		fputs(".\n", out);
		return;
	}
	fprintf(out, ": %s", expect_text(e, s->verb, buf, sizeof(buf)));
	for (i = first + 1; i < FS_COUNT; i++)
		if (l->on[i] &&
		    (s->expect[i].what != e->what || s->expect[i].value != e->value))
			fprintf(out, " (%s on %s)",
				expect_text(&s->expect[i], s->verb, buf, sizeof(buf)),
				fs_names[i]);
	fputs(".\n", out);
}

static void put_outcomes(const struct litmus *l, const struct step *first, unsigned int n,
			 FILE *out)
{
	const struct outcome_row *row;
	const struct step *s;
	const char *sep = "     Permitted:";
	char buf[32];
	unsigned int i;

	for (row = l->rows; row; row = row->next) {
		if (row->group != first->group)
			continue;
		fputs(sep, out);
		for (i = 0, s = first; i < n; i++, s = s->next)
			fprintf(out, " %s",
				expect_text(&row->expect[i], s->verb, buf, sizeof(buf)));
		sep = ", or";
	}
	fputs(".\n", out);
}

static void put_step(const struct litmus *l, const struct step *s, unsigned int number,
		     FILE *out)
{
	fprintf(out, "%3u. ", number);
	if (s->eventually_ms)
		fprintf(out, "Within %u s: ", s->eventually_ms / 1000);
	if (s->actor)
		fprintf(out, "%s ", s->actor->text);
	put_prose(s, out);
	put_result(l, s, out);
}

static void put_words_line(const char *label, char *const *words, FILE *out)
{
	int i;

	fprintf(out, "%s", label);
	for (i = 0; words[i]; i++)
		fprintf(out, " %s", words[i]);
	fputc('\n', out);
}

static void put_header(const struct litmus *l, FILE *out)
{
	const struct content_file *f;
	const struct name *n;
	int i;

	fprintf(out, "%s\n\n", l->title);
	put_words_line("Proves", l->rules, out);
	for (i = 0; i < FS_COUNT; i++)
		if (l->on[i])
			fprintf(out, "Runs on %s\n", fs_names[i]);
		else
			fprintf(out, "Not on %s: %s\n", fs_names[i], l->why_not[i]);
	if (l->needs[0])
		put_words_line("Needs", l->needs, out);
	if (*l->witness)
		fprintf(out, "Must fail without \"%s\"\n", l->witness);
	else
		fprintf(out, "Passes without the series, too: %s\n", l->no_witness);
	fputs("\nProcesses:", out);
	for (n = l->names; n; n = n->next)
		if (n->kind == K_ACTOR && !n->owner)
			fprintf(out, " %s%s", n->text,
				n->remote ? " (on the second guest)" : "");
	fputc('\n', out);
	for (f = l->files; f; f = f->next)
		if (f->directory)
			fprintf(out, "Directory %s\n", f->name->text);
		else
			fprintf(out, "File %s of %lu KiB, %s %u\n", f->name->text,
				(unsigned long)f->size / 1024,
				f->seed ? "content" : "a hole:", f->seed);
	fputc('\n', out);
}

void litmus_explain(const struct litmus *l, FILE *out)
{
	const struct step *s, *first = NULL;
	unsigned int number = 0, n = 0;
	bool rounds = false;

	put_header(l, out);
	for (s = l->steps; s; s = s->next) {
		if (s->round > 1)
			continue;
		if (s->round && !rounds)
			fputs("Again and again, the first time so:\n", out);
		rounds = s->round;
		if (s->group && (!first || first->group != s->group)) {
			fputs("At the same time:\n", out);
			first = s;
			n = 0;
		}
		put_step(l, s, ++number, out);
		n++;
		if (s->group && (!s->next || s->next->group != s->group))
			put_outcomes(l, first, n, out);
	}
}

/* "|" ends a cell of a table. */
static void put_cell(const char *text, FILE *out)
{
	for (; *text; text++)
		if (*text == '|')
			fputs("\\|", out);
		else
			fputc(*text, out);
}

static void put_verb(const struct verb *v, FILE *out)
{
	static const char *const gives[] = {
		[K_FD] = "descriptor", [K_MAP] = "mapping",   [K_CTX] = "context",
		[K_MR] = "MR",         [K_ACTOR] = "process",
	};

	fprintf(out, "| `%s%s", v->name, *v->args ? " " : "");
	put_cell(v->args, out);
	fprintf(out, "` | %s | ", v->result ? gives[v->result] : "");
	put_cell(v->prose, out);
	fputs(" |\n", out);
}

static void put_verbs(bool look, FILE *out)
{
	const struct verb *v;
	int i;

	fputs("| verb | gives | effect |\n|---|---|---|\n", out);
	for (i = 0; verb_tables[i]; i++)
		for (v = verb_tables[i]; v->name; v++)
			if (!!(v->flags & VERB_LOOK) == look)
				put_verb(v, out);
	if (!look)
		put_verb(&verb_returns, out);
}

void litmus_verbs(FILE *out)
{
	fputs("Steps of actors:\n\n", out);
	put_verbs(false, out);
	fputs("\nSteps of the runner:\n\n", out);
	put_verbs(true, out);
}
