// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Words of a line, numbers, ranges, and how a mistake is told. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"

void mistake(struct parser *p, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(p->error, p->error_len, "%s:%d: ", p->l->path, p->line);

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < p->error_len)
		vsnprintf(p->error + n, p->error_len - (size_t)n, fmt, ap);
	va_end(ap);
	longjmp(p->out, 1);
}

void *take(struct parser *p, size_t len)
{
	struct chunk *c = calloc(1, sizeof(*c) + len);

	if (!c)
		mistake(p, "no memory");
	c->next = p->l->chunks;
	p->l->chunks = c;
	return c->data;
}

char *keep(struct parser *p, const char *text)
{
	char *copy = take(p, strlen(text) + 1);

	return strcpy(copy, text);
}

static char *quoted(struct parser *p, char **at)
{
	char *start = *at + 1, *end = strchr(start, '"');

	if (!end)
		mistake(p, "the quotation mark is not closed");
	*end = '\0';
	*at = end + 1;
	return start;
}

static void add_word(struct parser *p, char *word)
{
	if (p->words == LINE_WORDS)
		mistake(p, "more than %d words", LINE_WORDS);
	p->word[p->words++] = word;
}

/* ':' and ',' after a word are words of their own. */
static void add_plain(struct parser *p, char *word)
{
	size_t n = strlen(word);
	char last = word[n - 1];

	if (n == 1 || (last != ':' && last != ',')) {
		add_word(p, word);
		return;
	}
	word[n - 1] = '\0';
	add_word(p, word);
	add_word(p, keep(p, last == ':' ? ":" : ","));
}

void split(struct parser *p, const char *line)
{
	char *at = keep(p, line), *start;

	p->words = 0;
	p->at = 0;
	for (;;) {
		while (isspace((unsigned char)*at))
			at++;
		if (!*at || *at == '#')
			return;
		if (*at == '"') {
			add_word(p, quoted(p, &at));
			continue;
		}
		start = at;
		while (*at && !isspace((unsigned char)*at))
			at++;
		if (*at)
			*at++ = '\0';
		add_plain(p, start);
	}
}

const char *peek(const struct parser *p)
{
	return p->at < p->words ? p->word[p->at] : NULL;
}

bool next_is(struct parser *p, const char *word)
{
	if (!peek(p) || strcmp(peek(p), word))
		return false;
	p->at++;
	return true;
}

char *next(struct parser *p, const char *what)
{
	if (p->at == p->words)
		mistake(p, "%s is missing at the end of the line", what);
	return p->word[p->at++];
}

void end_of_line(struct parser *p)
{
	if (peek(p))
		mistake(p, "\"%s\" is too much on this line", peek(p));
}

/* 4096, 4K, 2M, 1G */
bool to_size(const char *word, uint64_t *size)
{
	static const char unit[] = "KMG";
	const char *u;
	char *end;

	if (!isdigit((unsigned char)*word))
		return false;
	errno = 0;
	*size = strtoull(word, &end, 0);
	if (errno)
		return false;
	if (*end && (u = strchr(unit, *end))) {
		*size <<= 10 * (u - unit + 1);
		end++;
	}
	return !*end;
}

/* 0..4K, 4K.., all */
bool to_range(const char *word, struct range *r)
{
	const char *dots = strstr(word, "..");
	char from[32];

	*r = WHOLE;
	if (!strcmp(word, "all"))
		return true;
	if (!dots || (size_t)(dots - word) >= sizeof(from))
		return false;
	memcpy(from, word, (size_t)(dots - word));
	from[dots - word] = '\0';
	return to_size(from, &r->from) && (!dots[2] || to_size(dots + 2, &r->to)) &&
	       r->from < r->to;
}

int to_errno(const char *word)
{
	const char *name;
	int e;

	for (e = 1; e < 134; e++) {
		name = strerrorname_np(e);
		if (name && !strcmp(name, word))
			return e;
	}
	/* The C library names this number by its other name. */
	if (!strcmp(word, "EDEADLK"))
		return EDEADLK;
	return 0;
}
