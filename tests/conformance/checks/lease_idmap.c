// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* L1, L2: the file's owner is who the mount's id map says. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "scene.h"

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif

/*
 * Mounts the check's directory at "mapped", in the mount namespace of the actor, such that what
 * belongs to root on disk belongs to NOBODY there.
 */
static const char *id_mapped(struct actor *a)
{
	struct actor *ns = actor_start("user namespace");
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	char path[64], map[32];
	long fd, tree, ret;

	must(SYS(a, SYS_mkdir, STR(in_dir("mapped")), V(0755)));
	ret = SYS(ns, SYS_unshare, V(CLONE_NEWUSER));
	if (ret == -EINVAL)
		skip("kernel without user namespaces");
	require(0, ret);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", ns->pid);
	snprintf(map, sizeof(map), "0 %d 1", NOBODY);
	require(0, file_write(path, map));
	snprintf(path, sizeof(path), "/proc/%d/gid_map", ns->pid);
	require(0, file_write(path, map));
	snprintf(path, sizeof(path), "/proc/%d/ns/user", ns->pid);
	fd = must(a_open(a, path, O_RDONLY));
	attr.userns_fd = (uint64_t)fd;

	must(SYS(a, SYS_unshare, V(CLONE_NEWNS)));
	must(SYS(a, SYS_mount, STR("none"), STR("/"), V(0), V(MS_REC | MS_PRIVATE),
		 V(0)));
	tree = must(SYS(a, SYS_open_tree, V(AT_FDCWD), STR(check_dir()),
			V(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
	must(SYS(a, SYS_mount_setattr, V(tree), STR(""), V(AT_EMPTY_PATH),
		 IN(&attr, sizeof(attr)), V(sizeof(attr))));
	must(SYS(a, SYS_move_mount, V(tree), STR(""), V(AT_FDCWD), STR(in_dir("mapped")),
		 V(MOVE_MOUNT_F_EMPTY_PATH)));
	return in_dir("mapped/f");
}

static void owner_through_id_map(int kind)
{
	struct actor *a = actor_start("A"), *user, *root;
	const char *path = make_file("f", SCENE_SIZE), *mapped;
	long fd;

	must(a_chmod(a, path, 0666));
	mapped = id_mapped(a);
	user = actor_fork(a, "owner there");
	root = actor_fork(a, "owner here");
	must(a_become(user, NOBODY, 0));
	must(a_become(root, 0, 0));

	fd = must(a_open(user, mapped, O_RDWR));
	expect(0, a_setlease(user, fd, kind));
	expect(0, a_setlease(user, fd, F_LAYOUT | F_UNLCK));
	fd = must(a_open(user, path, O_RDWR));
	expect(EACCES, a_setlease(user, fd, kind));

	fd = must(a_open(root, path, O_RDWR));
	expect(0, a_setlease(root, fd, kind));
	expect(0, a_setlease(root, fd, F_LAYOUT | F_UNLCK));
	fd = must(a_open(root, mapped, O_RDWR));
	expect(EACCES, a_setlease(root, fd, kind));
	/* The capability counts on every mount. */
	must(a_setlease(a, must(a_open(a, mapped, O_RDWR)), kind));
}

CHECK(l1_owner_through_an_id_mapped_mount, "L1,L2", STOCK_FAIL)
{
	owner_through_id_map(EXCLUSIVE_LAYOUT);
}

CHECK(l3_owner_through_an_id_mapped_mount, "L1,L2,L3", STOCK_FAIL)
{
	owner_through_id_map(F_LAYOUT);
}

/* Capabilities in a namespace of one's own are none, for either kind. */
CHECK(l3_cap_lease_of_another_user_namespace, "L2,L3", STOCK_FAIL)
{
	struct actor *root = actor_start("root"), *user = actor_start("user");
	const char *path = make_file("f", PAGE);
	long fd, ret;

	must(a_chmod(root, path, 0666));
	must(a_become(user, NOBODY, 0));
	fd = must(a_open(user, path, O_RDWR));
	ret = SYS(user, SYS_unshare, V(CLONE_NEWUSER));
	if (ret == -EINVAL)
		skip("kernel without user namespaces");
	require(0, ret);
	expect(EACCES, a_setlease(user, fd, F_LAYOUT));
	must(a_chown(root, path, NOBODY));
	expect(0, a_setlease(user, fd, F_LAYOUT));
}
