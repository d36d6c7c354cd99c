// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "dio.h"

/* ---- counters ---- */

struct pins pins_now(void)
{
	/* in this order: what is released was acquired before */
	long released = vmstat("nr_foll_pin_released");

	return (struct pins){ vmstat("nr_foll_pin_acquired"), released };
}

void expect_pinned_at(const char *file, int line, struct pins since, long acquired,
		      long released)
{
	struct deadline by = deadline_in(2000);
	struct pins now;
	long pinned, unpinned;

	do {
		now = pins_now();
		pinned = now.acquired - since.acquired;
		unpinned = now.released - since.released;
	} while (unpinned < released && unpinned < pinned && deadline_wait(&by));
	expect_number(file, line, "pages pinned", acquired, pinned);
	expect_number(file, line, "pages unpinned", released, unpinned);
}

void expect_balance_at(const char *file, int line, struct pins since, long least)
{
	struct deadline by = deadline_in(2000);
	struct pins now;
	long acquired, released;

	do {
		now = pins_now();
		acquired = now.acquired - since.acquired;
		released = now.released - since.released;
	} while (released < acquired && deadline_wait(&by));
	if (acquired < least)
		fail_at(file, line, "%ld pages were pinned, expected at least %ld",
			acquired, least);
	expect_number(file, line, "pages unpinned", acquired, released);
}

long outstanding(struct pins since)
{
	struct pins now = pins_now();

	return (now.acquired - since.acquired) - (now.released - since.released);
}

void await_outstanding(struct pins since, long n)
{
	struct deadline by = deadline_in(5000);

	while (outstanding(since) != n)
		if (!deadline_wait(&by))
			fail_now("%ld pages are pinned, expected %ld", outstanding(since),
				 n);
}

/* ---- memory ---- */

static unsigned char *map_anonymous(size_t size, int flags)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (at == MAP_FAILED)
		broken("mmap of %zu bytes: %s", size, errno_name(errno));
	return at;
}

static void must_have_flag(const unsigned char *at, size_t size, unsigned int bit)
{
	size_t pos;

	for (pos = 0; pos < size; pos += THP_SIZE)
		if (!page_has_flag(pfn_of(at + pos), bit))
			broken("the memory is not of the kind it should be");
}

unsigned char *memory_new(enum memory kind, size_t size)
{
	unsigned char *at;

	if (kind == MEMORY_HUGETLB) {
		at = map_anonymous(size, MAP_HUGETLB);
		memset(at, 0xee, size);
		must_have_flag(at, size, KPF_BIT_HUGE);
		return at;
	}
	if (kind == MEMORY_THP) {
		at = map_anonymous(size + THP_SIZE, 0);
		at += -(uintptr_t)at % THP_SIZE;
		if (madvise(at, size, MADV_HUGEPAGE))
			broken("MADV_HUGEPAGE: %s", errno_name(errno));
		memset(at, 0xee, size);
		must_have_flag(at, size, KPF_BIT_THP);
		return at;
	}
	at = memory_untouched(size);
	memset(at, 0xee, size);
	return at;
}

unsigned char *memory_untouched(size_t size)
{
	unsigned char *at = map_anonymous(size, 0);

	if (madvise(at, size, MADV_NOHUGEPAGE))
		broken("MADV_NOHUGEPAGE: %s", errno_name(errno));
	return at;
}

/* ---- one page ---- */

static uint64_t read_word(const char *path, uint64_t index)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t word;

	if (fd < 0 ||
	    pread(fd, &word, sizeof(word), (off_t)(index * sizeof(word))) != sizeof(word))
		broken("%s: %s", path, errno_name(errno));
	close(fd);
	return word;
}

uint64_t pfn_of(const void *at)
{
	uint64_t word = read_word("/proc/self/pagemap", (uintptr_t)at / PAGE);

	if (!(word >> 63))
		broken("the page at %p is not present", at);
	return word & ((1ULL << 55) - 1);
}

bool page_has_flag(uint64_t pfn, unsigned int bit)
{
	return read_word("/proc/kpageflags", pfn) >> bit & 1;
}

/*
 * struct page as x86-64 has it: an array that begins at VMEMMAP, the number of references in the
 * second half of each.  A large folio counts its pins in its second struct page.  That this is so
 * is proven by dio_counts_of_a_page.
 */
#define VMEMMAP       0xffffea0000000000ULL
#define STRUCT_PAGE   64
#define COMPOUND_HEAD 8 /* bit 0: a tail of the folio that starts there */
#define REFERENCES    52
#define LARGE_PINS    (STRUCT_PAGE + 28)
#define PIN_BIAS      1024
#define KPF_BIT_HEAD  15

static void read_kernel(uint64_t at, void *to, size_t len)
{
	static Elf64_Phdr segment[128];
	static unsigned int count;
	static int fd = -1;
	Elf64_Ehdr header;
	unsigned int i;

	if (fd < 0) {
		fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			broken("/proc/kcore (PROC_KCORE): %s", errno_name(errno));
		if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
		    header.e_phnum > sizeof(segment) / sizeof(segment[0]))
			broken("/proc/kcore has no readable header");
		count = header.e_phnum;
		if (pread(fd, segment, count * sizeof(segment[0]),
			  (off_t)header.e_phoff) <= 0)
			broken("/proc/kcore has no program headers");
	}
	for (i = 0; i < count; i++) {
		const Elf64_Phdr *s = &segment[i];

		if (at >= s->p_vaddr && at + len <= s->p_vaddr + s->p_memsz) {
			if (pread(fd, to, len, (off_t)(s->p_offset + at - s->p_vaddr)) !=
			    (ssize_t)len)
				broken("/proc/kcore: %s", errno_name(errno));
			return;
		}
	}
	broken("no struct page at %#llx in /proc/kcore", (unsigned long long)at);
}

struct page_counts page_counts(uint64_t pfn)
{
	uint64_t page = VMEMMAP + pfn * STRUCT_PAGE, head;
	int32_t references, pins;

	read_kernel(page + COMPOUND_HEAD, &head, sizeof(head));
	if (head & 1)
		page = head - 1;
	read_kernel(page + REFERENCES, &references, sizeof(references));
	if (page_has_flag((page - VMEMMAP) / STRUCT_PAGE, KPF_BIT_HEAD))
		read_kernel(page + LARGE_PINS, &pins, sizeof(pins));
	else
		pins = references / PIN_BIAS;
	return (struct page_counts){ references, pins };
}

/*
 * What cannot be dropped from memory, as a mapped page cannot, may be on its way to a list of any
 * CPU: the kernel empties all these.  drop_caches does too, and programs are read again after it.
 */
void settle_references(void)
{
	static int fd = -1;
	static const volatile char *page;

	if (fd < 0) {
		fd = open_file(make_file("settle", PAGE), O_RDONLY);
		page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		if (page == MAP_FAILED)
			broken("mmap: %s", errno_name(errno));
	}
	if (!*page || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		broken("fadvise: %s", errno_name(errno));
}

/* ---- files and requests ---- */

long result(ssize_t n)
{
	return n < 0 ? -errno : n;
}

int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		fail_now("open %s: %s", path, errno_name(errno));
	return fd;
}

static long whole(ssize_t n, size_t len)
{
	return n < 0 ? -errno : (size_t)n < len ? -ENODATA : n;
}

long read_at(int fd, void *to, size_t len, uint64_t pos)
{
	return whole(pread(fd, to, len, (off_t)pos), len);
}

long write_at(int fd, const void *from, size_t len, uint64_t pos)
{
	return whole(pwrite(fd, from, len, (off_t)pos), len);
}

long request_start(struct request *r, bool write, int fd, const struct iovec *iov, int n,
		   uint64_t pos)
{
	struct iocb *one = &r->cb;
	long err;

	*r = (struct request){ 0 };
	if (syscall(SYS_io_setup, 1, &r->context))
		return -errno;
	r->cb.aio_fildes = (uint32_t)fd;
	r->cb.aio_lio_opcode = write ? IOCB_CMD_PWRITEV : IOCB_CMD_PREADV;
	r->cb.aio_buf = (uint64_t)(uintptr_t)iov;
	r->cb.aio_nbytes = (uint64_t)n;
	r->cb.aio_offset = (int64_t)pos;
	err = syscall(SYS_io_submit, r->context, 1, &one);
	return err == 1 ? 0 : err < 0 ? -errno : -EIO;
}

long request_end(struct request *r, int ms)
{
	struct timespec limit = { ms / 1000, ms % 1000 * 1000000L };
	struct io_event event;
	long n = syscall(SYS_io_getevents, r->context, 1, 1, &event, &limit);

	if (n < 0)
		return -errno;
	if (!n)
		return -ETIME;
	syscall(SYS_io_destroy, r->context);
	return (long)event.res;
}

pid_t in_child(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid < 0)
		broken("fork: %s", errno_name(errno));
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	report_process(pid);
	return pid;
}

int child_status(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		broken("waitpid: %s", errno_name(errno));
	return status;
}
