// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The pins listing on a /proc recorded in the guest (proc/recorded): what holder.c had made
 * there is at the top of each test.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "proc.h"
#include "unit.h"

#define UVERBS "/dev/infiniband/uverbs0"

static char work[64];

static void use(const char *tree)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", getenv("PROC"), tree);
	proc_root = path;
}

/* A copy that the test may change. */
static void use_copy(void)
{
	char command[8192];

	strcpy(work, "/tmp/pinverbs-proc.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(work));
	snprintf(command, sizeof(command), "cp -a %s/recorded/. %s", getenv("PROC"),
		 work);
	CU_ASSERT_EQUAL_FATAL(system(command), 0);
	proc_root = work;
}

static void remove_copy(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", work);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", work, name);
	file = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs(text, file);
	fclose(file);
}

/* An entry as one line: what tests compare. */
static const char *line(const struct pinv_pin *pin)
{
	static const char *const leases[] = { "?", "held", "zombie", "cooperative" };
	static char text[512];
	char *to = text;
	unsigned i;

	to += sprintf(to, "%s %d %d %s %s %lld/%lld %s <",
		      pin->command ? pin->command : "?", pin->pid, pin->owner_fd,
		      pin->owner ? pin->owner : "-", pin->file ? pin->file : "?",
		      (long long)pin->pages, (long long)pin->regions, leases[pin->lease]);
	for (i = 0; i < pin->holder_count; i++)
		to += sprintf(to, " %d", pin->holders[i]);
	return text;
}

static void check(struct pinv_pins *pins, const char *const *expected, size_t count)
{
	size_t i;

	CU_ASSERT_PTR_NOT_NULL_FATAL(pins);
	CU_ASSERT_EQUAL(pinv_pins_count(pins), count);
	for (i = 0; i < pinv_pins_count(pins); i++) {
		const char *got = line(pinv_pins_get(pins, i));

		CU_ASSERT(i < count && !strcmp(got, expected[i]));
		if (i >= count || strcmp(got, expected[i]))
			printf("\n    entry %zu: %s", i, got);
	}
	CU_ASSERT_PTR_NULL(pinv_pins_get(pins, pinv_pins_count(pins)));
	CU_ASSERT_PTR_NULL(pinv_pins_get(pins, SIZE_MAX));
	pinv_pins_free(pins);
}

#define CHECK(pins, ...)                                                        \
	do {                                                                    \
		static const char *const expected_[] = { __VA_ARGS__ };         \
		check(pins, expected_, sizeof(expected_) / sizeof(*expected_)); \
	} while (0)

/*
 * 111: pin a, zombie b, pin "two\nlines"       119: pin a, lease c; 121 is its child
 * 128: zombie b, unlink b, pin c, unfd          136: lease g
 * 142: pin a; another context: pin a twice
 */
static void everything_by_owner(void)
{
	use("recorded");
	CHECK(pinv_list_pins(PINV_PINS_ALL, -1, PINV_PINS_BY_OWNER),
	      "holder 111 4 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 111 4 " UVERBS " /mnt/xfs/b (deleted) 512/1 zombie < 111 128",
	      "holder 111 4 " UVERBS " /mnt/xfs/two\\012lines 512/1 held < 111",
	      "holder 119 4 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 119 -1 - /mnt/xfs/c 0/0 held < 119",
	      "holder 121 4 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 128 -1 " UVERBS " /mnt/xfs/b (deleted) -1/-1 ? <",
	      "holder 128 -1 " UVERBS " /mnt/xfs/c -1/-1 ? <",
	      "holder 136 -1 - /mnt/xfs/g 0/0 held < 136",
	      "holder 142 3 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 142 6 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 142 6 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      /* What 128 maps cannot be matched: its paths are not here. */
	      "? 0 -1 - /mnt/xfs/c -1/-1 held < 128");
}

static void everything_by_file(void)
{
	struct pinv_pins *pins;
	size_t i;

	use("recorded");
	pins = pinv_list_pins(PINV_PINS_ALL, -1, PINV_PINS_BY_FILE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(pins);
	CU_ASSERT_EQUAL(pinv_pins_count(pins), 13);
	CU_ASSERT_EQUAL(pinv_pins_unseen(pins), 0);
	for (i = 2; i < pinv_pins_count(pins); i++) {
		const struct pinv_pin *a = pinv_pins_get(pins, i - 1),
				      *b = pinv_pins_get(pins, i);

		CU_ASSERT(a->inode < b->inode ||
			  (a->inode == b->inode && a->pid - 1U <= b->pid - 1U));
		CU_ASSERT(b->inode == 0 ||
			  (b->device_major == 0x103 && b->device_minor == 1));
		CU_ASSERT_EQUAL(b->uid, b->command ? 0 : (unsigned)-1);
	}
	pinv_pins_free(pins);
}

static void one_process(void)
{
	use("recorded");
	CHECK(pinv_list_pins(119, -1, PINV_PINS_BY_OWNER),
	      "holder 119 4 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 119 -1 - /mnt/xfs/c 0/0 held < 119");
	CHECK(pinv_list_pins(136, -1, PINV_PINS_BY_FILE),
	      "holder 136 -1 - /mnt/xfs/g 0/0 held < 136");
	check(pinv_list_pins(2, -1, PINV_PINS_BY_FILE), NULL, 0);
}

static void own_process(void)
{
	use("recorded"); /* self is 111 */
	CHECK(pinv_list_pins(PINV_PINS_SELF, -1, PINV_PINS_BY_OWNER),
	      "holder 111 4 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 111 4 " UVERBS " /mnt/xfs/b (deleted) 512/1 zombie < 111 128",
	      "holder 111 4 " UVERBS " /mnt/xfs/two\\012lines 512/1 held < 111");
}

/* A file that exists, with pins of 111 under a lease of its own and a cooperative lease of 136. */
static int a_file(void)
{
	char text[256], path[128];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/file", work);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CU_ASSERT_EQUAL_FATAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL_FATAL(dup2(fd, 50), 50);
	close(fd);
	fd = 50;
	snprintf(text, sizeof(text), "%s/111/fd/50", work);
	CU_ASSERT_EQUAL_FATAL(symlink(path, text), 0);
	snprintf(text, sizeof(text),
		 "1: POSIX  ADVISORY  WRITE 136 %02x:%02x:%lu 0 EOF\n"
		 "2: LAYOUT ACTIVE    READ 136 %02x:%02x:%lu 0 EOF\n"
		 "3: LAYOUT PINNED    WRITE 111 %02x:%02x:%lu 0 EOF\n",
		 major(st.st_dev), minor(st.st_dev), st.st_ino, major(st.st_dev),
		 minor(st.st_dev), st.st_ino, major(st.st_dev), minor(st.st_dev),
		 st.st_ino);
	put("locks", text);
	snprintf(text, sizeof(text), "4: " UVERBS "\n\t%s\n", path);
	put("111/file_pins", text);
	snprintf(text, sizeof(text),
		 "file_pin:\tpages: 3 mrs: 2 dev: %02x:%02x ino: %lu lease: held\n",
		 major(st.st_dev), minor(st.st_dev), st.st_ino);
	put("111/fdinfo/4", text);
	return fd;
}

static void one_file(void)
{
	char expected[2][256];
	const char *lines[] = { expected[0], expected[1] };
	int fd;

	use_copy();
	fd = a_file();
	snprintf(expected[0], 256, "holder 111 4 " UVERBS " %s/file 3/2 held < 111",
		 work);
	/* 136 is not seen to have the lease (its fdinfo has another), so nothing is said of it. */
	snprintf(expected[1], 256, "? 136 -1 - %s/file 0/0 cooperative < 136", work);
	check(pinv_list_pins(PINV_PINS_ALL, fd, PINV_PINS_BY_FILE), lines, 2);
	check(pinv_list_pins(111, fd, PINV_PINS_BY_FILE), lines, 1);
	check(pinv_list_pins(142, fd, PINV_PINS_BY_FILE), NULL, 0);
	close(fd);
	remove_copy();
}

/* No descriptor, so no fdinfo; but the path leads to a file that has a lease with pins. */
static void mapped_owner_by_path(void)
{
	char expected[256];
	const char *lines[] = { expected };
	char text[256];
	int fd;

	use_copy();
	fd = a_file();
	snprintf(text, sizeof(text), "map: " UVERBS "\n\t%s/file\n", work);
	put("111/file_pins", text);
	snprintf(expected, 256, "holder 111 -1 " UVERBS " %s/file -1/-1 ? < 111", work);
	check(pinv_list_pins(111, fd, PINV_PINS_BY_FILE), lines, 1);
	close(fd);
	remove_copy();
}

static unsigned unseen(void)
{
	struct pinv_pins *pins = pinv_list_pins(PINV_PINS_ALL, -1, PINV_PINS_BY_OWNER);
	unsigned count;

	CU_ASSERT_PTR_NOT_NULL_FATAL(pins);
	count = pinv_pins_unseen(pins);
	pinv_pins_free(pins);
	return count;
}

static void processes_of_others(void)
{
	use("recorded");
	sim_deny("/111/file_pins", EACCES);
	CU_ASSERT_EQUAL(unseen(), 1);
	/* Its pins are not shown, its leases are; that of b and a may be others' too. */
	CHECK(pinv_list_pins(PINV_PINS_ALL, -1, PINV_PINS_BY_FILE),
	      "holder 128 -1 " UVERBS " /mnt/xfs/b (deleted) -1/-1 ? <",
	      "holder 128 -1 " UVERBS " /mnt/xfs/c -1/-1 ? <",
	      "holder 119 4 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 121 4 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 142 3 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 142 6 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 142 6 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "? 0 -1 - ? -1/-1 zombie < 111", "? 0 -1 - ? -1/-1 zombie < 128",
	      "holder 119 -1 - /mnt/xfs/c 0/0 held < 119",
	      "? 0 -1 - /mnt/xfs/c -1/-1 held < 128",
	      "? 0 -1 - /mnt/xfs/two\\012lines -1/-1 held < 111",
	      "holder 136 -1 - /mnt/xfs/g 0/0 held < 136");
	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_list_pins(111, -1, PINV_PINS_BY_FILE));
	CU_ASSERT_EQUAL(errno, EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), "process 111: list pins"));
}

static void kernel_threads_have_nothing_to_see(void)
{
	use("recorded");
	sim_deny("/2/file_pins", EACCES);
	CU_ASSERT_EQUAL(unseen(), 0);
}

static void nothing_to_miss_without_pins(void)
{
	use_copy();
	sim_deny("/119/file_pins", EACCES);
	CU_ASSERT_EQUAL(unseen(), 1);
	put("locks", "1: LAYOUT ACTIVE    WRITE 136 103:01:4103 0 EOF\n");
	CU_ASSERT_EQUAL(unseen(), 0);
	remove_copy();
}

/* Mounted with hidepid=2 */
static void hidden_processes(void)
{
	char path[128];

	use_copy();
	CU_ASSERT_EQUAL(unseen(), 0);
	snprintf(path, sizeof(path), "%s/1", work);
	CU_ASSERT_EQUAL(rename(path, "/tmp/pinverbs-proc-1"), 0);
	CU_ASSERT_EQUAL(unseen(), 1);
	CU_ASSERT_EQUAL(rename("/tmp/pinverbs-proc-1", path), 0);
	remove_copy();
}

/* Mounted with hidepid=1: the folders of others are there, and closed. */
static void closed_processes(void)
{
	use("recorded");
	sim_deny("/119/", EPERM);
	CU_ASSERT_EQUAL(unseen(), 1);
}

static void processes_come_and_go(void)
{
	use("recorded");
	sim_deny("/111/file_pins", ESRCH);
	CU_ASSERT_EQUAL(unseen(), 0);
	sim_deny("/119/status", ENOENT);
	CU_ASSERT_EQUAL(unseen(), 0);
	sim_deny("/119/fdinfo/4", ENOENT);
	CHECK(pinv_list_pins(119, -1, PINV_PINS_BY_OWNER),
	      "holder 119 4 " UVERBS " /mnt/xfs/a -1/-1 ? <",
	      "holder 119 -1 - /mnt/xfs/c 0/0 held < 119",
	      "? 0 -1 - /mnt/xfs/a -1/-1 held < 119");
	CU_ASSERT_PTR_NULL(pinv_list_pins(4, -1, PINV_PINS_BY_OWNER));
	CU_ASSERT_EQUAL(errno, ESRCH);
}

/* Another region is registered between the reading of the paths and of the figures. */
static void register_another(void)
{
	put("119/file_pins", "4: " UVERBS "\n\t/mnt/xfs/a\n\t/mnt/xfs/c\n");
	put("119/fdinfo/4",
	    "file_pin:\tpages: 512 mrs: 1 dev: 103:01 ino: 4099 lease: held\n"
	    "file_pin:\tpages: 8 mrs: 2 dev: 103:01 ino: 4101 lease: held\n");
}

static void owner_changes_meanwhile(void)
{
	use_copy();
	sim_on_open("/119/fdinfo/4", 1, register_another);
	CHECK(pinv_list_pins(119, -1, PINV_PINS_BY_OWNER),
	      "holder 119 4 " UVERBS " /mnt/xfs/a 512/1 held < 111 119 142",
	      "holder 119 4 " UVERBS " /mnt/xfs/c 8/2 held < 128",
	      "holder 119 -1 - /mnt/xfs/c 0/0 held < 119");
	remove_copy();
}

/* What never fits is not put together by force. */
static void figures_never_fit(void)
{
	use_copy();
	put("136/file_pins", "7: " UVERBS "\n\t/x\n\t/y\n");
	put("136/fdinfo/7", "file_pin:\tpages: 1 mrs: 1 dev: 00:01 ino: 1 lease: held\n");
	CHECK(pinv_list_pins(136, -1, PINV_PINS_BY_OWNER),
	      "holder 136 7 " UVERBS " /x -1/-1 ? <",
	      "holder 136 7 " UVERBS " /y -1/-1 ? <",
	      "holder 136 -1 - /mnt/xfs/g 0/0 held < 136");
	remove_copy();
}

static void release_the_lease(void)
{
	put("locks", "1: LAYOUT ACTIVE    WRITE 119 103:01:4101 0 EOF\n");
}

static void leases_change_meanwhile(void)
{
	use_copy();
	sim_on_open("/locks", 2, release_the_lease);
	check(pinv_list_pins(136, -1, PINV_PINS_BY_OWNER), NULL, 0);
	remove_copy();
}

/* The holder's number may have become another process's. */
static void holder_has_exited(void)
{
	use_copy();
	put("locks", "1: LAYOUT ACTIVE    WRITE 121 103:01:4103 0 EOF\n"
		     "2: LAYOUT ACTIVE    WRITE 99999 103:01:4104 0 EOF\n"
		     "3: LAYOUT PINNED    WRITE 99999 103:01:4105 0 EOF\n");
	put("111/file_pins", "");
	put("119/file_pins", "");
	put("121/file_pins", "");
	put("128/file_pins", "");
	put("142/file_pins", "");
	CHECK(pinv_list_pins(PINV_PINS_ALL, -1, PINV_PINS_BY_FILE),
	      "? 121 -1 - ? 0/0 held < 121", "? 99999 -1 - ? 0/0 held < 99999",
	      "? 0 -1 - ? -1/-1 held < 99999");
	remove_copy();
}

static void assert_refused(int pid, int fd, enum pinv_pins_order order, int err)
{
	errno = 0;
	CU_ASSERT_PTR_NULL(pinv_list_pins(pid, fd, order));
	CU_ASSERT_EQUAL(errno, err);
	CU_ASSERT_PTR_NOT_NULL(strstr(unit_logged(), strerrorname_np(err)));
}

static void refusals(void)
{
	use("recorded");
	assert_refused(-2, -1, PINV_PINS_BY_FILE, EINVAL);
	assert_refused(INT32_MIN, -1, PINV_PINS_BY_FILE, EINVAL);
	assert_refused(INT32_MAX, -1, PINV_PINS_BY_FILE, ESRCH);
	assert_refused(0, -1, (enum pinv_pins_order)2, EINVAL);
	assert_refused(0, -2, PINV_PINS_BY_FILE, EBADF);
	assert_refused(0, 99999, PINV_PINS_BY_FILE, EBADF);
	use("missing");
	assert_refused(PINV_PINS_ALL, -1, PINV_PINS_BY_FILE, ENOENT);
	sim_set_patched(false);
	assert_refused(PINV_PINS_ALL, -1, PINV_PINS_BY_FILE, EOPNOTSUPP);
	pinv_pins_free(NULL);
}

/* Whatever open() or allocation is refused, nothing is listed and nothing leaks. */
static void every_failure_as(int err)
{
	struct pinv_pins *pins = NULL;
	unsigned nth;

	for (nth = 1; !pins; nth++) {
		sim_fail_nth(nth, err);
		errno = 0;
		pins = pinv_list_pins(PINV_PINS_ALL, -1, PINV_PINS_BY_OWNER);
		CU_ASSERT_EQUAL(!pins, sim_has_failed());
		if (!pins)
			CU_ASSERT(errno == err || errno == ENOMEM);
	}
	sim_fail_nth(0, 0);
	CU_ASSERT(nth > 100);
	CU_ASSERT_EQUAL(pinv_pins_count(pins), 13);
	pinv_pins_free(pins);
	sim_forget();
}

static void every_failure(void)
{
	use("recorded");
	every_failure_as(ENOMEM);
	every_failure_as(EMFILE);
}

static void descriptors_are_given_back(void)
{
	int before = dup(STDIN_FILENO), after;

	close(before);
	everything_by_owner();
	refusals();
	after = dup(STDIN_FILENO);
	close(after);
	CU_ASSERT_EQUAL(before, after);
}

UNIT_MAIN("pins", UNIT_TEST(everything_by_owner), UNIT_TEST(everything_by_file),
	  UNIT_TEST(one_process), UNIT_TEST(own_process), UNIT_TEST(one_file),
	  UNIT_TEST(mapped_owner_by_path), UNIT_TEST(processes_of_others),
	  UNIT_TEST(kernel_threads_have_nothing_to_see),
	  UNIT_TEST(nothing_to_miss_without_pins), UNIT_TEST(hidden_processes),
	  UNIT_TEST(closed_processes), UNIT_TEST(processes_come_and_go),
	  UNIT_TEST(owner_changes_meanwhile), UNIT_TEST(figures_never_fit),
	  UNIT_TEST(leases_change_meanwhile), UNIT_TEST(holder_has_exited),
	  UNIT_TEST(refusals), UNIT_TEST(every_failure),
	  UNIT_TEST(descriptors_are_given_back))
