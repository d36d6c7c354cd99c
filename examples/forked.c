// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * forked: an anonymous memory region and fork().
 *
 * A child gets copies of its parent's pages. Which of the two keeps the pages that the device
 * writes to matters: it must be the parent, or the region would receive what nobody sees.
 * pinv_reg_mr() sees to that, whatever kernel it is. Here a queue pair connected to itself
 * reads and writes while parent and child both change the memory.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pinverbs.h>
#include "show.h"

#define SIZE  8192
#define WRITE (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)

/* The address by which a device reaches itself: one that is not link-local. */
static int find_gid(struct ibv_context *context, union ibv_gid *gid)
{
	int i;

	for (i = 0; !ibv_query_gid(context, 1, i, gid); i++)
		if (gid->raw[0] != 0xfe && (gid->raw[10] || gid->raw[0]))
			return i;
	errx(1, "the device has no address; give its network device one (ip addr)");
}

/* A queue pair whose other end is itself. */
static struct ibv_qp *make_queue_pair(struct ibv_pd *pd, struct ibv_cq *cq)
{
	struct ibv_qp_init_attr init = { .send_cq = cq,
					 .recv_cq = cq,
					 .qp_type = IBV_QPT_RC,
					 .cap = { 1, 1, 1, 1, 0 } };
	struct ibv_qp *qp = ibv_create_qp(pd, &init);
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT,
				    .port_num = 1,
				    .qp_access_flags = IBV_ACCESS_REMOTE_WRITE };
	union ibv_gid gid;

	if (!qp || ibv_modify_qp(qp, &attr,
				 IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
					 IBV_QP_ACCESS_FLAGS))
		err(1, "queue pair");
	attr.qp_state = IBV_QPS_RTR;
	attr.path_mtu = IBV_MTU_1024;
	attr.dest_qp_num = qp->qp_num;
	attr.max_dest_rd_atomic = 1;
	attr.min_rnr_timer = 12;
	attr.ah_attr = (struct ibv_ah_attr){ .is_global = 1, .port_num = 1 };
	attr.ah_attr.grh.sgid_index = find_gid(pd->context, &gid);
	attr.ah_attr.grh.dgid = gid;
	attr.ah_attr.grh.hop_limit = 1;
	if (ibv_modify_qp(qp, &attr,
			  IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				  IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
				  IBV_QP_MIN_RNR_TIMER))
		err(1, "queue pair: ready to receive");
	attr.qp_state = IBV_QPS_RTS;
	attr.timeout = 14;
	attr.retry_cnt = 7;
	attr.rnr_retry = 7;
	attr.max_rd_atomic = 1;
	if (ibv_modify_qp(qp, &attr,
			  IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
				  IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
				  IBV_QP_MAX_QP_RD_ATOMIC))
		err(1, "queue pair: ready to send");
	return qp;
}

/* The device copies the first page of the region to the second. */
static void copy_by_device(struct ibv_qp *qp, const struct ibv_mr *mr)
{
	struct ibv_sge from = { (uintptr_t)mr->addr, SIZE / 2, mr->lkey };
	struct ibv_send_wr *bad, wr = { .sg_list = &from,
					.num_sge = 1,
					.opcode = IBV_WR_RDMA_WRITE,
					.send_flags = IBV_SEND_SIGNALED };
	struct ibv_wc wc;
	int got;

	wr.wr.rdma.remote_addr = (uintptr_t)mr->addr + SIZE / 2;
	wr.wr.rdma.rkey = mr->rkey;
	if (ibv_post_send(qp, &wr, &bad))
		err(1, "post");
	while ((got = ibv_poll_cq(qp->send_cq, 1, &wc)) == 0)
		;
	if (got < 0 || wc.status != IBV_WC_SUCCESS)
		errx(1, "write: %s", got < 0 ? "lost" : ibv_wc_status_str(wc.status));
}

/* The child sees what was there at the fork, whatever it writes itself and the device does. */
static int run_child(char *memory, int go)
{
	char byte;

	strcpy(memory, "child");
	if (read(go, &byte, 1) != 1)
		return 1;
	printf("child:  first page \"%s\", second page \"%s\"\n", memory,
	       memory + SIZE / 2);
	fflush(stdout);
	return strcmp(memory + SIZE / 2, "at the fork") != 0;
}

int main(void)
{
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_pd *pd = pinv_open_pd(NULL);
	struct ibv_cq *cq = pd ? ibv_create_cq(pd->context, 1, NULL, NULL, 0) : NULL;
	struct ibv_qp *qp = cq ? make_queue_pair(pd, cq) : NULL;
	struct pinv_mr *mr;
	int go[2], status;
	pid_t child;

	pinv_set_log(show, NULL);
	if (!pd)
		err(1, "open an RDMA device (see ibv_devices)");
	if (!qp || memory == MAP_FAILED || pipe(go))
		err(1, "set up");
	strcpy(memory + SIZE / 2, "at the fork");
	mr = pinv_reg_mr(pd, memory, SIZE, WRITE);
	if (!mr)
		err(1, "pinv_reg_mr");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child)
		_exit(run_child(memory, go[0]));

	strcpy(memory, "parent");
	copy_by_device(qp, pinv_mr_ibv(mr));
	printf("parent: the device copied \"%s\" to the second page\n",
	       memory + SIZE / 2);
	fflush(stdout);
	if (strcmp(memory + SIZE / 2, "parent"))
		errx(1, "the device wrote to pages that are not the parent's any more");
	if (write(go[1], "x", 1) != 1 || waitpid(child, &status, 0) != child || status)
		errx(1, "the child saw what the device wrote for its parent");
	ibv_destroy_qp(qp);
	errno = pinv_dereg_mr(mr);
	return errno ? 1 : 0;
}
