/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A page of a file that the kernel uses for an I/O, for as long as a check likes. */
#ifndef PINV_TEST_BUSY_PAGE_H
#define PINV_TEST_BUSY_PAGE_H

#include "scene.h"

/* An actor that reads the page at an address of another one, and does not come to its end. */
struct actor *use_page(struct actor *owner, long addr);

/* The read ends: 0 if it gave the first page of FILE_SEED, -EILSEQ, -errno. */
long end_of_use(struct actor *reader);

#endif
