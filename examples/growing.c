// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * growing FILE: a file that grows under its lease.
 *
 * An exclusive layout lease refuses what takes blocks away, not what adds some: the file can
 * grow while its first part is registered, and each new part becomes a memory region of its own.
 * Peers learn of the new region and go on using the old one.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <pinverbs.h>
#include "show.h"

#define SEGMENT  (256 * 1024)
#define SEGMENTS 4
#define WRITE    (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)

int main(int argc, char **argv)
{
	struct pinv_mr *segments[SEGMENTS];
	struct ibv_pd *pd = pinv_open_pd(NULL);
	struct pinv_lease *lease;
	uint64_t offset;
	char text[32];
	int fd, i;

	pinv_set_log(show, NULL);
	if (argc != 2)
		errx(2, "usage: growing FILE");
	if (!pd)
		err(1, "open an RDMA device (see ibv_devices)");
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		err(1, "%s", argv[1]);

	/*
	 * Each region holds a share in the lease anyway. A handle of our own keeps it from
	 * ending when for a moment there is no region.
	 */
	lease = pinv_lease_acquire(fd, PINV_LEASE_EXCLUSIVE);
	if (!lease)
		err(1, "lease on %s", argv[1]);
	for (i = 0; i < SEGMENTS; i++) {
		segments[i] = pinv_grow_file_mr(pd, fd, SEGMENT, WRITE, &offset);
		if (!segments[i])
			err(1, "segment %d", i);
		printf("segment %d: bytes from %7" PRIu64 ", rkey %#x\n", i, offset,
		       pinv_mr_ibv(segments[i])->rkey);
		/* What a peer would do, from a distance. */
		snprintf(pinv_mr_ibv(segments[i])->addr, sizeof(text), "segment %d", i);
		errno = pinv_mr_persist(segments[i], 0, sizeof(text));
		if (errno)
			err(1, "persist");
	}

	/* Shrinking is what the lease refuses, to ourselves as well. */
	if (!ftruncate(fd, SEGMENT) || errno != EDEADLK)
		errx(1, "cutting the file was not refused");
	printf("cutting it to one segment: %s\n", strerror(errno));

	for (i = 0; i < SEGMENTS; i++) {
		if (pread(fd, text, sizeof(text), (off_t)i * SEGMENT) != sizeof(text) ||
		    atoi(text + strlen("segment ")) != i)
			errx(1, "segment %d is not what was written", i);
		errno = pinv_dereg_mr(segments[i]);
		if (errno)
			err(1, "deregister segment %d", i);
	}
	errno = pinv_lease_release(lease);
	if (errno || ftruncate(fd, SEGMENT))
		err(1, "cut the file after all");
	printf("cutting it after the lease has been released: Success\n");
	return 0;
}
