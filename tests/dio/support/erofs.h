/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* An EROFS image with one file. */
#ifndef PINV_DIO_EROFS_H
#define PINV_DIO_EROFS_H

#include <stddef.h>
#include <stdint.h>

#define EROFS_FILE "file"

/* Three pages, then the file, of whole pages. */
#define EROFS_START     (3 * 4096UL)
#define EROFS_SIZE(len) (EROFS_START + (len))

/* Writes what comes before the content of a file of len bytes. */
void erofs_image(unsigned char *image, size_t len);

#endif
