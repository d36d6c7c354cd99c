// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Opening a device: which one is taken, why none is, and nothing left open. */
#include "backing.h"
#include "unit.h"

static void assert_opened(const char *name, const char *expected)
{
	struct ibv_pd *pd = pinv_open_pd(name);

	CU_ASSERT_PTR_NOT_NULL_FATAL(pd);
	CU_ASSERT_STRING_EQUAL(ibv_get_device_name(pd->context->device), expected);
	CU_ASSERT_EQUAL(pinv_close_pd(pd), 0);
}

/* The reason, and that nothing is left open whatever it is. */
static void assert_refused(const char *name, int err, const char *reason)
{
	struct sim_state nothing = { 0 };
	const char *said;

	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_open_pd(name));
	CU_ASSERT_EQUAL(errno, err);
	said = unit_logged();
	CU_ASSERT_EQUAL(strncmp(said, "libpinverbs: RDMA device", 24), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, ": open: "));
	CU_ASSERT_PTR_NOT_NULL(strstr(said, reason));
	ASSERT_STATE(nothing);
}

static void first_that_opens(void)
{
	sim_set_devices("rxe0 rxe1");
	assert_opened(NULL, "rxe0");
	sim_set_devices("!rxe0 rxe1");
	assert_opened(NULL, "rxe1");
	sim_set_devices("rxe0 rxe1");
	sim_fail("alloc_pd", ENOMEM);
	assert_opened(NULL, "rxe1");
}

static void by_name(void)
{
	sim_set_devices("rxe0 rxe1");
	assert_opened("rxe1", "rxe1");
	sim_set_devices("!rxe0 rxe1");
	assert_refused("rxe0", EACCES, "rxe0: open: caller may not open");
	assert_refused("rxe", ENODEV, "RDMA device rxe: open");
	assert_refused("rxe\n\0330", ENODEV, "RDMA device rxe??0: open");
	assert_refused("", ENODEV, "RDMA device : open");
}

/* With a kernel's devices and without, as libibverbs lists none in both cases. */
static void no_device(void)
{
	const char *old = sys_root;

	sys_root = "/nonexistent";
	sim_set_devices(NULL);
	assert_refused(NULL, ENODEV,
		       "kernel has no RDMA device (ENODEV); load its driver");
	sim_set_devices("");
	assert_refused(NULL, ENODEV, "kernel has no RDMA device");
	assert_refused("rxe0", ENODEV, "kernel has no RDMA device");
	sys_root = getenv("SYS");
	assert_refused(NULL, ENODEV, "ibverbs-providers");
	assert_refused("rxe0", ENODEV, "no device of that name");
	sys_root = old;
}

static void every_failure(void)
{
	sim_set_devices("rxe0");
	sim_fail("devices", ENOMEM);
	assert_refused(NULL, ENOMEM, "ENOMEM");
	sim_fail("open_device", EMFILE);
	assert_refused(NULL, EMFILE, "EMFILE");
	sim_fail("alloc_pd", ENOMEM);
	assert_refused(NULL, ENOMEM, "ENOMEM");
	/* Not every provider sets errno. */
	sim_fail("open_device", 0);
	assert_refused(NULL, EIO, "EIO");
	/* The first one's reason */
	sim_set_devices("!rxe0 rxe1");
	sim_fail("alloc_pd", ENOMEM);
	assert_refused(NULL, EACCES, "EACCES");
}

/* Until the first step has succeeded nothing has changed. */
static void closing_that_fails(void)
{
	struct ibv_pd *pd;

	CU_ASSERT_EQUAL(pinv_close_pd(NULL), 0);
	sim_set_devices("rxe0 rxe1");
	pd = pinv_open_pd("rxe1");
	sim_fail("dealloc_pd", EBUSY);
	CU_ASSERT_EQUAL(pinv_close_pd(pd), EBUSY);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(unit_logged(), "RDMA device rxe1: free protection"));
	CU_ASSERT_EQUAL(sim_state().devices, 2);
	CU_ASSERT_EQUAL(pinv_close_pd(pd), 0);
	pd = pinv_open_pd("rxe1");
	sim_fail("close_device", EINTR);
	CU_ASSERT_EQUAL(pinv_close_pd(pd), EINTR);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "RDMA device rxe1: close: "));
	CU_ASSERT_EQUAL(sim_state().devices, 1);
	sim_reset();
}

UNIT_MAIN("device", UNIT_TEST(first_that_opens), UNIT_TEST(by_name), UNIT_TEST(no_device),
	  UNIT_TEST(every_failure), UNIT_TEST(closing_that_fails))
