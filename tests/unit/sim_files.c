// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The simulated kernel: opening real files, growing simulated ones, durability, fork. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include "sim_private.h"

int __real_open64(const char *path, int flags, ...);
int __real_eventfd(unsigned value, int flags);
int __real_pthread_join(pthread_t thread, void **result);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);

static const char *denied;
static int denied_errno;
static const char *hooked;
static unsigned hook_after;
static void (*hook)(void);

static enum ibv_fork_status fork_status;
static int fork_error;

void sim_reset_files(void)
{
	denied = hooked = NULL;
	fork_status = IBV_FORK_UNNEEDED;
}

void sim_set_fork(enum ibv_fork_status status, int init_error)
{
	fork_status = status;
	fork_error = init_error;
}

void sim_deny(const char *ending, int err)
{
	denied = ending;
	denied_errno = err;
}

void sim_on_open(const char *ending, unsigned nth, void (*function)(void))
{
	hooked = ending;
	hook_after = nth;
	hook = function;
}

static bool ends_with(const char *path, const char *ending)
{
	size_t length = strlen(path), wanted = ending ? strlen(ending) : 0;

	return ending && length >= wanted && !strcmp(path + length - wanted, ending);
}

static bool is_in(const char *path, const char *folder)
{
	return folder && folder[strlen(folder) - 1] == '/' && strstr(path, folder);
}

int __wrap_open64(const char *path, int flags, ...)
{
	void (*call)(void) = NULL;
	bool refused;

	lock();
	refused = refuse("open");
	if (ends_with(path, hooked) && --hook_after == 0) {
		hooked = NULL;
		call = hook;
	}
	unlock();
	if (call)
		call();
	if (refused)
		return -1;
	if (ends_with(path, denied) || is_in(path, denied))
		return no(denied_errno);
	return __real_open64(path, flags);
}

int __wrap_eventfd(unsigned value, int flags)
{
	bool refused;

	lock();
	refused = refuse("eventfd");
	unlock();
	return refused ? -1 : __real_eventfd(value, flags);
}

static void (*on_thread)(void), (*on_join)(void);

void sim_on_thread(void (*function)(void))
{
	on_thread = function;
}

void sim_on_join(void (*function)(void))
{
	on_join = function;
}

static void call_once(void (**hooked)(void))
{
	void (*call)(void);

	lock();
	call = *hooked;
	*hooked = NULL;
	unlock();
	if (call)
		call();
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
	call_once(&on_join);
	return __real_pthread_join(thread, result);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	bool refused;

	lock();
	refused = refuse("thread");
	unlock();
	if (refused)
		return errno;
	call_once(&on_thread);
	return __real_pthread_create(thread, attributes, start, argument);
}

static int grow(const char *name, int fd, uint64_t size)
{
	struct description *description;
	int result = -1;

	lock();
	description = find(fd);
	if (description && !refuse(name)) {
		/* fallocate() never cuts, and ftruncate() is not to */
		if (size >= description->file->size)
			description->file->size = size;
		else if (strcmp(name, "fallocate"))
			violations++;
		record(name, "");
		result = 0;
	}
	unlock();
	return result;
}

/* Blocks behind the end. */
static int reserve(int fd)
{
	int result;

	lock();
	result = find(fd) && !refuse("reserve") ? 0 : -1;
	if (!result)
		record("reserve", "");
	unlock();
	return result;
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	if (mode == FALLOC_FL_KEEP_SIZE)
		return reserve(fd);
	if (mode)
		violations++;
	return grow("fallocate", fd, offset + length);
}

int __wrap_ftruncate64(int fd, off_t size)
{
	return grow("ftruncate", fd, size);
}

/* Within one mapping, and, msync() only, from the start of a page. */
static void check_flush(const char *name, void *address, size_t length, bool whole_pages)
{
	uint64_t offset, end;
	size_t size;
	int protection;

	if (!sim_find_mapping(address, &offset, &size, &protection) || !length ||
	    !sim_find_mapping((char *)address + length - 1, &end, &size, &protection) ||
	    end - offset != length - 1 || (whole_pages && (uintptr_t)address % PAGE))
		violations++;
	record(name, "");
}

void __wrap_pmem_persist(const void *address, size_t length)
{
	lock();
	check_flush("pmem_persist", (void *)address, length, false);
	unlock();
}

int __wrap_msync(void *address, size_t length, int flags)
{
	bool refused;

	lock();
	refused = refuse("msync");
	if (!refused)
		check_flush("msync", address, length, true);
	if (flags != MS_SYNC)
		violations++;
	unlock();
	return refused ? -1 : 0;
}

enum ibv_fork_status __wrap_ibv_is_fork_initialized(void)
{
	return fork_status;
}

int __wrap_ibv_fork_init(void)
{
	lock();
	record("fork-init", fork_error ? "!" : "");
	unlock();
	if (!fork_error)
		fork_status = IBV_FORK_ENABLED;
	return fork_error;
}
