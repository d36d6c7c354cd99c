/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Direct verbs of pinrxe, the Soft-RoCE provider: what the kernel's driver can do and
 * libibverbs has no call for. See pinrxedv(7).
 */
#ifndef PINRXEDV_H
#define PINRXEDV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <infiniband/verbs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Is the device driven by pinrxe? The other calls are for objects of such devices only. */
bool pinrxedv_is_supported(struct ibv_device *device);

/* Bits of ibv_qp_init_attr_ex.send_ops_flags; libibverbs names them in later releases. */
#define PINRXE_QP_EX_WITH_FLUSH        (UINT64_C(1) << 11)
#define PINRXE_QP_EX_WITH_ATOMIC_WRITE (UINT64_C(1) << 12)

/* Access flags of a region that may be flushed from afar, at registration. */
#define PINRXE_ACCESS_FLUSH_GLOBAL     (1 << 8)
#define PINRXE_ACCESS_FLUSH_PERSISTENT (1 << 9)

/* ibv_wc.opcode of the completions. */
#define PINRXE_WC_FLUSH        8
#define PINRXE_WC_ATOMIC_WRITE 9

enum pinrxedv_flush_type {
	PINRXEDV_FLUSH_GLOBAL = 1,    /* visible to everyone who reads the memory */
	PINRXEDV_FLUSH_PERSISTENT = 2 /* and stays after a power failure */
};

enum pinrxedv_flush_level {
	PINRXEDV_FLUSH_RANGE = 0, /* the given range */
	PINRXEDV_FLUSH_MR = 1     /* the whole memory region */
};

/*
 * Requests of an extended QP (RC), between ibv_wr_start() and ibv_wr_complete(), with
 * ibv_qp_ex.wr_id and wr_flags as for all of them. Return 0, or a positive errno: EOPNOTSUPP
 * not an RC QP of pinrxe; else what ibv_wr_complete() is going to return, which then posts
 * nothing of the batch: ENOMEM the send queue is full, EINVAL a wrong length or alignment.
 */
int pinrxedv_wr_flush(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr,
		      size_t length, uint8_t type, uint8_t level);
/* Writes eight bytes from @data, which need not be registered, atomically. */
int pinrxedv_wr_atomic_write(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr,
			     const void *data);

/*
 * Maps @length bytes of a file from byte @offset, shared and through the description behind
 * @fd, and registers them. The calling process must hold an exclusive layout lease on that
 * description; taking and releasing it is the caller's. The mapping goes with the region, in
 * ibv_dereg_mr(); @fd may be closed before. Nothing needs to be aligned.
 * Returns NULL with errno, and the log (VERBS_LOG_LEVEL, VERBS_LOG_FILE) tells the file, the
 * rule and the remedy: EPERM no such lease; EOPNOTSUPP the kernel has no layout leases, or
 * not a device of pinrxe; EINVAL not a regular file, or the range is not within it; EACCES
 * write access without a descriptor for it; EBADF; those of mmap(2) and ibv_reg_mr(3).
 */
struct ibv_mr *pinrxedv_reg_lease_mr(struct ibv_pd *pd, int fd, uint64_t offset,
				     size_t length, int access);

#ifdef __cplusplus
}
#endif

#endif
