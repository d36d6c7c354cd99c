// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The guest's network: addresses on one device, and rxe0 on it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <rdma/rdma_netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "netlink.h"
#include "network.h"

static struct netlink_request request;
static const char *step; /* for the message of an error */

static bool route(void)
{
	errno = -netlink_ask(NETLINK_ROUTE, &request, NULL, NULL);
	return errno == 0;
}

static bool add_veth(const char *name, const char *peer_name)
{
	struct ifinfomsg device = { .ifi_family = AF_UNSPEC };
	struct nlattr *info, *data, *peer;

	step = "veth";
	netlink_begin(&request, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
		      &device, sizeof(device));
	netlink_put_text(&request, IFLA_IFNAME, name);
	info = netlink_open_nest(&request, IFLA_LINKINFO);
	netlink_put_text(&request, IFLA_INFO_KIND, "veth");
	data = netlink_open_nest(&request, IFLA_INFO_DATA);
	peer = netlink_open_nest(&request, VETH_INFO_PEER);
	netlink_put_fixed(&request, &device, sizeof(device));
	netlink_put_text(&request, IFLA_IFNAME, peer_name);
	netlink_close_nest(&request, peer);
	netlink_close_nest(&request, data);
	netlink_close_nest(&request, info);
	return route();
}

static bool set_up(const char *name, uint32_t mtu)
{
	struct ifinfomsg device = {
		.ifi_family = AF_UNSPEC,
		.ifi_flags = IFF_UP,
		.ifi_change = IFF_UP,
	};

	step = name;
	netlink_begin(&request, RTM_NEWLINK, NLM_F_ACK, &device, sizeof(device));
	netlink_put_text(&request, IFLA_IFNAME, name);
	netlink_put(&request, IFLA_MTU, &mtu, sizeof(mtu));
	return route();
}

/* 10.77.0.HOST or fd77::HOST */
static size_t address(int family, int host, void *to)
{
	char text[32];

	snprintf(text, sizeof(text), family == AF_INET ? "10.77.0.%d" : "fd77::%d", host);
	inet_pton(family, text, to);
	return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

static bool add_address(int family, unsigned int device, int host)
{
	struct ifaddrmsg m = {
		.ifa_family = (uint8_t)family,
		.ifa_prefixlen = family == AF_INET ? 24 : 64,
		.ifa_flags = family == AF_INET ? 0 : IFA_F_NODAD,
		.ifa_index = device,
	};
	struct in6_addr to;
	size_t len = address(family, host, &to);

	step = "address";
	netlink_begin(&request, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &m,
		      sizeof(m));
	netlink_put(&request, IFA_LOCAL, &to, len);
	netlink_put(&request, IFA_ADDRESS, &to, len);
	return route();
}

static bool add_neighbour(int family, unsigned int device, int host)
{
	struct ndmsg m = {
		.ndm_family = (uint8_t)family,
		.ndm_ifindex = (int)device,
		.ndm_state = NUD_PERMANENT,
	};
	uint8_t mac[] = { 0x52, 0x54, 0, 0, 0x77, (uint8_t)host };
	struct in6_addr to;
	size_t len = address(family, host, &to);

	step = "neighbour";
	netlink_begin(&request, RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &m,
		      sizeof(m));
	netlink_put(&request, NDA_DST, &to, len);
	netlink_put(&request, NDA_LLADDR, mac, sizeof(mac));
	return route();
}

static bool add_rxe(const char *device)
{
	step = "rxe0";
	netlink_begin(&request, RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_NEWLINK),
		      NLM_F_ACK, NULL, 0);
	netlink_put_text(&request, RDMA_NLDEV_ATTR_DEV_NAME, "rxe0");
	netlink_put_text(&request, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe");
	netlink_put_text(&request, RDMA_NLDEV_ATTR_NDEV_NAME, device);
	errno = -netlink_ask(NETLINK_RDMA, &request, NULL, NULL);
	return errno == 0;
}

/* The kernels of the demo do without. */
static bool has_ipv6(void)
{
	return access("/proc/net/if_inet6", F_OK) == 0;
}

const char *network_make(const char *net, int host, int hosts)
{
	const char *name = net;
	unsigned int device;
	int peer = 2 - host;

	if (!strcmp(net, "veth")) {
		name = "v0";
		if (!add_veth(name, "v1") || !set_up("v1", 4200))
			return step;
	} else if (!strcmp(net, "eth")) {
		name = "eth0";
	}
	if (!set_up("lo", 65536) || (strcmp(name, "lo") && !set_up(name, 4200)))
		return step;
	step = name;
	device = if_nametoindex(name);
	if (!device || !add_address(AF_INET, device, host + 1) ||
	    (has_ipv6() && !add_address(AF_INET6, device, host + 1)))
		return step;
	/* a busy host answers address resolution too late for RDMA-CM's time limits */
	if (hosts == 2 && (!add_neighbour(AF_INET, device, peer) ||
			   (has_ipv6() && !add_neighbour(AF_INET6, device, peer))))
		return step;
	return add_rxe(name) ? NULL : step;
}
