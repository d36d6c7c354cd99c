/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Direct I/O from and to the kernel's own memory, on a descriptor of the check's. */
#ifndef PINV_DIO_KVEC_H
#define PINV_DIO_KVEC_H

#include "dio.h"

/*
 * kexec_file_load() reads a regular file, whole, into memory of vmalloc().  It succeeds only if the
 * file starts as kernel_image() makes one.  Nobody may have the file open for writing.  Nothing
 * stays loaded.
 */
#define KERNEL_IMAGE_MIN 1024
void kernel_image(unsigned char *at, size_t len);
long kvec_read(int fd);

/*
 * A 9p client whose server is the check, and whose connection to it is a file: the client writes
 * one message of len bytes to its start, from slab memory, as direct I/O.  The message is a header
 * and a value, which is the rest of what there is at.
 */
#define KVEC_HEADER 23
long kvec_write(int fd, const unsigned char *at, size_t len);
/* The start of such a message. */
bool kvec_header_matches(const unsigned char *at, size_t len);

#endif
