// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Steps with RDMA: contexts, MRs, traffic. */
#include "do.h"

#define ACCESS_WORDS "remote|remote-read|local|none"

static const int access_flags[] = {
	REMOTE_RW | IBV_ACCESS_REMOTE_ATOMIC,
	IBV_ACCESS_REMOTE_READ,
	IBV_ACCESS_LOCAL_WRITE,
	0,
};

static int access_of(const struct arg *arg)
{
	return access_flags[arg->kind ? arg->number : 0];
}

/* ---- contexts ---- */

/* A process has contexts 0 and 1 for what it registers, 2 and up for what it connects. */
#define PEER_CONTEXT 4

static int free_context(struct run *r, struct actor *a)
{
	struct name *n;
	int used = 0;

	for (n = r->litmus->names; n; n = n->next)
		if (n->kind == K_CTX && n->owner && n->owner->actor == a && n->fd >= 0)
			used++;
	return used;
}

static long open_context(struct run *r, struct actor *a, const char *device,
			 struct name *result)
{
	int ctx = free_context(r, a);
	long fd = v_open_device(a, ctx, device), pd;

	if (fd < 0)
		return fd;
	pd = v_pd_handle(a, ctx);
	if (pd < 0)
		return pd;
	if (result) {
		result->fd = fd;
		result->ctx = ctx;
		result->pd = (uint32_t)pd;
	}
	return 0;
}

DO(device)
{
	return open_context(r, a, arg[0].kind ? arg[0].word : RXE_DEVICE, result);
}

/* A device of its own, so that rxe0 stays as it is for other tests. */
DO(add_link)
{
	a_rdma_device(a, arg[0].word, arg[1].kind && arg[1].number ? "siw" : "rxe");
	return 0;
}

DO(remove_link)
{
	return a_rdma_link_delete(a, arg[0].word);
}

/* As a library does it: everything is destroyed first. */
DO(close_device)
{
	return v_close(a, arg[0].name->ctx);
}

DO(channel)
{
	long fd = v_channel_fd(a, arg[0].name->ctx);

	if (fd >= 0 && result)
		result->fd = fd;
	return fd;
}

DO(async)
{
	long fd = v_async_fd(a, arg[0].name->ctx);

	if (fd >= 0 && result)
		result->fd = fd;
	return fd;
}

/* ---- MRs ---- */

static long register_mapping(struct actor *a, struct name *ctx, struct name *map,
			     struct range range, int access, struct name *result)
{
	struct mr mr;
	long ret;

	if (!range_within(&range, map->map.len))
		broken("the range is not within the mapping");
	ret = v_reg(a, ctx->ctx, map->map.addr + range.from, range.to - range.from,
		    access, &mr);
	if (ret >= 0 && result) {
		mr.pos = map->map.pos + range.from;
		result->mr = mr;
		result->of = ctx;
	}
	return ret < 0 ? ret : 0;
}

DO(register)
{
	return register_mapping(a, arg[0].name, arg[1].name,
				arg[2].kind ? arg[2].range : WHOLE, access_of(&arg[3]),
				result);
}

DO(dereg)
{
	return v_dereg(a, &arg[0].name->mr);
}

DO(rereg_access)
{
	return v_rereg_access(a, &arg[0].name->mr, access_flags[arg[1].number]);
}

DO(rereg_range)
{
	struct mr *mr = &arg[0].name->mr;
	const struct name *map = arg[1].name;
	struct range range = arg[2].kind ? arg[2].range : WHOLE;
	long ret;

	if (!range_within(&range, map->map.len))
		broken("the range is not within the mapping");
	ret = v_rereg(a, mr, map->map.addr + range.from, range.to - range.from);
	if (ret >= 0)
		mr->pos = map->map.pos + range.from;
	return ret;
}

/* By the bare descriptor, as a process does it that received it. */
DO(register_raw)
{
	struct name *ctx = arg[1].name, *map = arg[2].name;
	long handle = v_raw_reg(a, fd_of(&arg[0]), ctx->pd, map->map.addr, map->map.len,
				REMOTE_RW);

	if (handle >= 0 && result) {
		result->mr = (struct mr){ .handle = (uint32_t)handle };
		result->of = ctx;
	}
	return handle < 0 ? handle : 0;
}

DO(dereg_raw)
{
	return v_raw_dereg(a, fd_of(&arg[0]), arg[1].name->mr.handle);
}

/* ---- pin: all that it takes, in one step ---- */

static struct name *part_of(struct run *r, const struct name *pin, const char *part)
{
	char text[NAME_LEN + 8];
	struct name *n;

	snprintf(text, sizeof(text), "%s.%s", pin->text, part);
	for (n = r->litmus->names; n; n = n->next)
		if (!strcmp(n->text, text))
			return n;
	broken("no name %s", text);
}

DO(pin)
{
	struct name *fd = part_of(r, result, "fd"), *map = part_of(r, result, "map");
	struct name *ctx = part_of(r, result, "ctx");
	struct stat st;
	long ret;

	fd->fd = ret = a_open(a, path_of(&arg[0]), O_RDWR);
	if (ret >= 0)
		ret = a_setlease(a, fd->fd, EXCLUSIVE_LAYOUT);
	if (ret >= 0)
		ret = SYS(a, SYS_fstat, V(fd->fd), OUT(&st, sizeof(st)));
	if (ret >= 0)
		ret = a_mmap_shared(a, fd->fd, (uint64_t)st.st_size);
	if (ret < 0)
		return ret;
	map->map.addr = (uint64_t)ret;
	map->map.len = (uint64_t)st.st_size;
	ret = open_context(r, a, arg[1].kind ? arg[1].word : RXE_DEVICE, ctx);
	if (ret < 0)
		return ret;
	return register_mapping(a, ctx, map, WHOLE, access_flags[0], result);
}

/* ---- traffic ---- */

/* The actor gets a context of its own and a queue pair joined with one of the context. */
DO(connect)
{
	struct name *ctx = arg[0].name;
	long ret = v_open(a, PEER_CONTEXT);

	if (ret < 0)
		return ret;
	v_connect(a, PEER_CONTEXT, ctx->owner->actor, ctx->ctx);
	return 0;
}

static long rdma(struct actor *a, struct arg *arg,
		 long (*fn)(struct actor *a, int ctx, const struct mr *mr, uint64_t off,
			    uint64_t len, uint64_t seed))
{
	const struct mr *mr = &arg[0].name->mr;
	struct range range = arg[1].range;
	long ret = 0;

	if (!range_within(&range, mr->len))
		broken("the range is not within the MR");
	while (!ret && range.from < range.to) {
		uint64_t n = range.to - range.from;

		n = n < KiB(64) ? n : KiB(64);
		ret = fn(a, PEER_CONTEXT, mr, range.from, n, arg[2].number);
		range.from += n;
	}
	return ret;
}

DO(rdma_write)
{
	return rdma(a, arg, v_write);
}

DO(rdma_read)
{
	return rdma(a, arg, v_read_check);
}

/* The old value, little endian as the memory has it. */
DO(rdma_add)
{
	return v_fetch_add(a, PEER_CONTEXT, &arg[0].name->mr, arg[1].number,
			   arg[2].number);
}

DO(receive)
{
	struct name *mr = arg[0].name;

	return v_post_recv(a, mr->of->ctx, &mr->mr);
}

DO(rdma_send)
{
	return v_send(a, PEER_CONTEXT, arg[0].number, arg[1].number);
}

DO(received)
{
	return v_received(a, arg[0].name->ctx);
}

/* Keeps writing, until "settle"; the step ends when the first round has arrived. */
DO(flow)
{
	const struct mr *mr = &arg[0].name->mr;
	struct range range = arg[1].range;

	if (!range_within(&range, mr->len))
		broken("the range is not within the MR");
	return v_flow_start(a, PEER_CONTEXT, mr, range.from, range.to - range.from,
			    arg[2].number);
}

DO(settle)
{
	return v_flow_end(a);
}

const struct verb rdma_verbs[] = {
	{ "device", "[WORD]", K_CTX, do_device, "opens the RDMA device{ $1}{ as $=}", 0,
	  NULL },
	{ "add-link", "WORD [rxe|siw]", K_NONE, do_add_link,
	  "adds the RDMA device $1{ ($2)}", 0, NULL },
	{ "remove-link", "WORD", K_NONE, do_remove_link, "removes the RDMA device $1", 0,
	  NULL },
	{ "close-device", "CTX", K_NONE, do_close_device,
	  "destroys all of $1 and closes the RDMA device", 0, NULL },
	{ "channel", "CTX", K_FD, do_channel, "makes a completion channel of $1{, $=}", 0,
	  NULL },
	{ "async", "CTX", K_FD, do_async, "takes the async-event descriptor of $1{, $=}",
	  0, NULL },
	{ "register", "CTX MAP [RANGE] [" ACCESS_WORDS "]", K_MR, do_register,
	  "registers $2{, bytes $3,} with $1{ for $4 access}{ as $=}", 0, NULL },
	{ "dereg", "MR", K_NONE, do_dereg, "deregisters $1", 0, NULL },
	{ "rereg-access", "MR " ACCESS_WORDS, K_NONE, do_rereg_access,
	  "re-registers $1 with $2 access", 0, NULL },
	{ "rereg-range", "MR as MAP [RANGE]", K_NONE, do_rereg_range,
	  "re-registers $1 as the mapping $2{, bytes $3}", 0, NULL },
	{ "register-raw", "FD of CTX MAP", K_MR, do_register_raw,
	  "registers $3 through the bare descriptor $1{ as $=}", 0, NULL },
	{ "dereg-raw", "FD MR", K_NONE, do_dereg_raw,
	  "deregisters $2 through the bare descriptor $1", 0, NULL },
	{ "pin", "FILE [WORD]", K_MR, do_pin,
	  "opens $1, takes the exclusive layout lease, maps it shared and registers all "
	  "of it"
	  "{ with $2} as $=",
	  0, NULL },
	{ "connect", "CTX", K_NONE, do_connect, "joins a queue pair with $1", 0, NULL },
	{ "rdma-write", "MR RANGE content N", K_NONE, do_rdma_write,
	  "writes content $3 to $2 of the MR $1 by RDMA", 0, NULL },
	{ "rdma-read", "MR RANGE content N", K_NONE, do_rdma_read,
	  "reads content $3 from $2 of the MR $1 by RDMA", 0, NULL },
	{ "rdma-add", "MR SIZE N", K_NONE, do_rdma_add,
	  "adds $3 to the word at $2 of the MR $1 by an RDMA atomic", 0, NULL },
	{ "receive", "MR", K_NONE, do_receive,
	  "posts all of the MR $1 as a receive buffer", 0, NULL },
	{ "rdma-send", "SIZE content N", K_NONE, do_rdma_send,
	  "sends $1 of content $2 to its RDMA peer", 0, NULL },
	{ "received", "CTX", K_NONE, do_received, "takes the next received message of $1",
	  0, NULL },
	{ "flow", "MR RANGE content N", K_NONE, do_flow,
	  "keeps writing to $2 of the MR $1 by RDMA, content $3 last", 0, NULL },
	{ "settle", "", K_NONE, do_settle,
	  "does one more round, reads it back by RDMA, and stops writing", 0, NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
