// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The log: one line, five parts, whatever the file is called; silence unless asked. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "backing.h"
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

static void assert_says(const char *text)
{
	const char *message = unit_logged();

	assert_shape(message);
	CU_ASSERT_PTR_NOT_NULL(strstr(message, text));
	if (!strstr(message, text))
		printf("\n    \"%s\" is not in: %s\n", text, message);
}

static void no_place_for_a_notice(int fd)
{
	struct pinv_lease *lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);
	int notice;

	CU_ASSERT_EQUAL(pinv_lease_notice(lease, &notice), EINVAL);
	assert_says("never asked back");
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	lease = pinv_lease_acquire(fd, PINV_LEASE_COOPERATIVE);
	CU_ASSERT_EQUAL(pinv_lease_notice(lease, NULL), EINVAL);
	assert_says("is NULL");
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
}

/* What was asked for is in the message, and the remedy is one for that. */
static void values_and_remedies(void)
{
	static struct ibv_device device = { .name = "sim0" };
	static struct ibv_context context = { .device = &device };
	int fd = sim_open(SIM_DAX, 65536, O_RDWR), device_dax;
	char memory[16];

	CU_ASSERT_PTR_NULL(pinv_grow_file_mr(&sim_pd, fd, 0, 0, NULL));
	assert_says("extend: a file of 65536 bytes cannot grow by 0");
	CU_ASSERT_PTR_NULL(pinv_grow_file_mr(&sim_pd, fd, SIZE_MAX, 0, NULL));
	assert_says("cannot grow by 18446744073709551615");
	sys_root = getenv("SYS");
	device_dax = sim_open(SIM_DEVICE_DAX, 65536, O_RDWR);
	CU_ASSERT_PTR_NULL(pinv_grow_file_mr(&sim_pd, device_dax, 1, 0, NULL));
	assert_says("extend: device DAX has its ");
	sim_close(device_dax);
	sys_root = "/sys";
	sim_fail("reserve", ENOSPC);
	CU_ASSERT_PTR_NULL(pinv_grow_file_mr(&sim_pd, fd, 4097, 0, NULL));
	assert_says("4097 bytes (ENOSPC); free space");
	sim_fail("reserve", EFBIG);
	CU_ASSERT_PTR_NULL(pinv_grow_file_mr(&sim_pd, fd, 4097, 0, NULL));
	assert_says("4097 bytes (EFBIG); append less");
	sim_fail("mmap", ENOMEM);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(&sim_pd, fd, 0, 4098, 0));
	assert_says("a mapping of 4098 bytes");
	sim_fail("dup", EMFILE);
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE));
	assert_says("(EMFILE); raise the limit of open files");
	/* no pNFS layout has to do with it */
	sim_fail("thread", EAGAIN);
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, PINV_LEASE_COOPERATIVE));
	CU_ASSERT_EQUAL(errno, ENOMEM);
	assert_says("ulimit -u");
	sim_pd.context = &context;
	sim_fail("reg", EOPNOTSUPP);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(&sim_pd, fd, 0, 0, IBV_ACCESS_ON_DEMAND));
	assert_says("device sim0: register: no on-demand paging");
	sim_fail("reg", EOPNOTSUPP);
	CU_ASSERT_PTR_NULL(
		pinv_reg_mr(&sim_pd, memory, sizeof(memory), IBV_ACCESS_ON_DEMAND));
	assert_says("no on-demand paging");
	sim_pd.context = NULL;
	CU_ASSERT_PTR_NULL(pinv_reg_mr(&sim_pd, memory, 0, 0));
	assert_says("0 bytes at 0x");
	sim_fail("reg", EINVAL);
	CU_ASSERT_PTR_NULL(pinv_reg_mr(&sim_pd, memory, SIZE_MAX / 2, 0));
	assert_says("more than there are addresses");
	sim_fail("reg", EINVAL);
	CU_ASSERT_PTR_NULL(pinv_reg_mr(&sim_pd, memory, sizeof(memory), 0));
	assert_says("access flags not supported");
	sim_fail("reg", EINVAL);
	CU_ASSERT_PTR_NULL(pinv_reg_mr(&sim_pd, memory, SIZE_MAX, 0));
	assert_says("more than there are addresses");
	sim_close(fd);
}

/* Of what has no file, of what is no file, and of what the caller did not name. */
static void names_of_objects(void)
{
	int fd = sim_open(SIM_DAX, 65536, O_RDWR);
	struct pinv_mr *mr;

	CU_ASSERT_PTR_NULL(pinv_lease_acquire(-1, PINV_LEASE_EXCLUSIVE));
	assert_says("libpinverbs: fd -1: take");
	CU_ASSERT_PTR_NULL(pinv_list_pins(PINV_PINS_SELF, -2, PINV_PINS_BY_FILE));
	assert_says("own process: list pins: descriptor -2 is not open (EBADF)");
	CU_ASSERT_PTR_NULL(pinv_list_pins(-7, -1, PINV_PINS_BY_FILE));
	assert_says("process -7: list pins: no process has this number");
	mr = pinv_reg_file_mr(&sim_pd, fd, 0, 0, IBV_ACCESS_LOCAL_WRITE);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 65536, 1), EINVAL);
	assert_says("1 bytes from byte 65536 are not within the region's 65536");
	sim_fail("munmap", ENOMEM);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), ENOMEM);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 1), EINVAL);
	assert_says("the region is deregistered already");
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	sim_close(fd);
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
	  UNIT_TEST(values_and_remedies), UNIT_TEST(names_of_objects),
	  UNIT_TEST(sealed_file), UNIT_TEST(name_of_the_file),
	  UNIT_TEST(log_function_may_call_the_library),
	  UNIT_TEST(log_function_may_change_errno), UNIT_TEST(forked_in_the_middle))
