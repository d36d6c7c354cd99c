// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * refused FILE: what a refused truncate looks like, and how to find who is in the way.
 *
 * ETXTBSY from truncate(2) on a DAX file means that somebody's device may be writing to it. A
 * child plays that somebody here; the parent wants to cut the file, is refused, and finds out.
 * On the command line: lspins FILE.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pinverbs.h>
#include "show.h"

#define SIZE (1024 * 1024)

/* Registers the file and keeps it until its input ends. */
static int run_blocker(const char *path, int ready, int go)
{
	struct ibv_pd *pd = pinv_open_pd(NULL);
	int fd = pd ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	struct pinv_mr *mr;
	char byte;

	if (!pd)
		err(1, "open an RDMA device (see ibv_devices)");
	if (fd < 0 || ftruncate(fd, SIZE))
		err(1, "%s", path);
	mr = pinv_reg_file_mr(pd, fd, 0, 0,
			      IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	if (!mr)
		err(1, "register %s", path);
	/* Closing the file changes nothing: the region keeps it. */
	close(fd);
	if (write(ready, "x", 1) != 1)
		err(1, "pipe");
	while (read(go, &byte, 1) > 0)
		;
	return pinv_dereg_mr(mr);
}

/* Who has the file pinned or leased. */
static void explain(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	struct pinv_pins *pins = pinv_list_pins(PINV_PINS_ALL, fd, PINV_PINS_BY_FILE);
	size_t i;

	if (!pins)
		err(1, "list pins");
	for (i = 0; i < pinv_pins_count(pins); i++) {
		const struct pinv_pin *pin = pinv_pins_get(pins, i);

		/* pid 0: in the way, but not to be seen by us */
		if (!pin->pid)
			printf("somebody holds it\n");
		else if (pin->pages == 0)
			printf("process %d (%s) holds a lease on it\n", pin->pid,
			       pin->command ? pin->command : "?");
		else
			printf("process %d (%s) has %llu pages of it in %llu memory "
			       "region(s) "
			       "of %s\n",
			       pin->pid, pin->command, (unsigned long long)pin->pages,
			       (unsigned long long)pin->regions, pin->owner);
	}
	if (pinv_pins_unseen(pins))
		printf("%u processes could not be looked at\n", pinv_pins_unseen(pins));
	if (!pinv_pins_count(pins))
		errx(1, "nobody is seen to be in the way");
	pinv_pins_free(pins);
	close(fd);
}

int main(int argc, char **argv)
{
	int ready[2], go[2], status;
	pid_t blocker;
	char byte;

	pinv_set_log(show, NULL);
	if (argc != 2)
		errx(2, "usage: refused FILE");
	if (pipe(ready) || pipe(go))
		err(1, "pipe");
	blocker = fork();
	if (blocker < 0)
		err(1, "fork");
	if (!blocker) {
		close(go[1]);
		_exit(run_blocker(argv[1], ready[1], go[0]));
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		errx(1, "the other process has failed");

	if (!truncate(argv[1], 0))
		errx(1, "truncate was not refused");
	printf("truncate: %s\n", strerror(errno));
	if (errno != ETXTBSY)
		errx(1, "expected ETXTBSY");
	explain(argv[1]);

	/* It is asked to end; waiting for that is all that helps. */
	close(go[1]);
	if (waitpid(blocker, &status, 0) != blocker || status)
		errx(1, "the other process has failed");
	if (truncate(argv[1], 0))
		err(1, "truncate");
	printf("truncate, after process %d has deregistered: Success\n", blocker);
	return 0;
}
