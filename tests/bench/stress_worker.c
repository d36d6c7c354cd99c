// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What one process of stress does, over and over. */
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

static int me;
static unsigned int rng;

/* A queue pair that is connected to itself reads and writes through the device. */
static struct {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	char *buf;
} rdma;

static unsigned int pick(unsigned int n)
{
	return (unsigned int)rand_r(&rng) % n;
}

static void begin(const char *step, int file)
{
	snprintf(shared->step[me], sizeof(shared->step[me]), "%s, file %d", step, file);
	atomic_fetch_add(&shared->beat[me], 1);
}

/* ---- files ---- */

void file_path(char *path, int file)
{
	snprintf(path, 4096, "%s/stress.%d", dir, file);
}

void tag_page(void *page, int file)
{
	uint64_t *word = page;
	size_t i;

	for (i = 0; i < PAGE / sizeof(*word); i++)
		word[i] = (uint64_t)file + 1;
}

void check_page(const void *page, int file, const char *seen_by)
{
	const uint64_t *word = page;
	size_t i;

	for (i = 0; i < PAGE / sizeof(*word); i++)
		if (word[i] && word[i] != (uint64_t)file + 1)
			die("%s: a page of file %d has the content %#lx", seen_by, file,
			    (unsigned long)word[i]);
}

static int open_file(int file)
{
	char path[4096];
	int fd;

	file_path(path, file);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

static void write_file(int file, int fd, int pages)
{
	char page[PAGE];
	int i;

	tag_page(page, file);
	for (i = 0; i < pages; i++)
		if (pwrite(fd, page, PAGE, pick(PAGES) * PAGE) != (ssize_t)PAGE)
			die("write to file %d: %s", file, strerror(errno));
}

void make_file(int file)
{
	int fd = open_file(file);

	write_file(file, fd, PAGES);
	/* one of the others may have leased and grown it already */
	if (ftruncate(fd, PAGES * PAGE) && errno != ETXTBSY)
		die("ftruncate: %s", strerror(errno));
	close(fd);
}

void check_file(int file)
{
	int fd = open_file(file), i;
	char page[PAGE];

	for (i = 0; i < PAGES; i++) {
		memset(page, 0, PAGE);
		if (pread(fd, page, PAGE, i * PAGE) < 0)
			die("read of file %d: %s", file, strerror(errno));
		check_page(page, file, "read");
	}
	close(fd);
}

/* ---- the device ---- */

static void connect_to_itself(void)
{
	struct ibv_qp_init_attr init = { .send_cq = rdma.cq,
					 .recv_cq = rdma.cq,
					 .qp_type = IBV_QPT_RC,
					 .cap = { 4, 1, 1, 1, 0 } };
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT,
				    .port_num = 1,
				    .qp_access_flags = IBV_ACCESS_REMOTE_READ |
						       IBV_ACCESS_REMOTE_WRITE };
	union ibv_gid gid;
	int index = 1;

	rdma.qp = ibv_create_qp(rdma.pd, &init);
	if (!rdma.qp ||
	    ibv_modify_qp(rdma.qp, &attr,
			  IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				  IBV_QP_ACCESS_FLAGS) ||
	    ibv_query_gid(rdma.context, 1, index, &gid))
		die("no queue pair: %s", strerror(errno));
	attr = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR,
				     .path_mtu = IBV_MTU_1024,
				     .dest_qp_num = rdma.qp->qp_num,
				     .max_dest_rd_atomic = 1,
				     .min_rnr_timer = 12,
				     .ah_attr = { .is_global = 1,
						  .port_num = 1,
						  .grh = { .dgid = gid,
							   .sgid_index = (uint8_t)index,
							   .hop_limit = 1 } } };
	if (ibv_modify_qp(rdma.qp, &attr,
			  IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				  IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
				  IBV_QP_MIN_RNR_TIMER))
		die("queue pair to RTR: %s", strerror(errno));
	attr = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTS,
				     .timeout = 18,
				     .retry_cnt = 7,
				     .rnr_retry = 7,
				     .max_rd_atomic = 1 };
	if (ibv_modify_qp(rdma.qp, &attr,
			  IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
				  IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
				  IBV_QP_MAX_QP_RD_ATOMIC))
		die("queue pair to RTS: %s", strerror(errno));
}

static void open_device(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);

	if (!list || !list[0])
		die("no RDMA device");
	rdma.context = ibv_open_device(list[0]);
	rdma.pd = rdma.context ? ibv_alloc_pd(rdma.context) : NULL;
	rdma.cq = rdma.pd ? ibv_create_cq(rdma.context, 4, NULL, NULL, 0) : NULL;
	rdma.buf = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	rdma.mr = rdma.cq ? ibv_reg_mr(rdma.pd, rdma.buf, PAGE, IBV_ACCESS_LOCAL_WRITE)
			  : NULL;
	if (!rdma.mr)
		die("cannot set up the device: %s", strerror(errno));
	ibv_free_device_list(list);
	connect_to_itself();
}

static void transfer(enum ibv_wr_opcode opcode, const struct ibv_mr *mr, uint64_t addr)
{
	struct ibv_sge sge = { (uintptr_t)rdma.buf, PAGE, rdma.mr->lkey };
	struct ibv_send_wr *bad, wr = { .sg_list = &sge,
					.num_sge = 1,
					.opcode = opcode,
					.send_flags = IBV_SEND_SIGNALED,
					.wr.rdma = { addr, mr->rkey } };
	struct ibv_wc wc;
	int n;

	if (ibv_post_send(rdma.qp, &wr, &bad))
		die("post_send: %s", strerror(errno));
	while ((n = ibv_poll_cq(rdma.cq, 1, &wc)) == 0)
		usleep(200);
	if (n < 0 || wc.status != IBV_WC_SUCCESS)
		die("transfer: %s", ibv_wc_status_str(wc.status));
	count(DID_REMOTE);
}

/* ---- steps ---- */

static void use_region(const struct ibv_mr *mr, int file)
{
	uint64_t addr = (uintptr_t)mr->addr + pick(mr->length / PAGE) * PAGE;

	transfer(IBV_WR_RDMA_READ, mr, addr);
	check_page(rdma.buf, file, "remote read");
	tag_page(rdma.buf, file);
	transfer(IBV_WR_RDMA_WRITE, mr, addr);
}

static void fork_and_die(void)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid)
		for (;;)
			pause();
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid: %s", strerror(errno));
	count(DID_FORK);
}

static void pin_for_a_while(int file)
{
	int fd = open_file(file), rounds = 1 + (int)pick(4), pages = 1 + (int)pick(PAGES);
	struct ibv_mr *mr;
	bool zombie = false;
	char *at;

	begin("lease", file);
	if (fcntl(fd, F_SETLEASE, EXCLUSIVE_LAYOUT))
		die("lease on file %d: %s", file, strerror(errno));
	/* from now on nobody can make it shorter */
	if (lseek(fd, 0, SEEK_END) < (off_t)(PAGES * PAGE) && ftruncate(fd, PAGES * PAGE))
		die("truncate up of file %d: %s", file, strerror(errno));
	at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	begin("register", file);
	mr = ibv_reg_mr(rdma.pd, at, pages * PAGE,
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
				IBV_ACCESS_REMOTE_WRITE);
	if (!mr)
		die("registration of file %d: %s", file, strerror(errno));
	count(DID_PIN);
	while (rounds--) {
		begin("remote access", file);
		use_region(mr, file);
		if (!zombie && !pick(4)) {
			munmap(at, pages * PAGE);
			close(fd);
			zombie = true;
			count(DID_ZOMBIE);
		}
		if (!pick(6))
			fork_and_die();
	}
	if (!zombie && !pick(3)) {
		if (!ftruncate(fd, 0) || (errno != EDEADLK && errno != ETXTBSY))
			die("own truncate of a pinned file: %s", strerror(errno));
		if (errno == EDEADLK)
			count(DID_DEADLK);
	}
	begin("deregister", file);
	if (ibv_dereg_mr(mr))
		die("dereg: %s", strerror(errno));
	if (zombie)
		return;
	munmap(at, pages * PAGE);
	if (pick(2) && fcntl(fd, F_SETLEASE, F_LAYOUT | F_UNLCK))
		die("release: %s", strerror(errno));
	close(fd);
}

static void change_layout(int file)
{
	static const int modes[] = { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE, FALLOC_FL_COLLAPSE_RANGE,
				     FALLOC_FL_INSERT_RANGE };
	int fd = open_file(file), ret;

	begin("layout change", file);
	if (pick(2))
		ret = ftruncate(fd, pick(PAGES) * PAGE);
	else
		ret = fallocate(fd, modes[pick(4)], pick(PAGES / 2) * PAGE,
				PAGE * (1 + pick(4)));
	if (!ret)
		count(DID_CHANGE);
	else if (errno == ETXTBSY)
		count(DID_REFUSED);
	else if (errno != EINVAL && errno != EOPNOTSUPP && errno != EFBIG)
		die("layout change of file %d: %s", file, strerror(errno));
	/* do not let INSERT_RANGE make it ever larger */
	if (lseek(fd, 0, SEEK_END) > (off_t)(4 * PAGES * PAGE))
		(void)!ftruncate(fd, PAGES * PAGE);
	write_file(file, fd, 4);
	close(fd);
}

static void replace_file(int file)
{
	char path[4096];

	begin("unlink", file);
	file_path(path, file);
	if (unlink(path) && errno != ENOENT)
		die("unlink: %s", strerror(errno));
	make_file(file);
	count(DID_UNLINK);
}

void worker(int number)
{
	me = number;
	rng = (unsigned int)getpid();
	begin("open the device", -1);
	open_device();
	while (!atomic_load(&shared->stop)) {
		int file = (int)pick(FILES);

		switch (pick(8)) {
		case 0:
		case 1:
		case 2:
			change_layout(file);
			break;
		case 3:
			begin("read", file);
			check_file(file);
			break;
		case 4:
			if (!pick(4))
				replace_file(file);
			break;
		default:
			pin_for_a_while(file);
		}
	}
}
