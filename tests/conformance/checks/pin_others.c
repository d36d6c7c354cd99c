// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* P6: pinners other than RDMA get for DAX files what the stock kernel gives, lease or no lease. */
#include <errno.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scene.h"

static void uring_refused(struct scene *s)
{
	long ret = a_uring_register_buffer(s->holder, (uint64_t)s->addr, s->size);

	if (ret == -ENOSYS)
		skip("kernel without io_uring");
	expect(EOPNOTSUPP, ret);
}

CHECK(p6_io_uring_fixed_buffer, "P6", STOCK_PASS)
{
	struct scene s = scene_open();

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	uring_refused(&s);
}

CHECK(p6_io_uring_fixed_buffer_under_lease, "P6", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	uring_refused(&s);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(p6_io_uring_fixed_buffer_with_pins, "P6", STOCK_FAIL)
{
	struct scene s = scene_pinned();

	uring_refused(&s);
}

static void gup_test_refused(struct scene *s)
{
	long ret = a_gup_test_longterm(s->holder, (uint64_t)s->addr, s->size);

	if (ret == -ENOENT)
		skip("no /sys/kernel/debug/gup_test");
	expect(EOPNOTSUPP, ret);
}

CHECK(p6_caller_without_owner, "P6", STOCK_PASS)
{
	struct scene s = scene_open();

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	gup_test_refused(&s);
}

CHECK(p6_caller_without_owner_under_lease, "P6", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	gup_test_refused(&s);
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(p6_anonymous_fixed_buffer, "P6,P5", STOCK_PASS)
{
	struct actor *a = actor_start("A");
	long addr = must(a_mmap(a, 0, KiB(64), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	long ret = a_uring_register_buffer(a, (uint64_t)addr, KiB(64));

	if (ret == -ENOSYS)
		skip("kernel without io_uring");
	expect(0, ret);
}

struct xdp_step {
	uint64_t addr, len;
};

/* The memory of a socket of AF_XDP, which stays pinned as long as the socket is there. */
static long register_xdp_memory(void *buf, size_t size)
{
	const struct xdp_step *x = buf;
	struct xdp_umem_reg reg = { .addr = x->addr, .len = x->len, .chunk_size = PAGE };
	int sock = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	long ret;

	(void)size;
	if (sock < 0)
		return -errno;
	ret = setsockopt(sock, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ? -errno : 0;
	close(sock);
	return ret;
}

static long a_register_xdp_memory(struct actor *a, long addr, uint64_t len)
{
	struct xdp_step x = { .addr = (uint64_t)addr, .len = len };
	long ret = actor_call(a, register_xdp_memory, &x, sizeof(x));

	if (ret == -EAFNOSUPPORT)
		skip("kernel without AF_XDP");
	return ret;
}

CHECK(p6_af_xdp, "P6,P5", STOCK_PASS)
{
	struct scene s = scene_open();
	long anonymous = must(a_mmap(s.holder, 0, s.size, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	expect(0, a_register_xdp_memory(s.holder, anonymous, s.size));
	expect(EOPNOTSUPP, a_register_xdp_memory(s.holder, s.addr, s.size));
}

CHECK(p6_af_xdp_under_lease_and_with_pins, "P6", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	expect(EOPNOTSUPP, a_register_xdp_memory(s.holder, s.addr, s.size));
	scene_open_verbs(&s);
	scene_pin(&s);
	expect(EOPNOTSUPP, a_register_xdp_memory(s.holder, s.addr, s.size));
}
