/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PINVERBS_LAB_NETLINK_H
#define PINVERBS_LAB_NETLINK_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Requests to the kernel in the form of "ip" and "rdma", without starting these: a program takes longer
 * to start in an emulated guest than the kernel takes for the device.
 */
struct netlink_request {
	struct nlmsghdr head;
	char rest[512];
};

/* Starts a request with what stands before its attributes. */
void netlink_begin(struct netlink_request *r, int type, int flags, const void *fixed,
		   size_t len);
/* What an attribute, or a nested one, has before others. */
void netlink_put_fixed(struct netlink_request *r, const void *fixed, size_t len);
void netlink_put(struct netlink_request *r, int type, const void *value, size_t len);
void netlink_put_text(struct netlink_request *r, int type, const char *text);
/* An attribute that ends, with those put into it since, by netlink_close_nest(). */
struct nlattr *netlink_open_nest(struct netlink_request *r, int type);
void netlink_close_nest(struct netlink_request *r, struct nlattr *nest);

/* The attribute of a message whose fixed part has that length, or NULL. */
const void *netlink_attribute(const struct nlmsghdr *m, size_t fixed, int type);

/*
 * Sends the request, with NLM_F_ACK or NLM_F_DUMP among its flags, and calls EACH, if there is one, for
 * each message of the answer.  Returns 0, or a negative errno.
 */
int netlink_ask(int protocol, struct netlink_request *r,
		void (*each)(const struct nlmsghdr *m, void *arg), void *arg);

#endif
