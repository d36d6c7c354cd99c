/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which mappings of the program are of DAX files that it may register. */
#ifndef PINVERBS_MAPPINGS_H
#define PINVERBS_MAPPINGS_H

#include <stddef.h>

#define MOST_FILES 16 /* in one memory region */

struct file;

/*
 * The files that back parts of a range, each description once; their number. Each stays open until
 * put_file().
 */
size_t files_in_range(const void *address, size_t length, struct file **files);
int descriptor_of(const struct file *file);
void put_file(struct file *file);

/* Says on standard error which folders there are none of. */
void explain_folders(void);

#endif
