// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

static unsigned int number, count[4];
static FILE *junit;

static const char *const verdict_text[] = { "passed", "failed", "broken", "skipped" };

void report_plan(unsigned int tests)
{
	printf("TAP version 13\n1..%u\n", tests);
	fflush(stdout);
}

static void put_rules(const struct litmus *l)
{
	int i;

	for (i = 0; l->rules[i]; i++)
		printf("%s%s", i ? "," : "", l->rules[i]);
}

static void put_diagnostic(const char *text)
{
	const char *end;

	printf("  ---\n");
	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		printf("  # %.*s\n", (int)(end - text), text);
	}
	printf("  ...\n");
}

static void put_tap(const struct litmus *l, enum fs fs, const struct outcome *out)
{
	bool ok = out->verdict == PASSED || out->verdict == SKIPPED;

	printf("%s %u - %s.%s # ", ok ? "ok" : "not ok", ++number, fs_names[fs], l->name);
	if (out->verdict == SKIPPED)
		printf("SKIP %.*s", (int)strcspn(out->text, "\n"), out->text);
	else if (out->verdict == BROKEN)
		printf("BROKEN ");
	if (out->verdict != SKIPPED)
		put_rules(l);
	putchar('\n');
	if (!ok)
		put_diagnostic(out->text);
	fflush(stdout);
}

static void put_escaped(const char *text, FILE *f)
{
	for (; *text; text++) {
		if (*text == '&' || *text == '<' || *text == '>' || *text == '"')
			fprintf(f, "&#%d;", *text);
		else if ((unsigned char)*text >= ' ' || *text == '\n')
			fputc(*text, f);
	}
}

static void put_junit(const struct litmus *l, enum fs fs, const struct outcome *out,
		      long ms)
{
	static const char *const element[] = { NULL, "failure", "error", "skipped" };
	const char *flavour = getenv("PINVERBS_FLAVOUR");

	fprintf(junit,
		"<testcase classname=\"litmus.%s.%s\" name=\"%s\" time=\"%ld.%03ld\">",
		flavour ? flavour : "unknown", fs_names[fs], l->name, ms / 1000,
		ms % 1000);
	if (element[out->verdict]) {
		fprintf(junit, "<%s message=\"", element[out->verdict]);
		put_escaped(out->text, junit);
		fprintf(junit, "\"/>");
	}
	fprintf(junit, "</testcase>\n");
}

void report_test(const struct litmus *l, enum fs fs, const struct outcome *out, long ms)
{
	count[out->verdict]++;
	put_tap(l, fs, out);
	if (junit)
		put_junit(l, fs, out, ms);
}

bool report_junit(const char *path)
{
	junit = fopen(path, "we");
	if (junit)
		fprintf(junit, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			       "<testsuite name=\"litmus\">\n");
	return junit;
}

bool report_end(void)
{
	unsigned int i;

	putchar('#');
	for (i = 0; i < 4; i++)
		printf(" %u %s%s", count[i], verdict_text[i], i < 3 ? "," : "\n");
	fflush(stdout);
	if (junit) {
		fprintf(junit, "</testsuite>\n");
		fclose(junit);
	}
	return count[PASSED] && !count[FAILED] && !count[BROKEN];
}
