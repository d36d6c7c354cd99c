// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A device that is removed under a program: it is told so, and can give everything back, so that in a
 * process that lives on no ring, no descriptor and no file stays behind. Runs in a guest with layout leases,
 * whose device it removes; LEASE_DIR is a folder on a DAX file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <infiniband/pinrxedv.h>
#include "fabric.h"

#define F_LAYOUT    0x100
#define F_EXCLUSIVE 0x200

enum {
	FILE_SIZE = 65536,
	ACCESS = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE
};

static char path[512];

/* How many of this process's mappings have the words in their line. */
static int count_mappings(const char *words)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];
	int count = 0;

	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, words) != NULL;
	fclose(maps);
	return count;
}

static struct ibv_mr *register_file(struct fabric *f)
{
	struct ibv_mr *mr;
	int fd;

	snprintf(path, sizeof(path), "%s/gone-test", getenv("LEASE_DIR"));
	unlink(path);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0);
	CHECK_INT(ftruncate(fd, FILE_SIZE), 0);
	CHECK_INT(fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE), 0);
	mr = pinrxedv_reg_lease_mr(f->pd, fd, 0, FILE_SIZE, ACCESS);
	CHECK(mr != NULL);
	close(fd);
	return mr;
}

static struct ibv_ah *address_handle(struct fabric *f)
{
	struct ibv_ah_attr to = {
		.is_global = 1,
		.port_num = 1,
		.grh = { .dgid = f->gid, .sgid_index = f->gid_index, .hop_limit = 1 }
	};
	struct ibv_ah *ah = ibv_create_ah(f->pd, &to);

	CHECK(ah != NULL);
	return ah;
}

/* The program learns of it, waiting as it may be. */
static void expect_fatal(struct fabric *f)
{
	struct ibv_async_event event = {};

	do {
		CHECK_INT(ibv_get_async_event(f->context, &event), 0);
		ibv_ack_async_event(&event);
	} while (event.event_type != IBV_EVENT_DEVICE_FATAL);
}

static void all_can_be_given_back(struct fabric *f)
{
	struct ibv_mr *file = register_file(f);
	struct ibv_mw *mw = ibv_alloc_mw(f->pd, IBV_MW_TYPE_1);
	struct ibv_ah *ah = address_handle(f);
	struct ibv_comp_channel *channel = ibv_create_comp_channel(f->context);
	struct ibv_cq *cq = ibv_create_cq(f->context, 10, NULL, channel, 0);
	struct ibv_srq *srq;
	struct ibv_wc wc;
	struct pair p, q;

	CHECK(mw && channel && cq);
	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	srq = make_srq_pair(f, &q, 10);
	CHECK_INT(ibv_resize_cq(p.a.cq, 1000), 0);
	CHECK(count_mappings("/uverbs") > 0);
	CHECK_INT(count_mappings(path), 1);
	post_writes(f, &p.a, 0, 5);

	CHECK_INT(system("rdma link delete rxe0"), 0);
	expect_fatal(f);
	while (ibv_poll_cq(p.a.cq, 1, &wc) > 0)
		;
	CHECK(!ibv_reg_mr(f->pd, f->memory, 4096, ACCESS));
	CHECK_INT(errno, EIO);

	CHECK_INT(ibv_dealloc_mw(mw), 0);
	CHECK_INT(ibv_destroy_ah(ah), 0);
	CHECK_INT(ibv_destroy_cq(cq), 0);
	CHECK_INT(ibv_destroy_comp_channel(channel), 0);
	break_pair(&p);
	break_pair(&q);
	CHECK_INT(ibv_destroy_srq(srq), 0);
	CHECK_INT(count_mappings("/uverbs"), 0);
	/* the mapping is all that is left of the file's description: the lease ends with it */
	CHECK_INT(ibv_dereg_mr(file), 0);
	CHECK_INT(count_mappings(path), 0);
	CHECK_INT(truncate(path, 0), 0);
	unlink(path);
}

static const struct test tests[] = {
	{ "gone-all-can-be-given-back", all_can_be_given_back },
};

/* With the context, too, no descriptor stays. */
int main(int argc, char **argv)
{
	int before = count_descriptors();
	int failed = run_tests(tests, sizeof(tests) / sizeof(*tests), argc, argv);
	int after = count_descriptors();

	if (failed)
		return failed;
	if (before == after)
		printf("ok gone-descriptors\n");
	else
		printf("FAIL gone-descriptors\n  %d before, %d after\n", before, after);
	return before != after;
}
