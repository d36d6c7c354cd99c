/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the library says of a call that failed, for pinv_set_log(): why, and what helps. */
#ifndef SHOW_H
#define SHOW_H

#include <stdio.h>

static inline void show(void *arg, const char *message)
{
	(void)arg;
	fprintf(stderr, "%s\n", message);
}

#endif
