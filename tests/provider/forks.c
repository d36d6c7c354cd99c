// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * fork(): regions and queues stay the parent's, while its children live, when one starts a program, and when
 * they end; a child can have a device and queues of its own. Runs in a guest, with the provider that
 * IBV_DRIVERS names.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "fabric.h"

enum {
	TO = 4096, /* where writes land */
	BEFORE = 0x11,
	CHILDS = 0x22,
	ROUNDS = 30 /* more than a ring has room for */
};

static void write_rounds(struct fabric *f, struct pair *p)
{
	for (int i = 0; i < ROUNDS; i++) {
		f->memory[0] = (uint8_t)(100 + i);
		post_writes(f, &p->a, i, 1);
		expect_wc(p->a.cq, i, IBV_WC_SUCCESS);
		CHECK_INT(f->memory[TO], 100 + i);
	}
}

static pid_t start_child(void (*run)(struct fabric *f, int said, int go),
			 struct fabric *f, int said[2], int go[2])
{
	pid_t child;

	CHECK_INT(pipe(said) | pipe(go), 0);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		close(go[1]);
		/* a check that fails ends the child; what it says is in the log */
		if (!run_alone(f, run, said[1], go[0]))
			_exit(1);
		_exit(0);
	}
	close(said[1]);
	close(go[0]);
	return child;
}

static void await_child(int said)
{
	char byte;

	CHECK_INT(read(said, &byte, 1), 1);
}

static void end_child(pid_t child, int said, int go)
{
	int status;

	close(go);
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_INT(status, 0);
	close(said);
}

/*
 * The kernel copies pinned pages at the fork, so none has to be kept from the child: what that has is what
 * was there at the fork, and then what it has written itself.
 */
static void touch_the_copy(struct fabric *f, int said, int go)
{
	char byte;

	CHECK_INT(f->memory[TO], BEFORE);
	memset(f->memory, CHILDS, 2 * TO);
	CHECK_INT(write(said, "x", 1), 1);
	CHECK_INT(read(go, &byte, 1), 0);
	CHECK_INT(f->memory[TO], CHILDS);
}

static void memory_stays_the_parents(struct fabric *f)
{
	int said[2], go[2];
	struct pair p;
	pid_t child;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	write_rounds(f, &p);
	f->memory[TO] = BEFORE;
	child = start_child(touch_the_copy, f, said, go);
	await_child(said[0]);
	CHECK_INT(f->memory[TO], BEFORE);
	write_rounds(f, &p);
	end_child(child, said[0], go[1]);
	write_rounds(f, &p);
	break_pair(&p);
}

/* Requests posted before the fork are done, and complete once, in the parent. */
static void requests_under_way(struct fabric *f)
{
	int said[2], go[2];
	struct pair p;
	pid_t child;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	f->memory[TO] = BEFORE;
	f->memory[0] = BEFORE;
	post_writes(f, &p.a, 0, 5);
	child = start_child(touch_the_copy, f, said, go);
	await_child(said[0]);
	for (int i = 0; i < 5; i++)
		expect_wc(p.a.cq, i, IBV_WC_SUCCESS);
	CHECK_INT(f->memory[TO], BEFORE);
	end_child(child, said[0], go[1]);
	write_rounds(f, &p);
	break_pair(&p);
}

static void run_a_program(struct fabric *f, int said, int go)
{
	(void)f;
	(void)said;
	(void)go;
	execl("/bin/true", "true", NULL);
	CHECK_INT(errno, 0);
}

static void program_of_a_child(struct fabric *f)
{
	int said[2], go[2];
	struct pair p;
	pid_t child;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	write_rounds(f, &p);
	child = start_child(run_a_program, f, said, go);
	end_child(child, said[0], go[1]);
	write_rounds(f, &p);
	break_pair(&p);
}

static void use_own_objects(struct fabric *parents, int said, int go)
{
	struct fabric own = {};
	struct pair p;

	(void)parents;
	open_fabric(&own);
	make_pair(&own, &p, IBV_QPT_RC, small_cap, 0);
	write_rounds(&own, &p);
	CHECK_INT(write(said, "x", 1), 1);
	write_rounds(&own, &p);
	break_pair(&p);
	close_fabric(&own);
	(void)go;
}

static void objects_of_a_child(struct fabric *f)
{
	int said[2], go[2];
	struct pair p;
	pid_t child;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	child = start_child(use_own_objects, f, said, go);
	await_child(said[0]);
	write_rounds(f, &p);
	end_child(child, said[0], go[1]);
	write_rounds(f, &p);
	break_pair(&p);
}

static const struct test tests[] = {
	{ "fork-memory-stays-the-parents", memory_stays_the_parents },
	{ "fork-with-requests-under-way", requests_under_way },
	{ "fork-program-of-a-child", program_of_a_child },
	{ "fork-objects-of-a-child", objects_of_a_child },
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(*tests), argc, argv);
}
