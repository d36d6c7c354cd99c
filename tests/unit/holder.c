// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * holder STEP...: makes leases and pins for tests to look at, prints "ready PID" and stays until
 * its input ends. Steps, in the order given; a child gets the steps after its own:
 *   lease FILE    an exclusive layout lease
 *   coop FILE     a cooperative one
 *   pin FILE      a memory region on the whole file, its description open
 *   zombie FILE   the same with descriptor and mapping given up
 *   unlink FILE
 *   context       another RDMA context for the steps that follow
 *   unfd          give up the context's descriptor; its completion queue stays mapped
 *   child         fork; the parent prints "child PID" and does no more steps
 *   user ID       become this user and group
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "pinverbs.h"

static struct ibv_context *context;
static struct ibv_pd *pd;

static void open_device(void)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);

	context = devices && devices[0] ? ibv_open_device(devices[0]) : NULL;
	pd = context ? ibv_alloc_pd(context) : NULL;
	if (!pd)
		err(1, "RDMA device");
}

static int open_leased(const char *path, int kind)
{
	int fd = open(path, O_RDWR);

	if (fd < 0 || fcntl(fd, F_SETLEASE, kind))
		err(1, "lease on %s", path);
	return fd;
}

static void pin(const char *path, int zombie)
{
	int fd = open_leased(path, F_LAYOUT | F_EXCLUSIVE);
	struct stat st;
	void *map;

	if (!pd)
		open_device();
	if (fstat(fd, &st))
		err(1, "%s", path);
	map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED ||
	    !ibv_reg_mr(pd, map, st.st_size,
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE))
		err(1, "register %s", path);
	if (zombie && (munmap(map, st.st_size) || close(fd)))
		err(1, "give up %s", path);
}

static void give_up_descriptor(void)
{
	if (!ibv_create_cq(context, 16, NULL, NULL, 0) || close(context->cmd_fd))
		err(1, "completion queue");
}

static void wait_for_end_of_input(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* Whether the parent goes on to wait. */
static int fork_child(void)
{
	pid_t child = fork();

	if (child < 0)
		err(1, "fork");
	if (child)
		printf("child %d\n", child);
	return child != 0;
}

/* Without this the test would not see the process any more: a change of user hides it. */
static void become(const char *user)
{
	if (setgroups(0, NULL) || setresgid(atoi(user), atoi(user), atoi(user)) ||
	    setresuid(atoi(user), atoi(user), atoi(user)) || prctl(PR_SET_DUMPABLE, 1))
		err(1, "user %s", user);
}

int main(int argc, char **argv)
{
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 1; i < argc; i++) {
		const char *step = argv[i], *file = argv[i + 1];

		if (!strcmp(step, "context")) {
			open_device();
			continue;
		} else if (!strcmp(step, "unfd")) {
			give_up_descriptor();
			continue;
		} else if (!strcmp(step, "child")) {
			if (fork_child())
				break;
			continue;
		}
		if (!file)
			errx(2, "%s needs an argument", step);
		i++;
		if (!strcmp(step, "lease"))
			open_leased(file, F_LAYOUT | F_EXCLUSIVE);
		else if (!strcmp(step, "coop"))
			open_leased(file, F_LAYOUT);
		else if (!strcmp(step, "pin") || !strcmp(step, "zombie"))
			pin(file, *step == 'z');
		else if (!strcmp(step, "user"))
			become(file);
		else if (strcmp(step, "unlink") || unlink(file))
			err(1, "%s %s", step, file);
	}
	printf("ready %d\n", getpid());
	wait_for_end_of_input();
	return 0;
}
