// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * RDMA flush. libibverbs has no call for it in all releases that the library is built with, and
 * not every provider has it: pinrxe offers it as a direct verb, found when it is there.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include "internal.h"

/* Of libpinrxe.so.1, see pinrxedv.h */
#define PERSISTENT 2
#define RANGE      0
typedef int (*flush_fn)(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address,
			size_t length, uint8_t type, uint8_t level);

/* Whether libibverbs has loaded it; it never unloads a provider, so the address stays good. */
static flush_fn pinrxe_flush(void)
{
	static _Atomic(flush_fn) known;
	flush_fn flush = atomic_load(&known);
	void *library;

	if (flush)
		return flush;
	library = dlopen("libpinrxe.so.1", RTLD_LAZY | RTLD_NOLOAD);
	if (!library)
		return NULL;
	*(void **)&flush = dlsym(library, "pinrxedv_wr_flush");
	dlclose(library);
	atomic_store(&known, flush);
	return flush;
}

#ifdef PINV_HAVE_IBV_WR_FLUSH
/* The provider has it if the queue pair was made for it. */
static int verbs_flush(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address,
		       size_t length)
{
	if (!qp->wr_flush)
		return EOPNOTSUPP;
	ibv_wr_flush(qp, rkey, address, length, PERSISTENT, RANGE);
	return 0;
}
#else
static int verbs_flush(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address,
		       size_t length)
{
	(void)qp;
	(void)rkey;
	(void)address;
	(void)length;
	return EOPNOTSUPP;
}
#endif

PINV_EXPORT int pinv_wr_flush(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address,
			      size_t length)
{
	flush_fn flush = pinrxe_flush();
	int err = EOPNOTSUPP;

	/* It knows its own queue pairs. */
	if (flush)
		err = flush(qp, rkey, address, length, PERSISTENT, RANGE);
	if (err == EOPNOTSUPP)
		err = verbs_flush(qp, rkey, address, length);
	return err ? fail_flush(qp, err, length) : 0;
}
