// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * RDMA devices added and removed, by the messages that "rdma link" sends: a program takes longer to
 * start in an emulated guest than the kernel takes for the device.
 */
#include <errno.h>
#include <glob.h>
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "ops.h"

struct link_step {
	char name[32], type[16], netdev[16];
	bool add;
};

struct request {
	struct nlmsghdr head;
	char attributes[256];
};

static void put(struct request *r, int type, const void *value, size_t len)
{
	struct nlattr *a = (struct nlattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	a->nla_type = (uint16_t)type;
	a->nla_len = (uint16_t)(NLA_HDRLEN + len);
	memcpy((char *)a + NLA_HDRLEN, value, len);
	r->head.nlmsg_len =
		(uint32_t)(NLMSG_ALIGN(r->head.nlmsg_len) + NLA_ALIGN(a->nla_len));
}

static void put_text(struct request *r, int type, const char *text)
{
	put(r, type, text, strlen(text) + 1);
}

static const void *attribute(const struct nlmsghdr *m, int type)
{
	const char *at = NLMSG_DATA(m), *end = (const char *)m + m->nlmsg_len;
	const struct nlattr *a;

	for (; end - at >= NLA_HDRLEN; at += NLA_ALIGN(a->nla_len)) {
		a = (const struct nlattr *)at;
		if (a->nla_len < NLA_HDRLEN)
			break;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return at + NLA_HDRLEN;
	}
	return NULL;
}

/* The index of the device in a part of the answer; -1: it is not there. */
static long index_in(const struct nlmsghdr *m, const char *name)
{
	const char *is = attribute(m, RDMA_NLDEV_ATTR_DEV_NAME);
	const uint32_t *index = attribute(m, RDMA_NLDEV_ATTR_DEV_INDEX);

	return is && index && !strcmp(is, name) ? (long)*index : -1;
}

/* Looks through a part of an answer; true: it was the last one. */
static bool take_answer(const void *answer, ssize_t n, const char *name, long *result)
{
	const struct nlmsghdr *m;

	for (m = answer; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
		if (m->nlmsg_type == NLMSG_DONE)
			return true;
		if (m->nlmsg_type == NLMSG_ERROR) {
			*result = ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
			return true;
		}
		if (index_in(m, name) >= 0)
			*result = index_in(m, name);
	}
	return false;
}

/* What the kernel answers to the request; for a list of devices, the index of the named one. */
static long ask(int command, int flags, struct request *r, const char *name)
{
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);
	_Alignas(struct nlmsghdr) char answer[32768];
	long result = -ENODEV;
	ssize_t n;

	if (sock < 0)
		return -errno;
	r->head.nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command);
	r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	n = send(sock, r, r->head.nlmsg_len, 0);
	while (n > 0) {
		n = recv(sock, answer, sizeof(answer), 0);
		if (n > 0 && take_answer(answer, n, name, &result))
			break;
	}
	if (n <= 0)
		result = n ? -errno : -EPROTO;
	close(sock);
	return result;
}

/*
 * The kernel lists one device in each answer, by its place among them.  If another device goes away
 * meanwhile, the next answer skips one, which is then asked for again while sysfs has it.
 */
static long index_of(const char *name)
{
	char path[80];
	long ret;

	snprintf(path, sizeof(path), "/sys/class/infiniband/%s", name);
	do {
		struct request r = { .head.nlmsg_len = NLMSG_HDRLEN };

		ret = ask(RDMA_NLDEV_CMD_GET, NLM_F_DUMP, &r, name);
	} while (ret == -ENODEV && !access(path, F_OK));
	return ret;
}

static long change_link(void *buf, size_t size)
{
	const struct link_step *l = buf;
	struct request r = { .head.nlmsg_len = NLMSG_HDRLEN };
	uint32_t index;
	long ret;

	(void)size;
	if (l->add) {
		put_text(&r, RDMA_NLDEV_ATTR_DEV_NAME, l->name);
		put_text(&r, RDMA_NLDEV_ATTR_LINK_TYPE, l->type);
		put_text(&r, RDMA_NLDEV_ATTR_NDEV_NAME, l->netdev);
		return ask(RDMA_NLDEV_CMD_NEWLINK, NLM_F_ACK, &r, l->name);
	}
	ret = index_of(l->name);
	if (ret < 0)
		return ret;
	index = (uint32_t)ret;
	put(&r, RDMA_NLDEV_ATTR_DEV_INDEX, &index, sizeof(index));
	return ask(RDMA_NLDEV_CMD_DELLINK, NLM_F_ACK, &r, l->name);
}

long a_rdma_link_add(struct actor *admin, const char *name, const char *type,
		     const char *netdev)
{
	struct link_step l = { .add = true };

	snprintf(l.name, sizeof(l.name), "%s", name);
	snprintf(l.type, sizeof(l.type), "%s", type);
	snprintf(l.netdev, sizeof(l.netdev), "%s", netdev);
	return actor_call(admin, change_link, &l, sizeof(l));
}

long a_rdma_link_delete(struct actor *admin, const char *name)
{
	struct link_step l = { .add = false };

	snprintf(l.name, sizeof(l.name), "%s", name);
	return actor_call(admin, change_link, &l, sizeof(l));
}

/*
 * What a run that was killed, or a test that failed, has left behind: a device of that name, or another
 * siw, of which a network device has one at most.
 */
static void remove_left_behind(struct actor *admin, const char *name, const char *type)
{
	const char *what = strcmp(type, "siw") ? name : "siw_*";
	char pattern[96];
	glob_t g;
	size_t i;

	snprintf(pattern, sizeof(pattern), "/sys/class/infiniband/%s", what);
	if (glob(pattern, 0, NULL, &g))
		return;
	for (i = 0; i < g.gl_pathc; i++)
		must(a_rdma_link_delete(admin, strrchr(g.gl_pathv[i], '/') + 1));
	globfree(&g);
}

void a_rdma_device(struct actor *admin, const char *name, const char *type)
{
	long ret = a_rdma_link_add(admin, name, type, "lo");

	if (ret == -EEXIST) {
		remove_left_behind(admin, name, type);
		ret = a_rdma_link_add(admin, name, type, "lo");
	}
	if (ret)
		skip("no %s device on lo: %s", type, errno_name((int)-ret));
}
