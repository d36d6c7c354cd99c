// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* register FILE: the shortest program that registers a DAX file; README shows it. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <pinverbs.h>

int main(int argc, char **argv)
{
	struct ibv_pd *pd = pinv_open_pd(NULL);
	int fd = pd ? open(argc > 1 ? argv[1] : "FILE", O_RDWR) : -1;
	struct pinv_mr *mr;

	if (fd < 0 || !(mr = pinv_reg_file_mr(pd, fd, 0, 0, IBV_ACCESS_REMOTE_READ)))
		err(1, "%s", pd ? argv[1] ?: "FILE" : "open a device, see ibv_devices");
	printf("%zu bytes, rkey %#x\n", pinv_mr_ibv(mr)->length, pinv_mr_ibv(mr)->rkey);
	getchar(); /* peers read it */
	return pinv_dereg_mr(mr);
}
