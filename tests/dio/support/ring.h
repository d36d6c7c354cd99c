/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* io_uring by system calls. */
#ifndef PINV_DIO_RING_H
#define PINV_DIO_RING_H

#include <linux/io_uring.h>

#include "dio.h"

#define RING_ENTRIES 64

struct ring {
	int fd;
	unsigned int *sq_tail, *sq_array, *cq_head, *cq_tail, cq_mask, sq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

struct ring ring_new(void);
/* One buffer, number 0; 0 or -errno. */
long ring_register(struct ring *r, void *at, size_t len);
long ring_unregister(struct ring *r);
/* Starts a request of an opcode; fixed ones use buffer 0. */
void ring_start(struct ring *r, int opcode, int fd, void *at, size_t len, uint64_t pos,
		uint64_t mark);
/* The next result, and the mark of its request. */
long ring_end(struct ring *r, uint64_t *mark);

/* Both, for one request. */
long ring_do(struct ring *r, int opcode, int fd, void *at, size_t len, uint64_t pos);

#endif
