/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which mappings of the program are of DAX files that it may register. */
#ifndef PINVERBS_MAPPINGS_H
#define PINVERBS_MAPPINGS_H

#include <stddef.h>

#define MOST_FILES 16 /* in one memory region */

/*
 * The descriptors of the files that back parts of a range, each description once; their
 * number. They stay open until put_file().
 */
size_t files_in_range(const void *address, size_t length, int *fds);
void put_file(int fd);

/* Says on standard error which folders there are none of. */
void explain_folders(void);

#endif
