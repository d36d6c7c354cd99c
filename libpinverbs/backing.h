/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a file's memory is; nothing of it is exported. */
#ifndef PINVERBS_BACKING_H
#define PINVERBS_BACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum backing_kind {
	BACKING_DAX,        /* a regular DAX file: needs a lease */
	BACKING_DEVICE_DAX, /* persistent memory without file system */
	BACKING_CACHED,     /* page cache of a file on a disk */
	BACKING_MEMORY      /* tmpfs, memfd, hugetlbfs: lost when the power goes */
};

struct backing {
	enum backing_kind kind;
	uint64_t size;
	size_t granule; /* what mappings are a multiple of */
};

/* Where /sys is; changed by unit tests only. */
extern const char *sys_root;

/* 0 or a positive errno, EINVAL for what cannot be mapped as a file. */
int look_at_backing(int fd, struct backing *backing);

#endif
