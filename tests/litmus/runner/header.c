// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The header of a litmus file, and what it declares: rules, file systems, actors, files. */
#include <string.h>

#include "parser.h"

const char *const fs_names[FS_COUNT] = { "xfs", "ext4" };

static void rest_of_line(struct parser *p, char *buf, size_t len, const char *what)
{
	size_t used = 0;

	if (*buf)
		mistake(p, "a second %s", what);
	if (!peek(p))
		mistake(p, "%s is empty", what);
	while (peek(p)) {
		const char *w = next(p, what);
		const char *space = used && strcmp(w, ":") && strcmp(w, ",") ? " " : "";

		used += (size_t)snprintf(buf + used, len - used, "%s%s", space, w);
		if (used >= len)
			mistake(p, "%s is longer than %zu characters", what, len - 1);
	}
}

static void words_of_line(struct parser *p, char **list, int max, const char *what)
{
	int n;

	for (n = 0; list[n]; n++)
		;
	if (!peek(p))
		mistake(p, "%s: none is named", what);
	while (peek(p)) {
		if (n == max - 1)
			mistake(p, "more than %d %s", max - 1, what);
		list[n++] = keep(p, next(p, what));
	}
}

static void title(struct parser *p)
{
	rest_of_line(p, p->l->title, sizeof(p->l->title), "title");
}

static void rule_list(struct parser *p)
{
	int i;

	words_of_line(p, p->l->rules, 24, "rules");
	for (i = 0; p->l->rules[i]; i++)
		if (!rule_known(p->l->rules[i]))
			mistake(p, "%s is no rule", p->l->rules[i]);
}

/* "(text)" up to the end of the line. */
static void reason(struct parser *p, char *buf, size_t len, const char *what)
{
	size_t n;

	rest_of_line(p, buf, len, what);
	n = strlen(buf);
	if (n < 3 || buf[0] != '(' || buf[n - 1] != ')')
		mistake(p, "%s stands in parentheses at the end of the line", what);
	buf[n - 1] = '\0';
	memmove(buf, buf + 1, n - 1);
}

static void file_systems(struct parser *p)
{
	char why[160] = "";
	int i, named = 0;

	while (peek(p) && *peek(p) != '(') {
		const char *w = next(p, "file system");

		for (i = 0; i < FS_COUNT && strcmp(w, fs_names[i]); i++)
			;
		if (i == FS_COUNT)
			mistake(p, "%s is no file system of this suite: xfs, ext4", w);
		p->l->on[i] = true;
		named++;
	}
	if (!named)
		mistake(p, "no file system is named");
	if (named == FS_COUNT) {
		end_of_line(p);
		return;
	}
	if (!peek(p))
		mistake(p, "say in parentheses why not on the other file system");
	reason(p, why, sizeof(why), "the reason");
	for (i = 0; i < FS_COUNT; i++)
		if (!p->l->on[i])
			strcpy(p->l->why_not[i], why);
}

static void needs(struct parser *p)
{
	words_of_line(p, p->l->needs, 8, "needs");
}

static void tags(struct parser *p)
{
	words_of_line(p, p->l->tags, 12, "tags");
}

static void witness(struct parser *p)
{
	if (next_is(p, "none")) {
		reason(p, p->l->no_witness, sizeof(p->l->no_witness), "the reason");
		return;
	}
	rest_of_line(p, p->l->witness, sizeof(p->l->witness), "witness");
}

static void actors(struct parser *p)
{
	if (!peek(p))
		mistake(p, "no actor is named");
	while (peek(p))
		define(p, next(p, "actor"), K_ACTOR, NULL);
}

/* An actor on the second guest. */
static void remote(struct parser *p)
{
	define(p, next(p, "actor"), K_ACTOR, NULL)->remote = true;
	end_of_line(p);
}

static struct content_file *add_file(struct parser *p, const char *name)
{
	struct content_file *f = take(p, sizeof(*f)), **at = &p->l->files;

	while (*at)
		at = &(*at)->next;
	*at = f;
	f->name = define(p, name, K_FILE, NULL);
	return f;
}

/* file NAME SIZE [content N | sparse] */
static void file(struct parser *p)
{
	struct content_file *f = add_file(p, next(p, "name"));
	uint64_t seed = 1;

	if (!to_size(next(p, "size"), &f->size))
		mistake(p, "\"%s\" is no size", p->word[p->at - 1]);
	if (next_is(p, "sparse"))
		seed = 0;
	else if (next_is(p, "content") && !to_size(next(p, "content"), &seed))
		mistake(p, "\"%s\" is no number", p->word[p->at - 1]);
	f->seed = (unsigned int)seed;
	end_of_line(p);
}

static void directory(struct parser *p)
{
	add_file(p, next(p, "name"))->directory = true;
	end_of_line(p);
}

/* Names of files that a step makes. */
static void no_file(struct parser *p)
{
	if (!peek(p))
		mistake(p, "no name is given");
	while (peek(p))
		define(p, next(p, "name"), K_FILE, NULL);
}

static const struct {
	const char *word;
	void (*parse)(struct parser *p);
} header[] = {
	{ "title", title },   { "rules", rule_list }, { "on", file_systems },
	{ "needs", needs },   { "witness", witness }, { "tags", tags },
	{ "actors", actors }, { "remote", remote },   { "file", file },
	{ "dir", directory }, { "nofile", no_file },
};

bool header_line(struct parser *p)
{
	size_t i;

	for (i = 0; i < sizeof(header) / sizeof(header[0]); i++) {
		if (strcmp(peek(p), header[i].word))
			continue;
		if (p->l->steps && !strcmp(header[i].word, "file"))
			mistake(p, "files are declared before the first step");
		p->at++;
		header[i].parse(p);
		return true;
	}
	return false;
}

static bool has_word(char *const *list, const char *word)
{
	for (; *list; list++)
		if (!strcmp(*list, word))
			return true;
	return false;
}

static void restart_tag(struct parser *p, const char *verb)
{
	const struct litmus *l = p->l;
	bool ends = l->ends && !strcmp(l->ends->name, verb);

	if (ends != has_word(l->tags, verb))
		mistake(p, "a test with a %s has the tag %s, and no other has it", verb,
			verb);
}

void header_complete(struct parser *p)
{
	const struct litmus *l = p->l;

	p->line = 1;
	if (!*l->title)
		mistake(p, "no title");
	if (!l->rules[0])
		mistake(p, "no rules: say which the test proves");
	if (!l->on[FS_XFS] && !l->on[FS_EXT4])
		mistake(p, "no \"on\": say which file systems the test runs on");
	if (!*l->witness && !*l->no_witness)
		mistake(p, "no witness: name the patch without which the test must fail");
	if (!l->steps)
		mistake(p, "no steps");
	/* the tag says which guest can run it */
	restart_tag(p, "power-cut");
	restart_tag(p, "reboot");
	if (has_word(l->needs, "nfs-server") != has_word(l->tags, "nfs"))
		mistake(p, "a test that needs nfs-server has the tag nfs, and no other "
			   "has it");
}
