// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* P5, P7–P9, X1: memory that is no leased DAX file, holes, private mappings, the locked limit. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "scene.h"

/* ---- P5: memory that needs no lease ---- */

#define BYTES KiB(64)

/* Registers memory of an actor and proves by traffic that the MR is that memory. */
static void registers_and_works(struct actor *a, long addr, uint64_t len)
{
	struct actor *peer = actor_start("peer");
	uint64_t n = len < BYTES ? len : BYTES;
	struct mr mr;

	must(v_open(a, 0));
	must(v_open(peer, 0));
	v_connect(peer, 0, a, 0);
	require(0, v_reg(a, 0, (uint64_t)addr, len, REMOTE_RW, &mr));
	expect(0, v_write(peer, 0, &mr, len - n, n, 5));
	expect(0, a_mem_check(a, (uint64_t)addr + len - n, n, 5, len - n));
	expect(0, v_dereg(a, &mr));
}

CHECK(p5_anonymous_memory, "P5", STOCK_PASS)
{
	struct actor *a = actor_start("A");

	registers_and_works(a,
			    must(a_mmap(a, 0, BYTES, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
			    BYTES);
}

CHECK(p5_shmem, "P5", STOCK_PASS)
{
	struct actor *a = actor_start("A");

	registers_and_works(a,
			    must(a_mmap(a, 0, BYTES, PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
			    BYTES);
}

CHECK(p5_memfd, "P5", STOCK_PASS)
{
	struct actor *a = actor_start("A");
	long fd = must(SYS(a, SYS_memfd_create, STR("memfd"), V(0)));

	must(a_ftruncate(a, fd, BYTES));
	registers_and_works(a, must(a_mmap_shared(a, fd, BYTES)), BYTES);
}

CHECK(p5_hugetlb, "P5", STOCK_PASS)
{
	struct actor *a = actor_start("A");
	long fd, addr;

	set_for_check("/proc/sys/vm/nr_hugepages", "2");
	fd = SYS(a, SYS_memfd_create, STR("huge"), V(MFD_HUGETLB));
	if (fd == -ENOSYS || fd == -EINVAL || fd == -ENODEV)
		skip("kernel without hugetlbfs");
	must(fd);
	must(a_ftruncate(a, fd, MiB(2)));
	addr = a_mmap_shared(a, fd, MiB(2));
	if (addr == -ENOMEM)
		skip("no free huge page");
	registers_and_works(a, must(addr), MiB(2));
}

/* How much of a process's memory is in huge pages that are mapped as such, in KiB. */
static long huge_kib(const struct actor *a)
{
	char path[64], text[4096];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", a->pid);
	if (file_read(path, text, sizeof(text)) < 0)
		broken("%s cannot be read", path);
	line = strstr(text, "AnonHugePages:");
	return line ? atol(line + strlen("AnonHugePages:")) : 0;
}

/*
 * All but the second page is unmapped: the memory is still one folio, which counts in that page's
 * struct what is mapped of it, there where a page of a DAX file with several owners has its mark.  The
 * page before it was not touched yet, so that pinning is not done with in the fast way.
 */
CHECK(p5_what_is_left_of_a_huge_page, "P5", STOCK_PASS)
{
	struct actor *a = actor_start("A");
	uint64_t at = (uint64_t)must(a_mmap(a, 0, MiB(4), PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	struct mr mr;

	at = (at + MiB(2) - 1) & ~(MiB(2) - 1);
	must(a_madvise(a, (long)at, MiB(2), MADV_HUGEPAGE));
	must(a_mem_write(a, at, MiB(2), 1, 0));
	if (huge_kib(a) != 2048)
		skip("no free huge page");
	must(a_mmap(a, at, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0));
	must(a_munmap(a, (long)(at + 2 * PAGE), MiB(2) - 2 * PAGE));
	must(SYS(a, SYS_mprotect, V(at + PAGE), V(PAGE), V(PROT_READ)));
	must(v_open(a, 0));
	require(0, v_reg(a, 0, at, 2 * PAGE, IBV_ACCESS_REMOTE_READ, &mr));
	expect(0, v_dereg(a, &mr));
}

CHECK(x1_device_dax, "X1,P5", STOCK_PASS)
{
	struct actor *a = actor_start("A");
	const char *node = getenv("PINVERBS_DEVDAX");

	if (!node || !*node)
		skip("no device DAX node in PINVERBS_DEVDAX");
	registers_and_works(a,
			    must(a_mmap_shared(a, must(a_open(a, node, O_RDWR)), MiB(4))),
			    MiB(4));
}

CHECK(x1_device_dax_has_no_lease, "L2,X1", STOCK_PASS)
{
	struct actor *a = actor_start("A");
	const char *node = getenv("PINVERBS_DEVDAX");

	if (!node || !*node)
		skip("no device DAX node in PINVERBS_DEVDAX");
	expect(EINVAL, a_setlease(a, must(a_open(a, node, O_RDWR)), EXCLUSIVE_LAYOUT));
}

CHECK(p5_anonymous_memory_and_leased_file_in_one_registration, "P5,P1,P2,O1", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *peer = actor_start("peer");
	long base = must(a_mmap(s.holder, 0, 3 * s.size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	must(a_mmap(s.holder, (uint64_t)base + s.size, s.size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, s.fd, 0));
	scene_open_verbs(&s);
	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	require(0, v_reg(s.holder, 0, (uint64_t)base, 3 * s.size, REMOTE_RW, &s.mr));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 3));
	expect(0, v_write(peer, 0, &s.mr, s.size, s.size, 3));
	expect(0, v_write(peer, 0, &s.mr, 2 * s.size, s.size, 3));
	expect(0, a_mem_check(s.holder, (uint64_t)base, 3 * s.size, 3, 0));
	expect_true(file_has_content_at(s.path, 0, s.size, 3, s.size),
		    "the middle part is not in the file");
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(0, v_dereg(s.holder, &s.mr));
	expect_pins(s.holder, "");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(p5_anonymous_memory_makes_no_file_pin, "P5,O1", STOCK_FAIL)
{
	struct actor *a = actor_start("A");
	long addr = must(a_mmap(a, 0, BYTES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	must(v_open(a, 0));
	must(v_reg(a, 0, (uint64_t)addr, BYTES, REMOTE_RW, NULL));
	expect_pins(a, "");
}

/* ---- P7: files in the page cache ---- */

static void page_cache_file(const char *mount, const char *fs)
{
	struct actor *a = actor_start("A");
	char path[128];
	long fd, addr;

	if (access(mount, F_OK) || strcmp(fs_name(mount), fs))
		skip("no %s mounted at %s", fs, mount);
	snprintf(path, sizeof(path), "%s/conformance-%d", mount, getpid());
	fd = must(a_open(a, path, O_RDWR | O_CREAT | O_EXCL));
	must(a_unlink(a, path));
	must(a_pwrite(a, fd, 0, 2 * PAGE, 1));
	must(v_open(a, 0));
	addr = must(a_mmap_shared(a, fd, 2 * PAGE));
	expect(EFAULT, v_reg(a, 0, (uint64_t)addr, 2 * PAGE, REMOTE_RW, NULL));
	expect(0, v_reg(a, 0, (uint64_t)addr, 2 * PAGE, 0, NULL));
	addr = must(a_mmap(a, 0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	expect(0, v_reg(a, 0, (uint64_t)addr, 2 * PAGE, REMOTE_RW, NULL));
}

CHECK(p7_page_cache_file_xfs, "P7", STOCK_PASS)
{
	page_cache_file("/mnt/xfs-plain", "xfs");
}

CHECK(p7_page_cache_file_ext4, "P7", STOCK_PASS)
{
	page_cache_file("/mnt/ext4-plain", "ext4");
}

/* ---- P8: holes ---- */

/* A leased, connected scene over a file that is one hole. */
static struct scene sparse_of(uint64_t size, int prot, struct actor **peer)
{
	struct scene s = { .holder = actor_start("holder"), .size = size };

	s.path = make_sparse_file("sparse", s.size);
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	require(0, a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	s.addr = must(a_mmap(s.holder, 0, s.size, prot, MAP_SHARED, s.fd, 0));
	scene_open_verbs(&s);
	*peer = actor_start("peer");
	must(v_open(*peer, 0));
	v_connect(*peer, 0, s.holder, 0);
	return s;
}

static struct scene sparse(int prot, struct actor **peer)
{
	return sparse_of(SCENE_SIZE, prot, peer);
}

CHECK(p8_hole_is_allocated, "P8,P11", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = sparse(PROT_READ | PROT_WRITE, &peer);
	struct stat st;

	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect_true(!stat(s.path, &st) && (uint64_t)st.st_blocks * 512 >= s.size,
		    "only %ld blocks are allocated under the MR", (long)st.st_blocks);
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 4));
	expect_true(file_has_pattern(s.path, 0, s.size, 4),
		    "remote data is not in the file");
}

CHECK(p8_read_only_registration_of_a_writable_hole, "P8,P11", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = sparse(PROT_READ | PROT_WRITE, &peer);
	struct actor *b = actor_start("B");
	long fd = must(a_open(b, s.path, O_RDWR));

	/* A zero page under the MR would never see what is written into the file later. */
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, IBV_ACCESS_REMOTE_READ,
			 &s.mr));
	must(a_pwrite(b, fd, 0, PAGE, 6));
	expect(0, v_read_check(peer, 0, &s.mr, 0, PAGE, 6));
}

CHECK(p8_hole_that_was_read_before, "P8,P11", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = sparse(PROT_READ | PROT_WRITE, &peer);

	/* The read fault maps the zero page first. */
	expect(EILSEQ, a_mem_check(s.holder, (uint64_t)s.addr, s.size, 1, 0));
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 4));
	expect_true(file_has_pattern(s.path, 0, s.size, 4),
		    "remote data is not in the file");
}

CHECK(p8_read_only_mapping_of_a_hole, "P8,P2", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = sparse(PROT_READ, &peer);

	expect(EFAULT, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, 0, NULL));
	/* Blocks first and the hole later in the range: nothing stays. */
	must(a_pwrite(s.holder, s.fd, 0, 2 * PAGE, 1));
	expect(EFAULT, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, 0, NULL));
	expect_pins(s.holder, "");
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, 2 * PAGE, 0, NULL));
}

/* ---- the same, where one entry of the page table maps 2 MiB ---- */

static unsigned long page_faults(const struct actor *a)
{
	char path[64], text[1024];
	const char *rest;
	unsigned long faults;

	snprintf(path, sizeof(path), "/proc/%d/stat", a->pid);
	if (file_read(path, text, sizeof(text)) < 0)
		broken("%s cannot be read", path);
	/* the name, in parentheses, may hold anything */
	rest = strrchr(text, ')');
	if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %lu", &faults) != 1)
		broken("%s: no number of page faults", path);
	return faults;
}

/* Reading maps the scene's memory, 2 MiB with each fault. */
static void map_by_reading(const struct scene *s)
{
	unsigned long before = page_faults(s->holder), faults;

	must(a_madvise(s->holder, s->addr, s->size, MADV_POPULATE_READ));
	faults = page_faults(s->holder) - before;
	if (faults > 2 * s->size / MiB(2))
		fail_now("%s: %lu page faults for %lu MiB", s->path, faults,
			 (unsigned long)(s->size / MiB(1)));
}

static void allocate_aligned(const struct scene *s, uint64_t len)
{
	uint64_t pos;

	must(a_fallocate(s->holder, s->fd, 0, 0, len));
	for (pos = 0; pos < len; pos += 2 * PAGE)
		must(a_pwrite(s->holder, s->fd, pos, 2 * PAGE, FILE_SEED));
}

/* A message that begins in the first 2 MiB and ends in the second. */
static void expect_remote_data(const struct scene *s, struct actor *peer)
{
	const uint64_t at = MiB(2) - KiB(32);

	expect(0, v_write(peer, 0, &s->mr, at, KiB(64), 4));
	expect_true(file_has_content_at(s->path, at, KiB(64), 4, at),
		    "remote data is not in the file");
}

CHECK(p1_2_mib_mapped_for_reading, "P1,P11", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = sparse_of(MiB(4), PROT_READ | PROT_WRITE, &peer);

	allocate_aligned(&s, s.size);
	map_by_reading(&s);
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect_remote_data(&s, peer);
}

CHECK(p8_2_mib_hole_that_was_read_before, "P8,P11", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = sparse_of(MiB(4), PROT_READ | PROT_WRITE, &peer);

	map_by_reading(&s);
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	expect_remote_data(&s, peer);
}

CHECK(p8_2_mib_hole_registered_for_reading, "P8,P11", STOCK_FAIL)
{
	struct actor *peer, *b = actor_start("B");
	struct scene s = sparse_of(MiB(4), PROT_READ | PROT_WRITE, &peer);
	long fd = must(a_open(b, s.path, O_RDWR));

	map_by_reading(&s);
	require(0, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, IBV_ACCESS_REMOTE_READ,
			 &s.mr));
	must(a_pwrite(b, fd, MiB(2), PAGE, 6));
	expect(0, v_read_check(peer, 0, &s.mr, MiB(2), PAGE, 6));
}

CHECK(p8_read_only_mapping_of_a_2_mib_hole, "P8,P2", STOCK_FAIL)
{
	struct actor *peer;
	struct scene s = sparse_of(MiB(4), PROT_READ, &peer);

	map_by_reading(&s);
	expect(EFAULT, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, 0, NULL));
	/* The second half is a hole still. */
	allocate_aligned(&s, MiB(2));
	map_by_reading(&s);
	expect(EFAULT, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, 0, NULL));
	expect_pins(s.holder, "");
	expect(0, v_reg(s.holder, 0, (uint64_t)s.addr, MiB(2), 0, NULL));
}

/* ---- private mappings ---- */

CHECK(p8_private_mapping_without_lease, "P8,P6", STOCK_PASS)
{
	struct scene s = scene_open();

	s.addr = must(a_mmap(s.holder, 0, s.size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			     s.fd, 0));
	scene_open_verbs(&s);
	expect(EOPNOTSUPP, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	expect(EOPNOTSUPP, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, 0, NULL));
}

CHECK(p8_private_mapping_under_lease, "P8,P1", STOCK_FAIL)
{
	struct scene s = scene_leased();

	s.addr = must(a_mmap(s.holder, 0, s.size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			     s.fd, 0));
	scene_open_verbs(&s);
	expect(EOPNOTSUPP, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, NULL));
	expect(EOPNOTSUPP, v_reg(s.holder, 0, (uint64_t)s.addr, s.size, 0, NULL));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

/* ---- P9: the limit of locked memory ---- */

#define LIMIT_PAGES 16UL

/* A normal user may register LIMIT_PAGES and not one more, and gets them back. */
static void limited(struct actor *a, uint64_t addr)
{
	struct mr mr;

	expect(ENOMEM, v_reg(a, 0, addr, (LIMIT_PAGES + 1) * PAGE, REMOTE_RW, NULL));
	require(0, v_reg(a, 0, addr, LIMIT_PAGES * PAGE, REMOTE_RW, &mr));
	expect(ENOMEM, v_reg(a, 0, addr, PAGE, REMOTE_RW, NULL));
	expect(0, v_dereg(a, &mr));
	require(0, v_reg(a, 0, addr, LIMIT_PAGES * PAGE, REMOTE_RW, &mr));
	expect(0, v_dereg(a, &mr));
}

static struct actor *limited_user(void)
{
	struct actor *a = actor_start("user");

	must(a_set_memlock(a, LIMIT_PAGES * PAGE));
	must(a_become(a, NOBODY, 0));
	must(v_open(a, 0));
	return a;
}

CHECK(p9_locked_limit_anonymous, "P9", STOCK_PASS)
{
	struct actor *a = limited_user();

	limited(a, (uint64_t)must(a_mmap(a, 0, 2 * LIMIT_PAGES * PAGE,
					 PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
}

CHECK(p9_locked_limit_leased_file, "P9,P2", STOCK_FAIL)
{
	const char *path = make_file("f", 2 * LIMIT_PAGES * PAGE);
	struct actor *a = limited_user();
	long fd;

	must(a_chown(actor_start("root"), path, NOBODY));
	fd = must(a_open(a, path, O_RDWR));
	require(0, a_setlease(a, fd, EXCLUSIVE_LAYOUT));
	limited(a, (uint64_t)must(a_mmap_shared(a, fd, 2 * LIMIT_PAGES * PAGE)));
	expect_pins(a, "");
	expect(0, a_setlease(a, fd, F_LAYOUT | F_UNLCK));
}

static long pinned_kb(struct actor *a)
{
	char path[64], text[8192], *p;

	snprintf(path, sizeof(path), "/proc/%d/status", a->pid);
	if (file_read(path, text, sizeof(text)) < 0 || !(p = strstr(text, "VmPin:")))
		broken("no VmPin in %s", path);
	return atol(p + strlen("VmPin:"));
}

CHECK(p9_pinned_memory_is_accounted, "P9", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	long before = pinned_kb(s.holder);

	scene_pin(&s);
	expect_value(before + (long)(s.size >> 10), pinned_kb(s.holder));
	must(v_dereg(s.holder, &s.mr));
	expect_value(before, pinned_kb(s.holder));
}
