// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Runs checks, each in a process of its own, and collects what they found.
 *
 * The default is failure: a check has passed only if its process came to the end of its function
 * and reported nothing, all its processes could be killed and the kernel log is clean.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"
#include "check.h"
#include "files.h"
#include "kmsg.h"
#include "mounts.h"
#include "task.h"

/* Shared with the process of the running check. */
struct report {
	bool finished;
	bool failed;
	bool broken;
	bool skipped;
	unsigned int nr_processes;
	pid_t process[64];
	unsigned int nr_settings;
	struct {
		char path[128], old[64];
	} setting[8];
	size_t len;
	char text[sizeof(((struct outcome *)0)->text)];
};

static struct report *report;
static char dir[256];

extern const struct check *const __start_checks[] __attribute__((weak));
extern const struct check *const __stop_checks[] __attribute__((weak));

static int by_place(const void *pa, const void *pb)
{
	const struct check *a = *(const struct check *const *)pa;
	const struct check *b = *(const struct check *const *)pb;
	int d = strcmp(a->file, b->file);

	return d ? d : a->line != b->line ? a->line - b->line : strcmp(a->name, b->name);
}

const struct check *check_at(size_t i)
{
	/* The linker gives no order worth keeping. */
	static const struct check **sorted;
	size_t n = (size_t)(__stop_checks - __start_checks);

	if (!sorted && n) {
		sorted = calloc(n, sizeof(*sorted));
		if (!sorted)
			abort();
		memcpy(sorted, __start_checks, n * sizeof(*sorted));
		qsort(sorted, n, sizeof(*sorted), by_place);
	}
	return i < n ? sorted[i] : NULL;
}

/* ---- inside a check ---- */

const char *errno_name(int err)
{
	static char buf[4][24];
	static unsigned int next;
	const char *name;

	if (!err)
		return "ok";
	name = strerrorname_np(err);
	if (name)
		return name;
	next = (next + 1) % 4;
	snprintf(buf[next], sizeof(buf[next]), "errno %d", err);
	return buf[next];
}

static void report_text(const char *fmt, va_list ap)
{
	size_t room = sizeof(report->text) - report->len;
	int n = vsnprintf(report->text + report->len, room, fmt, ap);

	if (n > 0)
		report->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void report_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void report_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_text(fmt, ap);
	va_end(ap);
}

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void fail_at(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	report->failed = true;
	report_line("%s:%d: ", base(file), line);
	va_start(ap, fmt);
	report_text(fmt, ap);
	va_end(ap);
	report_line("\n");
}

static const char *result_name(long got, char *buf, size_t len)
{
	if (got < 0)
		return errno_name((int)-got);
	snprintf(buf, len, "success (%ld)", got);
	return buf;
}

bool expect_result(const char *file, int line, const char *step, int want, long got)
{
	char seen[32];

	if (want ? got == -want : got >= 0)
		return true;
	fail_at(file, line, "%s: expected %s, seen %s", step,
		want ? errno_name(want) : "success",
		result_name(got, seen, sizeof(seen)));
	return false;
}

long require_result(const char *file, int line, const char *step, int want, long got)
{
	if (!expect_result(file, line, step, want, got))
		_exit(1);
	return got;
}

bool expect_number(const char *file, int line, const char *step, long want, long got)
{
	char seen[32];

	if (want == got)
		return true;
	if (got < 0)
		fail_at(file, line, "%s: expected %ld, seen %s", step, want,
			result_name(got, seen, sizeof(seen)));
	else
		fail_at(file, line, "%s: expected %ld, seen %ld", step, want, got);
	return false;
}

bool check_has_failed(void)
{
	return report->failed;
}

#define END_CHECK(prefix)                  \
	do {                               \
		va_list ap_;               \
		report_line("%s", prefix); \
		va_start(ap_, fmt);        \
		report_text(fmt, ap_);     \
		va_end(ap_);               \
		report_line("\n");         \
		_exit(1);                  \
	} while (0)

void fail_now(const char *fmt, ...)
{
	report->failed = true;
	END_CHECK("");
}

void broken(const char *fmt, ...)
{
	report->broken = true;
	END_CHECK("broken test: ");
}

void skip(const char *fmt, ...)
{
	report->skipped = true;
	END_CHECK("");
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

struct deadline deadline_in(int ms)
{
	return (struct deadline){ now_ns() + ms * 1000000LL };
}

bool deadline_over(const struct deadline *d)
{
	return now_ns() >= d->end_ns;
}

bool deadline_wait(struct deadline *d)
{
	poll(NULL, 0, 5);
	return !deadline_over(d);
}

const char *check_dir(void)
{
	return dir;
}

const char *in_dir(const char *name)
{
	static __thread char path[32][512];
	static __thread unsigned int next;

	next = (next + 1) % 32;
	snprintf(path[next], sizeof(path[next]), "%s/%s", dir, name);
	return path[next];
}

void report_process(int pid)
{
	if (report->nr_processes < sizeof(report->process) / sizeof(report->process[0]))
		report->process[report->nr_processes++] = pid;
}

void set_for_check(const char *path, const char *value)
{
	unsigned int n = report->nr_settings;
	int err;

	if (n == sizeof(report->setting) / sizeof(report->setting[0]))
		broken("too many settings");
	snprintf(report->setting[n].path, sizeof(report->setting[n].path), "%s", path);
	if (file_read(path, report->setting[n].old, sizeof(report->setting[n].old)) < 0)
		skip("no %s", path);
	report->nr_settings++;
	err = file_write(path, value);
	if (err)
		broken("%s: cannot set to %s: %s", path, value, errno_name(-err));
}

static void restore_settings(void)
{
	while (report->nr_settings--)
		if (file_write(report->setting[report->nr_settings].path,
			       report->setting[report->nr_settings].old)) {
			report->failed = true;
			report_line("cannot restore %s\n",
				    report->setting[report->nr_settings].path);
		}
}

/* ---- running ---- */

/* Calls fn for every process whose ancestor is this one; returns how many there are. */
static unsigned int each_descendant(void (*fn)(pid_t pid))
{
	static struct {
		pid_t pid, ppid;
		bool ours;
	} task[4096];
	unsigned int n = 0, ours = 0, before, i, j;
	DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d)) && n < 4096) {
		char path[300], stat[256], *p;
		ssize_t len;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		len = file_read(path, stat, sizeof(stat));
		p = len > 0 ? strrchr(stat, ')') : NULL;
		if (!p || strlen(p) < 4)
			continue;
		task[n].pid = atoi(e->d_name);
		task[n].ppid = atoi(p + 4);
		task[n++].ours = false;
	}
	if (d)
		closedir(d);
	do {
		before = ours;
		for (i = 0; i < n; i++) {
			if (task[i].ours)
				continue;
			task[i].ours = task[i].ppid == getpid();
			for (j = 0; j < n && !task[i].ours; j++)
				task[i].ours =
					task[j].ours && task[j].pid == task[i].ppid;
			ours += task[i].ours;
		}
	} while (ours != before);
	for (i = 0; i < n; i++)
		if (task[i].ours)
			fn(task[i].pid);
	return ours;
}

static void describe(pid_t pid)
{
	char where[2048];

	task_describe(pid, where, sizeof(where));
	report_line("%s\n", where);
}

static void kill_one(pid_t pid)
{
	kill(pid, SIGKILL);
}

/*
 * This process is the subreaper of all that a check starts, so there is nothing left once it has
 * no child.  The actors are known; looking for others takes a walk over /proc.
 */
static bool kill_descendants(void)
{
	struct deadline by = deadline_in(10000);
	unsigned int i, rounds = 0;
	pid_t pid;

	for (i = 0; i < report->nr_processes; i++)
		kill(report->process[i], SIGKILL);
	for (;;) {
		do
			pid = waitpid(-1, NULL, WNOHANG);
		while (pid > 0);
		if (pid < 0 && errno == ECHILD)
			return true;
		if (++rounds > 10)
			each_descendant(kill_one);
		if (!deadline_wait(&by))
			return false;
	}
}

static bool wait_for(pid_t pid, int limit_ms)
{
	struct pollfd p = { .events = POLLIN };
	int r;

	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.fd < 0)
		return false;
	do
		r = poll(&p, 1, limit_ms);
	while (r < 0 && errno == EINTR);
	close(p.fd);
	return r == 1;
}

static void run_body(const struct check *c)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) ||
	    (mkdir(dir, 0755) && !(c->resumes && errno == EEXIST)))
		broken("%s: %s", dir, errno_name(errno));
	c->run();
	report->finished = true;
	_exit(0);
}

static void judge(struct outcome *out)
{
	if (!report->finished && !report->failed && !report->broken && !report->skipped) {
		report->broken = true;
		report_line("broken test: died before its end\n");
	}
	out->verdict = report->broken    ? BROKEN
		       : report->failed  ? FAILED
		       : report->skipped ? SKIPPED
					 : PASSED;
	memcpy(out->text, report->text, sizeof(out->text));
	out->text[sizeof(out->text) - 1] = '\0';
}

static void report_init(void)
{
	if (!report)
		report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	memset(report, 0, sizeof(*report));
}

/* The director, and the end of everything that it started. */
static void run_director(const struct check *c, const char *below, int limit_ms)
{
	struct mounted mounted = mounted_on(below);
	pid_t pid;

	report_init();
	if (c->dir)
		snprintf(dir, sizeof(dir), "%s/%s", below, c->dir);
	else
		snprintf(dir, sizeof(dir), "%s/conformance-%d", below, getpid());
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fflush(NULL);
	pid = fork();
	if (!pid)
		run_body(c);
	if (pid < 0 || !wait_for(pid, limit_ms)) {
		report->failed = true;
		report_line("not finished after %d ms; its processes:\n", limit_ms);
		each_descendant(describe);
		/* First of all: it has nothing to say about the end of the others. */
		if (pid > 0)
			kill(pid, SIGKILL);
	}
	if (!kill_descendants()) {
		report->failed = true;
		report_line("processes that survive SIGKILL:\n");
		each_descendant(describe);
	}
	restore_settings();
	if (!mount_as_before(below, &mounted)) {
		report->failed = true;
		report_line("cannot mount %s again: %s\n", below, errno_name(errno));
	}
	if (file_remove_tree(dir) && errno != ENOENT) {
		report->failed = true;
		report_line("cannot remove %s: %s\n", dir, errno_name(errno));
	}
}

void check_run(const struct check *c, const char *below, int limit_ms,
	       struct outcome *out)
{
	char log[4096];

	kmsg_mark(c->name);
	run_director(c, below, limit_ms);
	if (kmsg_findings(log, sizeof(log))) {
		report->broken = !report->failed;
		report_line("kernel log:\n%s", log);
	}
	judge(out);
}

int check_limit(const char *seconds)
{
	char *end;
	long value = strtol(seconds, &end, 10);

	if (isdigit((unsigned char)*seconds) && !*end && value > 0 && value <= 86400)
		return (int)value * 1000;
	fprintf(stderr, "--limit takes seconds from 1 to 86400, not '%s'\n", seconds);
	return 0;
}

bool standalone_run(const char *below, void (*run)(void))
{
	const struct check c = { .run = run };
	struct outcome out;

	run_director(&c, below, 60000);
	judge(&out);
	if (out.verdict != PASSED)
		fprintf(stderr, "%s", out.text);
	return out.verdict == PASSED;
}
