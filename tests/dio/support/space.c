// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

#include "check.h"
#include "space.h"

void own_mounts(void)
{
	static bool done;

	if (done)
		return;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		broken("own mount namespace: %s", errno_name(errno));
	done = true;
}
