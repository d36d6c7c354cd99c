// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* P11: what a remote peer wrote is what everybody reads. */
#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>

#include "scene.h"

static struct scene pinned_with_peer(struct actor **peer)
{
	struct scene s = scene_pinned();

	*peer = actor_start_exec("peer");
	must(v_open(*peer, 0));
	v_connect(*peer, 0, s.holder, 0);
	return s;
}

CHECK(p11_read_by_another_process, "P11", STOCK_FAIL)
{
	struct actor *peer, *b = actor_start("B");
	struct scene s = pinned_with_peer(&peer);
	long fd = must(a_open(b, s.path, O_RDONLY));

	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 8));
	expect(0, a_pread_check(b, fd, PAGE, 2 * PAGE, 8));
	expect_true(file_has_pattern(s.path, 0, s.size, 8), "remote data is not in the file");
	expect(0, v_write(peer, 0, &s.mr, 2 * PAGE, PAGE, 9));
	expect(0, a_pread_check(b, fd, 2 * PAGE, PAGE, 9));
	expect(0, a_pread_check(b, fd, 3 * PAGE, PAGE, 8));
}

CHECK(p11_mapped_by_another_process, "P11", STOCK_FAIL)
{
	struct actor *peer, *b = actor_start("B");
	struct scene s = pinned_with_peer(&peer);
	long fd = must(a_open(b, s.path, O_RDONLY));
	long addr = must(a_mmap(b, 0, s.size, PROT_READ, MAP_SHARED, fd, 0));

	expect(0, a_mem_check(b, (uint64_t)addr, s.size, FILE_SEED, 0));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 8));
	expect(0, a_mem_check(b, (uint64_t)addr, s.size, 8, 0));
}

CHECK(p11_written_by_another_process_read_remotely, "P11", STOCK_FAIL)
{
	struct actor *peer, *b = actor_start("B");
	struct scene s = pinned_with_peer(&peer);
	long fd = must(a_open(b, s.path, O_WRONLY));

	expect(0, v_read_check(peer, 0, &s.mr, 0, s.size, FILE_SEED));
	must(a_pwrite(b, fd, PAGE, 2 * PAGE, 10));
	expect(0, v_read_check(peer, 0, &s.mr, PAGE, 2 * PAGE, 10));
}

CHECK(p11_after_munmap_and_close, "P11,C2,C3", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = pinned_with_peer(&peer);

	scene_unmap_and_close(&s);
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 8));
	expect_true(file_has_pattern(s.path, 0, s.size, 8), "remote data is not in the file");
}

CHECK(p11_after_fsync_and_drop_caches, "P11,Y1", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = pinned_with_peer(&peer);

	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 8));
	expect(0, a_fsync(s.holder, s.fd));
	must(file_write("/proc/sys/vm/drop_caches", "3"));
	expect_true(file_has_pattern(s.path, 0, s.size, 8), "remote data is not in the file");
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 9));
	expect(0, a_fsync(s.holder, s.fd));
	must(file_write("/proc/sys/vm/drop_caches", "3"));
	expect_true(file_has_pattern(s.path, 0, s.size, 9), "remote data is not in the file");
}

/* The mount that the check's directory is on; its point is the longest that fits. */
static struct mntent *mount_of(const char *path)
{
	static struct mntent best;
	static char text[4][512];
	FILE *f = setmntent("/proc/self/mounts", "r");
	struct mntent *m;

	best.mnt_dir = NULL;
	while (f && (m = getmntent(f))) {
		size_t len = strlen(m->mnt_dir);

		if (strncmp(path, m->mnt_dir, len) || (path[len] != '/' && len > 1))
			continue;
		if (best.mnt_dir && len < strlen(best.mnt_dir))
			continue;
		best.mnt_fsname = strncpy(text[0], m->mnt_fsname, sizeof(text[0]) - 1);
		best.mnt_dir = strncpy(text[1], m->mnt_dir, sizeof(text[1]) - 1);
		best.mnt_type = strncpy(text[2], m->mnt_type, sizeof(text[2]) - 1);
		best.mnt_opts = strncpy(text[3], m->mnt_opts, sizeof(text[3]) - 1);
	}
	if (f)
		endmntent(f);
	return best.mnt_dir ? &best : NULL;
}

CHECK(p11_after_a_new_mount, "P11,T6", STOCK_FAIL)
{
	struct actor *peer, *b = actor_start("B");
	struct scene s = pinned_with_peer(&peer);
	struct mntent *m = mount_of(s.path);

	if (!m)
		broken("no mount of %s", s.path);
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 8));
	actor_exit(peer);
	actor_exit(s.holder);
	eventually(a_truncate(b, s.path, s.size));
	expect_value(0, a_run(b, (const char *const[]){ "umount", m->mnt_dir, NULL }));
	if (check_has_failed())
		return;
	require(0, a_run(b, (const char *const[]){ "mount", "-t", m->mnt_type, "-o", m->mnt_opts,
						   m->mnt_fsname, m->mnt_dir, NULL }));
	expect_true(file_has_pattern(s.path, 0, s.size, 8), "remote data is not in the file");
}
