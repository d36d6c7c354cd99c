// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"

/* The caller's text is of known length: what does not fit is a mistake in the program. */
static void *extend(struct netlink_request *r, size_t len)
{
	size_t at = NLMSG_ALIGN(r->head.nlmsg_len);

	if (at + NLA_ALIGN(len) > sizeof(*r))
		__builtin_trap();
	r->head.nlmsg_len = (uint32_t)(at + NLA_ALIGN(len));
	return (char *)r + at;
}

void netlink_begin(struct netlink_request *r, int type, int flags, const void *fixed,
		   size_t len)
{
	memset(r, 0, sizeof(*r));
	r->head.nlmsg_len = NLMSG_HDRLEN;
	r->head.nlmsg_type = (uint16_t)type;
	r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	netlink_put_fixed(r, fixed, len);
}

void netlink_put_fixed(struct netlink_request *r, const void *fixed, size_t len)
{
	if (len)
		memcpy(extend(r, len), fixed, len);
}

void netlink_put(struct netlink_request *r, int type, const void *value, size_t len)
{
	struct nlattr *a = extend(r, NLA_HDRLEN + len);

	a->nla_type = (uint16_t)type;
	a->nla_len = (uint16_t)(NLA_HDRLEN + len);
	if (len)
		memcpy((char *)a + NLA_HDRLEN, value, len);
}

void netlink_put_text(struct netlink_request *r, int type, const char *text)
{
	netlink_put(r, type, text, strlen(text) + 1);
}

struct nlattr *netlink_open_nest(struct netlink_request *r, int type)
{
	struct nlattr *nest = extend(r, NLA_HDRLEN);

	nest->nla_type = (uint16_t)(type | NLA_F_NESTED);
	return nest;
}

void netlink_close_nest(struct netlink_request *r, struct nlattr *nest)
{
	nest->nla_len = (uint16_t)((char *)r + r->head.nlmsg_len - (char *)nest);
}

const void *netlink_attribute(const struct nlmsghdr *m, size_t fixed, int type)
{
	const char *at = (const char *)m + NLMSG_HDRLEN + NLMSG_ALIGN(fixed);
	const char *end = (const char *)m + m->nlmsg_len;
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

/* Looks through a part of an answer; true: it was the last one, with that result. */
static bool take_answer(const void *answer, ssize_t n,
			void (*each)(const struct nlmsghdr *m, void *arg), void *arg,
			int *result)
{
	const struct nlmsghdr *m;

	for (m = answer; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
		if (m->nlmsg_type == NLMSG_DONE)
			return true;
		if (m->nlmsg_type == NLMSG_ERROR) {
			*result = ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
			return true;
		}
		if (each)
			each(m, arg);
	}
	return false;
}

int netlink_ask(int protocol, struct netlink_request *r,
		void (*each)(const struct nlmsghdr *m, void *arg), void *arg)
{
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	_Alignas(struct nlmsghdr) char answer[32768];
	int result = 0;
	ssize_t n;

	if (sock < 0)
		return -errno;
	n = send(sock, r, r->head.nlmsg_len, 0);
	while (n > 0) {
		n = recv(sock, answer, sizeof(answer), 0);
		if (n > 0 && take_answer(answer, n, each, arg, &result))
			break;
	}
	if (n <= 0)
		result = n ? -errno : -EPROTO;
	close(sock);
	return result;
}
