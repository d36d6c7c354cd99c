/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A check: one function that proves one thing that the lease and pin rules promise.
 *
 *	CHECK(l6_unlock_without_lease, "L6", STOCK_FAIL)
 *	{
 *		struct actor *a = actor_start("A");
 *		long fd = must(a_open(a, make_file("f", KiB(64)), O_RDWR));
 *
 *		expect(EAGAIN, a_setlease(a, fd, F_LAYOUT | F_UNLCK));
 *	}
 *
 * CHECK() registers it; nothing else is needed.  A check runs in a process of its own with a
 * directory of its own on the file system under test; processes and files that it leaves behind
 * are removed, so it returns early wherever it likes and cleans up nothing.
 */
#ifndef PINV_TEST_CHECK_H
#define PINV_TEST_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a kernel without the series must make of the check. */
enum stock_result {
	STOCK_FAIL,
	STOCK_PASS,
	STOCK_RACE /* fails, if it meets the moment: no control, so a mutant has to name it */
};

struct check {
	const char *name;
	const char *rules; /* comma separated */
	const char *file;
	int line;
	enum stock_result stock;
	void (*run)(void);
	/* Of the check's directory; NULL: a new one.  It may be there from before a power cut. */
	const char *dir;
	bool resumes;
};

#define CHECK(fn, rule_ids, on_stock)                                                    \
	static void fn(void);                                                            \
	static const struct check fn##_check = { #fn,      rule_ids, __FILE__, __LINE__, \
						 on_stock, fn,       NULL,     false };  \
	static const struct check *const fn##_entry                                      \
		__attribute__((section("checks"), used)) = &fn##_check;                  \
	static void fn(void)

/* Every registered check, by file and line; NULL after the last. */
const struct check *check_at(size_t i);

/* ---- inside a check ---- */

/* A step that must give this errno (0: any success).  Says so if not, and goes on. */
#define expect(want, step) expect_result(__FILE__, __LINE__, #step, want, step)

/* The same for a step that the rest of the check is built on: the check ends. */
#define require(want, step) require_result(__FILE__, __LINE__, #step, want, step)

/* A step that must succeed, for its value. */
#define must(step) require_result(__FILE__, __LINE__, #step, 0, step)

/* A step that must give this value. */
#define expect_value(want, step) expect_number(__FILE__, __LINE__, #step, want, step)

#define expect_true(cond, ...)                                    \
	do {                                                      \
		if (!(cond))                                      \
			fail_at(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

/*
 * For what the rules allow 2 seconds: repeats a step until it succeeds or the time is over.
 * Everything else must hold the first time.
 */
#define eventually(step)                                                          \
	do {                                                                      \
		struct deadline by_ = deadline_in(2000);                          \
		long got_;                                                        \
		while ((got_ = (step)) < 0 && deadline_wait(&by_))                \
			;                                                         \
		expect_result(__FILE__, __LINE__, "within 2 s: " #step, 0, got_); \
	} while (0)

struct deadline {
	int64_t end_ns;
};

struct deadline deadline_in(int ms);
bool deadline_over(const struct deadline *d);
bool deadline_wait(struct deadline *d); /* false once it has passed */

bool expect_result(const char *file, int line, const char *step, int want, long got);
long require_result(const char *file, int line, const char *step, int want, long got);
bool expect_number(const char *file, int line, const char *step, long want, long got);
void fail_at(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool check_has_failed(void);

/* The check ends: failed, failed because the test itself could not work, or cannot run here. */
_Noreturn void fail_now(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void broken(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "ETXTBSY"; "ok" for 0. */
const char *errno_name(int err);

/* The check's directory, and a path in it (static storage, many at a time). */
const char *check_dir(void);
const char *in_dir(const char *name);

/* Writes a kernel setting (a file of /proc or /sys) that gets its old value after the check. */
void set_for_check(const char *path, const char *value);

/* Tells the runner of a process that it has to end after the check. */
void report_process(int pid);

/* ---- running checks ---- */

struct outcome {
	enum {
		PASSED,
		FAILED,
		BROKEN, /* the test itself could not work, or the kernel complained */
		SKIPPED
	} verdict;
	char text[16384]; /* one finding per line, or the reason of a skip */
};

/*
 * Runs one check in a directory below dir, at most limit_ms long, then kills what is left of it
 * and adds what the kernel log says about it.
 */
void check_run(const struct check *c, const char *dir, int limit_ms, struct outcome *out);

/* What --limit was given, in milliseconds; 0 if it is no number of seconds, and says so. */
int check_limit(const char *seconds);

/* The same for one function of a program without checks; failures go to stderr. */
bool standalone_run(const char *dir, void (*run)(void));

#endif
