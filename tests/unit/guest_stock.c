// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * guest-stock DIR: the library on a kernel without the series, with an RDMA device and a DAX file in DIR.
 * Not a host test: run it with ./pinverbs run --kernel stock. What needs the series fails as the
 * manual says, with its exact errno and message; what does not works; nothing stays of either.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "guest.h"

#define THE_SERIES "boot a kernel with the series in kernel-patches/"

static char path[4000], said[1200], release[80];
static struct ibv_pd *pd;
static int fd;

static void note(void *arg, const char *message)
{
	(void)arg;
	snprintf(said, sizeof(said), "%s", message);
}

/* Pages pinned by, and leases of, this process; of a stock kernel's layout leases there is no sign. */
static void assert_nothing_left(unsigned descriptors)
{
	char line[300], holder[32];
	unsigned long pinned = 1;
	FILE *file;

	CU_ASSERT_EQUAL(count_descriptors(), descriptors + 1);
	file = fopen("/proc/self/status", "re");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmPin: %lu", &pinned) == 1)
			break;
	CU_ASSERT_EQUAL(pinned, 0);
	fclose(file);
	file = fopen("/proc/locks", "re");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	snprintf(holder, sizeof(holder), " %d ", getpid());
	while (fgets(line, sizeof(line), file))
		CU_ASSERT_PTR_NULL(strstr(line, holder));
	fclose(file);
	CU_ASSERT_EQUAL(ftruncate(fd, SIZE / 2), 0);
	CU_ASSERT_EQUAL(ftruncate(fd, SIZE), 0);
}

static unsigned before;

static void set_up(void)
{
	before = count_descriptors();
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, SIZE), 0);
	said[0] = '\0';
}

static void tear_down(void)
{
	assert_nothing_left(before);
	close(fd);
	unlink(path);
}

/* "libpinverbs: OBJECT: OPERATION: REASON", and forgets it */
static void assert_said(const char *object, const char *operation, const char *reason)
{
	char wanted[5200];

	snprintf(wanted, sizeof(wanted), "libpinverbs: %s: %s: %s", object, operation,
		 reason);
	if (strcmp(said, wanted))
		printf("\n    said:   %s\n    wanted: %s\n  ", said, wanted);
	CU_ASSERT_STRING_EQUAL(said, wanted);
	said[0] = '\0';
}

static void assert_no_leases(const char *object, const char *operation)
{
	char reason[400];

	snprintf(reason, sizeof(reason),
		 "kernel %s has no layout leases (EOPNOTSUPP); " THE_SERIES
		 ", or register anonymous memory",
		 release);
	assert_said(object, operation, reason);
}

static void assert_missing(enum pinv_cap cap, const char *what, const char *remedy)
{
	struct pinv_cap_info info;
	char reason[200];

	snprintf(reason, sizeof(reason), "kernel %s has no %s", release, what);
	CU_ASSERT_EQUAL(pinv_query_cap(cap, &info), EOPNOTSUPP);
	CU_ASSERT_EQUAL(pinv_query_cap(cap, NULL), EOPNOTSUPP);
	CU_ASSERT_STRING_EQUAL(info.reason, reason);
	CU_ASSERT_STRING_EQUAL(info.remedy, remedy);
}

static void capabilities(void)
{
	struct pinv_cap_info info;

	assert_missing(PINV_CAP_LAYOUT_LEASE, "layout leases",
		       THE_SERIES ", or register anonymous memory");
	assert_missing(PINV_CAP_FILE_PINS, "/proc/PID/file_pins", THE_SERIES);
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_FORK, &info), 0);
	CU_ASSERT_STRING_EQUAL(info.reason, "");
	CU_ASSERT_EQUAL(pinv_query_cap(99, NULL), EINVAL);
	/* Soft-RoCE has both since 6.3 and on-demand paging since 6.15. */
	CU_ASSERT_EQUAL(pinv_query_device_cap(pd->context, PINV_DEVICE_CAP_FLUSH, NULL),
			0);
	CU_ASSERT_EQUAL(pinv_query_device_cap(pd->context, PINV_DEVICE_CAP_ATOMIC_WRITE,
					      NULL),
			0);
	CU_ASSERT_EQUAL(pinv_query_device_cap(pd->context, PINV_DEVICE_CAP_ODP, &info),
			EOPNOTSUPP);
	CU_ASSERT_PTR_NOT_NULL(strstr(info.reason, "no on-demand paging"));
	CU_ASSERT_STRING_EQUAL(said, "");
}

static void assert_no_lease(int file, enum pinv_lease_kind kind, int err)
{
	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(file, kind));
	CU_ASSERT_EQUAL(errno, err);
}

static void leases(void)
{
	int memory = memfd_create("guest-stock", MFD_CLOEXEC);

	assert_no_lease(fd, PINV_LEASE_EXCLUSIVE, EOPNOTSUPP);
	assert_no_leases(path, "take exclusive layout lease");
	assert_no_lease(fd, PINV_LEASE_COOPERATIVE, EOPNOTSUPP);
	assert_no_leases(path, "take cooperative layout lease");
	assert_no_lease(memory, PINV_LEASE_EXCLUSIVE, EOPNOTSUPP);
	assert_no_lease(-1, PINV_LEASE_EXCLUSIVE, EBADF);
	assert_no_lease(fd, PINV_LEASE_NONE, EINVAL);
	CU_ASSERT_EQUAL(pinv_lease_release(NULL), 0);
	close(memory);
}

/* None, whatever other leases there are. */
static void lease_query(void)
{
	enum pinv_lease_kind kind = PINV_LEASE_UNKNOWN;

	CU_ASSERT_EQUAL(pinv_lease_query(fd, &kind), 0);
	CU_ASSERT_EQUAL(kind, PINV_LEASE_NONE);
	CU_ASSERT_EQUAL(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
	kind = PINV_LEASE_UNKNOWN;
	CU_ASSERT_EQUAL(pinv_lease_query(fd, &kind), 0);
	CU_ASSERT_EQUAL(kind, PINV_LEASE_NONE);
	CU_ASSERT_EQUAL(fcntl(fd, F_GETLEASE), F_WRLCK);
	CU_ASSERT_EQUAL(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	CU_ASSERT_EQUAL(pinv_lease_query(-1, &kind), EBADF);
	CU_ASSERT_EQUAL(pinv_lease_query(fd, NULL), EINVAL);
}

static void regions_on_dax_files(void)
{
	uint64_t offset = 12345;
	struct stat st;
	char *memory;
	char object[64];

	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(pd, fd, 0, 0, WRITE));
	CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
	assert_no_leases(path, "take exclusive layout lease");
	CU_ASSERT_PTR_NULL(pinv_grow_file_mr(pd, fd, 4096, WRITE, &offset));
	CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
	assert_no_leases(path, "take exclusive layout lease");
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, SIZE);
	CU_ASSERT_EQUAL(offset, 12345);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CU_ASSERT_PTR_NULL(pinv_reg_mr(pd, memory, SIZE, WRITE));
	CU_ASSERT_EQUAL(errno, EOPNOTSUPP);
	snprintf(object, sizeof(object), "%d bytes at %p", SIZE, (void *)memory);
	assert_no_leases(object, "register");
	munmap(memory, SIZE);
}

/* It registers, and what was written through the mapping is in the file. */
static void assert_registers(int file, size_t length, int persists)
{
	struct pinv_mr *mr = pinv_reg_file_mr(pd, file, 4096, length, WRITE);
	char byte = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	memset(pinv_mr_ibv(mr)->addr, 'x', 100);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 100), persists);
	/* device DAX has no read(2) */
	CU_ASSERT(pread(file, &byte, 1, 4096 + 99) == 1 ? byte == 'x' : persists == 0);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	said[0] = '\0';
}

static void memory_files(void)
{
	int memory = memfd_create("guest-stock", MFD_CLOEXEC);
	int tmpfs = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	uint64_t offset = 0;
	struct pinv_mr *grown;

	CU_ASSERT_EQUAL(ftruncate(memory, SIZE), 0);
	CU_ASSERT_EQUAL(ftruncate(tmpfs, SIZE), 0);
	assert_registers(memory, 0, EOPNOTSUPP);
	assert_registers(tmpfs, 5000, EOPNOTSUPP);
	grown = pinv_grow_file_mr(pd, memory, 10000, WRITE, &offset);
	CU_ASSERT_PTR_NOT_NULL_FATAL(grown);
	CU_ASSERT_EQUAL(offset, SIZE);
	CU_ASSERT_EQUAL(pinv_mr_ibv(grown)->length, 10000);
	CU_ASSERT_EQUAL(pinv_dereg_mr(grown), 0);
	close(memory);
	close(tmpfs);
}

static void device_dax(void)
{
	const char *name = getenv("PINVERBS_DEVDAX");
	int device = name ? open(name, O_RDWR | O_CLOEXEC) : -1;

	CU_ASSERT_FATAL(device >= 0);
	assert_registers(device, 100000, 0);
	close(device);
}

/* The kernel has it; of the providers, pinrxe. */
static void flush(void)
{
	bool flushes = getenv("IBV_DRIVERS") != NULL;
	char object[80];
	uint32_t number;

	guest_flush(pd, flushes, &number);
	snprintf(object, sizeof(object), "queue pair %u of %s", number,
		 ibv_get_device_name(pd->context->device));
	if (flushes)
		assert_said(object, "flush",
			    "4294967296 bytes are more than a message can have (EINVAL); "
			    "flush less at once");
	else
		assert_said(object, "flush",
			    "its provider has no RDMA flush for it (EOPNOTSUPP); make it "
			    "for RC and flush with IBV_DRIVERS=pinrxe, or have the peer "
			    "call pinv_mr_persist()");
}

/* P7: the page cache */
static void files_without_dax(void)
{
	int plain =
		open("/mnt/xfs-plain/guest-stock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	CU_ASSERT_FATAL(plain >= 0);
	CU_ASSERT_EQUAL(ftruncate(plain, SIZE), 0);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(pd, plain, 0, 0, WRITE));
	CU_ASSERT_EQUAL(errno, EFAULT);
	close(plain);
	unlink("/mnt/xfs-plain/guest-stock");
}

static void anonymous_memory(void)
{
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pinv_mr *mr = pinv_reg_mr(pd, memory, SIZE, WRITE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(pinv_mr_ibv(mr)->length, SIZE);
	CU_ASSERT_EQUAL(pinv_mr_persist(mr, 0, 0), EOPNOTSUPP);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	munmap(memory, SIZE);
}

static void assert_no_list(int pid, int file, int order, int err)
{
	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_list_pins(pid, file, order));
	CU_ASSERT_EQUAL(errno, err);
}

static void pins(void)
{
	char reason[300];

	snprintf(reason, sizeof(reason),
		 "kernel %s has no /proc/PID/file_pins (EOPNOTSUPP); " THE_SERIES,
		 release);
	assert_no_list(PINV_PINS_SELF, -1, PINV_PINS_BY_OWNER, EOPNOTSUPP);
	assert_said("own process", "list pins", reason);
	assert_no_list(PINV_PINS_ALL, fd, PINV_PINS_BY_FILE, EOPNOTSUPP);
	assert_said("all processes", "list pins", reason);
	assert_no_list(1, -1, PINV_PINS_BY_OWNER, EOPNOTSUPP);
	assert_said("process 1", "list pins", reason);
	assert_no_list(-7, -1, PINV_PINS_BY_OWNER, EINVAL);
	assert_no_list(PINV_PINS_SELF, -2, PINV_PINS_BY_OWNER, EBADF);
	assert_no_list(PINV_PINS_SELF, -1, 9, EINVAL);
	pinv_pins_free(NULL);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "capabilities", capabilities },
		{ "leases", leases },
		{ "lease query", lease_query },
		{ "regions on DAX files", regions_on_dax_files },
		{ "memory files", memory_files },
		{ "device DAX", device_dax },
		{ "flush", flush },
		{ "files without DAX", files_without_dax },
		{ "anonymous memory", anonymous_memory },
		{ "pins", pins },
		{ NULL, NULL },
	};
	const struct guest_test *test;
	struct utsname name;
	unsigned failures;
	CU_pSuite suite;

	if (argc != 2) {
		fprintf(stderr, "usage: guest-stock DIR\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(path, sizeof(path), "%s/guest-stock.%d", argv[1], getpid());
	if (uname(&name))
		return 1;
	snprintf(release, sizeof(release), "%s", name.release);
	pinv_set_log(note, NULL);
	pd = pinv_open_pd(NULL);
	if (!pd || CU_initialize_registry())
		return 1;
	suite = CU_add_suite_with_setup_and_teardown(argv[1], NULL, NULL, set_up,
						     tear_down);
	for (test = tests; suite && test->name; test++)
		if (!CU_add_test(suite, test->name, test->run))
			return 1;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures() +
		   (CU_get_number_of_tests_run() != test - tests);
	CU_cleanup_registry();
	return failures || pinv_close_pd(pd);
}
