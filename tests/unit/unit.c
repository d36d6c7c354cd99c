// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <stdio.h>
#include "unit.h"

static const struct unit_test *table;
static unsigned current;
static char logged[1024];

static void keep(void *arg, const char *message)
{
	(void)arg;
	snprintf(logged, sizeof(logged), "%s", message);
}

const char *unit_logged(void)
{
	static char copy[sizeof(logged)];

	strcpy(copy, logged);
	logged[0] = '\0';
	return copy;
}

/* CUnit calls functions without argument, in the order they were added. */
static void run_current(void)
{
	struct sim_state nothing = { 0 };

	sim_reset();
	pinv_set_log(keep, NULL);
	logged[0] = '\0';
	table[current++].run();
	ASSERT_STATE(nothing);
	CU_ASSERT_EQUAL(sim_violations(), 0);
}

int unit_main(const char *suite_name, const struct unit_test *tests, size_t count)
{
	CU_pSuite suite;
	size_t i;

	table = tests;
	if (CU_initialize_registry())
		return EXIT_FAILURE;
	suite = CU_add_suite(suite_name, NULL, NULL);
	for (i = 0; i < count; i++)
		if (!suite || !CU_add_test(suite, tests[i].name, run_current))
			return EXIT_FAILURE;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	i = CU_get_number_of_tests_run() == count && !CU_get_number_of_failures();
	CU_cleanup_registry();
	return i ? EXIT_SUCCESS : EXIT_FAILURE;
}
