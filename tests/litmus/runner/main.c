// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* litmus: runs, lists, checks and explains litmus files; each file x file system is a CUnit test. */
#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <fnmatch.h>
#include <getopt.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"
#include "check.h"
#include "files.h"
#include "kmsg.h"
#include "remote.h"
#include "report.h"
#include "verbs.h"

#define ALL_MAX 400

static int limit_ms = 120000; /* of a test */

static struct litmus *all[ALL_MAX + 1];
static unsigned int nr_all;
static struct run run;
static const char *dirs[FS_COUNT];

/* ---- reading and choosing ---- */

static bool read_file(const char *path)
{
	char error[512];

	if (nr_all == ALL_MAX) {
		fprintf(stderr, "litmus: more than %d files\n", ALL_MAX);
		return false;
	}
	all[nr_all] = litmus_parse(path, error, sizeof(error));
	if (!all[nr_all]) {
		fprintf(stderr, "%s\n", error);
		return false;
	}
	nr_all++;
	return true;
}

static bool read_folder(const char *folder)
{
	char pattern[512];
	bool good = true;
	size_t i;
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/*.litmus", folder);
	if (glob(pattern, 0, NULL, &g)) {
		fprintf(stderr, "litmus: no litmus files in %s\n", folder);
		return false;
	}
	for (i = 0; i < g.gl_pathc; i++)
		good = read_file(g.gl_pathv[i]) && good;
	globfree(&g);
	return good;
}

static bool in_list(char *const *list, const char *word)
{
	for (; *list; list++)
		if (!strcmp(*list, word))
			return true;
	return false;
}

static const char *full_name(const struct litmus *l, enum fs fs)
{
	static char name[96];

	snprintf(name, sizeof(name), "%s.%s", fs_names[fs], l->name);
	return name;
}

static bool is_full_name(const char *text)
{
	unsigned int i, fs;

	for (i = 0; i < nr_all; i++)
		for (fs = 0; fs < FS_COUNT; fs++)
			if (!strcmp(full_name(all[i], fs), text))
				return true;
	return false;
}

/*
 * A pattern is a test's name, a rule, a tag, a part of a name, or a shell pattern for one.  The
 * suite gives a hundred names, so what takes long comes last: a test's name chooses no other.
 */
static bool matches(const struct litmus *l, enum fs fs, const char *pattern)
{
	const char *name = full_name(l, fs);

	if (!strcmp(name, pattern))
		return true;
	return (in_list(l->rules, pattern) || in_list(l->tags, pattern) ||
		strstr(name, pattern) ||
		(strpbrk(pattern, "*?[") && !fnmatch(pattern, name, 0))) &&
	       !is_full_name(pattern);
}

static bool selected(const struct litmus *l, enum fs fs, char *const *patterns)
{
	if (!l->on[fs] || !dirs[fs])
		return false;
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (matches(l, fs, *patterns))
			return true;
	return false;
}

/* ---- running ---- */

static void run_body(void)
{
	litmus_run(&run);
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Every CUnit test is this function; CUnit knows which scenario it stands for, and where. */
static void run_current(void)
{
	const char *name = CU_get_current_test()->pName;
	struct check check = { .name = name, .run = run_body, .resumes = run.restarted };
	char dir[80];
	static struct outcome out;
	long start = now_ms();
	unsigned int i;

	for (i = 0; i < nr_all; i++)
		if (!strcmp(all[i]->name, name))
			run.litmus = all[i];
	for (i = 0; i < FS_COUNT; i++)
		if (!strcmp(CU_get_current_suite()->pName, fs_names[i]))
			run.fs = i;
	/* the next guest has to find it */
	snprintf(dir, sizeof(dir), "litmus-%s", name);
	if (run.litmus->ends)
		check.dir = dir;
	check_run(&check, dirs[run.fs], limit_ms, &out);
	report_test(run.litmus, run.fs, &out, now_ms() - start);
	CU_TEST(out.verdict == PASSED || out.verdict == SKIPPED);
}

static unsigned int add_tests(char *const *patterns)
{
	unsigned int n = 0, i, fs;
	CU_pSuite suite;

	for (fs = 0; fs < FS_COUNT; fs++) {
		suite = CU_add_suite(fs_names[fs], NULL, NULL);
		for (i = 0; suite && i < nr_all; i++)
			if (selected(all[i], fs, patterns) &&
			    CU_add_test(suite, all[i]->name, run_current))
				n++;
	}
	return n;
}

static bool bail_out(const char *what, const char *why)
{
	printf("Bail out! %s: %s\n", what, why);
	return false;
}

static bool run_tests(char *const *patterns)
{
	bool good;
	int err;

	err = kmsg_open();
	if (err)
		return bail_out("/dev/kmsg", errno_name(-err));
	if (CU_initialize_registry() != CUE_SUCCESS)
		return bail_out("CUnit", "no memory");
	report_plan(add_tests(patterns));
	verbs_preload();
	if (getenv("PINVERBS_PEER")) {
		err = remote_attach(getenv("PINVERBS_PEER"));
		if (err)
			return bail_out("the second guest", errno_name(-err));
	}
	CU_run_all_tests();
	good = report_end();
	CU_cleanup_registry();
	return good;
}

static void list_tests(char *const *patterns)
{
	unsigned int i, fs;
	int k;

	for (fs = 0; fs < FS_COUNT; fs++)
		for (i = 0; i < nr_all; i++) {
			if (!selected(all[i], fs, patterns))
				continue;
			printf("%s.%s\t", fs_names[fs], all[i]->name);
			for (k = 0; all[i]->rules[k]; k++)
				printf("%s%s", k ? "," : "", all[i]->rules[k]);
			printf("\tstock=%s\t", *all[i]->witness ? "fail" : "pass");
			for (k = 0; all[i]->tags[k]; k++)
				printf("%s%s", k ? "," : "", all[i]->tags[k]);
			putchar('\n');
		}
}

/* ---- command line ---- */

static void usage(FILE *out)
{
	fprintf(out,
		"usage: litmus [--dir DIR]... [--trace] [--limit S] [--junit FILE] "
		"[PATTERN|FILE.litmus...]\n"
		"       litmus --restarted TEST...    the steps behind the power cut or "
		"reboot, in the next guest\n"
		"       litmus --list [PATTERN...]    name, rules, result on a stock "
		"kernel, tags\n"
		"       litmus --explain FILE...      the scenario as prose\n"
		"       litmus --check [FILE...]      reads the files, reports mistakes\n"
		"       litmus --witnesses            the patches that the files name\n"
		"       litmus --verbs                what a step can do, as a table\n"
		"       litmus --table FILE           the rule table of the results in "
		"FILE\n"
		"  DIR      directory on a file system mounted dax=always\n"
		"           (default /mnt/xfs and /mnt/ext4)\n"
		"  --limit  seconds that a test may take (default %d)\n"
		"  PATTERN  a rule, a tag, a test's name, part of it, or a shell "
		"pattern\n",
		limit_ms / 1000);
}

static bool add_dir(const char *dir)
{
	struct stat st;
	int i;

	if (stat(dir, &st) || !S_ISDIR(st.st_mode)) {
		fprintf(stderr, "litmus: %s: no directory\n", dir);
		return false;
	}
	for (i = 0; i < FS_COUNT; i++)
		if (!strcmp(fs_name(dir), fs_names[i]))
			dirs[i] = dir;
	return true;
}

static bool table(const char *path)
{
	FILE *in = fopen(path, "re");
	bool good;

	if (!in) {
		perror(path);
		return false;
	}
	good = rule_table(in, all, stdout, isatty(STDOUT_FILENO));
	fclose(in);
	return good;
}

/* Names of files are read; without any, all files of the suite are. */
static bool read_arguments(char **arg)
{
	char **rest = arg;
	bool good = true;

	for (; *arg; arg++) {
		size_t n = strlen(*arg);

		if (n > 7 && !strcmp(*arg + n - 7, ".litmus"))
			good = read_file(*arg) && good;
		else
			*rest++ = *arg;
	}
	*rest = NULL;
	return nr_all || !good ? good : read_folder(LITMUS_DIR);
}

enum mode {
	RUN = 'r',
	LIST = 'l',
	EXPLAIN = 'e',
	CHECK = 'c',
	WITNESSES = 'w',
	VERBS = 'v',
	TABLE = 't',
	RESTARTED = 'a'
};

static bool act(enum mode mode, const char *file, char **arg)
{
	unsigned int i;

	if (mode == VERBS) {
		litmus_verbs(stdout);
		return true;
	}
	if (!read_arguments(arg))
		return false;
	for (i = 0; mode == EXPLAIN && i < nr_all; i++)
		litmus_explain(all[i], stdout);
	for (i = 0; mode == WITNESSES && i < nr_all; i++)
		if (*all[i]->witness)
			printf("%s\t%s\n", all[i]->name, all[i]->witness);
	if (mode == LIST)
		list_tests(arg);
	if (mode == TABLE)
		return table(file);
	for (i = 0; run.restarted && i < nr_all; i++)
		if (!all[i]->ends)
			all[i]->on[FS_XFS] = all[i]->on[FS_EXT4] = false;
	return mode == RUN ? run_tests(arg) : true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "junit", required_argument, NULL, 'j' },
		{ "limit", required_argument, NULL, 's' },
		{ "trace", no_argument, NULL, 'T' },
		{ "list", no_argument, NULL, LIST },
		{ "explain", no_argument, NULL, EXPLAIN },
		{ "check", no_argument, NULL, CHECK },
		{ "witnesses", no_argument, NULL, WITNESSES },
		{ "verbs", no_argument, NULL, VERBS },
		{ "table", required_argument, NULL, TABLE },
		{ "restarted", no_argument, NULL, RESTARTED },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	enum mode mode = RUN;
	const char *file = NULL, *junit = NULL;
	bool any_dir = false;
	int opt;

	if (actor_main(argc, argv))
		return 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'd') {
			if (!add_dir(optarg))
				return 2;
			any_dir = true;
		} else if (opt == 'j') {
			junit = optarg;
		} else if (opt == 's') {
			limit_ms = check_limit(optarg);
			if (!limit_ms)
				return 2;
		} else if (opt == 'T') {
			run.trace = true;
		} else if (opt == RESTARTED) {
			run.restarted = true;
		} else if (opt == 'h' || opt == '?') {
			usage(opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		} else {
			mode = (enum mode)opt;
			file = optarg;
		}
	}
	/* The second guest only has actors for the first. */
	if (mode == RUN && getenv("PINVERBS_PEER") &&
	    strcmp(getenv("PINVERBS_HOST") ?: "0", "0")) {
		verbs_preload();
		return remote_agent();
	}
	if (mode == RUN && !any_dir && !(add_dir("/mnt/xfs") && add_dir("/mnt/ext4")))
		return 2;
	if (junit && !report_junit(junit)) {
		perror(junit);
		return 2;
	}
	if (mode == LIST && !any_dir)
		dirs[FS_XFS] = dirs[FS_EXT4] = "";
	return act(mode, file, argv + optind) ? 0 : 1;
}
