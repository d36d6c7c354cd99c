// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "kvec.h"
#include "space.h"

/* ---- kexec_file_load() ---- */

void kernel_image(unsigned char *at, size_t len)
{
	struct setup_header header = {
		.setup_sects = 1,
		.boot_flag = 0xaa55,
		/* its second byte: how long the header is from here on */
		.jump = (uint16_t)((sizeof(header) -
				    offsetof(struct setup_header, header))
				   << 8),
		.header = 0x53726448, /* "HdrS" */
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.xloadflags = XLF_KERNEL_64 | XLF_CAN_BE_LOADED_ABOVE_4G | XLF_5LEVEL,
		.kernel_alignment = 1 << 21,
		.pref_address = 1 << 24,
		.cmdline_size = 255,
		.init_size = (uint32_t)len,
	};

	memcpy(at + offsetof(struct boot_params, hdr), &header, sizeof(header));
}

long kvec_read(int fd)
{
	long err = result(
		syscall(SYS_kexec_file_load, fd, -1, 1UL, "", KEXEC_FILE_NO_INITRAMFS));

	if (!err && syscall(SYS_kexec_file_load, -1, -1, 0UL, NULL, KEXEC_FILE_UNLOAD))
		broken("a kernel stays loaded: %s", errno_name(errno));
	return err;
}

/* ---- 9p over a file ---- */

enum {
	RLERROR = 7,
	TGETATTR = 24,
	TXATTRCREATE = 32,
	TVERSION = 100,
	TATTACH = 104,
	TWALK = 110,
	TWRITE = 118,
	TCLUNK = 120
};

#define MSIZE  (128U << 10)
#define HEADER 7 /* size[4] type[1] tag[2] */

struct client {
	int file, answers; /* what it writes to, and the reading end of a pipe */
	int end;           /* the pipe's other end */
	const unsigned char *value;
	size_t len;
	pid_t pid;
	char mountpoint[64];
};

static void put_le32(unsigned char *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint32_t le32(const unsigned char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* The client: mounts, and sets an attribute, whose value is sent as the one message. */
static void client(void *arg)
{
	const struct client *c = arg;
	char options[128];
	int err = 0;

	snprintf(options, sizeof(options),
		 "trans=fd,rfdno=%d,wfdno=%d,version=9p2000.L,access=any,msize=%u",
		 c->answers, c->file, MSIZE);
	if (mount("none", c->mountpoint, "9p", 0, options))
		_exit(errno);
	if (setxattr(c->mountpoint, "user.value", c->value, c->len, 0))
		err = errno;
	if (umount(c->mountpoint) && !err)
		err = errno;
	_exit(err);
}

/*
 * Where the next message starts: the one at the start of the file, as direct I/O, all others behind
 * it.  The client writes none before it has its answer.
 */
static off_t place_message(const struct client *c, bool direct)
{
	off_t pos = direct ? 0 : (off_t)(KVEC_HEADER + c->len);

	if (lseek(c->file, pos, SEEK_SET) != pos ||
	    fcntl(c->file, F_SETFL, direct ? O_DIRECT : 0))
		broken("file of 9p messages: %s", errno_name(errno));
	return pos;
}

/* Where the next message ends; 0 if the client has ended, -ETIME. */
static off_t await_message(const struct client *c, off_t pos, int *status)
{
	struct deadline by = deadline_in(8000);
	off_t now;

	do {
		now = lseek(c->file, 0, SEEK_CUR);
		if (now != pos)
			return now;
		if (waitpid(c->pid, status, WNOHANG) == c->pid)
			return 0;
	} while (deadline_wait(&by));
	return -ETIME;
}

/* The answer to a message; its length. */
static size_t answer_to(unsigned char type, unsigned char answer[256], size_t len)
{
	unsigned char *body = answer + HEADER;

	memset(body, 0, 256 - HEADER);
	answer[4] = type + 1;
	switch (type) {
	case TVERSION:
		put_le32(body, MSIZE);
		body[4] = 8;
		memcpy(body + 6, "9P2000.L", 8);
		return HEADER + 14;
	case TATTACH:
		body[0] = 0x80; /* a directory */
		return HEADER + 13;
	case TGETATTR:
		put_le32(body, 0x7ff); /* the basic ones */
		body[8] = 0x80;
		put_le32(body + 21, S_IFDIR | 0700);
		put_le32(body + 33, 2);
		return HEADER + 153;
	case TWALK:
		return HEADER + 2;
	case TWRITE:
		put_le32(body, (uint32_t)len - KVEC_HEADER);
		return HEADER + 4;
	case TXATTRCREATE:
	case TCLUNK:
		return HEADER;
	default:
		answer[4] = RLERROR;
		put_le32(body, EOPNOTSUPP);
		return HEADER + 4;
	}
}

static void send_answer(const struct client *c, const unsigned char *message)
{
	unsigned char text[256];
	size_t len = answer_to(message[4], text, KVEC_HEADER + c->len);

	put_le32(text, (uint32_t)len);
	memcpy(text + 5, message + 5, 2);
	if (write(c->end, text, len) != (ssize_t)len)
		broken("pipe: %s", errno_name(errno));
}

/* Answers until the client ends; what its system calls gave. */
static long serve(const struct client *c, off_t pos)
{
	unsigned char message[HEADER];
	int status;
	off_t end;

	while ((end = await_message(c, pos, &status)) > 0) {
		/* seven bytes are no direct I/O */
		if (fcntl(c->file, F_SETFL, 0) ||
		    read_at(c->file, message, HEADER, (uint64_t)pos) != HEADER)
			broken("file of 9p messages: %s", errno_name(errno));
		if (!pos && (message[4] != TWRITE || (size_t)end != KVEC_HEADER + c->len))
			fail_now("9p message %d of %ld bytes", message[4], (long)end);
		pos = place_message(c, message[4] == TXATTRCREATE);
		send_answer(c, message);
	}
	if (end)
		return end;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

long kvec_write(int fd, const unsigned char *at, size_t len)
{
	struct client c = { .file = fd,
			    .value = at + KVEC_HEADER,
			    .len = len - KVEC_HEADER };
	int ends[2], flags = fcntl(fd, F_GETFL);
	off_t pos;
	long err;

	own_mounts();
	if (pipe2(ends, O_CLOEXEC))
		broken("pipe: %s", errno_name(errno));
	c.answers = ends[0];
	c.end = ends[1];
	snprintf(c.mountpoint, sizeof(c.mountpoint), "/run/9p-%d", getpid());
	if (mkdir(c.mountpoint, 0755) && errno != EEXIST)
		broken("%s: %s", c.mountpoint, errno_name(errno));
	pos = place_message(&c, false);
	c.pid = in_child(client, &c);
	err = serve(&c, pos);
	close(ends[0]);
	close(ends[1]);
	if (fcntl(fd, F_SETFL, flags & O_DIRECT))
		broken("F_SETFL: %s", errno_name(errno));
	return err ? err : (long)len;
}

bool kvec_header_matches(const unsigned char *at, size_t len)
{
	return le32(at) == len && at[4] == TWRITE && le32(at + 19) == len - KVEC_HEADER;
}
