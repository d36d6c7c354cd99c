// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "remote.h"

#define PORT      7477
#define ATTACH_MS 60000 /* the other guest may boot later */
#define FRAME_MAX (ACTOR_DATA_MAX + 256)

/* What a connection is for: its first byte. */
enum {
	FOR_GUEST = 'g',
	FOR_ACTOR = 'a'
};

/* ---- frames: a message of the actor's socket with its length in front ---- */

static bool read_all(int fd, void *buf, size_t len)
{
	char *p = buf;
	ssize_t n;

	for (; len; p += n, len -= (size_t)n) {
		n = read(fd, p, len);
		if (n <= 0)
			return false;
	}
	return true;
}

static bool write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;
	ssize_t n;

	for (; len; p += n, len -= (size_t)n) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
	}
	return true;
}

static bool to_net(int sock, int net)
{
	struct {
		uint32_t len;
		char data[FRAME_MAX];
	} f;
	ssize_t n = recv(sock, f.data, sizeof(f.data), 0);

	f.len = (uint32_t)n;
	return n > 0 && write_all(net, &f, sizeof(f.len) + (size_t)n);
}

static bool from_net(int net, int sock)
{
	char data[FRAME_MAX];
	uint32_t len;

	return read_all(net, &len, sizeof(len)) && len <= sizeof(data) &&
	       read_all(net, data, len) &&
	       send(sock, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Until one of both ends. */
static _Noreturn void carry(int sock, int net)
{
	struct pollfd p[2] = { { .fd = sock, .events = POLLIN },
			       { .fd = net, .events = POLLIN } };

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			_exit(1);
		if (p[0].revents && !to_net(sock, net))
			_exit(0);
		if (p[1].revents && !from_net(net, sock))
			_exit(0);
	}
}

/* ---- the agent ---- */

static int listen_all(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 16))
		return -errno;
	return fd;
}

static void serve_connection(int net)
{
	int sv[2], one = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsockopt(net, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		_exit(1);
	if (fork() == 0) {
		close(sv[0]);
		close(net);
		actor_serve(sv[1]);
	}
	close(sv[1]);
	carry(sv[0], net);
}

int remote_agent(void)
{
	int listener = listen_all(), guest = -1, net;
	struct pollfd p[2] = { { .fd = listener, .events = POLLIN },
			       { .fd = -1, .events = POLLIN } };
	char what;

	if (listener < 0)
		return 1;
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		if (poll(p, 2, guest < 0 ? ATTACH_MS : -1) <= 0)
			return 1; /* nobody came */
		if (p[1].revents)
			return 0;
		net = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (net < 0 || !read_all(net, &what, 1))
			continue;
		if (what == FOR_GUEST) {
			guest = p[1].fd = net;
			continue;
		}
		if (fork() == 0)
			serve_connection(net);
		close(net);
	}
}

/* ---- this side ---- */

static int connect_to(const char *peer, char what)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, err;

	if (inet_pton(AF_INET, peer, &a.sin_addr) != 1)
		return -EINVAL;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) || !write_all(fd, &what, 1)) {
		err = errno;
		close(fd);
		return -err;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

int remote_attach(const char *peer)
{
	struct deadline by = deadline_in(ATTACH_MS);
	int fd;

	do
		fd = connect_to(peer, FOR_GUEST);
	while (fd < 0 && deadline_wait(&by));
	return fd < 0 ? fd : 0; /* it stays open as long as this process runs */
}

struct actor *actor_start_remote(const char *name, const char *peer)
{
	int net = connect_to(peer, FOR_ACTOR), sv[2];
	struct actor *a;
	pid_t pid;

	if (net < 0)
		broken("%s: no agent on %s: %s", name, peer, errno_name(-net));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		broken("socketpair: %s", errno_name(errno));
	pid = fork();
	if (pid < 0)
		broken("fork: %s", errno_name(errno));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, name);
		close(sv[0]);
		carry(sv[1], net);
	}
	close(sv[1]);
	close(net);
	a = actor_adopt(name, pid, sv[0]);
	a->remote = true;
	return a;
}
