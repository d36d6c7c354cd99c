/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Two connected ends in one process, and checks that say what failed. */
#ifndef FABRIC_H
#define FABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <infiniband/verbs.h>

struct fabric {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_mr *mr;
	uint8_t *memory;
	union ibv_gid gid;
	int gid_index;
};

struct end {
	struct ibv_qp *qp;
	struct ibv_cq *cq;
	struct ibv_qp_init_attr_ex made; /* as the provider has granted it */
};

struct pair {
	struct end a, b;
};

enum {
	MEMORY = 1 << 20
};

/* A check that does not hold ends the test, not the program. */
#define CHECK(condition)           check_that(condition, __func__, __LINE__, #condition)
#define CHECK_INT(value, expected) check_int(value, expected, __func__, __LINE__, #value)
void check_that(bool holds, const char *function, int line, const char *text);
void check_int(long long value, long long expected, const char *function, int line,
	       const char *text);

struct test {
	const char *name;
	void (*run)(struct fabric *f);
};
int run_tests(const struct test *tests, size_t n, int argc, char **argv);

/*
 * For a child: a check that does not hold ends @run only, and is reported to standard error; false
 * then. It may open a device of its own.
 */
bool run_alone(struct fabric *f, void (*run)(struct fabric *f, int said, int go),
	       int said, int go);
void open_fabric(struct fabric *f);
void close_fabric(struct fabric *f);

extern const struct ibv_qp_cap small_cap;
void make_pair(struct fabric *f, struct pair *pair, enum ibv_qp_type type,
	       struct ibv_qp_cap cap, uint64_t send_ops);
/* An RC pair of which @pair->b receives from a new SRQ for @max_wr requests. */
struct ibv_srq *make_srq_pair(struct fabric *f, struct pair *pair, uint32_t max_wr);
void make_end(struct fabric *f, struct end *end, struct ibv_qp_init_attr_ex attr);
void connect_end(struct fabric *f, struct end *end, uint32_t peer);
void break_pair(struct pair *pair);
void break_end(struct end *end);
void set_state(struct ibv_qp *qp, enum ibv_qp_state state);

struct ibv_send_wr write_wr(struct fabric *f, struct ibv_sge *sge, size_t from, size_t to,
			    uint32_t length);
/* @n of eight bytes, each by a call of its own. */
void post_writes(struct fabric *f, struct end *end, uint64_t first, int n);
/* Until the kernel has drained a send queue, it refuses to go back to RTS. */
void await_drained(struct fabric *f);
/* Waits for one completion. */
struct ibv_wc take_wc(struct ibv_cq *cq);
void expect_wc(struct ibv_cq *cq, uint64_t wr_id, enum ibv_wc_status status);

/* Open descriptors of this process. */
int count_descriptors(void);

#endif
