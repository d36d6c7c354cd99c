/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A unit test is one file: static functions, a table of them, and UNIT_MAIN. */
#ifndef UNIT_H
#define UNIT_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <CUnit/Basic.h>
#include "pinverbs.h"
#include "sim.h"

struct unit_test {
	const char *name;
	void (*run)(void);
};

#define UNIT_TEST(function)         \
	{                           \
#function, function \
	}

/* Runs the tests, each on a fresh simulation that it must leave as it found it. */
int unit_main(const char *suite, const struct unit_test *tests, size_t count);

#define UNIT_MAIN(suite, ...)                                                   \
	int main(void)                                                          \
	{                                                                       \
		static const struct unit_test tests[] = { __VA_ARGS__ };        \
		return unit_main(suite, tests, sizeof(tests) / sizeof(*tests)); \
	}

/* What the library logged last; "" if nothing since the test began or the last call. */
const char *unit_logged(void);

#define ASSERT_EVENTS(expected)                                                          \
	do {                                                                             \
		CU_ASSERT_STRING_EQUAL(sim_events(), expected);                          \
		if (strcmp(sim_events(), expected))                                      \
			printf("\n    events: \"%s\", expected: \"%s\"\n", sim_events(), \
			       expected);                                                \
		sim_forget();                                                            \
	} while (0)

#define ASSERT_STATE(expected)                                           \
	do {                                                             \
		struct sim_state now_ = sim_state(), then_ = (expected); \
		CU_ASSERT_EQUAL(memcmp(&now_, &then_, sizeof(now_)), 0); \
	} while (0)

#endif
