// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Steps with mounts, each in a mount namespace of the actor, and with caches. */
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "do.h"

DO(private_mounts)
{
	long ret = SYS(a, SYS_unshare, V(CLONE_NEWNS));

	if (ret < 0)
		return ret;
	return SYS(a, SYS_mount, STR("none"), STR("/"), V(0), V(MS_REC | MS_PRIVATE),
		   V(0));
}

static bool has_own_mounts(const struct actor *a)
{
	struct stat own, its;
	char path[64];

	if (a->remote)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", a->pid);
	return !stat("/proc/self/ns/mnt", &own) && !stat(path, &its) &&
	       own.st_ino != its.st_ino;
}

long mount_for(struct actor *a, const char *what, const char *on, const char *type,
	       unsigned long flags, const char *options)
{
	if (!has_own_mounts(a))
		broken("%s mounts for everyone: first, private-mounts", a->name);
	return SYS(a, SYS_mount, STR(what), STR(on), STR(type), V(flags), STR(options));
}

DO(bind)
{
	return mount_for(a, path_of(&arg[0]), path_of(&arg[1]), "none", MS_BIND, "");
}

DO(umount)
{
	return SYS(a, SYS_umount2, STR(path_of(&arg[0])),
		   V(arg[1].kind ? MNT_DETACH : 0));
}

DO(remount)
{
	return SYS(a, SYS_mount, STR("none"), STR(path_of(&arg[0])), V(0),
		   V(MS_REMOUNT | MS_BIND | (arg[1].number ? 0 : MS_RDONLY)), V(0));
}

DO(overlay)
{
	char options[1600];

	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s",
		 path_of(&arg[0]), path_of(&arg[1]), path_of(&arg[2]));
	return mount_for(a, "overlay", path_of(&arg[3]), "overlay", 0, options);
}

DO(drop_caches)
{
	return file_write("/proc/sys/vm/drop_caches", "3");
}

const struct verb mount_verbs[] = {
	{ "private-mounts", "", K_NONE, do_private_mounts, "gets mounts of its own", 0,
	  NULL },
	{ "bind", "FILE on FILE", K_NONE, do_bind, "mounts $1 on $2", 0, NULL },
	{ "umount", "FILE [lazily|at-once]", K_NONE, do_umount, "unmounts $1{ $2}", 0,
	  NULL },
	{ "remount", "FILE ro|rw", K_NONE, do_remount, "remounts $1 $2", 0, NULL },
	{ "overlay", "FILE below FILE work FILE on FILE", K_NONE, do_overlay,
	  "mounts an overlay of $2 over $1 on $4", 0, NULL },
	{ "drop-caches", "", K_NONE, do_drop_caches, "drops the caches", 0, NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
