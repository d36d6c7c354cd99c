// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Many threads, few files: whoever holds a handle or region holds the lease. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>
#include "unit.h"

#define THREADS 8
#define ROUNDS  300
#define FILES   2

static int files[FILES], cooperative_file;
static pthread_barrier_t start;
static atomic_uint broken;

static void expect(bool true_now)
{
	if (!true_now)
		atomic_fetch_add(&broken, 1);
}

static bool held(int fd)
{
	enum pinv_lease_kind kind;

	return !pinv_lease_query(fd, &kind) && kind == PINV_LEASE_EXCLUSIVE;
}

static void hold_a_lease(int fd)
{
	struct pinv_lease *lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);

	expect(lease != NULL);
	expect(held(fd));
	expect(!pinv_lease_release(lease));
}

static void hold_a_region(int fd)
{
	struct pinv_mr *mr = pinv_reg_file_mr(&sim_pd, fd, 0, 0, IBV_ACCESS_LOCAL_WRITE);

	expect(mr != NULL);
	expect(held(fd));
	expect(!pinv_dereg_mr(mr));
}

/* The thread that waits for notices comes and goes with these. */
static void hold_a_cooperative_lease(void)
{
	struct pinv_lease *lease =
		pinv_lease_acquire(cooperative_file, PINV_LEASE_COOPERATIVE);
	int notice;

	expect(lease != NULL);
	expect(!pinv_lease_notice(lease, &notice));
	expect(poll(&(struct pollfd){ .fd = notice, .events = POLLIN }, 1, 0) == 0);
	expect(!pinv_lease_release(lease));
}

static void *work(void *arg)
{
	unsigned number = (uintptr_t)arg, round;

	pthread_barrier_wait(&start);
	for (round = 0; round < ROUNDS; round++) {
		int fd = files[(number + round) % FILES];

		if ((number + round) % 5 == 0)
			hold_a_cooperative_lease();
		else if ((number + round / 3) % 2)
			hold_a_lease(fd);
		else
			hold_a_region(fd);
		if (round % 50 == 0)
			expect(pinv_lease_acquire(-1, PINV_LEASE_EXCLUSIVE) == NULL);
	}
	return NULL;
}

static void run_threads(void *(*function)(void *))
{
	pthread_t threads[THREADS];
	uintptr_t i;

	atomic_store(&broken, 0);
	pinv_set_log(NULL, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_barrier_init(&start, NULL, THREADS), 0);
	for (i = 0; i < FILES; i++)
		files[i] = sim_open(SIM_DAX, 4096, O_RDWR);
	cooperative_file = sim_open(SIM_DAX, 4096, O_RDWR);
	for (i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, function,
						     (void *)i),
				      0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	CU_ASSERT_EQUAL(atomic_load(&broken), 0);
	for (i = 0; i < FILES; i++) {
		CU_ASSERT_FALSE(held(files[i]));
		sim_close(files[i]);
	}
	sim_close(cooperative_file);
}

static void leases_and_regions(void)
{
	run_threads(work);
}

/* No lock that another thread had at the time may be left locked in the child. */
static int child_among_threads(void)
{
	struct pinv_lease *lease;

	alarm(20);
	lease = pinv_lease_acquire(files[0], PINV_LEASE_EXCLUSIVE);
	return lease && held(files[0]) && !pinv_lease_release(lease) ? 0 : 1;
}

static void *fork_meanwhile(void *arg)
{
	unsigned round;
	int status;

	if (arg)
		return work(arg);
	pthread_barrier_wait(&start);
	for (round = 0; round < 20; round++) {
		pid_t child = fork();

		if (!child)
			_exit(child_among_threads());
		expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	}
	return NULL;
}

static void fork_among_threads(void)
{
	run_threads(fork_meanwhile);
}

UNIT_MAIN("threads", UNIT_TEST(leases_and_regions), UNIT_TEST(fork_among_threads))
