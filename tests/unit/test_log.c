// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The log: one line, five parts, whatever the file is called; silence unless asked. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "unit.h"

static unsigned calls;
static char line[1024];

static void count(void *arg, const char *message)
{
	CU_ASSERT_PTR_EQUAL(arg, &calls);
	calls++;
	snprintf(line, sizeof(line), "%s", message);
}

static void fail_once(void)
{
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(-1, PINV_LEASE_EXCLUSIVE));
}

static void one_line_for_one_failure(void)
{
	calls = 0;
	pinv_set_log(count, &calls);
	fail_once();
	CU_ASSERT_EQUAL(calls, 1);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(&sim_pd, -1, 0, 0, 0));
	CU_ASSERT_EQUAL(calls, 2);
	CU_ASSERT_EQUAL(pinv_lease_query(-1, &(enum pinv_lease_kind){ 0 }), EBADF);
	CU_ASSERT_EQUAL(calls, 3);
}

static void nothing_for_success(void)
{
	int fd = sim_open(SIM_DAX, 65536, O_RDWR);
	struct pinv_mr *mr;

	calls = 0;
	pinv_set_log(count, &calls);
	mr = pinv_reg_file_mr(&sim_pd, fd, 0, 0, IBV_ACCESS_LOCAL_WRITE);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	CU_ASSERT_EQUAL(calls, 0);
	sim_close(fd);
}

static void silence(void)
{
	calls = 0;
	pinv_set_log(count, &calls);
	pinv_set_log(NULL, NULL);
	fail_once();
	CU_ASSERT_EQUAL(calls, 0);
}

/* "libpinverbs: object: operation: reason (value); remedy" */
static void assert_shape(const char *message)
{
	const char *value = strstr(message, " (E"), *remedy = strstr(message, "); ");
	unsigned parts = 0;
	const char *at;

	for (at = message; (at = strstr(at, ": ")); at++)
		parts++;
	CU_ASSERT(parts >= 3);
	CU_ASSERT_EQUAL(strncmp(message, "libpinverbs: ", 13), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	CU_ASSERT_PTR_NOT_NULL_FATAL(remedy);
	CU_ASSERT_PTR_EQUAL(strchr(value, ')'), remedy);
	CU_ASSERT(strlen(remedy) > 6);
	for (at = message; *at; at++)
		CU_ASSERT((unsigned char)*at >= ' ' && *at != 0x7f);
}

static void no_place_for_a_notice(int fd)
{
	struct pinv_lease *lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);
	int notice;

	CU_ASSERT_EQUAL(pinv_lease_notice(lease, &notice), EINVAL);
	assert_shape(unit_logged());
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	lease = pinv_lease_acquire(fd, PINV_LEASE_COOPERATIVE);
	CU_ASSERT_EQUAL(pinv_lease_notice(lease, NULL), EINVAL);
	assert_shape(unit_logged());
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
}

/* EPERM of fallocate() or mmap() is not about leases. */
static void sealed_file(void)
{
	int fd = sim_open(SIM_TMPFS, 65536, O_RDWR);

	sim_fail("fallocate", EPERM);
	CU_ASSERT_PTR_NULL(
		pinv_grow_file_mr(&sim_pd, fd, 4096, IBV_ACCESS_LOCAL_WRITE, NULL));
	CU_ASSERT_EQUAL(errno, EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "sealed"));
	sim_fail("mmap", EPERM);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(&sim_pd, fd, 0, 0, IBV_ACCESS_LOCAL_WRITE));
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "sealed"));
	sim_close(fd);
}

static void every_errno_has_its_words(void)
{
	static const int errors[] = { EACCES,     EAGAIN, EBADF,  EBUSY,  EFAULT,
				      EINVAL,     EIO,    EMFILE, ENODEV, ENOMEM,
				      EOPNOTSUPP, EPERM,  999 };
	int fd = sim_open(SIM_DAX, 65536, O_RDWR);
	struct pinv_mr *mr;
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		sim_fail("lease", errors[i]);
		CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE));
		CU_ASSERT_EQUAL(errno, errors[i]);
		if (errors[i] != 999)
			assert_shape(unit_logged());
		sim_fail("reg", errors[i]);
		CU_ASSERT_PTR_NULL(
			pinv_reg_file_mr(&sim_pd, fd, 0, 0, IBV_ACCESS_LOCAL_WRITE));
		CU_ASSERT_EQUAL(errno, errors[i]);
		if (errors[i] != 999)
			assert_shape(unit_logged());
		mr = pinv_reg_file_mr(&sim_pd, fd, 0, 0, IBV_ACCESS_LOCAL_WRITE);
		sim_fail("dereg", errors[i]);
		CU_ASSERT_EQUAL(pinv_dereg_mr(mr), errors[i]);
		if (errors[i] != 999)
			assert_shape(unit_logged());
		CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	}
	CU_ASSERT_PTR_NULL(
		pinv_reg_file_mr(&sim_pd, fd, 1, 65536, IBV_ACCESS_LOCAL_WRITE));
	assert_shape(unit_logged());
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, PINV_LEASE_NONE));
	assert_shape(unit_logged());
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(NULL, fd, 0, 0, IBV_ACCESS_LOCAL_WRITE));
	assert_shape(unit_logged());
	CU_ASSERT_EQUAL(pinv_lease_query(fd, NULL), EINVAL);
	assert_shape(unit_logged());
	no_place_for_a_notice(fd);
	CU_ASSERT_EQUAL(pinv_close_pd(NULL), 0);
	CU_ASSERT_STRING_EQUAL(unit_logged(), "");
	CU_ASSERT_PTR_NULL(pinv_open_pd(NULL));
	assert_shape(unit_logged());
	sim_close(fd);
}

/* A real file this time: the name comes from /proc, and may hold anything. */
static void name_of_the_file(void)
{
	char path[] = "/tmp/pinverbs\n\033[31m\177-XXXXXX";
	int fd = mkstemp(path);
	const char *message;

	CU_ASSERT_FATAL(fd >= 0);
	unlink(path);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(&sim_pd, fd, 0, 0, IBV_ACCESS_LOCAL_WRITE));
	message = unit_logged();
	assert_shape(message);
	CU_ASSERT_PTR_NOT_NULL(strstr(message, "/tmp/pinverbs??[31m?-"));
	close(fd);
}

static void call_library(void *arg, const char *message)
{
	(void)message;
	pinv_set_log(NULL, NULL);
	fail_once();
	*(int *)arg = pinv_query_cap(PINV_CAP_LAYOUT_LEASE, NULL);
}

static void log_function_may_call_the_library(void)
{
	int answer = -1;

	pinv_set_log(call_library, &answer);
	fail_once();
	CU_ASSERT_EQUAL(answer, 0);
}

static void spoil_errno(void *arg, const char *message)
{
	(void)arg;
	(void)message;
	errno = 0;
}

static void log_function_may_change_errno(void)
{
	pinv_set_log(spoil_errno, NULL);
	fail_once();
	CU_ASSERT_EQUAL(errno, EBADF);
}

static atomic_bool forked;

static void *set_all_the_time(void *arg)
{
	while (!atomic_load(&forked))
		pinv_set_log(count, arg);
	return NULL;
}

/* No lock that another thread had at the time may be left locked in the child. */
static void forked_in_the_middle(void)
{
	pthread_t thread;
	unsigned round;
	int status;

	atomic_store(&forked, false);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, set_all_the_time, &calls), 0);
	for (round = 0; round < 200; round++) {
		pid_t child = fork();

		if (!child) {
			alarm(20);
			_exit(pinv_lease_acquire(-1, PINV_LEASE_EXCLUSIVE) != NULL);
		}
		CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
		CU_ASSERT_EQUAL(status, 0);
		if (status)
			break;
	}
	atomic_store(&forked, true);
	pthread_join(thread, NULL);
}

UNIT_MAIN("log", UNIT_TEST(one_line_for_one_failure), UNIT_TEST(nothing_for_success),
	  UNIT_TEST(silence), UNIT_TEST(every_errno_has_its_words),
	  UNIT_TEST(sealed_file), UNIT_TEST(name_of_the_file),
	  UNIT_TEST(log_function_may_call_the_library),
	  UNIT_TEST(log_function_may_change_errno), UNIT_TEST(forked_in_the_middle))
