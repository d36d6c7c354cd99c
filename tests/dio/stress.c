// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Direct I/O of several processes at once, with what disturbs it: splice, fork, truncate, munmap,
 * MADV_DONTNEED, signals.  Every block of every file says which it is and carries a checksum; at the
 * end the files are right and as many pages were unpinned as pinned.
 *
 * For 2 seconds and ROUNDS rounds, or as many seconds as DIO_STRESS says.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "nfs.h"

#define BLOCK   PAGE
#define BLOCKS  64 /* of a file */
#define AT_ONCE 16 /* blocks of a transfer, at most */
#define ROUNDS \
	12 /* of each process, at least: a busy machine does not make an easy test */

struct block {
	uint64_t file, number, generation, checksum;
	uint64_t word[BLOCK / 8 - 4];
};

struct worker {
	const char *path;
	int fd;
	uint64_t file, random, generation;
	struct deadline by;
	struct block *at;         /* memory for AT_ONCE blocks */
	uint64_t written[BLOCKS]; /* generation of each block; 0: a hole */
};

static uint64_t next_random(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static uint64_t checksum(const struct block *b)
{
	uint64_t sum = b->file * 31 + b->number * 37 + b->generation * 41;
	size_t i;

	for (i = 0; i < sizeof(b->word) / sizeof(b->word[0]); i++)
		sum = (sum << 7 | sum >> 57) + b->word[i];
	return sum;
}

static void make_block(struct worker *w, struct block *b, uint64_t number)
{
	size_t i;

	b->file = w->file;
	b->number = number;
	b->generation = w->generation;
	for (i = 0; i < sizeof(b->word) / sizeof(b->word[0]); i++)
		b->word[i] = w->generation * 0x9e3779b97f4a7c15ULL + number * 1000 + i;
	b->checksum = checksum(b);
}

static bool is_zero(const struct block *b)
{
	const unsigned char *p = (const void *)b;

	return !*p && !memcmp(p, p + 1, BLOCK - 1);
}

static void check_block(const struct worker *w, const struct block *b, uint64_t number)
{
	uint64_t want = w->written[number];

	if (!want ? is_zero(b)
		  : b->file == w->file && b->number == number && b->generation == want &&
			    b->checksum == checksum(b))
		return;
	fprintf(stderr, "%s, block %llu: generation %llu instead of %llu\n", w->path,
		(unsigned long long)number, (unsigned long long)b->generation,
		(unsigned long long)want);
	_exit(10);
}

/* A signal may end a transfer early, and then the rest is asked for. */
static void transfer(struct worker *w, bool write, uint64_t first, uint64_t count)
{
	char *at = (char *)w->at;
	size_t len = count * BLOCK, done = 0;
	off_t pos = (off_t)(first * BLOCK);
	ssize_t n;

	while (done < len) {
		n = write ? pwrite(w->fd, at + done, len - done, pos + (off_t)done)
			  : pread(w->fd, at + done, len - done, pos + (off_t)done);
		if (n < 0 && errno != EINTR) {
			fprintf(stderr, "%s: %s: %s\n", w->path, write ? "write" : "read",
				errno_name(errno));
			_exit(11);
		}
		if (!n)
			_exit(12);
		if (n > 0)
			done += (size_t)n;
	}
}

static void do_write(struct worker *w, uint64_t first, uint64_t count)
{
	uint64_t i;

	w->generation++;
	for (i = 0; i < count; i++)
		make_block(w, &w->at[i], first + i);
	transfer(w, true, first, count);
	for (i = 0; i < count; i++)
		w->written[first + i] = w->generation;
}

static void do_read(struct worker *w, uint64_t first, uint64_t count)
{
	uint64_t i;

	memset(w->at, 0xff, count * BLOCK);
	transfer(w, false, first, count);
	for (i = 0; i < count; i++)
		check_block(w, &w->at[i], first + i);
}

/* A child has the memory, reads into its own copy while the parent reads into the page itself. */
static void do_fork(struct worker *w, uint64_t first, uint64_t count)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		_exit(13);
	do_read(w, first, count);
	if (!pid)
		_exit(0);
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			_exit(14);
	if (status)
		_exit(15);
}

/* Starts a read, takes its memory away, and waits for the end. */
static void do_disturb(struct worker *w, uint64_t first, uint64_t count, bool unmap)
{
	struct iovec iov = { w->at, count * BLOCK };
	struct request r;
	long n;

	if (request_start(&r, false, w->fd, &iov, 1, first * BLOCK))
		_exit(16);
	if (unmap) {
		if (mmap(w->at, AT_ONCE * BLOCK, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			_exit(17);
	} else if (madvise(w->at, count * BLOCK, MADV_DONTNEED)) {
		_exit(18);
	}
	do
		n = request_end(&r, 20000);
	while (n == -EINTR);
	if (n < 0)
		_exit(19);
}

static void do_splice(struct worker *w, uint64_t first)
{
	off_t pos = (off_t)(first * BLOCK);
	int ends[2];
	ssize_t n;

	if (pipe2(ends, O_CLOEXEC))
		_exit(20);
	w->generation++;
	make_block(w, w->at, first);
	if (write(ends[1], w->at, BLOCK) != (ssize_t)BLOCK)
		_exit(21);
	do
		n = splice(ends[0], NULL, w->fd, &pos, BLOCK, 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)BLOCK)
		_exit(22);
	w->written[first] = w->generation;
	close(ends[0]);
	close(ends[1]);
}

static void do_truncate(struct worker *w, uint64_t first)
{
	uint64_t i;

	while (ftruncate(w->fd, (off_t)(first * BLOCK)))
		if (errno != EINTR)
			_exit(23);
	while (ftruncate(w->fd, BLOCKS * BLOCK))
		if (errno != EINTR)
			_exit(24);
	for (i = first; i < BLOCKS; i++)
		w->written[i] = 0;
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void interrupt_often(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval every = { { 0, 7000 }, { 0, 7000 } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

static void work(void *arg)
{
	struct worker *w = arg;
	uint64_t first, count, rounds;

	w->at = (void *)memory_new(MEMORY_SMALL, AT_ONCE * BLOCK);
	w->fd = open(w->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (w->fd < 0)
		_exit(25);
	interrupt_often();
	for (rounds = 0; rounds < ROUNDS || !deadline_over(&w->by); rounds++) {
		first = next_random(w) % BLOCKS;
		count = 1 + next_random(w) % AT_ONCE;
		if (count > BLOCKS - first)
			count = BLOCKS - first;
		switch (next_random(w) % 16) {
		case 0:
			do_fork(w, first, count);
			break;
		case 1:
			do_disturb(w, first, count, false);
			break;
		case 2:
			do_disturb(w, first, count, true);
			break;
		case 3:
			do_truncate(w, first);
			break;
		case 4:
		case 5:
			do_splice(w, first);
			break;
		case 6:
		case 7:
		case 8:
		case 9:
		case 10:
			do_read(w, first, count);
			break;
		default:
			do_write(w, first, count);
		}
	}
	for (first = 0; first < BLOCKS; first += AT_ONCE)
		do_read(w, first, AT_ONCE);
}

static int seconds(void)
{
	const char *set = getenv("DIO_STRESS");

	return set ? atoi(set) : 2;
}

#define WORKERS 4

static void stress(const char *path[WORKERS], long least)
{
	static struct worker worker[WORKERS];
	struct pins before = pins_now();
	pid_t pid[WORKERS];
	int i, status;

	for (i = 0; i < WORKERS; i++) {
		worker[i] = (struct worker){ .path = path[i],
					     .file = (uint64_t)i + 1,
					     .random = 88172645463325252ULL + (uint64_t)i,
					     .by = deadline_in(seconds() * 1000) };
		pid[i] = in_child(work, &worker[i]);
	}
	for (i = 0; i < WORKERS; i++) {
		status = child_status(pid[i]);
		expect_true(status == 0, "%s: status %#x", path[i], (unsigned int)status);
	}
	expect_balance(before, least);
}

static const char *stress_file(const char *name)
{
	return make_sparse_file(name, BLOCKS * BLOCK);
}

CHECK(stress_local, "D1,D2,D3,F2", STOCK_PASS)
{
	const char *path[WORKERS] = { stress_file("0"), stress_file("1"),
				      stress_file("2"), stress_file("3") };

	stress(path, 100);
}

/* The same through NFS: on the stock kernel nothing is pinned there. */
CHECK(stress_remote, "D1,D2,D3,F2", STOCK_FAIL)
{
	const char *path[WORKERS];

	stress_file("0");
	stress_file("1");
	stress_file("2");
	stress_file("3");
	nfs_mount(NFS4);
	path[0] = strdup(nfs_path("0"));
	path[1] = strdup(nfs_path("1"));
	path[2] = strdup(nfs_path("2"));
	path[3] = strdup(nfs_path("3"));
	stress(path, 100);
}
