// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Every call of the library from several threads at once, on what is their own and on what they
 * share; and from the threads of a forked child.  test_symbols.sh looks whether all are here.
 */
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "proc.h"
#include "unit.h"

#define THREADS 4
#define ROUNDS  6
#define LENGTH  65536
#define WRITE   (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)

/* What all threads use. */
static int files[2], cooperative_files[2], classic_file, growing_file, memory_file;
static struct pinv_lease *lease;
static struct pinv_mr *region;
static struct pinv_pins *pins;
static size_t entries;
static void *provider;

static pthread_barrier_t start;
static atomic_uint broken, messages;

static void expect(bool true_now)
{
	if (!true_now)
		atomic_fetch_add(&broken, 1);
}

static void count_message(void *arg, const char *message)
{
	expect(!strncmp(message, "libpinverbs: ", 13));
	atomic_fetch_add((atomic_uint *)arg, 1);
}

static void leases(unsigned number)
{
	struct pinv_lease *own =
		pinv_lease_acquire(files[number % 2], PINV_LEASE_EXCLUSIVE);
	enum pinv_lease_kind kind;

	expect(own != NULL);
	expect(!pinv_lease_query(files[number % 2], &kind) &&
	       kind == PINV_LEASE_EXCLUSIVE);
	expect(!pinv_lease_query(classic_file, &kind) && kind == PINV_LEASE_UNKNOWN);
	expect(pinv_lease_query(-1, &kind) == EBADF);
	expect(!pinv_lease_release(own));
	expect(!pinv_lease_acquire(-1, PINV_LEASE_EXCLUSIVE) && errno == EBADF);
}

static void notices(unsigned number)
{
	struct pinv_lease *own =
		pinv_lease_acquire(cooperative_files[number % 2], PINV_LEASE_COOPERATIVE);
	struct pollfd notice = { .events = POLLIN };

	expect(own != NULL);
	expect(!pinv_lease_notice(own, &notice.fd) && !poll(&notice, 1, 0));
	expect(!pinv_lease_release(own));
	expect(pinv_lease_notice(lease, &notice.fd) == EINVAL);
}

/* On the files that others have leases and regions on, and one that needs no lease. */
static void file_regions(unsigned number)
{
	int fd = number % 3 == 2 ? memory_file : files[number % 3];
	struct pinv_mr *mr = pinv_reg_file_mr(&sim_pd, fd, 4096 * number, 4096, WRITE);

	expect(mr && pinv_mr_ibv(mr)->length == 4096);
	expect(pinv_mr_persist(mr, 100, 200) == (fd == memory_file ? EOPNOTSUPP : 0));
	expect(!pinv_dereg_mr(mr));
	expect(!pinv_reg_file_mr(&sim_pd, fd, LENGTH, 1, WRITE) && errno == EINVAL);
	expect(!pinv_reg_file_mr(NULL, fd, 0, 1, WRITE) && errno == EINVAL);
}

static void growing(unsigned number)
{
	uint64_t offset = 1;
	struct pinv_mr *mr =
		pinv_grow_file_mr(&sim_pd, growing_file, 4096, WRITE, &offset);

	(void)number;
	expect(mr && offset % 4096 == 0 && pinv_mr_ibv(mr)->length == 4096);
	expect(!pinv_dereg_mr(mr));
}

static void address_regions(unsigned number)
{
	char *memory = malloc(4096);
	struct pinv_mr *mr = pinv_reg_mr(&sim_pd, memory, 4096, WRITE);

	(void)number;
	expect(mr && pinv_mr_ibv(mr)->addr == memory);
	expect(pinv_mr_persist(mr, 0, 0) == EOPNOTSUPP);
	expect(!pinv_dereg_mr(mr));
	expect(!pinv_reg_mr(&sim_pd, NULL, 4096, WRITE) && errno == EFAULT);
	free(memory);
}

/* A handle that all use and none gives up. */
static void shared_region(unsigned number)
{
	expect(!pinv_mr_persist(region, 4096 * number, 4096));
	expect(pinv_mr_persist(region, LENGTH, 1) == EINVAL);
}

static void devices(unsigned number)
{
	struct pinv_cap_info info;
	struct ibv_pd *pd = pinv_open_pd(number % 2 ? "rxe1" : NULL);

	expect(pd != NULL);
	expect(pinv_query_device_cap(pd->context, PINV_DEVICE_CAP_FLUSH, &info) ==
	       EOPNOTSUPP);
	expect(strstr(info.reason, number % 2 ? "rxe1" : "rxe0") != NULL);
	expect(!pinv_close_pd(pd));
	expect(!pinv_open_pd("rxe2") && errno == ENODEV);
}

static void capabilities(unsigned number)
{
	struct pinv_cap_info info;

	(void)number;
	expect(!pinv_query_cap(PINV_CAP_LAYOUT_LEASE, &info));
	expect(!pinv_query_cap(PINV_CAP_FILE_PINS, &info));
	expect(!pinv_query_cap(PINV_CAP_FORK, &info));
	expect(pinv_query_cap(9, &info) == EINVAL && strstr(info.reason, "9"));
}

static size_t walk(const struct pinv_pins *list)
{
	size_t count = pinv_pins_count(list), i;

	for (i = 0; i < count; i++)
		expect(pinv_pins_get(list, i) != NULL);
	expect(!pinv_pins_get(list, count) && !pinv_pins_unseen(list));
	return count;
}

static void listing(unsigned number)
{
	struct pinv_pins *own =
		pinv_list_pins(PINV_PINS_ALL, -1,
			       number % 2 ? PINV_PINS_BY_FILE : PINV_PINS_BY_OWNER);

	expect(own && walk(own) == entries && walk(pins) == entries);
	pinv_pins_free(own);
	expect(!pinv_list_pins(-7, -1, PINV_PINS_BY_OWNER) && errno == EINVAL);
}

/* A batch is one thread's; what the provider keeps of it here is, too. */
static void flushes(unsigned number)
{
	struct ibv_device device = { .name = "rxe7" };
	struct ibv_context context = { .device = &device };
	struct ibv_qp_ex qp = { .qp_base = { .context = &context, .qp_num = 1 } };
	const uint32_t *rkey = dlsym(provider, "fake_flush");

	expect(!pinv_wr_flush(&qp, 10 + number, 4096, 64) && *rkey == 10 + number);
	qp.qp_base.qp_num = 2;
	expect(pinv_wr_flush(&qp, 5, 4096, 64) == EOPNOTSUPP);
}

/* Calls fail all the while, so there is always one that is about to call the function. */
static void logging(unsigned number)
{
	static atomic_uint others;

	pinv_set_log(count_message, number % 2 ? &others : &messages);
	expect(pinv_lease_query(-1, NULL) == EINVAL);
	pinv_set_log(number % 2 ? NULL : count_message, &messages);
}

/* Looking for the provider is done once: so all begin with that. */
static void (*const calls[])(unsigned) = {
	flushes,       leases,  notices,      file_regions, growing, address_regions,
	shared_region, devices, capabilities, listing,      logging,
};

#define CALLS (sizeof(calls) / sizeof(*calls))

/* Each meets the others at another call, and all of them at the same one, too. */
static void *work(void *arg)
{
	unsigned number = (uintptr_t)arg, round, i;

	pthread_barrier_wait(&start);
	for (round = 0; round < ROUNDS; round++)
		for (i = 0; i < CALLS; i++)
			calls[(i + (round % 2 ? number * 3 : 0)) % CALLS](number);
	return NULL;
}

static void run_threads(void *(*first)(void *))
{
	pthread_t threads[THREADS];
	uintptr_t i;

	expect(!pthread_barrier_init(&start, NULL, THREADS));
	for (i = 0; i < THREADS; i++)
		expect(!pthread_create(&threads[i], NULL, i ? work : first, (void *)i));
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
}

static void set_up(void)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/recorded", getenv("PROC"));
	proc_root = path;
	provider = dlopen(getenv("FAKE_PINRXE"), RTLD_NOW | RTLD_LOCAL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(provider);
	sim_set_devices("rxe0 rxe1");
	files[0] = sim_open(SIM_DAX, LENGTH, O_RDWR);
	files[1] = sim_open(SIM_DAX, LENGTH, O_RDWR);
	cooperative_files[0] = sim_open(SIM_DAX, LENGTH, O_RDWR);
	cooperative_files[1] = sim_open(SIM_DAX, LENGTH, O_RDWR);
	classic_file = sim_open(SIM_DAX, LENGTH, O_RDWR);
	sim_set_classic_lease(classic_file, F_WRLCK);
	growing_file = sim_open(SIM_DAX, LENGTH, O_RDWR);
	memory_file = sim_open(SIM_TMPFS, LENGTH, O_RDWR);
	lease = pinv_lease_acquire(files[0], PINV_LEASE_EXCLUSIVE);
	region = pinv_reg_file_mr(&sim_pd, files[0], 0, 0, WRITE);
	CU_ASSERT_FATAL(lease && region);
	pins = pinv_list_pins(PINV_PINS_ALL, -1, PINV_PINS_BY_OWNER);
	CU_ASSERT_PTR_NOT_NULL_FATAL(pins);
	entries = pinv_pins_count(pins);
	atomic_store(&broken, 0);
	atomic_store(&messages, 0);
	pinv_set_log(count_message, &messages);
}

static void tear_down(void)
{
	CU_ASSERT_EQUAL(atomic_load(&broken), 0);
	pinv_set_log(NULL, NULL);
	pinv_pins_free(pins);
	CU_ASSERT_EQUAL(pinv_dereg_mr(region), 0);
	CU_ASSERT_EQUAL(pinv_lease_release(lease), 0);
	sim_close(memory_file);
	sim_close(growing_file);
	sim_close(classic_file);
	sim_close(cooperative_files[1]);
	sim_close(cooperative_files[0]);
	sim_close(files[1]);
	sim_close(files[0]);
	dlclose(provider);
}

static void all_calls(void)
{
	set_up();
	run_threads(work);
	CU_ASSERT(atomic_load(&messages) > 0);
	tear_down();
}

/* Before Linux 5.12 libibverbs is told to keep memory from children, and has no lock for that. */
static void *register_memory(void *arg)
{
	struct pinv_mr *mr;
	char memory[64];

	pthread_barrier_wait(&start);
	mr = pinv_reg_mr(&sim_pd, memory, sizeof(memory), WRITE);
	expect(mr != NULL);
	expect(!pinv_dereg_mr(mr));
	return arg;
}

static void first_registration_on_an_old_kernel(void)
{
	unsigned round;

	set_up();
	for (round = 0; round < 10; round++) {
		sim_set_fork(IBV_FORK_DISABLED, 0);
		run_threads(register_memory);
	}
	tear_down();
}

/* What it inherited it gives up, and has the same of its own, with threads. */
static int child(void)
{
	struct pinv_mr *old_region = region;
	struct pinv_lease *old_lease = lease;

	alarm(60);
	atomic_store(&broken, 0);
	expect(!pinv_mr_ibv(region));
	lease = pinv_lease_acquire(files[0], PINV_LEASE_EXCLUSIVE);
	region = pinv_reg_file_mr(&sim_pd, files[0], 0, 0, WRITE);
	expect(lease && region);
	expect(!pinv_dereg_mr(old_region) && !pinv_lease_release(old_lease));
	run_threads(work);
	expect(!pinv_dereg_mr(region) && !pinv_lease_release(lease));
	return atomic_load(&broken) != 0;
}

static void fork_once(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(child());
	expect(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static void calls_in_a_child(void)
{
	set_up();
	fork_once();
	tear_down();
}

/* The thread sanitizer of gcc cannot follow threads of a child of threads. */
#ifdef __SANITIZE_THREAD__
#define IN_A_CHILD_OF_THREADS
#else
static void *fork_meanwhile(void *arg)
{
	pthread_barrier_wait(&start);
	fork_once();
	fork_once();
	return arg;
}

static void calls_in_a_child_of_threads(void)
{
	set_up();
	run_threads(fork_meanwhile);
	tear_down();
}

#define IN_A_CHILD_OF_THREADS UNIT_TEST(calls_in_a_child_of_threads),
#endif

UNIT_MAIN("calls", IN_A_CHILD_OF_THREADS UNIT_TEST(all_calls),
	  UNIT_TEST(first_registration_on_an_old_kernel), UNIT_TEST(calls_in_a_child))
