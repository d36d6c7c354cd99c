/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the programs that know nothing of leases have in common: a mapping of a file that a peer
 * writes to, what the kernel shows meanwhile, and what read(2) finds afterwards.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stddef.h>
#include <sys/types.h>

#define TRAFFIC_SIZE   65536 /* of the file */
#define TRAFFIC_OFFSET 8192  /* of what the peer writes */
#define TRAFFIC_LENGTH 40000

/* A shared mapping of a new file of zeros; ends the program if there is none. */
char *traffic_map(const char *path, int *fd);

/* What the peer writes. */
void traffic_fill(char *data);

/* Ends the program unless this process is seen to have the file leased and pinned. */
void traffic_see_pins(const char *path);

/* Ends the program unless read(2) finds what the peer wrote, and zeros around it. */
void traffic_compare(const char *path, int fd);

/* Runs the program itself as the peer, with its input from *@input. */
pid_t traffic_start_peer(char *const argv[], int *input);

#endif
