// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * pinrxedv_reg_lease_mr(): what it registers, and what the log says when it refuses. Runs in a
 * guest with layout leases; LEASE_DIR is a folder on a DAX file system. "lease stock": on a kernel that has
 * none, or with librxe.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <infiniband/pinrxedv.h>
#include "fabric.h"

#define F_LAYOUT    0x100
#define F_EXCLUSIVE 0x200

enum {
	ACCESS = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ
};

static char log_file[] = "/tmp/verbs-log.XXXXXX";
static char path[512];

/* The log since the last look; expects each of the words in it. */
static void expect_log(const char *first, const char *second)
{
	static long seen;
	static char text[65536];
	FILE *log;
	size_t n;

	/* libibverbs buffers its log */
	fflush(NULL);
	log = fopen(log_file, "r");
	CHECK(log != NULL);
	fseek(log, seen, SEEK_SET);
	n = fread(text, 1, sizeof(text) - 1, log);
	text[n] = '\0';
	seen = ftell(log);
	fclose(log);
	if (first && (!strstr(text, first) || !strstr(text, second)))
		printf("  the log says: %s\n", text);
	CHECK(!first || strstr(text, first));
	CHECK(!second || strstr(text, second));
}

static int new_file(int flags)
{
	int fd;

	snprintf(path, sizeof(path), "%s/lease-test", getenv("LEASE_DIR"));
	unlink(path);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0);
	CHECK_INT(posix_fallocate(fd, 0, 65536), 0);
	CHECK_INT(pwrite(fd, "0123456789", 10, 5000), 10);
	if (flags == O_RDWR)
		return fd;
	close(fd);
	fd = open(path, flags);
	CHECK(fd >= 0);
	return fd;
}

static void expect_refused(struct fabric *f, int fd, uint64_t offset, size_t length,
			   int access, int err, const char *why)
{
	errno = 0;
	CHECK(!pinrxedv_reg_lease_mr(f->pd, fd, offset, length, access));
	CHECK_INT(errno, err);
	expect_log(why, fd >= 0 ? path : "descriptor");
}

/* A remote write lands in the file, at a byte that is not aligned; all is given back. */
static void registers_under_a_lease(struct fabric *f)
{
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	struct ibv_mr *mr;
	char found[10];
	struct pair p;
	int fd = new_file(O_RDWR), other;

	CHECK_INT(fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	mr = pinrxedv_reg_lease_mr(f->pd, fd, 5000, 10, ACCESS);
	CHECK(mr != NULL);
	CHECK_INT(mr->length, 10);
	CHECK(!memcmp(mr->addr, "0123456789", 10));
	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	memcpy(f->memory, "abcdefghij", 10);
	wr = write_wr(f, &sge, 0, 0, 10);
	wr.wr.rdma.remote_addr = (uintptr_t)mr->addr;
	wr.wr.rdma.rkey = mr->rkey;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
	expect_wc(p.a.cq, 0, IBV_WC_SUCCESS);
	break_pair(&p);
	CHECK_INT(pread(fd, found, 10, 5000), 10);
	CHECK(!memcmp(found, "abcdefghij", 10));

	/* the lease is in use, and stays the caller's afterwards (L6) */
	CHECK_INT(fcntl(fd, F_SETLEASE, F_LAYOUT | F_UNLCK), -1);
	CHECK_INT(errno, EBUSY);
	CHECK_INT(ibv_dereg_mr(mr), 0);
	CHECK_INT(fcntl(fd, F_GETLEASE), F_LAYOUT | F_EXCLUSIVE);
	CHECK_INT(fcntl(fd, F_SETLEASE, F_LAYOUT | F_UNLCK), 0);

	/* closing first: the mapping, the only thing left, goes with the region (C3, C4) */
	CHECK_INT(fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	mr = pinrxedv_reg_lease_mr(f->pd, fd, 0, 65536, ACCESS);
	CHECK(mr != NULL);
	close(fd);
	other = open(path, O_RDWR);
	CHECK_INT(ftruncate(other, 0), -1);
	CHECK_INT(ibv_dereg_mr(mr), 0);
	CHECK_INT(ftruncate(other, 0), 0);
	close(other);
}

/* Persistent memory, and only that, may be flushed to persistence. */
static void flushes_to_persistence(struct fabric *f)
{
	int access = ACCESS | PINRXE_ACCESS_FLUSH_PERSISTENT, fd = new_file(O_RDWR);
	struct ibv_qp_ex *ex;
	struct ibv_mr *mr;
	struct ibv_wc wc;
	struct pair p;

	CHECK(!ibv_reg_mr(f->pd, f->memory, 4096, access));
	CHECK_INT(fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	mr = pinrxedv_reg_lease_mr(f->pd, fd, 0, 65536, access);
	CHECK(mr != NULL);
	make_pair(f, &p, IBV_QPT_RC, small_cap, IBV_QP_EX_WITH_RDMA_WRITE);
	ex = ibv_qp_to_qp_ex(p.a.qp);
	CHECK(ex != NULL);
	ibv_wr_start(ex);
	ex->wr_id = 1;
	ex->wr_flags = IBV_SEND_SIGNALED;
	CHECK_INT(pinrxedv_wr_flush(ex, mr->rkey, (uintptr_t)mr->addr, 5000,
				    PINRXEDV_FLUSH_PERSISTENT, PINRXEDV_FLUSH_RANGE),
		  0);
	CHECK_INT(ibv_wr_complete(ex), 0);
	wc = take_wc(p.a.cq);
	CHECK_INT(wc.status, IBV_WC_SUCCESS);
	CHECK_INT(wc.opcode, PINRXE_WC_FLUSH);
	break_pair(&p);
	CHECK_INT(ibv_dereg_mr(mr), 0);
	close(fd);
}

static void says_what_is_wrong_with_the_lease(struct fabric *f)
{
	int fd = new_file(O_RDWR), other, status;

	expect_refused(f, fd, 0, 4096, ACCESS, EPERM, "no exclusive layout lease");
	/* either the kernel has cooperative leases, or it says that it has none */
	if (!fcntl(fd, F_SETLEASE, F_LAYOUT)) {
		expect_refused(f, fd, 0, 4096, ACCESS, EPERM, "cooperative");
		CHECK_INT(fcntl(fd, F_SETLEASE, F_LAYOUT | F_UNLCK), 0);
	} else {
		CHECK_INT(errno, EOPNOTSUPP);
	}
	/* on another description: not on this one (P1) */
	other = open(path, O_RDWR);
	CHECK_INT(fcntl(other, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	expect_refused(f, fd, 0, 4096, ACCESS, EPERM, "P1");
	/* of another process: not of this one (L7) */
	fflush(NULL);
	if (!fork()) {
		struct ibv_mr *mr = pinrxedv_reg_lease_mr(f->pd, other, 0, 4096, ACCESS);

		fflush(NULL);
		_exit(mr ? 1 : errno == EPERM ? 0 : 2);
	}
	CHECK(wait(&status) > 0);
	CHECK_INT(status, 0);
	expect_log("L7", path);
	close(other);
	close(fd);
}

static void says_what_is_wrong_with_the_file(struct fabric *f)
{
	int fd = new_file(O_RDWR), pipes[2];

	CHECK_INT(fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	expect_refused(f, fd, 65536, 1, ACCESS, EINVAL, "within the file");
	expect_refused(f, fd, 60000, 6000, ACCESS, EINVAL, "within the file");
	expect_refused(f, fd, UINT64_MAX, 2, ACCESS, EINVAL, "within the file");
	expect_refused(f, fd, 1, SIZE_MAX, ACCESS, EINVAL, "within the file");
	expect_refused(f, fd, 0, 0, ACCESS, EINVAL, "empty");
	expect_refused(f, -1, 0, 1, ACCESS, EBADF, "not an open descriptor");
	close(fd);
	fd = new_file(O_RDONLY);
	expect_refused(f, fd, 0, 1, ACCESS, EACCES, "write access");
	/* the remedy is not a lease, which nobody gets on this descriptor */
	CHECK_INT(fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), -1);
	CHECK_INT(errno, EBADF);
	expect_refused(f, fd, 0, 1, 0, EPERM, "for reading and writing");
	close(fd);
	fd = new_file(O_PATH);
	expect_refused(f, fd, 0, 1, 0, EBADF, "O_PATH");
	close(fd);
	CHECK_INT(pipe(pipes), 0);
	strcpy(path, "pipe:");
	expect_refused(f, pipes[0], 0, 1, 0, EINVAL, "not a regular file");
	close(pipes[0]);
	close(pipes[1]);
}

/* A kernel without the series, or a device that pinrxe does not drive: nothing is tried. */
static void not_there(struct fabric *f)
{
	int fd = new_file(O_RDWR);

	if (pinrxedv_is_supported(f->context->device)) {
		expect_refused(f, fd, 0, 65536, ACCESS, EOPNOTSUPP,
			       "the kernel has no layout leases");
	} else {
		errno = 0;
		CHECK(!pinrxedv_reg_lease_mr(f->pd, fd, 0, 65536, ACCESS));
		CHECK_INT(errno, EOPNOTSUPP);
	}
	close(fd);
}

static const struct test stock_tests[] = {
	{ "not-there", not_there },
};

static const struct test tests[] = {
	{ "registers-under-a-lease", registers_under_a_lease },
	{ "flushes-to-persistence", flushes_to_persistence },
	{ "says-what-is-wrong-with-the-lease", says_what_is_wrong_with_the_lease },
	{ "says-what-is-wrong-with-the-file", says_what_is_wrong_with_the_file },
};

int main(int argc, char **argv)
{
	close(mkstemp(log_file));
	setenv("VERBS_LOG_LEVEL", "1", 1);
	setenv("VERBS_LOG_FILE", log_file, 1);
	if (argc > 1 && !strcmp(argv[1], "stock"))
		return run_tests(stock_tests, 1, 1, argv);
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
