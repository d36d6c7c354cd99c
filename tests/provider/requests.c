// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What requests of each kind carry: the bytes, from and to several places, for RC, UC and UD, by
 * ibv_post_send() and by all of ibv_wr_*. Runs in a guest, with the provider that IBV_DRIVERS names.
 */
#include <errno.h>
#include <string.h>
#include "fabric.h"

enum {
	FROM = 0,   /* what is sent */
	TO = 65536, /* where it lands */
	GRH = 40,   /* that UD puts before a message */
	ROUNDS = 20 /* more than a ring has room for */
};

static const char words[] = "the quick brown fox jumps over the lazy dog";

enum {
	LENGTH = sizeof(words)
};

static struct ibv_sge part(struct fabric *f, size_t at, uint32_t length)
{
	return (struct ibv_sge){ (uintptr_t)f->memory + at, length, f->mr->lkey };
}

/* The words in two places, so that only a gather of both is right. */
static void split_words(struct fabric *f, struct ibv_sge parts[2], char mark)
{
	memset(f->memory + FROM, '#', 8192);
	memset(f->memory + TO, '.', 8192);
	memcpy(f->memory + FROM, words, LENGTH);
	f->memory[FROM] = mark;
	memmove(f->memory + FROM + 4096, f->memory + FROM + 10, LENGTH - 10);
	memset(f->memory + FROM + 10, '#', LENGTH - 10);
	parts[0] = part(f, FROM, 10);
	parts[1] = part(f, FROM + 4096, LENGTH - 10);
}

static void expect_words(struct fabric *f, size_t at, char mark)
{
	CHECK_INT(f->memory[at], mark);
	CHECK(!memcmp(f->memory + at + 1, words + 1, LENGTH - 1));
	CHECK_INT(f->memory[at + LENGTH], '.');
}

/* Two parts for what comes, the second in another page: the words are put together there again. */
static void receive_in_two(struct fabric *f, struct end *end, uint32_t before)
{
	struct ibv_sge parts[2] = { part(f, TO, before + 7), part(f, TO + 4096, 1000) };
	struct ibv_recv_wr recv = { .wr_id = 2, .sg_list = parts, .num_sge = 2 }, *bad;

	CHECK_INT(ibv_post_recv(end->qp, &recv, &bad), 0);
}

static void expect_in_two(struct fabric *f, struct end *end, uint32_t before, char mark)
{
	struct ibv_wc wc = take_wc(end->cq);

	CHECK_INT(wc.wr_id, 2);
	CHECK_INT(wc.status, IBV_WC_SUCCESS);
	CHECK_INT(wc.byte_len, before + LENGTH);
	CHECK_INT(f->memory[TO + before + 7], '.');
	memcpy(f->memory + TO + before + 7, f->memory + TO + 4096, LENGTH - 7);
	expect_words(f, TO + before, mark);
}

static void messages(struct fabric *f, enum ibv_qp_type type)
{
	uint32_t before = type == IBV_QPT_UD ? GRH : 0;
	struct ibv_ah_attr to = {
		.is_global = 1,
		.port_num = 1,
		.grh = { .dgid = f->gid, .sgid_index = f->gid_index, .hop_limit = 1 }
	};
	struct ibv_ah *ah = ibv_create_ah(f->pd, &to);
	struct ibv_sge parts[2];
	struct ibv_send_wr wr = { .wr_id = 1,
				  .sg_list = parts,
				  .num_sge = 2,
				  .opcode = IBV_WR_SEND,
				  .send_flags = IBV_SEND_SIGNALED },
			   *bad;
	struct pair p;

	CHECK(ah != NULL);
	make_pair(f, &p, type, small_cap, 0);
	if (type == IBV_QPT_UD) {
		wr.wr.ud.ah = ah;
		wr.wr.ud.remote_qpn = p.b.qp->qp_num;
	}
	for (int i = 0; i < ROUNDS; i++) {
		split_words(f, parts, (char)('A' + i));
		wr.send_flags ^= i % 2 * IBV_SEND_INLINE;
		receive_in_two(f, &p.b, before);
		CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		expect_wc(p.a.cq, 1, IBV_WC_SUCCESS);
		expect_in_two(f, &p.b, before, (char)('A' + i));
	}
	break_pair(&p);
	CHECK_INT(ibv_destroy_ah(ah), 0);
}

static void messages_rc(struct fabric *f)
{
	messages(f, IBV_QPT_RC);
}

static void messages_uc(struct fabric *f)
{
	messages(f, IBV_QPT_UC);
}

static void messages_ud(struct fabric *f)
{
	messages(f, IBV_QPT_UD);
}

static void writes(struct fabric *f, enum ibv_qp_type type)
{
	struct ibv_sge parts[2];
	struct ibv_send_wr wr = { .wr_id = 1,
				  .sg_list = parts,
				  .num_sge = 2,
				  .opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
				  .send_flags = IBV_SEND_SIGNALED,
				  .wr.rdma = { (uintptr_t)f->memory + TO, f->mr->rkey } },
			   *bad;
	struct ibv_recv_wr recv = { .wr_id = 2 }, *bad_recv;
	struct ibv_wc wc;
	struct pair p;

	make_pair(f, &p, type, small_cap, 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		split_words(f, parts, (char)('A' + i));
		wr.send_flags ^= i % 2 * IBV_SEND_INLINE;
		wr.imm_data = htobe32(i);
		CHECK_INT(ibv_post_recv(p.b.qp, &recv, &bad_recv), 0);
		CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
		expect_wc(p.a.cq, 1, IBV_WC_SUCCESS);
		wc = take_wc(p.b.cq);
		CHECK_INT(wc.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
		CHECK_INT(be32toh(wc.imm_data), i);
		expect_words(f, TO, (char)('A' + i));
	}
	break_pair(&p);
}

static void writes_rc(struct fabric *f)
{
	writes(f, IBV_QPT_RC);
}

static void writes_uc(struct fabric *f)
{
	writes(f, IBV_QPT_UC);
}

static void reads_to_two_places(struct fabric *f)
{
	struct ibv_sge parts[2] = { part(f, TO, 7), part(f, TO + 7, LENGTH - 7) };
	struct ibv_send_wr wr = { .wr_id = 1,
				  .sg_list = parts,
				  .num_sge = 2,
				  .opcode = IBV_WR_RDMA_READ,
				  .send_flags = IBV_SEND_SIGNALED,
				  .wr.rdma = { (uintptr_t)f->memory + FROM,
					       f->mr->rkey } },
			   *bad;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap, 0);
	memset(f->memory + TO, '.', 8192);
	memcpy(f->memory + FROM, words, LENGTH);
	CHECK_INT(ibv_post_send(p.a.qp, &wr, &bad), 0);
	expect_wc(p.a.cq, 1, IBV_WC_SUCCESS);
	expect_words(f, TO, words[0]);
	break_pair(&p);
}

/* --- ibv_wr_*: how a request gets its data */

enum setter {
	SGE_LIST,
	INLINE_DATA,
	INLINE_DATA_LIST,
	SETTERS
};

static void set_data(struct ibv_qp_ex *ex, enum setter setter, struct ibv_sge parts[2])
{
	struct ibv_data_buf bufs[2] = {
		{ (void *)(uintptr_t)parts[0].addr, parts[0].length },
		{ (void *)(uintptr_t)parts[1].addr, parts[1].length }
	};
	char all[LENGTH];

	switch (setter) {
	case SGE_LIST:
		ibv_wr_set_sge_list(ex, 2, parts);
		break;
	case INLINE_DATA:
		memcpy(all, bufs[0].addr, bufs[0].length);
		memcpy(all + bufs[0].length, bufs[1].addr, bufs[1].length);
		ibv_wr_set_inline_data(ex, all, LENGTH);
		/* the data are the request's now */
		memset(all, 0, sizeof(all));
		break;
	case INLINE_DATA_LIST:
		ibv_wr_set_inline_data_list(ex, 2, bufs);
		break;
	default:
		CHECK(setter < SETTERS);
	}
}

static void setters(struct fabric *f)
{
	struct ibv_sge parts[2];
	struct ibv_qp_ex *ex;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, small_cap,
		  IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_RDMA_WRITE);
	ex = ibv_qp_to_qp_ex(p.a.qp);
	CHECK(ex != NULL);
	for (int i = 0; i < 2 * ROUNDS; i++) {
		enum setter setter = i / 2 % SETTERS;
		char mark = (char)('A' + i);

		split_words(f, parts, mark);
		if (i % 2)
			receive_in_two(f, &p.b, 0);
		ibv_wr_start(ex);
		ex->wr_id = 1;
		ex->wr_flags = IBV_SEND_SIGNALED;
		if (i % 2)
			ibv_wr_send(ex);
		else
			ibv_wr_rdma_write(ex, f->mr->rkey, (uintptr_t)f->memory + TO);
		set_data(ex, setter, parts);
		CHECK_INT(ibv_wr_complete(ex), 0);
		expect_wc(p.a.cq, 1, IBV_WC_SUCCESS);
		if (i % 2)
			expect_in_two(f, &p.b, 0, mark);
		else
			expect_words(f, TO, mark);
	}
	break_pair(&p);
}

/* Each word of a batch is a request of its own, in the order of the calls. */
static void batch_of_all_kinds(struct fabric *f)
{
	uint64_t *counter = (uint64_t *)(f->memory + TO + 4096);
	uint64_t *old = (uint64_t *)(f->memory + FROM + 4096);
	struct ibv_sge sge = part(f, FROM, LENGTH);
	struct ibv_recv_wr recv = { .wr_id = 2 }, *bad;
	struct ibv_qp_cap cap = small_cap;
	struct ibv_qp_ex *ex;
	struct ibv_wc wc;
	struct pair p;

	make_pair(f, &p, IBV_QPT_RC, cap,
		  IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM |
			  IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
			  IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD);
	ex = ibv_qp_to_qp_ex(p.a.qp);
	CHECK(ex != NULL);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		memset(f->memory + TO, '.', 4096);
		memcpy(f->memory + FROM, words, LENGTH);
		*counter = i;
		CHECK_INT(ibv_post_recv(p.b.qp, &recv, &bad), 0);
		ibv_wr_start(ex);
		ex->wr_flags = 0;
		ibv_wr_rdma_write(ex, f->mr->rkey, (uintptr_t)f->memory + TO);
		ibv_wr_set_sge(ex, sge.lkey, sge.addr, sge.length);
		ibv_wr_rdma_read(ex, f->mr->rkey, (uintptr_t)f->memory + TO);
		ibv_wr_set_sge(ex, sge.lkey, (uintptr_t)f->memory + TO + 1000, LENGTH);
		ibv_wr_atomic_fetch_add(ex, f->mr->rkey, (uintptr_t)counter, 5);
		ibv_wr_set_sge(ex, sge.lkey, (uintptr_t)&old[0], 8);
		ibv_wr_atomic_cmp_swp(ex, f->mr->rkey, (uintptr_t)counter, i + 5, 77);
		ibv_wr_set_sge(ex, sge.lkey, (uintptr_t)&old[1], 8);
		ex->wr_id = 1;
		ex->wr_flags = IBV_SEND_SIGNALED;
		ibv_wr_rdma_write_imm(ex, f->mr->rkey, (uintptr_t)f->memory + TO + 2000,
				      htobe32((uint32_t)i));
		ibv_wr_set_sge(ex, sge.lkey, sge.addr, sge.length);
		CHECK_INT(ibv_wr_complete(ex), 0);
		expect_wc(p.a.cq, 1, IBV_WC_SUCCESS);
		wc = take_wc(p.b.cq);
		CHECK_INT(wc.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
		CHECK_INT(be32toh(wc.imm_data), i);
		expect_words(f, TO, words[0]);
		expect_words(f, TO + 1000, words[0]);
		expect_words(f, TO + 2000, words[0]);
		CHECK_INT(old[0], i);
		CHECK_INT(old[1], i + 5);
		CHECK_INT(*counter, 77);
	}
	break_pair(&p);
}

static void write_through(struct fabric *f, struct ibv_qp_ex *ex, uint32_t rkey,
			  uint64_t wr_id)
{
	ibv_wr_start(ex);
	ex->wr_id = wr_id;
	ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(ex, rkey, (uintptr_t)f->memory + TO);
	ibv_wr_set_sge(ex, f->mr->lkey, (uintptr_t)f->memory + FROM, LENGTH);
	CHECK_INT(ibv_wr_complete(ex), 0);
}

/* A window is opened by its owner's QP, used by the peer, and closed by one of the two. */
static void windows(struct fabric *f, bool by_the_peer)
{
	struct ibv_mr *mr = ibv_reg_mr(f->pd, f->memory + TO, 8192,
				       IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
	struct ibv_mw *mw = ibv_alloc_mw(f->pd, IBV_MW_TYPE_2);
	struct ibv_mw_bind_info bind = { .mr = mr,
					 .addr = (uintptr_t)f->memory + TO,
					 .length = 8192,
					 .mw_access_flags = IBV_ACCESS_REMOTE_WRITE };
	struct ibv_recv_wr recv = { .wr_id = 2 }, *bad;
	struct ibv_qp_ex *peer, *owner;
	struct ibv_wc wc;
	struct pair p;
	uint32_t rkey;

	CHECK(mr && mw);
	make_pair(f, &p, IBV_QPT_RC, small_cap,
		  IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_BIND_MW |
			  IBV_QP_EX_WITH_LOCAL_INV | IBV_QP_EX_WITH_SEND_WITH_INV);
	peer = ibv_qp_to_qp_ex(p.a.qp);
	owner = ibv_qp_to_qp_ex(p.b.qp);
	CHECK(peer && owner);
	memset(f->memory + TO, '.', 8192);
	memcpy(f->memory + FROM, words, LENGTH);
	rkey = ibv_inc_rkey(mw->rkey);
	ibv_wr_start(owner);
	owner->wr_id = 3;
	owner->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_bind_mw(owner, mw, rkey, &bind);
	CHECK_INT(ibv_wr_complete(owner), 0);
	expect_wc(p.b.cq, 3, IBV_WC_SUCCESS);
	write_through(f, peer, rkey, 4);
	expect_wc(p.a.cq, 4, IBV_WC_SUCCESS);
	expect_words(f, TO, words[0]);
	if (by_the_peer) {
		CHECK_INT(ibv_post_recv(p.b.qp, &recv, &bad), 0);
		ibv_wr_start(peer);
		peer->wr_id = 5;
		peer->wr_flags = IBV_SEND_SIGNALED;
		ibv_wr_send_inv(peer, rkey);
		CHECK_INT(ibv_wr_complete(peer), 0);
		expect_wc(p.a.cq, 5, IBV_WC_SUCCESS);
		wc = take_wc(p.b.cq);
		CHECK(wc.wc_flags & IBV_WC_WITH_INV);
		CHECK_INT(wc.invalidated_rkey, rkey);
	} else {
		ibv_wr_start(owner);
		owner->wr_id = 6;
		owner->wr_flags = IBV_SEND_SIGNALED;
		ibv_wr_local_inv(owner, rkey);
		CHECK_INT(ibv_wr_complete(owner), 0);
		expect_wc(p.b.cq, 6, IBV_WC_SUCCESS);
	}
	write_through(f, peer, rkey, 7);
	expect_wc(p.a.cq, 7, IBV_WC_REM_ACCESS_ERR);
	break_pair(&p);
	CHECK_INT(ibv_dealloc_mw(mw), 0);
	CHECK_INT(ibv_dereg_mr(mr), 0);
}

static void window_closed_by_its_owner(struct fabric *f)
{
	windows(f, false);
}

static void window_closed_by_the_peer(struct fabric *f)
{
	windows(f, true);
}

static const struct test tests[] = {
	{ "messages-rc", messages_rc },
	{ "messages-uc", messages_uc },
	{ "messages-ud", messages_ud },
	{ "writes-rc", writes_rc },
	{ "writes-uc", writes_uc },
	{ "reads-to-two-places", reads_to_two_places },
	{ "wr-setters", setters },
	{ "wr-batch-of-all-kinds", batch_of_all_kinds },
	{ "window-closed-by-its-owner", window_closed_by_its_owner },
	{ "window-closed-by-the-peer", window_closed_by_the_peer },
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(*tests), argc, argv);
}
