// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * handover FILE: handing a uverbs context to another process by SCM_RIGHTS.
 *
 * Memory regions belong to the uverbs context. Whoever has its descriptor keeps them alive, and
 * is shown as who pins the files. So a server can be replaced, or crash, while a keeper process
 * holds what its peers write to: here the registering process exits, and the file stays pinned
 * until the keeper closes the descriptor that it was sent.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <pinverbs.h>
#include "show.h"

#define SIZE (1024 * 1024)

static void send_descriptor(int socket, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec byte = { "x", 1 };
	struct msghdr message = { .msg_iov = &byte,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, 0) != 1)
		err(1, "send descriptor");
}

static int receive_descriptor(int socket)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char data;
	struct iovec byte = { &data, 1 };
	struct msghdr message = { .msg_iov = &byte,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 ||
	    message.msg_controllen < CMSG_LEN(sizeof(int)))
		errx(1, "no descriptor came");
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

/* Registers the file, hands over, exits without deregistering: nothing is left of it. */
static void run_server(const char *path, int socket)
{
	struct ibv_pd *pd = pinv_open_pd(NULL);
	int fd = pd ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (!pd)
		err(1, "open an RDMA device (see ibv_devices)");
	if (fd < 0 || ftruncate(fd, SIZE))
		err(1, "%s", path);
	if (!pinv_reg_file_mr(pd, fd, 0, 0,
			      IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE))
		err(1, "register %s", path);
	send_descriptor(socket, pd->context->cmd_fd);
	printf("server %d: registered %s, handed the context over, exits\n", getpid(),
	       path);
}

/* Prints what is pinned through this process; the number of files. */
static size_t list_own_pins(int fd)
{
	struct pinv_pins *pins = pinv_list_pins(PINV_PINS_SELF, fd, PINV_PINS_BY_FILE);
	size_t count, i;

	if (!pins)
		err(1, "list pins");
	count = pinv_pins_count(pins);
	for (i = 0; i < count; i++) {
		const struct pinv_pin *pin = pinv_pins_get(pins, i);

		printf("keeper %d: descriptor %d pins %llu pages of %s, lease: %s\n",
		       pin->pid, pin->owner_fd, (unsigned long long)pin->pages, pin->file,
		       pin->lease == PINV_PIN_LEASE_ZOMBIE ? "zombie" : "held");
	}
	pinv_pins_free(pins);
	return count;
}

int main(int argc, char **argv)
{
	const struct timespec moment = { .tv_nsec = 10000000 };
	int sockets[2], uverbs, file, tries, status;
	pid_t server;

	pinv_set_log(show, NULL);
	if (argc != 2)
		errx(2, "usage: handover FILE");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		err(1, "socket");
	server = fork();
	if (server < 0)
		err(1, "fork");
	if (!server) {
		run_server(argv[1], sockets[1]);
		fflush(stdout);
		_exit(0);
	}
	close(sockets[1]); /* or a server that fails would not be noticed */
	uverbs = receive_descriptor(sockets[0]);
	if (waitpid(server, &status, 0) != server || status)
		errx(1, "the server has failed");
	file = open(argv[1], O_RDWR | O_CLOEXEC);
	if (file < 0)
		err(1, "%s", argv[1]);

	/* The server is gone: nobody can register more, and nobody can cut the file. */
	if (list_own_pins(file) != 1)
		errx(1, "the pins did not outlive the server");
	if (!ftruncate(file, 0) || errno != ETXTBSY)
		errx(1, "truncate was not refused");
	printf("keeper %d: truncate: %s\n", getpid(), strerror(errno));

	/* The last descriptor: the kernel lets go of everything, within two seconds. */
	close(uverbs);
	for (tries = 0; ftruncate(file, 0) && tries < 200; tries++)
		nanosleep(&moment, NULL);
	if (tries == 200)
		err(1, "truncate after closing the context");
	printf("keeper %d: closed the context; truncate: Success\n", getpid());
	return 0;
}
