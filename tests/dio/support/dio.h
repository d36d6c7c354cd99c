/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the checks of direct I/O share: the kernel's pin counters, memory of a kind, the counts of
 * one page, asynchronous requests.
 *
 * These checks do their I/O in the process of the check itself: there is no lease whose holder
 * matters.  Calls give the kernel's value, or -errno.
 */
#ifndef PINV_DIO_H
#define PINV_DIO_H

#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"
#include "files.h"

#define THP_SIZE MiB(2)

/* ---- the counters of all pins that there ever were ---- */

struct pins {
	long acquired, released;
};

/* Right if nobody pins or unpins meanwhile: a check is alone with what it started. */
struct pins pins_now(void);

/*
 * Since then exactly n pages were pinned, and all of them released.  Who pins has done so when the
 * call returns; a read's completion may leave the release to a work item.
 */
#define expect_pinned(since, n) expect_pinned_at(__FILE__, __LINE__, since, n, n)
/* Exactly n were pinned, and none of them released yet. */
#define expect_in_flight(since, n) expect_pinned_at(__FILE__, __LINE__, since, n, 0)
#define expect_not_pinned(since)   expect_pinned_at(__FILE__, __LINE__, since, 0, 0)

void expect_pinned_at(const char *file, int line, struct pins since, long acquired,
		      long released);

/* At least so many pages were pinned, and as many were released. */
#define expect_balance(since, least) expect_balance_at(__FILE__, __LINE__, since, least)
void expect_balance_at(const char *file, int line, struct pins since, long least);

/* So many pages are pinned now that were not then, whatever came and went since. */
#define expect_outstanding(since, n) expect_value(n, outstanding(since))
long outstanding(struct pins since);
/* Waits until so many are; another process is about to pin them. */
void await_outstanding(struct pins since, long n);

/* Pages that a range of memory touches. */
static inline long pages_of(const void *at, size_t len)
{
	uintptr_t first = (uintptr_t)at / PAGE;

	return (long)(((uintptr_t)at + len + PAGE - 1) / PAGE - first);
}

/* ---- memory ---- */

enum memory {
	MEMORY_SMALL,
	MEMORY_THP,
	MEMORY_HUGETLB
};

/* Private anonymous memory, all of it written; huge: really so, else the check is broken. */
unsigned char *memory_new(enum memory kind, size_t size);
/* The same, never touched and never huge: reading it finds the zero page. */
unsigned char *memory_untouched(size_t size);

/* ---- one page ---- */

/* Page-frame number of a present page of this process. */
uint64_t pfn_of(const void *at);

/* References to a page, and those of them that are pins; from the kernel's struct page. */
struct page_counts {
	long references, pins;
};

struct page_counts page_counts(uint64_t pfn);

/* Makes the kernel give up the references of pages on their way to the lists of reclaim. */
void settle_references(void);

/* Flags as in /proc/kpageflags. */
#define KPF_BIT_HUGE 17
#define KPF_BIT_THP  22
#define KPF_BIT_ZERO 24
bool page_has_flag(uint64_t pfn, unsigned int bit);

/* ---- files and requests ---- */

/* Opens, or ends the check. */
int open_file(const char *path, int flags);

long result(ssize_t n);

/* All at once; a short transfer is an error. */
long read_at(int fd, void *to, size_t len, uint64_t pos);
long write_at(int fd, const void *from, size_t len, uint64_t pos);

struct request {
	aio_context_t context;
	struct iocb cb;
};

/* Starts preadv() or pwritev() without waiting; the vector is gone when this returns. */
long request_start(struct request *r, bool write, int fd, const struct iovec *iov, int n,
		   uint64_t pos);
/* Its result, -ETIME if there is none after ms. */
long request_end(struct request *r, int ms);

/* Runs the function in a child; the child's pid. */
pid_t in_child(void (*fn)(void *arg), void *arg);
/* Waits for it; its status as waitpid() gives it. */
int child_status(pid_t pid);

#endif
