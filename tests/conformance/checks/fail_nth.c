// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Memory allocation that fails: the first, then the second, … of one call, until the call meets no
 * failure any more.  Whatever the call then returns, nothing may be left behind.
 */
#include <errno.h>
#include <infiniband/verbs.h>
#include <netinet/in.h>
#include <rdma/ib_user_verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "failure.h"
#include "scene.h"

#define NTH_MAX 400

enum nth_call {
	CALL_SETLEASE,
	CALL_COOPERATIVE,
	CALL_REG,
	CALL_DEREG,
	CALL_REREG,
	CALL_OPEN_DEVICE,
	CALL_READ_PINS,
	CALL_VMSPLICE,
	CALL_ZEROCOPY
};

struct nth_step {
	enum nth_call call;
	int nth;       /* which allocation fails */
	bool injected; /* it came to that */
	long fd, addr, len;
	struct ibv_mr *mr; /* in the actor */
};

static long rereg(const struct nth_step *s)
{
	struct ib_uverbs_rereg_mr_resp resp = { 0 };
	struct ib_uverbs_rereg_mr in = { .mr_handle = s->mr->handle,
					 .flags = IBV_REREG_MR_CHANGE_TRANSLATION,
					 .start = s->addr,
					 .length = s->len,
					 .hca_va = s->addr };

	return v_local_invoke(s->mr->context->cmd_fd, IB_USER_VERBS_CMD_REREG_MR, &in,
			      sizeof(in), &resp, sizeof(resp));
}

static long open_device(void)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/dev/infiniband/%s",
		 v_local_pd(0)->context->device->dev_name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static long read_pins(void)
{
	char text[4096];
	int fd = open("/proc/self/file_pins", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	/* a failure after the first record is told by the next call */
	do
		n = read(fd, text, sizeof(text));
	while (n > 0);
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

/* Into a pipe that is then thrown away. */
static long splice_pages(long addr, long len)
{
	struct iovec iov = { (void *)addr, len };
	int ends[2];
	ssize_t n;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	n = vmsplice(ends[1], &iov, 1, 0);
	n = n < 0 ? -errno : 0;
	close(ends[0]);
	close(ends[1]);
	return n;
}

/* To itself: what cannot be copied for the send queue is EFAULT there. */
static long send_pages(long addr, long len)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);
	int one = 1, sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long ret = 0;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (sock < 0 || bind(sock, (struct sockaddr *)&at, size) ||
	    getsockname(sock, (struct sockaddr *)&at, &size) ||
	    connect(sock, (struct sockaddr *)&at, size) ||
	    setsockopt(sock, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		ret = -errno;
	else if (send(sock, (void *)addr, len, MSG_ZEROCOPY) != len)
		ret = errno == EFAULT ? -ENOMEM : -errno;
	close(sock);
	return ret;
}

static long do_call(struct nth_step *s)
{
	switch (s->call) {
	case CALL_SETLEASE:
		return fcntl(s->fd, F_SETLEASE, EXCLUSIVE_LAYOUT) ? -errno : 0;
	case CALL_COOPERATIVE:
		return fcntl(s->fd, F_SETLEASE, F_LAYOUT) ? -errno : 0;
	case CALL_OPEN_DEVICE:
		return open_device();
	case CALL_READ_PINS:
		return read_pins();
	case CALL_VMSPLICE:
		return splice_pages(s->addr, s->len);
	case CALL_ZEROCOPY:
		return send_pages(s->addr, s->len);
	case CALL_REG:
		s->mr = ibv_reg_mr(v_local_pd(0), (void *)s->addr, s->len, REMOTE_RW);
		return s->mr ? 0 : -errno;
	case CALL_DEREG:
		return -ibv_dereg_mr(s->mr);
	case CALL_REREG:
		return rereg(s);
	}
	return -EINVAL;
}

static long call_with_failure(void *buf, size_t size)
{
	struct nth_step *s = buf;
	long fd = failure_arm(s->nth), ret;
	int left;

	(void)size;
	if (fd < 0)
		return fd;
	ret = do_call(s);
	left = failure_disarm((int)fd);
	if (left < 0)
		return -EPROTO;
	s->injected = left == 0;
	return ret;
}

static long call_plainly(void *buf, size_t size)
{
	(void)size;
	return do_call(buf);
}

static long step(struct actor *a, struct nth_step *s, enum nth_call call, int nth)
{
	s->call = call;
	s->nth = nth;
	return actor_call(a, nth ? call_with_failure : call_plainly, s, sizeof(*s));
}

static long pinned_pages(void)
{
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

/* A leased, mapped file of several pages and tables, with verbs but no region. */
static struct scene ready(void)
{
	struct scene s = { .holder = actor_start("holder"), .size = MiB(3) };

	s.path = make_file("nth", s.size);
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	must(a_setlease(s.holder, s.fd, EXCLUSIVE_LAYOUT));
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_open_verbs(&s);
	return s;
}

/* No page is pinned, none recorded, and the lease can go and come. */
static void expect_nothing_left(const struct scene *s, long pinned, int nth)
{
	expect_value(pinned, pinned_pages());
	expect_pins(s->holder, "");
	expect(0, a_setlease(s->holder, s->fd, F_LAYOUT | F_UNLCK));
	expect(0, a_setlease(s->holder, s->fd, EXCLUSIVE_LAYOUT));
	if (check_has_failed())
		fail_now("after the failure of allocation %d", nth);
}

/*
 * Which allocation of a call is the nth differs from call to call.  The page of a new slab, a node
 * of an xarray, what kmemleak and KASAN keep for themselves are needed now and then; that these
 * fail does not matter to the call, but what follows is one further.  So one walk from the first
 * allocation to the last may miss some and meet others twice, above all with KASAN, whose
 * quarantine lets hardly an object be used again.  Whether enough has been met is therefore told by
 * the effect, the same for every kernel, and walks go on until it is so; after each single failure
 * nothing may be left.
 */
struct walks {
	int objects;          /* that made the call fail, in the best walk */
	bool none, part, all; /* a page was missing when so much was pinned */
};

#define WALKS_MAX           20
#define OBJECTS_OF_A_REGION 3 /* of uverbs, of rxe and of the memory itself */

static bool met(const struct walks *w)
{
	return w->objects >= OBJECTS_OF_A_REGION && w->none && w->part && w->all;
}

static void expect_met(const struct walks *w)
{
	expect_true(met(w),
		    "%d objects, and pages when %s%s%swas pinned, made the call fail",
		    w->objects, w->none ? "nothing " : "", w->part ? "a part " : "",
		    w->all ? "all " : "");
}

/* The call has failed, and had pinned so many pages of those that it wanted. */
static void note_failure(struct walks *w, enum allocation kind, int failures, long pinned,
			 long wanted)
{
	if (kind == OBJECTS && failures > w->objects)
		w->objects = failures;
	if (kind == PAGES) {
		w->none = w->none || !pinned;
		w->part = w->part || (pinned && pinned < wanted);
		w->all = w->all || pinned == wanted;
	}
}

static void walk_registration(const struct scene *s, struct nth_step *n,
			      enum allocation kind, struct walks *w)
{
	long pinned = pinned_pages(), taken, ret = 0;
	int nth, failures = 0;

	let_only_fail(kind);
	for (nth = 1; nth < NTH_MAX; nth++) {
		taken = vmstat("nr_foll_pin_acquired");
		ret = step(s->holder, n, CALL_REG, nth);
		if (ret) {
			expect(ENOMEM, ret);
			note_failure(w, kind, ++failures,
				     vmstat("nr_foll_pin_acquired") - taken,
				     (long)(s->size / PAGE));
		} else {
			expect(0, step(s->holder, n, CALL_DEREG, 0));
		}
		expect_nothing_left(s, pinned, nth);
		if (!n->injected)
			break;
	}
	expect_true(nth < NTH_MAX, "still failing at allocation %d", nth);
	expect(0, ret);
}

CHECK(p2_registration_without_memory, "P2,P9", STOCK_FAIL)
{
	struct scene s = ready();
	struct nth_step n = { .fd = s.fd, .addr = s.addr, .len = (long)s.size };
	struct walks w = { 0 };
	int i;

	/* what the first registration of a context keeps is not its own */
	require(0, step(s.holder, &n, CALL_REG, 0));
	must(step(s.holder, &n, CALL_DEREG, 0));
	let_allocations_fail();
	for (i = 0; i < WALKS_MAX && !met(&w); i++) {
		walk_registration(&s, &n, OBJECTS, &w);
		walk_registration(&s, &n, PAGES, &w);
	}
	expect_met(&w);
}

CHECK(c4_deregistration_without_memory, "C4,P2", STOCK_FAIL)
{
	struct scene s = ready();
	struct nth_step n = { .fd = s.fd, .addr = s.addr, .len = (long)s.size };
	long pinned, ret;
	int nth;

	require(0, step(s.holder, &n, CALL_REG, 0));
	must(step(s.holder, &n, CALL_DEREG, 0));
	let_allocations_fail();
	pinned = pinned_pages();
	for (nth = 1; nth < NTH_MAX; nth++) {
		require(0, step(s.holder, &n, CALL_REG, 0));
		ret = step(s.holder, &n, CALL_DEREG, nth);
		if (ret) {
			/* then the region is as it was */
			expect_value(pinned + (long)(s.size / PAGE), pinned_pages());
			expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
			expect(0, step(s.holder, &n, CALL_DEREG, 0));
		}
		expect_nothing_left(&s, pinned, nth);
		if (!n.injected)
			break;
	}
	expect_true(nth < NTH_MAX, "still failing at allocation %d", nth);
	expect(0, ret);
}

/* The region covers so much, and the record of the file says so. */
static void expect_registered(const struct scene *s, long pinned)
{
	expect_value(pinned, pinned_pages());
	expect_pins(s->holder, pins_text(s->holder, s->uverbs_fd, s->path));
}

/* From one length to the other, again and again; what fails leaves the region as it was. */
static void walk_re_registration(const struct scene *s, struct nth_step *n, long from,
				 long to, enum allocation kind, struct walks *w)
{
	long others, taken, ret = 0;
	int nth, failures = 0;

	others = pinned_pages() - n->len / (long)PAGE;
	let_only_fail(kind);
	for (nth = 1; nth < NTH_MAX; nth++) {
		n->len = from;
		require(0, step(s->holder, n, CALL_REREG, 0));
		n->len = to;
		taken = vmstat("nr_foll_pin_acquired");
		ret = step(s->holder, n, CALL_REREG, nth);
		if (ret) {
			expect(ENOMEM, ret);
			n->len = from;
			note_failure(w, kind, ++failures,
				     vmstat("nr_foll_pin_acquired") - taken,
				     to / (long)PAGE);
		}
		expect_registered(s, others + n->len / (long)PAGE);
		if (check_has_failed())
			fail_now("after the failure of allocation %d", nth);
		if (!n->injected)
			break;
	}
	expect_true(nth < NTH_MAX, "still failing at allocation %d", nth);
	expect(0, ret);
}

CHECK(p10_re_registration_without_memory, "P10,P2", STOCK_FAIL)
{
	struct scene s = ready();
	struct nth_step n = { .fd = s.fd, .addr = s.addr, .len = (long)s.size };
	const long whole = (long)s.size, half = whole / 2;
	struct walks w = { 0 }, smaller = { 0 };
	long pinned = pinned_pages();
	int i;

	require(0, step(s.holder, &n, CALL_REG, 0));
	let_allocations_fail();
	for (i = 0; i < WALKS_MAX && !met(&w); i++) {
		walk_re_registration(&s, &n, half, whole, OBJECTS, &w);
		walk_re_registration(&s, &n, half, whole, PAGES, &w);
	}
	expect_met(&w);
	/* what is smaller is pinned in one go */
	walk_re_registration(&s, &n, whole, half, OBJECTS, &smaller);
	walk_re_registration(&s, &n, whole, half, PAGES, &smaller);
	expect(0, step(s.holder, &n, CALL_DEREG, 0));
	expect_nothing_left(&s, pinned, 0);
}

static void lease_without_memory(enum nth_call call, int kind)
{
	struct scene s = scene_open();
	struct nth_step n = { .fd = s.fd };
	struct actor *other = actor_start("other");
	long ret = 0;
	int nth, failures = 0;

	require(0, a_setlease(s.holder, s.fd, kind));
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	let_allocations_fail();
	for (nth = 1; nth < NTH_MAX; nth++) {
		ret = step(s.holder, &n, call, nth);
		if (ret) {
			expect(ENOMEM, ret);
			expect_value(F_UNLCK, a_getlease(s.holder, s.fd));
			expect(0, a_truncate(other, s.path, s.size - PAGE));
			expect(0, a_truncate(other, s.path, s.size));
			failures++;
		} else {
			expect_value(kind, a_getlease(s.holder, s.fd));
			expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
		}
		if (check_has_failed())
			fail_now("after the failure of allocation %d", nth);
		if (!n.injected)
			break;
	}
	expect_true(nth < NTH_MAX, "still failing at allocation %d", nth);
	expect(0, ret);
	expect_true(failures >= 1, "no allocation made F_SETLEASE fail");
}

CHECK(l1_lease_without_memory, "L1,L6", STOCK_FAIL)
{
	lease_without_memory(CALL_SETLEASE, EXCLUSIVE_LAYOUT);
}

CHECK(l3_lease_without_memory, "L3,L6", STOCK_FAIL)
{
	lease_without_memory(CALL_COOPERATIVE, F_LAYOUT);
}

/* Repeats a call that leaves nothing behind until no allocation fails; how often it said so. */
static int until_it_succeeds(struct actor *a, struct nth_step *n, enum nth_call call)
{
	int nth, failures = 0;
	long ret = 0;

	for (nth = 1; nth < NTH_MAX; nth++) {
		ret = step(a, n, call, nth);
		if (!n->injected)
			break;
		/* a pipe or a name that cannot be made has an errno of its own */
		failures += ret == -ENOMEM;
	}
	expect_true(nth < NTH_MAX, "still failing at allocation %d", nth);
	expect(0, ret);
	return failures;
}

CHECK(o1_device_opened_without_memory, "O1,O5", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct nth_step n = { .fd = s.fd };

	let_allocations_fail();
	expect_true(until_it_succeeds(s.holder, &n, CALL_OPEN_DEVICE) >= 2,
		    "opening the device needs no memory");
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
}

/* What a reader took references to is let go. */
CHECK(o1_pins_shown_without_memory, "O1,C3", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct nth_step n = { .fd = s.fd };
	struct actor *other = actor_start("other"), *peer = actor_start("peer");

	/* a context that only its mapped queues keep is found another way */
	must(v_open(s.holder, 1));
	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 1);
	expect(0, v_close_fd(s.holder, 1));
	let_allocations_fail();
	expect_true(until_it_succeeds(s.holder, &n, CALL_READ_PINS) >= 2,
		    "reading file_pins needs no memory");
	actor_kill(s.holder);
	eventually(a_truncate(other, s.path, PAGE));
}

static long read_pins_without_nodes(void *buf, size_t size)
{
	long ret = failures_on(true);

	(void)buf;
	(void)size;
	if (ret)
		return ret;
	ret = read_pins();
	return failures_on(false) ?: ret;
}

/* It remembers what the process maps in two trees. */
CHECK(o1_pins_shown_without_nodes, "O1,C3", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *other = actor_start("other"), *peer = actor_start("peer");
	unsigned int n;
	long ret = -ENOMEM;

	must(v_open(s.holder, 1));
	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 1);
	expect(0, v_close_fd(s.holder, 1));
	let_nodes_fail();
	for (n = 0; n < 100 && ret == -ENOMEM; n++) {
		nodes_before_failure(n);
		ret = actor_call(s.holder, read_pins_without_nodes, NULL, 0);
	}
	expect(0, ret);
	expect_true(n > 2, "reading file_pins needs %u nodes", n - 1);
	actor_kill(s.holder);
	eventually(a_truncate(other, s.path, PAGE));
}

CHECK(t4_pipe_without_memory, "T4,T7", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct nth_step n = { .fd = s.fd, .addr = s.addr, .len = 4 * PAGE };
	struct actor *other = actor_start("other");

	let_allocations_fail();
	expect_true(until_it_succeeds(s.holder, &n, CALL_VMSPLICE) >= 2,
		    "pages are not copied into a pipe");
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	/* no reference to a page is left, or this would wait for it */
	expect(0, a_truncate(other, s.path, 0));
}

CHECK(t4_send_queue_without_memory, "T4,T7", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct nth_step n = { .fd = s.fd, .addr = s.addr, .len = 8 * PAGE };
	struct actor *other = actor_start("other");

	let_allocations_fail();
	let_only_fail(PAGES);
	expect_true(until_it_succeeds(s.holder, &n, CALL_ZEROCOPY) >= 2,
		    "pages are not copied for a send queue");
	must(a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(other, s.path, 0));
}
