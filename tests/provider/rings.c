// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The provider's rings without a device: this program plays the kernel's side, fairly in
 * threads of its own (built with ThreadSanitizer: memory order), and unfairly, with garbage in
 * everything that the kernel could write (built with AddressSanitizer and UBSan). The rings lie
 * between pages that cannot be accessed.
 */
#define _GNU_SOURCE /* posix_openpt() */
#include <config.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cq.h"
#include "pinrxedv.h"
#include "send.h"

enum {
	PAGE = 4096,
	SIZE = 4 * PAGE
};

#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition))                                              \
			errx(1, "%s:%d: %s does not hold", __func__, __LINE__, \
			     #condition);                                      \
	} while (0)

static struct pinrxe_context context = { .qps_lock = PTHREAD_MUTEX_INITIALIZER };

/* A ring that the provider could have mapped: as large as fits SIZE. */
static void make_ring(struct pinrxe_ring *ring, uint32_t shift)
{
	uint8_t *area = mmap(NULL, SIZE + 2 * PAGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t slots = 1;

	CHECK(area != MAP_FAILED && !mprotect(area + PAGE, SIZE, PROT_READ | PROT_WRITE));
	while (sizeof(struct rxe_queue_buf) + ((size_t)slots << (shift + 1)) <= SIZE)
		slots *= 2;
	*ring = (struct pinrxe_ring){ .buf = (void *)(area + PAGE),
				      .mask = slots - 1,
				      .shift = shift,
				      .size = SIZE };
	ring->slots = ring->buf->data;
	ring->buf->index_mask = ring->mask;
	ring->buf->log2_elem_size = shift;
}

static void free_ring(struct pinrxe_ring *ring)
{
	munmap((uint8_t *)ring->buf - PAGE, SIZE + 2 * PAGE);
}

static void make_qp(struct pinrxe_qp *qp, enum ibv_qp_type type)
{
	/* doorbells are left out as early as ever: both ways of publishing are tried */
	*qp = (struct pinrxe_qp){ .opcodes = PINRXE_RC_OPCODES,
				  .coalesce = 2,
				  .max_sge = 3,
				  .max_inline = 48,
				  .ud = type == IBV_QPT_UD };
	qp->simple = qp->ud ? 0 : PINRXE_SIMPLE_OPCODES;
	qp->rq.max_sge = 3;
	qp->vqp.qp.context = &context.vctx.context;
	qp->vqp.qp.state = IBV_QPS_RTS;
	make_ring(&qp->sq, 8);
	make_ring(&qp->rq.ring, 7);
}

static void free_qp(struct pinrxe_qp *qp)
{
	free_ring(&qp->sq);
	free_ring(&qp->rq.ring);
}

/* --- unfair */

static uint32_t any(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	switch (state >> 60) {
	case 0:
		return 0;
	case 1:
		return UINT32_MAX;
	case 2:
	case 3:
		return (state >> 20) % 64;
	default:
		return state >> 20;
	}
}

static void corrupt(struct pinrxe_ring *ring)
{
	ring->buf->producer_index = any();
	ring->buf->consumer_index = any();
	ring->buf->index_mask = any();
	ring->buf->log2_elem_size = any();
	ring->slots[any() % (SIZE - sizeof(struct rxe_queue_buf))] = any();
}

static void hostile_geometry(void)
{
	/* what pinrxe_ring_map() accepts must be a ring that lies in its mapping */
	char name[] = "/tmp/ring.XXXXXX";
	int fd = mkstemp(name), accepted = 0;
	struct mminfo info = { .size = SIZE };
	struct rxe_queue_buf *buf;
	struct pinrxe_ring ring;

	CHECK(fd >= 0 && !unlink(name) && !ftruncate(fd, SIZE));
	buf = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (int i = 0; i < 20000; i++) {
		buf->log2_elem_size = i % 2 ? any() : any() % 16;
		buf->index_mask = i % 3 ? any() : (UINT32_C(1) << any() % 12) - 1;
		if (pinrxe_ring_map(&ring, fd, &info, 48))
			continue;
		accepted++;
		CHECK((UINT32_C(1) << ring.shift) >= 48);
		CHECK((uint8_t *)pinrxe_slot(&ring, ring.mask) +
			      (UINT32_C(1) << ring.shift) <=
		      (uint8_t *)ring.buf + SIZE);
		pinrxe_ring_unmap(&ring);
	}
	CHECK(accepted > 100);
	info.size = 100; /* smaller than the header */
	CHECK(pinrxe_ring_map(&ring, fd, &info, 48) == EINVAL);
	munmap(buf, SIZE);
	close(fd);
}

static void hostile_completions(void)
{
	struct pinrxe_cq cq = {};
	struct ibv_wc wc[70];

	make_ring(&cq.ring, 6);
	cq.vcq.cq.context = &context.vctx.context;
	pinrxe_fill_cq_ex(&cq, IBV_WC_STANDARD_FLAGS);
	for (int i = 0; i < 50000; i++) {
		struct ibv_poll_cq_attr attr = {};

		corrupt(&cq.ring);
		CHECK(pinrxe_poll_cq(&cq.vcq.cq, any() % 70, wc) <= 70);
		pinrxe_cq_clean(&cq, any() % 4);
		if (ibv_start_poll(&cq.vcq.cq_ex, &attr))
			continue;
		for (int n = any() % 5; n; n--) {
			corrupt(&cq.ring);
			ibv_wc_read_byte_len(&cq.vcq.cq_ex);
			if (ibv_next_poll(&cq.vcq.cq_ex))
				break;
		}
		ibv_end_poll(&cq.vcq.cq_ex);
		CHECK(cq.ring.own <= cq.ring.mask);
	}
	free_ring(&cq.ring);
}

/*
 * A descriptor of which every write fails with EIO, as of a device that was removed: nothing is mapped
 * at address 0.
 */
static int open_removed(void)
{
	int fd = open("/proc/self/mem", O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0 && write(fd, "", 1) < 0 && errno == EIO);
	return fd;
}

/* Empty polls find out, and go on saying so; completions from before the removal come first. */
static void polling_a_removed_device(void)
{
	int there = context.vctx.context.cmd_fd;
	struct ibv_poll_cq_attr attr = {};
	struct pinrxe_cq cq = {};
	struct ibv_wc wc[2];

	make_ring(&cq.ring, 6);
	cq.vcq.cq.context = &context.vctx.context;
	pinrxe_fill_cq_ex(&cq, IBV_WC_STANDARD_FLAGS);
	for (int i = 0; i < 3 * PINRXE_IDLE_POLLS; i++)
		CHECK(!pinrxe_poll_cq(&cq.vcq.cq, 2, wc));
	context.vctx.context.cmd_fd = open_removed();
	while (!pinrxe_poll_cq(&cq.vcq.cq, 2, wc))
		CHECK(cq.idle_polls < PINRXE_IDLE_POLLS);
	CHECK(pinrxe_poll_cq(&cq.vcq.cq, 2, wc) == -EIO);
	CHECK(ibv_start_poll(&cq.vcq.cq_ex, &attr) == EIO);
	cq.ring.buf->producer_index = 1;
	CHECK(pinrxe_poll_cq(&cq.vcq.cq, 2, wc) == 1);
	CHECK(pinrxe_poll_cq(&cq.vcq.cq, 2, wc) == -EIO);
	close(context.vctx.context.cmd_fd);
	context.vctx.context.cmd_fd = there;
	CHECK(ibv_start_poll(&cq.vcq.cq_ex, &attr) == ENOENT);
	free_ring(&cq.ring);
}

/* One request of a batch, by any call and with any data; the buffers that are read are there. */
static void any_request(struct ibv_qp_ex *ex, char *data)
{
	struct ibv_data_buf bufs[5];
	struct ibv_sge list[5];

	switch (any() % 6) {
	case 0:
		ibv_wr_rdma_write(ex, any(), any());
		break;
	case 1:
		ibv_wr_rdma_write_imm(ex, any(), any(), any());
		break;
	case 2:
		ibv_wr_rdma_read(ex, any(), any());
		break;
	case 3:
		ibv_wr_atomic_cmp_swp(ex, any(), any(), any(), any());
		break;
	case 4:
		ibv_wr_send_inv(ex, any());
		break;
	default:
		pinrxedv_wr_flush(ex, any(), any(), any(), any(), any());
		return;
	}
	for (int i = 0; i < 5; i++) {
		bufs[i] = (struct ibv_data_buf){ data, any() % 64 };
		list[i] = (struct ibv_sge){ any(), any(), any() };
	}
	switch (any() % 4) {
	case 0:
		ibv_wr_set_sge(ex, any(), any(), any());
		break;
	case 1:
		ibv_wr_set_sge_list(ex, any() % 6, list);
		break;
	case 2:
		ibv_wr_set_inline_data(ex, data, any() % 64);
		break;
	default:
		ibv_wr_set_inline_data_list(ex, any() % 6, bufs);
	}
}

static void hostile_receives(void)
{
	struct ibv_sge sge[4] = {};
	struct ibv_recv_wr recv = { .sg_list = sge }, *bad;
	struct pinrxe_srq srq = { .rq.max_sge = 3 };

	srq.vsrq.srq.context = &context.vctx.context;
	make_ring(&srq.rq.ring, 7);
	for (int i = 0; i < 50000; i++) {
		corrupt(&srq.rq.ring);
		recv.num_sge = any();
		for (int j = 0; j < 4; j++)
			sge[j] = (struct ibv_sge){ any(), any(), any() };
		pinrxe_post_srq_recv(&srq.vsrq.srq, &recv, &bad);
		CHECK(srq.rq.ring.own <= srq.rq.ring.mask);
	}
	free_ring(&srq.rq.ring);
}

static void hostile_requests(void)
{
	struct ibv_sge sge[4] = {};
	char data[64] = "";
	struct pinrxe_qp qp;

	make_qp(&qp, IBV_QPT_RC);
	pinrxe_fill_qp_ex(&qp, IBV_QP_EX_WITH_RDMA_WRITE |
				       IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM |
				       IBV_QP_EX_WITH_RDMA_READ |
				       IBV_QP_EX_WITH_SEND_WITH_INV |
				       IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP);
	for (int i = 0; i < 50000; i++) {
		struct ibv_send_wr wr[3], *bad;
		struct ibv_recv_wr recv = { .sg_list = sge, .num_sge = any() }, *bad_recv;

		corrupt(&qp.sq);
		corrupt(&qp.rq.ring);
		for (int j = 0; j < 4; j++)
			sge[j] = (struct ibv_sge){ (uintptr_t)data, any(), any() };
		memset(wr, 0, sizeof(wr));
		for (int j = 0; j < 3; j++) {
			wr[j].sg_list = sge;
			wr[j].num_sge = any();
			wr[j].opcode = any() % 18;
			/* inline data are read: lengths within the buffer, or too long at once */
			wr[j].send_flags = any() & ~IBV_SEND_INLINE;
			if (any() % 4 == 0) {
				wr[j].send_flags |= IBV_SEND_INLINE;
				sge[0].length = any() % 64;
			}
			wr[j].next = j < 2 ? &wr[j + 1] : NULL;
			/* needs an object */
			if (wr[j].opcode == IBV_WR_BIND_MW)
				wr[j].opcode = IBV_WR_SEND;
		}
		if (wr[0].send_flags & IBV_SEND_INLINE)
			sge[1].length = sge[2].length = sge[3].length = UINT32_MAX;
		pinrxe_post_send(&qp.vqp.qp, wr, &bad);
		pinrxe_post_recv(&qp.vqp.qp, &recv, &bad_recv);
		ibv_wr_start(&qp.vqp.qp_ex);
		for (int n = any() % 80; n; n--)
			any_request(&qp.vqp.qp_ex, data);
		ibv_wr_complete(&qp.vqp.qp_ex);
		CHECK(qp.sq.own <= qp.sq.mask && qp.rq.ring.own <= qp.rq.ring.mask);
	}
	free_qp(&qp);
}

/* --- what an application may leave out */

/* No list, and no data: neither an address is looked at. */
static void nothing_to_post(void)
{
	struct ibv_sge none = {};
	struct ibv_send_wr wr = { .sg_list = &none,
				  .num_sge = 1,
				  .opcode = IBV_WR_SEND,
				  .send_flags = IBV_SEND_INLINE };
	struct ibv_send_wr *bad;
	struct ibv_recv_wr *bad_recv;
	struct pinrxe_qp qp;

	make_qp(&qp, IBV_QPT_RC);
	pinrxe_fill_qp_ex(&qp, IBV_QP_EX_WITH_SEND);
	CHECK(!pinrxe_post_send(&qp.vqp.qp, NULL, &bad));
	CHECK(!pinrxe_post_recv(&qp.vqp.qp, NULL, &bad_recv));
	CHECK(!qp.sq.own && !qp.rq.ring.own);
	CHECK(!pinrxe_post_send(&qp.vqp.qp, &wr, &bad));
	ibv_wr_start(&qp.vqp.qp_ex);
	ibv_wr_send(&qp.vqp.qp_ex);
	ibv_wr_set_inline_data(&qp.vqp.qp_ex, NULL, 0);
	CHECK(!ibv_wr_complete(&qp.vqp.qp_ex));
	CHECK(qp.sq.own == 2);
	free_qp(&qp);
}

/* A descriptor that only names a file is refused as such, not for want of a lease. */
static void lease_needs_an_open_file(void)
{
	struct verbs_device device = { .ops = &pinrxe_device_ops };
	struct ibv_pd pd = { .context = &context.vctx.context };
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	context.vctx.context.device = &device.device;
	/* for the log */
	context.vctx.context.abi_compat = __VERBS_ABI_IS_EXTENDED;
	CHECK(fd >= 0);
	CHECK(!pinrxedv_reg_lease_mr(&pd, fd, 0, 1, 0) && errno == EBADF);
	close(fd);
	context.vctx.context.device = NULL;
	context.vctx.context.abi_compat = NULL;
}

/* --- fair: threads on both sides */

enum {
	TOTAL = 40000
};

struct game {
	struct pinrxe_cq cq;
	struct pinrxe_qp qp;
	atomic_uint taken;
	atomic_bool seen[TOTAL];
};

/* The kernel's side of a CQ, as it is written there: smp_load_acquire, smp_store_release. */
static void *complete(void *arg)
{
	struct game *g = arg;
	struct pinrxe_ring *ring = &g->cq.ring;
	uint32_t producer = 0, next;

	for (uint32_t i = 0; i < TOTAL; i++) {
		struct ib_uverbs_wc *wc =
			(void *)(ring->slots + ((size_t)producer << ring->shift));

		next = (producer + 1) & ring->mask;
		while (next ==
		       __atomic_load_n(&ring->buf->consumer_index, __ATOMIC_ACQUIRE))
			sched_yield();
		wc->wr_id = i;
		wc->byte_len = ~i;
		producer = next;
		__atomic_store_n(&ring->buf->producer_index, producer, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void take(struct game *g, uint64_t wr_id, uint32_t byte_len)
{
	CHECK(wr_id < TOTAL && byte_len == ~(uint32_t)wr_id);
	CHECK(!atomic_exchange(&g->seen[wr_id], true));
	g->taken++;
}

static void *poll_plain(void *arg)
{
	struct game *g = arg;
	struct ibv_wc wc[7];
	int n;

	while (g->taken < TOTAL) {
		n = pinrxe_poll_cq(&g->cq.vcq.cq, 7, wc);
		for (int i = 0; i < n; i++)
			take(g, wc[i].wr_id, wc[i].byte_len);
	}
	return NULL;
}

static void *poll_extended(void *arg)
{
	struct game *g = arg;
	struct ibv_cq_ex *cq = &g->cq.vcq.cq_ex;
	struct ibv_poll_cq_attr attr = {};

	while (g->taken < TOTAL) {
		if (ibv_start_poll(cq, &attr))
			continue;
		do
			take(g, cq->wr_id, ibv_wc_read_byte_len(cq));
		while (!ibv_next_poll(cq));
		ibv_end_poll(cq);
	}
	return NULL;
}

static void completions_between_threads(void)
{
	static struct game g;
	pthread_t threads[4];

	make_ring(&g.cq.ring, 6);
	g.cq.vcq.cq.context = &context.vctx.context;
	pinrxe_fill_cq_ex(&g.cq, IBV_WC_STANDARD_FLAGS);
	CHECK(!pthread_create(&threads[0], NULL, complete, &g));
	CHECK(!pthread_create(&threads[1], NULL, poll_plain, &g));
	CHECK(!pthread_create(&threads[2], NULL, poll_plain, &g));
	CHECK(!pthread_create(&threads[3], NULL, poll_extended, &g));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(g.taken == TOTAL);
	free_ring(&g.cq.ring);
}

static void *post(void *arg)
{
	struct game *g = arg;
	struct ibv_sge sge = { .length = 8 };
	struct ibv_send_wr wr = { .sg_list = &sge,
				  .num_sge = 1,
				  .opcode = IBV_WR_RDMA_WRITE };
	struct ibv_send_wr *bad;

	for (int i = 0; i < TOTAL / 4;) {
		sge.addr = i;
		wr.wr_id = ~(uint64_t)i;
		if (!pinrxe_post_send(&g->qp.vqp.qp, &wr, &bad))
			i++;
		else
			sched_yield();
	}
	return NULL;
}

/* By ibv_wr_*, two at a time: all or none of them. */
static void *post_batches(void *arg)
{
	struct game *g = arg;
	struct ibv_qp_ex *ex = &g->qp.vqp.qp_ex;

	for (uint64_t i = 0; i < TOTAL / 4;) {
		ibv_wr_start(ex);
		for (uint64_t j = i; j < i + 2; j++) {
			ex->wr_id = ~j;
			ex->wr_flags = 0;
			ibv_wr_rdma_write(ex, 0, 0);
			ibv_wr_set_sge(ex, 0, j, 8);
		}
		if (!ibv_wr_complete(ex))
			i += 2;
		else
			sched_yield();
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct game *g = arg;
	struct pinrxe_ring *ring = &g->qp.sq;
	uint32_t consumer = 0;

	while (g->taken < 3 * (TOTAL / 4)) {
		struct rxe_send_wqe *wqe =
			(void *)(ring->slots + ((size_t)consumer << ring->shift));

		if (consumer ==
		    __atomic_load_n(&ring->buf->producer_index, __ATOMIC_ACQUIRE)) {
			sched_yield();
			continue;
		}
		CHECK(wqe->wr.wr_id == ~wqe->dma.sge[0].addr && wqe->dma.resid == 8);
		/* as the kernel does with an entry */
		wqe->dma.resid = 0;
		wqe->state = 3;
		g->taken++;
		consumer = (consumer + 1) & ring->mask;
		__atomic_store_n(&ring->buf->consumer_index, consumer, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void requests_between_threads(void)
{
	static struct game g;
	pthread_t threads[4];

	make_qp(&g.qp, IBV_QPT_RC);
	pinrxe_fill_qp_ex(&g.qp, IBV_QP_EX_WITH_RDMA_WRITE);
	CHECK(!pthread_create(&threads[0], NULL, consume, &g));
	CHECK(!pthread_create(&threads[1], NULL, post, &g));
	CHECK(!pthread_create(&threads[2], NULL, post, &g));
	CHECK(!pthread_create(&threads[3], NULL, post_batches, &g));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(g.taken == 3 * (TOTAL / 4));
	free_qp(&g.qp);
}

/* --- a QP that the kernel moves to the error state */

struct failing {
	struct pinrxe_cq cq;
	struct pinrxe_qp qp;
	pthread_mutex_t kernel;
	uint32_t consumer;
	bool in_error;
	atomic_uint posted;
	bool extended;
};

enum {
	CHAIN = 6,
	RECEIVES = 24, /* of each poster: together they fit the ring */
	FAILURES = 200
};

static void empty_receives(struct failing *k)
{
	struct pinrxe_ring *ring = &k->qp.rq.ring;

	k->consumer = __atomic_load_n(&ring->buf->producer_index, __ATOMIC_ACQUIRE);
	__atomic_store_n(&ring->buf->consumer_index, k->consumer, __ATOMIC_RELEASE);
}

/* The kernel's answers, in the place of those of libibverbs. */
int ibv_cmd_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask,
		     struct ibv_qp_init_attr *init, struct ibv_query_qp *cmd, size_t size)
{
	struct failing *k = container_of(qp, struct failing, qp.vqp.qp);

	(void)mask;
	(void)init;
	(void)cmd;
	(void)size;
	pthread_mutex_lock(&k->kernel);
	attr->qp_state = k->in_error ? IBV_QPS_ERR : IBV_QPS_RTS;
	pthread_mutex_unlock(&k->kernel);
	return 0;
}

int ibv_cmd_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask,
		      struct ibv_modify_qp *cmd, size_t size)
{
	struct failing *k = container_of(qp, struct failing, qp.vqp.qp);

	(void)cmd;
	(void)size;
	CHECK(mask == IBV_QP_STATE && attr->qp_state == IBV_QPS_ERR);
	pthread_mutex_lock(&k->kernel);
	/* nobody may do that to a QP that works */
	CHECK(k->in_error);
	empty_receives(k);
	pthread_mutex_unlock(&k->kernel);
	return 0;
}

/* The ring is emptied, then there is a completion with an error. */
static void *fail(void *arg)
{
	struct failing *k = arg;
	struct pinrxe_ring *ring = &k->cq.ring;
	struct ib_uverbs_wc *wc = pinrxe_slot(ring, 0);

	while (k->posted < RECEIVES / 2)
		sched_yield();
	pthread_mutex_lock(&k->kernel);
	k->in_error = true;
	empty_receives(k);
	pthread_mutex_unlock(&k->kernel);
	wc->status = IBV_WC_REM_ACCESS_ERR;
	wc->qp_num = k->qp.vqp.qp.qp_num;
	__atomic_store_n(&ring->buf->producer_index, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *poll_for_failure(void *arg)
{
	struct failing *k = arg;
	struct ibv_cq_ex *cq = &k->cq.vcq.cq_ex;
	struct ibv_poll_cq_attr attr = {};
	struct ibv_wc wc[3];

	if (!k->extended) {
		while (!pinrxe_poll_cq(&k->cq.vcq.cq, 3, wc))
			sched_yield();
		return NULL;
	}
	while (ibv_start_poll(cq, &attr))
		sched_yield();
	ibv_end_poll(cq);
	return NULL;
}

static void *post_receives(void *arg)
{
	struct failing *k = arg;
	struct ibv_recv_wr wr[CHAIN] = {}, *bad;

	/* a list takes longer from the look at the state to the ring */
	for (int i = 0; i < CHAIN - 1; i++)
		wr[i].next = &wr[i + 1];
	for (int i = 0; i < RECEIVES; i += CHAIN) {
		CHECK(!pinrxe_post_recv(&k->qp.vqp.qp, wr, &bad));
		k->posted += CHAIN;
	}
	return NULL;
}

static void make_failing(struct failing *k, bool extended)
{
	*k = (struct failing){ .kernel = PTHREAD_MUTEX_INITIALIZER,
			       .extended = extended };
	make_ring(&k->cq.ring, 6);
	k->cq.vcq.cq.context = &context.vctx.context;
	pinrxe_fill_cq_ex(&k->cq, IBV_WC_STANDARD_FLAGS);
	make_qp(&k->qp, IBV_QPT_RC);
	pthread_mutex_init(&k->qp.state_lock, NULL);
	k->qp.vqp.qp.qp_num = 7;
	pinrxe_qp_enter(&k->qp);
}

static void free_failing(struct failing *k)
{
	pinrxe_qp_leave(&k->qp);
	free_qp(&k->qp);
	free_ring(&k->cq.ring);
}

/* Whoever was first in each of the places where they meet: no receive is left in the ring. */
static void receives_of_a_failed_qp(void)
{
	static struct failing k;
	pthread_t threads[4];

	for (int i = 0; i < FAILURES; i++) {
		make_failing(&k, i % 2);
		CHECK(!pthread_create(&threads[0], NULL, fail, &k));
		CHECK(!pthread_create(&threads[1], NULL, poll_for_failure, &k));
		CHECK(!pthread_create(&threads[2], NULL, post_receives, &k));
		CHECK(!pthread_create(&threads[3], NULL, post_receives, &k));
		for (int n = 0; n < 4; n++)
			pthread_join(threads[n], NULL);
		CHECK(k.consumer == 2 * RECEIVES);
		free_failing(&k);
	}
}

/* This thread has seen that the QP is well when the other finds that it is not. */
static void receive_posted_meanwhile(void)
{
	static struct failing k;
	pthread_t thread;

	make_failing(&k, false);
	k.posted = RECEIVES;
	pinrxe_lock(&k.qp.rq.lock);
	CHECK(k.qp.rq_state == PINRXE_RQ_READY);
	fail(&k);
	CHECK(!pthread_create(&thread, NULL, poll_for_failure, &k));
	while (k.qp.rq_state == PINRXE_RQ_READY)
		sched_yield();
	/* who does not wait now has told the kernel by then */
	for (int i = 0; i < 1000; i++)
		sched_yield();
	pinrxe_publish(&k.qp.rq.ring, 1);
	pinrxe_unlock(&k.qp.rq.lock);
	pthread_join(thread, NULL);
	CHECK(k.consumer == 1);
	free_failing(&k);
}

int main(int argc, char **argv)
{
	bool threads = argc > 1 && !strcmp(argv[1], "threads");

	/* doorbells */
	context.vctx.context.cmd_fd = open("/dev/null", O_WRONLY);
	if (threads) {
		completions_between_threads();
		requests_between_threads();
		receives_of_a_failed_qp();
		receive_posted_meanwhile();
		return 0;
	}
	hostile_geometry();
	hostile_completions();
	polling_a_removed_device();
	hostile_requests();
	hostile_receives();
	nothing_to_post();
	lease_needs_an_open_file();
	return 0;
}
