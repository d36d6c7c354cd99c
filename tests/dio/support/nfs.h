/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * NFS mounts of the file system under test.  The server is this guest's (see with-nfs); between it
 * and the client stands nfs-hold, a TCP proxy that keeps the server's answers when told so: what
 * is in flight then stays in flight.
 */
#ifndef PINV_DIO_NFS_H
#define PINV_DIO_NFS_H

#include "dio.h"

#define NFS_CONTROL "/run/nfs-hold"

enum nfs_version {
	NFS3,
	NFS4 /* 4.2 */
};

/*
 * One check for each version.  The client's direct I/O is the same code for both: what does not
 * depend on what the server answers has a check with one of them only.
 */
#define NFS_CHECK(name, rules, stock)                          \
	static void over_nfs_##name(enum nfs_version version); \
	CHECK(nfs3_##name, rules, stock)                       \
	{                                                      \
		over_nfs_##name(NFS3);                         \
	}                                                      \
	CHECK(nfs4_##name, rules, stock)                       \
	{                                                      \
		over_nfs_##name(NFS4);                         \
	}                                                      \
	static void over_nfs_##name(enum nfs_version version)

#define NFS3_CHECK(name, rules, stock)                         \
	static void over_nfs_##name(enum nfs_version version); \
	CHECK(nfs3_##name, rules, stock)                       \
	{                                                      \
		over_nfs_##name(NFS3);                         \
	}                                                      \
	static void over_nfs_##name(enum nfs_version version)

#define NFS4_CHECK(name, rules, stock)                         \
	static void over_nfs_##name(enum nfs_version version); \
	CHECK(nfs4_##name, rules, stock)                       \
	{                                                      \
		over_nfs_##name(NFS4);                         \
	}                                                      \
	static void over_nfs_##name(enum nfs_version version)

/*
 * Mounts a folder of an exported file system, in a mount namespace of the check's own; where it is.
 * One mount at a time: NFSv4 takes the connection of a server that it knows.
 */
const char *nfs_mount_at(enum nfs_version version, const char *folder, const char *more);
/* The check's own folder. */
const char *nfs_mount(enum nfs_version version);
/* A new folder of the DAX file system that is served beside the check's own, on the server. */
const char *dax_folder(void);
/* The path of a file of the check's folder there, and on the server. */
const char *nfs_path(const char *name);

/* The server's answers wait, from now on; they go on; connections break, and their answers with
 * them, so that the client connects and asks again.
 */
void nfs_hold(void);
void nfs_release(void);
void nfs_cut(void);

/*
 * A block device with the content of FILE_SEED, open for direct I/O, whose requests wait in
 * nfs_hold() too: a loop device over a file of the server.
 */
int held_device(size_t size);

/* Calls that the server has had. */
long nfs_calls(void);

#endif
