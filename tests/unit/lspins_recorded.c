// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Under lspins for test_lspins.sh: the /proc in $PROC, of which $DENIED may not be read, and not more than
 * $OPENS files; and a system with one user.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include "proc.h"

int __real_open64(const char *path, int flags, ...);

__attribute__((constructor)) static void use_recorded(void)
{
	proc_root = getenv("PROC");
}

int __wrap_access(const char *path, int mode)
{
	(void)mode;
	if (strstr(path, "file_pins") && getenv("STOCK")) {
		errno = ENOENT;
		return -1;
	}
	return 0;
}

int __wrap_open64(const char *path, int flags, ...)
{
	const char *denied = getenv("DENIED"), *most = getenv("OPENS");
	static long opens;

	if (most && ++opens > atol(most)) {
		errno = EMFILE;
		return -1;
	}
	if (denied && strstr(path, denied)) {
		errno = EACCES;
		return -1;
	}
	return __real_open64(path, flags);
}

struct passwd *__wrap_getpwuid(uid_t user)
{
	static struct passwd root = { .pw_name = (char *)"root" };

	return user ? NULL : &root;
}
