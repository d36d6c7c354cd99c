// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "iterators.h"

static const char *const iterator_name[ITERATORS] = { "ubuf",   "iovec",  "bvec",
						      "bvec*",  "kvec",   "folioq",
						      "xarray", "discard" };

static FILE *table(void)
{
	const char *out = getenv("DIO_RESULTS");
	static FILE *file;
	char path[300];

	if (file)
		return file;
	snprintf(path, sizeof(path), "%s/iterators.%s", out ? out : "/tmp",
		 fs_name(check_dir()));
	file = fopen(path, "ae");
	if (!file)
		broken("%s: %s", path, errno_name(errno));
	setlinebuf(file);
	return file;
}

const char *row_name(const struct row *r)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s, %s, %s", r->target, iterator_name[r->iterator],
		 r->write ? "write" : "read");
	return name;
}

void row_put(const struct row *r)
{
	fprintf(table(), "%-8s %-7s %-5s %8ld %8ld  %-8s %4ld %4ld\n", r->target,
		iterator_name[r->iterator], r->write ? "write" : "read", r->acquired,
		r->released, r->content ? "right" : "WRONG", r->before, r->after);
}

void row_none(const struct row *r, const char *why)
{
	fprintf(table(), "%-8s %-7s %-5s %8s %8s  %s\n", r->target,
		iterator_name[r->iterator], r->write ? "write" : "read", "-", "-", why);
}
