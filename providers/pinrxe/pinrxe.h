/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PINRXE_H
#define PINRXE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <infiniband/driver.h>
#include <util/compiler.h>

#include "lock.h"
#include "ring.h"

struct retired;

struct pinrxe_device {
	struct verbs_device vdev;
};

/* More than a ring holds: every request gets its doorbell. */
#define PINRXE_ALL_DOORBELLS UINT32_MAX

enum {
	PINRXE_QP_BUCKETS = 64
};

struct pinrxe_context {
	struct verbs_context vctx;
	uint32_t coalesce; /* for its QPs, see below */
	pthread_mutex_t qps_lock;
	struct pinrxe_qp *qps[PINRXE_QP_BUCKETS]; /* by number */
};

struct pinrxe_td {
	struct ibv_td td;
	atomic_uint users;
};

/* A protection domain, or a parent domain on top of one. */
struct pinrxe_pd {
	struct ibv_pd pd;
	atomic_uint users;           /* parent domains on this one */
	struct pinrxe_pd *contained; /* parent domain only */
	struct pinrxe_td *td;        /* parent domain only, may be NULL */
};

struct pinrxe_ah {
	struct ibv_ah ah;
	uint32_t ah_num;
};

struct pinrxe_cq {
	struct verbs_cq vcq;
	struct pinrxe_ring ring;
	struct pinrxe_lock lock;
	const struct ib_uverbs_wc *current; /* between start_poll and end_poll */
	struct retired *retired;
	uint32_t idle_polls; /* since pinrxe_cq_look() was called */
};

struct pinrxe_rq {
	struct pinrxe_ring ring;
	struct pinrxe_lock lock;
	uint32_t max_sge;
};

struct pinrxe_srq {
	struct verbs_srq vsrq;
	struct pinrxe_rq rq;
};

/* What uverbs is written to tell the kernel of new work requests. */
struct pinrxe_doorbell {
	struct ib_uverbs_cmd_hdr hdr;
	struct ib_uverbs_post_send cmd;
};

/* What a receive that is posted to a QP has to expect, see qp_error.c. */
enum pinrxe_rq_state {
	PINRXE_RQ_READY,
	PINRXE_RQ_NONE, /* the QP receives from an SRQ */
	PINRXE_RQ_RESET,
	PINRXE_RQ_ERROR,
};

struct pinrxe_qp {
	struct verbs_qp vqp;
	uint64_t
		layout_room[4]; /* libibverbs may take verbs_qp for larger, see qp_ex.c */
	struct pinrxe_ring sq;
	struct pinrxe_lock sq_lock;
	uint32_t opcodes; /* bit per enum ibv_wr_opcode that the QP's type allows */
	uint32_t simple;  /* those of them that send.c fills on its fast path */
	uint32_t max_sge;
	uint32_t max_inline;
	uint32_t coalesce; /* see pinrxe_publish_send(); changed under sq_lock */
	bool ud;

	/* ibv_wr_*: between wr_start and wr_complete, under sq_lock */
	struct rxe_send_wqe *wqe; /* the one that setters add to */
	uint32_t building;        /* index of the next one */
	int wr_err;

	struct pinrxe_doorbell doorbell;
	struct ib_uverbs_post_send_resp doorbell_resp;
	struct pinrxe_rq rq;
	_Atomic enum pinrxe_rq_state rq_state;
	pthread_mutex_t state_lock; /* for changes of rq_state, see qp_error.c */
	struct pinrxe_qp *next;     /* in the bucket of its context */
};

#define PINRXE_CAST(type, member, from)                                           \
	static inline struct pinrxe_##type *to_##type(const struct ibv_##type *p) \
	{                                                                         \
		return container_of(p, struct pinrxe_##type, member);             \
	}

PINRXE_CAST(context, vctx.context, ibv_context)
PINRXE_CAST(td, td, ibv_td)
PINRXE_CAST(pd, pd, ibv_pd)
PINRXE_CAST(ah, ah, ibv_ah)
PINRXE_CAST(cq, vcq.cq, ibv_cq)
PINRXE_CAST(srq, vsrq.srq, ibv_srq)
PINRXE_CAST(qp, vqp.qp, ibv_qp)

static inline struct pinrxe_cq *cq_ex_to_cq(const struct ibv_cq_ex *cq)
{
	return container_of(cq, struct pinrxe_cq, vcq.cq_ex);
}

static inline struct pinrxe_qp *qp_ex_to_qp(const struct ibv_qp_ex *qp)
{
	return container_of(qp, struct pinrxe_qp, vqp.qp_ex);
}

#define pinrxe_err(context, ...)  verbs_err(verbs_get_ctx(context), __VA_ARGS__)
#define pinrxe_warn(context, ...) verbs_warn(verbs_get_ctx(context), __VA_ARGS__)
#define pinrxe_info(context, ...) verbs_info(verbs_get_ctx(context), __VA_ARGS__)

/*
 * Verbs give an invalidation another bit than the kernel, whose bit rxe writes to completions. In verbs that one is
 * for checksums, of which rxe knows nothing.
 */
enum {
	PINRXE_KERNEL_WITH_INV = 1 << 2
};

static inline unsigned int pinrxe_wc_flags(unsigned int flags)
{
	if (flags & PINRXE_KERNEL_WITH_INV)
		flags ^= PINRXE_KERNEL_WITH_INV | IBV_WC_WITH_INV;
	return flags;
}

/* the functions of pinrxe call each other directly, whatever the build's flags are */
#pragma GCC visibility push(hidden)

extern const struct verbs_device_ops pinrxe_device_ops;

/* pd.c */
struct ibv_pd *pinrxe_alloc_pd(struct ibv_context *context);
int pinrxe_dealloc_pd(struct ibv_pd *pd);
struct ibv_pd *pinrxe_alloc_parent_domain(struct ibv_context *context,
					  struct ibv_parent_domain_init_attr *attr);
struct ibv_td *pinrxe_alloc_td(struct ibv_context *context,
			       struct ibv_td_init_attr *attr);
int pinrxe_dealloc_td(struct ibv_td *td);
struct ibv_ah *pinrxe_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr);
int pinrxe_destroy_ah(struct ibv_ah *ah);

/* Objects of a parent domain with a thread domain are used by one thread at a time. */
static inline bool pinrxe_single_threaded(const struct ibv_pd *pd)
{
	return to_pd(pd)->td != NULL;
}

/* mr.c */
struct ibv_mr *pinrxe_reg_mr(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
			     int access);
int pinrxe_rereg_mr(struct verbs_mr *vmr, int flags, struct ibv_pd *pd, void *addr,
		    size_t length, int access);
int pinrxe_dereg_mr(struct verbs_mr *vmr);
void pinrxe_mr_own_mapping(struct ibv_mr *mr, void *map, size_t length);
struct ibv_mw *pinrxe_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type);
int pinrxe_dealloc_mw(struct ibv_mw *mw);
int pinrxe_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw, struct ibv_mw_bind *bind);

/* cq.c */
struct ibv_cq *pinrxe_create_cq(struct ibv_context *context, int cqe,
				struct ibv_comp_channel *channel, int vector);
struct ibv_cq_ex *pinrxe_create_cq_ex(struct ibv_context *context,
				      struct ibv_cq_init_attr_ex *attr);
int pinrxe_resize_cq(struct ibv_cq *cq, int cqe);
int pinrxe_destroy_cq(struct ibv_cq *cq);
int pinrxe_poll_cq(struct ibv_cq *cq, int n, struct ibv_wc *wc);
void pinrxe_cq_clean(struct pinrxe_cq *cq, uint32_t qp_num);

/* cq_ex.c */
void pinrxe_fill_cq_ex(struct pinrxe_cq *cq, uint64_t wc_flags);

static inline size_t pinrxe_recv_slot_size(uint32_t max_sge)
{
	return sizeof(struct rxe_recv_wqe) + (size_t)max_sge * sizeof(struct rxe_sge);
}

/* srq.c */
struct ibv_srq *pinrxe_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr);
struct ibv_srq *pinrxe_create_srq_ex(struct ibv_context *context,
				     struct ibv_srq_init_attr_ex *attr);
int pinrxe_modify_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr, int mask);
int pinrxe_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr);
int pinrxe_destroy_srq(struct ibv_srq *srq);
int pinrxe_get_srq_num(struct ibv_srq *srq, uint32_t *num);

/* recv.c */
int pinrxe_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
int pinrxe_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr,
			 struct ibv_recv_wr **bad);

/* qp.c */
struct ibv_qp *pinrxe_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr);
struct ibv_qp *pinrxe_create_qp_ex(struct ibv_context *context,
				   struct ibv_qp_init_attr_ex *attr);
int pinrxe_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask);
int pinrxe_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask,
		    struct ibv_qp_init_attr *init);
int pinrxe_ask_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask,
		  struct ibv_qp_init_attr *init);
int pinrxe_destroy_qp(struct ibv_qp *qp);
int pinrxe_ring_doorbell(struct pinrxe_qp *qp);

/* qp_error.c */
void pinrxe_qp_enter(struct pinrxe_qp *qp);
void pinrxe_qp_leave(struct pinrxe_qp *qp);
void pinrxe_qp_look(struct pinrxe_qp *qp);
void pinrxe_qp_failed(struct ibv_context *context, uint32_t qp_num);
void pinrxe_qp_flush(struct pinrxe_qp *qp);
enum pinrxe_rq_state pinrxe_qp_change(struct pinrxe_qp *qp, enum ibv_qp_state to);
void pinrxe_qp_changed(struct pinrxe_qp *qp, enum pinrxe_rq_state from,
		       enum ibv_qp_state to, bool done);

/* send.c */
int pinrxe_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);

/* qp_ex.c */
bool pinrxe_qp_ex_possible(uint32_t opcodes, uint64_t send_ops);
void pinrxe_fill_qp_ex(struct pinrxe_qp *qp, uint64_t send_ops);

#pragma GCC visibility pop

#endif
