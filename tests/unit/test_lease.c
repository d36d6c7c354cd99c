// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Leases: counting, adopting, refusing, and what is left after each refusal. */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "unit.h"

#define SIZE 65536

static struct pinv_lease *acquire(int fd)
{
	struct pinv_lease *lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
	return lease;
}

static enum pinv_lease_kind kind_on(int fd)
{
	enum pinv_lease_kind kind = 99;

	CU_ASSERT_EQUAL(pinv_lease_query(fd, &kind), 0);
	return kind;
}

static void acquire_then_release(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease;

	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_NONE);
	lease = acquire(fd);
	ASSERT_EVENTS("dup lease");
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	ASSERT_EVENTS("unlock close");
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_NONE);
	sim_close(fd);
}

static void release_of_nothing(void)
{
	CU_ASSERT_EQUAL(pinv_lease_release(NULL), 0);
	ASSERT_EVENTS("");
}

/* The kernel has one lease for process and description; the first release must not take it. */
static void handles_share_the_lease(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR), copy = sim_dup(fd);
	struct pinv_lease *first = acquire(fd), *second;

	sim_forget();
	second = acquire(copy);
	ASSERT_EVENTS("");
	CU_ASSERT_PTR_NOT_EQUAL(first, second);
	CU_ASSERT_EQUAL(pinv_lease_release(first), 0);
	ASSERT_EVENTS("");
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(pinv_lease_release(second), 0);
	ASSERT_EVENTS("unlock close");
	sim_close(fd);
	sim_close(copy);
}

/* L5 */
static void descriptions_have_leases_of_their_own(void)
{
	int one = sim_open(SIM_DAX, SIZE, O_RDWR),
	    other = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *first = acquire(one), *second = acquire(other);

	ASSERT_EVENTS("dup lease dup lease");
	CU_ASSERT_EQUAL(pinv_lease_release(first), 0);
	ASSERT_EVENTS("unlock close");
	CU_ASSERT_EQUAL(kind_on(one), PINV_LEASE_NONE);
	CU_ASSERT_EQUAL(kind_on(other), PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(pinv_lease_release(second), 0);
	sim_close(one);
	sim_close(other);
}

/* The number that the caller gave may mean another file by the time of the release. */
static void caller_closes_its_descriptor(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR), other;
	struct pinv_lease *lease = acquire(fd);

	sim_close(fd);
	other = sim_open(SIM_DAX, SIZE, O_RDWR);
	CU_ASSERT_EQUAL_FATAL(other, fd);
	CU_ASSERT_EQUAL(sim_fcntl(other, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	CU_ASSERT_EQUAL(kind_on(other), PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(sim_fcntl(other, F_SETLEASE, F_LAYOUT | F_UNLCK), 0);
	sim_close(other);
}

static void lease_taken_by_the_program_stays(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease;

	CU_ASSERT_EQUAL(sim_fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	sim_forget();
	lease = acquire(fd);
	ASSERT_EVENTS("dup");
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	ASSERT_EVENTS("close");
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_EXCLUSIVE);
	sim_close(fd);
}

static void cooperative_lease_is_not_replaced(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);

	CU_ASSERT_EQUAL(sim_fcntl(fd, F_SETLEASE, F_LAYOUT), 0);
	sim_forget();
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE));
	CU_ASSERT_EQUAL(errno, EBUSY);
	ASSERT_EVENTS("dup close");
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_COOPERATIVE);
	sim_close(fd);
}

static void lease_released_behind_our_back(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease = acquire(fd);

	CU_ASSERT_EQUAL(sim_fcntl(fd, F_SETLEASE, F_LAYOUT | F_UNLCK), 0);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	sim_close(fd);
}

/* L6: the handle stays good until the pins that we know nothing of are gone. */
static void release_under_pins_of_others(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease = acquire(fd);
	void *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct ibv_mr *mr = sim_reg_mr(map, SIZE);
	struct sim_state before = sim_state();

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "deregister"));
	ASSERT_STATE(before);
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_EXCLUSIVE);
	sim_dereg_mr(mr);
	munmap(map, SIZE);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	sim_close(fd);
}

static void assert_refused(int fd, int err)
{
	struct sim_state before = sim_state();

	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE));
	CU_ASSERT_EQUAL(errno, err);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), strerrorname_np(err)));
	ASSERT_STATE(before);
}

/* L2 */
static void refusals_keep_their_errno(void)
{
	int read_only = sim_open(SIM_DAX, SIZE, O_RDONLY);
	int tmpfs = sim_open(SIM_TMPFS, SIZE, O_RDWR);
	int shared = sim_open(SIM_REFLINKED, SIZE, O_RDWR);
	int directory = sim_open(SIM_DIRECTORY, 0, O_RDWR);
	int foreign = sim_open(SIM_DAX, SIZE, O_RDWR);
	int fine = sim_open(SIM_DAX, SIZE, O_RDWR);

	sim_give_away(foreign);
	assert_refused(read_only, EBADF);
	assert_refused(tmpfs, EOPNOTSUPP);
	assert_refused(shared, EOPNOTSUPP);
	assert_refused(directory, EINVAL);
	assert_refused(foreign, EACCES);
	assert_refused(-1, EBADF);
	assert_refused(INT32_MAX, EBADF);
	sim_fail("lease", EAGAIN);
	assert_refused(fine, EAGAIN);
	sim_set_leases_enabled(false);
	assert_refused(fine, EINVAL);
	sim_set_patched(false);
	assert_refused(fine, EOPNOTSUPP);
	sim_close(read_only);
	sim_close(tmpfs);
	sim_close(shared);
	sim_close(directory);
	sim_close(foreign);
	sim_close(fine);
}

static void unknown_kinds_are_refused(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);

	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, PINV_LEASE_NONE));
	CU_ASSERT_EQUAL(errno, EINVAL);
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, PINV_LEASE_UNKNOWN));
	CU_ASSERT_EQUAL(errno, EINVAL);
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, (enum pinv_lease_kind)77));
	CU_ASSERT_EQUAL(errno, EINVAL);
	ASSERT_EVENTS("");
	sim_close(fd);
}

/* Refuse the first call that the library makes, then the second, … until none is left. */
static void every_failure_of_acquire(bool held_already)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *held = held_already ? acquire(fd) : NULL, *lease = NULL;
	struct sim_state before = sim_state();
	unsigned nth;

	for (nth = 1; !lease; nth++) {
		sim_fail_nth(nth, ENOMEM);
		lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);
		if (!lease) {
			CU_ASSERT_EQUAL(errno, ENOMEM);
			ASSERT_STATE(before);
		}
	}
	/* malloc, then query; or malloc, calloc, dup, getlease, lease */
	CU_ASSERT_EQUAL(nth - 2, held_already ? 2 : 5);
	sim_fail_nth(0, 0);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	CU_ASSERT_EQUAL(pinv_lease_release(held), 0);
	sim_close(fd);
}

static void every_failure_of_a_first_acquire(void)
{
	every_failure_of_acquire(false);
}

static void every_failure_of_a_second_acquire(void)
{
	every_failure_of_acquire(true);
}

static void failed_release_can_be_repeated(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease = acquire(fd);

	sim_forget();
	sim_fail("unlock", EINTR);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), EINTR);
	ASSERT_EVENTS("unlock!");
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	ASSERT_EVENTS("unlock close");
	sim_close(fd);
}

/* L1: F_GETLEASE tells the classic lease first; the library knows its own all the same. */
static void query_under_a_classic_lease(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_lease *lease;

	sim_set_classic_lease(fd, F_WRLCK);
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_UNKNOWN);
	lease = acquire(fd);
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_UNKNOWN);
	sim_close(fd);
}

static void query_of_nothing(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	enum pinv_lease_kind kind;

	CU_ASSERT_EQUAL(pinv_lease_query(-1, &kind), EBADF);
	CU_ASSERT_EQUAL(pinv_lease_query(fd, NULL), EINVAL);
	sim_set_patched(false);
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_NONE);
	/* A classic lease hides nothing there. */
	sim_set_classic_lease(fd, F_WRLCK);
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_NONE);
	ASSERT_EVENTS("");
	sim_close(fd);
}

/* In the child: what an inherited handle gives up, and a lease of the child's own (L7). */
static int child_of_a_holder(struct pinv_lease *inherited, int fd)
{
	struct pinv_lease *own;

	if (kind_on(fd) != PINV_LEASE_NONE)
		return 1;
	own = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);
	if (!own || strcmp(sim_events(), "dup lease"))
		return 2;
	sim_forget();
	if (pinv_lease_release(inherited) || strcmp(sim_events(), "close"))
		return 3;
	if (kind_on(fd) != PINV_LEASE_EXCLUSIVE)
		return 4;
	sim_forget();
	if (pinv_lease_release(own) || strcmp(sim_events(), "unlock close"))
		return 5;
	/* The parent's lease is on record still, in the child's copy of the simulation. */
	return sim_state().leases == 1 ? 0 : 6;
}

static void forked_child_has_no_share(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR), status;
	struct pinv_lease *lease = acquire(fd);
	pid_t child;

	sim_forget();
	child = fork();
	if (!child)
		_exit(child_of_a_holder(lease, fd));
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(kind_on(fd), PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	ASSERT_EVENTS("unlock close");
	sim_close(fd);
}

UNIT_MAIN("lease", UNIT_TEST(acquire_then_release), UNIT_TEST(release_of_nothing),
	  UNIT_TEST(handles_share_the_lease),
	  UNIT_TEST(descriptions_have_leases_of_their_own),
	  UNIT_TEST(caller_closes_its_descriptor),
	  UNIT_TEST(lease_taken_by_the_program_stays),
	  UNIT_TEST(cooperative_lease_is_not_replaced),
	  UNIT_TEST(lease_released_behind_our_back),
	  UNIT_TEST(release_under_pins_of_others), UNIT_TEST(refusals_keep_their_errno),
	  UNIT_TEST(unknown_kinds_are_refused),
	  UNIT_TEST(every_failure_of_a_first_acquire),
	  UNIT_TEST(every_failure_of_a_second_acquire),
	  UNIT_TEST(failed_release_can_be_repeated),
	  UNIT_TEST(query_under_a_classic_lease), UNIT_TEST(query_of_nothing),
	  UNIT_TEST(forked_child_has_no_share))
