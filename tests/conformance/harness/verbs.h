/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Verbs steps of an actor.  An actor has contexts numbered from 0 to 15; each has one
 * protection domain and, once connected, one reliable-connection queue pair.
 */
#ifndef PINV_TEST_VERBS_H
#define PINV_TEST_VERBS_H

#include <infiniband/verbs.h>
#include <stdint.h>

#include "actor.h"

#define RXE_DEVICE "rxe0"

#define REMOTE_RW \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ)

struct mr {
	int ctx, slot;
	uint64_t addr, len;
	uint64_t pos; /* position in the content that its first byte stands for */
	uint32_t lkey, rkey, handle;
};

/* Loads the providers once, so that every actor forked later has them. */
void verbs_preload(void);

/* Opens a context; the number of the uverbs descriptor. */
long v_open(struct actor *a, int ctx);
long v_open_device(struct actor *a, int ctx, const char *device);
/* Destroys what the context has and closes it. */
long v_close(struct actor *a, int ctx);
/* Closes the bare descriptor and forgets the context; queue pairs stay mapped. */
long v_close_fd(struct actor *a, int ctx);
/* The kernel's number of the protection domain, for raw commands by another process. */
long v_pd_handle(struct actor *a, int ctx);
/* Descriptors that hang on the context: a new completion channel, the async events. */
long v_channel_fd(struct actor *a, int ctx);
long v_async_fd(struct actor *a, int ctx);

long v_reg(struct actor *a, int ctx, uint64_t addr, uint64_t len, int access,
	   struct mr *mr);
long v_dereg(struct actor *a, const struct mr *mr);

/* ibv_rereg_mr(); librxe does not have it, so without a library.  See rereg.c. */
long v_rereg_access(struct actor *a, const struct mr *mr, int access);
/* A new range with the access that the region has, or with another; mr follows on success. */
long v_rereg(struct actor *a, struct mr *mr, uint64_t addr, uint64_t len);
long v_rereg_with(struct actor *a, struct mr *mr, uint64_t addr, uint64_t len,
		  int access);

/* The same without a library, on a bare uverbs descriptor; v_raw_reg() gives the MR's handle. */
long v_raw_reg(struct actor *a, long uverbs_fd, uint32_t pd, uint64_t addr, uint64_t len,
	       int access);
long v_raw_dereg(struct actor *a, long uverbs_fd, uint32_t handle);

/* Inside an actor's own function: the protection domain of its context. */
struct ibv_pd *v_local_pd(int ctx);

/* There too: one command of the write() interface, sent through ioctl(); 0 or -errno. */
long v_local_invoke(int fd, uint64_t cmd, void *in, uint16_t in_len, void *out,
		    uint16_t out_len);

/* Gives both contexts a queue pair and joins them. */
void v_connect(struct actor *a, int actx, struct actor *b, int bctx);

/*
 * Over the queue pair of ctx: writes len <= 64 KiB of the content of seed into the peer's mr at
 * off, or reads it there and compares (-EILSEQ).  -EREMOTEIO: a completion with an error.
 */
long v_write(struct actor *a, int ctx, const struct mr *mr, uint64_t off, uint64_t len,
	     uint64_t seed);
long v_read_check(struct actor *a, int ctx, const struct mr *mr, uint64_t off,
		  uint64_t len, uint64_t seed);
/* Starts writing all of the mr, at most 64 KiB, again and again; the error that ends it. */
void v_flood_begin(struct actor *a, int ctx, const struct mr *mr, uint64_t seed);
long v_flood_end(struct actor *a);

/* The word of the peer's mr at off before the atomic addition. */
long v_fetch_add(struct actor *a, int ctx, const struct mr *mr, uint64_t off,
		 uint64_t add);

/* A message of len bytes of content into the buffer that the peer has posted. */
long v_post_recv(struct actor *a, int ctx, const struct mr *mr);
long v_send(struct actor *a, int ctx, uint64_t len, uint64_t seed);
long v_received(struct actor *a, int ctx);

/*
 * Traffic in the background: rounds of writes with changing content, the first done when the start
 * returns.  The end does one more round with the content of seed, reads it back and compares.
 */
long v_flow_start(struct actor *a, int ctx, const struct mr *mr, uint64_t off,
		  uint64_t len, uint64_t seed);
long v_flow_end(struct actor *a);

#endif
