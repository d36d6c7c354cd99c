// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The capability query: answers, reasons, remedies, and no effect on anything. */
#include <ctype.h>
#include <unistd.h>
#include "unit.h"

static struct pinv_cap_info info;

static void assert_answer(enum pinv_cap cap, int err, const char *reason,
			  const char *remedy)
{
	memset(&info, 'x', sizeof(info));
	CU_ASSERT_EQUAL(pinv_query_cap(cap, &info), err);
	CU_ASSERT_EQUAL(pinv_query_cap(cap, NULL), err);
	CU_ASSERT_PTR_NOT_NULL(strstr(info.reason, reason));
	CU_ASSERT_PTR_NOT_NULL(strstr(info.remedy, remedy));
	if (!err) {
		CU_ASSERT_STRING_EQUAL(info.reason, "");
		CU_ASSERT_STRING_EQUAL(info.remedy, "");
		return;
	}
	CU_ASSERT(strlen(info.reason) > 0 && strlen(info.remedy) > 0);
	CU_ASSERT_PTR_NULL(strpbrk(info.reason, "\n\t"));
	CU_ASSERT_PTR_NULL(strpbrk(info.remedy, "\n\t"));
	CU_ASSERT(!isupper((unsigned char)info.reason[0]));
	CU_ASSERT(!isupper((unsigned char)info.remedy[0]));
}

static void patched_kernel(void)
{
	assert_answer(PINV_CAP_LAYOUT_LEASE, 0, "", "");
	assert_answer(PINV_CAP_FILE_PINS, 0, "", "");
}

static void stock_kernel(void)
{
	sim_set_patched(false);
	assert_answer(PINV_CAP_LAYOUT_LEASE, EOPNOTSUPP, "no layout leases",
		      "kernel-patches");
	assert_answer(PINV_CAP_FILE_PINS, EOPNOTSUPP, "file_pins", "kernel-patches");
}

static void leases_switched_off(void)
{
	sim_set_leases_enabled(false);
	assert_answer(PINV_CAP_LAYOUT_LEASE, EOPNOTSUPP, "fs.leases-enable", "sysctl");
}

/* Not knowing is not the same as not there. */
static void what_cannot_be_found_out(void)
{
	sim_fail("memfd", EMFILE);
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_LAYOUT_LEASE, &info), EMFILE);
	CU_ASSERT(strlen(info.reason) > 0);
	sim_fail("probe", EPERM);
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_LAYOUT_LEASE, &info), EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(info.remedy, "seccomp"));
}

/* memfd_create() of kernels before 6.3 calls the newer flag invalid. */
static void old_memfd(void)
{
	sim_fail("memfd", EINVAL);
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_LAYOUT_LEASE, &info), 0);
}

static void unknown_capability(void)
{
	assert_answer((enum pinv_cap)1000, EINVAL, "1000", "pinv_cap");
}

/* vm.memfd_noexec=2 */
static void memfd_without_execution_only(void)
{
	sim_set_noexec(true);
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_LAYOUT_LEASE, &info), 0);
}

/* The probe's descriptor is a real one: the lowest free number must stay free. */
static void asking_leaves_no_descriptor(void)
{
	int before = dup(STDIN_FILENO), after;

	close(before);
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_LAYOUT_LEASE, &info), 0);
	sim_set_patched(false);
	CU_ASSERT_EQUAL(pinv_query_cap(PINV_CAP_LAYOUT_LEASE, &info), EOPNOTSUPP);
	after = dup(STDIN_FILENO);
	close(after);
	CU_ASSERT_EQUAL(before, after);
}

/* Asking must not release what the program holds (L6 F_UNLCK is the probe). */
static void asking_changes_nothing(void)
{
	int fd = sim_open(SIM_DAX, 65536, O_RDWR);
	struct pinv_lease *lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);
	struct sim_state before = sim_state();

	sim_forget();
	patched_kernel();
	ASSERT_EVENTS("");
	ASSERT_STATE(before);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	sim_close(fd);
}

static void forking(void)
{
	assert_answer(PINV_CAP_FORK, 0, "", "");
	sim_set_fork(IBV_FORK_ENABLED, 0);
	assert_answer(PINV_CAP_FORK, 0, "", "");
	sim_set_fork(IBV_FORK_DISABLED, 0);
	assert_answer(PINV_CAP_FORK, EOPNOTSUPP, "forks", "ibv_fork_init");
	/* Asking is not asking for it. */
	ASSERT_EVENTS("");
}

/* A device as a provider library presents it. */
static struct ibv_device_attr_ex device_attr;
static int device_error;

static int query_device(struct ibv_context *context,
			const struct ibv_query_device_ex_input *input,
			struct ibv_device_attr_ex *attr, size_t size)
{
	(void)context;
	(void)input;
	memcpy(attr, &device_attr, size < sizeof(*attr) ? size : sizeof(*attr));
	return device_error;
}

static struct ibv_device device = { .name = "rxe7" };
static struct verbs_context provider = {
	.query_device_ex = query_device,
	.sz = sizeof(provider),
	.context = { .device = &device, .abi_compat = __VERBS_ABI_IS_EXTENDED },
};

static void assert_device(enum pinv_device_cap cap, int err, const char *reason)
{
	memset(&info, 'x', sizeof(info));
	CU_ASSERT_EQUAL(pinv_query_device_cap(&provider.context, cap, &info), err);
	CU_ASSERT_EQUAL(pinv_query_device_cap(&provider.context, cap, NULL), err);
	CU_ASSERT_PTR_NOT_NULL(strstr(info.reason, reason));
	CU_ASSERT_EQUAL(!err, !strlen(info.reason));
	CU_ASSERT_EQUAL(!err, !strlen(info.remedy));
}

static void device_capabilities(void)
{
	assert_device(PINV_DEVICE_CAP_FLUSH, EOPNOTSUPP, "device rxe7 has no RDMA flush");
	assert_device(PINV_DEVICE_CAP_ATOMIC_WRITE, EOPNOTSUPP, "rxe7");
	assert_device(PINV_DEVICE_CAP_ODP, EOPNOTSUPP, "rxe7");
	assert_device((enum pinv_device_cap)3, EINVAL, "capability 3");
	device_attr.device_cap_flags_ex = 1ULL << 38; /* flush to be seen, not to last */
	assert_device(PINV_DEVICE_CAP_FLUSH, EOPNOTSUPP, "rxe7");
	device_attr.device_cap_flags_ex = 1ULL << 39 | 1ULL << 40;
	device_attr.odp_caps.general_caps = IBV_ODP_SUPPORT;
	assert_device(PINV_DEVICE_CAP_FLUSH, 0, "");
	assert_device(PINV_DEVICE_CAP_ATOMIC_WRITE, 0, "");
	assert_device(PINV_DEVICE_CAP_ODP, 0, "");
	CU_ASSERT_EQUAL(pinv_query_device_cap(NULL, PINV_DEVICE_CAP_FLUSH, NULL), EINVAL);
	CU_ASSERT_EQUAL(pinv_query_device_cap(NULL, PINV_DEVICE_CAP_FLUSH, &info),
			EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(info.reason, "no device"));
	device_error = ENODEV;
	assert_device(PINV_DEVICE_CAP_FLUSH, ENODEV, "querying the device");
}

UNIT_MAIN("caps", UNIT_TEST(patched_kernel), UNIT_TEST(stock_kernel),
	  UNIT_TEST(leases_switched_off), UNIT_TEST(what_cannot_be_found_out),
	  UNIT_TEST(old_memfd), UNIT_TEST(memfd_without_execution_only),
	  UNIT_TEST(asking_leaves_no_descriptor), UNIT_TEST(unknown_capability),
	  UNIT_TEST(asking_changes_nothing), UNIT_TEST(forking),
	  UNIT_TEST(device_capabilities))
