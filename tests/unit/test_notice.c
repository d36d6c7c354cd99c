// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Cooperative leases: the notice, and that no signal reaches the program. */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "unit.h"

#define SIZE 65536

static struct pinv_lease *acquire(int fd)
{
	struct pinv_lease *lease = pinv_lease_acquire(fd, PINV_LEASE_COOPERATIVE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
	return lease;
}

static int notice_of(const struct pinv_lease *lease)
{
	int fd = -1;

	CU_ASSERT_EQUAL(pinv_lease_notice(lease, &fd), 0);
	return fd;
}

static bool noticed(int fd, int timeout)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, timeout) == 1 && poll_fd.revents == POLLIN;
}

static enum pinv_lease_kind kind_on(int fd)
{
	enum pinv_lease_kind kind = 99;

	CU_ASSERT_EQUAL(pinv_lease_query(fd, &kind), 0);
	return kind;
}

static void told_when_asked_back(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR), notice;
	struct pinv_lease *lease = acquire(fd);

	ASSERT_EVENTS("dup lease");
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_COOPERATIVE);
	notice = notice_of(lease);
	CU_ASSERT_FALSE(noticed(notice, 0));
	sim_ask_back(fd);
	CU_ASSERT(noticed(notice, 10000));
	/* It stays so. */
	CU_ASSERT(noticed(notice, 0));
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_NONE);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	ASSERT_EVENTS("unlock close");
	CU_ASSERT_EQUAL(fcntl(notice, F_GETFD), -1);
	sim_close(fd);
}

/* With the queue of signals full the kernel cannot tell; the thread finds out by itself. */
static void told_without_signal(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease = acquire(fd);

	sim_ask_back_silently(fd);
	CU_ASSERT(noticed(notice_of(lease), 10000));
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	sim_close(fd);
}

static void only_the_lease_that_is_asked_back(void)
{
	int one = sim_open(SIM_DAX, SIZE, O_RDWR),
	    other = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *first = acquire(one), *second = acquire(other);

	sim_ask_back(other);
	CU_ASSERT(noticed(notice_of(second), 10000));
	CU_ASSERT_FALSE(noticed(notice_of(first), 0));
	CU_ASSERT_EQUAL(pinv_lease_release(second), 0);
	sim_ask_back(one);
	CU_ASSERT(noticed(notice_of(first), 10000));
	CU_ASSERT_EQUAL(pinv_lease_release(first), 0);
	sim_close(one);
	sim_close(other);
}

static void handles_share_lease_and_notice(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *first = acquire(fd), *second;

	sim_forget();
	second = acquire(fd);
	ASSERT_EVENTS("");
	CU_ASSERT_EQUAL(notice_of(first), notice_of(second));
	CU_ASSERT_EQUAL(pinv_lease_release(first), 0);
	ASSERT_EVENTS("");
	sim_ask_back(fd);
	CU_ASSERT(noticed(notice_of(second), 10000));
	CU_ASSERT_EQUAL(pinv_lease_release(second), 0);
	ASSERT_EVENTS("unlock close");
	sim_close(fd);
}

/* The program may use the description's owner and signal for something else. */
static void settings_of_the_description_stay(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease;

	sim_fcntl(fd, F_SETSIG, SIGUSR1);
	lease = acquire(fd);
	CU_ASSERT_EQUAL(sim_owner(fd), 0);
	CU_ASSERT_EQUAL(sim_signal(fd), SIGUSR1);
	sim_ask_back(fd);
	CU_ASSERT(noticed(notice_of(lease), 10000));
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	sim_close(fd);
}

/* Neither a blocked signal that is pending nor one that has a handler. */
static void signals_of_the_program_stay(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease;
	sigset_t set, before = { 0 }, after = { 0 }, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	lease = acquire(fd);
	kill(getpid(), SIGIO);
	sim_ask_back(fd);
	CU_ASSERT(noticed(notice_of(lease), 10000));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	CU_ASSERT_EQUAL(memcmp(&before, &after, sizeof(before)), 0);
	sigpending(&pending);
	CU_ASSERT(sigismember(&pending, SIGIO));
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	signal(SIGIO, SIG_IGN); /* throws it away */
	signal(SIGIO, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	sim_close(fd);
}

static void assert_refused(int fd, enum pinv_lease_kind kind, int err)
{
	struct sim_state before = sim_state();

	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, kind));
	CU_ASSERT_EQUAL(errno, err);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), strerrorname_np(err)));
	ASSERT_STATE(before);
}

/* One lease on a description: what was promised to the first handle holds. */
static void kinds_do_not_mix(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR), notice;
	struct pinv_lease *lease = acquire(fd);

	assert_refused(fd, PINV_LEASE_EXCLUSIVE, EBUSY);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(&sim_pd, fd, 0, 0, IBV_ACCESS_LOCAL_WRITE));
	CU_ASSERT_EQUAL(errno, EBUSY);
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_COOPERATIVE);
	CU_ASSERT_EQUAL(pinv_lease_notice(lease, NULL), EINVAL);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);

	lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);
	assert_refused(fd, PINV_LEASE_COOPERATIVE, EBUSY);
	CU_ASSERT_EQUAL(pinv_lease_notice(lease, &notice), EINVAL);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);

	/* The program's own: its notice goes where the program wants. */
	CU_ASSERT_EQUAL(sim_fcntl(fd, F_SETLEASE, F_LAYOUT), 0);
	assert_refused(fd, PINV_LEASE_COOPERATIVE, EBUSY);
	CU_ASSERT_EQUAL(sim_fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	assert_refused(fd, PINV_LEASE_COOPERATIVE, EBUSY);
	CU_ASSERT_EQUAL(sim_fcntl(fd, F_SETLEASE, F_LAYOUT | F_UNLCK), 0);
	sim_close(fd);
}

static void refusals_keep_their_errno(void)
{
	int tmpfs = sim_open(SIM_TMPFS, SIZE, O_RDWR);
	int reader = sim_open(SIM_DAX, SIZE, O_RDONLY);
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);

	assert_refused(tmpfs, PINV_LEASE_COOPERATIVE, EOPNOTSUPP);
	assert_refused(reader, PINV_LEASE_COOPERATIVE, EBADF);
	assert_refused(-1, PINV_LEASE_COOPERATIVE, EBADF);
	sim_fail("lease", EAGAIN);
	assert_refused(fd, PINV_LEASE_COOPERATIVE, EAGAIN);
	sim_set_patched(false);
	assert_refused(fd, PINV_LEASE_COOPERATIVE, EOPNOTSUPP);
	CU_ASSERT_EQUAL(sim_owner(fd), 0);
	sim_close(tmpfs);
	sim_close(reader);
	sim_close(fd);
}

static int lowest_free_descriptor(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

static void every_failure(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR), lowest = lowest_free_descriptor();
	struct sim_state before = sim_state();
	struct pinv_lease *lease = NULL;
	unsigned nth;

	for (nth = 1; !lease; nth++) {
		sim_fail_nth(nth, ENOMEM);
		lease = pinv_lease_acquire(fd, PINV_LEASE_COOPERATIVE);
		if (lease)
			break;
		CU_ASSERT_EQUAL(errno, ENOMEM);
		ASSERT_STATE(before);
		CU_ASSERT_EQUAL(lowest_free_descriptor(), lowest);
		CU_ASSERT_EQUAL(sim_owner(fd), 0);
		CU_ASSERT_EQUAL(sim_signal(fd), 0);
	}
	/* malloc, calloc, dup, getlease, eventfd, thread, getsig, getown, setown, setsig, lease */
	CU_ASSERT(nth > 11);
	sim_fail_nth(0, 0);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	CU_ASSERT_EQUAL(lowest_free_descriptor(), lowest);
	sim_close(fd);
}

#ifndef __SANITIZE_THREAD__
/* The thread is the parent's: a child that wants notices gets one of its own. */
static int child_of_a_holder(struct pinv_lease *inherited, int fd)
{
	struct pinv_lease *own;

	alarm(20);
	if (kind_on(fd) != PINV_LEASE_NONE)
		return 1;
	own = pinv_lease_acquire(fd, PINV_LEASE_COOPERATIVE);
	if (!own || pinv_lease_release(inherited))
		return 2;
	sim_ask_back(fd);
	if (!noticed(notice_of(own), 10000))
		return 3;
	return pinv_lease_release(own) ? 4 : 0;
}

static void forked_child(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR), status;
	struct pinv_lease *lease = acquire(fd);
	pid_t child = fork();

	if (!child)
		_exit(child_of_a_holder(lease, fd));
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_FALSE(noticed(notice_of(lease), 0));
	sim_ask_back(fd);
	CU_ASSERT(noticed(notice_of(lease), 10000));
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	sim_close(fd);
}

static sem_t forked;
static int status_of_fork, fd_of_child;

/* A child gets a thread of its own, whatever its parent was about to do with one. */
static void *fork_and_wait(void *arg)
{
	pid_t child = fork();

	if (!child) {
		struct pinv_lease *lease;

		if (!arg)
			_exit(0);
		alarm(20);
		lease = pinv_lease_acquire(fd_of_child, PINV_LEASE_COOPERATIVE);
		_exit(!lease || pinv_lease_release(lease));
	}
	waitpid(child, &status_of_fork, 0);
	sem_post(&forked);
	return NULL;
}

/*
 * The allocator, which the thread's coming and going needs, may be locked by fork() of another
 * thread: if that waited for this one, neither would go on.
 */
static void fork_meanwhile(void *arg)
{
	struct timespec deadline;
	pthread_t thread;

	status_of_fork = -1;
	sem_init(&forked, 0, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, fork_and_wait, arg), 0);
	pthread_detach(thread);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 20;
	CU_ASSERT_EQUAL(sem_timedwait(&forked, &deadline), 0);
	CU_ASSERT_EQUAL(status_of_fork, 0);
}

static void fork_in_a_beginning(void)
{
	fork_meanwhile(&fd_of_child);
}

static void fork_in_an_end(void)
{
	fork_meanwhile(NULL);
}

static void fork_does_not_wait_for_the_thread(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease;

	fd_of_child = sim_open(SIM_DAX, SIZE, O_RDWR);
	sim_on_thread(fork_in_a_beginning);
	lease = acquire(fd);
	sim_on_join(fork_in_an_end);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	sim_close(fd);
	sim_close(fd_of_child);
}
#endif

/* The thread sanitizer of gcc cannot follow threads that a forked child starts. */
#ifdef __SANITIZE_THREAD__
#define FORK_TESTS
#else
#define FORK_TESTS UNIT_TEST(forked_child), UNIT_TEST(fork_does_not_wait_for_the_thread),
#endif

UNIT_MAIN("notice", FORK_TESTS UNIT_TEST(told_when_asked_back),
	  UNIT_TEST(told_without_signal), UNIT_TEST(only_the_lease_that_is_asked_back),
	  UNIT_TEST(handles_share_lease_and_notice),
	  UNIT_TEST(settings_of_the_description_stay),
	  UNIT_TEST(signals_of_the_program_stay), UNIT_TEST(kinds_do_not_mix),
	  UNIT_TEST(refusals_keep_their_errno), UNIT_TEST(every_failure))
