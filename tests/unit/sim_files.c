// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The simulated kernel: files of a recorded /proc that may not be read, or change meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include "sim_private.h"

int __real_open64(const char *path, int flags, ...);

static const char *denied;
static int denied_errno;
static const char *hooked;
static unsigned hook_after;
static void (*hook)(void);

void sim_reset_files(void)
{
	denied = hooked = NULL;
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
	if (ends_with(path, denied))
		return no(denied_errno);
	return __real_open64(path, flags);
}
