// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * libpinverbs-preload.so: keeps a duplicate of the descriptor for each shared mapping of a DAX
 * file below one of the folders in PINVERBS_PRELOAD (separated by colons), for as long as any
 * of it is mapped. Everything else passes through.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "mappings.h"

#define EXPORT __attribute__((visibility("default")))

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x00200000
#endif
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY (1024 + 3)
#endif

_Static_assert(sizeof(off_t) == sizeof(long), "mmap() passes its offset as it is");

struct file {
	unsigned long users;
	int fd;
};

struct mapping {
	struct mapping *next;
	uintptr_t start, end;
	struct file *file;
};

/*
 * Guards everything here. Held for short; while the kernel is asked to map for the program only by
 * mremap(), of what is on the list.
 * The program's allocator may call mmap() with its own lock held, so nothing under this one calls
 * the allocator: what is needed comes from nodes. For the same reason fork() does not wait for
 * it, when it may have the allocator's already: a child begins with an open lock, and the list
 * is at any time one that it can go on with. What is under way then is lost in the child: a
 * mapping, a node or a descriptor, no more.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mapping *mappings;

union node {
	union node *next;
	struct file file;
	struct mapping mapping;
};

#define NODES 128 /* mapped at once, and kept */

static union node *nodes;

/* Without the cancellation point that close() is, which the functions here are not. */
static void close_here(int fd)
{
	syscall(SYS_close, fd);
}

/* What has been written to what the list is about to show is seen by a child that sees this. */
static void publish(void)
{
	atomic_thread_fence(memory_order_release);
}

/* Caller holds the lock. NULL: no memory. */
static void *take_node(void)
{
	union node *node = nodes;
	size_t i;

	if (!node) {
		node = (void *)syscall(SYS_mmap, NULL, NODES * sizeof(*node),
				       PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (node == MAP_FAILED)
			return NULL;
		for (i = 0; i + 1 < NODES; i++)
			node[i].next = &node[i + 1];
	}
	nodes = node->next;
	publish();
	return node;
}

/* Caller holds the lock. */
static void give_node(void *unused)
{
	union node *node = unused;

	node->next = nodes;
	publish();
	nodes = node;
}

static void after_fork_in_child(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, after_fork_in_child);
}

/*
 * The path behind a descriptor. Allocates nothing: the program's allocator may be who maps the
 * file.
 */
static bool path_of(int fd, char *path, size_t size)
{
	char link[64];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, size - 1);
	if (length < 0)
		return false;
	path[length] = '\0';
	return true;
}

static bool is_below_folder(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	while (length > 1 && folder[length - 1] == '/')
		length--;
	if (length == 1 && *folder == '/')
		return true;
	return length && !strncmp(path, folder, length) && path[length] == '/';
}

/*
 * Cuts the next folder off the list; false: there is none. One whose name is too long is empty.
 */
static bool next_folder(const char **folders, char *folder, size_t size)
{
	size_t length;

	do {
		length = strcspn(*folders, ":");
		snprintf(folder, size, "%.*s", length < size ? (int)length : 0, *folders);
		*folders += length + ((*folders)[length] == ':');
	} while (!length && **folders);
	return length > 0;
}

static int open_folder(const char *folder)
{
	return syscall(SYS_openat, AT_FDCWD, folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* A folder may be named by symbolic links, or from where the program is. */
static bool is_below_one(const char *path, const char *folders)
{
	char folder[PATH_MAX], real[PATH_MAX];
	bool below = false;

	while (!below && next_folder(&folders, folder, sizeof(folder))) {
		int fd = open_folder(folder);

		/* One that may not be looked at any more goes by its name. */
		below = fd >= 0 && path_of(fd, real, sizeof(real))
				? is_below_folder(path, real)
				: is_below_folder(path, folder);
		if (fd >= 0)
			close_here(fd);
	}
	return below;
}

void explain_folders(void)
{
	const char *folders = getenv("PINVERBS_PRELOAD");
	char folder[PATH_MAX];
	unsigned count = 0;

	while (folders && next_folder(&folders, folder, sizeof(folder))) {
		int fd = open_folder(folder);

		count++;
		if (fd >= 0)
			close_here(fd);
		else
			fprintf(stderr,
				"libpinverbs-preload: PINVERBS_PRELOAD: %s: %s; separate "
				"folders by colons\n",
				*folder ? folder : "a name",
				strerror(*folder ? errno : ENAMETOOLONG));
	}
	if (!count)
		fprintf(stderr, "libpinverbs-preload: PINVERBS_PRELOAD names no folder; "
				"set it, or nothing is changed\n");
}

static bool is_meant(int fd)
{
	const char *folders = getenv("PINVERBS_PRELOAD");
	char path[PATH_MAX];
	struct statx stx;

	if (!folders || fd < 0)
		return false;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx) || !S_ISREG(stx.stx_mode) ||
	    !(stx.stx_attributes & STATX_ATTR_DAX))
		return false;
	return path_of(fd, path, sizeof(path)) && is_below_one(path, folders);
}

/* Caller holds the lock. */
static void drop_file(struct file *file)
{
	if (--file->users)
		return;
	close_here(file->fd);
	give_node(file);
}

/* Caller holds the lock. NULL: the mapping goes unwatched, as if this library were not here. */
static struct file *hold_file(int fd)
{
	struct mapping *mapping;
	struct file *file;

	for (mapping = mappings; mapping; mapping = mapping->next) {
		if (fcntl(mapping->file->fd, F_DUPFD_QUERY, fd) == 1) {
			mapping->file->users++;
			return mapping->file;
		}
	}
	file = take_node();
	if (!file)
		return NULL;
	file->users = 1;
	file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (file->fd >= 0)
		return file;
	give_node(file);
	return NULL;
}

/* Caller holds the lock, and has a reference to the file, which passes to the mapping. */
static void add_mapping(uintptr_t start, uintptr_t end, struct file *file)
{
	struct mapping *mapping = take_node();

	if (!mapping) {
		drop_file(file);
		return;
	}
	*mapping = (struct mapping){ mappings, start, end, file };
	publish();
	mappings = mapping;
}

/* Caller holds the lock. What is left of a mapping on both sides of the hole is two mappings. */
static void remove_range(uintptr_t start, uintptr_t end)
{
	struct mapping **link = &mappings, *mapping;

	while ((mapping = *link) != NULL) {
		if (mapping->end <= start || mapping->start >= end) {
			link = &mapping->next;
		} else if (mapping->start < start && mapping->end > end) {
			mapping->file->users++;
			add_mapping(end, mapping->end, mapping->file);
			publish();
			mapping->end = start;
			return;
		} else if (mapping->start < start) {
			mapping->end = start;
		} else if (mapping->end > end) {
			mapping->start = end;
		} else {
			*link = mapping->next;
			publish();
			drop_file(mapping->file);
			give_node(mapping);
		}
	}
}

static uintptr_t round_up(size_t length)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (length + page - 1) / page * page;
}

/* The kernel has put something at the range: whatever was there is not any more. */
static void note_mapping(void *address, size_t length, int flags, int fd)
{
	int type = flags & MAP_TYPE, err = errno;
	bool shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
	bool meant = !(flags & MAP_ANONYMOUS) && shared && is_meant(fd);
	uintptr_t start = (uintptr_t)address, end = start + round_up(length);
	struct file *file;

	pthread_mutex_lock(&lock);
	if (mappings)
		remove_range(start, end);
	file = meant ? hold_file(fd) : NULL;
	if (file)
		add_mapping(start, end, file);
	pthread_mutex_unlock(&lock);
	errno = err;
}

static void *map(void *address, size_t length, int protection, int flags, int fd,
		 off_t offset)
{
	address =
		(void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
	if (address != MAP_FAILED)
		note_mapping(address, length, flags, fd);
	return address;
}

EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd,
		  off_t offset)
{
	return map(address, length, protection, flags, fd, offset);
}

EXPORT void *mmap64(void *address, size_t length, int protection, int flags, int fd,
		    off_t offset)
{
	return map(address, length, protection, flags, fd, offset);
}

/* Noted first: afterwards the range may be another thread's. What is refused is not noted. */
EXPORT int munmap(void *address, size_t length)
{
	uintptr_t start = (uintptr_t)address;
	bool valid = length && start == round_up(start) && round_up(length) >= length;

	pthread_mutex_lock(&lock);
	if (mappings && valid)
		remove_range(start, start + round_up(length));
	pthread_mutex_unlock(&lock);
	return syscall(SYS_munmap, address, length);
}

static struct file *file_at(uintptr_t address)
{
	struct mapping *mapping;

	for (mapping = mappings; mapping; mapping = mapping->next)
		if (address >= mapping->start && address < mapping->end)
			return mapping->file;
	return NULL;
}

static bool is_noted(uintptr_t start, uintptr_t end)
{
	struct mapping *mapping;

	for (mapping = mappings; mapping; mapping = mapping->next)
		if (mapping->end > start && mapping->start < end)
			return true;
	return false;
}

/* Caller holds the lock. @file: of the first byte, or NULL */
static void note_moved(struct file *file, uintptr_t old, size_t old_length, uintptr_t new,
		       size_t new_length)
{
	int err = errno;

	if (file)
		file->users++;
	if (old_length)
		remove_range(old, old + old_length);
	remove_range(new, new + new_length);
	if (file)
		add_mapping(new, new + new_length, file);
	errno = err;
}

/*
 * The range that a mapping leaves may at once be another thread's: so the kernel is asked with the lock
 * held, if something is noted of it, and what is noted later stays.
 */
EXPORT void *mremap(void *address, size_t length, size_t new_length, int flags, ...)
{
	uintptr_t start = (uintptr_t)address;
	void *target = NULL, *result;
	struct file *file;
	va_list args;
	bool noted;

	va_start(args, flags);
	if (flags & MREMAP_FIXED)
		target = va_arg(args, void *);
	va_end(args);
	pthread_mutex_lock(&lock);
	file = file_at(start);
	noted = file || is_noted(start, start + round_up(length));
	if (!noted)
		pthread_mutex_unlock(&lock);
	result = (void *)syscall(SYS_mremap, address, length, new_length, flags, target);
	if (!noted)
		pthread_mutex_lock(&lock);
	if (result != MAP_FAILED)
		note_moved(file, start,
			   noted && !(flags & MREMAP_DONTUNMAP) ? round_up(length) : 0,
			   (uintptr_t)result, round_up(new_length));
	pthread_mutex_unlock(&lock);
	return result;
}

size_t files_in_range(const void *address, size_t length, struct file **files)
{
	uintptr_t start = (uintptr_t)address, end = start + length;
	struct mapping *mapping;
	size_t count = 0, i;

	pthread_mutex_lock(&lock);
	for (mapping = mappings; mapping && count < MOST_FILES; mapping = mapping->next) {
		if (mapping->end <= start || mapping->start >= end)
			continue;
		for (i = 0; i < count && files[i] != mapping->file; i++)
			;
		if (i < count)
			continue;
		/*
		 * Another thread may unmap the file meanwhile. No descriptor is made for this, as
		 * closing it would end the process's record locks.
		 */
		mapping->file->users++;
		files[count++] = mapping->file;
	}
	pthread_mutex_unlock(&lock);
	return count;
}

int descriptor_of(const struct file *file)
{
	return file->fd;
}

void put_file(struct file *file)
{
	pthread_mutex_lock(&lock);
	drop_file(file);
	pthread_mutex_unlock(&lock);
}
