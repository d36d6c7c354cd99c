// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "mounts.h"

struct mounted mounted_on(const char *dir)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mounted m = { "", "", "" };
	struct mntent *e;

	/* the last one is on top */
	while (f && (e = getmntent(f)))
		if (!strcmp(e->mnt_dir, dir)) {
			snprintf(m.node, sizeof(m.node), "%s", e->mnt_fsname);
			snprintf(m.type, sizeof(m.type), "%s", e->mnt_type);
			snprintf(m.options, sizeof(m.options), "%s", e->mnt_opts);
		}
	if (f)
		endmntent(f);
	return m;
}

bool mount_as_before(const char *dir, const struct mounted *before)
{
	struct mounted now = mounted_on(dir);
	bool dax = strstr(before->options, "dax=always");

	if (!*before->node ||
	    (!strcmp(now.node, before->node) && !strcmp(now.options, before->options)))
		return true;
	if (*now.node && umount(dir))
		return false;
	return !mount(before->node, dir, before->type, 0, dax ? "dax=always" : "");
}
