/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PINV_LITMUS_NEED_H
#define PINV_LITMUS_NEED_H

#include <stdbool.h>

/* Ends the check as skipped, saying what is missing, unless the machine has the feature. */
void need(const char *feature);

/* The kernel's NFS server runs and serves the folder. */
bool nfs_serves(const char *folder);

#endif
