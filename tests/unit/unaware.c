// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * unaware DIR [gone|first|stock]: a program that knows nothing of leases, for libpinverbs-preload.so,
 * which must be meant for DIR/in and not for DIR/out; with "gone" it removes its device, with "stock"
 * there are no leases, and it says the same without the library. Says what it sees; the exit status
 * tells whether that is right.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <infiniband/verbs.h>

#define SIZE  65536
#define WRITE (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)

static struct ibv_pd *pd;
static int failures;
static unsigned long inode;

static void check(const char *what, bool right)
{
	printf("%s %s\n", right ? "ok" : "FAIL", what);
	failures += !right;
}

/* A mapping of a new file in a folder of DIR, its descriptor closed. */
static char *map(const char *dir, const char *folder)
{
	char path[4096];
	struct stat st;
	char *memory;
	int fd;

	snprintf(path, sizeof(path), "%s/%s/file", dir, folder);
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, SIZE) || fstat(fd, &st)) {
		perror(path);
		exit(1);
	}
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	inode = st.st_ino;
	return memory;
}

/* Leases of the file that was mapped last, as /proc/locks counts them. */
static unsigned leases(const char *state)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256], number[32];
	unsigned count = 0;

	snprintf(number, sizeof(number), ":%lu ", inode);
	while (locks && fgets(line, sizeof(line), locks))
		count += strstr(line, "LAYOUT") && strstr(line, number) &&
			 strstr(line, state);
	if (locks)
		fclose(locks);
	return count;
}

static unsigned descriptors(void)
{
	unsigned count = 0;
	int fd;

	for (fd = 0; fd < 1000; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static bool refused(void *address, size_t length)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, address, length, WRITE);
	bool right = !mr && errno == EPERM;

	if (mr)
		ibv_dereg_mr(mr);
	return right;
}

/* No more than without a library in between, and no lease. */
static void bad_arguments(char *memory)
{
	static const struct {
		const char *name;
		size_t length;
		int access;
	} bad[] = {
		{ "huge", SIZE_MAX / 2, WRITE },
		{ "overflowing", SIZE_MAX, WRITE },
		{ "remote write without local", SIZE, IBV_ACCESS_REMOTE_WRITE },
	};
	unsigned before = descriptors();
	struct ibv_mr *mr;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		mr = ibv_reg_mr(pd, memory, bad[i].length, bad[i].access);
		check(bad[i].name, !mr && errno && leases("LAYOUT") == 0);
	}
	mr = ibv_reg_mr(pd, NULL, SIZE, WRITE);
	check("at NULL", !mr && errno == EFAULT && leases("LAYOUT") == 0);
	check("no descriptor is left", descriptors() == before);
}

static void count_regions(char *memory)
{
	struct ibv_mr *one = ibv_reg_mr(pd, memory, SIZE, WRITE);
	struct ibv_mr *two = ibv_reg_mr_iova(pd, memory + 4096, 4096, 1 << 20, WRITE);

	check("registered although the descriptor is closed", one && two);
	check("one lease for two regions", leases("PINNED") == 1);
	check("first deregistered", one && !ibv_dereg_mr(one));
	check("the lease stays", leases("PINNED") == 1);
	check("second deregistered", two && !ibv_dereg_mr(two));
	check("the lease has gone with the last", leases("LAYOUT") == 0);
}

static void partly_mapped(char *memory)
{
	struct ibv_mr *mr;

	check("not unmapped: unaligned", munmap(memory + 1, SIZE) && errno == EINVAL);
	check("not unmapped: nothing", munmap(memory, 0) && errno == EINVAL);
	check("not unmapped: everything", munmap(memory, SIZE_MAX) && errno == EINVAL);
	mr = ibv_reg_mr(pd, memory + 8192, 4096, WRITE);
	check("still there", mr && !ibv_dereg_mr(mr));
	check("hole unmapped", !munmap(memory + 16384, 4096));
	mr = ibv_reg_mr(pd, memory + 20480, 4096, WRITE);
	check("behind the hole", mr && !ibv_dereg_mr(mr));
	mr = ibv_reg_mr(pd, memory, 16384, WRITE);
	check("before the hole", mr && !ibv_dereg_mr(mr));
	check("anonymous memory in the hole",
	      mmap(memory + 16384, 4096, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory + 16384);
	mr = ibv_reg_mr(pd, memory + 16384, 4096, WRITE);
	check("needs no lease", mr && leases("LAYOUT") == 0 && !ibv_dereg_mr(mr));
	mr = ibv_reg_mr(pd, memory, SIZE, WRITE);
	check("all of it", mr && leases("PINNED") == 1 && !ibv_dereg_mr(mr));
	memory = mremap(memory, 16384, 8192, 0);
	memory = mremap(memory, 8192, 32768, MREMAP_MAYMOVE);
	mr = ibv_reg_mr(pd, memory, 32768, WRITE);
	check("moved and grown", mr && !ibv_dereg_mr(mr));
}

/* The MR is as it was if the provider cannot change it; its lease goes with it all the same. */
static void changed(char *memory)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, memory, SIZE, WRITE);
	char *other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int result;

	if (!mr) {
		check("registered, to be changed", false);
		return;
	}
	result = ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_TRANSLATION, NULL, other, SIZE, 0);
	printf("ibv_rereg_mr: %d\n", result);
	if (result)
		check("the lease stays if it cannot be changed", leases("PINNED") == 1);
	else
		check("the lease has gone if it was changed", leases("LAYOUT") == 0);
	check("deregistered, changed or not", !ibv_dereg_mr(mr));
	check("the lease has gone with it", leases("LAYOUT") == 0);
	munmap(other, SIZE);
}

/* One allocation after the other fails, where tests/unit/starve is preloaded. */
static void starved(char *memory)
{
	void (*plan)(long) = (void (*)(long))dlsym(RTLD_DEFAULT, "starve_plan");
	int (*happened)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "starve_happened");
	unsigned before = descriptors();
	bool right = true, last = false;
	struct ibv_mr *mr;
	long number;
	int err;

	for (number = 1; plan && !last; number++) {
		plan(number);
		mr = ibv_reg_mr(pd, memory, SIZE, WRITE);
		err = errno;
		last = !happened();
		plan(0);
		right &= last ? mr != NULL : !mr && (err == EPERM || err == ENOMEM);
		right &= !mr || !ibv_dereg_mr(mr);
		right &= leases("LAYOUT") == 0 && descriptors() == before;
	}
	if (!plan)
		return;
	printf("%ld allocations of ibv_reg_mr() taken away\n", number - 2);
	check("nothing is left of a registration without memory", right && number > 5);
}

static atomic_bool ended;

static void *register_all_the_time(void *memory)
{
	while (!atomic_load(&ended)) {
		struct ibv_mr *mr = ibv_reg_mr(pd, memory, SIZE, WRITE);

		if (mr)
			ibv_dereg_mr(mr);
	}
	return NULL;
}

/* With a context of its own and the mapping that it has inherited. */
static int child_among_threads(char *memory)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	struct ibv_context *context = ibv_open_device(devices[0]);
	struct ibv_mr *mr;

	alarm(20);
	pd = context ? ibv_alloc_pd(context) : NULL;
	mr = pd ? ibv_reg_mr(pd, memory, SIZE, WRITE) : NULL;
	return mr && !ibv_dereg_mr(mr) ? 0 : 1;
}

/* No lock that another thread had at the time may be left locked in the child. */
static void forked_in_the_middle(char *memory)
{
	bool right = true;
	pthread_t thread;
	int round, status;

	if (pthread_create(&thread, NULL, register_all_the_time, memory)) {
		check("thread", false);
		return;
	}
	for (round = 0; round < 15 && right; round++) {
		pid_t child = fork();

		if (!child)
			_exit(child_among_threads(memory));
		right = child > 0 && waitpid(child, &status, 0) == child && !status;
	}
	atomic_store(&ended, true);
	pthread_join(thread, NULL);
	check("forked in the middle", right);
	check("no lease is left of it", leases("LAYOUT") == 0);
}

/* With the device its regions have ended, whatever deregistering them says. */
static void device_removed(char *memory)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, memory, SIZE, WRITE);

	check("registered, with a device", mr && leases("PINNED") == 1);
	check("device removed", !system("rdma link delete rxe0"));
	if (mr)
		printf("ibv_dereg_mr: %s\n", strerror(ibv_dereg_mr(mr)));
	check("the lease has gone with the device", leases("LAYOUT") == 0);
}

/* No page is left for what is noted of a mapping: it goes as if nobody stood between. */
static void mapped_without_memory(const char *dir)
{
	struct rlimit old, tight;
	char *memory;
	long pages;
	FILE *file;

	file = fopen("/proc/self/statm", "re");
	if (!file || fscanf(file, "%ld", &pages) != 1 || getrlimit(RLIMIT_AS, &old)) {
		check("size of the program", false);
		return;
	}
	tight = old;
	tight.rlim_cur = pages * 4096 + SIZE;
	setrlimit(RLIMIT_AS, &tight);
	memory = map(dir, "in");
	setrlimit(RLIMIT_AS, &old);
	fclose(file);
	check("mapped without memory to note it", memory != MAP_FAILED);
	check("and so refused", memory != MAP_FAILED && refused(memory, SIZE));
	munmap(memory, SIZE);
}

/* Without leases: refused as by a kernel alone, at each call that can register. */
static bool not_supported(void *memory, size_t length)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, memory, length, WRITE);
	bool right = !mr && errno == EOPNOTSUPP;

	mr = ibv_reg_mr_iova(pd, memory, length, 1 << 20, WRITE);
	return right && !mr && errno == EOPNOTSUPP;
}

static void without_leases(const char *dir)
{
	unsigned before = descriptors();
	char *other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *memory = map(dir, "in");
	struct ibv_mr *mr;

	check("not supported", not_supported(memory, SIZE));
	bad_arguments(memory);
	mr = ibv_reg_mr(pd, other, SIZE, WRITE);
	check("anonymous memory", mr != NULL);
	printf("changed to the file: %d\n",
	       ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_TRANSLATION, NULL, memory, SIZE, 0));
	check("deregistered", !ibv_dereg_mr(mr));
	forked_in_the_middle(other);
	check("end unmapped", !munmap(memory + 16384, SIZE - 16384));
	memory = mremap(memory, 16384, 8192, 0);
	memory = mremap(memory, 8192, 16384, MREMAP_MAYMOVE);
	memcpy(memory, "moved", 6);
	check("moved and grown, and not supported",
	      !strcmp(memory, "moved") && not_supported(memory, 16384));
	munmap(memory, 16384);
	memory = map(dir, "out");
	check("not supported in another folder", not_supported(memory, SIZE));
	munmap(memory, SIZE);
	munmap(other, SIZE);
	check("no descriptor is left", descriptors() == before);
}

static void anonymous(void)
{
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mr = ibv_reg_mr(pd, memory, SIZE, WRITE);

	check("anonymous memory", mr && !ibv_dereg_mr(mr));
	munmap(memory, SIZE);
}

int main(int argc, char **argv)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	struct ibv_context *context =
		devices && devices[0] ? ibv_open_device(devices[0]) : NULL;
	char *memory;

	/* Whatever waits for ever ends. */
	alarm(60);
	pd = context ? ibv_alloc_pd(context) : NULL;
	if (argc < 2 || argc > 3 || !pd) {
		fprintf(stderr,
			"usage: unaware DIR [gone|first|stock], with an RDMA device\n");
		return 2;
	}
	if (argc == 3 && !strcmp(argv[2], "first")) {
		count_regions(map(argv[1], "in"));
		return failures > 0;
	}
	if (argc == 3 && !strcmp(argv[2], "stock")) {
		without_leases(argv[1]);
		return failures > 0;
	}
	mapped_without_memory(argv[1]);
	anonymous();
	memory = map(argv[1], "in");
	if (!getenv("PINVERBS_PRELOAD")) {
		check("refused without being asked for", refused(memory, SIZE));
		return failures > 0;
	}
	if (argc == 3) {
		device_removed(memory);
		return failures > 0;
	}
	bad_arguments(memory);
	count_regions(memory);
	changed(memory);
	starved(memory);
	forked_in_the_middle(memory);
	partly_mapped(memory);
	memory = map(argv[1], "out");
	check("refused in another folder", refused(memory, SIZE));
	memory = map(argv[1], "inner");
	check("refused in a folder of a longer name", refused(memory, SIZE));
	return failures > 0;
}
