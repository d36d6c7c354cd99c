/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A mount of fuse-one: one file, whose requests wait when told so. */
#ifndef PINV_DIO_FUSE_H
#define PINV_DIO_FUSE_H

#include "dio.h"

#define FUSE_FILE_SIZE MiB(8)

/* Starts the server and mounts it in the check's own mount namespace; the file's path. */
const char *fuse_mount(void);
/* The same file in the page cache. */
const char *fuse_cached(void);
/* The server's pid; it ends with the check. */
pid_t fuse_server(void);

void fuse_hold(void);
void fuse_release(void);
/* Waits until so many requests do. */
void fuse_await(int requests);

#endif
