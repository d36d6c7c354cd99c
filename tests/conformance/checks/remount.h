/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The file system that the checks run on, unmounted and mounted again: nothing may be open on it. */
#ifndef PINV_TEST_REMOUNT_H
#define PINV_TEST_REMOUNT_H

#include <limits.h>

#include "scene.h"

struct own_mount {
	char point[PATH_MAX], node[64], type[16];
};

struct own_mount own_mount(void);

/* Ends the check on a kernel without layout leases, before the file system is changed for nothing. */
void need_leases(void);

/* With other options: "dax=inode"; something may be done to the device in between. */
void remount(const struct own_mount *m, const char *options,
	     void (*between)(const struct own_mount *m));

/* A file of the check's directory whose blocks are mapped straight, under dax=inode. */
const char *make_dax_file(const char *name, uint64_t size);

#endif
