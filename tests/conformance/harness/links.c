// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* RDMA devices added and removed. */
#include <errno.h>
#include <glob.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../lab/netlink.h"
#include "check.h"
#include "ops.h"

struct link_step {
	char name[32], type[16], netdev[16];
	bool add;
};

struct search {
	const char *name;
	long index; /* -ENODEV: it is not there */
};

static void look_at_device(const struct nlmsghdr *m, void *arg)
{
	struct search *s = arg;
	const char *name = netlink_attribute(m, 0, RDMA_NLDEV_ATTR_DEV_NAME);
	const uint32_t *index = netlink_attribute(m, 0, RDMA_NLDEV_ATTR_DEV_INDEX);

	if (name && index && !strcmp(name, s->name))
		s->index = (long)*index;
}

static void begin(struct netlink_request *r, int command, int flags)
{
	netlink_begin(r, RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command), flags, NULL, 0);
}

/*
 * The kernel lists one device in each answer, by its place among them.  If another device goes away
 * meanwhile, the next answer skips one, which is then asked for again while sysfs has it.
 */
static long index_of(const char *name)
{
	struct search s = { .name = name, .index = -ENODEV };
	struct netlink_request r;
	char path[80];
	int ret;

	snprintf(path, sizeof(path), "/sys/class/infiniband/%s", name);
	do {
		begin(&r, RDMA_NLDEV_CMD_GET, NLM_F_DUMP);
		ret = netlink_ask(NETLINK_RDMA, &r, look_at_device, &s);
	} while (!ret && s.index == -ENODEV && !access(path, F_OK));
	return ret ? ret : s.index;
}

static long change_link(void *buf, size_t size)
{
	const struct link_step *l = buf;
	struct netlink_request r;
	uint32_t index;
	long ret;

	(void)size;
	if (l->add) {
		begin(&r, RDMA_NLDEV_CMD_NEWLINK, NLM_F_ACK);
		netlink_put_text(&r, RDMA_NLDEV_ATTR_DEV_NAME, l->name);
		netlink_put_text(&r, RDMA_NLDEV_ATTR_LINK_TYPE, l->type);
		netlink_put_text(&r, RDMA_NLDEV_ATTR_NDEV_NAME, l->netdev);
		return netlink_ask(NETLINK_RDMA, &r, NULL, NULL);
	}
	ret = index_of(l->name);
	if (ret < 0)
		return ret;
	index = (uint32_t)ret;
	begin(&r, RDMA_NLDEV_CMD_DELLINK, NLM_F_ACK);
	netlink_put(&r, RDMA_NLDEV_ATTR_DEV_INDEX, &index, sizeof(index));
	return netlink_ask(NETLINK_RDMA, &r, NULL, NULL);
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

void a_rdma_link_delete_begin(struct actor *admin, const char *name)
{
	struct link_step l = { .add = false };

	snprintf(l.name, sizeof(l.name), "%s", name);
	actor_call_begin(admin, change_link, &l, sizeof(l));
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
