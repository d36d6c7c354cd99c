// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* L2: who gets no exclusive layout lease, and which errno says so. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>

#include "scene.h"

CHECK(l2_neither_owner_nor_cap_lease, "L2", STOCK_FAIL)
{
	struct actor *root = actor_start("root");
	struct actor *user = actor_start("user");
	const char *path = make_file("f", PAGE);
	long fd;

	must(a_chmod(root, path, 0666));
	/* Every capability but the one that counts. */
	must(a_become(user, NOBODY,
		      ((1ULL << (CAP_LAST_CAP + 1)) - 1) & ~(1ULL << CAP_LEASE)));
	fd = must(a_open(user, path, O_RDWR));
	expect(EACCES, a_setlease(user, fd, EXCLUSIVE_LAYOUT));
	must(a_become(user, NOBODY, 0));
	expect(EACCES, a_setlease(user, fd, EXCLUSIVE_LAYOUT));
	expect(0, a_truncate(root, path, 0));
}

CHECK(l2_cap_lease_of_another_user_namespace, "L2", STOCK_FAIL)
{
	struct actor *root = actor_start("root");
	struct actor *user = actor_start("user");
	const char *path = make_file("f", PAGE);
	long fd, ret;

	must(a_chmod(root, path, 0666));
	must(a_become(user, NOBODY, 0));
	fd = must(a_open(user, path, O_RDWR));
	ret = SYS(user, SYS_unshare, V(CLONE_NEWUSER));
	if (ret == -EINVAL)
		skip("kernel without user namespaces");
	require(0, ret);
	expect(EACCES, a_setlease(user, fd, EXCLUSIVE_LAYOUT));
}

CHECK(l2_read_only_descriptor, "L2", STOCK_FAIL)
{
	struct scene s = scene_open();
	long fd = must(a_open(s.holder, s.path, O_RDONLY));

	expect(EBADF, a_setlease(s.holder, fd, EXCLUSIVE_LAYOUT));
	/* A lease on another description does not help. */
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	expect(EBADF, a_setlease(s.holder, fd, EXCLUSIVE_LAYOUT));
}

static void refused_on(const char *mount, const char *fs)
{
	struct actor *a = actor_start("A");
	char path[128];
	long fd;

	if (access(mount, F_OK) || (fs && strcmp(fs_name(mount), fs)))
		skip("no %s mounted at %s", fs ? fs : "file system", mount);
	snprintf(path, sizeof(path), "%s/conformance-%d", mount, getpid());
	fd = must(a_open(a, path, O_RDWR | O_CREAT | O_EXCL));
	must(a_unlink(a, path));
	must(a_pwrite(a, fd, 0, PAGE, 1));
	expect(EOPNOTSUPP, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	expect_value(F_UNLCK, a_getlease(a, fd));
	expect(0, a_ftruncate(a, fd, 0));
}

CHECK(l2_file_is_not_dax_xfs, "L2", STOCK_FAIL)
{
	refused_on("/mnt/xfs-plain", "xfs");
}

CHECK(l2_file_is_not_dax_ext4, "L2", STOCK_FAIL)
{
	refused_on("/mnt/ext4-plain", "ext4");
}

CHECK(l2_file_system_has_not_opted_in_vfat, "L2", STOCK_FAIL)
{
	refused_on("/mnt/vfat", NULL);
}

CHECK(l2_file_system_has_not_opted_in_tmpfs, "L2", STOCK_FAIL)
{
	struct actor *a = actor_start("A");
	long fd = must(SYS(a, SYS_memfd_create, STR("memfd"), V(0)));

	expect(EOPNOTSUPP, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
}

CHECK(l2_file_with_shared_extents, "L2", STOCK_FAIL)
{
	struct actor *a = actor_start("A");
	const char *path = make_file("f", KiB(64)), *copy = make_sparse_file("copy", 0);
	long fd = must(a_open(a, path, O_RDWR));
	long copy_fd = must(a_open(a, copy, O_RDWR));
	long ret;

	ret = a_ioctl_fd(a, copy_fd, FICLONE, fd);
	if (ret == -EOPNOTSUPP || ret == -ENOTTY)
		skip("file system without reflink");
	require(0, ret);
	expect(EOPNOTSUPP, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	expect(EOPNOTSUPP, a_setlease(a, copy_fd, EXCLUSIVE_LAYOUT));
}

CHECK(l2_not_a_regular_file, "L2", STOCK_FAIL)
{
	/* The lease shows that the arguments are right: what follows is about the file. */
	struct scene s = scene_leased();
	struct actor *a = s.holder;
	const char *fifo = in_dir("fifo");
	long fd;

	fd = must(a_open(a, check_dir(), O_RDONLY | O_DIRECTORY));
	expect(EINVAL, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	must(SYS(a, SYS_mknod, STR(fifo), V(S_IFIFO | 0600), V(0)));
	fd = must(a_open(a, fifo, O_RDWR));
	expect(EINVAL, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	fd = must(a_open(a, "/dev/null", O_RDWR));
	expect(EINVAL, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	fd = must(SYS(a, SYS_socket, V(AF_UNIX), V(SOCK_STREAM), V(0)));
	expect(EINVAL, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
}

CHECK(l2_bad_arguments, "L2,L8", STOCK_FAIL)
{
	static const int bad[] = {
		F_EXCLUSIVE,
		F_EXCLUSIVE | F_WRLCK,
		F_EXCLUSIVE | F_UNLCK,
		F_LAYOUT | F_WRLCK,
		F_LAYOUT | F_EXCLUSIVE | F_WRLCK,
		F_LAYOUT | F_EXCLUSIVE | F_UNLCK,
		F_LAYOUT | 3,
		F_LAYOUT | F_EXCLUSIVE | 0x80,
		F_LAYOUT | F_EXCLUSIVE | 0x400,
		F_LAYOUT | 0x400,
		16,
		32,
		16 | 32, /* the values of 2019 */
		16 | 32 | F_WRLCK,
		3,
		-1,
	};
	struct scene s = scene_open();
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		long ret = a_setlease(s.holder, s.fd, bad[i]);

		expect_true(ret == -EINVAL, "F_SETLEASE %#x: expected EINVAL, seen %s",
			    bad[i], errno_name((int)-ret));
	}
	expect_value(F_UNLCK, a_getlease(s.holder, s.fd));
	expect(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		long ret = a_setlease(s.holder, s.fd, bad[i]);

		expect_true(ret == -EINVAL,
			    "F_SETLEASE %#x with a lease: expected EINVAL, seen %s",
			    bad[i], errno_name((int)-ret));
	}
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
}

CHECK(l2_leases_disabled, "L2", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *b = actor_start("B");
	long fd = must(a_open(b, s.path, O_RDWR));

	set_for_check("/proc/sys/fs/leases-enable", "0");
	expect(EINVAL, a_setlease(b, fd, EXCLUSIVE_LAYOUT));
	/* The one that is out stays in force. */
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
}

CHECK(l2_bad_descriptor, "L2", STOCK_FAIL)
{
	struct scene s = scene_leased();

	expect(EBADF, a_setlease(s.holder, 999, EXCLUSIVE_LAYOUT));
	must(a_close(s.holder, s.fd));
	s.fd = must(a_open(s.holder, s.path, O_PATH));
	expect(EBADF, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
}
