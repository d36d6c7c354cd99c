// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Users of pages of a DAX file that are no long-term pinners, with no lease anywhere: a pipe and a
 * socket must not keep the file's own pages, and nothing frees a block while its page is in use.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "busy_page.h"
#include "scene.h"
#include "task.h"

/* ---- pipes ---- */

struct pipe_step {
	uint64_t addr, len, seed, pos;
	int ends[2];
};

static long fill_pipe(void *buf, size_t size)
{
	struct pipe_step *p = buf;
	struct iovec iov = { (void *)p->addr, p->len };

	(void)size;
	if (pipe2(p->ends, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	return vmsplice(p->ends[1], &iov, 1, 0) == (ssize_t)p->len ? 0 : -errno;
}

static long check_pipe(void *buf, size_t size)
{
	const struct pipe_step *p = buf;
	unsigned char got[KiB(16)];
	ssize_t n = read(p->ends[0], got, p->len);

	(void)size;
	if (n < 0)
		return -errno;
	return (uint64_t)n == p->len && pattern_matches(got, p->len, p->seed, p->pos)
		       ? 0
		       : -EILSEQ;
}

CHECK(t4_pipe_has_a_copy, "T4,T7", STOCK_FAIL)
{
	struct scene s = scene_open();
	struct actor *other = actor_start("other");
	struct pipe_step p = { .len = 2 * PAGE, .seed = FILE_SEED, .pos = PAGE };
	long fd = must(a_open(other, s.path, O_RDWR));

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	p.addr = (uint64_t)s.addr + PAGE;
	require(0, actor_call(s.holder, fill_pipe, &p, sizeof(p)));
	/* what comes to the file, or to its blocks, later is not for the pipe's reader */
	must(a_pwrite(other, fd, PAGE, 2 * PAGE, 7));
	expect(0, a_truncate(other, s.path, 0));
	expect(0, actor_call(s.holder, check_pipe, &p, sizeof(p)));
}

CHECK(t4_anonymous_memory_in_a_pipe_is_shared, "T4,P5", STOCK_PASS)
{
	struct actor *a = actor_start("A");
	struct pipe_step p = { .len = 2 * PAGE, .seed = 7, .pos = 0 };

	p.addr = (uint64_t)must(a_mmap(a, 0, p.len, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	must(a_mem_write(a, p.addr, p.len, 1, 0));
	require(0, actor_call(a, fill_pipe, &p, sizeof(p)));
	must(a_mem_write(a, p.addr, p.len, 7, 0));
	expect(0, actor_call(a, check_pipe, &p, sizeof(p)));
}

/* ---- sockets ---- */

#define CHUNK KiB(16)

struct send_step {
	uint64_t addr, sent;
	int from, to;
};

static long connect_pair(struct send_step *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), small = 4096, one = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->from = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (listener < 0 || s->from < 0 ||
	    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) ||
	    setsockopt(s->from, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) ||
	    bind(listener, (struct sockaddr *)&at, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&at, &len))
		return -errno;
	if (connect(s->from, (struct sockaddr *)&at, len) && errno != EINPROGRESS)
		return -errno;
	s->to = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	return s->to < 0 ? -errno : 0;
}

/* Sends the same memory until the queue is full: nobody receives. */
static long fill_socket(void *buf, size_t size)
{
	struct send_step *s = buf;
	struct pollfd writable = { .events = POLLOUT };
	long err = connect_pair(s);
	ssize_t n;

	(void)size;
	if (err)
		return err;
	writable.fd = s->from;
	if (poll(&writable, 1, 2000) != 1)
		return -ETIMEDOUT;
	for (s->sent = 0; s->sent < MiB(16); s->sent += n) {
		n = send(s->from, (void *)(s->addr + s->sent % CHUNK),
			 CHUNK - s->sent % CHUNK, MSG_ZEROCOPY);
		if (n < 0)
			return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
	}
	return -EFBIG;
}

static long check_socket(void *buf, size_t size)
{
	const struct send_step *s = buf;
	struct pollfd readable = { .fd = s->to, .events = POLLIN };
	unsigned char got[CHUNK];
	uint64_t done = 0;
	ssize_t n;

	(void)size;
	while (done < s->sent) {
		if (poll(&readable, 1, 5000) != 1)
			return -ETIMEDOUT;
		n = recv(s->to, got, CHUNK - done % CHUNK, 0);
		if (n <= 0)
			return n ? -errno : -EPIPE;
		if (!pattern_matches(got, n, FILE_SEED, done % CHUNK))
			return -EILSEQ;
		done += n;
	}
	return 0;
}

CHECK(t4_send_queue_has_a_copy, "T4,T7", STOCK_FAIL)
{
	struct scene s = scene_open();
	struct actor *other = actor_start("other");
	struct send_step q = { 0 };
	long fd = must(a_open(other, s.path, O_RDWR));

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	q.addr = (uint64_t)s.addr;
	require(0, actor_call(s.holder, fill_socket, &q, sizeof(q)));
	expect_true(q.sent > 2 * CHUNK, "the queue took %lu bytes only",
		    (unsigned long)q.sent);
	must(a_pwrite(other, fd, 0, 2 * PAGE, 7));
	must(a_pwrite(other, fd, 2 * PAGE, 2 * PAGE, 7));
	expect(0, a_truncate(other, s.path, 0));
	expect(0, actor_call(s.holder, check_socket, &q, sizeof(q)));
}

/* ---- a page in use when its file goes ---- */

CHECK(t7_unlinked_file_with_a_page_in_use, "T7,T4", STOCK_FAIL)
{
	struct scene s = { .holder = actor_start("holder"), .size = MiB(16) };
	struct actor *reader, *other = actor_start("other");
	uint64_t before;

	s.path = make_file("busy", s.size);
	s.fd = must(a_open(s.holder, s.path, O_RDWR));
	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	reader = use_page(s.holder, s.addr);
	before = fs_free_settled(s.path);

	/* whoever drops the last reference does not wait */
	expect(0, a_unlink(other, s.path));
	expect(0, a_munmap(s.holder, s.addr, s.size));
	expect(0, a_close(s.holder, s.fd));
	expect_true(fs_free_settled(check_dir()) < before + MiB(8),
		    "blocks were freed with a page in use");
	expect(0, end_of_use(reader));
	eventually(fs_free_settled(check_dir()) >= before + MiB(8) ? 0 : -EAGAIN);
}

CHECK(t4_truncate_waits_for_a_page_in_use, "T4,T5", STOCK_PASS)
{
	struct scene s = scene_open();
	struct actor *reader, *other = actor_start("other");
	const char *const argv[] = { "truncate", "-s", "0", s.path, NULL };
	struct task_watch watch = { .pid = other->pid };
	struct pollfd answer = { .fd = other->sock, .events = POLLIN };

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	reader = use_page(s.holder, s.addr);
	a_run_begin(other, argv);
	while (task_blocked_ms(other->pid, &watch) < 500)
		if (poll(&answer, 1, 20) == 1)
			fail_now("the truncate did not wait");
	expect(0, end_of_use(reader));
	expect_value(0, actor_call_end(other, NULL, 0, step_deadline_ms));
}

/* ---- direct I/O from a page that several files share ---- */

struct write_step {
	uint64_t addr;
	char path[256];
};

static long write_direct(void *buf, size_t size)
{
	const struct write_step *w = buf;
	int fd = open(w->path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
	ssize_t n;

	(void)size;
	if (fd < 0 || unlink(w->path))
		return -errno;
	n = pwrite(fd, (void *)w->addr, PAGE, 0);
	return n == (ssize_t)PAGE ? 0 : n < 0 ? -errno : -EIO;
}

static struct scene shared_with(struct actor *other, const char *clone)
{
	struct scene s = scene_open();
	long from, to;

	if (access("/mnt/xfs-plain", F_OK))
		skip("no XFS without DAX at /mnt/xfs-plain");
	from = must(a_open(other, s.path, O_RDONLY));
	to = must(a_open(other, clone, O_RDWR | O_CREAT));
	if (a_ioctl_fd(other, to, 0x40049409 /* FICLONE */, from))
		skip("%s cannot share blocks", fs_name(s.path));
	must(a_close(other, to));
	s.addr = must(a_mmap(s.holder, 0, s.size, PROT_READ, MAP_SHARED, s.fd, 0));
	expect(0, a_mem_check(s.holder, (uint64_t)s.addr, PAGE, FILE_SEED, 0));
	return s;
}

/* A kernel that takes the page for an anonymous one tries for ever. */
static void expect_direct_write(const struct scene *s)
{
	struct pollfd answer = { .fd = s->holder->sock, .events = POLLIN };
	struct write_step w = { .addr = (uint64_t)s->addr };

	snprintf(w.path, sizeof(w.path), "/mnt/xfs-plain/direct-%d", getpid());
	actor_call_begin(s->holder, write_direct, &w, sizeof(w));
	while (poll(&answer, 1, 50) != 1)
		if (task_cpu_ms(s->holder->pid) > 3000)
			fail_now("the write of a page goes on and on");
	expect(0, actor_call_end(s->holder, NULL, 0, step_deadline_ms));
}

CHECK(d1_direct_write_from_a_shared_page, "D1,T4", STOCK_FAIL)
{
	struct scene s = shared_with(actor_start("other"), in_dir("clone"));

	expect_direct_write(&s);
}

/* Nothing of the file is copied, so that the page stays mapped or comes back as it was. */
CHECK(d1_direct_write_from_a_page_shared_no_more, "D1,T4", STOCK_FAIL)
{
	const char *clone = in_dir("clone");
	struct actor *other = actor_start("other");
	struct scene s = shared_with(other, clone);
	uint64_t pos;
	long fd;

	/* not unlink(), which gives the blocks up some time later */
	fd = must(a_open(other, clone, O_RDWR));
	for (pos = 0; pos < s.size; pos += PAGE)
		must(a_pwrite(other, fd, pos, PAGE, 7));
	must(a_fallocate(s.holder, s.fd, FALLOC_FL_UNSHARE_RANGE, 0, s.size));
	expect_direct_write(&s);
}
