// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* In the guest: bad input and bad times. Exact errno, nothing leaked, nothing left leased. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

#define MANY 10000

static void assert_refused(int fd, uint64_t offset, size_t length, int access, int err)
{
	unsigned before = count_descriptors();

	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(guest_pd, fd, offset, length, access));
	CU_ASSERT_EQUAL(errno, err);
	CU_ASSERT_EQUAL(count_descriptors(), before);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_NONE);
}

static void ranges(void)
{
	assert_refused(guest_fd, SIZE, 0, WRITE, EINVAL);
	assert_refused(guest_fd, SIZE, 1, WRITE, EINVAL);
	assert_refused(guest_fd, 1, SIZE, WRITE, EINVAL);
	assert_refused(guest_fd, UINT64_MAX, 1, WRITE, EINVAL);
	assert_refused(guest_fd, UINT64_MAX, SIZE_MAX, WRITE, EINVAL);
	assert_refused(guest_fd, (uint64_t)-1, 2, WRITE, EINVAL);
	assert_refused(guest_fd, 0, SIZE_MAX, WRITE, EINVAL);
	assert_refused(guest_fd, 0, (size_t)-4096, WRITE, EINVAL);
	CU_ASSERT_EQUAL(ftruncate(guest_fd, 0), 0);
	assert_refused(guest_fd, 0, 0, WRITE, EINVAL);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static void assert_memory_refused(void *address, size_t length, int access, int err)
{
	unsigned before = count_descriptors();
	struct pinv_mr *mr;

	errno = 0;
	mr = pinv_reg_mr(guest_pd, address, length, access);
	CU_ASSERT_PTR_NULL(mr);
	CU_ASSERT_EQUAL(errno, err);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	CU_ASSERT_EQUAL(count_descriptors(), before);
}

/* The address space behind the mapping is the mapping's too, and nothing is in it. */
static void *map_with_gap(int protection, int flags, int fd)
{
	char *map = mmap(NULL, 2 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(map, MAP_FAILED);
	CU_ASSERT_PTR_EQUAL_FATAL(mmap(map, SIZE, protection, flags | MAP_FIXED, fd, 0),
				  map);
	return map;
}

static void assert_memory_ranges_refused(char *map)
{
	size_t last = SIZE - 4096;

	assert_memory_refused(map, 0, WRITE, EINVAL);
	assert_memory_refused(map + 1, 0, WRITE, EINVAL);
	assert_memory_refused(map, SIZE_MAX, WRITE, EINVAL);
	assert_memory_refused(map, -(uintptr_t)map, WRITE, EINVAL);
	assert_memory_refused(map, SIZE_MAX / 2, WRITE, EINVAL);
	assert_memory_refused(map, 2 * SIZE, WRITE, EFAULT);
	assert_memory_refused(map + last, 4097, WRITE, EFAULT);
	assert_memory_refused(map + SIZE, 1, WRITE, EFAULT);
	assert_memory_refused(map, SIZE, IBV_ACCESS_REMOTE_WRITE, EINVAL);
}

/* What was pinned of a range before its end was missing is not any more: else EBUSY. */
static void memory_ranges(void)
{
	char *anonymous =
		map_with_gap(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *file = map_with_gap(PROT_READ | PROT_WRITE, MAP_SHARED, guest_fd);
	struct pinv_lease *lease = pinv_lease_acquire(guest_fd, PINV_LEASE_EXCLUSIVE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(lease);
	assert_memory_refused(NULL, 4096, WRITE, EFAULT);
	assert_memory_refused(NULL, SIZE_MAX, WRITE, EINVAL);
	assert_memory_refused((void *)-4096UL, 8192, WRITE, EINVAL);
	assert_memory_ranges_refused(anonymous);
	assert_memory_ranges_refused(file);
	CU_ASSERT_EQUAL(mprotect(anonymous, SIZE, PROT_READ), 0);
	assert_memory_refused(anonymous, SIZE, WRITE, EFAULT);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	assert_memory_refused(file, SIZE, WRITE, EPERM);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_NONE);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
	munmap(anonymous, 2 * SIZE);
	munmap(file, 2 * SIZE);
}

static void descriptors(void)
{
	int dir, fifo, null, pipe_fds[2], path_only, closed;

	dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	CU_ASSERT_EQUAL(mkfifo("/tmp/guest-fifo", 0600), 0);
	fifo = open("/tmp/guest-fifo", O_RDWR | O_CLOEXEC);
	CU_ASSERT_EQUAL(pipe2(pipe_fds, O_CLOEXEC), 0);
	path_only = open(guest_path, O_PATH | O_CLOEXEC);
	closed = dup(null);
	close(closed);
	assert_refused(dir, 0, 0, IBV_ACCESS_REMOTE_READ, EINVAL);
	assert_refused(null, 0, 0, WRITE, EINVAL);
	assert_refused(fifo, 0, 0, WRITE, EINVAL);
	assert_refused(pipe_fds[1], 0, 0, WRITE, EINVAL);
	assert_refused(path_only, 0, 0, WRITE, EBADF);
	assert_refused(closed, 0, 0, WRITE, EBADF);
	assert_refused(-1, 0, 0, WRITE, EBADF);
	assert_refused(INT32_MAX, 0, 0, WRITE, EBADF);
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(path_only, PINV_LEASE_EXCLUSIVE));
	CU_ASSERT_EQUAL(errno, EBADF);
	CU_ASSERT_PTR_NULL(pinv_lease_acquire(fifo, PINV_LEASE_EXCLUSIVE));
	CU_ASSERT_EQUAL(errno, EINVAL);
	close(dir);
	close(null);
	close(fifo);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(path_only);
	unlink("/tmp/guest-fifo");
}

static void (*before_mapping)(void);

/* In the place of the C library's: when the library calls it, it has looked at the file. */
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	void (*call)(void) = before_mapping;

	before_mapping = NULL;
	if (call)
		call();
	return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

static int memory_fd, cut_result;

static void cut_memory(void)
{
	cut_result = ftruncate(memory_fd, SIZE / 2);
}

static void cut_file(void)
{
	cut_result = truncate_errno(true);
}

/* Between the look at the size and the mapping: a lease is there by then, if one is needed. */
static void cut_before_mapping(void)
{
	struct pinv_mr *mr;

	memory_fd = memfd_create("guest", MFD_CLOEXEC);
	CU_ASSERT_EQUAL(ftruncate(memory_fd, SIZE), 0);
	cut_result = -1;
	before_mapping = cut_memory;
	assert_refused(memory_fd, 0, 0, WRITE, EFAULT);
	CU_ASSERT_EQUAL(cut_result, 0);
	close(memory_fd);

	before_mapping = cut_file;
	mr = pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE);
	CU_ASSERT_EQUAL(cut_result, ETXTBSY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(pinv_mr_ibv(mr)->length, SIZE);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

/* Holes are filled before they are pinned (P8). */
static void sparse_file(void)
{
	struct pinv_mr *mr;
	struct stat st;

	CU_ASSERT_EQUAL(fstat(guest_fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_blocks, 0);
	mr = pinv_reg_file_mr(guest_pd, guest_fd, 5000, 100000, WRITE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(fstat(guest_fd, &st), 0);
	CU_ASSERT(st.st_blocks >= 100000 / 512);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
}

static void access_flags(void)
{
	/* A peer may not write what the owner may not: ibv_reg_mr(3). */
	assert_refused(guest_fd, 0, 0, IBV_ACCESS_REMOTE_WRITE, EINVAL);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

/* File systems keep what they found until there was no more, unless they are told not to. */
static void growing_past_the_file_system(void)
{
	struct pinv_mr *old = pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE), *new;
	struct stat before, after;
	uint64_t offset = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(old);
	CU_ASSERT_EQUAL(fstat(guest_fd, &before), 0);
	CU_ASSERT_PTR_NULL(
		pinv_grow_file_mr(guest_pd, guest_fd, 1ULL << 40, WRITE, &offset));
	CU_ASSERT_EQUAL(errno, ENOSPC);
	CU_ASSERT_EQUAL(fstat(guest_fd, &after), 0);
	CU_ASSERT_EQUAL(after.st_size, before.st_size);
	/* ext4 keeps a block for what it had to note of so many. */
	CU_ASSERT(after.st_blocks <= before.st_blocks + 8);
	new = pinv_grow_file_mr(guest_pd, guest_fd, 8192, WRITE, &offset);
	CU_ASSERT_PTR_NOT_NULL(new);
	CU_ASSERT_EQUAL(offset, SIZE);
	CU_ASSERT_EQUAL(pinv_dereg_mr(new), 0);
	CU_ASSERT_EQUAL(pinv_dereg_mr(old), 0);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static void set_huge_pages(const char *number)
{
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY | O_CLOEXEC);

	CU_ASSERT_EQUAL(write(fd, number, strlen(number)), (ssize_t)strlen(number));
	close(fd);
}

/* hugetlbfs keeps them as well. */
static void growing_past_the_huge_pages(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB);
	unsigned before = count_descriptors();
	struct stat st;

	CU_ASSERT_FATAL(fd >= 0);
	set_huge_pages("3");
	CU_ASSERT_EQUAL(ftruncate(fd, 2 << 20), 0);
	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_grow_file_mr(guest_pd, fd, 8 << 20, WRITE, NULL));
	CU_ASSERT_EQUAL(errno, ENOSPC);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, 2 << 20);
	CU_ASSERT_EQUAL(st.st_blocks, 0);
	CU_ASSERT_EQUAL(count_descriptors(), before);
	close(fd);
	set_huge_pages("0");
}

#define LIMIT 65536

/* All that may be pinned can be: none of it is still counted for what was refused. */
static bool limit_is_free(void *map)
{
	struct pinv_mr *mr = pinv_reg_mr(guest_pd, map, LIMIT, WRITE);

	return mr && !pinv_dereg_mr(mr);
}

static bool refused_for_memlock(struct pinv_mr *mr)
{
	return !mr && errno == ENOMEM;
}

/* The file has its new size then, for nobody may cut it, and no lease. */
static int limited_growth(void)
{
	uint64_t offset = 7;
	struct stat st;

	if (!refused_for_memlock(
		    pinv_grow_file_mr(guest_pd, guest_fd, 2 * LIMIT, WRITE, &offset)))
		return 10;
	if (offset != 7 || fstat(guest_fd, &st) || st.st_size != SIZE + 2 * LIMIT)
		return 11;
	return kind_held() != PINV_LEASE_NONE ? 12 : 0;
}

static int limited_memory(char *map)
{
	struct pinv_lease *lease;

	if (!refused_for_memlock(pinv_reg_mr(guest_pd, map, LIMIT + 1, WRITE)))
		return 20;
	if (!limit_is_free(map))
		return 21;
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, guest_fd, 0);
	lease = pinv_lease_acquire(guest_fd, PINV_LEASE_EXCLUSIVE);
	if (map == MAP_FAILED || !lease)
		return 22;
	if (!refused_for_memlock(pinv_reg_mr(guest_pd, map, SIZE, WRITE)))
		return 23;
	if (!limit_is_free(map))
		return 24;
	return pinv_lease_release(lease) || kind_held() != PINV_LEASE_NONE ? 25 : 0;
}

static int limited(void)
{
	struct rlimit small = { LIMIT, LIMIT };
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pinv_mr *mr;
	int status;

	if (setrlimit(RLIMIT_MEMLOCK, &small) || setgroups(0, NULL) || setgid(65534) ||
	    setuid(65534))
		return 1;
	mr = pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE);
	if (!refused_for_memlock(mr) || kind_held() != PINV_LEASE_NONE)
		return 2;
	mr = pinv_reg_file_mr(guest_pd, guest_fd, 0, LIMIT, WRITE);
	if (!mr || pinv_dereg_mr(mr))
		return 3;
	status = limited_memory(memory);
	return status ? status : limited_growth();
}

static int status_of(pid_t child)
{
	int status;

	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void no_memlock(void)
{
	struct ibv_pd *before = guest_pd;
	pid_t child;

	CU_ASSERT_EQUAL(fchown(guest_fd, 65534, 65534), 0);
	child = fork();
	if (!child) {
		/* A context of its own: what is pinned counts for who opened it. */
		guest_pd = pinv_open_pd(NULL);
		_exit(guest_pd ? limited() : 4);
	}
	CU_ASSERT_EQUAL(status_of(child), 0);
	guest_pd = before;
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static void not_the_owner(void)
{
	pid_t child = fork();

	if (!child) {
		if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
			_exit(1);
		_exit(pinv_lease_acquire(guest_fd, PINV_LEASE_EXCLUSIVE) ? 2 : errno);
	}
	CU_ASSERT_EQUAL(status_of(child), EACCES);
}

static int open_as_nobody(const char *name)
{
	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		return 1;
	return pinv_open_pd(name) ? 2 : errno;
}

static void opening_a_device(void)
{
	const char *name = ibv_get_device_name(guest_pd->context->device);
	const char *node = "/dev/infiniband/uverbs0";
	unsigned before = count_descriptors();
	struct ibv_pd *pd = pinv_open_pd(name);
	struct stat st;
	pid_t child;

	CU_ASSERT_PTR_NOT_NULL_FATAL(pd);
	CU_ASSERT_STRING_EQUAL(ibv_get_device_name(pd->context->device), name);
	CU_ASSERT_EQUAL(pinv_close_pd(pd), 0);
	CU_ASSERT_PTR_NULL(pinv_open_pd("rxe99"));
	CU_ASSERT_EQUAL(errno, ENODEV);
	CU_ASSERT_EQUAL_FATAL(stat(node, &st) || chmod(node, 0600), 0);
	child = fork();
	if (!child)
		_exit(open_as_nobody(NULL));
	CU_ASSERT_EQUAL(status_of(child), EACCES);
	CU_ASSERT_EQUAL(chmod(node, st.st_mode & 0777), 0);
	CU_ASSERT_EQUAL(count_descriptors(), before);
}

static void descriptor_table_is_full(void)
{
	struct rlimit old, full;
	unsigned before = count_descriptors();

	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &old), 0);
	full = old;
	full.rlim_cur = 3; /* nothing can be added */
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &full), 0);
	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE));
	CU_ASSERT_EQUAL(errno, EMFILE);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &old), 0);
	CU_ASSERT_EQUAL(count_descriptors(), before);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_NONE);
}

/* Whose file it is makes no difference to how many there may be: once is enough. */
static unsigned how_many(void)
{
	struct statfs fs;

	CU_ASSERT_EQUAL(fstatfs(guest_fd, &fs), 0);
	return fs.f_type == XFS_SUPER_MAGIC ? MANY : MANY / 20;
}

static void ten_thousand_regions(void)
{
	static struct pinv_mr *regions[MANY];
	unsigned before = count_descriptors(), wanted = how_many(), i, made;

	for (made = 0; made < wanted; made++) {
		regions[made] =
			pinv_reg_file_mr(guest_pd, guest_fd, made % 256 * 4096 + made % 7,
					 4000, WRITE);
		if (!regions[made])
			break;
	}
	CU_ASSERT_EQUAL(made, wanted);
	printf("%u regions ", made);
	/* One lease and one descriptor for all of them */
	CU_ASSERT_EQUAL(count_descriptors(), before + 1);
	CU_ASSERT_EQUAL(truncate_errno(true), ETXTBSY);
	for (i = 0; i < made; i++)
		CU_ASSERT_EQUAL(pinv_dereg_mr(regions[i]), 0);
	CU_ASSERT_EQUAL(count_descriptors(), before);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void register_once(void)
{
	struct pinv_mr *mr = pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE);

	CU_ASSERT_PTR_NOT_NULL(mr);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
}

/* This starts and ends a thread. */
static void lease_once(void)
{
	struct pinv_lease *lease = pinv_lease_acquire(guest_fd, PINV_LEASE_COOPERATIVE);

	CU_ASSERT_PTR_NOT_NULL(lease);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
}

/* Without SA_RESTART: whatever waits in the kernel is not interrupted, but by what kills. */
static void under_signals(const char *what, void (*once)(void))
{
	struct sigaction action = { .sa_handler = count_signal }, old;
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { 0 };
	unsigned before = count_descriptors(), round;

	signals = 0;
	sigaction(SIGALRM, &action, &old);
	setitimer(ITIMER_REAL, &often, NULL);
	/* on a fast machine more than a hundred, until some signals have come */
	for (round = 0; round < 100 || (signals <= 10 && round < 100000); round++)
		once();
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	printf("\n    %s: %d signals, %u times", what, (int)signals, round);
	CU_ASSERT(signals > 10);
	CU_ASSERT_EQUAL(count_descriptors(), before);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_NONE);
}

static void signals_in_the_middle(void)
{
	under_signals("registered", register_once);
	under_signals("leased", lease_once);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

/* The holder is killed at no point in particular: everything goes with it (O5). */
static void killed_in_the_middle(void)
{
	unsigned round;

	for (round = 0; round < 20; round++) {
		int ready[2];
		pid_t child;
		char byte;

		CU_ASSERT_EQUAL(pipe(ready), 0);
		child = fork();
		if (!child) {
			struct ibv_pd *pd = pinv_open_pd(NULL);

			if (write(ready[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				pinv_dereg_mr(
					pinv_reg_file_mr(pd, guest_fd, 0, 0, WRITE));
		}
		CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
		usleep(round * 700); /* anywhere in the loop */
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		close(ready[0]);
		close(ready[1]);
	}
	/* The last may let go a moment after its end: within 2 s (T6). */
	for (round = 0; round < 200 && truncate_errno(true); round++)
		usleep(10000);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

static atomic_bool forked;

static void *register_until_forked(void *arg)
{
	unsigned *failures = arg;

	while (!atomic_load(&forked)) {
		struct pinv_mr *mr = pinv_reg_file_mr(guest_pd, guest_fd, 0, 8192, WRITE);

		*failures += !mr;
		*failures += pinv_dereg_mr(mr) != 0;
	}
	return NULL;
}

/* Children that are made at no point in particular hold nothing, and can use the library. */
static void forked_in_the_middle(void)
{
	unsigned before = count_descriptors(), failures = 0, round;
	pthread_t thread;

	atomic_store(&forked, false);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, register_until_forked,
					     &failures),
			      0);
	for (round = 0; round < 10; round++) {
		pid_t child = fork();

		if (!child) {
			struct pinv_lease *lease;

			alarm(60);
			if (kind_held() != PINV_LEASE_NONE)
				_exit(1);
			lease = pinv_lease_acquire(guest_fd, PINV_LEASE_EXCLUSIVE);
			if (!lease || kind_held() != PINV_LEASE_EXCLUSIVE)
				_exit(2);
			_exit(pinv_lease_release(lease) ? 3 : 0);
		}
		CU_ASSERT_EQUAL(status_of(child), 0);
	}
	atomic_store(&forked, true);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(failures, 0);
	CU_ASSERT_EQUAL(count_descriptors(), before);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_NONE);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
}

/* Last, since the regions' device is another one afterwards, if of the same name. */
static void device_is_removed(void)
{
	struct pinv_mr *mr = pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE);
	unsigned before = count_descriptors();

	CU_ASSERT_PTR_NOT_NULL_FATAL(mr);
	CU_ASSERT_EQUAL(
		system("rdma link show >/tmp/guest-link && rdma link delete rxe0"), 0);
	CU_ASSERT_PTR_NULL(pinv_reg_file_mr(guest_pd, guest_fd, 0, 0, WRITE));
	CU_ASSERT_EQUAL(errno, EIO);
	CU_ASSERT_EQUAL(pinv_dereg_mr(mr), 0);
	CU_ASSERT_EQUAL(count_descriptors(), before - 1);
	CU_ASSERT_EQUAL(kind_held(), PINV_LEASE_NONE);
	CU_ASSERT_EQUAL(truncate_errno(true), 0);
	CU_ASSERT_PTR_NULL(pinv_open_pd(NULL));
	CU_ASSERT_EQUAL(errno, ENODEV);
	CU_ASSERT_EQUAL(pinv_query_device_cap(guest_pd->context, PINV_DEVICE_CAP_FLUSH,
					      NULL),
			EIO);
	CU_ASSERT_EQUAL(system("rdma link add rxe0 type rxe netdev "
			       "$(sed -n 's/.* rxe0.* netdev \\([^ ]*\\).*/\\1/p' "
			       "/tmp/guest-link)"),
			0);
}

const struct guest_test guest_bad_tests[] = {
	{ "bad ranges", ranges },
	{ "bad ranges of memory", memory_ranges },
	{ "bad descriptors", descriptors },
	{ "cut before mapping", cut_before_mapping },
	{ "sparse file", sparse_file },
	{ "bad access flags", access_flags },
	{ "growing past the file system", growing_past_the_file_system },
	{ "growing past the huge pages", growing_past_the_huge_pages },
	{ "no memlock", no_memlock },
	{ "not the owner", not_the_owner },
	{ "opening a device", opening_a_device },
	{ "descriptor table is full", descriptor_table_is_full },
	{ "10,000 regions (500 but on XFS)", ten_thousand_regions },
	{ "signals in the middle", signals_in_the_middle },
	{ "forked in the middle", forked_in_the_middle },
	{ "killed in the middle", killed_in_the_middle },
	{ "device is removed", device_is_removed },
	{ NULL, NULL },
};
