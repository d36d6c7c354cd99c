// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Queues at their limits, errors, and what rdma-core's own tests leave out. Runs in a guest,
 * with the provider that IBV_DRIVERS names.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <infiniband/pinrxedv.h>
#include "fabric.h"

static void send_ring_wraps(struct fabric *f)
{
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	for (uint64_t i = 1; i <= 100; i++) {
		memcpy(f->memory, &i, sizeof(i));
		wr = write_wr(f, &sge, 0, 4096, sizeof(i));
		wr.wr_id = i;
		CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		expect_wc(p.a.cq, i, IBV_WC_SUCCESS);
		CHECK(!memcmp(f->memory + 4096, &i, sizeof(i)));
	}
	break_pair(&p);
}

/* A list is published at its end, so the kernel takes nothing before the ring is full. */
static void full_send_ring(struct fabric *f)
{
	struct ibv_send_wr wr[9], *bad = NULL;
	struct ibv_sge sge;
	struct pair p;
	int i;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	CHECK_INT(p.a.made.cap.max_send_wr, 7);
	for (i = 0; i < 9; i++) {
		wr[i] = write_wr(f, &sge, 0, 4096, 8);
		wr[i].wr_id = i;
		wr[i].next = i < 8 ? &wr[i + 1] : NULL;
	}
	CHECK_INT(ibv_post_send(p.a.qp, wr, &bad), ENOMEM);
	CHECK_INT(bad - wr, 7);
	for (i = 0; i < 7; i++)
		expect_wc(p.a.cq, i, IBV_WC_SUCCESS);
	CHECK_INT(ibv_post_send(p.a.qp, &wr[7], &bad), 0);
	expect_wc(p.a.cq, 7, IBV_WC_SUCCESS);
	expect_wc(p.a.cq, 8, IBV_WC_SUCCESS);
	break_pair(&p);
}

static void full_receive_ring(struct fabric *f)
{
	struct ibv_recv_wr wr = {}, *bad;
	struct pair p;
	int i;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	for (i = 0; i < 7; i++)
		CHECK_INT(ibv_post_recv(p.a.qp, &wr, &bad), 0);
	CHECK_INT(ibv_post_recv(p.a.qp, &wr, &bad), ENOMEM);
	CHECK(bad == &wr);
	break_pair(&p);
}

static void wrong_requests(struct fabric *f)
{
	struct ibv_sge sge[3] = {}, many[2];
	struct ibv_send_wr wr, *bad;
	struct ibv_recv_wr recv = { .sg_list = sge, .num_sge = 3 }, *bad_recv;
	struct pair p;

	make_pair(f, &p, IBV_QPT_UC, small_cap, 0);
	wr = write_wr(f, sge, 0, 4096, 8);
	wr.opcode = IBV_WR_RDMA_READ; /* not of UC */
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), EINVAL);
	wr.opcode = 77;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), EINVAL);
	wr.opcode = IBV_WR_SEND;
	wr.num_sge = p.a.made.cap.max_send_sge + 1;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), EINVAL);
	wr.num_sge = -1;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), EINVAL);
	/* each length is possible, their sum is not, nor its low 32 bits */
	many[0] = many[1] = (struct ibv_sge){ 0, UINT32_MAX, 0 };
	wr.sg_list = many;
	wr.num_sge = 2;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), EINVAL);
	wr.num_sge = 1;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), EINVAL);
	CHECK_INT(ibv_post_recv(p.a.qp, &recv, &bad_recv), EINVAL);
	recv.sg_list = many;
	recv.num_sge = 2;
	CHECK_INT(ibv_post_recv(p.a.qp, &recv, &bad_recv), EINVAL);
	break_pair(&p);
}

static void inline_data(struct fabric *f)
{
	static char first[] = "inline data need ", second[] = "no memory region";
	struct ibv_sge sge[2] = { { (uintptr_t)first, sizeof(first) - 1, 0 },
				  { (uintptr_t)second, sizeof(second), 0 } };
	struct ibv_send_wr wr, *bad;
	struct ibv_sge other;
	char large[512];
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	wr = write_wr(f, &other, 0, 4096, 8);
	wr.send_flags |= IBV_SEND_INLINE;
	wr.sg_list = sge;
	wr.num_sge = 2;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
	expect_wc(p.a.cq, 0, IBV_WC_SUCCESS);
	CHECK(!strcmp((char *)f->memory + 4096, "inline data need no memory region"));
	sge[1] = (struct ibv_sge){ (uintptr_t)large, p.a.made.cap.max_inline_data, 0 };
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), ENOMEM);
	sge[1].length = UINT32_MAX; /* with the first one: a small sum in 32 bits */
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), ENOMEM);
	wr.opcode = IBV_WR_RDMA_READ;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), EINVAL);
	break_pair(&p);
}

static void states_that_take_no_requests(struct fabric *f)
{
	struct ibv_qp_init_attr_ex attr = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	struct ibv_recv_wr recv = {}, *bad_recv;
	struct ibv_send_wr wr, *bad = NULL;
	struct ibv_sge sge;
	struct end end;

	make_end(f, &end, attr);
	wr = write_wr(f, &sge, 0, 4096, 8);
	CHECK_INT(ibv_post_send(end.qp, &wr, &bad), EINVAL);
	CHECK(bad == &wr);
	CHECK_INT(ibv_post_recv(end.qp, &recv, &bad_recv), EINVAL);
	CHECK(bad_recv == &recv);
	break_end(&end);
}

static void error_flushes_everything(struct fabric *f)
{
	struct ibv_recv_wr recv = { .wr_id = 50 }, *bad_recv;
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	CHECK_INT(ibv_post_recv(p.a.qp, &recv, &bad_recv), 0);
	wr = write_wr(f, &sge, 0, 4096, 8);
	wr.wr_id = 1;
	wr.wr.rdma.rkey ^= 1;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
	expect_wc(p.a.cq, 1, IBV_WC_REM_ACCESS_ERR);
	expect_wc(p.a.cq, 50, IBV_WC_WR_FLUSH_ERR);
	/* what is posted from now on comes back too, the unsignaled as well */
	wr.wr_id = 2;
	wr.send_flags = 0;
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
	expect_wc(p.a.cq, 2, IBV_WC_WR_FLUSH_ERR);
	set_state(p.a.qp, IBV_QPS_ERR);
	recv.wr_id = 51;
	CHECK_INT(ibv_post_recv(p.a.qp, &recv, &bad_recv), 0);
	expect_wc(p.a.cq, 51, IBV_WC_WR_FLUSH_ERR);
	break_pair(&p);
}

/* Completions of the QP go, those of another QP with the same CQ stay, in their order. */
static void reset_cleans_its_completions(struct fabric *f)
{
	struct ibv_qp_init_attr attr = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	struct ibv_recv_wr recv = {}, *bad;
	struct end one, two;
	struct ibv_wc wc;
	uint64_t next = 1;

	make_end(f, &one,
		 (struct ibv_qp_init_attr_ex){ .qp_type = IBV_QPT_RC, .cap = small_cap });
	attr.send_cq = attr.recv_cq = one.cq;
	two.qp = ibv_create_qp(f->pd, &attr);
	CHECK(two.qp != NULL);
	two.cq = NULL;
	connect_end(f, &one, two.qp->qp_num);
	connect_end(f, &two, one.qp->qp_num);
	set_state(one.qp, IBV_QPS_ERR);
	set_state(two.qp, IBV_QPS_ERR);
	for (uint64_t i = 0; i < 6; i++) {
		recv.wr_id = i;
		CHECK_INT(ibv_post_recv(i % 2 ? two.qp : one.qp, &recv, &bad), 0);
	}
	recv.wr_id = 6;
	CHECK_INT(ibv_post_recv(one.qp, &recv, &bad), 0);
	/* the kernel flushes the two side by side: either may come first */
	wc = take_wc(one.cq);
	CHECK_INT(wc.status, IBV_WC_WR_FLUSH_ERR);
	if (wc.qp_num == two.qp->qp_num) {
		CHECK_INT(wc.wr_id, next);
		next += 2;
	} else {
		CHECK_INT(wc.wr_id, 0);
	}
	set_state(one.qp, IBV_QPS_RESET);
	for (; next < 6; next += 2)
		expect_wc(one.cq, next, IBV_WC_WR_FLUSH_ERR);
	CHECK_INT(ibv_poll_cq(one.cq, 1, &wc), 0);
	/* the reset QP works again */
	connect_end(f, &one, two.qp->qp_num);
	CHECK_INT(ibv_destroy_qp(two.qp), 0);
	break_end(&one);
}

static void cq_resize_keeps_completions(struct fabric *f)
{
	static const int sizes[] = { 31, 7, 1023, 15, 3 };
	struct ibv_qp_cap cap = small_cap;
	uint64_t next = 0, done = 0;
	struct ibv_wc wc;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, cap, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		post_writes(f, &p.a, next, 3);
		next += 3;
		/* some are there by now, some come meanwhile */
		CHECK_INT(ibv_resize_cq(p.a.cq, sizes[i]), 0);
		CHECK_INT(p.a.cq->cqe, sizes[i]);
		while (done < next)
			expect_wc(p.a.cq, done++, IBV_WC_SUCCESS);
		CHECK_INT(ibv_poll_cq(p.a.cq, 1, &wc), 0);
	}
	CHECK_INT(ibv_resize_cq(p.a.cq, 0), EINVAL);
	CHECK_INT(ibv_resize_cq(p.a.cq, 1 << 30), EINVAL);
	post_writes(f, &p.a, 99, 1);
	expect_wc(p.a.cq, 99, IBV_WC_SUCCESS);
	break_pair(&p);
}

static void cq_overrun_is_an_event(struct fabric *f)
{
	struct ibv_async_event event;
	struct ibv_wc wc[8];
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	CHECK_INT(ibv_resize_cq(p.a.cq, 3), 0);
	post_writes(f, &p.a, 0, 5);
	CHECK_INT(ibv_get_async_event(f->context, &event), 0);
	CHECK_INT(event.event_type, IBV_EVENT_CQ_ERR);
	CHECK(event.element.cq == p.a.cq);
	ibv_ack_async_event(&event);
	/* those that had room are there and in order, and the queue is not confused */
	CHECK_INT(ibv_poll_cq(p.a.cq, 8, wc), 3);
	CHECK_INT(wc[0].wr_id + wc[1].wr_id * 10 + wc[2].wr_id * 100, 210);
	while (ibv_poll_cq(p.a.cq, 8, wc))
		;
	/* the second event of the two that found no room, if there was one */
	fcntl(f->context->async_fd, F_SETFL, O_NONBLOCK);
	while (!ibv_get_async_event(f->context, &event))
		ibv_ack_async_event(&event);
	break_pair(&p);
}

static void srq_resize_keeps_requests(struct fabric *f)
{
	struct ibv_srq_attr change = { .max_wr = 31 };
	struct ibv_recv_wr recv = {}, *bad_recv;
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge, to;
	struct ibv_srq *srq;
	struct pair p;

	srq = make_srq_pair(f, &p, 7);
	CHECK_INT(ibv_post_recv(p.b.qp, &recv, &bad_recv), EINVAL);
	to = (struct ibv_sge){ (uintptr_t)f->memory + 4096, 8, f->mr->lkey };
	recv.sg_list = &to;
	recv.num_sge = 1;
	for (uint64_t i = 0; i < 7; i++) {
		recv.wr_id = i;
		CHECK_INT(ibv_post_srq_recv(srq, &recv, &bad_recv), 0);
	}
	CHECK_INT(ibv_post_srq_recv(srq, &recv, &bad_recv), ENOMEM);
	CHECK_INT(ibv_modify_srq(srq, &change, IBV_SRQ_MAX_WR), 0);
	for (uint64_t i = 7; i < 31; i++) {
		recv.wr_id = i;
		CHECK_INT(ibv_post_srq_recv(srq, &recv, &bad_recv), 0);
	}
	CHECK_INT(ibv_post_srq_recv(srq, &recv, &bad_recv), ENOMEM);
	for (uint64_t i = 0; i < 31; i++) {
		wr = write_wr(f, &sge, 0, 0, 8);
		wr.opcode = IBV_WR_SEND;
		CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		expect_wc(p.a.cq, 0, IBV_WC_SUCCESS);
		expect_wc(p.b.cq, i, IBV_WC_SUCCESS);
	}
	break_pair(&p);
	CHECK_INT(ibv_destroy_srq(srq), 0);
}

static void batch_errors_post_nothing(struct fabric *f)
{
	struct ibv_qp_ex *ex;
	struct ibv_wc wc;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, IBV_QP_EX_WITH_RDMA_WRITE);
	ex = ibv_qp_to_qp_ex(p.a.qp);
	CHECK(ex != NULL);
	CHECK(!ibv_qp_to_qp_ex(p.b.qp) == !ex);
	ibv_wr_start(ex);
	for (int i = 0; i < 9; i++) {
		ex->wr_id = i;
		ex->wr_flags = IBV_SEND_SIGNALED;
		ibv_wr_rdma_write(ex, f->mr->rkey, (uintptr_t)f->memory + 4096);
		ibv_wr_set_sge(ex, f->mr->lkey, (uintptr_t)f->memory, 8);
	}
	CHECK_INT(ibv_wr_complete(ex), ENOMEM);
	ibv_wr_start(ex);
	ibv_wr_rdma_write(ex, f->mr->rkey, (uintptr_t)f->memory + 4096);
	ibv_wr_set_sge(ex, f->mr->lkey, (uintptr_t)f->memory, UINT32_MAX);
	CHECK_INT(ibv_wr_complete(ex), EINVAL);
	ibv_wr_start(ex);
	ibv_wr_rdma_write(ex, f->mr->rkey, (uintptr_t)f->memory + 4096);
	ibv_wr_abort(ex);
	/* all seven places are still free, and the kernel has seen nothing */
	ibv_wr_start(ex);
	for (int i = 0; i < 7; i++) {
		ex->wr_id = 100 + i;
		ibv_wr_rdma_write(ex, f->mr->rkey, (uintptr_t)f->memory + 4096);
		ibv_wr_set_sge(ex, f->mr->lkey, (uintptr_t)f->memory, 8);
	}
	CHECK_INT(ibv_wr_complete(ex), 0);
	for (int i = 0; i < 7; i++)
		expect_wc(p.a.cq, 100 + i, IBV_WC_SUCCESS);
	CHECK_INT(ibv_poll_cq(p.a.cq, 1, &wc), 0);
	break_pair(&p);
}

static void atomic_write_and_flush(struct fabric *f)
{
	uint64_t value = 0x1122334455667788;
	struct ibv_qp_ex *ex;
	struct ibv_mr *mr;
	struct ibv_wc wc;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, IBV_QP_EX_WITH_RDMA_WRITE);
	ex = ibv_qp_to_qp_ex(p.a.qp);
	CHECK(ex != NULL);
	mr = ibv_reg_mr(f->pd, f->memory, MEMORY,
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
				IBV_ACCESS_REMOTE_READ | PINRXE_ACCESS_FLUSH_GLOBAL);
	CHECK(mr != NULL);
	ibv_wr_start(ex);
	ex->wr_flags = IBV_SEND_SIGNALED;
	ex->wr_id = 1;
	CHECK_INT(pinrxedv_wr_atomic_write(ex, mr->rkey, (uintptr_t)f->memory + 4096,
					   &value),
		  0);
	ex->wr_id = 2;
	CHECK_INT(pinrxedv_wr_flush(ex, mr->rkey, (uintptr_t)f->memory + 4096, 8,
				    PINRXEDV_FLUSH_GLOBAL, PINRXEDV_FLUSH_RANGE),
		  0);
	CHECK_INT(ibv_wr_complete(ex), 0);
	wc = take_wc(p.a.cq);
	CHECK_INT(wc.status, IBV_WC_SUCCESS);
	CHECK_INT(wc.opcode, PINRXE_WC_ATOMIC_WRITE);
	wc = take_wc(p.a.cq);
	CHECK_INT(wc.status, IBV_WC_SUCCESS);
	CHECK_INT(wc.opcode, PINRXE_WC_FLUSH);
	CHECK_INT(wc.wr_id, 2);
	CHECK(!memcmp(f->memory + 4096, &value, 8));
	ibv_wr_start(ex);
	CHECK_INT(pinrxedv_wr_atomic_write(ex, mr->rkey, (uintptr_t)f->memory + 4100,
					   &value),
		  EINVAL);
	CHECK_INT(ibv_wr_complete(ex), EINVAL);
	CHECK_INT(ibv_dereg_mr(mr), 0);
	break_pair(&p);
}

/* What was posted while the send queue was drained goes out when it is opened again. */
static void drained_queue(struct fabric *f)
{
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	set_state(p.a.qp, IBV_QPS_SQD);
	await_drained(f);
	post_writes(f, &p.a, 1, 2);
	set_state(p.a.qp, IBV_QPS_RTS);
	expect_wc(p.a.cq, 1, IBV_WC_SUCCESS);
	expect_wc(p.a.cq, 2, IBV_WC_SUCCESS);
	break_pair(&p);
}

static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	int n = 0;

	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "uverbs") != NULL;
	fclose(maps);
	return n;
}

static void thousand_qps(struct fabric *f)
{
	enum {
		N = 1000
	};
	struct ibv_qp_init_attr attr = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	int fds = count_descriptors(), maps = count_mappings();
	static struct ibv_qp *qp[N];
	struct ibv_cq *cq = ibv_create_cq(f->context, 100, NULL, NULL, 0);

	CHECK(cq != NULL);
	attr.send_cq = attr.recv_cq = cq;
	for (int i = 0; i < N; i++) {
		qp[i] = ibv_create_qp(f->pd, &attr);
		CHECK(qp[i] != NULL);
	}
	CHECK_INT(count_mappings(), maps + 1 + 2 * N);
	for (int i = 0; i < N; i++)
		CHECK_INT(ibv_destroy_qp(qp[i]), 0);
	CHECK_INT(ibv_destroy_cq(cq), 0);
	CHECK_INT(count_mappings(), maps);
	CHECK_INT(count_descriptors(), fds);
}

/*
 * No room to map a ring: the kernel's object is given back, and what there was stays as it is. The
 * CQ can be destroyed in the end, so nothing is left that refers to it.
 */
static void no_address_space(struct fabric *f)
{
	struct ibv_srq_init_attr srq_attr = { .attr = { .max_wr = 100, .max_sge = 1 } };
	struct ibv_qp_init_attr attr = { .qp_type = IBV_QPT_RC, .cap = small_cap };
	struct rlimit old, none = { .rlim_cur = 4096 };
	int fds = count_descriptors(), maps, refused = 0;
	struct ibv_cq *cq = ibv_create_cq(f->context, 100, NULL, NULL, 0);
	struct ibv_qp *qp;

	CHECK(cq != NULL);
	attr.send_cq = attr.recv_cq = cq;
	maps = count_mappings();
	CHECK_INT(getrlimit(RLIMIT_AS, &old), 0);
	none.rlim_max = old.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_AS, &none), 0);
	for (int i = 0; i < 20; i++) {
		refused += !ibv_create_cq(f->context, 1000, NULL, NULL, 0);
		refused += !ibv_create_srq(f->pd, &srq_attr);
		refused += !ibv_create_qp(f->pd, &attr);
		refused += ibv_resize_cq(cq, 5000) == ENOMEM;
	}
	CHECK_INT(setrlimit(RLIMIT_AS, &old), 0);
	CHECK_INT(refused, 80);
	CHECK_INT(count_mappings(), maps);
	CHECK_INT(count_descriptors(), fds);
	CHECK_INT(ibv_resize_cq(cq, 5000), 0);
	qp = ibv_create_qp(f->pd, &attr);
	CHECK(qp != NULL);
	CHECK_INT(ibv_destroy_cq(cq), EBUSY);
	CHECK_INT(ibv_destroy_qp(qp), 0);
	CHECK_INT(ibv_destroy_cq(cq), 0);
}

enum {
	POSTERS = 4,
	EACH = 150
};

struct crowd {
	struct fabric *f;
	struct pair p;
	atomic_int posted, polled, wrong, resized;
};

static void *poster(void *arg)
{
	struct crowd *c = arg;
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	int err;

	wr = write_wr(c->f, &sge, 0, 4096, 8);
	for (int i = 0; i < EACH;) {
		err = ibv_post_send(c->p.a.qp, &wr, &bad);
		if (!err)
			i++;
		else if (err != ENOMEM)
			c->wrong++;
		else
			sched_yield();
	}
	return NULL;
}

static void *poller(void *arg)
{
	struct crowd *c = arg;
	struct ibv_wc wc[5];
	int n;

	while (c->polled < POSTERS * EACH && !c->wrong) {
		n = ibv_poll_cq(c->p.a.cq, 5, wc);
		for (int i = 0; i < n; i++)
			c->wrong += wc[i].status != IBV_WC_SUCCESS;
		c->polled += n;
		if (!n)
			sched_yield();
	}
	return NULL;
}

static void *resizer(void *arg)
{
	struct crowd *c = arg;

	while (c->polled < POSTERS * EACH && !c->wrong) {
		/* never below what can be there: all of them */
		if (ibv_resize_cq(c->p.a.cq, c->resized % 2 ? 1023 : 2047))
			c->wrong++;
		c->resized++;
	}
	return NULL;
}

static void crowd_on_one_qp_and_cq(struct fabric *f)
{
	struct crowd c = { .f = f };
	pthread_t threads[POSTERS + 3];
	int n = 0;

	make_pair(f, &c.p, IBV_QPT_RC, small_cap, 0);
	CHECK_INT(ibv_resize_cq(c.p.a.cq, 1023), 0);
	for (; n < POSTERS; n++)
		CHECK_INT(pthread_create(&threads[n], NULL, poster, &c), 0);
	CHECK_INT(pthread_create(&threads[n++], NULL, poller, &c), 0);
	CHECK_INT(pthread_create(&threads[n++], NULL, poller, &c), 0);
	CHECK_INT(pthread_create(&threads[n++], NULL, resizer, &c), 0);
	while (n--)
		pthread_join(threads[n], NULL);
	CHECK_INT(c.wrong, 0);
	CHECK_INT(c.polled, POSTERS * EACH);
	break_pair(&c.p);
}

static const struct test tests[] = {
	{ "send-ring-wraps", send_ring_wraps },
	{ "full-send-ring", full_send_ring },
	{ "full-receive-ring", full_receive_ring },
	{ "wrong-requests", wrong_requests },
	{ "inline-data", inline_data },
	{ "states-that-take-no-requests", states_that_take_no_requests },
	{ "error-flushes-everything", error_flushes_everything },
	{ "reset-cleans-its-completions", reset_cleans_its_completions },
	{ "cq-resize-keeps-completions", cq_resize_keeps_completions },
	{ "cq-overrun-is-an-event", cq_overrun_is_an_event },
	{ "srq-resize-keeps-requests", srq_resize_keeps_requests },
	{ "batch-errors-post-nothing", batch_errors_post_nothing },
	{ "atomic-write-and-flush", atomic_write_and_flush },
	{ "drained-queue", drained_queue },
	{ "no-address-space", no_address_space },
	{ "thousand-qps", thousand_qps },
	{ "crowd-on-one-qp-and-cq", crowd_on_one_qp_and_cq },
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
