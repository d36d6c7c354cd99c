// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Traffic over the queue pairs that v_connect() joined; every content is verified. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "verbs_private.h"

#define PAUSE_MAX_NS 5000000

/* Polls, and leaves the CPU to those who have work: the longer it takes, the longer. */
static long poll_one(struct ibv_cq *cq)
{
	struct timespec pause = { .tv_nsec = 100000 };
	time_t end = time(NULL) + 8;
	struct ibv_wc wc;
	unsigned int polls = 0;
	int n;

	while (!(n = ibv_poll_cq(cq, 1, &wc))) {
		if (time(NULL) > end)
			return -ETIME;
		if (++polls <= 10) {
			sched_yield();
			continue;
		}
		nanosleep(&pause, NULL);
		pause.tv_nsec =
			pause.tv_nsec < PAUSE_MAX_NS ? 2 * pause.tv_nsec : PAUSE_MAX_NS;
	}
	if (n < 0)
		return -EIO;
	return wc.status == IBV_WC_SUCCESS ? 0 : -EREMOTEIO;
}

static long post(const struct verbs_step *v, struct ibv_send_wr *wr)
{
	struct actor_context *c = v_context(v->ctx);
	struct ibv_sge sge = { (uintptr_t)c->scratch, (uint32_t)v->len,
			       c->scratch_mr->lkey };
	struct ibv_send_wr *bad;
	int err;

	wr->sg_list = &sge;
	wr->num_sge = 1;
	wr->send_flags = IBV_SEND_SIGNALED;
	err = ibv_post_send(c->qp, wr, &bad);
	return err ? -err : poll_one(c->cq);
}

static long transfer(const struct verbs_step *v, enum ibv_wr_opcode opcode)
{
	struct ibv_send_wr wr = { .opcode = opcode, .wr.rdma = { v->raddr, v->rkey } };

	return post(v, &wr);
}

static long rdma_write(void *buf, size_t size)
{
	const struct verbs_step *v = buf;

	(void)size;
	pattern_fill(v_context(v->ctx)->scratch, v->len, v->seed, v->pos);
	return transfer(v, IBV_WR_RDMA_WRITE);
}

static long rdma_read(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	unsigned char *scratch = v_context(v->ctx)->scratch;
	long ret;

	(void)size;
	memset(scratch, 0, v->len);
	ret = transfer(v, IBV_WR_RDMA_READ);
	if (ret)
		return ret;
	return pattern_matches(scratch, v->len, v->seed, v->pos) ? 0 : -EILSEQ;
}

static long rdma_step(struct actor *a, int ctx, const struct mr *mr, uint64_t off,
		      uint64_t len, uint64_t seed, actor_fn fn)
{
	struct verbs_step v = { .ctx = ctx,
				.raddr = mr->addr + off,
				.rkey = mr->rkey,
				.len = len,
				.seed = seed,
				.pos = mr->pos + off };

	return len > SCRATCH ? -EMSGSIZE : actor_call(a, fn, &v, sizeof(v));
}

long v_write(struct actor *a, int ctx, const struct mr *mr, uint64_t off, uint64_t len,
	     uint64_t seed)
{
	return rdma_step(a, ctx, mr, off, len, seed, rdma_write);
}

long v_read_check(struct actor *a, int ctx, const struct mr *mr, uint64_t off,
		  uint64_t len, uint64_t seed)
{
	return rdma_step(a, ctx, mr, off, len, seed, rdma_read);
}

static long rdma_flood(void *buf, size_t size)
{
	struct verbs_step *v = buf;
	long ret;

	v->qpn = 0; /* counts */
	while (!(ret = rdma_write(buf, size)))
		v->qpn++;
	/* One that fails at once would prove nothing. */
	return v->qpn ? ret : -ENODATA;
}

static struct verbs_step flood_step(int ctx, const struct mr *mr, uint64_t seed)
{
	return (struct verbs_step){ .ctx = ctx,
				    .raddr = mr->addr,
				    .rkey = mr->rkey,
				    .len = mr->len,
				    .seed = seed };
}

void v_flood_begin(struct actor *a, int ctx, const struct mr *mr, uint64_t seed)
{
	struct verbs_step v = flood_step(ctx, mr, seed);

	actor_call_begin(a, rdma_flood, &v, sizeof(v));
}

long v_flood_end(struct actor *a)
{
	struct verbs_step v;

	return actor_call_end(a, &v, sizeof(v), step_deadline_ms);
}

/* ---- atomics, messages ---- */

static long fetch_add(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct ibv_send_wr wr = { .opcode = IBV_WR_ATOMIC_FETCH_AND_ADD,
				  .wr.atomic = { .remote_addr = v->raddr,
						 .compare_add = v->seed,
						 .rkey = v->rkey } };
	uint64_t old;
	long ret = post(v, &wr);

	(void)size;
	memcpy(&old, v_context(v->ctx)->scratch, sizeof(old));
	return ret ? ret : (long)(old & INT64_MAX);
}

long v_fetch_add(struct actor *a, int ctx, const struct mr *mr, uint64_t off,
		 uint64_t add)
{
	return rdma_step(a, ctx, mr, off, sizeof(uint64_t), add, fetch_add);
}

static long post_recv(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct ibv_sge sge = { v->addr, (uint32_t)v->len, v->lkey };
	struct ibv_recv_wr *bad, wr = { .sg_list = &sge, .num_sge = 1 };

	(void)size;
	return -ibv_post_recv(v_context(v->ctx)->qp, &wr, &bad);
}

long v_post_recv(struct actor *a, int ctx, const struct mr *mr)
{
	struct verbs_step v = {
		.ctx = ctx, .addr = mr->addr, .len = mr->len, .lkey = mr->lkey
	};

	return actor_call(a, post_recv, &v, sizeof(v));
}

static long send_message(void *buf, size_t size)
{
	const struct verbs_step *v = buf;
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND };

	(void)size;
	pattern_fill(v_context(v->ctx)->scratch, v->len, v->seed, 0);
	return post(v, &wr);
}

long v_send(struct actor *a, int ctx, uint64_t len, uint64_t seed)
{
	struct verbs_step v = { .ctx = ctx, .len = len, .seed = seed };

	return len > SCRATCH ? -EMSGSIZE : actor_call(a, send_message, &v, sizeof(v));
}

static long received(void *buf, size_t size)
{
	const struct verbs_step *v = buf;

	(void)size;
	return poll_one(v_context(v->ctx)->cq);
}

long v_received(struct actor *a, int ctx)
{
	struct verbs_step v = { .ctx = ctx };

	return actor_call(a, received, &v, sizeof(v));
}

/* ---- traffic that goes on while other things happen ---- */

struct flow {
	struct verbs_step step;
	pthread_t thread;
	sem_t first_round;
	_Atomic int stop;
	bool running;
	long result;
};

static struct flow flow; /* in the actor: one at a time */

static long one_round(const struct verbs_step *all, uint64_t seed, actor_fn fn)
{
	struct verbs_step v = *all;
	uint64_t left = all->len;
	long ret = 0;

	v.seed = seed;
	while (!ret && left) {
		v.len = left < SCRATCH ? left : SCRATCH;
		ret = fn(&v, sizeof(v));
		v.raddr += v.len;
		v.pos += v.len;
		left -= v.len;
	}
	return ret;
}

/* What is there in the end was written, all of it, after the end was asked for. */
static void *flow_thread(void *arg)
{
	struct flow *f = arg;
	uint64_t round = 1;
	long ret;

	do {
		ret = one_round(&f->step, f->step.seed + round, rdma_write);
		if (round++ == 1)
			sem_post(&f->first_round);
	} while (!ret && !f->stop);
	if (!ret)
		ret = one_round(&f->step, f->step.seed, rdma_write);
	if (!ret)
		ret = one_round(&f->step, f->step.seed, rdma_read);
	f->result = ret;
	return NULL;
}

static long flow_start(void *buf, size_t size)
{
	(void)size;
	if (flow.running)
		return -EALREADY;
	flow.step = *(struct verbs_step *)buf;
	flow.stop = 0;
	flow.result = 0;
	sem_init(&flow.first_round, 0, 0);
	if (pthread_create(&flow.thread, NULL, flow_thread, &flow))
		return -EAGAIN;
	flow.running = true;
	while (sem_wait(&flow.first_round))
		;
	return 0;
}

long v_flow_start(struct actor *a, int ctx, const struct mr *mr, uint64_t off,
		  uint64_t len, uint64_t seed)
{
	struct verbs_step v = { .ctx = ctx,
				.raddr = mr->addr + off,
				.rkey = mr->rkey,
				.len = len,
				.seed = seed,
				.pos = mr->pos + off };

	return actor_call(a, flow_start, &v, sizeof(v));
}

static long flow_end(void *buf, size_t size)
{
	(void)buf;
	(void)size;
	if (!flow.running)
		return -EALREADY;
	flow.stop = 1;
	pthread_join(flow.thread, NULL);
	flow.running = false;
	return flow.result;
}

long v_flow_end(struct actor *a)
{
	return actor_call(a, flow_end, NULL, 0);
}
