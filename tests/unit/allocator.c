// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * For LD_PRELOAD: an allocator that maps and unmaps under a lock of its own, as those do that
 * programs bring with them; the C library's calls no mmap() that can be stood between.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork, after_fork);
}

/* In front of what is handed out */
struct area {
	char *start;
	size_t length;
};

static void *allocate(size_t alignment, size_t size)
{
	size_t room = sizeof(struct area) + alignment, length;
	struct area *area;
	uintptr_t memory;
	char *start;

	if (size > SIZE_MAX / 2 || alignment > SIZE_MAX / 4)
		return NULL;
	length = (size + room + PAGE - 1) / PAGE * PAGE;
	pthread_mutex_lock(&lock);
	start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	pthread_mutex_unlock(&lock);
	if (start == MAP_FAILED)
		return NULL;
	memory = ((uintptr_t)start + room) / alignment * alignment;
	area = (struct area *)memory - 1;
	*area = (struct area){ start, length };
	return (void *)memory;
}

void *malloc(size_t size)
{
	return allocate(16, size);
}

void *calloc(size_t count, size_t size)
{
	if (size && count > SIZE_MAX / 2 / size)
		return NULL;
	return allocate(16, count * size);
}

void free(void *memory)
{
	int err = errno;

	if (!memory)
		return;
	pthread_mutex_lock(&lock);
	munmap(((struct area *)memory - 1)->start, ((struct area *)memory - 1)->length);
	pthread_mutex_unlock(&lock);
	errno = err;
}

void *realloc(void *memory, size_t size)
{
	struct area *area = (struct area *)memory - 1;
	void *larger = allocate(16, size);
	size_t old;

	if (!memory || !larger)
		return larger;
	old = area->start + area->length - (char *)memory;
	memcpy(larger, memory, old < size ? old : size);
	free(memory);
	return larger;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return allocate(alignment < 16 ? 16 : alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
	return aligned_alloc(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
	*memory = aligned_alloc(alignment, size);
	return *memory ? 0 : ENOMEM;
}
