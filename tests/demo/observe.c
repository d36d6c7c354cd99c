// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * observe DIR: what the running kernel does with RDMA into a DAX file of DIR, step by step.
 *
 * Prints one line per step, `key<TAB>observed`.  Each is done and seen in this run, by two or
 * three real processes.  A step that an earlier refusal makes impossible shows that refusal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "scene.h"

static void print(const char *key, const char *observed)
{
	printf("%s\t%s\n", key, observed);
	fflush(stdout);
}

static void print_result(const char *key, long result)
{
	print(key, result < 0 ? errno_name((int)-result) : "ok");
}

/* The owner of the file maps it and registers the mapping, with no lease. */
static void observe_no_lease(struct scene *s)
{
	long slot = v_reg(s->holder, 0, (uint64_t)s->addr, s->size, REMOTE_RW, &s->mr);

	print_result("register-no-lease", slot);
	if (slot >= 0)
		must(v_dereg(s->holder, &s->mr));
}

/* The same after asking for an exclusive layout lease; 0 or the registration's refusal. */
static long observe_lease(struct scene *s)
{
	long lease = a_setlease(s->holder, s->fd, EXCLUSIVE_LAYOUT);
	long slot = v_reg(s->holder, 0, (uint64_t)s->addr, s->size, REMOTE_RW, &s->mr);
	char words[64];

	if (lease < 0 && slot < 0) {
		snprintf(words, sizeof(words), "%s (lease: %s)", errno_name((int)-slot),
			 errno_name((int)-lease));
		print("register-lease", words);
	} else {
		print_result("register-lease", slot);
	}
	return slot < 0 ? slot : 0;
}

/* A peer writes through the MR and reads back; the file is then read with read(2). */
static void observe_traffic(struct scene *s)
{
	struct actor *peer = actor_start_exec("peer");
	long ret;

	must(v_open(peer, 0));
	v_connect(peer, 0, s->holder, 0);
	ret = v_write(peer, 0, &s->mr, 0, s->size, 42);
	if (!ret)
		ret = v_read_check(peer, 0, &s->mr, 0, s->size, 42);
	if (ret)
		print_result("remote-write-read", ret);
	else
		print("remote-write-read", file_has_pattern(s->path, 0, s->size, 42)
						   ? "data seen by read(2)"
						   : "data NOT seen by read(2)");
}

/* Only a kernel that refuses nothing gets here without a lease, so the file may change. */
static long truncate_by_other(struct scene *s, struct actor *other)
{
	return a_truncate(other, s->path, PAGE);
}

static void observe_truncates(struct scene *s)
{
	struct actor *other = actor_start_exec("other");
	struct deadline by;
	long ret;

	print_result("truncate-other", truncate_by_other(s, other));
	scene_unmap_and_close(s);
	print_result("truncate-after-close", truncate_by_other(s, other));
	must(v_dereg(s->holder, &s->mr));
	by = deadline_in(2000);
	do
		ret = truncate_by_other(s, other);
	while (ret < 0 && deadline_wait(&by));
	print_result("truncate-after-dereg", ret);
}

static void observe(void)
{
	struct scene s = scene_open();
	long refusal;

	s.addr = must(a_mmap_shared(s.holder, s.fd, s.size));
	scene_open_verbs(&s);
	observe_no_lease(&s);
	refusal = observe_lease(&s);
	if (refusal) {
		print_result("remote-write-read", refusal);
		print_result("truncate-other", refusal);
		print_result("truncate-after-close", refusal);
		print_result("truncate-after-dereg", refusal);
		return;
	}
	observe_traffic(&s);
	observe_truncates(&s);
}

int main(int argc, char **argv)
{
	if (actor_main(argc, argv))
		return 0;
	if (argc != 2) {
		fprintf(stderr, "usage: observe DIR\n");
		return 2;
	}
	return standalone_run(argv[1], observe) ? 0 : 1;
}
