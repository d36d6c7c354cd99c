/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A client of NFSv4.1 that is a part of the check, for what the kernel's client does not do or does
 * not tell: it asks for pNFS layouts, and gives each operation's status as the server does.
 *
 * One client at a time, one file that it has open for reading and writing, one request at a time.
 * The server's own calls come over the same connection, and are answered while something is waited
 * for; a recalled layout stays until the check returns it.
 */
#ifndef PINV_DIO_NFS41_H
#define PINV_DIO_NFS41_H

#include <stdbool.h>
#include <stdint.h>

enum nfs41_status {
	NFS4_OK,
	NFS4ERR_DELAY = 10008,
	NFS4ERR_LAYOUTUNAVAILABLE = 10059
};

/* A file by its path on the server; pnfs: through the export that hands out layouts. */
void nfs41_open(const char *path, bool pnfs);
/* Without it the server keeps the client's state as long as it likes. */
void nfs41_close(void);

/* A layout of blocks for reading and writing, of the first len bytes; the server's status. */
uint32_t nfs41_layoutget(uint64_t len);
uint32_t nfs41_layoutreturn(void);
uint32_t nfs41_truncate(uint64_t size);

/* The server wants the layout back, or asks for it within that time. */
bool nfs41_is_recalled(int ms);

/* Answers the server until there is something to read from fd, for some seconds at most. */
void nfs41_serve(int fd);

#endif
