/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The kernel log as part of every verdict. */
#ifndef PINV_TEST_KMSG_H
#define PINV_TEST_KMSG_H

#include <stdbool.h>
#include <stddef.h>

/* Opens the log at its end; 0 or -errno. */
int kmsg_open(void);

/* Writes the name of the check that starts into the log. */
void kmsg_mark(const char *name);

/* True if the log since the last call holds a line that no kernel may print; the lines. */
bool kmsg_findings(char *buf, size_t len);

#endif
