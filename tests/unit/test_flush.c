// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* RDMA flush: with a provider that has it, and without. */
#include <dlfcn.h>
#include "unit.h"

struct flush {
	uint32_t rkey;
	uint64_t address;
	size_t length;
	uint8_t type, level;
	int count;
};

static struct ibv_device device = { .name = "rxe7" };
static struct ibv_context context = { .device = &device };

static struct ibv_qp_ex queue_pair(uint32_t number)
{
	struct ibv_qp_ex qp = { .qp_base = { .context = &context, .qp_num = number } };

	return qp;
}

/* Runs first: a library is not unloaded. */
static void without_provider(void)
{
	struct ibv_qp_ex qp = queue_pair(1);

	CU_ASSERT_EQUAL(pinv_wr_flush(&qp, 5, 4096, 64), EOPNOTSUPP);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(),
				      "queue pair 1 of rxe7: flush: its provider has no "
				      "RDMA flush for it (EOPNOTSUPP); "));
	ASSERT_EVENTS("");
}

static void with_provider(void)
{
	struct ibv_qp_ex qp = queue_pair(1), other = queue_pair(2);
	void *library = dlopen(getenv("FAKE_PINRXE"), RTLD_NOW | RTLD_LOCAL);
	struct flush *flush = library ? dlsym(library, "fake_flush") : NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(flush);
	CU_ASSERT_EQUAL(pinv_wr_flush(&qp, 5, 4096, 64), 0);
	CU_ASSERT_EQUAL(flush->count, 1);
	CU_ASSERT_EQUAL(flush->rkey, 5);
	CU_ASSERT_EQUAL(flush->address, 4096);
	CU_ASSERT_EQUAL(flush->length, 64);
	CU_ASSERT_EQUAL(flush->type, 2);
	CU_ASSERT_EQUAL(flush->level, 0);
	CU_ASSERT_STRING_EQUAL(unit_logged(), "");
	CU_ASSERT_EQUAL(pinv_wr_flush(&qp, 5, 4096, (size_t)1 << 32), EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "4294967296 bytes"));
	/* another provider's */
	CU_ASSERT_EQUAL(pinv_wr_flush(&other, 5, 4096, 64), EOPNOTSUPP);
	CU_ASSERT_EQUAL(flush->count, 2);
	dlclose(library);
}

UNIT_MAIN("flush", UNIT_TEST(without_provider), UNIT_TEST(with_provider))
