// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* P11: what a remote peer wrote is what everybody reads. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "remount.h"

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
	expect_true(file_has_pattern(s.path, 0, s.size, 8),
		    "remote data is not in the file");
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
	expect_true(file_has_pattern(s.path, 0, s.size, 8),
		    "remote data is not in the file");
}

CHECK(p11_after_fsync_and_drop_caches, "P11,Y1", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = pinned_with_peer(&peer);

	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 8));
	expect(0, a_fsync(s.holder, s.fd));
	must(file_write("/proc/sys/vm/drop_caches", "3"));
	expect_true(file_has_pattern(s.path, 0, s.size, 8),
		    "remote data is not in the file");
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 9));
	expect(0, a_fsync(s.holder, s.fd));
	must(file_write("/proc/sys/vm/drop_caches", "3"));
	expect_true(file_has_pattern(s.path, 0, s.size, 9),
		    "remote data is not in the file");
}

/* Large enough for 2 MiB mappings; the MR begins and ends inside of them. */
CHECK(p11_large_mapping, "P11,P1", STOCK_FAIL)
{
	struct actor *holder = actor_start("holder"), *peer = actor_start("peer");
	struct scene s = { .holder = holder, .size = MiB(8) };
	const uint64_t start = MiB(1) + 3 * PAGE, len = MiB(6) + PAGE;
	uint64_t at[] = { 0, MiB(1) - KiB(32), MiB(3) - 7 * PAGE, len - KiB(64) };
	unsigned int i;

	s.path = make_file("large", s.size);
	s.fd = must(a_open(holder, s.path, O_RDWR));
	must(a_setlease(holder, s.fd, EXCLUSIVE_LAYOUT));
	s.addr = must(a_mmap_shared(holder, s.fd, s.size));
	must(a_mem_check(holder, (uint64_t)s.addr, s.size, FILE_SEED, 0));
	must(v_open(holder, 0));
	must(v_open(peer, 0));
	v_connect(peer, 0, holder, 0);
	require(0, v_reg(holder, 0, (uint64_t)s.addr + start, len, REMOTE_RW, &s.mr));
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		expect(0, v_write(peer, 0, &s.mr, at[i], KiB(64), 20));
		expect_true(file_has_content_at(s.path, start + at[i], KiB(64), 20,
						at[i]),
			    "data for position %lu is not there",
			    (unsigned long)(start + at[i]));
	}
	expect_true(file_has_pattern(s.path, 0, start, FILE_SEED),
		    "data before the MR changed");
	expect_true(file_has_pattern(s.path, start + len, s.size - start - len,
				     FILE_SEED),
		    "data behind the MR changed");
}

CHECK(p11_after_a_new_mount, "P11,T6", STOCK_FAIL)
{
	struct actor *peer, *b = actor_start("B");
	struct scene s = pinned_with_peer(&peer);
	struct own_mount m = own_mount();

	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 8));
	actor_exit(peer);
	actor_exit(s.holder);
	eventually(a_truncate(b, s.path, s.size));
	if (check_has_failed())
		return;
	remount(&m, "dax=always", NULL);
	expect_true(file_has_pattern(s.path, 0, s.size, 8),
		    "remote data is not in the file");
}
