// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * nfs-hold PORT SERVER-PORT CONTROL: forwards TCP connections between an NFS client and its server.
 *
 * Over the Unix socket CONTROL a check says h (the server's answers wait here), r (they go on) or
 * c (every connection breaks, with the answers that wait); each is answered once it holds.  When
 * the check ends so does its connection, and everything goes on.  It also does when another check
 * comes, and after HOLD_MS: a process that cannot end before its answer must not wait for good.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS   32
#define BUFFER  (256 * 1024)
#define HOLD_MS 12000

/* One direction of a connection: what was read and is not written yet. */
struct half {
	int from, to;
	size_t start, end;
	char *data;
};

static struct pair {
	int client, server;
	struct half up, down; /* requests, answers */
} pairs[PAIRS];

static bool holding;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static int inet_socket(unsigned short port, struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		die("nfs-hold: socket");
	return fd;
}

static int listen_at(unsigned short port)
{
	struct sockaddr_in at;
	int fd = inet_socket(port, &at);

	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 16))
		die("nfs-hold: port");
	return fd;
}

static int control_at(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 4))
		die("nfs-hold: control");
	return fd;
}

static void close_pair(struct pair *p)
{
	close(p->client);
	close(p->server);
	free(p->up.data);
	free(p->down.data);
	*p = (struct pair){ 0 };
}

static void half_init(struct half *h, int from, int to)
{
	*h = (struct half){ .from = from, .to = to, .data = malloc(BUFFER) };
	if (!h->data)
		die("nfs-hold: memory");
}

static void accept_pair(int listener, unsigned short port)
{
	int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct sockaddr_in at;
	struct pair *p;

	for (p = pairs; p < pairs + PAIRS && p->client; p++)
		;
	if (client < 0 || p == pairs + PAIRS)
		die("nfs-hold: connection");
	p->client = client;
	p->server = inet_socket(port, &at);
	half_init(&p->up, p->client, p->server);
	half_init(&p->down, p->server, p->client);
	if (connect(p->server, (struct sockaddr *)&at, sizeof(at)))
		close_pair(p);
}

/* What a half waits for; a descriptor of -1 waits for nothing. */
static struct pollfd wants(const struct half *h, bool open)
{
	struct pollfd none = { .fd = -1 };

	if (!open)
		return none;
	if (h->start < h->end)
		return (struct pollfd){ .fd = h->to, .events = POLLOUT };
	return (struct pollfd){ .fd = h->from, .events = POLLIN };
}

/* False once the connection is over. */
static bool forward(struct half *h, short events)
{
	ssize_t n;

	if (!events)
		return true;
	if (h->start < h->end) {
		n = send(h->to, h->data + h->start, h->end - h->start,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			h->start += (size_t)n;
		return n > 0 || errno == EAGAIN;
	}
	n = recv(h->from, h->data, BUFFER, MSG_DONTWAIT);
	if (n > 0) {
		h->start = 0;
		h->end = (size_t)n;
	}
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void obey(char command)
{
	struct pair *p;

	holding = command == 'h';
	for (p = pairs; command == 'c' && p < pairs + PAIRS; p++)
		if (p->client)
			close_pair(p);
}

/* The connection of the check; -1 once it has gone. */
static int serve_check(int fd)
{
	char command;

	if (read(fd, &command, 1) == 1) {
		obey(command);
		if (write(fd, "k", 1) == 1)
			return fd;
	}
	holding = false;
	close(fd);
	return -1;
}

static int next_check(int controls, int last)
{
	if (last >= 0)
		close(last);
	holding = false;
	return accept4(controls, NULL, NULL, SOCK_CLOEXEC);
}

enum {
	LISTENER,
	CONTROLS,
	CHECK,
	FIRST_HALF
};

static void wait_for_events(struct pollfd *fds)
{
	int i, n;

	for (i = 0; i < PAIRS; i++) {
		bool open = pairs[i].client;

		fds[FIRST_HALF + 2 * i] = wants(&pairs[i].up, open);
		fds[FIRST_HALF + 2 * i + 1] = wants(&pairs[i].down, open && !holding);
	}
	n = poll(fds, FIRST_HALF + 2 * PAIRS, holding ? HOLD_MS : -1);
	if (n < 0)
		die("nfs-hold: poll");
	if (!n)
		holding = false;
}

int main(int argc, char **argv)
{
	struct pollfd fds[FIRST_HALF + 2 * PAIRS];
	int listener, controls, check = -1, i;
	unsigned short server;

	if (argc != 4) {
		fprintf(stderr, "usage: nfs-hold PORT SERVER-PORT CONTROL\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	server = (unsigned short)atoi(argv[2]);
	listener = listen_at((unsigned short)atoi(argv[1]));
	controls = control_at(argv[3]);
	for (;;) {
		fds[LISTENER] = (struct pollfd){ .fd = listener, .events = POLLIN };
		fds[CONTROLS] = (struct pollfd){ .fd = controls, .events = POLLIN };
		fds[CHECK] = (struct pollfd){ .fd = check, .events = POLLIN };
		wait_for_events(fds);
		for (i = 0; i < PAIRS; i++)
			if (pairs[i].client &&
			    (!forward(&pairs[i].up, fds[FIRST_HALF + 2 * i].revents) ||
			     !forward(&pairs[i].down,
				      fds[FIRST_HALF + 2 * i + 1].revents)))
				close_pair(&pairs[i]);
		if (fds[CHECK].revents)
			check = serve_check(check);
		if (fds[CONTROLS].revents)
			check = next_check(controls, check);
		if (fds[LISTENER].revents)
			accept_pair(listener, server);
	}
}
