// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * guest DIR [PATTERN]: the library on a patched kernel, with an RDMA device and a DAX file in DIR. Not a
 * host test: run it with ./pinverbs run. What the unit tests assume of the kernel is seen here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

char guest_path[4096];
struct ibv_pd *guest_pd;
int guest_fd;

#define path guest_path
#define pd   guest_pd
#define fd   guest_fd

static void show(void *arg, const char *message)
{
	(void)arg;
	printf("\n    %s\n  ", message);
}

/* A fresh file for each test. */
static void set_up(void)
{
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, SIZE), 0);
}

static void tear_down(void)
{
	close(fd);
	unlink(path);
}

/* What truncating gives: to another process, or to this one. */
int truncate_errno(bool by_other)
{
	pid_t child;
	int status;

	if (!by_other)
		return truncate(path, SIZE / 2) ? errno : 0;
	child = fork();
	if (!child)
		_exit(truncate(path, SIZE / 2) ? errno : 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

enum pinv_lease_kind kind_held(void)
{
	enum pinv_lease_kind kind = 99;

	CU_ASSERT_EQUAL(pinv_lease_query(fd, &kind), 0);
	return kind;
}

static struct pinv_lease *acquire(void)
{
	struct pinv_lease *lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
	return lease;
}

static struct pinv_mr *reg(uint64_t offset, size_t length)
{
	struct pinv_mr *mr = pinv_reg_file_mr(pd, fd, offset, length, WRITE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	return mr;
}

static void kernel_has_what_is_needed(void)
{
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_LAYOUT_LEASE, NULL), 0);
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_FILE_PINS, NULL), 0);
}

static void lease_refuses_truncating(void)
{
	struct pinv_lease *lease = acquire();

	CU_ASSERT_EQUAL(truncate_errno(true), ETXTBSY);
	CU_ASSERT_EQUAL(truncate_errno(false), EDEADLK);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static void lease_ends_with_its_last_share(void)
{
	struct pinv_lease *first = acquire(), *second = acquire();
	struct pinv_mr *mr = reg(0, 0);

	CU_ASSERT_EQUAL(pinv_lease_release(first), 0);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(truncate_errno(true), ETXTBSY);
	CU_ASSERT_EQUAL(pinv_lease_release(second), 0);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_NONE);
}

/* Whether /proc/self/file_pins names the file. */
static bool listed(void)
{
	FILE *pins = fopen("/proc/self/file_pins", "re");
	char line[4200];
	bool found = false;

	CU_ASSERT_PTR_NOT_NULL_FATAL(pins);
	while (fgets(line, sizeof(line), pins))
		found |= line[0] == '\t' && !strncmp(line + 1, path, strlen(path));
	fclose(pins);
	return found;
}

static void region_outlives_the_descriptor(void)
{
	struct pinv_mr *mr = reg(100, 5000);
	char byte;

	close(fd);
	CU_ASSERT(listed());
	CU_ASSERT_EQUAL(truncate_errno(true), ETXTBSY);
	memcpy(pinv_mr_ibv(mr)->addr, "x", 1);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	CU_ASSERT_FALSE(listed());
	fd = open(path, O_RDWR | O_CLOEXEC);
	CU_ASSERT(pread(fd, &byte, 1, 100) == 1 && byte == 'x');
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static void file_grows_under_a_region(void)
{
	struct pinv_mr *old = reg(0, 0), *new;

	CU_ASSERT_EQUAL(ftruncate(fd, 2 * SIZE), 0);
	new = reg(SIZE, 0);
	CU_ASSERT_EQUAL(pinv_mr_ibv(new)->length, SIZE);
	CU_ASSERT_EQUAL(pinv_dereg_mr(old), 0);
	CU_ASSERT_EQUAL(truncate_errno(true), ETXTBSY);
	CU_ASSERT_EQUAL(pinv_dereg_mr(new), 0);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

/* The library's lease cannot be taken from under pins that it does not know of. */
static void pins_of_others_keep_the_lease(void)
{
	struct pinv_lease *lease = acquire();
	void *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct ibv_mr *mr = ibv_reg_mr(pd, map, SIZE, WRITE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), EBUSY);
	CU_ASSERT_EQUAL(truncate_errno(true), ETXTBSY);
	CU_ASSERT_EQUAL(ibv_dereg_mr(mr), 0);
	CU_ASSERT_EQUAL(munmap(map, SIZE), 0);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static void child_gives_up_copies_only(void)
{
	struct pinv_lease *lease = acquire();
	struct pinv_mr *mr = reg(0, 0);
	pid_t child = fork();
	int status;

	if (!child)
		_exit(kind_held() != PINV_LEASE_NONE || pinv_mr_ibv(mr) ||
		      pinv_dereg_mr(mr) || pinv_lease_release(lease));
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT(listed());
	CU_ASSERT_EQUAL(truncate_errno(true), ETXTBSY);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static void classic_lease_hides_but_does_not_hinder(void)
{
	struct pinv_lease *lease;

	CU_ASSERT_EQUAL(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_UNKNOWN);
	lease = acquire();
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	CU_ASSERT_EQUAL(fcntl(fd, F_GETLEASE), F_WRLCK);
	CU_ASSERT_EQUAL(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
}

static void memory_file_needs_no_lease(void)
{
	int memory = memfd_create("guest", MFD_CLOEXEC);
	struct pinv_mr *mr;

	CU_ASSERT_EQUAL(ftruncate(memory, 100000), 0);
	mr = pinv_reg_file_mr(pd, memory, 1, 0, WRITE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(pinv_mr_ibv(mr)->length, 99999);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(memory, PINV_LEASE_EXCLUSIVE));
	CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
	close(memory);
}

static void reader_is_refused(void)
{
	int reader = open(path, O_RDONLY | O_CLOEXEC);

	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(pd, reader, 0, 0, IBV_ACCESS_REMOTE_READ));
	CU_ASSERT_EQUAL(errno, EBADF);
	close(reader);
}

static const struct guest_test tests[] = {
	{ "kernel has what is needed", kernel_has_what_is_needed },
	{ "lease refuses truncating", lease_refuses_truncating },
	{ "lease ends with its last share", lease_ends_with_its_last_share },
	{ "region outlives the descriptor", region_outlives_the_descriptor },
	{ "file grows under a region", file_grows_under_a_region },
	{ "pins of others keep the lease", pins_of_others_keep_the_lease },
	{ "child gives up copies only", child_gives_up_copies_only },
	{ "classic lease hides but does not hinder",
	  classic_lease_hides_but_does_not_hinder },
	{ "memory file needs no lease", memory_file_needs_no_lease },
	{ "reader is refused", reader_is_refused },
	{ NULL, NULL },
};

/* Adds the tests of a table whose names contain the pattern; the number, or -1. */
static int add_tests(CU_pSuite suite, const struct guest_test *table, const char *pattern)
{
	int count = 0;

	for (; table->name; table++) {
		if (pattern && !strstr(table->name, pattern))
			continue;
		if (!CU_add_test(suite, table->name, table->run))
			return -1;
		count++;
	}
	return count;
}

int main(int argc, char **argv)
{
	const char *pattern = argc > 2 ? argv[2] : NULL;
	int one, two, three;
	CU_pSuite suite;
	bool passed;

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: guest DIR [PATTERN]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(path, sizeof(path), "%s/pinverbs-guest.%d", argv[1], getpid());
	pinv_set_log(show, NULL);
	pd = pinv_open_pd(NULL);
	if (!pd || CU_initialize_registry())
		return 1;
	suite = CU_add_suite_with_setup_and_teardown(argv[1], NULL, NULL, set_up,
						     tear_down);
	if (!suite)
		return 1;
	one = add_tests(suite, tests, pattern);
	two = add_tests(suite, guest_kind_tests, pattern);
	three = add_tests(suite, guest_bad_tests, pattern);
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	passed = one >= 0 && two >= 0 && three >= 0 && one + two + three > 0 &&
		 CU_get_number_of_tests_run() == (unsigned)(one + two + three) &&
		 !CU_get_number_of_failures();
	CU_cleanup_registry();
	return passed ? 0 : 1;
}
