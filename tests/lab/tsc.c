// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * lab-tsc: prints the frequency of this machine's time-stamp counter in kHz, or nothing where there is
 * none.
 *
 * An emulated guest reads the same counter, shifted.  It may take it for its clock if it is told the
 * frequency: its own measurement, while other guests want the processor too, may be far off.
 */
#include <stdio.h>
#include <time.h>

#ifdef __x86_64__
#include <x86intrin.h>

#define PAUSE_NS 20000000

/* The counter and the time at the same moment: the pair of many that took the shortest. */
static void read_both(unsigned long long *ticks, double *ns)
{
	unsigned long long shortest = -1ULL;

	for (int i = 0; i < 64; i++) {
		struct timespec t;
		unsigned long long before, took;

		before = __rdtsc();
		clock_gettime(CLOCK_MONOTONIC_RAW, &t);
		took = __rdtsc() - before;
		if (took < shortest) {
			shortest = took;
			*ticks = before + took / 2;
			*ns = 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
		}
	}
}

int main(void)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };
	unsigned long long from = 0, to = 0;
	double begin = 0, end = 0;

	read_both(&from, &begin);
	nanosleep(&pause, NULL);
	read_both(&to, &end);
	printf("%.0f\n", 1e6 * (double)(to - from) / (end - begin));
	return 0;
}
#else
int main(void)
{
	return 0;
}
#endif
