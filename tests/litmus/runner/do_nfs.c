// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Steps with a client of the guest's own NFS server.
 *
 * tests/dio/with-nfs starts the server: what is below /mnt it exports below /run/nfs-exports, which
 * a client of version 4 sees as its root.
 */
#include <sys/stat.h>

#include "do.h"
#include "need.h"

#define SERVED  "/mnt/"
#define EXPORTS "/run/nfs-exports/"

static long calls_before;

/* The path for a client, relative to the server's root; NULL if nothing like that is served. */
static const char *served(const char *path)
{
	size_t n = strlen(SERVED);

	return strncmp(path, SERVED, n) ? NULL : path + n;
}

bool nfs_serves(const char *folder)
{
	char path[600], threads[32];
	struct stat here, there;

	if (!served(folder) ||
	    file_read("/proc/fs/nfsd/threads", threads, sizeof(threads)) <= 0)
		return false;
	snprintf(path, sizeof(path), EXPORTS "%s", served(folder));
	return *threads != '0' && !stat(folder, &here) && !stat(path, &there) &&
	       here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

DO(nfs)
{
	char source[600];

	if (!served(path_of(&arg[0])))
		broken("%s is not below " SERVED, path_of(&arg[0]));
	snprintf(source, sizeof(source), "127.0.0.1:/%s", served(path_of(&arg[0])));
	return mount_for(a, source, path_of(&arg[1]), "nfs4", 0,
			 "vers=4.2,proto=tcp,port=2049,addr=127.0.0.1,"
			 "clientaddr=127.0.0.1");
}

static long calls(void)
{
	char text[4096];
	const char *line;
	long n;

	if (file_read("/proc/net/rpc/nfsd", text, sizeof(text)) < 0)
		broken("/proc/net/rpc/nfsd cannot be read");
	line = strstr(text, "\nrpc ");
	if (!line || sscanf(line, "\nrpc %ld", &n) != 1)
		broken("/proc/net/rpc/nfsd has no number of calls");
	return n;
}

DO(remember_calls)
{
	calls_before = calls();
	return 0;
}

DO(calls)
{
	long more = calls() - calls_before;

	return more <= (long)arg[0].number ? 0 : seen_instead(r, "%ld calls", more);
}

const struct verb nfs_verbs[] = {
	{ "nfs", "FILE on FILE", K_NONE, do_nfs,
	  "mounts the server's view of $1 over NFS 4.2 on $2", 0, NULL },
	{ "remember-nfs-calls", "", K_NONE, do_remember_calls,
	  "the calls that the NFS server has had are remembered", VERB_LOOK, NULL },
	{ "nfs-calls", "at-most N", K_NONE, do_calls,
	  "the NFS server has had at most $1 more calls than remembered", VERB_LOOK,
	  NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
