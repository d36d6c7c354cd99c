// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What libpinverbs uses of libpinrxe.so.1, for test_flush.c and test_calls.c: knows the queue pair
 * number 1.  Each thread has its own batches.
 */
#include <errno.h>
#include <infiniband/verbs.h>

struct flush {
	uint32_t rkey;
	uint64_t address;
	size_t length;
	uint8_t type, level;
	int count;
};

extern _Thread_local struct flush fake_flush;
_Thread_local struct flush fake_flush;

int pinrxedv_wr_flush(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address,
		      size_t length, uint8_t type, uint8_t level);
int pinrxedv_wr_flush(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address,
		      size_t length, uint8_t type, uint8_t level)
{
	if (qp->qp_base.qp_num != 1)
		return EOPNOTSUPP;
	fake_flush.count++;
	fake_flush.rkey = rkey;
	fake_flush.address = address;
	fake_flush.length = length;
	fake_flush.type = type;
	fake_flush.level = level;
	return length > 1U << 31 ? EINVAL : 0;
}
