// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * For LD_PRELOAD: takes one allocation after the other away from a program. With STARVE=FOLDER main()
 * runs again and again, each time in a child of this process, until nothing is asked for any more
 * that could be refused: the first time all is given, then the first allocation fails, then only the
 * second, and so on. FOLDER/N.out and FOLDER/N.errors have what the N-th child said, a line "N STATUS"
 * on standard output how it ended: 128 and more by a signal. A program that looks for starve_plan()
 * can take allocations away from where it likes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/wait.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

typedef int (*main_fn)(int, char **, char **);

static main_fn real_main;
static atomic_long left;  /* 0: none is to fail */
static atomic_bool *told; /* shared with the parent: it has failed */

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
	/* Below 0 there is nothing that counting on could do. */
	if (atomic_load(&left) <= 0 || atomic_fetch_sub(&left, 1) != 1)
		return false;
	if (told)
		atomic_store(told, true);
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

static void say_to(const char *folder, long number, const char *what, int target)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%ld.%s", folder, number, what);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || dup2(fd, target) < 0)
		_exit(127);
	close(fd);
}

/* In a child that has not got an allocation since it began. */
static pid_t start_child(const char *folder, long number)
{
	pid_t child = fork();

	if (child)
		return child;
	say_to(folder, number, "out", STDOUT_FILENO);
	say_to(folder, number, "errors", STDERR_FILENO);
	atomic_store(&left, number);
	return 0;
}

/* How main() ends in a child; the parent is done with the last child. */
static int start(int argc, char **argv, char **environment)
{
	const char *folder = getenv("STARVE");
	long number = 0;

	if (!folder)
		return real_main(argc, argv, environment);
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 127;
	do {
		pid_t child;
		int status;

		atomic_store(told, false);
		child = start_child(folder, number);
		if (!child)
			return real_main(argc, argv, environment);
		if (child < 0 || waitpid(child, &status, 0) != child)
			return 127;
		if (!number || atomic_load(told))
			dprintf(STDOUT_FILENO, "%ld %d\n", number,
				WIFSIGNALED(status) ? 128 + WTERMSIG(status)
						    : WEXITSTATUS(status));
	} while (!number++ || atomic_load(told));
	return 0;
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
