// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "fabric.h"

static jmp_buf end_of_test;

void check_that(bool holds, const char *function, int line, const char *text)
{
	if (holds)
		return;
	printf("  %s:%d: %s: does not hold (errno %d, %s)\n", function, line, text, errno,
	       strerror(errno));
	longjmp(end_of_test, 1);
}

void check_int(long long value, long long expected, const char *function, int line,
	       const char *text)
{
	if (value == expected)
		return;
	printf("  %s:%d: %s is %lld, not %lld\n", function, line, text, value, expected);
	longjmp(end_of_test, 1);
}

/* By its name: another driver's device may come first. */
static struct ibv_context *open_rxe0(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context = NULL;

	CHECK(list != NULL);
	for (int i = 0; list[i] && !context; i++)
		if (!strcmp(ibv_get_device_name(list[i]), "rxe0"))
			context = ibv_open_device(list[i]);
	ibv_free_device_list(list);
	CHECK(context != NULL);
	return context;
}

void open_fabric(struct fabric *f)
{
	f->context = open_rxe0();
	f->pd = ibv_alloc_pd(f->context);
	CHECK(f->pd != NULL);
	f->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(f->memory != MAP_FAILED);
	f->mr = ibv_reg_mr(f->pd, f->memory, MEMORY,
			   IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
				   IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC);
	CHECK(f->mr != NULL);
	f->gid_index = 1;
	CHECK_INT(ibv_query_gid(f->context, 1, f->gid_index, &f->gid), 0);
}

void close_fabric(struct fabric *f)
{
	CHECK_INT(ibv_dereg_mr(f->mr), 0);
	CHECK_INT(ibv_dealloc_pd(f->pd), 0);
	CHECK_INT(ibv_close_device(f->context), 0);
	munmap(f->memory, MEMORY);
}

/* Each test has the device for itself; one that fails leaves its objects behind. */
static bool run_one(const struct test *test)
{
	struct fabric f = {};

	if (setjmp(end_of_test))
		return false;
	open_fabric(&f);
	test->run(&f);
	close_fabric(&f);
	return true;
}

bool run_alone(struct fabric *f, void (*run)(struct fabric *f, int said, int go),
	       int said, int go)
{
	stdout = stderr;
	if (setjmp(end_of_test))
		return false;
	run(f, said, go);
	return true;
}

/* What has hung says so, and ends the program. */
enum {
	LIMIT_S = 120
};

static char overdue[200];

static void end_overdue(int sig)
{
	(void)sig;
	if (write(STDOUT_FILENO, overdue, strlen(overdue)))
		_exit(1);
	_exit(2);
}

static timer_t start_limit(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGXCPU };
	struct sigaction action = { .sa_handler = end_overdue };
	timer_t timer;

	if (sigaction(SIGXCPU, &action, NULL) ||
	    timer_create(CLOCK_MONOTONIC, &event, &timer)) {
		perror("limit of a test");
		exit(1);
	}
	return timer;
}

static void set_limit(timer_t timer, const char *test)
{
	struct itimerspec limit = { .it_value.tv_sec = LIMIT_S };

	snprintf(overdue, sizeof(overdue), "FAIL %s\n  has not ended within %d s\n", test,
		 LIMIT_S);
	timer_settime(timer, 0, &limit, NULL);
}

/* The verdict comes first for the reader, so what the test says is kept until then. */
int run_tests(const struct test *tests, size_t n, int argc, char **argv)
{
	timer_t limit = start_limit();
	int failed = 0;

	for (size_t i = 0; i < n; i++) {
		char *said = NULL;
		size_t length;
		FILE *out = stdout;
		bool passed;

		if (argc > 1 && !strstr(tests[i].name, argv[1]))
			continue;
		set_limit(limit, tests[i].name);
		stdout = open_memstream(&said, &length);
		passed = run_one(&tests[i]);
		fclose(stdout);
		stdout = out;
		printf("%s %s\n%s", passed ? "ok" : "FAIL", tests[i].name, said);
		fflush(stdout);
		free(said);
		failed |= !passed;
	}
	timer_delete(limit);
	return failed;
}

const struct ibv_qp_cap small_cap = { .max_send_wr = 7,
				      .max_recv_wr = 7,
				      .max_send_sge = 2,
				      .max_recv_sge = 2,
				      .max_inline_data = 64 };

void make_end(struct fabric *f, struct end *end, struct ibv_qp_init_attr_ex attr)
{
	end->cq = ibv_create_cq(f->context, 255, NULL, NULL, 0);
	CHECK(end->cq != NULL);
	attr.comp_mask |= IBV_QP_INIT_ATTR_PD;
	attr.pd = f->pd;
	attr.send_cq = end->cq;
	attr.recv_cq = end->cq;
	end->qp = ibv_create_qp_ex(f->context, &attr);
	CHECK(end->qp != NULL);
	end->made = attr;
}

void connect_end(struct fabric *f, struct end *end, uint32_t peer)
{
	bool rc = end->qp->qp_type == IBV_QPT_RC, ud = end->qp->qp_type == IBV_QPT_UD;
	struct ibv_qp_attr init = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
				   IBV_ACCESS_REMOTE_ATOMIC | 1 << 8 | 1 << 9,
	};
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = peer,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = 1,
		.ah_attr = { .is_global = 1,
			     .port_num = 1,
			     .grh = { .dgid = f->gid,
				      .sgid_index = f->gid_index,
				      .hop_limit = 1 } },
	};
	struct ibv_qp_attr rts = { .qp_state = IBV_QPS_RTS,
				   .timeout = 14,
				   .retry_cnt = 7,
				   .rnr_retry = 7,
				   .max_rd_atomic = 4 };

	CHECK_INT(ibv_modify_qp(end->qp, &init,
				IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
					(ud ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS)),
		  0);
	CHECK_INT(ibv_modify_qp(
			  end->qp, &rtr,
			  IBV_QP_STATE |
				  (ud ? 0
				      : IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
						   IBV_QP_RQ_PSN) |
				  (rc ? IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER
				      : 0)),
		  0);
	CHECK_INT(ibv_modify_qp(end->qp, &rts,
				IBV_QP_STATE | IBV_QP_SQ_PSN |
					(rc ? IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
							 IBV_QP_RNR_RETRY |
							 IBV_QP_MAX_QP_RD_ATOMIC
					    : 0)),
		  0);
}

void make_pair(struct fabric *f, struct pair *pair, enum ibv_qp_type type,
	       struct ibv_qp_cap cap, uint64_t send_ops)
{
	struct ibv_qp_init_attr_ex attr = {
		.qp_type = type,
		.cap = cap,
		.comp_mask = send_ops ? IBV_QP_INIT_ATTR_SEND_OPS_FLAGS : 0,
		.send_ops_flags = send_ops,
	};

	make_end(f, &pair->a, attr);
	make_end(f, &pair->b, attr);
	connect_end(f, &pair->a, pair->b.qp->qp_num);
	connect_end(f, &pair->b, pair->a.qp->qp_num);
}

struct ibv_srq *make_srq_pair(struct fabric *f, struct pair *pair, uint32_t max_wr)
{
	struct ibv_srq_init_attr attr = { .attr = { .max_wr = max_wr, .max_sge = 1 } };
	struct ibv_qp_init_attr_ex init = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	struct ibv_srq *srq = ibv_create_srq(f->pd, &attr);

	CHECK(srq != NULL);
	make_end(f, &pair->a, init);
	init.srq = srq;
	make_end(f, &pair->b, init);
	connect_end(f, &pair->a, pair->b.qp->qp_num);
	connect_end(f, &pair->b, pair->a.qp->qp_num);
	return srq;
}

void break_end(struct end *end)
{
	CHECK_INT(ibv_destroy_qp(end->qp), 0);
	CHECK_INT(ibv_destroy_cq(end->cq), 0);
}

void break_pair(struct pair *pair)
{
	break_end(&pair->a);
	break_end(&pair->b);
}

void set_state(struct ibv_qp *qp, enum ibv_qp_state state)
{
	struct ibv_qp_attr attr = { .qp_state = state };

	CHECK_INT(ibv_modify_qp(qp, &attr, IBV_QP_STATE), 0);
}

struct ibv_send_wr write_wr(struct fabric *f, struct ibv_sge *sge, size_t from, size_t to,
			    uint32_t length)
{
	struct ibv_send_wr wr = {
		.sg_list = sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = { (uintptr_t)f->memory + to, f->mr->rkey },
	};

	*sge = (struct ibv_sge){ (uintptr_t)f->memory + from, length, f->mr->lkey };
	return wr;
}

struct ibv_wc take_wc(struct ibv_cq *cq)
{
	time_t end = time(NULL) + 20;
	struct ibv_wc wc = {};
	int n;

	while (!(n = ibv_poll_cq(cq, 1, &wc)))
		CHECK(time(NULL) < end);
	CHECK_INT(n, 1);
	return wc;
}

void expect_wc(struct ibv_cq *cq, uint64_t wr_id, enum ibv_wc_status status)
{
	struct ibv_wc wc = take_wc(cq);

	CHECK_INT(wc.status, status);
	CHECK_INT(wc.wr_id, wr_id);
}

int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir != NULL);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

void await_drained(struct fabric *f)
{
	struct ibv_async_event event;

	do {
		CHECK_INT(ibv_get_async_event(f->context, &event), 0);
		ibv_ack_async_event(&event);
	} while (event.event_type != IBV_EVENT_SQ_DRAINED);
}

void post_writes(struct fabric *f, struct end *end, uint64_t first, int n)
{
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;

	for (int i = 0; i < n; i++) {
		wr = write_wr(f, &sge, 0, 4096, 8);
		wr.wr_id = first + i;
		CHECK_INT(ibv_post_send(end->qp, &wr, &bad), 0);
	}
}
