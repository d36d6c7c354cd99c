// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tests of the harness itself, on any kernel: a check that is wrong, dies, hangs or leaves
 * processes behind must never pass, and nothing of it may stay.
 */
#include <CUnit/Basic.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/actor.h"
#include "harness/check.h"
#include "harness/files.h"
#include "harness/ops.h"

static char scratch[] = "/tmp/harness-XXXXXX";
static struct outcome out;

static int run(void (*body)(void))
{
	const struct check c = { .name = "selftest", .rules = "-", .run = body };

	check_run(&c, scratch, 2000, &out);
	return out.verdict;
}

static bool nothing_left(void)
{
	return !rmdir(scratch) && !mkdir(scratch, 0755) && waitpid(-1, NULL, WNOHANG) < 0;
}

static void body_passes(void)
{
	struct actor *a = actor_start("A");
	long fd = must(a_open(a, make_file("f", KiB(100)), O_RDWR));

	expect(0, a_pread_check(a, fd, PAGE, PAGE, FILE_SEED));
	expect(EILSEQ, a_pread_check(a, fd, PAGE, PAGE, FILE_SEED + 1));
	expect(EBADF, a_close(a, 999));
	expect(ENOENT, a_truncate(a, in_dir("none"), 0));
}

static void test_pass(void)
{
	CU_ASSERT_EQUAL(run(body_passes), PASSED);
	CU_ASSERT_STRING_EQUAL(out.text, "");
	CU_ASSERT(nothing_left());
}

static void body_wrong_errno(void)
{
	expect(EBADF, a_truncate(actor_start("A"), in_dir("none"), 0));
}

static void test_wrong_errno(void)
{
	CU_ASSERT_EQUAL(run(body_wrong_errno), FAILED);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.text, "expected EBADF, seen ENOENT"));
}

static void body_success_instead_of_errno(void)
{
	expect(ETXTBSY, a_truncate(actor_start("A"), make_file("f", PAGE), 0));
}

static void test_success_instead_of_errno(void)
{
	CU_ASSERT_EQUAL(run(body_success_instead_of_errno), FAILED);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.text, "expected ETXTBSY, seen success"));
}

static void body_dies(void)
{
	kill(getpid(), SIGKILL);
}

static void test_director_dies(void)
{
	CU_ASSERT_EQUAL(run(body_dies), BROKEN);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.text, "died before its end"));
}

static void body_returns_zero_early(void)
{
	_exit(0);
}

static void test_director_exits(void)
{
	CU_ASSERT_EQUAL(run(body_returns_zero_early), BROKEN);
}

static long die(void *buf, size_t len)
{
	(void)buf;
	(void)len;
	_exit(0);
}

static void body_actor_dies(void)
{
	actor_call(actor_start("A"), die, NULL, 0);
}

static void test_actor_dies(void)
{
	CU_ASSERT_EQUAL(run(body_actor_dies), BROKEN);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.text, "died instead of answering"));
}

static long hang(void *buf, size_t len)
{
	(void)buf;
	(void)len;
	while (pause() < 0)
		;
	return 0;
}

static void body_actor_hangs(void)
{
	struct actor *a = actor_start("stuck");

	actor_call_begin(a, hang, NULL, 0);
	actor_call_end(a, NULL, 0, 200);
}

static void test_actor_hangs(void)
{
	CU_ASSERT_EQUAL(run(body_actor_hangs), FAILED);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.text, "stuck: still blocked after 200 ms"));
	CU_ASSERT(nothing_left());
}

static void body_hangs(void)
{
	actor_fork(actor_start("A"), "child");
	hang(NULL, 0);
}

static void test_director_hangs(void)
{
	CU_ASSERT_EQUAL(run(body_hangs), FAILED);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.text, "not finished after 2000 ms"));
	CU_ASSERT(nothing_left());
}

/* Processes that no actor knows of, in a session of their own, ignoring what can be ignored. */
static void body_leaves_processes(void)
{
	if (fork() == 0) {
		signal(SIGTERM, SIG_IGN);
		setsid();
		if (fork() == 0)
			hang(NULL, 0);
		hang(NULL, 0);
	}
	make_file("left", PAGE);
}

static void test_leaves_processes(void)
{
	CU_ASSERT_EQUAL(run(body_leaves_processes), PASSED);
	CU_ASSERT(nothing_left());
}

static void body_skips(void)
{
	skip("no such thing");
}

static void test_skip(void)
{
	CU_ASSERT_EQUAL(run(body_skips), SKIPPED);
	CU_ASSERT_STRING_EQUAL(out.text, "no such thing\n");
}

static void body_fails_then_skips(void)
{
	expect(0, -EIO);
	skip("after a failure");
}

static void test_skip_hides_no_failure(void)
{
	CU_ASSERT_EQUAL(run(body_fails_then_skips), FAILED);
}

static void body_state(void)
{
	const char *path = make_file("f", KiB(8));
	struct actor *a = actor_start("A");
	struct file_state before;

	file_state(path, &before);
	expect_unchanged(path, &before, "nothing");
	if (check_has_failed())
		return;
	must(a_truncate(a, path, KiB(8)));
	expect_unchanged(path, &before, "truncate to the same size");
}

static void test_file_state(void)
{
	CU_ASSERT_EQUAL(run(body_state), FAILED);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.text, "mtime changed"));
	CU_ASSERT_PTR_NULL(strstr(out.text, "content changed"));
	CU_ASSERT_PTR_NULL(strstr(out.text, "after nothing"));
}

static void body_processes(void)
{
	struct actor *a = actor_start_exec("A"), *b = actor_start("B"), *child;
	long fd = must(a_open_inherited(a, make_file("f", PAGE), O_RDWR));
	long copy;

	child = actor_fork(a, "child");
	expect(0, a_pread_check(child, fd, 0, PAGE, FILE_SEED));
	must(actor_exec(child));
	expect(0, a_pread_check(child, fd, 0, PAGE, FILE_SEED));
	copy = must(actor_send_fd(child, (int)fd, b));
	actor_kill(child);
	expect_true(actor_dead(child) && !actor_dead(a), "the wrong process is dead");
	expect(0, a_pread_check(b, copy, 0, PAGE, FILE_SEED));
	actor_exit(a);
	expect(0, a_pread_check(b, copy, 0, PAGE, FILE_SEED));
	actor_reap(a);
}

static void test_processes(void)
{
	CU_ASSERT_EQUAL(run(body_processes), PASSED);
	CU_ASSERT_STRING_EQUAL(out.text, "");
	CU_ASSERT(nothing_left());
}

static long eventually_count;

static long third_time(void)
{
	return ++eventually_count < 3 ? -EAGAIN : 0;
}

static void body_eventually(void)
{
	eventually(third_time());
}

static void body_never(void)
{
	eventually(-EBUSY);
}

static void test_eventually(void)
{
	CU_ASSERT_EQUAL(run(body_eventually), PASSED);
	CU_ASSERT_EQUAL(run(body_never), FAILED);
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "a check passes", test_pass },
		{ "another errno fails", test_wrong_errno },
		{ "success instead of an errno fails", test_success_instead_of_errno },
		{ "the check's process dies", test_director_dies },
		{ "the check's process exits with 0", test_director_exits },
		{ "an actor dies", test_actor_dies },
		{ "an actor hangs", test_actor_hangs },
		{ "the check hangs", test_director_hangs },
		{ "unknown processes are killed", test_leaves_processes },
		{ "a skip", test_skip },
		{ "a skip hides no failure", test_skip_hides_no_failure },
		{ "state of a file", test_file_state },
		{ "fork, exec, passing, killing", test_processes },
		{ "eventually", test_eventually },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "harness", NULL, NULL, NULL, NULL, tests },
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
