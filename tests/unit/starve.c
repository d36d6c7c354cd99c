// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * For LD_PRELOAD: the STARVE-th allocation after the start of main() fails, once; the file STARVED is
 * made when it has. So a test can take one allocation after the other away from a program. A program
 * that looks for starve_plan() can do so from where it likes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <dlfcn.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

typedef int (*main_fn)(int, char **, char **);

static main_fn real_main;
static atomic_long left; /* 0: none is to fail */

/* The number-th from now on; 0: none. */
void starve_plan(long number);

void starve_plan(long number)
{
	atomic_store(&left, number);
}

/* Whether that allocation has been asked for. */
int starve_happened(void);

int starve_happened(void)
{
	return atomic_load(&left) <= 0;
}

static bool fails(void)
{
	const char *path;

	/* Below 0 there is nothing that counting on could do. */
	if (atomic_load(&left) <= 0 || atomic_fetch_sub(&left, 1) != 1)
		return false;
	path = getenv("STARVED");
	if (path)
		close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	return fails() ? NULL : __libc_realloc(memory, size);
}

void *reallocarray(void *memory, size_t count, size_t size)
{
	if (size && count > PTRDIFF_MAX / size) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(memory, count * size);
}

static int start(int argc, char **argv, char **environment)
{
	const char *number = getenv("STARVE");

	atomic_store(&left, number ? atol(number) : 0);
	return real_main(argc, argv, environment);
}

int __libc_start_main(main_fn program, int argc, char **argv, void (*init)(void),
		      void (*finish)(void), void (*unload)(void), void *stack);

int __libc_start_main(main_fn program, int argc, char **argv, void (*init)(void),
		      void (*finish)(void), void (*unload)(void), void *stack)
{
	int (*real)(main_fn, int, char **, void (*)(void), void (*)(void), void (*)(void),
		    void *);

	*(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
	real_main = program;
	return real(start, argc, argv, init, finish, unload, stack);
}
