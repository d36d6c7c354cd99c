// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* O1–O8: /proc/<pid>/file_pins, and pins under fork, exec, descriptor passing and kill. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "scene.h"

CHECK(o1_process_without_pins, "O1", STOCK_FAIL)
{
	struct scene s = scene_mapped();

	/* Neither a lease nor a context without file pins is listed. */
	expect_pins(s.holder, "");
	scene_open_verbs(&s);
	expect_pins(s.holder, "");
}

CHECK(o1_one_pinned_file, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();

	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
	expect(0, v_dereg(s.holder, &s.mr));
	expect_pins(s.holder, "");
}

CHECK(o1_each_file_once, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	int i;

	for (i = 0; i < 5; i++)
		must(v_reg(s.holder, 0, (uint64_t)s.addr, PAGE, REMOTE_RW, NULL));
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, s.path));
}

/* One context pins several files: the order of the files is not promised, so both are taken. */
CHECK(o1_two_files_of_one_owner, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	const char *second = make_file("second", PAGE);
	long fd = must(a_open(s.holder, second, O_RDWR));
	long addr = must(a_mmap_shared(s.holder, fd, PAGE));
	char path[64], text[4096], line[2][600];

	must(a_setlease(s.holder, fd, EXCLUSIVE_LAYOUT));
	must(v_reg(s.holder, 0, (uint64_t)addr, PAGE, REMOTE_RW, NULL));
	snprintf(path, sizeof(path), "/proc/%d/file_pins", s.holder->pid);
	require(0, file_read(path, text, sizeof(text)));
	snprintf(line[0], sizeof(line[0]), "\n\t%s\n", s.path);
	snprintf(line[1], sizeof(line[1]), "\n\t%s\n", second);
	expect_true(strstr(text, line[0]) && strstr(text, line[1]),
		    "both files expected, seen\n%s", text);
	expect_value((long)(strlen(pins_text(s.holder, s.uverbs_fd, s.path)) +
			    strlen(line[1]) - 1),
		     (long)strlen(text));
}

/* The text fits no page, and the length of its first lines tells nothing of the others'. */
CHECK(o1_many_files_of_one_owner, "O1", STOCK_FAIL)
{
	enum {
		FILES = 48,
		LONG = 190
	};
	struct scene s = scene_pinned();
	const char *paths[FILES];
	char name[LONG + 8], line[600], path[64], text[32768], *p;
	size_t length = strlen(pins_text(s.holder, s.uverbs_fd, s.path));
	int i;

	for (i = 0; i < FILES; i++) {
		long fd, addr;

		snprintf(name, sizeof(name), "%0*d", i % 2 ? LONG : 2, i);
		paths[i] = make_file(name, PAGE);
		fd = must(a_open(s.holder, paths[i], O_RDWR));
		addr = must(a_mmap_shared(s.holder, fd, PAGE));
		must(a_setlease(s.holder, fd, EXCLUSIVE_LAYOUT));
		must(v_reg(s.holder, 0, (uint64_t)addr, PAGE, REMOTE_RW, NULL));
		length += strlen(paths[i]) + 2;
	}
	snprintf(path, sizeof(path), "/proc/%d/file_pins", s.holder->pid);
	require(0, file_read(path, text, sizeof(text)));
	expect_value((long)length, (long)strlen(text));
	for (i = 0; i < FILES; i++) {
		snprintf(line, sizeof(line), "\n\t%s\n", paths[i]);
		p = strstr(text, line);
		expect_true(p && !strstr(p + 1, line), "%s expected once, seen\n%s",
			    paths[i], text);
	}
}

CHECK(o1_two_owners, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	long second = must(v_open(s.holder, 1));
	char want[2048];

	must(v_reg(s.holder, 1, (uint64_t)s.addr, PAGE, REMOTE_RW, NULL));
	/* Descriptors ascend. */
	expect_true(second > s.uverbs_fd, "descriptor %ld is not above %ld", second,
		    s.uverbs_fd);
	snprintf(want, sizeof(want), "%s%s", pins_text(s.holder, s.uverbs_fd, s.path),
		 pins_text(s.holder, second, s.path));
	expect_pins(s.holder, want);
	expect(0, v_dereg(s.holder, &s.mr));
	expect_pins(s.holder, pins_text(s.holder, second, s.path));
}

CHECK(o1_two_descriptors_of_one_owner, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	long copy = must(a_dup(s.holder, s.uverbs_fd));
	char want[2048];

	snprintf(want, sizeof(want), "%s%s", pins_text(s.holder, s.uverbs_fd, s.path),
		 pins_text(s.holder, copy, s.path));
	expect_pins(s.holder, want);
}

CHECK(o1_unlinked_file, "O1,T7", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	char path[600];

	snprintf(path, sizeof(path), "%s (deleted)", s.path);
	must(a_unlink(s.holder, s.path));
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, path));
	scene_unmap_and_close(&s);
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, path));
}

CHECK(o1_renamed_file, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	const char *to = in_dir("new name");

	must(a_rename(s.holder, s.path, to));
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, to));
}

CHECK(o1_escapes_as_in_maps, "O1", STOCK_FAIL)
{
	struct scene s =
		scene_pinned_by(actor_start("A"), make_file("a b\tc\\d\ne", PAGE), PAGE);
	char maps[16384], path[64], *p, *end;

	/* The kernel's own example stands next to it. */
	snprintf(path, sizeof(path), "/proc/%d/maps", s.holder->pid);
	if (file_read(path, maps, sizeof(maps)) < 0 || !(p = strstr(maps, check_dir())))
		broken("the file is not in %s", path);
	end = strchr(p, '\n');
	if (end)
		*end = '\0';
	expect_true(strstr(p, "\\012") != NULL, "maps shows %s", p);
	expect_pins(s.holder, pins_text(s.holder, s.uverbs_fd, p));
}

CHECK(o1_needs_ptrace_read_access, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *user = actor_start("user");
	char path[64], buf[512];
	long fd;

	must(a_become(user, NOBODY, 0));
	snprintf(path, sizeof(path), "/proc/%d/file_pins", s.holder->pid);
	require(0, file_read(path, buf, sizeof(buf)));
	fd = a_open(user, path, O_RDONLY);
	if (fd >= 0)
		fd = SYS(user, SYS_read, V(fd), OUT(buf, sizeof(buf)), V(sizeof(buf)));
	expect(EACCES, fd);
}

CHECK(o1_access_is_checked_at_every_read, "O1", STOCK_FAIL)
{
	struct actor *target = actor_start("target"), *reader = actor_start("reader");
	char path[64], buf[512];
	long fd;

	must(a_become(target, NOBODY, 0));
	must(a_become(reader, NOBODY, 0));
	snprintf(path, sizeof(path), "/proc/%d/file_pins", target->pid);
	fd = must(a_open(reader, path, O_RDONLY));
	expect(0, SYS(reader, SYS_pread64, V(fd), OUT(buf, sizeof(buf)), V(sizeof(buf)),
		      V(0)));
	/* From now on the reader may not look into the target. */
	must(SYS(target, SYS_prctl, V(PR_SET_DUMPABLE), V(0), V(0), V(0), V(0)));
	expect(EACCES, SYS(reader, SYS_pread64, V(fd), OUT(buf, sizeof(buf)),
			   V(sizeof(buf)), V(0)));
}

CHECK(o1_own_process_and_thread_view, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	const char *want = pins_text(s.holder, s.uverbs_fd, s.path);
	char buf[2048] = "";
	long fd = must(a_open(s.holder, "/proc/self/file_pins", O_RDONLY));
	long n = must(SYS(s.holder, SYS_read, V(fd), OUT(buf, sizeof(buf) - 1),
			  V(sizeof(buf) - 1)));

	buf[n] = '\0';
	expect_true(!strcmp(buf, want), "/proc/self/file_pins: expected\n%sseen\n%s",
		    want, buf);
}

CHECK(o1_read_in_small_pieces, "O1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	const char *want = pins_text(s.holder, s.uverbs_fd, s.path);
	char path[64], seen[2048];
	size_t used = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/file_pins", s.holder->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while ((n = read(fd, seen + used, 3)) > 0 && used < sizeof(seen) - 4)
		used += (size_t)n;
	close(fd);
	seen[used] = '\0';
	expect_true(!strcmp(seen, want), "in pieces: expected\n%sseen\n%s", want, seen);
}

CHECK(o1_fdinfo_of_the_owner, "O1", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	char path[64], without[2048], with[2048], inode[32];
	struct stat st;

	scene_open_verbs(&s);
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%ld", s.holder->pid, s.uverbs_fd);
	must(file_read(path, without, sizeof(without)));
	must(v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	must(file_read(path, with, sizeof(with)));
	if (stat(s.path, &st))
		broken("%s: cannot stat", s.path);
	snprintf(inode, sizeof(inode), "%lu", st.st_ino);
	expect_true(strlen(with) > strlen(without) &&
			    strstr(with + strlen(without), inode),
		    "no figures of inode %s in fdinfo:\n%s", inode, with);
	must(v_dereg(s.holder, &s.mr));
	must(file_read(path, with, sizeof(with)));
	expect_true(!strcmp(with, without), "after the last pin fdinfo still shows\n%s",
		    with);
}

/* ---- O2: fork ---- */

CHECK(o2_child_shows_the_inherited_pins, "O2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *child = actor_fork(s.holder, "child"), *c = actor_start("C");
	const char *want = pins_text(s.holder, s.uverbs_fd, s.path);

	expect_pins(child, want);
	/* The parent closes all that it has; the child's copies keep the pins. */
	scene_unmap_and_close(&s);
	must(v_close_fd(s.holder, 0));
	expect_pins(s.holder, "");
	expect_pins(child, want);
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	must(v_close_fd(child, 0));
	expect_pins(child, "");
	/* The child's mapping and descriptor keep the holder's lease, until they go. */
	must(a_munmap(child, s.addr, s.size));
	must(a_close(child, s.fd));
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(o2_dereg_by_the_parent_ends_it_for_both, "O2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *child = actor_fork(s.holder, "child");

	must(v_dereg(s.holder, &s.mr));
	expect_pins(s.holder, "");
	expect_pins(child, "");
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(o2_parent_exits_child_keeps_pins, "O2,L11", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *child = actor_fork(s.holder, "child"), *c = actor_start("C");
	const char *want = pins_text(s.holder, s.uverbs_fd, s.path);

	actor_exit(s.holder);
	expect_pins(child, want);
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	actor_exit(child);
	eventually(a_truncate(c, s.path, PAGE));
}

/* ---- O3: passing the uverbs descriptor ---- */

CHECK(o3_receiver_shows_the_pins, "O3,O2", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start_exec("B"), *c = actor_start("C");
	long uverbs = must(actor_send_fd(s.holder, (int)s.uverbs_fd, b));

	expect_pins(b, pins_text(b, uverbs, s.path));
	actor_exit(s.holder);
	expect_pins(b, pins_text(b, uverbs, s.path));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	must(a_close(b, uverbs));
	expect_pins(b, "");
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(o3_receiver_needs_a_lease_of_its_own, "O3,P1", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start_exec("B"), *c = actor_start("C");
	uint32_t pd = (uint32_t)must(v_pd_handle(s.holder, 0));
	long uverbs = must(actor_send_fd(s.holder, (int)s.uverbs_fd, b));
	long fd = must(actor_send_fd(s.holder, (int)s.fd, b));
	long addr = must(a_mmap_shared(b, fd, s.size));
	long handle;

	expect(EPERM, v_raw_reg(b, uverbs, pd, (uint64_t)addr, s.size, REMOTE_RW));
	must(a_setlease(b, fd, EXCLUSIVE_LAYOUT));
	handle = must(v_raw_reg(b, uverbs, pd, (uint64_t)addr, s.size, REMOTE_RW));
	expect(EBUSY, a_setlease(b, fd, F_LAYOUT | F_UNLCK));
	expect(0, v_dereg(s.holder, &s.mr));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	expect(0, v_raw_dereg(b, uverbs, (uint32_t)handle));
	expect(0, a_setlease(b, fd, F_LAYOUT | F_UNLCK));
	expect(0, a_truncate(c, s.path, PAGE));
}

CHECK(o3_raw_registration_of_anonymous_memory, "O3,P5", STOCK_PASS)
{
	struct actor *a = actor_start("A"), *b = actor_start_exec("B");
	long uverbs = must(v_open(a, 0));
	uint32_t pd = (uint32_t)must(v_pd_handle(a, 0));
	long fd = must(actor_send_fd(a, (int)uverbs, b));
	long addr = must(a_mmap(b, 0, KiB(64), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	long handle = must(v_raw_reg(b, fd, pd, (uint64_t)addr, KiB(64), REMOTE_RW));

	expect(0, v_raw_dereg(b, fd, (uint32_t)handle));
}

/* ---- O4: contexts without a descriptor ---- */

CHECK(o4_mapped_context, "O4", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *peer = actor_start("peer"), *c = actor_start("C");
	char want[1024], *text;

	/* The queues of a queue pair are mapped through the uverbs descriptor. */
	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	text = strchr(pins_text(s.holder, s.uverbs_fd, s.path), ':');
	snprintf(want, sizeof(want), "map%s", text);
	must(a_close(s.holder, s.uverbs_fd));
	expect_pins(s.holder, want);
	expect(0, v_write(peer, 0, &s.mr, 0, s.size, 15));
	scene_unmap_and_close(&s);
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	actor_exit(s.holder);
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(o4_context_in_flight, "O4,T6", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *c = actor_start("C");
	long socket = must(a_park_fd(s.holder, s.uverbs_fd));

	scene_unmap_and_close(&s);
	must(a_close(s.holder, s.uverbs_fd));
	expect_pins(s.holder, "");
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	must(a_close(s.holder, socket));
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(l7_description_in_flight_keeps_the_lease, "L7,C3", STOCK_FAIL)
{
	struct scene s = scene_leased();
	struct actor *c = actor_start("C");
	long socket = must(a_park_fd(s.holder, s.fd));

	/* A description in flight is a description: the lease lives without pins. */
	must(a_close(s.holder, s.fd));
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	must(a_close(s.holder, socket));
	eventually(a_truncate(c, s.path, PAGE));
}

/* ---- O5: SIGKILL ---- */

CHECK(o5_kill_the_holder, "O5,T6", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *c = actor_start("C");

	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	actor_kill(s.holder);
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(o5_kill_all_that_share_it, "O5,T6", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *child = actor_fork(s.holder, "child"), *b = actor_start_exec("B");
	struct actor *c = actor_start("C");

	must(actor_send_fd(s.holder, (int)s.uverbs_fd, b));
	must(actor_send_fd(s.holder, (int)s.fd, b));
	actor_kill(s.holder);
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	actor_kill(child);
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	actor_kill(b);
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(o5_kill_while_the_peer_writes, "O5,T6", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *peer = actor_start_exec("peer"), *c = actor_start("C");
	int i;

	must(v_open(peer, 0));
	v_connect(peer, 0, s.holder, 0);
	for (i = 0; i < 10; i++)
		expect(0, v_write(peer, 0, &s.mr, 0, s.size, (uint64_t)i));
	actor_kill(s.holder);
	eventually(a_truncate(c, s.path, PAGE));
}

/* ---- O6: descriptors that outlive the context ---- */

static void outlives(long (*child_fd)(struct actor *a, int ctx))
{
	struct scene s = scene_pinned();
	struct actor *c = actor_start("C");
	long fd = must(child_fd(s.holder, 0));

	scene_unmap_and_close(&s);
	must(a_close(s.holder, s.uverbs_fd));
	expect_pins(s.holder, "");
	eventually(a_truncate(c, s.path, PAGE));
	expect(0, a_close(s.holder, fd));
}

CHECK(o6_completion_channel, "O6", STOCK_FAIL)
{
	outlives(v_channel_fd);
}

CHECK(o6_async_events, "O6", STOCK_FAIL)
{
	outlives(v_async_fd);
}

/* ---- O7: removal of the device ---- */

#define O7_DEVICE "rxe_o7"

/*
 * rxe cannot take a device away from its users: the delete waits for the last context.  Nothing
 * may deadlock, and no pin may be left when it has ended.
 */
CHECK(o7_link_delete_under_pins, "O7,O5", STOCK_FAIL)
{
	struct scene s = scene_mapped();
	struct actor *admin = actor_start("admin"), *c = actor_start("C");

	a_rdma_device(admin, O7_DEVICE, "rxe");
	s.uverbs_fd = must(v_open_device(s.holder, 0, O7_DEVICE));
	must(v_reg(s.holder, 0, (uint64_t)s.addr, s.size, REMOTE_RW, &s.mr));
	a_run_begin(admin,
		    (const char *const[]){ "rdma", "link", "delete", O7_DEVICE, NULL });
	scene_unmap_and_close(&s);
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	actor_exit(s.holder);
	expect_value(0, actor_call_end(admin, NULL, 0, step_deadline_ms));
	eventually(a_truncate(c, s.path, PAGE));
}

/* ---- O8: exec ---- */

CHECK(o8_exec_closes_the_context, "O8,O5", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *c = actor_start("C");

	/* libibverbs and a_open() set O_CLOEXEC, and exec drops the mapping. */
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	must(actor_exec(s.holder));
	expect_pins(s.holder, "");
	eventually(a_truncate(c, s.path, PAGE));
}

CHECK(o8_exec_keeps_the_context, "O8", STOCK_FAIL)
{
	struct scene s = scene_pinned();
	struct actor *c = actor_start("C");
	const char *want = pins_text(s.holder, s.uverbs_fd, s.path);

	must(a_fcntl(s.holder, s.uverbs_fd, F_SETFD, 0));
	must(actor_exec(s.holder));
	expect_pins(s.holder, want);
	expect(ETXTBSY, a_truncate(c, s.path, PAGE));
	must(a_close(s.holder, s.uverbs_fd));
	expect_pins(s.holder, "");
	eventually(a_truncate(c, s.path, PAGE));
}

static void exec_keeps_context_and_file(long (*exec)(struct actor *a))
{
	struct scene s = scene_pinned();
	struct actor *b = actor_start("B");
	const char *want = pins_text(s.holder, s.uverbs_fd, s.path);

	must(a_fcntl(s.holder, s.uverbs_fd, F_SETFD, 0));
	must(a_fcntl(s.holder, s.fd, F_SETFD, 0));
	must(exec(s.holder));
	expect_pins(s.holder, want);
	expect_value(EXCLUSIVE_LAYOUT, a_getlease(s.holder, s.fd));
	expect(EBUSY, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
	must(a_close(s.holder, s.uverbs_fd));
	/* Without pins the lease is in force only as long as its holder counts as alive. */
	expect(ETXTBSY, a_truncate(b, s.path, PAGE));
	expect(EDEADLK, a_truncate(s.holder, s.path, PAGE));
	expect(0, a_setlease(s.holder, s.fd, F_LAYOUT | F_UNLCK));
}

CHECK(o8_exec_keeps_context_and_file, "O8,L11", STOCK_FAIL)
{
	exec_keeps_context_and_file(actor_exec);
}

CHECK(l11_exec_by_another_thread, "L11,O8", STOCK_FAIL)
{
	exec_keeps_context_and_file(actor_exec_from_thread);
}
