// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* ibv_reg_mr() and ibv_dereg_mr(), for one page and for much memory. */
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

/* The first ones fill caches; the median counts.  Short calls differ more from one to the next. */
#define RUNS       15
#define RUNS_SHORT 201

struct cost {
	uint64_t reg, dereg;
};

static bool measure(void *at, size_t size, int runs, struct cost *cost)
{
	const int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
	uint64_t reg[RUNS_SHORT], dereg[RUNS_SHORT], t;
	struct ibv_mr *mr;
	int i;

	for (i = 0; i < runs; i++) {
		t = now();
		mr = ibv_reg_mr(the_pd(), at, size, access);
		reg[i] = now() - t;
		if (!mr && errno == EOPNOTSUPP)
			return false;
		if (!mr)
			die("ibv_reg_mr of %zu bytes: %s", size, strerror(errno));
		t = now();
		if (ibv_dereg_mr(mr))
			die("ibv_dereg_mr: %s", strerror(errno));
		dereg[i] = now() - t;
	}
	cost->reg = median(reg, runs);
	cost->dereg = median(dereg, runs);
	return true;
}

void bench_registration(const char *kind, const char *dir, size_t max)
{
	char *at = memory_make(kind, dir, max);
	struct cost one, all;

	if (!measure(at, PAGE, RUNS_SHORT, &one) || !measure(at, max, RUNS, &all)) {
		report_word("refused", "EOPNOTSUPP");
		return;
	}
	report("reg-4k", one.reg);
	report("dereg-4k", one.dereg);
	report("reg-page", (double)all.reg / (max / PAGE));
	report("dereg-page", (double)all.dereg / (max / PAGE));
}
