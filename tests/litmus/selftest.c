// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tests of the litmus program, on any machine: mistakes in a file are told with their line, and a
 * scenario that is wrong, hangs or loses an actor does not pass.
 */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor.h"
#include "check.h"
#include "report.h"

static char scratch[] = "/tmp/litmus-XXXXXX";
static struct outcome out;
static struct run run;

#define HEAD                                                                            \
	"title t\nrules L1\non xfs ext4\nwitness none (a test of the tests)\nactors A " \
	"B\n"                                                                           \
	"file f 64K\n"
#define HEAD_LINES 6

/* ---- the parser ---- */

/* A file of the header and these lines, and what is said about it: "7: …", or "" if it is right. */
static const struct {
	const char *lines, *said;
} mistakes[] = {
	{ "A: truncate f 0 -> ok", "" },
	{ "A: fd = open f rdwr -> ok\nA: close fd -> ok # comment", "" },
	{ "A: truncate f 0", "7: no result" },
	{ "A: truncate f 0 -> EWHAT", "7: \"EWHAT\" is no result" },
	{ "A: truncate f -> ok", "7: \"->\": a size is expected" },
	{ "A: truncate g 0 -> ok", "7: g: no such name; a file is expected" },
	{ "A: truncate f 0 -> ok ok", "7: \"ok\" is too much on this line" },
	{ "C: truncate f 0 -> ok", "7: C is no actor" },
	{ "A: trunkate f 0 -> ok", "7: trunkate: no such step" },
	{ "A: size of f: 0 -> ok", "7: size is not done by an actor" },
	{ "truncate f 0 -> ok", "7: truncate is done by an actor" },
	{ "A: close fd -> ok", "7: fd: no such name" },
	{ "A: fd = open f rdwr -> ok\nB: close fd -> ok",
	  "8: fd is a descriptor of A, which B does not have" },
	{ "A: fd = open f rdwr -> ok\nA: C = fork -> ok\nC: close fd -> ok", "" },
	{ "A: C = fork -> ok\nA: fd = open f rdwr -> ok\nC: close fd -> ok",
	  "9: fd is a descriptor of A, which C does not have" },
	{ "A: fd = open f rdwr -> ok\nA: munmap fd -> ok",
	  "8: fd is a descriptor; a mapping is expected" },
	{ "A: fd = open f rdwr,quick -> ok", "7: \"quick\" is none of rdonly|" },
	{ "A: fd = open f rdwr -> ok\nA: fallocate fd drill 0..4K -> ok",
	  "8: \"drill\" is none of preallocate|" },
	{ "A: fd = open f rdwr -> ok\nA: fallocate fd punch 4K..0 -> ok",
	  "8: \"4K..0\": a range such as 0..4K is expected" },
	{ "A: fd = open f rdwr -> ok\nA: write fd 0..4K contents 1 -> ok",
	  "8: \"content\" is expected, not \"contents\"" },
	{ "A: anon 4K -> ok", "7: anon needs a name for what it gives" },
	{ "A: x = sync -> ok", "7: sync gives nothing that could be named" },
	{ "A: truncate f 0 -> ok, vfat EIO", "7: vfat is no file system" },
	{ "A: truncate f 0 -> ok, ext4 EIO", "" },
	{ "A: fd = open f rdwr -> ok\npower-cut\nA: close fd -> ok",
	  "9: fd was lost in the power-cut of line 8" },
	{ "A: C = fork -> ok\npower-cut\nC: exit -> ok",
	  "9: C was lost in the power-cut of line 8" },
	{ "A: fd = open f rdwr -> ok\nreboot\nA: close fd -> ok",
	  "9: fd was lost in the reboot of line 8" },
	{ "power-cut\npower-cut", "8: the guest ends once" },
	{ "reboot\npower-cut", "8: the guest ends once" },
	{ "A: reboot -> ok", "7: reboot is not done by an actor" },
	{ "reboot now", "7: \"now\" is too much" },
	{ "repeat 2 as i\nreboot\nend", "8: the guest ends once" },
	{ "A: truncate f 0 -> ok\nreboot", "1: a test with a reboot has the tag reboot" },
	{ "tags reboot\nA: truncate f 0 -> ok\npower-cut",
	  "1: a test with a power-cut has the tag power-cut" },
	{ "tags reboot\nA: truncate f 0 -> ok\nreboot\nA: truncate f 0 -> ok", "" },
	{ "A: fd = open f rdwr -> ok\npower-cut\nA: fd = open f rdwr -> ok\nA: close fd "
	  "-> ok",
	  "1: a test with a power-cut has the tag power-cut" },
	{ "tags power-cut\nA: truncate f 0 -> ok",
	  "1: a test with a power-cut has the tag" },
	{ "tags power-cut\nA: truncate f 0 -> ok\npower-cut\nA: truncate f 0 -> ok", "" },
	{ "tags nfs\nA: truncate f 0 -> ok", "1: a test that needs nfs-server has the" },
	{ "needs nfs-server\nA: truncate f 0 -> ok", "1: a test that needs nfs-server" },
	{ "needs nfs-server\ntags nfs\nA: truncate f 0 -> ok", "" },
	{ "eventually 2 A: truncate f 0 -> ok", "7: a time from 1s to 10s" },
	{ "eventually 2s A: truncate f 0 -> ok", "" },
	{ "A: sync -> blocks", "nothing says what A's step that blocks gives" },
	{ "A: sync -> blocks\nA: sync -> ok", "8: A still is in a step that blocks" },
	{ "A: returns -> ok", "7: A is not in a step that blocks" },
	{ "A: sync -> blocks\nA: returns -> ok", "" },
	{ "together\nA: sync\nB: sync\noutcomes ok ok | ok EIO", "" },
	{ "together\nA: sync\nB: sync\noutcomes ok", "10: result is missing" },
	{ "together\nA: sync\nB: sync -> ok\noutcomes ok ok", "9: \"->\" is too much" },
	{ "together\nA: sync\noutcomes ok", "9: fewer than two steps together" },
	{ "together\nA: sync\nB: sync", "\"together\" has no \"outcomes\"" },
	{ "repeat 3 as i\nA: fd%i = open f rdwr -> ok\nend\nA: close fd3 -> ok", "" },
	{ "repeat 3 as i\nA: sync -> ok", "no \"end\" for this repeat" },
	{ "end", "7: \"end\" without \"repeat\"" },
	{ "rules L99\nA: sync -> ok", "7: L99 is no rule" },
	{ "nofile f\nA: sync -> ok", "7: f stands for something else since line 6" },
	{ "pins of A: f h", "7: h: no such file" },
	{ "A: run \"sleep 1 -> ok", "7: the quotation mark is not closed" },
	{ "", "no steps" },
};

static void test_mistakes(void)
{
	char text[1024], said[512];
	struct litmus *l;
	size_t i;

	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		snprintf(text, sizeof(text), "%s%s\n", HEAD, mistakes[i].lines);
		said[0] = '\0';
		l = litmus_parse_text("x.litmus", text, said, sizeof(said));
		if (!l == !*mistakes[i].said || !strstr(said, mistakes[i].said) ||
		    (!l && strncmp(said, "x.litmus:", 9))) {
			fprintf(stderr, "%s\n  expected: %s\n  said: %s\n",
				mistakes[i].lines, mistakes[i].said, said);
			CU_FAIL("another message");
		}
		litmus_free(l);
	}
}

static void test_header(void)
{
	static const char *const wrong[] = {
		"rules L1\non xfs ext4\nwitness w\nactors A\nA: sync -> ok\n",
		"title t\non xfs ext4\nwitness w\nactors A\nA: sync -> ok\n",
		"title t\nrules L1\nwitness w\nactors A\nA: sync -> ok\n",
		"title t\nrules L1\non xfs ext4\nactors A\nA: sync -> ok\n",
		"title t\nrules L1\non xfs\nwitness w\nactors A\nA: sync -> ok\n",
		"title t\nrules L1\non xfs ext4\nwitness none\nactors A\nA: sync -> ok\n",
	};
	char said[512];
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_PTR_NULL(litmus_parse_text("x", wrong[i], said, sizeof(said)));
}

/* ---- the runner ---- */

static void body(void)
{
	litmus_run(&run);
}

static int verdict(const char *lines)
{
	const struct check c = { .name = "selftest", .run = body };
	char text[1024], said[512];
	struct litmus *l;

	snprintf(text, sizeof(text), "%s%s\n", HEAD, lines);
	l = litmus_parse_text("x.litmus", text, said, sizeof(said));
	if (!l) {
		fprintf(stderr, "%s\n", said);
		return -1;
	}
	run.litmus = l;
	check_run(&c, scratch, 6000, &out);
	litmus_free(l);
	return out.verdict;
}

static bool says(const char *text)
{
	if (strstr(out.text, text))
		return true;
	fprintf(stderr, "%s", out.text);
	return false;
}

static void test_pass(void)
{
	CU_ASSERT_EQUAL(verdict("A: fd = open f rdwr -> ok\n"
				"A: read fd all content 1 -> ok\n"
				"A: read fd all content 2 -> EILSEQ\n"
				"A: m = mmap fd 0..8K shared rw -> ok\n"
				"A: store m 4K..8K content 3 -> ok\n"
				"content of f 4K..8K: 3\n"
				"A: C = fork -> ok\n"
				"C: load m 4K..8K content 3 -> ok\n"
				"A: g = send fd to B -> ok\n"
				"B: ftruncate g 4K -> ok\n"
				"size of f: 4K\n"
				"A: exec -> ok\n"
				"A: close fd -> EBADF\n"
				"B: truncate f 0 -> 0"),
			PASSED);
	CU_ASSERT_STRING_EQUAL(out.text, "");
}

static void test_wrong_result(void)
{
	CU_ASSERT_EQUAL(verdict("A: truncate f 0 -> ETXTBSY"), FAILED);
	CU_ASSERT(says("x.litmus:7: A: truncate f 0: expected ETXTBSY, seen ok"));
	CU_ASSERT_EQUAL(verdict("A: truncate f 0 -> ok\nsize of f: 4K"), FAILED);
	CU_ASSERT(says("x.litmus:8: size of f: 4K: seen instead: 0 bytes"));
	CU_ASSERT_EQUAL(verdict("A: close-nothing -> ok"), -1);
}

static void test_eventually(void)
{
	CU_ASSERT_EQUAL(verdict("eventually 1s A: truncate f 0 -> EIO"), FAILED);
	CU_ASSERT_EQUAL(
		verdict("A: run sh -c \"(sleep 0.3; rm $(ls -d /tmp/litmus-*/*/f)) &\" "
			"-> 0\neventually 2s A: truncate f 0 -> ENOENT"),
		PASSED);
}

static void test_actor_dies(void)
{
	CU_ASSERT_EQUAL(verdict("kill A\nA: sync -> ok"), BROKEN);
	CU_ASSERT_EQUAL(verdict("A: run sh -c \"kill -9 $PPID\" -> 0"), BROKEN);
	CU_ASSERT(says("A (pid"));
}

/* A waits until B has written. */
#define PIPE                                                       \
	"nofile p\nA: run mkfifo p -> 0\nA: run cat p -> blocks\n" \
	"B: run sh -c \"echo x >$0\" p -> 0\n"

static void test_blocks(void)
{
	CU_ASSERT_EQUAL(verdict("A: run sleep 100 -> blocks\nB: sync -> ok\nkill A"),
			PASSED);
	CU_ASSERT_EQUAL(verdict(PIPE "A: returns -> 0"), PASSED);
	CU_ASSERT_EQUAL(verdict(PIPE "A: returns -> 1"), FAILED);
	CU_ASSERT_EQUAL(verdict("A: truncate f 0 -> blocks\nA: returns -> ok"), FAILED);
	CU_ASSERT(says("it does not wait, and gives ok"));
	CU_ASSERT_EQUAL(verdict("A: run sleep 100 -> 0"), FAILED);
	CU_ASSERT(says("not finished after 6000 ms"));
	CU_ASSERT(says("A ("));
}

static void test_together(void)
{
	CU_ASSERT_EQUAL(verdict("together\nA: truncate f 0\nB: truncate f 4K\n"
				"outcomes ok EIO | ok ok"),
			PASSED);
	CU_ASSERT_EQUAL(verdict("together\nA: truncate f 0\nB: truncate f 4K\n"
				"outcomes EIO ok | ok EIO"),
			FAILED);
	CU_ASSERT(says("no permitted outcome: ok ok"));
}

static void test_needs(void)
{
	CU_ASSERT_EQUAL(verdict("needs no-such-program\nA: sync -> ok"), SKIPPED);
	CU_ASSERT_EQUAL(verdict("needs nfs-server\ntags nfs\nA: sync -> ok"), SKIPPED);
	CU_ASSERT(says("no nfs-server here"));
}

/* What an actor mounts goes with it: it has to have mounts of its own. */
static void test_mounts(void)
{
	CU_ASSERT_EQUAL(verdict("dir d\nA: bind d on d -> ok"), BROKEN);
	CU_ASSERT(says("A mounts for everyone"));
}

/* ---- the rule table ---- */

static void test_table(void)
{
	char results[] = "test\txfs\ta\tL1\tpass\ntest\txfs\tb\tL1,L2\tfail\n"
			 "test\text4\ta\tL1\tbroken\ntest\text4\tb\tL2\tskip\n";
	struct litmus *none[] = { NULL };
	char text[16384];
	FILE *in = fmemopen(results, strlen(results), "r");
	FILE *table = fmemopen(text, sizeof(text), "w");

	CU_ASSERT_FALSE(rule_table(in, none, table, false));
	fclose(in);
	fclose(table);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "L1    FAIL 2      broken 1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "L2    FAIL 1      skipped 1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "L3    no test     no test"));
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "mistakes are told with their line", test_mistakes },
		{ "the header is complete", test_header },
		{ "a scenario passes", test_pass },
		{ "another result fails", test_wrong_result },
		{ "eventually", test_eventually },
		{ "an actor dies", test_actor_dies },
		{ "steps that block", test_blocks },
		{ "steps together", test_together },
		{ "something is missing", test_needs },
		{ "mounts for everyone", test_mounts },
		{ "rule table", test_table },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "litmus", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	unsigned int failures;

	if (actor_main(argc, argv))
		return 0;
	if (!mkdtemp(scratch) || CU_initialize_registry() != CUE_SUCCESS ||
	    CU_register_suites(suites) != CUE_SUCCESS)
		return 2;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures() + (CU_get_number_of_tests_run() == 0);
	CU_cleanup_registry();
	rmdir(scratch);
	return failures ? 1 : 0;
}
