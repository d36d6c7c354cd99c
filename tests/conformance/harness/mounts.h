/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PINV_TEST_MOUNTS_H
#define PINV_TEST_MOUNTS_H

#include <stdbool.h>

/* What is mounted on a directory; nothing, if it is no mount point. */
struct mounted {
	char node[64], type[16], options[256];
};

struct mounted mounted_on(const char *dir);

/* Mounts again what was there, if a check ended before it did; false if that fails. */
bool mount_as_before(const char *dir, const struct mounted *before);

#endif
