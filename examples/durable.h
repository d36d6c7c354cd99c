/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Writes that are durable when they have ended: by RDMA flush, of which the server's program
 * notices nothing, if both ends have it.
 */
#ifndef DURABLE_H
#define DURABLE_H

#include <stdbool.h>
#include "link.h"

/* Access flags for the server's region, without and with flush */
#define WRITE_ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)
#define DURABLE_ACCESS \
	(WRITE_ACCESS | PINV_ACCESS_FLUSH_GLOBAL | PINV_ACCESS_FLUSH_PERSISTENT)

/*
 * All return 0, or -1 with errno. The server tells the client whether its region can be flushed;
 * that is the first word on the link.
 */
int durable_offer(struct link *link, bool flush);
int durable_accept(struct link *link, bool *flush);

/* As link_write(), and durable. EOPNOTSUPP: the client's provider has no RDMA flush. */
int durable_write(struct link *link, struct ibv_mr *from, size_t length, uint64_t offset);

#endif
