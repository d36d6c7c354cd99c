// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * No memory: every verb that makes or changes something, with each of its allocations failing in
 * turn, the kernel's (fail-nth) and then the provider's own. It is refused with an errno, or works;
 * either way no descriptor and no mapping stays behind, and the queues that were there before
 * still carry data. Runs in a guest whose kernel has fault injection.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <infiniband/pinrxedv.h>
#include "fabric.h"

#define F_LAYOUT    0x100
#define F_EXCLUSIVE 0x200

enum {
	ACCESS = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
	MOST = 400 /* allocations of one verb */
};

/* ---- what fails ---- */

/* Calls of the provider that are left until one fails; 0: none does. */
static int provider_calls;

static bool provider_fails(const void *caller)
{
	Dl_info info;

	return provider_calls && dladdr(caller, &info) &&
	       strstr(info.dli_fname, "pinrxe") && !--provider_calls;
}

/* In the C library's place, for the provider too. */
void *calloc(size_t n, size_t size)
{
	static void *(*next)(size_t n, size_t size);
	static char early[4096];
	static size_t used;
	static bool looking;

	/* dlsym() allocates itself */
	if (!next && looking) {
		used += (n * size + 15) & ~(size_t)15;
		return used <= sizeof(early)
			       ? early + used - ((n * size + 15) & ~(size_t)15)
			       : NULL;
	}
	if (!next) {
		looking = true;
		*(void **)&next = dlsym(RTLD_NEXT, "calloc");
	}
	if (provider_fails(__builtin_return_address(0))) {
		errno = ENOMEM;
		return NULL;
	}
	return next(n, size);
}

void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
	static void *(*next)(void *address, size_t length, int prot, int flags, int fd,
			     off_t offset);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "mmap");
	if (provider_fails(__builtin_return_address(0))) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return next(address, length, prot, flags, fd, offset);
}

static void set_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_INT(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Where a function of the kernel is: from its address to that of the next symbol. */
static void find_function(const char *name, unsigned long *begin, unsigned long *end)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	char symbol[256];
	unsigned long at;

	*begin = *end = 0;
	CHECK(symbols != NULL);
	while (!*end && fscanf(symbols, "%lx %*c %255s%*[^\n]", &at, symbol) == 2) {
		if (*begin && at > *begin)
			*end = at;
		if (!strcmp(symbol, name))
			*begin = at;
	}
	fclose(symbols);
	CHECK(*begin && *end);
}

static void let_kernel_allocations_fail(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
	};
	static const char *const kinds[] = { "failslab", "fail_page_alloc" };
	unsigned long begin, end;
	char path[128], text[32];

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", settings[i][0]);
		set_file(path, settings[i][1]);
	}
	/* vmalloc() does not fail: it would say so in the kernel log, with a call trace */
	find_function("__vmalloc_node_range_noprof", &begin, &end);
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/reject-%s",
			 kinds[i / 2], i % 2 ? "end" : "start");
		snprintf(text, sizeof(text), "%#lx", i % 2 ? end : begin);
		set_file(path, text);
	}
}

static int nth_fd;

static void arm(bool kernel, int nth)
{
	char text[16];

	if (kernel) {
		snprintf(text, sizeof(text), "%d", nth);
		CHECK_INT(pwrite(nth_fd, text, strlen(text), 0), strlen(text));
	} else {
		provider_calls = nth;
	}
}

/* Has one failed? */
static bool disarm(bool kernel)
{
	char text[16] = "";
	bool failed;

	if (kernel) {
		CHECK(pread(nth_fd, text, sizeof(text) - 1, 0) > 0);
		CHECK_INT(pwrite(nth_fd, "0", 1, 0), 1);
		return atoi(text) == 0;
	}
	failed = !provider_calls;
	provider_calls = 0;
	return failed;
}

/* ---- what is left ---- */

/* Bytes of address space: rings, and what is reserved for them to grow into. */
static unsigned long mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long bytes = 0, begin, end;
	char line[512];

	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps)) {
		CHECK_INT(sscanf(line, "%lx-%lx", &begin, &end), 2);
		if (strstr(line, "uverbs") || strstr(line, "---p 00000000 00:00 0"))
			bytes += end - begin;
	}
	fclose(maps);
	return bytes;
}

/* ---- the verbs ---- */

static struct {
	struct fabric *f;
	struct pair pair;
	struct ibv_srq *srq;
	struct ibv_mr *mr;
	struct ibv_td *td;
	uint8_t *memory;
	int fd;
	void *made;
} the;

static int made(void *object)
{
	the.made = object;
	return object ? 0 : errno;
}

static int open_device(void)
{
	int err = made(ibv_open_device(the.f->context->device));

	/* libibverbs looks for the device elsewhere when open() fails, and tells of that */
	return err == ENOENT ? ENOMEM : err;
}

static int close_device(void)
{
	return ibv_close_device(the.made);
}

static int alloc_pd(void)
{
	return made(ibv_alloc_pd(the.f->context));
}

static int dealloc_pd(void)
{
	return ibv_dealloc_pd(the.made);
}

static int alloc_td(void)
{
	struct ibv_td_init_attr attr = {};

	return made(ibv_alloc_td(the.f->context, &attr));
}

static int dealloc_td(void)
{
	return ibv_dealloc_td(the.made);
}

static int alloc_parent_domain(void)
{
	struct ibv_parent_domain_init_attr attr = { .pd = the.f->pd, .td = the.td };

	return made(ibv_alloc_parent_domain(the.f->context, &attr));
}

static int create_cq(void)
{
	return made(ibv_create_cq(the.f->context, 100, NULL, NULL, 0));
}

static int create_cq_ex(void)
{
	struct ibv_cq_init_attr_ex attr = { .cqe = 100,
					    .wc_flags = IBV_WC_STANDARD_FLAGS };
	struct ibv_cq_ex *cq = ibv_create_cq_ex(the.f->context, &attr);

	return made(cq ? ibv_cq_ex_to_cq(cq) : NULL);
}

static int destroy_cq(void)
{
	return ibv_destroy_cq(the.made);
}

static int resize_cq(void)
{
	return ibv_resize_cq(the.pair.a.cq, 2000);
}

static int resize_cq_back(void)
{
	return ibv_resize_cq(the.pair.a.cq, 200);
}

static int create_srq(void)
{
	struct ibv_srq_init_attr attr = { .attr = { .max_wr = 100, .max_sge = 2 } };

	return made(ibv_create_srq(the.f->pd, &attr));
}

static int destroy_srq(void)
{
	return ibv_destroy_srq(the.made);
}

static int resize_srq_to(uint32_t size)
{
	struct ibv_srq_attr attr = { .max_wr = size };

	return ibv_modify_srq(the.srq, &attr, IBV_SRQ_MAX_WR);
}

static int resize_srq(void)
{
	return resize_srq_to(1000);
}

static int resize_srq_back(void)
{
	return resize_srq_to(20);
}

static int create_qp_of(enum ibv_qp_type type, struct ibv_srq *srq, uint64_t send_ops)
{
	struct ibv_qp_init_attr_ex attr = {
		.qp_type = type,
		.cap = small_cap,
		.srq = srq,
		.send_cq = the.pair.a.cq,
		.recv_cq = the.pair.a.cq,
		.pd = the.f->pd,
		.send_ops_flags = send_ops,
		.comp_mask = IBV_QP_INIT_ATTR_PD |
			     (send_ops ? IBV_QP_INIT_ATTR_SEND_OPS_FLAGS : 0),
	};

	return made(ibv_create_qp_ex(the.f->context, &attr));
}

static int create_rc_qp(void)
{
	return create_qp_of(IBV_QPT_RC, NULL, 0);
}

static int create_qp_with_srq(void)
{
	return create_qp_of(IBV_QPT_RC, the.srq, 0);
}

static int create_ud_qp(void)
{
	return create_qp_of(IBV_QPT_UD, NULL, IBV_QP_EX_WITH_SEND);
}

static int destroy_qp(void)
{
	return ibv_destroy_qp(the.made);
}

static int reg_mr(void)
{
	return made(ibv_reg_mr(the.f->pd, the.memory, 65536, ACCESS));
}

static int reg_lease_mr(void)
{
	return made(pinrxedv_reg_lease_mr(the.f->pd, the.fd, 0, 65536, ACCESS));
}

static int dereg_mr(void)
{
	return ibv_dereg_mr(the.made);
}

static int rereg_mr_with(int access)
{
	return ibv_rereg_mr(the.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, access)
		       ? errno
		       : 0;
}

static int rereg_mr(void)
{
	return rereg_mr_with(IBV_ACCESS_LOCAL_WRITE);
}

static int rereg_mr_back(void)
{
	return rereg_mr_with(ACCESS);
}

static int alloc_mw(void)
{
	return made(ibv_alloc_mw(the.f->pd, IBV_MW_TYPE_2));
}

static int dealloc_mw(void)
{
	return ibv_dealloc_mw(the.made);
}

static int create_ah(void)
{
	struct ibv_ah_attr attr = { .is_global = 1,
				    .port_num = 1,
				    .grh = { .dgid = the.f->gid,
					     .sgid_index = the.f->gid_index,
					     .hop_limit = 1 } };

	return made(ibv_create_ah(the.f->pd, &attr));
}

static int destroy_ah(void)
{
	return ibv_destroy_ah(the.made);
}

static int create_channel(void)
{
	return made(ibv_create_comp_channel(the.f->context));
}

static int destroy_channel(void)
{
	return ibv_destroy_comp_channel(the.made);
}

/* ---- the tests ---- */

#define VERB(what, how, back)                           \
	{                                               \
		.name = what, .make = how, .undo = back \
	}

static const struct verb {
	const char *name;
	int (*make)(void), (*undo)(void);
	bool keeps; /* an old ring until the CQ is destroyed: others may be polling it */
} verbs[] = {
	VERB("open_device", open_device, close_device),
	VERB("alloc_pd", alloc_pd, dealloc_pd),
	VERB("alloc_td", alloc_td, dealloc_td),
	VERB("alloc_parent_domain", alloc_parent_domain, dealloc_pd),
	VERB("create_cq", create_cq, destroy_cq),
	VERB("create_cq_ex", create_cq_ex, destroy_cq),
	{ .name = "resize_cq", .make = resize_cq, .undo = resize_cq_back, .keeps = true },
	VERB("create_srq", create_srq, destroy_srq),
	VERB("modify_srq", resize_srq, resize_srq_back),
	VERB("create_qp (RC)", create_rc_qp, destroy_qp),
	VERB("create_qp (RC with SRQ)", create_qp_with_srq, destroy_qp),
	VERB("create_qp (UD)", create_ud_qp, destroy_qp),
	VERB("reg_mr", reg_mr, dereg_mr),
	VERB("reg_lease_mr", reg_lease_mr, dereg_mr),
	VERB("rereg_mr", rereg_mr, rereg_mr_back),
	VERB("alloc_mw", alloc_mw, dealloc_mw),
	VERB("create_ah", create_ah, destroy_ah),
	VERB("create_comp_channel", create_channel, destroy_channel),
};

static void still_works(void)
{
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;

	wr = write_wr(the.f, &sge, 0, 4096, 8);
	the.f->memory[0]++;
	CHECK_INT(ibv_post_send(the.pair.a.qp, &wr, &bad), 0);
	expect_wc(the.pair.a.cq, wr.wr_id, IBV_WC_SUCCESS);
	CHECK_INT(the.f->memory[4096], the.f->memory[0]);
}

/*
 * Sockets, of which each QP has one in the kernel, say ENFILE, and routes ENOBUFS. A file system that cannot fill in a
 * page raises SIGBUS, which is EFAULT for a registration.
 */
static bool says_no_memory(int err)
{
	return err == ENOMEM || err == ENFILE || err == ENOBUFS || err == EFAULT;
}

/* How many allocations the verb has, each of which has failed once. */
static int all_fail(bool kernel, const struct verb *verb, int *refused)
{
	unsigned long maps = mappings();
	int fds = count_descriptors(), nth, err;
	bool failed;

	for (nth = 1; nth < MOST; nth++) {
		arm(kernel, nth);
		err = verb->make();
		failed = disarm(kernel);
		if (!err)
			CHECK_INT(verb->undo(), 0);
		else if (!failed || !says_no_memory(err))
			check_int(err, ENOMEM, __func__, nth, "errno");
		*refused += !!err;
		CHECK_INT(count_descriptors(), fds);
		if (!verb->keeps)
			CHECK_INT(mappings(), maps);
		if (!failed)
			break;
	}
	CHECK(nth < MOST);
	return nth - 1;
}

static void begin(struct fabric *f)
{
	struct ibv_srq_init_attr srq = { .attr = { .max_wr = 20, .max_sge = 2 } };
	struct ibv_td_init_attr td = {};
	char path[512];

	the.f = f;
	make_pair(f, &the.pair, IBV_QPT_RC, small_cap, 0);
	the.srq = ibv_create_srq(f->pd, &srq);
	the.td = ibv_alloc_td(f->context, &td);
	CHECK(the.srq != NULL && the.td != NULL);
	the.memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	CHECK(the.memory != MAP_FAILED);
	the.mr = ibv_reg_mr(f->pd, the.memory, 65536, ACCESS);
	CHECK(the.mr != NULL);
	snprintf(path, sizeof(path), "%s/file", getenv("LEASE_DIR"));
	unlink(path);
	the.fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(the.fd >= 0);
	CHECK_INT(posix_fallocate(the.fd, 0, 65536), 0);
	CHECK_INT(fcntl(the.fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	let_kernel_allocations_fail();
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	CHECK(nth_fd >= 0);
}

static void end(void)
{
	still_works();
	close(nth_fd);
	close(the.fd);
	CHECK_INT(ibv_dereg_mr(the.mr), 0);
	munmap(the.memory, 65536);
	CHECK_INT(ibv_dealloc_td(the.td), 0);
	CHECK_INT(ibv_destroy_srq(the.srq), 0);
	break_pair(&the.pair);
}

static void fail_in(struct fabric *f, bool kernel)
{
	int total = 0, refused = 0, n, before, fds = count_descriptors();
	unsigned long maps = mappings();

	begin(f);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		before = refused;
		printf("  %s: ", verbs[i].name);
		n = all_fail(kernel, &verbs[i], &refused);
		printf("%d allocations, refused %d times\n", n, refused - before);
		total += n;
		still_works();
	}
	/* A provider that asks for nothing would pass; each of these asks for something. */
	CHECK(total >= (kernel ? 100 : 20));
	CHECK(refused >= (kernel ? 50 : 20));
	end();
	CHECK_INT(count_descriptors(), fds);
	CHECK_INT(mappings(), maps);
}

static void kernel_has_no_memory(struct fabric *f)
{
	fail_in(f, true);
}

static void provider_has_no_memory(struct fabric *f)
{
	fail_in(f, false);
}

static const struct test tests[] = {
	{ "kernel-has-no-memory", kernel_has_no_memory },
	{ "provider-has-no-memory", provider_has_no_memory },
};

/* pressure DIR: DIR is on a DAX file system */
int main(int argc, char **argv)
{
	if (argc != 2 || setenv("LEASE_DIR", argv[1], 1)) {
		fprintf(stderr, "usage: pressure DIR\n");
		return 2;
	}
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]), 1, argv);
}
