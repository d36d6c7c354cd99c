// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A file with the DAX flag beside one without, as dax=inode, the default, allows them: what two-file
 * operations do with such a pair.
 */
#include <errno.h>
#include <stdio.h>

#include "busy_page.h"
#include "layout.h"
#include "remount.h"
#include "task.h"

static struct own_mount mount_mixed(const char *type)
{
	struct own_mount m = own_mount();

	if (strcmp(m.type, type))
		skip("an operation of %s", type);
	/* the stock kernel does not get as far: it would corrupt */
	if (!strcmp(type, "ext4"))
		need_leases();
	remount(&m, "dax=inode", NULL);
	return m;
}

/* Also when the check has failed: others come after it. */
static void mount_as_before(const struct own_mount *m, struct actor *a, struct actor *b)
{
	actor_kill(a);
	if (b)
		actor_kill(b);
	remount(m, "dax=always", NULL);
}

CHECK(t1_move_extents_of_a_mixed_pair, "T1", STOCK_FAIL)
{
	struct own_mount m = mount_mixed("ext4");
	struct actor *holder = actor_start("holder"), *b = actor_start("B");
	const char *dax = make_dax_file("f", SCENE_SIZE),
		   *plain = make_file("plain", SCENE_SIZE);
	long fd = must(a_open(holder, dax, O_RDWR)),
	     plain_fd = must(a_open(b, plain, O_RDWR));
	struct file_state before, plain_before;

	expect(EOPNOTSUPP, a_setlease(b, plain_fd, EXCLUSIVE_LAYOUT));
	require(0, a_setlease(holder, fd, EXCLUSIVE_LAYOUT));
	file_state(dax, &before);
	file_state(plain, &plain_before);
	expect(EOPNOTSUPP, op_move_extents_donor.run(b, dax, plain));
	expect(EOPNOTSUPP, op_move_extents_original.run(b, dax, plain));
	expect_unchanged(dax, &before, "MOVE_EXT");
	expect_unchanged(plain, &plain_before, "MOVE_EXT");
	mount_as_before(&m, holder, b);
}

/* The director has given the step to another process of its own: see only that it sleeps. */
static bool sleeps(const struct actor *a)
{
	struct deadline by = deadline_in(step_deadline_ms);
	struct task_watch watch = { .pid = a->pid };

	while (deadline_wait(&by))
		if (task_blocked_ms(a->pid, &watch) >= 200)
			return true;
	return false;
}

CHECK(t4_swap_extents_of_a_mixed_pair, "T4", STOCK_FAIL)
{
	struct own_mount m = mount_mixed("xfs");
	struct actor *holder = actor_start("holder"), *b = actor_start("B"), *reader;
	const char *dax = make_dax_file("f", SCENE_SIZE),
		   *plain = make_file("plain", SCENE_SIZE);
	long fd = must(a_open(holder, dax, O_RDWR)), addr;
	int end;

	addr = must(a_mmap_shared(holder, fd, SCENE_SIZE));
	reader = use_page(holder, addr);
	end = op_begin(&op_swap_extents_target, b, plain, dax);
	expect_true(sleeps(b), "the block of a page in use was moved");
	expect(0, end_of_use(reader));
	expect(0, op_end(end));
	actor_kill(reader);
	mount_as_before(&m, holder, b);
}
