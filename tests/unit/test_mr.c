// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* File memory regions: order of steps, unwinding, ranges, kinds of files. */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "backing.h"
#include "unit.h"

#define SIZE      65536
#define HUGE_PAGE (2UL << 20)
#define WRITE     (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)
#define READ      IBV_ACCESS_REMOTE_READ

static struct pinv_mr *reg(int fd)
{
	struct pinv_mr *mr = pinv_reg_file_mr(&sim_pd, fd, 0, 0, WRITE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	return mr;
}

static void assert_refused(int fd, uint64_t offset, size_t length, int access, int err)
{
	struct sim_state before = sim_state();

	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(&sim_pd, fd, offset, length, access));
	CU_ASSERT_EQUAL(errno, err);
	if (errno != err)
		printf("\n    errno: %s, expected: %s\n", strerrorname_np(errno),
		       strerrorname_np(err));
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), strerrorname_np(err)));
	ASSERT_STATE(before);
}

/* The lease before the look at the size and the pages; back in exactly the reverse order. */
static void order_of_steps(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_mr *mr = reg(fd);

	ASSERT_EVENTS("dup lease mmap reg");
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	ASSERT_EVENTS("dereg munmap unlock close");
	sim_close(fd);
}

static void dereg_of_nothing(void)
{
	CU_ASSERT_EQUAL(pinv_dereg_mr(NULL), 0);
	ASSERT_EVENTS("");
}

/* P5 */
static void memory_files_need_no_lease(void)
{
	int fd = sim_open(SIM_TMPFS, SIZE, O_RDWR);
	struct pinv_mr *mr = reg(fd);

	ASSERT_EVENTS("mmap reg");
	sim_close(fd);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	ASSERT_EVENTS("dereg munmap");
}

static void each_step_unwinds(void)
{
	static const struct {
		const char *step;
		int err;
		const char *events;
	} steps[] = {
		{ "alloc", ENOMEM, "alloc!" },
		{ "statx", EIO, "statx!" },
		{ "dup", EMFILE, "dup!" },
		{ "getlease", EIO, "dup getlease! close" },
		{ "lease", EAGAIN, "dup lease! close" },
		{ "fstat", EIO, "dup lease fstat! unlock close" },
		{ "fstatfs", EIO, "dup lease fstatfs! unlock close" },
		{ "getfl", EIO, "dup lease getfl! unlock close" },
		{ "mmap", ENOMEM, "dup lease mmap! unlock close" },
		{ "reg", ENOMEM, "dup lease mmap reg! munmap unlock close" },
		{ "reg", EFAULT, "dup lease mmap reg! munmap unlock close" },
		{ "reg", EPERM, "dup lease mmap reg! munmap unlock close" },
		{ "reg", EINVAL, "dup lease mmap reg! munmap unlock close" },
	};
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		sim_fail(steps[i].step, steps[i].err);
		assert_refused(fd, 0, 0, WRITE, steps[i].err);
		ASSERT_EVENTS(steps[i].events);
	}
	sim_close(fd);
}

/* As above without a list of steps: a call that is added to the library is refused too. */
static void refuse_every_call(enum sim_kind kind, bool leased)
{
	int fd = sim_open(kind, SIZE, O_RDWR);
	struct pinv_lease *lease =
		leased ? pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE) : NULL;
	struct sim_state before = sim_state();
	struct pinv_mr *mr = NULL;
	unsigned nth;

	for (nth = 1; !mr; nth++) {
		sim_fail_nth(nth, ENOMEM);
		mr = pinv_reg_file_mr(&sim_pd, fd, 0, 0, WRITE);
		if (!mr) {
			CU_ASSERT_EQUAL(errno, ENOMEM);
			ASSERT_STATE(before);
		}
	}
	CU_ASSERT(nth > 6);
	sim_fail_nth(0, 0);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	ASSERT_STATE(before);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	sim_close(fd);
}

static void every_failure(void)
{
	refuse_every_call(SIM_DAX, false);
}

static void every_failure_under_a_lease(void)
{
	refuse_every_call(SIM_DAX, true);
}

static void every_failure_without_lease(void)
{
	refuse_every_call(SIM_TMPFS, false);
}

static void provider_forgets_errno(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);

	sim_fail("reg", 0);
	assert_refused(fd, 0, 0, WRITE, EIO);
	sim_close(fd);
}

/* Pins made meanwhile by others keep the lease; nothing else of ours may stay. */
static void unwinding_meets_pins_of_others(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct sim_state before = sim_state();
	enum pinv_lease_kind kind;

	/* alloc, statx, alloc, dup, getlease, lease, fstat, fstatfs, statx, getfl, mmap, reg */
	sim_fail_nth(12, EBUSY);
	sim_fail("unlock", EBUSY);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(&sim_pd, fd, 0, 0, WRITE));
	ASSERT_EVENTS("dup lease mmap reg! munmap unlock! close");
	CU_ASSERT_EQUAL(pinv_lease_query(fd, &kind), 0);
	CU_ASSERT_EQUAL(kind, PINV_LEASE_EXCLUSIVE);
	CU_ASSERT_EQUAL(sim_fcntl(fd, F_SETLEASE, F_LAYOUT | F_UNLCK), 0);
	ASSERT_STATE(before);
	sim_close(fd);
}

/* A failed dereg goes on where it failed; before the first step nothing has changed. */
static void dereg_goes_on(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_mr *mr = reg(fd);
	struct sim_state before = sim_state();

	sim_forget();
	sim_fail("dereg", EBUSY);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "memory windows"));
	ASSERT_EVENTS("dereg!");
	ASSERT_STATE(before);
	CU_ASSERT_PTR_NOT_NULL(pinv_mr_ibv(mr));

	sim_fail("munmap", ENOMEM);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), ENOMEM);
	ASSERT_EVENTS("dereg munmap!");
	CU_ASSERT_PTR_NULL(pinv_mr_ibv(mr));

	sim_fail("unlock", EBUSY);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), EBUSY);
	ASSERT_EVENTS("munmap unlock!");

	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	ASSERT_EVENTS("unlock close");
	sim_close(fd);
}

/* O7: what is left is the mapping and the lease. */
static void device_is_removed(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR),
	    memory = sim_open(SIM_TMPFS, SIZE, O_RDWR);
	struct pinv_mr *mr = reg(fd), *other = reg(memory);

	sim_forget();
	sim_remove_device();
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	ASSERT_EVENTS("dereg! munmap unlock close");
	CU_ASSERT_EQUAL(pinv_dereg_mr(other), 0);
	ASSERT_EVENTS("dereg! munmap");
	sim_close(fd);
	sim_close(memory);
}

static void regions_and_handles_share_the_lease(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_mr *first = reg(fd), *second;
	struct pinv_lease *lease;

	ASSERT_EVENTS("dup lease mmap reg");
	second = reg(fd);
	lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);
	ASSERT_EVENTS("mmap reg");
	CU_ASSERT_EQUAL(sim_state().pins, 2);
	CU_ASSERT_EQUAL(pinv_dereg_mr(first), 0);
	ASSERT_EVENTS("dereg munmap");
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	ASSERT_EVENTS("");
	CU_ASSERT_EQUAL(pinv_dereg_mr(second), 0);
	ASSERT_EVENTS("dereg munmap unlock close");
	sim_close(fd);
}

/* From the lease on everything goes through our duplicate. */
static void caller_closes_its_descriptor_meanwhile(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_mr *mr;

	sim_close_after("lease", fd);
	mr = reg(fd);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
}

/* The file grows under the lease (T3); the new part is a region of its own. */
static void file_grows_under_the_lease(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_mr *old = reg(fd), *new;

	assert_refused(fd, SIZE, SIZE, WRITE, EINVAL);
	sim_truncate(fd, 2 * SIZE);
	new = pinv_reg_file_mr(&sim_pd, fd, SIZE, SIZE, WRITE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(new);
	CU_ASSERT_EQUAL(sim_state().leases, 1);
	CU_ASSERT_EQUAL(pinv_dereg_mr(old), 0);
	CU_ASSERT_EQUAL(pinv_dereg_mr(new), 0);
	sim_close(fd);
}

static void assert_range(int fd, uint64_t offset, size_t length, size_t granule,
			 size_t result)
{
	struct pinv_mr *mr = pinv_reg_file_mr(&sim_pd, fd, offset, length, WRITE);
	size_t map_length;
	uint64_t at;
	int protection;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(pinv_mr_ibv(mr)->length, result);
	CU_ASSERT_FATAL(
		sim_find_mapping(pinv_mr_ibv(mr)->addr, &at, &map_length, &protection));
	CU_ASSERT_EQUAL(at, offset);
	CU_ASSERT_EQUAL(map_length % granule, 0);
	CU_ASSERT(map_length < offset % granule + result + granule);
	CU_ASSERT_EQUAL(protection, PROT_READ | PROT_WRITE);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
}

static void ranges_within_the_file(void)
{
	int fd = sim_open(SIM_DAX, SIZE + 100, O_RDWR);
	int huge = sim_open(SIM_HUGETLBFS, 4 * HUGE_PAGE, O_RDWR);

	assert_range(fd, 0, 0, 4096, SIZE + 100);
	assert_range(fd, 0, 1, 4096, 1);
	assert_range(fd, 4095, 2, 4096, 2);
	assert_range(fd, 4096, 4096, 4096, 4096);
	assert_range(fd, 5000, 0, 4096, SIZE + 100 - 5000);
	assert_range(fd, SIZE + 99, 0, 4096, 1);
	assert_range(fd, SIZE + 99, 1, 4096, 1);
	assert_range(huge, 0, 0, HUGE_PAGE, 4 * HUGE_PAGE);
	assert_range(huge, HUGE_PAGE - 1, 2, HUGE_PAGE, 2);
	sim_close(fd);
	sim_close(huge);
}

static void ranges_outside_the_file(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR), empty = sim_open(SIM_DAX, 0, O_RDWR);
	int vast = sim_open(SIM_TMPFS, INT64_MAX, O_RDWR);
	int ragged = sim_open(SIM_TMPFS, SIZE + 100, O_RDWR);

	assert_refused(fd, SIZE, 0, WRITE, EINVAL);
	assert_refused(fd, SIZE, 1, WRITE, EINVAL);
	assert_refused(fd, SIZE - 1, 2, WRITE, EINVAL);
	assert_refused(fd, 1, SIZE, WRITE, EINVAL);
	assert_refused(fd, 0, SIZE_MAX, WRITE, EINVAL);
	assert_refused(fd, 1, SIZE_MAX, WRITE, EINVAL);
	assert_refused(fd, UINT64_MAX, 1, WRITE, EINVAL);
	assert_refused(fd, UINT64_MAX, SIZE_MAX, WRITE, EINVAL);
	assert_refused(fd, (uint64_t)-4096, 4096, WRITE, EINVAL);
	assert_refused(empty, 0, 0, WRITE, EINVAL);
	assert_refused(ragged, SIZE + 100, 0, WRITE, EINVAL);
	assert_refused(ragged, SIZE + 101, 0, WRITE, EINVAL);
	assert_refused(vast, 0, 0, WRITE, ENOMEM);
	sim_close(fd);
	sim_close(empty);
	sim_close(vast);
	sim_close(ragged);
}

static void access_follows_the_descriptor(void)
{
	int reader = sim_open(SIM_TMPFS, SIZE, O_RDONLY);
	int writer = sim_open(SIM_TMPFS, SIZE, O_WRONLY);
	int dax_reader = sim_open(SIM_DAX, SIZE, O_RDONLY);
	struct pinv_mr *mr = pinv_reg_file_mr(&sim_pd, reader, 0, 0, READ);
	int protection = 0;
	uint64_t offset;
	size_t length;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT(sim_find_mapping(pinv_mr_ibv(mr)->addr, &offset, &length, &protection));
	CU_ASSERT_EQUAL(protection, PROT_READ);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	assert_refused(reader, 0, 0, WRITE, EACCES);
	assert_refused(reader, 0, 0, IBV_ACCESS_LOCAL_WRITE, EACCES);
	assert_refused(reader, 0, 0, IBV_ACCESS_REMOTE_ATOMIC, EACCES);
	assert_refused(writer, 0, 0, WRITE, EACCES);
	assert_refused(writer, 0, 0, READ, EACCES);
	assert_refused(dax_reader, 0, 0, READ, EBADF);
	sim_close(reader);
	sim_close(writer);
	sim_close(dax_reader);
}

static void files_that_cannot_be_registered(void)
{
	int page_cache = sim_open(SIM_PAGE_CACHE, SIZE, O_RDWR);
	int directory = sim_open(SIM_DIRECTORY, 4096, O_RDONLY);
	int shared = sim_open(SIM_REFLINKED, SIZE, O_RDWR);
	int foreign = sim_open(SIM_DAX, SIZE, O_RDWR);
	int closed = sim_open(SIM_DAX, SIZE, O_RDWR);

	sim_give_away(foreign);
	sim_close(closed);
	assert_refused(page_cache, 0, 0, WRITE, EFAULT);
	assert_refused(directory, 0, 0, READ, EINVAL);
	assert_refused(shared, 0, 0, WRITE, EOPNOTSUPP);
	assert_refused(foreign, 0, 0, WRITE, EACCES);
	assert_refused(closed, 0, 0, WRITE, EBADF);
	assert_refused(-1, 0, 0, WRITE, EBADF);
	sim_close(page_cache);
	sim_close(directory);
	sim_close(shared);
	sim_close(foreign);
}

/*
 * Under a lease the size cannot change any more; before it is there, what is looked at afterwards
 * counts. Without a lease the pages that have gone are missed when they are to be pinned.
 */
static void file_is_cut_meanwhile(void)
{
	static const char *const moments[] = { "fstat", "getfl", "mmap", "reg" };
	int dax = sim_open(SIM_DAX, SIZE, O_RDWR);
	size_t i;

	sim_truncate_at("lease", dax, SIZE / 2);
	assert_refused(dax, 0, SIZE, WRITE, EINVAL);
	ASSERT_EVENTS("dup lease unlock close");
	sim_close(dax);
	for (i = 0; i < sizeof(moments) / sizeof(*moments); i++) {
		int memory = sim_open(SIM_TMPFS, SIZE, O_RDWR);

		sim_truncate_at(moments[i], memory, SIZE / 2);
		assert_refused(memory, 0, SIZE, WRITE, i ? EFAULT : EINVAL);
		ASSERT_EVENTS(i ? "mmap reg! munmap" : "");
		sim_close(memory);
	}
}

/* As in a program that goes on where there is no device. */
static void no_device(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	char memory[64];

	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(NULL, fd, 0, 0, WRITE));
	CU_ASSERT_EQUAL(errno, EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "no device"));
	ASSERT_EVENTS("dup lease mmap munmap unlock close");
	CU_ASSERT_PTR_NULL(pinv_grow_file_mr(NULL, fd, 4096, WRITE, NULL));
	CU_ASSERT_EQUAL(errno, EINVAL);
	ASSERT_EVENTS("dup lease unlock close");
	CU_ASSERT_PTR_NULL(pinv_reg_mr(NULL, memory, sizeof(memory), WRITE));
	CU_ASSERT_EQUAL(errno, EINVAL);
	ASSERT_EVENTS("");
	sim_close(fd);
}

static void stock_kernel(void)
{
	int dax = sim_open(SIM_DAX, SIZE, O_RDWR),
	    tmpfs = sim_open(SIM_TMPFS, SIZE, O_RDWR);
	struct pinv_mr *mr;

	sim_set_patched(false);
	assert_refused(dax, 0, 0, WRITE, EOPNOTSUPP);
	mr = reg(tmpfs);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	sim_close(dax);
	sim_close(tmpfs);
}

/* The child shares the parent's verbs context: its dereg must not reach the parent's MR. */
static int child_of_an_owner(struct pinv_mr *inherited)
{
	if (pinv_mr_ibv(inherited))
		return 1;
	if (pinv_dereg_mr(inherited) || strcmp(sim_events(), "munmap close"))
		return 2;
	return 0;
}

static void forked_child_leaves_the_region(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR), status;
	struct pinv_mr *mr = reg(fd);
	pid_t child;

	sim_forget();
	child = fork();
	if (!child)
		_exit(child_of_an_owner(mr));
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_PTR_NOT_NULL(pinv_mr_ibv(mr));
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	ASSERT_EVENTS("dereg munmap unlock close");
	sim_close(fd);
}

/* The new bytes are on record before they are registered; what was there stays as it is. */
static void growing_registers_what_is_new(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR);
	struct pinv_mr *old = reg(fd), *new;
	uint64_t offset = 0, at;
	size_t length;
	int protection;

	sim_forget();
	new = pinv_grow_file_mr(&sim_pd, fd, 5000, WRITE, &offset);
	CU_ASSERT_PTR_NOT_NULL_FATAL(new);
	ASSERT_EVENTS("reserve fallocate mmap reg");
	CU_ASSERT_EQUAL(offset, SIZE);
	CU_ASSERT_EQUAL(pinv_mr_ibv(new)->length, 5000);
	CU_ASSERT(sim_find_mapping(pinv_mr_ibv(new)->addr, &at, &length, &protection));
	CU_ASSERT_EQUAL(at, SIZE);
	CU_ASSERT_EQUAL(pinv_dereg_mr(new), 0);
	new = pinv_grow_file_mr(&sim_pd, fd, 1, WRITE, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(new);
	CU_ASSERT_EQUAL(pinv_dereg_mr(new), 0);
	CU_ASSERT_EQUAL(pinv_dereg_mr(old), 0);
	new = pinv_grow_file_mr(&sim_pd, fd, 1, WRITE, &offset);
	CU_ASSERT_EQUAL(offset, SIZE + 5001);
	CU_ASSERT_EQUAL(pinv_dereg_mr(new), 0);
	sim_close(fd);
}

static void assert_cannot_grow(int fd, size_t length, int err, const char *events)
{
	struct sim_state before = sim_state();
	uint64_t offset = 77;

	errno = 0;
	sim_forget();
	CU_ASSERT_PTR_NULL(pinv_grow_file_mr(&sim_pd, fd, length, WRITE, &offset));
	CU_ASSERT_EQUAL(errno, err);
	CU_ASSERT_EQUAL(offset, 77);
	ASSERT_STATE(before);
	ASSERT_EVENTS(events);
}

static void growing_that_fails(void)
{
	int fd = sim_open(SIM_DAX, SIZE, O_RDWR),
	    tmpfs = sim_open(SIM_TMPFS, SIZE, O_RDWR),
	    huge = sim_open(SIM_HUGETLBFS, HUGE_PAGE, O_RDWR);

	assert_cannot_grow(fd, 0, EINVAL, "dup lease unlock close");
	assert_cannot_grow(fd, SIZE_MAX, EINVAL, "dup lease unlock close");
	assert_cannot_grow(fd, INT64_MAX, EINVAL, "dup lease unlock close");
	assert_cannot_grow(-1, 1, EBADF, "");
	/* what was found until there was no more is given back */
	sim_fail("reserve", ENOSPC);
	assert_cannot_grow(fd, 1, ENOSPC, "dup lease reserve! ftruncate unlock close");
	sim_fail("fallocate", EDQUOT);
	assert_cannot_grow(fd, 1, EDQUOT,
			   "dup lease reserve fallocate! ftruncate unlock close");
	sim_fail("fallocate", EPERM);
	assert_cannot_grow(tmpfs, 1, EPERM, "fallocate!");
	sim_fail("fallocate", EINTR);
	assert_cannot_grow(huge, HUGE_PAGE, EINTR, "fallocate! ftruncate");
	sim_fail("reg", ENOMEM);
	assert_cannot_grow(fd, 1, ENOMEM,
			   "dup lease reserve fallocate mmap reg! munmap unlock close");
	sim_close(fd);
	sim_close(tmpfs);
	sim_close(huge);
}

static void file_system_without_fallocate(void)
{
	int fd = sim_open(SIM_TMPFS, SIZE, O_RDWR);
	struct pinv_mr *mr;

	sim_fail("fallocate", EOPNOTSUPP);
	mr = pinv_grow_file_mr(&sim_pd, fd, 10, WRITE, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	ASSERT_EVENTS("fallocate! ftruncate mmap reg");
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	sim_close(fd);
}

/* sys/dev/char/252:0: 8 MiB, in units of 2 MiB */
static void device_dax(void)
{
	int fd = sim_open(SIM_DEVICE_DAX, 0, O_RDWR);
	struct pinv_mr *mr;

	sys_root = getenv("SYS");
	mr = reg(fd);
	ASSERT_EVENTS("mmap reg");
	CU_ASSERT_EQUAL(pinv_mr_ibv(mr)->length, 8 << 20);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 0), 0);
	ASSERT_EVENTS("pmem_persist");
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	assert_range(fd, 5000, 100, HUGE_PAGE, 100);
	assert_range(fd, HUGE_PAGE - 1, 2, HUGE_PAGE, 2);
	assert_range(fd, (8 << 20) - 1, 0, HUGE_PAGE, 1);
	assert_refused(fd, 8 << 20, 0, WRITE, EINVAL);
	assert_cannot_grow(fd, 4096, EINVAL, "");
	/* Another character device, and no sysfs */
	sys_root = "/nonexistent";
	assert_refused(fd, 0, 0, WRITE, EINVAL);
	sys_root = "/sys";
	sim_close(fd);
}

static void assert_persists_by(enum sim_kind kind, const char *events)
{
	int fd = sim_open(kind, SIZE, O_RDWR);
	struct pinv_mr *mr = pinv_reg_file_mr(&sim_pd, fd, 100, 10000,
					      kind == SIM_PAGE_CACHE ? READ : WRITE);
	char expected[200];

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	sim_forget();
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 0), 0);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 1), 0);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 5000, 5000), 0);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 9999, 0), 0);
	snprintf(expected, sizeof(expected), "%s %s %s %s", events, events, events,
		 events);
	ASSERT_EVENTS(expected);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 10000, 0), EINVAL);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 10000, 1), EINVAL);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 1, 10000), EINVAL);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, SIZE_MAX, SIZE_MAX), EINVAL);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 1, SIZE_MAX), EINVAL);
	ASSERT_EVENTS("");
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	sim_close(fd);
}

static void durability_by_what_the_mapping_is(void)
{
	assert_persists_by(SIM_DAX, "pmem_persist");
	assert_persists_by(SIM_DAX_NO_SYNC, "msync");
	assert_persists_by(SIM_PAGE_CACHE, "msync");
}

static void what_does_not_last(void)
{
	int kinds[] = { SIM_TMPFS, SIM_HUGETLBFS };
	struct pinv_mr *mr;
	char memory[64];
	size_t i;

	for (i = 0; i < 2; i++) {
		int fd = sim_open(kinds[i], HUGE_PAGE, O_RDWR);

		mr = reg(fd);
		sim_forget();
		CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 0), EOPNOTSUPP);
		CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "does not outlive"));
		ASSERT_EVENTS("");
		CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
		sim_close(fd);
	}
	mr = pinv_reg_mr(&sim_pd, memory, sizeof(memory), WRITE);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 0), EOPNOTSUPP);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
}

static void failed_msync_is_told(void)
{
	int fd = sim_open(SIM_DAX_NO_SYNC, SIZE, O_RDWR);
	struct pinv_mr *mr = reg(fd);

	sim_fail("msync", EIO);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 0), EIO);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	sim_close(fd);
}

static void address_region(void)
{
	char memory[5000];
	struct pinv_mr *mr = pinv_reg_mr(&sim_pd, memory, sizeof(memory), WRITE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	ASSERT_EVENTS("reg");
	CU_ASSERT_PTR_EQUAL(pinv_mr_ibv(mr)->addr, memory);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	ASSERT_EVENTS("dereg");
}

static void assert_address_refused(void *address, int err)
{
	struct sim_state before = sim_state();

	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_reg_mr(&sim_pd, address, 4096, WRITE));
	CU_ASSERT_EQUAL(errno, err);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), strerrorname_np(err)));
	ASSERT_STATE(before);
}

static void address_region_refused(void)
{
	char memory[4096];

	CU_ASSERT_PTR_NULL(pinv_reg_mr(&sim_pd, memory + 1, 0, WRITE));
	CU_ASSERT_EQUAL(errno, EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "no bytes"));
	ASSERT_EVENTS("");
	assert_address_refused(NULL, EFAULT);
	sim_fail("alloc", ENOMEM);
	assert_address_refused(memory, ENOMEM);
	sim_fail("reg", EPERM);
	assert_address_refused(memory, EPERM);
	sim_fail("reg", 0);
	assert_address_refused(memory, EIO);
	sim_forget();
}

/* The fork advice that the kernel needs, and none that it does not. */
static void fork_advice(void)
{
	char memory[64];
	struct pinv_mr *mr;

	sim_set_fork(IBV_FORK_DISABLED, 0);
	mr = pinv_reg_mr(&sim_pd, memory, sizeof(memory), WRITE);
	ASSERT_EVENTS("fork-init reg");
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	sim_forget();
	/* Once is enough. */
	mr = pinv_reg_mr(&sim_pd, memory, sizeof(memory), WRITE);
	ASSERT_EVENTS("reg");
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	sim_forget();
	/* Something was registered before. */
	sim_set_fork(IBV_FORK_DISABLED, EINVAL);
	assert_address_refused(memory, EINVAL);
	ASSERT_EVENTS("fork-init!");
}

UNIT_MAIN("mr", UNIT_TEST(order_of_steps), UNIT_TEST(dereg_of_nothing),
	  UNIT_TEST(memory_files_need_no_lease), UNIT_TEST(each_step_unwinds),
	  UNIT_TEST(every_failure), UNIT_TEST(every_failure_under_a_lease),
	  UNIT_TEST(every_failure_without_lease), UNIT_TEST(provider_forgets_errno),
	  UNIT_TEST(unwinding_meets_pins_of_others), UNIT_TEST(dereg_goes_on),
	  UNIT_TEST(device_is_removed), UNIT_TEST(regions_and_handles_share_the_lease),
	  UNIT_TEST(file_grows_under_the_lease),
	  UNIT_TEST(caller_closes_its_descriptor_meanwhile),
	  UNIT_TEST(ranges_within_the_file), UNIT_TEST(ranges_outside_the_file),
	  UNIT_TEST(access_follows_the_descriptor),
	  UNIT_TEST(files_that_cannot_be_registered), UNIT_TEST(file_is_cut_meanwhile),
	  UNIT_TEST(no_device), UNIT_TEST(stock_kernel),
	  UNIT_TEST(forked_child_leaves_the_region),
	  UNIT_TEST(growing_registers_what_is_new), UNIT_TEST(growing_that_fails),
	  UNIT_TEST(file_system_without_fallocate), UNIT_TEST(device_dax),
	  UNIT_TEST(durability_by_what_the_mapping_is), UNIT_TEST(what_does_not_last),
	  UNIT_TEST(failed_msync_is_told), UNIT_TEST(address_region),
	  UNIT_TEST(address_region_refused), UNIT_TEST(fork_advice))
