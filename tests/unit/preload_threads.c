// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The preloaded library's own code under the thread sanitizer: threads map, register and unmap files,
 * and fork, all at the same time. What is registered is leased, and its own file. Verbs are those of
 * preload_verbs.c, leases are counted here, and every file is a DAX file.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "pinverbs.h"

#undef ibv_reg_mr

#define THREADS 4
#define ROUNDS  500 /* at least */
#define FORKS   100
#define FILES   2
#define PAGE    4096

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x00200000
#endif

struct pinv_lease {
	int file;
};

static int files[FILES];
static ino_t inodes[FILES];
static atomic_int leases[FILES];
static __thread unsigned taken[FILES]; /* by one call of the thread */
static atomic_uint broken;
static atomic_bool ended;

static void expect(bool true_now)
{
	if (!true_now)
		atomic_fetch_add(&broken, 1);
}

int __real_statx(int fd, const char *path, int flags, unsigned mask, struct statx *stx);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *stx);

int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *stx)
{
	int result = __real_statx(fd, path, flags, mask, stx);

	stx->stx_attributes |= STATX_ATTR_DAX;
	return result;
}

void pinv_set_log(pinv_log_fn fn, void *arg)
{
	(void)fn;
	(void)arg;
}

struct pinv_lease *pinv_lease_acquire(int fd, enum pinv_lease_kind kind)
{
	struct pinv_lease *lease = malloc(sizeof(*lease));
	struct stat st = { 0 };

	pthread_testcancel();
	expect(kind == PINV_LEASE_EXCLUSIVE && !fstat(fd, &st));
	for (lease->file = 0; lease->file < FILES; lease->file++)
		if (inodes[lease->file] == st.st_ino)
			break;
	expect(lease->file < FILES);
	atomic_fetch_add(&leases[lease->file % FILES], 1);
	taken[lease->file % FILES]++;
	return lease;
}

int pinv_lease_release(struct pinv_lease *lease)
{
	pthread_testcancel();
	atomic_fetch_sub(&leases[lease->file % FILES], 1);
	free(lease);
	return 0;
}

/* That of its file, and no other. */
static struct ibv_mr *leased(void *address, size_t length, int file)
{
	struct ibv_mr *mr;

	memset(taken, 0, sizeof(taken));
	mr = ibv_reg_mr(NULL, address, length, 0);
	expect(mr && taken[file] == 1 && taken[1 - file] == 0);
	return mr;
}

/* The memory is not touched: the sanitizer does not see that it comes and goes. */
static void map_and_register(int file)
{
	char *map = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, files[file], 0), *moved;
	struct ibv_mr *first = leased(map, 4 * PAGE, file), *second;

	moved = mremap(map, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	expect(moved != MAP_FAILED);
	expect(!munmap(moved + PAGE, PAGE));
	second = leased(moved + 3 * PAGE, 5 * PAGE, file);
	expect(!ibv_dereg_mr(first));
	expect(!munmap(moved, 8 * PAGE));
	expect(!ibv_dereg_mr(second));
}

static void *work(void *arg)
{
	int file = (uintptr_t)arg % FILES;
	int round;

	for (round = 0; round < ROUNDS || !atomic_load(&ended); round++)
		map_and_register(file);
	return NULL;
}

/* None of these calls is a cancellation point. */
static void *work_cancelled(void *arg)
{
	pthread_cancel(pthread_self());
	map_and_register((uintptr_t)arg % FILES);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return &broken;
}

static void cancel_one(void)
{
	pthread_t thread;
	void *result;

	expect(!pthread_create(&thread, NULL, work_cancelled, NULL));
	expect(!pthread_join(thread, &result) && result == &broken);
}

static bool is_locked(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(!fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 1;
}

/* A record lock goes when the process closes any descriptor of the file. */
static void lock_stays_while_mapped(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, files[0], 0);
	struct ibv_mr *mr;

	expect(!fcntl(files[0], F_SETLK, &lock) && is_locked(files[0]));
	mr = leased(map, PAGE, 0);
	expect(is_locked(files[0]));
	expect(!ibv_dereg_mr(mr));
	expect(!munmap(map, PAGE));
}

/* Of the parent's threads it has one, and nothing that they were in the middle of hinders it. */
static int child(void)
{
	alarm(20);
	map_and_register(0);
	map_and_register(1);
	return atomic_load(&broken) != 0;
}

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (dir && readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void make_files(const char *folder)
{
	char path[4096];
	struct stat st;
	int i;

	for (i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/preload-threads.XXXXXX", folder);
		files[i] = mkstemp(path);
		if (files[i] < 0 || unlink(path) || fstat(files[i], &st)) {
			perror(path);
			exit(2);
		}
		inodes[i] = st.st_ino;
	}
}

int main(void)
{
	const char *folder = getenv("PINVERBS_PRELOAD");
	pthread_t threads[THREADS];
	int i, status, begin;

	if (!folder) {
		fprintf(stderr, "preload-threads: PINVERBS_PRELOAD names no folder\n");
		return 2;
	}
	make_files(folder);
	begin = descriptors();
	lock_stays_while_mapped();
	alarm(60);
	cancel_one();
	for (i = 0; i < THREADS; i++)
		expect(!pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i));
	for (i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(child());
		expect(waitpid(pid, &status, 0) == pid && !status);
	}
	atomic_store(&ended, true);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < FILES; i++)
		expect(!atomic_load(&leases[i]));
	expect((int)descriptors() == begin);
	printf("%u expectations broken\n", atomic_load(&broken));
	return atomic_load(&broken) != 0;
}
