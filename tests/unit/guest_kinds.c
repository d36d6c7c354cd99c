// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* In the guest: every kind of lease and of memory. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

static void write_setting(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	CU_ASSERT_EQUAL(write(fd, value, strlen(value)), (ssize_t)strlen(value));
	close(fd);
}

/* A process that truncates the file and waits for that as long as it takes. */
static pid_t start_truncating(void)
{
	pid_t child = fork();

	if (!child) {
		alarm(60);
		_exit(truncate(guest_path, SIZE / 2) ? errno : 0);
	}
	return child;
}

static int status_of(pid_t child)
{
	int status;

	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool noticed(const struct pinv_lease *lease, int timeout)
{
	struct pollfd notice = { .events = POLLIN };

	CU_ASSERT_EQUAL(pinv_lease_notice(lease, &notice.fd), 0);
	return poll(&notice, 1, timeout) == 1;
}

/* SIGIO would end this process: it has no handler. */
static void cooperative_lease_is_asked_back(void)
{
	struct pinv_lease *lease = pinv_lease_acquire(guest_fd, PINV_LEASE_COOPERATIVE);
	pid_t child;

	CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_COOPERATIVE);
	CU_ASSERT_FALSE(noticed(lease, 0));
	child = start_truncating();
	CU_ASSERT(noticed(lease, 20000));
	CU_ASSERT_EQUAL(waitpid(child, NULL, WNOHANG), 0);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	CU_ASSERT_EQUAL(status_of(child), 0);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_NONE);
}

static void cooperative_lease_ends_by_itself(void)
{
	struct pinv_lease *lease;

	write_setting("/proc/sys/fs/lease-break-time", "1");
	lease = pinv_lease_acquire(guest_fd, PINV_LEASE_COOPERATIVE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
	CU_ASSERT_EQUAL(status_of(start_truncating()), 0);
	CU_ASSERT(noticed(lease, 20000));
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	write_setting("/proc/sys/fs/lease-break-time", "45");
}

static void cooperative_lease_allows_no_region(void)
{
	struct pinv_lease *lease = pinv_lease_acquire(guest_fd, PINV_LEASE_COOPERATIVE);
	void *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, guest_fd, 0);

	CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE));
	CU_ASSERT_EQUAL(errno, EBUSY);
	CU_ASSERT_PTR_NULL(pinv_reg_mr(guest_pd, map, SIZE, WRITE));
	CU_ASSERT_EQUAL(errno, EPERM);
	munmap(map, SIZE);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
}

static void growing_and_durability(void)
{
	struct pinv_mr *old = pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE), *new;
	uint64_t offset = 0;
	char byte;

	CU_ASSERT_PTR_NOT_NULL_FATAL(old);
	new = pinv_grow_file_mr(guest_pd, guest_fd, 10000, WRITE, &offset);
	CU_ASSERT_PTR_NOT_NULL_FATAL(new);
	CU_ASSERT_EQUAL(offset, SIZE);
	strcpy((char *)pinv_mr_ibv(new)->addr + 9000, "x");
	CU_ASSERT_EQUAL(pinv_mr_persist(new, 9000, 1), 0);
	CU_ASSERT_EQUAL(pinv_mr_persist(old, 0, 0), 0);
	CU_ASSERT(pread(guest_fd, &byte, 1, SIZE + 9000) == 1 && byte == 'x');
	CU_ASSERT_EQUAL(lseek(guest_fd, 0, SEEK_END), SIZE + 10000);
	CU_ASSERT_EQUAL(pinv_dereg_mr(old), 0);
	CU_ASSERT_EQUAL(truncate_errno(true), ETXTBSY);
	CU_ASSERT_EQUAL(pinv_dereg_mr(new), 0);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static void read_only_region_of_a_writable_descriptor(void)
{
	struct pinv_mr *mr =
		pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, IBV_ACCESS_REMOTE_READ);

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
}

static void assert_kind_of_memory(int fd, size_t length, int persists)
{
	struct pinv_mr *mr = pinv_reg_file_mr(guest_pd, fd, 4096, length, WRITE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	memset(pinv_mr_ibv(mr)->addr, 1, 100);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 0), persists);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
}

static void device_dax(void)
{
	const char *name = getenv("PINVERBS_DEVDAX");
	int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;

	CU_ASSERT_FATAL(fd >= 0);
	assert_kind_of_memory(fd, 100000, 0);
	/* from the 2nd page to the end */
	assert_kind_of_memory(fd, 0, 0);
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE));
	CU_ASSERT_EQUAL(errno, EINVAL);
	close(fd);
}

static void memory_files(void)
{
	int tmpfs = open("/dev/shm/pinverbs-guest", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int huge;

	CU_ASSERT_EQUAL(ftruncate(tmpfs, SIZE), 0);
	assert_kind_of_memory(tmpfs, 0, EOPNOTSUPP);
	close(tmpfs);
	unlink("/dev/shm/pinverbs-guest");
	write_setting("/proc/sys/vm/nr_hugepages", "8");
	huge = memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB);
	CU_ASSERT_FATAL(huge >= 0);
	CU_ASSERT_EQUAL(ftruncate(huge, 4 << 20), 0);
	assert_kind_of_memory(huge, 5000, EOPNOTSUPP);
	assert_kind_of_memory(huge, 0, EOPNOTSUPP);
	close(huge);
	write_setting("/proc/sys/vm/nr_hugepages", "0");
}

/* F1: what the parent sees through its mapping and its MR stays one memory. */
static void anonymous_memory_and_fork(void)
{
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pinv_mr *mr;
	pid_t child;

	memset(memory, 'p', SIZE);
	mr = pinv_reg_mr(guest_pd, memory, SIZE, WRITE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_FORK, NULL), 0);
	child = fork();
	if (!child) {
		memset(memory, 'c', SIZE);
		_exit(pinv_mr_ibv(mr) || pinv_dereg_mr(mr));
	}
	CU_ASSERT_EQUAL(status_of(child), 0);
	CU_ASSERT_EQUAL(memory[SIZE / 2], 'p');
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	munmap(memory, SIZE);
}

static void listing_shows_own_pins(void)
{
	struct pinv_mr *mr = pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE);
	struct pinv_pins *pins =
		pinv_list_pins(PINV_PINS_SELF, guest_fd, PINV_PINS_BY_FILE);
	const struct pinv_pin *pin;

	CU_ASSERT_PTR_NOT_NULL_FATAL(pins);
	CU_ASSERT_EQUAL_FATAL(pinv_pins_count(pins), 1);
	pin = pinv_pins_get(pins, 0);
	CU_ASSERT_EQUAL(pin->pid, getpid());
	CU_ASSERT_EQUAL(pin->owner_fd, guest_pd->context->cmd_fd);
	CU_ASSERT_STRING_EQUAL(pin->file, guest_path);
	CU_ASSERT_EQUAL(pin->pages, SIZE / 4096);
	CU_ASSERT_EQUAL(pin->regions, 1);
	CU_ASSERT_EQUAL(pin->lease, PINV_PIN_LEASE_HELD);
	CU_ASSERT(pin->holder_count == 1 && pin->holders[0] == getpid());
	pinv_pins_free(pins);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
}

/* What the device says, whatever that is, is said without failing. */
static void device_answers(void)
{
	struct pinv_cap_info info;
	int cap, err;

	for (cap = PINV_DEVICE_CAP_FLUSH; cap <= PINV_DEVICE_CAP_ODP; cap++) {
		err = pinv_query_device_cap(guest_pd->context, cap, &info);
		printf("\n    capability %d: %s %s", cap, err ? info.reason : "there",
		       info.remedy);
		CU_ASSERT(err == 0 || err == EOPNOTSUPP);
		CU_ASSERT_EQUAL(!err, !info.reason[0]);
	}
}

const struct guest_test guest_kind_tests[] = {
	{ "cooperative lease is asked back", cooperative_lease_is_asked_back },
	{ "cooperative lease ends by itself", cooperative_lease_ends_by_itself },
	{ "cooperative lease allows no region", cooperative_lease_allows_no_region },
	{ "growing and durability", growing_and_durability },
	{ "read-only region of a writable descriptor",
	  read_only_region_of_a_writable_descriptor },
	{ "device DAX", device_dax },
	{ "memory files", memory_files },
	{ "anonymous memory and fork", anonymous_memory_and_fork },
	{ "listing shows own pins", listing_shows_own_pins },
	{ "device answers", device_answers },
	{ NULL, NULL },
};
