/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Loop devices and swap files. */
#ifndef PINV_DIO_LOOP_H
#define PINV_DIO_LOOP_H

#include "dio.h"

/* A loop device over a file, that goes with its last user; open for reading and writing. */
int loop_device(const char *path, uint32_t flags);

/* A file in the check's folder with the header of a swap area. */
const char *make_swap_file(const char *name, uint64_t size);

#endif
