// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "check.h"
#include "files.h"
#include "ops.h"

long a_mmap(struct actor *a, uint64_t addr, uint64_t len, int prot, int flags, long fd,
	    uint64_t off)
{
	return SYS(a, SYS_mmap, V(addr), V(len), V(prot), V(flags), V(fd), V(off));
}

/* ---- content ---- */

#define CONTENT_MAX 8192

long a_pwrite(struct actor *a, long fd, uint64_t pos, uint64_t len, uint64_t seed)
{
	unsigned char buf[CONTENT_MAX];

	if (len > sizeof(buf))
		return -EMSGSIZE;
	pattern_fill(buf, len, seed, pos);
	return SYS(a, SYS_pwrite64, V(fd), IN(buf, len), V(len), V(pos));
}

long a_pread_check(struct actor *a, long fd, uint64_t pos, uint64_t len, uint64_t seed)
{
	unsigned char buf[CONTENT_MAX];
	long n;

	if (len > sizeof(buf))
		return -EMSGSIZE;
	n = SYS(a, SYS_pread64, V(fd), OUT(buf, len), V(len), V(pos));
	if (n < 0)
		return n;
	return (uint64_t)n == len && pattern_matches(buf, len, seed, pos) ? 0 : -EILSEQ;
}

struct mem_step {
	uint64_t addr, len, seed, pos;
};

static long mem_write(void *buf, size_t size)
{
	const struct mem_step *m = buf;

	(void)size;
	pattern_fill((void *)(uintptr_t)m->addr, m->len, m->seed, m->pos);
	return 0;
}

static long mem_check(void *buf, size_t size)
{
	const struct mem_step *m = buf;

	(void)size;
	return pattern_matches((void *)(uintptr_t)m->addr, m->len, m->seed, m->pos)
		       ? 0
		       : -EILSEQ;
}

long a_mem_write(struct actor *a, uint64_t addr, uint64_t len, uint64_t seed,
		 uint64_t pos)
{
	struct mem_step m = { addr, len, seed, pos };

	return actor_call(a, mem_write, &m, sizeof(m));
}

long a_mem_check(struct actor *a, uint64_t addr, uint64_t len, uint64_t seed,
		 uint64_t pos)
{
	struct mem_step m = { addr, len, seed, pos };

	return actor_call(a, mem_check, &m, sizeof(m));
}

/* ---- users, limits, threads, programs ---- */

struct become_step {
	uint64_t uid, caps;
};

static long become(void *buf, size_t size)
{
	const struct become_step *b = buf;
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	int i;

	(void)size;
	for (i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = (uint32_t)(b->caps >> (32 * i));
	if (prctl(PR_SET_KEEPCAPS, 1) || syscall(SYS_setgroups, 0, NULL) ||
	    syscall(SYS_setresgid, b->uid, b->uid, b->uid) ||
	    syscall(SYS_setresuid, b->uid, b->uid, b->uid) ||
	    syscall(SYS_capset, &head, data))
		return -errno;
	/* The director reads this actor's /proc files as root; others only if it is dumpable. */
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

long a_become(struct actor *a, uid_t uid, uint64_t caps)
{
	struct become_step b = { uid, caps };

	return actor_call(a, become, &b, sizeof(b));
}

long a_set_memlock(struct actor *a, uint64_t bytes)
{
	struct rlimit64 {
		uint64_t cur, max;
	} r = { bytes, bytes };

	return SYS(a, SYS_prlimit64, V(0), V(RLIMIT_MEMLOCK), IN(&r, sizeof(r)), V(0));
}

static long park_fd(void *buf, size_t size)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec iov = { (void *)"", 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int sv[2], fd = (int)*(long *)buf;

	(void)size;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return -errno;
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	if (sendmsg(sv[0], &msg, 0) != 1)
		return -errno;
	close(sv[0]); /* what was sent stays readable */
	return sv[1];
}

long a_park_fd(struct actor *a, long fd)
{
	return actor_call(a, park_fd, &fd, sizeof(fd));
}

struct fcntl_step {
	long fd, arg, result;
	int cmd;
};

static void *fcntl_thread(void *arg)
{
	struct fcntl_step *f = arg;
	long ret = fcntl((int)f->fd, f->cmd, f->arg);

	f->result = ret < 0 ? -errno : ret;
	return NULL;
}

static long fcntl_in_thread(void *buf, size_t size)
{
	struct fcntl_step *f = buf;
	pthread_t t;
	int err;

	(void)size;
	err = pthread_create(&t, NULL, fcntl_thread, f);
	if (err)
		return -err;
	pthread_join(t, NULL);
	return f->result;
}

long a_fcntl_in_thread(struct actor *a, long fd, int cmd, long arg)
{
	struct fcntl_step f = { .fd = fd, .arg = arg, .cmd = cmd };

	return actor_call(a, fcntl_in_thread, &f, sizeof(f));
}

struct run_step {
	char text[1024]; /* arguments, each ended by a NUL, the last by two */
};

static long run(void *buf, size_t size)
{
	struct run_step *r = buf;
	char *argv[16], *p = r->text;
	int n = 0, status;
	pid_t pid;

	(void)size;
	for (; *p && n < 15; p += strlen(p) + 1)
		argv[n++] = p;
	argv[n] = NULL;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_arguments(struct run_step *r, const char *const argv[])
{
	size_t used = 0;

	memset(r, 0, sizeof(*r));
	for (; *argv && used + strlen(*argv) + 2 < sizeof(r->text); argv++) {
		strcpy(r->text + used, *argv);
		used += strlen(*argv) + 1;
	}
}

long a_run(struct actor *a, const char *const argv[])
{
	struct run_step r;

	run_arguments(&r, argv);
	return actor_call(a, run, &r, sizeof(r));
}

void a_run_begin(struct actor *a, const char *const argv[])
{
	struct run_step r;

	run_arguments(&r, argv);
	actor_call_begin(a, run, &r, sizeof(r));
}

/* ---- gup_test ---- */

/* From mm/gup_test.h, which is not exported. */
struct pin_longterm_test {
	uint64_t addr;
	uint64_t size;
	uint32_t flags;
};

#define PIN_LONGTERM_TEST_START          _IOW('g', 7, struct pin_longterm_test)
#define PIN_LONGTERM_TEST_STOP           _IO('g', 8)
#define PIN_LONGTERM_TEST_FLAG_USE_WRITE 1

static long gup_longterm(void *buf, size_t size)
{
	struct pin_longterm_test *t = buf;
	int fd = open("/sys/kernel/debug/gup_test", O_RDWR | O_CLOEXEC);
	long ret;

	(void)size;
	if (fd < 0)
		return -errno;
	ret = ioctl(fd, PIN_LONGTERM_TEST_START, t) ? -errno : 0;
	if (!ret)
		ioctl(fd, PIN_LONGTERM_TEST_STOP);
	close(fd);
	return ret;
}

long a_gup_test_longterm(struct actor *a, uint64_t addr, uint64_t len)
{
	struct pin_longterm_test t = { addr, len, PIN_LONGTERM_TEST_FLAG_USE_WRITE };

	return actor_call(a, gup_longterm, &t, sizeof(t));
}
