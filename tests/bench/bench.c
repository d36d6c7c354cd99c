// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* bench: measures one thing and prints what it found, one "NAME NUMBER" per line. */
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <x86intrin.h>

#include "bench.h"

void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("bench: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void report(const char *name, double value)
{
	printf("%s %.2f\n", name, value);
	fflush(stdout);
}

void report_word(const char *name, const char *word)
{
	printf("%s %s\n", name, word);
	fflush(stdout);
}

uint64_t now(void)
{
	unsigned int cpu;

	return __rdtscp(&cpu);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t median(uint64_t *samples, size_t n)
{
	qsort(samples, n, sizeof(*samples), compare);
	return samples[n / 2];
}

struct ibv_pd *the_pd(void)
{
	static struct ibv_pd *pd;
	struct ibv_device **list;
	struct ibv_context *context;

	if (pd)
		return pd;
	list = ibv_get_device_list(NULL);
	if (!list || !list[0])
		die("no RDMA device");
	context = ibv_open_device(list[0]);
	pd = context ? ibv_alloc_pd(context) : NULL;
	if (!pd)
		die("cannot open the RDMA device: %s", strerror(errno));
	ibv_free_device_list(list);
	return pd;
}

void lift_limits(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY }, files = { 65536, 65536 };

	if (setrlimit(RLIMIT_MEMLOCK, &all) || setrlimit(RLIMIT_NOFILE, &files))
		die("setrlimit: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	lift_limits();
	if (!strcmp(what, "mr") && argc == 5)
		bench_registration(argv[3], argv[2], MiB(atoi(argv[4])));
	else if (!strcmp(what, "refused-truncate"))
		bench_refused_truncate(argv[2]);
	else if (!strcmp(what, "file-pins"))
		bench_file_pins(argv[2]);
	else if (!strcmp(what, "lease-calls"))
		bench_lease_calls(argv[2]);
	else if (!strcmp(what, "truncate"))
		bench_truncate(argv[2]);
	else if (!strcmp(what, "direct"))
		bench_direct(argv[2]);
	else
		die("usage: bench mr DIR KIND MIB | "
		    "refused-truncate|file-pins|lease-calls|truncate|direct DIR");
	return 0;
}
