// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * lab-host [-b SECONDS] [-t SECONDS] [-s SECONDS] [-e SECONDS] [-T] [-l LOG] JOB RESULT -- QEMU ARG… [-- …]
 *
 * Starts one QEMU for each "--", gives the guests the folders JOB/0 and JOB/1, passes stdin to the
 * first guest and the output of all to stdout and stderr, QEMU's own messages to LOG, and writes
 * one line for each guest to the file RESULT:
 *
 *	exit N		the command's exit status, 128 + N for a signal
 *	dead		the guest ended without a status
 *	noboot N	no command started within N seconds (-b)
 *	hung N		no sign of life for N seconds (-s)
 *	timeout N	the command did not end in N seconds (-t)
 *	noend N		the guest did not end within N seconds after the command (-e)
 *	partner		ended because the other guest failed
 *	pipe		nobody reads the output any more
 *	signal N	this program was told to stop
 *
 * QEMU finds its end of the virtio port's socket as descriptor 3, and, of two guests, its end of
 * the socket that joins their network devices as descriptor 4.  No QEMU outlives this
 * program, and this program does not outlive its parent.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#include "frame.h"

#define MAX_GUESTS 2
#define DUMP_S     3    /* for the stacks of a command that is out of time */
#define PARTNER_S  15   /* the other guest's, after one failed */
#define ESCAPE     0x1d /* Ctrl-] */

enum state {
	BOOTING,
	RUNNING,
	DUMPING,
	FINISHED,
	GONE
};

struct guest {
	pid_t pid;
	int sock;
	enum state state;
	int64_t deadline; /* of the command, or of the present state */
	int64_t heard;
	char result[32];
	uint32_t status;
	char rx[2 * (sizeof(struct frame) + FRAME_MAX)];
	size_t rx_len;
	char tx[sizeof(struct frame) + FRAME_MAX];
	size_t tx_len;
	char line[2][FRAME_MAX]; /* with two guests: unfinished lines of stdout, stderr */
	size_t line_len[2];
};

static struct guest guests[MAX_GUESTS];
static int nr_guests;
static int boot_s = 180, limit_s;
static int silence_s = 120; /* heartbeats come every 2 s; an emulated guest may be slow */
static int shutdown_s = 120; /* hangs are rare there, and a busy machine is slow */
static bool tty;             /* -T: stdin is a terminal, the guest gets it raw */
static const char *log_path = "/dev/null";
static struct termios saved_termios;
static int sigfd;
static int stopped_by; /* signal, or SIGPIPE when stdout or stderr is closed */
static bool in_open = true;

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void restore_tty(void)
{
	tcsetattr(0, TCSADRAIN, &saved_termios);
}

static void raw_tty(void)
{
	struct termios raw;

	if (tcgetattr(0, &saved_termios))
		err(1, "stdin");
	raw = saved_termios;
	cfmakeraw(&raw);
	atexit(restore_tty);
	tcsetattr(0, TCSADRAIN, &raw);
}

static void settle(struct guest *g, const char *word, int n)
{
	if (g->result[0])
		return;
	if (n < 0)
		snprintf(g->result, sizeof(g->result), "%s", word);
	else
		snprintf(g->result, sizeof(g->result), "%s %d", word, n);
}

static void redirect(int fd, const char *path, int flags)
{
	int from = open(path, flags, 0666);

	if (from < 0)
		err(1, "%s", path);
	if (from != fd) {
		dup2(from, fd);
		close(from);
	}
}

/* Descriptors FROM[0] and FROM[1] (if not -1) become 3 and 4 of the program to be executed. */
static void hand_over(const int *from)
{
	int high[2];

	for (int i = 0; i < 2; i++)
		high[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD, 5);
	for (int i = 0; i < 2; i++)
		if (high[i] >= 0) {
			dup2(high[i], 3 + i);
			close(high[i]);
		}
}

static void start_guest(struct guest *g, int net, char **args)
{
	pid_t parent = getpid();
	sigset_t none;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		err(1, "socketpair");
	g->pid = fork();
	if (g->pid < 0)
		err(1, "fork");
	if (!g->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		setsid();
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		hand_over((int[]){ sv[1], net });
		/* stdin, stdout and stderr are not QEMU's */
		redirect(0, "/dev/null", O_RDONLY);
		redirect(1, log_path, O_WRONLY | O_CREAT | O_APPEND);
		dup2(1, 2);
		execvp(args[0], args);
		warn("%s", args[0]);
		_exit(127);
	}
	close(sv[1]);
	g->sock = sv[0];
	fcntl(g->sock, F_SETFL, O_NONBLOCK);
	g->heard = now_ms();
	g->deadline = g->heard + boot_s * 1000LL;
}

static void append(char *buf, size_t *used, const void *data, size_t len)
{
	if (len)
		memcpy(buf + *used, data, len);
	*used += len;
}

static void queue(struct guest *g, uint32_t type, const void *data, size_t len)
{
	struct frame head = { type, len };

	if (g->tx_len + sizeof(head) + len > sizeof(g->tx))
		return; /* a guest that does not even take control frames: hung */
	append(g->tx, &g->tx_len, &head, sizeof(head));
	append(g->tx, &g->tx_len, data, len);
}

static void read_signals(void)
{
	struct signalfd_siginfo si;
	struct winsize ws;

	while (read(sigfd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGWINCH) {
			uint16_t size[2];

			if (ioctl(0, TIOCGWINSZ, &ws))
				continue;
			size[0] = ws.ws_row;
			size[1] = ws.ws_col;
			queue(&guests[0], FRAME_WINSIZE, size, sizeof(size));
		} else if (si.ssi_signo != SIGCHLD) {
			stopped_by = si.ssi_signo;
		}
	}
}

/* Blocks while the reader is slow, but not for signals. */
static void put(int fd, const char *data, size_t len)
{
	while (len && !stopped_by) {
		struct pollfd p[] = {
			{ .fd = fd, .events = POLLOUT },
			{ .fd = sigfd, .events = POLLIN },
		};
		ssize_t n;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			err(1, "poll");
		if (p[1].revents)
			read_signals();
		if (!p[0].revents)
			continue;
		/* what fits into a pipe that poll calls writable */
		n = write(fd, data, len < 4096 ? len : 4096);
		if (n < 0 && errno != EINTR && errno != EAGAIN) {
			if (errno != EPIPE)
				warn("output");
			stopped_by = SIGPIPE;
		}
		if (n > 0) {
			data += n;
			len -= n;
		}
	}
	for (int i = 0; i < nr_guests; i++)
		guests[i].heard = now_ms();
}

/* Output of two guests is mixed by whole lines. */
static void output(struct guest *g, int which, const char *data, size_t len)
{
	char *line = g->line[which];
	size_t *have = &g->line_len[which];

	if (nr_guests == 1) {
		put(1 + which, data, len);
		return;
	}
	while (len) {
		const char *nl = memchr(data, '\n', len);
		size_t n = nl ? (size_t)(nl - data) + 1 : len;

		if (n > FRAME_MAX - *have)
			n = FRAME_MAX - *have;
		memcpy(line + *have, data, n);
		*have += n;
		data += n;
		len -= n;
		if (line[*have - 1] == '\n' || *have == FRAME_MAX) {
			put(1 + which, line, *have);
			*have = 0;
		}
	}
}

static void flush_lines(struct guest *g)
{
	for (int i = 0; i < 2; i++) {
		if (g->line_len[i])
			put(1 + i, g->line[i], g->line_len[i]);
		g->line_len[i] = 0;
	}
}

/* The last one to finish lets all shut down; the first failure limits the other. */
static void finished(struct guest *g)
{
	bool all = true;

	flush_lines(g);
	for (int i = 0; i < nr_guests; i++)
		all = all && guests[i].state >= FINISHED;
	for (int i = 0; i < nr_guests; i++) {
		struct guest *o = &guests[i];

		if (all && o->state == FINISHED) {
			queue(o, FRAME_QUIT, NULL, 0);
			o->deadline = now_ms() + shutdown_s * 1000LL;
		} else if (!all && o->state < FINISHED && strcmp(g->result, "exit 0")) {
			int64_t limit = now_ms() + PARTNER_S * 1000;

			if (!o->deadline || o->deadline > limit)
				o->deadline = limit;
		}
	}
}

static void handle(struct guest *g, const struct frame *head, const char *data)
{
	g->heard = now_ms();
	switch (head->type) {
	case FRAME_STARTED:
		g->state = RUNNING;
		g->deadline = limit_s ? now_ms() + limit_s * 1000LL : 0;
		if (tty)
			kill(getpid(), SIGWINCH);
		break;
	case FRAME_OUT:
		output(g, 0, data, head->len);
		break;
	case FRAME_ERR:
		output(g, 1, data, head->len);
		break;
	case FRAME_EXIT:
		memcpy(&g->status, data, sizeof(g->status));
		settle(g, "exit", g->status);
		g->state = FINISHED;
		g->deadline = 0;
		finished(g);
		break;
	}
}

static void gone(struct guest *g)
{
	close(g->sock);
	g->sock = -1;
	kill(g->pid, SIGKILL);
	waitpid(g->pid, NULL, 0);
	settle(g, "dead", -1);
	g->state = GONE;
	finished(g);
}

static void receive(struct guest *g)
{
	ssize_t n = read(g->sock, g->rx + g->rx_len, sizeof(g->rx) - g->rx_len);
	size_t off = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		gone(g);
		return;
	}
	g->rx_len += n;
	while (g->rx_len - off >= sizeof(struct frame)) {
		struct frame head;

		memcpy(&head, g->rx + off, sizeof(head));
		if (head.len > FRAME_MAX) {
			warnx("virtio port: frame of %u bytes", head.len);
			gone(g);
			return;
		}
		if (g->rx_len - off < sizeof(head) + head.len)
			break;
		handle(g, &head, g->rx + off + sizeof(head));
		off += sizeof(head) + head.len;
	}
	g->rx_len -= off;
	memmove(g->rx, g->rx + off, g->rx_len);
}

static void transmit(struct guest *g)
{
	ssize_t n = write(g->sock, g->tx, g->tx_len);

	if (n > 0) {
		g->tx_len -= n;
		memmove(g->tx, g->tx + n, g->tx_len);
	}
}

static void read_stdin(void)
{
	char buf[FRAME_MAX / 2];
	ssize_t n = read(0, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (tty && n > 0 && memchr(buf, ESCAPE, n)) {
		stopped_by = SIGTERM;
		return;
	}
	/* an error is a background job that may not read its terminal: it has no input */
	if (n > 0) {
		queue(&guests[0], FRAME_IN, buf, n);
	} else {
		queue(&guests[0], FRAME_IN_EOF, NULL, 0);
		in_open = false;
	}
}

static void check_time(struct guest *g)
{
	int64_t now = now_ms();

	if (g->state == GONE)
		return;
	if (g->deadline && now >= g->deadline) {
		switch (g->state) {
		case BOOTING:
			settle(g, "noboot", boot_s);
			break;
		case RUNNING:
			for (int i = 0; i < nr_guests; i++)
				if (guests[i].state >= FINISHED)
					settle(g, "partner", -1);
			settle(g, "timeout", limit_s);
			queue(g, FRAME_DUMP, NULL, 0);
			g->state = DUMPING;
			g->deadline = now + DUMP_S * 1000;
			return;
		case FINISHED:
			/* the command's end does not count if the kernel hangs behind it */
			g->result[0] = '\0';
			settle(g, "noend", shutdown_s);
			break;
		default:
			break;
		}
		gone(g);
		return;
	}
	if (g->state != BOOTING && now - g->heard > silence_s * 1000LL) {
		settle(g, "hung", silence_s);
		gone(g);
	}
}

static void loop(void)
{
	struct guest *first = &guests[0];

	for (;;) {
		struct pollfd p[2 + MAX_GUESTS] = {
			{ .fd = sigfd, .events = POLLIN },
			{ .fd = -1, .events = POLLIN },
		};
		bool all_gone = true;

		if (in_open && first->state == RUNNING && !first->tx_len)
			p[1].fd = 0;
		for (int i = 0; i < nr_guests; i++) {
			p[2 + i].fd = guests[i].sock;
			p[2 + i].events = POLLIN | (guests[i].tx_len ? POLLOUT : 0);
			all_gone = all_gone && guests[i].state == GONE;
		}
		if (all_gone || stopped_by)
			return;
		if (poll(p, 2 + nr_guests, 500) < 0 && errno != EINTR)
			err(1, "poll");
		if (p[0].revents)
			read_signals();
		if (p[1].revents)
			read_stdin();
		for (int i = 0; i < nr_guests; i++) {
			struct guest *g = &guests[i];

			if (g->sock >= 0 && p[2 + i].revents & POLLOUT)
				transmit(g);
			if (g->sock >= 0 &&
			    p[2 + i].revents & (POLLIN | POLLHUP | POLLERR))
				receive(g);
			check_time(g);
		}
	}
}

static void watch_signals(void)
{
	static const int watched[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGWINCH };
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) {
		struct sigaction before;

		/* nohup */
		sigaction(watched[i], NULL, &before);
		if (watched[i] == SIGHUP && before.sa_handler == SIG_IGN)
			continue;
		/* a shell's background job starts with SIGINT ignored */
		signal(watched[i], SIG_DFL);
		sigaddset(&mask, watched[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0)
		err(1, "signalfd");
}

static void write_results(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		err(1, "%s", path);
	for (int i = 0; i < nr_guests; i++) {
		struct guest *g = &guests[i];

		if (g->state != GONE)
			gone(g);
		if (stopped_by == SIGPIPE)
			fprintf(f, "pipe\n");
		else if (stopped_by)
			fprintf(f, "signal %d\n", stopped_by);
		else
			fprintf(f, "%s\n", g->result);
	}
	if (fclose(f))
		err(1, "%s", path);
}

int main(int argc, char **argv)
{
	pid_t parent = getppid();
	const char *job, *result;
	int net[2] = { -1, -1 };
	char folder[4096];
	int opt;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		return 1;
	while ((opt = getopt(argc, argv, "+b:t:s:e:Tl:")) != -1) {
		if (opt == 'b')
			boot_s = atoi(optarg);
		else if (opt == 't')
			limit_s = atoi(optarg);
		else if (opt == 's')
			silence_s = atoi(optarg);
		else if (opt == 'e')
			shutdown_s = atoi(optarg);
		else if (opt == 'T')
			tty = true;
		else if (opt == 'l')
			log_path = optarg;
		else
			return 2;
	}
	if (argc - optind < 3 || strcmp(argv[optind + 2], "--"))
		errx(2, "usage: lab-host [-b S] [-t S] [-s S] [-e S] [-T] [-l LOG] "
			"JOB RESULT -- QEMU ARG… [-- …]");
	job = argv[optind++];
	result = argv[optind++];
	watch_signals();
	for (int i = optind; i < argc; i++) {
		if (strcmp(argv[i], "--"))
			continue;
		if (nr_guests == MAX_GUESTS)
			errx(2, "more than %d guests", MAX_GUESTS);
		argv[i] = NULL;
		nr_guests++;
	}
	if (nr_guests == 2 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, net))
		err(1, "socketpair");
	for (int i = optind, n = 0; n < nr_guests; n++) {
		start_guest(&guests[n], net[n], argv + i + 1);
		snprintf(folder, sizeof(folder), "%s/%d", job, n);
		queue(&guests[n], FRAME_JOB, folder, strlen(folder) + 1);
		while (++i < argc && argv[i])
			;
	}
	if (nr_guests == 2) {
		close(net[0]);
		close(net[1]);
	}
	if (tty)
		raw_tty();
	loop();
	write_results(result);
	return 0;
}
