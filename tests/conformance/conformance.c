// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* conformance: runs the checks of the lease and pin rules on the running kernel (TAP 13). */
#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness/actor.h"
#include "harness/check.h"
#include "harness/kmsg.h"
#include "harness/verbs.h"

#define STOCK_STEP_MS 3000

static const char *dir = "/mnt/xfs";
static bool times;
static int limit_ms = 40000; /* of a check */
static bool on_stock;
static unsigned int number, passed, failed, skipped;

/* "L1" among "L1,L6". */
static bool has_rule(const char *rules, const char *rule)
{
	size_t len = strlen(rule);
	const char *p;

	for (p = rules; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (!strncmp(p, rule, len) && (p[len] == ',' || !p[len]))
			return true;
	return false;
}

static const struct check *check_named(const char *name)
{
	const struct check *c;
	size_t i;

	for (i = 0; (c = check_at(i)); i++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

/*
 * A pattern is a check's name, a rule id, a part of a name, or a shell pattern for a name.  The
 * suite gives hundreds of names, so what takes long comes last: a check's name chooses no other.
 */
static bool matches(const struct check *c, const char *pattern)
{
	if (!strcmp(c->name, pattern))
		return true;
	return (has_rule(c->rules, pattern) || strstr(c->name, pattern) ||
		(strpbrk(pattern, "*?[") && !fnmatch(pattern, c->name, 0))) &&
	       !check_named(pattern);
}

static bool selected(const struct check *c, char *const *patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (matches(c, *patterns))
			return true;
	return false;
}

static void print_indented(char *text)
{
	char *line;

	printf("  ---\n");
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		printf("  # %s\n", line);
	printf("  ...\n");
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Every CUnit test is this function; CUnit knows which check it stands for. */
static void run_current(void)
{
	const struct check *c = check_named(CU_get_current_test()->pName);
	static struct outcome out;
	const int usual_ms = step_deadline_ms;
	long start = now_ms();

	if (on_stock && c->stock == STOCK_FAIL)
		step_deadline_ms = STOCK_STEP_MS;
	check_run(c, dir, limit_ms, &out);
	step_deadline_ms = usual_ms;
	number++;
	if (out.verdict == SKIPPED) {
		out.text[strcspn(out.text, "\n")] = '\0';
		printf("ok %u - %s # SKIP %s\n", number, c->name, out.text);
		skipped++;
	} else if (out.verdict != PASSED) {
		printf("not ok %u - %s # %s\n", number, c->name, c->rules);
		print_indented(out.text);
		failed++;
		CU_FAIL("see the diagnostic above");
	} else {
		printf("ok %u - %s # %s\n", number, c->name, c->rules);
		passed++;
		CU_PASS("");
	}
	if (times)
		printf("# %ld ms\n", now_ms() - start);
	fflush(stdout);
}

/* One suite per source file. */
static CU_pSuite suite_of(const struct check *c)
{
	const char *slash = strrchr(c->file, '/');
	const char *name = slash ? slash + 1 : c->file;
	CU_pSuite s = CU_get_suite(name);

	return s ? s : CU_add_suite(name, NULL, NULL);
}

static unsigned int add_checks(char *const *patterns)
{
	const struct check *c;
	unsigned int n = 0;
	size_t i;

	for (i = 0; (c = check_at(i)); i++) {
		if (!selected(c, patterns))
			continue;
		if (check_named(c->name) != c ||
		    !CU_add_test(suite_of(c), c->name, run_current)) {
			fprintf(stderr, "conformance: %s: two checks of this name\n",
				c->name);
			exit(2);
		}
		n++;
	}
	return n;
}

static void list_checks(char *const *patterns)
{
	static const char *const expectation[] = {
		[STOCK_FAIL] = "fail", [STOCK_PASS] = "pass", [STOCK_RACE] = "race"
	};
	const struct check *c;
	size_t i;

	for (i = 0; (c = check_at(i)); i++)
		if (selected(c, patterns))
			printf("%s\t%s\tstock=%s\n", c->name, c->rules,
			       expectation[c->stock]);
}

static int run_checks(char *const *patterns)
{
	struct stat st;
	int err;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	printf("TAP version 13\n");
	err = kmsg_open();
	if (err) {
		printf("Bail out! /dev/kmsg: %s; run as root in the guest\n",
		       errno_name(-err));
		return 2;
	}
	if (stat(dir, &st) || !S_ISDIR(st.st_mode)) {
		printf("Bail out! %s: not a directory\n", dir);
		return 2;
	}
	printf("1..%u\n", add_checks(patterns));
	fflush(stdout);
	verbs_preload();
	CU_run_all_tests();
	printf("# %u passed, %u failed, %u skipped on %s\n", passed, failed, skipped,
	       dir);
	CU_cleanup_registry();
	return passed && !failed ? 0 : 1;
}

static void usage(FILE *out)
{
	fprintf(out,
		"usage: conformance [--dir DIR] [--list] [--tap] [--times] [--limit S] "
		"[--stock] [PATTERN...]\n"
		"  DIR      directory on a file system mounted dax=always (default %s)\n"
		"  --list   print name, rules and expectation on a stock kernel\n"
		"  --tap    TAP 13 output (the default)\n"
		"  --times  add how long each check took\n"
		"  --limit  seconds that a check may take (default %d)\n"
		"  --stock  the kernel is a stock one: of checks that have to fail "
		"there, "
		"some steps\n"
		"           never end, and none is waited for longer than %d s\n"
		"  PATTERN  a check's name, a rule id, part of a name, or a shell "
		"pattern\n",
		dir, limit_ms / 1000, STOCK_STEP_MS / 1000);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "list", no_argument, NULL, 'l' },
		{ "tap", no_argument, NULL, 't' },
		{ "times", no_argument, NULL, 'm' },
		{ "limit", required_argument, NULL, 's' },
		{ "stock", no_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool list = false;
	int opt;

	if (actor_main(argc, argv))
		return 0;
	while ((opt = getopt_long(argc, argv, "d:lmth", options, NULL)) != -1) {
		if (opt == 'h') {
			usage(stdout);
			return 0;
		} else if (opt == 'd') {
			dir = optarg;
		} else if (opt == 'l') {
			list = true;
		} else if (opt == 'm') {
			times = true;
		} else if (opt == 's') {
			limit_ms = check_limit(optarg);
			if (!limit_ms)
				return 2;
		} else if (opt == 'k') {
			on_stock = true;
		} else if (opt != 't') {
			usage(stderr);
			return 2;
		}
	}
	if (!list)
		return run_checks(argv + optind);
	list_checks(argv + optind);
	return 0;
}
