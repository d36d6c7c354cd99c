// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Memory of each kind that can be registered.  A kind that names a page size is checked for it:
 * touching the memory must take as many faults as there are such pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"

#define HUGE MiB(2)

bool memory_is_file(const char *kind)
{
	return !strncmp(kind, "fsdax", 5);
}

static long faults(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return use.ru_minflt + use.ru_majflt;
}

/* An address that is aligned to 2 MiB, or as far from it as a page can be. */
static void *place(size_t size, bool aligned)
{
	char *at = mmap(NULL, size + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);

	if (at == MAP_FAILED)
		die("no address space");
	at = (char *)(((uintptr_t)at + HUGE - 1) & ~(HUGE - 1));
	return aligned ? at : at + HUGE / 2;
}

/* All blocks allocated and written, in extents that a PMD can map where the file system can. */
static int dax_file(const char *dir, size_t size)
{
	static char block[MiB(1)];
	char path[4096];
	size_t done;
	int fd;

	snprintf(path, sizeof(path), "%s/bench.%d", dir, getpid());
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || unlink(path) || posix_fallocate(fd, 0, size))
		die("%s: %s", path, strerror(errno));
	memset(block, 0x5a, sizeof(block));
	for (done = 0; done < size; done += sizeof(block))
		if (pwrite(fd, block, sizeof(block), done) != sizeof(block))
			die("%s: %s", path, strerror(errno));
	/* refused by a kernel without layout leases, as the registration will be */
	if (fcntl(fd, F_SETLEASE, EXCLUSIVE_LAYOUT) && errno != EINVAL)
		die("%s: no lease: %s", path, strerror(errno));
	return fd;
}

static int descriptor(const char *kind, const char *dir, size_t size)
{
	const char *path = getenv("PINVERBS_DEVDAX");
	int fd = -1;

	if (memory_is_file(kind))
		return dax_file(dir, size);
	if (!strcmp(kind, "memfd")) {
		fd = memfd_create("bench", MFD_CLOEXEC);
		if (ftruncate(fd, size))
			die("memfd: %s", strerror(errno));
	} else if (!strcmp(kind, "devdax")) {
		fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
		if (fd < 0)
			die("no device DAX");
	}
	return fd;
}

static void reserve_hugetlb(size_t size)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");

	if (!f || fprintf(f, "%zu\n", size / HUGE) < 0 || fclose(f))
		die("cannot reserve huge pages");
}

void *memory_make(const char *kind, const char *dir, size_t size)
{
	bool huge = strcmp(kind, "anon4k") && strcmp(kind, "memfd") &&
		    strcmp(kind, "fsdax4k");
	int fd = descriptor(kind, dir, size), flags = MAP_FIXED;
	long before, took, want = size / (huge ? HUGE : PAGE);
	char *at = place(size, huge);
	size_t done;

	flags |= fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	if (!strcmp(kind, "hugetlb")) {
		reserve_hugetlb(size);
		flags |= MAP_HUGETLB;
	}
	if (mmap(at, size, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED)
		die("%s: mmap: %s", kind, strerror(errno));
	if (fd < 0 && !(flags & MAP_HUGETLB) &&
	    madvise(at, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die("%s: madvise: %s", kind, strerror(errno));
	before = faults();
	for (done = 0; done < size; done += PAGE)
		*(volatile char *)(at + done) = 1;
	took = faults() - before;
	/* a fault may map neighbours too, but never less than its page */
	if (took > want + want / 16 + 1 ||
	    (!huge && memory_is_file(kind) && took < want / 32))
		die("%s: %ld faults for %zu MiB, not %ld: not mapped as wanted", kind,
		    took, size >> 20, want);
	return at;
}
