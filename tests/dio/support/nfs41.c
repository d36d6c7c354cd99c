// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* RPC over TCP (RFC 5531) and NFSv4.1 (RFC 8881, block layouts: RFC 5663), as far as it takes. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"
#include "check.h"
#include "nfs41.h"

#define MESSAGE_MAX   4096
#define STATEID_LEN   16
#define SESSIONID_LEN 16

#define NFS_PROGRAM      100003
#define CALLBACK_PROGRAM 0x40000000
#define LAYOUT_BLOCKS    3 /* LAYOUT4_BLOCK_VOLUME */
#define LAYOUT_RW        2
#define LAYOUT_ANY       3
#define EXTENT_RW        0 /* PNFS_BLOCK_READWRITE_DATA */

enum {
	RPC_CALL,
	RPC_REPLY
};

enum {
	OP_CLOSE = 4,
	OP_LOOKUP = 15,
	OP_OPEN = 18,
	OP_PUTROOTFH = 24,
	OP_SETATTR = 34,
	OP_EXCHANGE_ID = 42,
	OP_CREATE_SESSION = 43,
	OP_DESTROY_SESSION = 44,
	OP_LAYOUTGET = 50,
	OP_LAYOUTRETURN = 51,
	OP_SEQUENCE = 53,
	OP_DESTROY_CLIENTID = 57,
	OP_RECLAIM_COMPLETE = 58,
	/* the server's */
	OP_CB_LAYOUTRECALL = 5,
	OP_CB_SEQUENCE = 11
};

/* A message, without the four bytes of length before it. */
struct message {
	unsigned char data[MESSAGE_MAX];
	size_t at, len; /* where it is read, where it ends */
};

static struct {
	int fd;
	char path[256]; /* on the server, from its root on */
	uint32_t xid, slot_sequence;
	uint64_t clientid;
	unsigned char session[SESSIONID_LEN];
	unsigned char open_state[STATEID_LEN], layout_state[STATEID_LEN];
	bool recalled;
} client = { .fd = -1 };

static struct message request, answer;
static uint32_t operations; /* in the request */
static size_t operations_at;

/* ---- XDR ---- */

static void put_fixed(struct message *m, const void *from, size_t len)
{
	size_t padded = (len + 3) & ~(size_t)3;

	if (padded > MESSAGE_MAX - m->len)
		broken("NFS: a message is too long");
	memset(m->data + m->len, 0, padded);
	if (len)
		memcpy(m->data + m->len, from, len);
	m->len += padded;
}

static void put_words(struct message *m, const uint32_t *words, size_t n)
{
	uint32_t word;

	while (n--) {
		word = htobe32(*words++);
		put_fixed(m, &word, sizeof(word));
	}
}

#define WORDS(...) \
	(const uint32_t[]){ __VA_ARGS__ }, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4
#define PUT(m, ...) put_words(m, WORDS(__VA_ARGS__))

static void put64(struct message *m, uint64_t value)
{
	PUT(m, (uint32_t)(value >> 32), (uint32_t)value);
}

static void put_opaque(struct message *m, const void *from, size_t len)
{
	PUT(m, (uint32_t)len);
	put_fixed(m, from, len);
}

static const unsigned char *get_fixed(struct message *m, size_t len)
{
	const unsigned char *at = m->data + m->at;
	size_t padded = (len + 3) & ~(size_t)3;

	if (padded < len || padded > m->len - m->at)
		broken("NFS: the server's message ends early");
	m->at += padded;
	return at;
}

static uint32_t get32(struct message *m)
{
	uint32_t value;

	memcpy(&value, get_fixed(m, sizeof(value)), sizeof(value));
	return be32toh(value);
}

static uint64_t get64(struct message *m)
{
	uint64_t high = get32(m);

	return high << 32 | get32(m);
}

static void skip_opaque(struct message *m)
{
	get_fixed(m, get32(m));
}

/* ---- messages ---- */

static void message_send(const struct message *m)
{
	unsigned char record[4 + MESSAGE_MAX];
	uint32_t mark = htobe32(0x80000000 | (uint32_t)m->len);

	memcpy(record, &mark, sizeof(mark));
	memcpy(record + sizeof(mark), m->data, m->len);
	if (send(client.fd, record, sizeof(mark) + m->len, MSG_NOSIGNAL) !=
	    (ssize_t)(sizeof(mark) + m->len))
		broken("NFS: the server has gone: %s", errno_name(errno));
}

static void message_receive(struct message *m)
{
	uint32_t mark;

	if (recv(client.fd, &mark, sizeof(mark), MSG_WAITALL) != sizeof(mark))
		broken("NFS: the server has hung up");
	mark = be32toh(mark);
	m->at = 0;
	m->len = mark & 0x7fffffff;
	if (!(mark & 0x80000000) || m->len > MESSAGE_MAX)
		broken("NFS: a record of %zu bytes", m->len);
	if (recv(client.fd, m->data, m->len, MSG_WAITALL) != (ssize_t)m->len)
		broken("NFS: the server has hung up");
}

/* One operation of the server's; its answer is added. */
static void callback_operation(struct message *in, struct message *out)
{
	uint32_t op = get32(in);

	PUT(out, op);
	switch (op) {
	case OP_CB_SEQUENCE:
		PUT(out, NFS4_OK);
		put_fixed(out, get_fixed(in, SESSIONID_LEN), SESSIONID_LEN);
		/* sequence, slot, highest slot; there will be no higher one */
		put_fixed(out, get_fixed(in, 12), 12);
		PUT(out, 0);
		get32(in); /* cache this */
		if (get32(in))
			broken("NFS: CB_SEQUENCE refers to calls");
		break;
	case OP_CB_LAYOUTRECALL:
		client.recalled = true;
		PUT(out, NFS4_OK);
		break;
	default:
		broken("NFS: the server asks for operation %u", op);
	}
}

/* The message is a call whose number has been read. */
static void callback_answer(struct message *in, uint32_t xid)
{
	struct message out = { .len = 0 };
	uint32_t procedure, count, i;

	get_fixed(in, 12); /* version of RPC, program, its version */
	procedure = get32(in);
	for (i = 0; i < 2; i++) { /* credential, verifier */
		get32(in);
		skip_opaque(in);
	}
	PUT(&out, xid, RPC_REPLY, 0, 0, 0, 0); /* accepted, no verifier, done */
	if (procedure) {
		skip_opaque(in);  /* tag */
		get_fixed(in, 8); /* minor version, identifier */
		count = get32(in);
		PUT(&out, NFS4_OK, 0, count); /* no tag */
		for (i = 0; i < count; i++)
			callback_operation(in, &out);
	}
	message_send(&out);
}

/*
 * Waits for a message of the server's; a call is answered.  False if the descriptor has something
 * instead, or the time is over.
 */
static bool message_next(const struct deadline *by, int fd, uint32_t *xid, uint32_t *type)
{
	struct pollfd p[2] = { { .fd = client.fd, .events = POLLIN },
			       { .fd = fd, .events = POLLIN } };

	do {
		if (deadline_over(by) || p[1].revents)
			return false;
		if (poll(p, 2, 100) < 0)
			broken("poll: %s", errno_name(errno));
	} while (!p[0].revents);
	message_receive(&answer);
	*xid = get32(&answer);
	*type = get32(&answer);
	if (*type == RPC_CALL)
		callback_answer(&answer, *xid);
	return true;
}

/* ---- requests ---- */

/* Its number and first arguments. */
#define OPERATION(...) operation(WORDS(__VA_ARGS__))

static void operation(const uint32_t *words, size_t n)
{
	put_words(&request, words, n);
	operations++;
}

static void request_new(void)
{
	request.len = 0;
	operations = 0;
	PUT(&request, ++client.xid, RPC_CALL, 2, NFS_PROGRAM, 4, 1); /* COMPOUND */
	PUT(&request, 1, 20, 0, 0, 0, 0, 0, 0, 0); /* AUTH_SYS as root, no verifier */
	PUT(&request, 0, 1);                       /* no tag, minor version */
	operations_at = request.len;
	PUT(&request, 0);
}

static void request_in_session(void)
{
	request_new();
	OPERATION(OP_SEQUENCE);
	put_fixed(&request, client.session, SESSIONID_LEN);
	/* slot, highest slot, do not cache */
	PUT(&request, ++client.slot_sequence, 0, 0, 0);
}

static void request_at_file(void)
{
	const char *name = client.path, *end;

	request_in_session();
	OPERATION(OP_PUTROOTFH);
	for (; *name; name = end) {
		name += strspn(name, "/");
		end = name + strcspn(name, "/");
		OPERATION(OP_LOOKUP);
		put_opaque(&request, name, (size_t)(end - name));
	}
}

/* Sends it; the status of its last operation, whose results come next.  All before succeed. */
static uint32_t request_do(void)
{
	struct deadline by = deadline_in(step_deadline_ms);
	uint32_t count = htobe32(operations), xid, type, op = 0, status = NFS4_OK, i;

	memcpy(request.data + operations_at, &count, sizeof(count));
	message_send(&request);
	do {
		if (!message_next(&by, -1, &xid, &type))
			fail_now("NFS: the server does not answer");
	} while (type != RPC_REPLY || xid != client.xid);
	if (get32(&answer))
		broken("NFS: the server rejects the call");
	get_fixed(&answer, 8); /* no verifier */
	if (get32(&answer))
		broken("NFS: the server does not accept the call");
	get_fixed(&answer, 8); /* status of the last operation, no tag */
	count = get32(&answer);
	for (i = 0; i < count; i++) {
		if (op == OP_SEQUENCE)
			get_fixed(&answer, SESSIONID_LEN + 20);
		op = get32(&answer);
		status = get32(&answer);
	}
	if (count != operations)
		broken("NFS: operation %u: status %u", op, status);
	return status;
}

static void request_must(const char *what)
{
	uint32_t status = request_do();

	if (status)
		broken("NFS: %s: status %u", what, status);
}

/* ---- the client ---- */

static void put_channel(void)
{
	/* bytes of a request, an answer, one that is kept; operations; one request at a time */
	PUT(&request, 0, MESSAGE_MAX, MESSAGE_MAX, 1024, 16, 1, 0);
}

static void session_new(void)
{
	struct timespec now;
	char name[64];
	uint32_t sequence;

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(name, sizeof(name), "check %d", getpid());
	request_new();
	OPERATION(OP_EXCHANGE_ID);
	put64(&request, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	put_opaque(&request, name, strlen(name));
	PUT(&request, 0, 0, 0); /* no flags, protection of the state, program */
	request_must("EXCHANGE_ID");
	client.clientid = get64(&answer);
	sequence = get32(&answer);

	request_new();
	OPERATION(OP_CREATE_SESSION);
	put64(&request, client.clientid);
	PUT(&request, sequence, 2); /* the server's calls come over this connection */
	put_channel();
	put_channel();
	PUT(&request, CALLBACK_PROGRAM, 1, 0); /* AUTH_NONE */
	request_must("CREATE_SESSION");
	memcpy(client.session, get_fixed(&answer, SESSIONID_LEN), SESSIONID_LEN);
	client.slot_sequence = 0;

	request_in_session();
	OPERATION(OP_RECLAIM_COMPLETE, 0); /* on all file systems */
	request_must("RECLAIM_COMPLETE");
}

void nfs41_open(const char *path, bool pnfs)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(2049) };
	size_t fs = strncmp(path, "/mnt/", 5) ? 0 : strcspn(path + 5, "/");

	if (!fs)
		broken("%s is not exported", path);
	snprintf(client.path, sizeof(client.path), "/%.*s%s%s", (int)fs, path + 5,
		 pnfs ? "-pnfs" : "", path + 5 + fs);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client.fd < 0 || connect(client.fd, (struct sockaddr *)&at, sizeof(at)))
		broken("no NFS server: run within tests/dio/with-nfs");
	session_new();

	request_at_file();
	/* to read and write, with no delegation; others may do what they like */
	OPERATION(OP_OPEN, 0, 3 | 0x400, 0);
	put64(&request, client.clientid);
	put_opaque(&request, "check", 5);
	PUT(&request, 0, 4); /* do not create, CLAIM_FH: what has been looked up */
	request_must("OPEN");
	memcpy(client.open_state, get_fixed(&answer, STATEID_LEN), STATEID_LEN);
	client.recalled = false;
}

void nfs41_close(void)
{
	request_at_file();
	OPERATION(OP_CLOSE, 0);
	put_fixed(&request, client.open_state, STATEID_LEN);
	request_must("CLOSE");

	request_new();
	OPERATION(OP_DESTROY_SESSION);
	put_fixed(&request, client.session, SESSIONID_LEN);
	request_must("DESTROY_SESSION");

	request_new();
	OPERATION(OP_DESTROY_CLIENTID);
	put64(&request, client.clientid);
	request_must("DESTROY_CLIENTID");
	close(client.fd);
	client.fd = -1;
}

uint32_t nfs41_layoutget(uint64_t len)
{
	uint32_t status;

	request_at_file();
	OPERATION(OP_LAYOUTGET, 0, LAYOUT_BLOCKS, LAYOUT_RW);
	put64(&request, 0);
	put64(&request, len);
	put64(&request, len); /* nothing less */
	put_fixed(&request, client.open_state, STATEID_LEN);
	PUT(&request, MESSAGE_MAX);
	client.recalled = false;
	status = request_do();
	if (status)
		return status;
	get32(&answer); /* return on close */
	memcpy(client.layout_state, get_fixed(&answer, STATEID_LEN), STATEID_LEN);
	if (get32(&answer) != 1 || get64(&answer) || get64(&answer) < len)
		broken("NFS: another layout than asked for");
	get_fixed(&answer, 12); /* mode, type, size */
	if (get32(&answer) != 1)
		broken("NFS: a layout of several extents");
	get_fixed(&answer, 40); /* device, place in the file, length, block */
	expect_value(EXTENT_RW, get32(&answer));
	return NFS4_OK;
}

uint32_t nfs41_layoutreturn(void)
{
	request_at_file();
	OPERATION(OP_LAYOUTRETURN, 0, LAYOUT_BLOCKS, LAYOUT_ANY, 1); /* of this file */
	put64(&request, 0);
	put64(&request, UINT64_MAX);
	put_fixed(&request, client.layout_state, STATEID_LEN);
	PUT(&request, 0);
	return request_do();
}

uint32_t nfs41_truncate(uint64_t size)
{
	request_at_file();
	OPERATION(OP_SETATTR);
	put_fixed(&request, client.open_state, STATEID_LEN);
	PUT(&request, 1, 1 << 4, 8); /* the size */
	put64(&request, size);
	return request_do();
}

void nfs41_serve(int fd)
{
	struct deadline by = deadline_in(step_deadline_ms / 2);
	uint32_t xid, type;

	while (message_next(&by, fd, &xid, &type))
		;
}

bool nfs41_is_recalled(int ms)
{
	struct deadline by = deadline_in(ms);
	uint32_t xid, type;

	while (!client.recalled && message_next(&by, -1, &xid, &type))
		;
	return client.recalled;
}
