// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The steps of a litmus file. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"

/* ---- names ---- */

static unsigned int index_of(const char *text)
{
	unsigned int h = 5381;

	while (*text)
		h = 33 * h + (unsigned char)*text++;
	return h % NAMES_INDEX;
}

struct name *find_name(const struct litmus *l, const char *text)
{
	struct name *n;

	for (n = l->index[index_of(text)]; n; n = n->alike)
		if (!strcmp(n->text, text))
			return n;
	return NULL;
}

static bool good_name(const char *t)
{
	if (!isalpha((unsigned char)*t))
		return false;
	for (; *t; t++)
		if (!isalnum((unsigned char)*t) && !strchr("_.-/", *t))
			return false;
	return true;
}

struct name *define(struct parser *p, const char *text, enum kind kind,
		    struct name *owner)
{
	struct name *n = find_name(p->l, text), **place;

	if (n &&
	    (n->kind != kind || n->owner != owner || kind == K_ACTOR || kind == K_FILE))
		mistake(p, "%s stands for something else since line %d", text, n->line);
	if (n) {
		n->lost = 0;
		return n; /* the same thing, made anew */
	}
	if (!good_name(text) && kind != K_FILE)
		mistake(p, "\"%s\" is no name", text);
	if (strlen(text) >= NAME_LEN)
		mistake(p, "the name %s is longer than %d", text, NAME_LEN - 1);
	n = *p->last_name = take(p, sizeof(*n));
	p->last_name = &n->next;
	strcpy(n->text, text);
	place = &p->l->index[index_of(text)];
	n->alike = *place;
	*place = n;
	n->kind = kind;
	n->owner = owner;
	n->line = p->line;
	return n;
}

/* What a process had when it forked, its child has too. */
bool can_use(const struct name *n, const struct name *actor)
{
	int forked = INT_MAX;

	if (!n->owner)
		return true;
	for (; actor; actor = actor->owner) {
		if (n->owner == actor)
			return n->line <= forked;
		forked = actor->line < forked ? actor->line : forked;
	}
	return false;
}

/* ---- arguments ---- */

static const char *kind_text(enum kind k)
{
	static const char *const text[] = {
		[K_FILE] = "a file",     [K_FD] = "a descriptor",
		[K_MAP] = "a mapping",   [K_CTX] = "an RDMA context",
		[K_MR] = "an MR",        [K_ACTOR] = "an actor",
		[K_SIZE] = "a size",     [K_RANGE] = "a range such as 0..4K",
		[K_NUMBER] = "a number", [K_WORD] = "a word",
		[K_WORDS] = "words",     [K_FILES] = "names of files, or none",
	};

	return text[k];
}

static enum kind kind_of(const char *word, size_t len)
{
	static const struct {
		const char *word;
		enum kind kind;
	} k[] = {
		{ "FILE", K_FILE }, { "FD", K_FD },       { "MAP", K_MAP },
		{ "CTX", K_CTX },   { "MR", K_MR },       { "ACTOR", K_ACTOR },
		{ "SIZE", K_SIZE }, { "RANGE", K_RANGE }, { "N", K_NUMBER },
		{ "WORD", K_WORD }, { "WORDS", K_WORDS }, { "FILES", K_FILES },
	};
	size_t i;

	for (i = 0; i < sizeof(k) / sizeof(k[0]); i++)
		if (strlen(k[i].word) == len && !strncmp(k[i].word, word, len))
			return k[i].kind;
	return K_NONE;
}

static struct name *file_arg(struct parser *p, const char *word)
{
	struct name *n = find_name(p->l, word);

	/* A path of the system needs no declaration. */
	if (!n && (*word == '/' || *word == '$'))
		n = define(p, word, K_FILE, NULL);
	return n;
}

static void name_arg(struct parser *p, struct step *s, struct arg *a, const char *word)
{
	enum kind want = a->kind;
	struct name *n = want == K_FILE ? file_arg(p, word) : find_name(p->l, word);
	bool shared = want == K_MR || want == K_CTX || want == K_ACTOR || want == K_FILE;

	if (!n)
		mistake(p, "%s: no such name; %s is expected", word, kind_text(want));
	if (n->lost)
		mistake(p, "%s was lost in the %s of line %d", word, p->l->ends->name,
			n->lost);
	if (n->kind != want && !(want == K_FD && n->kind == K_CTX))
		mistake(p, "%s is %s; %s is expected", word, kind_text(n->kind),
			kind_text(want));
	/* Remote peers name an MR or context of somebody else; what it is for them, the verb knows. */
	if (s->actor && !shared && !can_use(n, s->actor))
		mistake(p, "%s is %s of %s, which %s does not have", word,
			kind_text(n->kind), n->owner->text, s->actor->text);
	a->name = n;
}

static bool value_arg(struct arg *a, const char *word)
{
	if (a->kind == K_RANGE)
		return to_range(word, &a->range);
	if (a->kind == K_SIZE || a->kind == K_NUMBER)
		return to_size(word, &a->number);
	return strcmp(word, "->") != 0;
}

static void rest_args(struct parser *p, struct arg *a)
{
	int n = 0;

	while (peek(p) && strcmp(peek(p), "->")) {
		char *w = next(p, "word");

		if (n == WORDS_MAX)
			mistake(p, "more than %d words", WORDS_MAX);
		if (a->kind == K_FILES && strcmp(w, "none") && !file_arg(p, w) &&
		    !(n && !strcmp(w, "(deleted)")))
			mistake(p, "%s: no such file", w);
		a->words[n++] = w;
	}
	if (!n)
		mistake(p, "%s: nothing is there", kind_text(a->kind));
	a->word = a->words[0];
}

static void one_arg(struct parser *p, struct step *s, struct arg *a, enum kind kind)
{
	const char *word;

	a->kind = kind;
	a->range = WHOLE;
	if (kind == K_WORDS || kind == K_FILES) {
		rest_args(p, a);
		return;
	}
	a->word = word = next(p, kind_text(kind));
	if (kind <= K_ACTOR)
		name_arg(p, s, a, word);
	else if (!value_arg(a, word))
		mistake(p, "\"%s\": %s is expected", word, kind_text(kind));
}

/* The index of a word in "one|of|several"; -1 if it is none of them. */
static int which(const char *list, size_t len, const char *word, size_t word_len)
{
	const char *at = list;
	int i;

	for (i = 0; at < list + len; i++) {
		size_t n = strcspn(at, "| ]");

		if (n == word_len && !strncmp(at, word, n))
			return i;
		at += n + 1;
	}
	return -1;
}

/* "one|of|several", or "+a|set|of" of which the file names some with commas between. */
static void choice_arg(struct parser *p, struct arg *a, const char *list, size_t len)
{
	const char *at;
	bool set = *list == '+';
	int i;

	a->kind = K_WORD;
	a->word = at = next(p, "a word");
	list += set;
	len -= set;
	do {
		size_t n = set ? strcspn(at, ",") : strlen(at);

		i = which(list, len, at, n);
		if (i < 0)
			mistake(p, "\"%.*s\" is none of %.*s", (int)n, at, (int)len,
				list);
		a->number |= set ? 1ULL << i : (unsigned int)i;
		at += n;
	} while (*at++ == ',');
}

/* Is what comes next the optional part that starts with this word of the pattern? */
static bool option_follows(const struct parser *p, const char *word, size_t len)
{
	enum kind kind = kind_of(word, len);
	struct range r;
	uint64_t size;

	if (!peek(p) || !strcmp(peek(p), "->"))
		return false;
	if (kind == K_RANGE)
		return to_range(peek(p), &r);
	if (kind == K_SIZE || kind == K_NUMBER)
		return to_size(peek(p), &size);
	if (memchr(word, '|', len))
		return which(word, len, peek(p), strlen(peek(p))) >= 0;
	if (kind != K_NONE)
		return true;
	return strlen(peek(p)) == len && !strncmp(peek(p), word, len);
}

/* One part of the pattern: an argument, or a word that only reads well. */
static void one_part(struct parser *p, struct step *s, struct arg *a, const char *part,
		     size_t len)
{
	const char *w;

	if (kind_of(part, len) != K_NONE) {
		one_arg(p, s, a, kind_of(part, len));
	} else if (memchr(part, '|', len)) {
		choice_arg(p, a, part, len);
	} else {
		w = next(p, "a word");
		if (strlen(w) != len || strncmp(w, part, len))
			mistake(p, "\"%.*s\" is expected, not \"%s\" (%s %s)", (int)len,
				part, w, s->verb->name, s->verb->args);
	}
}

/* Follows the pattern of the verb, word by word. */
void parse_args(struct parser *p, struct step *s)
{
	const char *at = s->verb->args;
	bool skip = false;
	int n = 0;

	while (*at) {
		size_t len;

		if (*at == ' ' || *at == ']') {
			skip = skip && *at != ']';
			at++;
			continue;
		}
		if (*at == '[')
			skip = !option_follows(p, at + 1, strcspn(at + 1, " ]"));
		at += *at == '[';
		len = strcspn(at, " ]");
		if (!skip)
			one_part(p, s, &s->arg[n], at, len);
		n += kind_of(at, len) != K_NONE || memchr(at, '|', len);
		at += len;
	}
}

/* ---- results ---- */

struct expect one_expect(struct parser *p, const char *word, const struct verb *v)
{
	struct expect e = { E_OK, 0 };
	uint64_t size;
	int i;

	if (!strcmp(word, "ok"))
		return e;
	e.what = E_VALUE;
	for (i = 0; v && v->values && v->values[i]; i++) {
		e.value = i;
		if (!strcmp(word, v->values[i]))
			return e;
	}
	e.value = to_errno(word);
	e.what = E_ERRNO;
	if (e.value)
		return e;
	e.what = E_VALUE;
	if (to_size(word, &size)) {
		e.value = (long)size;
		return e;
	}
	e.value = 0;
	e.what = !strcmp(word, "fails") ? E_FAILS : E_BLOCKS;
	if (e.what == E_BLOCKS && strcmp(word, "blocks"))
		mistake(p, "\"%s\" is no result: ok, an errno, a value, fails or blocks",
			word);
	return e;
}

/* -> RESULT [, FS RESULT]… */
void parse_expect(struct parser *p, struct step *s)
{
	int i;

	if (!next_is(p, "->"))
		mistake(p,
			peek(p) ? "\"-> RESULT\" is expected, not \"%s\""
				: "no result: \"-> ok\", \"-> EPERM\", … is missing",
			peek(p));
	s->expect[0] = one_expect(p, next(p, "result"), s->verb);
	for (i = 1; i < FS_COUNT; i++)
		s->expect[i] = s->expect[0];
	while (next_is(p, ",")) {
		const char *w = next(p, "file system");

		for (i = 0; i < FS_COUNT && strcmp(w, fs_names[i]); i++)
			;
		if (i == FS_COUNT)
			mistake(p, "%s is no file system", w);
		s->expect[i] = one_expect(p, next(p, "result"), s->verb);
	}
}

static bool is_errno(const struct step *s, enum fs fs)
{
	return s->expect[fs].what == E_ERRNO || s->expect[fs].what == E_FAILS;
}

/* ---- lines ---- */

/* The step as it stands in the file, without its result. */
static void keep_text(struct step *s, const char *line)
{
	const char *arrow = strstr(line, "->");
	size_t n;

	line += strspn(line, " \t");
	n = arrow ? (size_t)(arrow - line) : strlen(line);
	while (n && isspace((unsigned char)line[n - 1]))
		n--;
	snprintf(s->text, sizeof(s->text), "%.*s", (int)n, line);
}

static struct step *new_step(struct parser *p)
{
	struct step *s = take(p, sizeof(*s));

	*p->last = s;
	p->last = &s->next;
	s->line = p->line;
	s->group = p->group;
	s->round = p->round;
	keep_text(s, p->text);
	return s;
}

static const char *take_verb(struct parser *p, struct step *s, bool look)
{
	const char *w = next(p, "what is done");

	s->verb = verb_find(w, look);
	if (!s->verb && verb_find(w, !look))
		mistake(p,
			look ? "%s is done by an actor: \"A: %s …\""
			     : "%s is not done by an actor",
			w, w);
	if (!s->verb)
		mistake(p, "%s: no such step", w);
	return w;
}

/* What "pin" makes besides the MR, each with a name of its own. */
static const struct {
	const char *suffix;
	enum kind kind;
} pin_parts[] = { { "fd", K_FD }, { "map", K_MAP }, { "ctx", K_CTX } };

static void define_result(struct parser *p, struct step *s, const char *text)
{
	enum kind kind = s->verb->result;
	struct name *owner = s->actor;
	char part[NAME_LEN + 8];
	int i;

	if (kind == K_NONE)
		mistake(p, "%s gives nothing that could be named", s->verb->name);
	for (i = 0; s->verb->flags & VERB_TAKES && i < ARGS_MAX; i++)
		if (s->arg[i].kind == K_ACTOR)
			owner = s->arg[i].name;
	/* A child's owner is its parent: what it can use follows from that. */
	s->result = define(p, text, kind, owner);
	if (strcmp(s->verb->name, "pin"))
		return;
	for (i = 0; i < 3; i++) {
		snprintf(part, sizeof(part), "%s.%s", text, pin_parts[i].suffix);
		define(p, part, pin_parts[i].kind, owner);
	}
}

static bool no_longer_waiting(struct parser *p, const struct name *actor)
{
	unsigned int i;

	for (i = 0; i < p->nr_waiting && p->waiting[i] != actor; i++)
		;
	if (i == p->nr_waiting)
		return false;
	p->waiting[i] = p->waiting[--p->nr_waiting];
	return true;
}

static void check_blocking(struct parser *p, struct step *s)
{
	bool returns = s->verb == &verb_returns;

	if (no_longer_waiting(p, s->actor) != returns)
		mistake(p,
			returns ? "%s is not in a step that blocks"
				: "%s still is in a step that blocks",
			s->actor->text);
	if (s->expect[0].what == E_BLOCKS) {
		if (s->group || s->result)
			mistake(p, "a step that blocks stands alone and names nothing");
		p->waiting[p->nr_waiting++] = s->actor;
	}
}

/* A: [NAME =] VERB … -> RESULT */
static void actor_step(struct parser *p, struct step *s)
{
	const char *w = next(p, "actor"), *result = NULL;

	s->actor = find_name(p->l, w);
	if (!s->actor || s->actor->kind != K_ACTOR)
		mistake(p, "%s is no actor", w);
	if (s->actor->lost)
		mistake(p, "%s was lost in the %s of line %d", w, p->l->ends->name,
			s->actor->lost);
	next(p, ":");
	if (p->at + 1 < p->words && !strcmp(p->word[p->at + 1], "=")) {
		result = next(p, "name");
		p->at++;
	}
	take_verb(p, s, false);
	parse_args(p, s);
	if (p->group) {
		if (s->eventually_ms)
			mistake(p, "steps that run together do not wait");
		if (++p->group_size > TOGETHER_MAX)
			mistake(p, "more than %d steps together", TOGETHER_MAX);
	} else {
		parse_expect(p, s);
	}
	end_of_line(p);
	if (result)
		define_result(p, s, result);
	else if (s->verb->result == K_ACTOR || s->verb->result == K_MAP)
		if (!is_errno(s, 0))
			mistake(p, "%s needs a name for what it gives", s->verb->name);
	check_blocking(p, s);
}

/* Files stay; of the actors, those that the header names start anew. */
static void restart(struct parser *p, const struct verb *how)
{
	struct name *n;

	if (p->round || p->l->ends)
		mistake(p, "the guest ends once");
	p->l->ends = how;
	p->nr_waiting = 0;
	for (n = p->l->names; n; n = n->next)
		if (n->kind != K_FILE && (n->kind != K_ACTOR || n->owner))
			n->lost = p->line;
}

static void look_step(struct parser *p, struct step *s)
{
	if (p->group)
		mistake(p, "only steps of actors run together");
	take_verb(p, s, true);
	parse_args(p, s);
	end_of_line(p);
	if (s->verb->flags & VERB_ENDS)
		no_longer_waiting(p, s->arg[0].name);
	if (s->verb->flags & VERB_RESTART)
		restart(p, s->verb);
}

/* eventually 2s … */
static void step_line(struct parser *p)
{
	struct step *s = new_step(p);
	uint64_t n;

	if (next_is(p, "eventually")) {
		char *w = next(p, "time"), *unit = strchr(w, 's');

		if (unit)
			*unit = '\0';
		if (!unit || unit[1] || !to_size(w, &n) || !n || n > 10)
			mistake(p, "a time from 1s to 10s is expected");
		s->eventually_ms = (unsigned int)n * 1000;
	}
	if (!peek(p))
		mistake(p, "nothing to wait for");
	if (p->at + 1 < p->words && !strcmp(p->word[p->at + 1], ":"))
		actor_step(p, s);
	else
		look_step(p, s);
}

/* outcomes RESULT… | RESULT… */
static void outcomes(struct parser *p)
{
	struct step *s, *first = NULL;

	for (s = p->l->steps; s && !first; s = s->next)
		if (s->group == p->group)
			first = s;
	if (p->group_size < 2)
		mistake(p, "fewer than two steps together");
	do {
		struct outcome_row *row = take(p, sizeof(*row));
		unsigned int i;

		*p->last_row = row;
		p->last_row = &row->next;
		row->group = p->group;
		for (i = 0, s = first; i < p->group_size; i++, s = s->next) {
			row->expect[i] = one_expect(p, next(p, "result"), s->verb);
			if (row->expect[i].what == E_BLOCKS)
				mistake(p, "steps that run together do not block");
		}
	} while (next_is(p, "|"));
	end_of_line(p);
	p->group = 0;
}

static void parse_lines(struct parser *p, int from, int to);

/* The number of the "end" that belongs to the "repeat" before line from. */
static int find_end(struct parser *p, int from, int to)
{
	int depth = 1, i;
	char word[16];

	for (i = from; i < to; i++) {
		if (sscanf(p->lines[i], " %15s", word) != 1)
			continue;
		depth += !strcmp(word, "repeat");
		depth -= !strcmp(word, "end");
		if (!depth)
			return i;
	}
	mistake(p, "no \"end\" for this repeat");
}

static char *substitute(struct parser *p, const char *line, char var, uint64_t value)
{
	char *out = take(p, strlen(line) + 200), *o = out;

	for (; *line; line++) {
		if (*line == '%' && line[1] == var && strlen(out) < 180 + strlen(line)) {
			o += sprintf(o, "%lu", (unsigned long)value);
			line++;
		} else {
			*o++ = *line;
		}
	}
	return out;
}

/* repeat N as X … end: the lines N times, %X being 1, 2, … */
static int repeat(struct parser *p, int from, int to)
{
	int end = find_end(p, from, to), i;
	char **lines = p->lines, **copy;
	unsigned int round = p->round;
	const char *var;
	uint64_t n, k;

	if (!to_size(next(p, "number"), &n) || !n || n > 1000)
		mistake(p, "a number from 1 to 1000 is expected");
	if (!next_is(p, "as"))
		mistake(p, "\"as\" and a letter are expected");
	var = next(p, "letter");
	if (strlen(var) != 1 || !isalpha((unsigned char)*var))
		mistake(p, "one letter is expected, not \"%s\"", var);
	end_of_line(p);
	copy = take(p, (size_t)p->nr_lines * sizeof(*copy));
	for (k = 1; k <= n; k++) {
		for (i = from; i < end; i++)
			copy[i] = substitute(p, lines[i], *var, k);
		p->lines = copy;
		p->round = round > 1 ? round : (unsigned int)k;
		parse_lines(p, from, end);
		p->lines = lines;
	}
	p->round = round;
	return end;
}

static void parse_lines(struct parser *p, int from, int to)
{
	int i;

	for (i = from; i < to; i++) {
		p->line = i + 1;
		p->text = p->lines[i];
		split(p, p->text);
		if (!peek(p))
			continue;
		if (next_is(p, "together")) {
			end_of_line(p);
			if (p->group)
				mistake(p, "\"together\" within \"together\"");
			p->group = ++p->l->groups;
			p->group_size = 0;
		} else if (next_is(p, "outcomes")) {
			if (!p->group)
				mistake(p, "\"outcomes\" without \"together\"");
			outcomes(p);
		} else if (next_is(p, "repeat")) {
			i = repeat(p, i + 1, to);
		} else if (next_is(p, "end")) {
			mistake(p, "\"end\" without \"repeat\"");
		} else if (!header_line(p)) {
			step_line(p);
		}
	}
}

static void split_lines(struct parser *p, const char *text)
{
	char *at = keep(p, text), *c;
	int n = 1;

	for (c = at; *c; c++)
		n += *c == '\n';
	p->lines = take(p, (size_t)n * sizeof(*p->lines));
	while (at) {
		p->lines[p->nr_lines++] = at;
		at = strchr(at, '\n');
		if (at)
			*at++ = '\0';
	}
}

static void parse_all(struct parser *p, const char *text)
{
	split_lines(p, text);
	parse_lines(p, 0, p->nr_lines);
	if (p->group)
		mistake(p, "\"together\" has no \"outcomes\"");
	if (p->nr_waiting)
		mistake(p,
			"nothing says what %s's step that blocks gives: \"%s: returns -> "
			"…\"",
			p->waiting[0]->text, p->waiting[0]->text);
	header_complete(p);
}

static void set_name(struct litmus *l, const char *path)
{
	const char *slash = strrchr(path, '/');

	snprintf(l->path, sizeof(l->path), "%s", path);
	snprintf(l->name, sizeof(l->name), "%s", slash ? slash + 1 : path);
	if (strstr(l->name, ".litmus"))
		*strstr(l->name, ".litmus") = '\0';
}

struct litmus *litmus_parse_text(const char *path, const char *text, char *error,
				 size_t len)
{
	struct parser p = { .error = error, .error_len = len };

	p.l = calloc(1, sizeof(*p.l));
	if (!p.l)
		return NULL;
	set_name(p.l, path);
	p.last_name = &p.l->names;
	p.last = &p.l->steps;
	p.last_row = &p.l->rows;
	if (setjmp(p.out)) {
		litmus_free(p.l);
		return NULL;
	}
	parse_all(&p, text);
	return p.l;
}

struct litmus *litmus_parse(const char *path, char *error, size_t len)
{
	FILE *f = fopen(path, "re");
	static char text[65536];
	size_t n;

	if (!f) {
		snprintf(error, len, "%s: %s", path, strerror(errno));
		return NULL;
	}
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	if (n == sizeof(text) - 1 || strlen(text) != n) {
		snprintf(error, len, "%s: not a text of less than %zu bytes", path,
			 sizeof(text));
		return NULL;
	}
	return litmus_parse_text(path, text, error, len);
}

void litmus_free(struct litmus *l)
{
	struct chunk *c, *next;

	for (c = l ? l->chunks : NULL; c; c = next) {
		next = c->next;
		free(c);
	}
	free(l);
}
