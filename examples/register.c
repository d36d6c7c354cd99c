// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* register FILE: the shortest program that registers a DAX file; README shows it. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <pinverbs.h>

int main(int argc, char **argv)
{
	struct ibv_pd *pd = ibv_alloc_pd(ibv_open_device(*ibv_get_device_list(NULL)));
	int fd = open(argc > 1 ? argv[1] : "", O_RDWR);
	struct pinv_mr *mr = pinv_reg_file_mr(pd, fd, 0, 0, IBV_ACCESS_REMOTE_READ);

	if (!mr)
		err(1, "%s", argv[1]);
	printf("%zu bytes, rkey %#x\n", pinv_mr_ibv(mr)->length, pinv_mr_ibv(mr)->rkey);
	getchar(); /* peers read it */
	return pinv_dereg_mr(mr);
}
