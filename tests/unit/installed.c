/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Built as C and as C++ against the installed library by test_install.sh. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <pinverbs.h>

static void show(void *arg, const char *message)
{
	++*(int *)arg;
	puts(message);
}

int main(void)
{
	struct pinv_cap_info info;
	int lines = 0, err;

	err = pinv_query_cap(PINV_CAP_LAYOUT_LEASE, &info);
	if (err)
		printf("layout leases: %s; %s\n", info.reason, info.remedy);
	pinv_set_log(show, &lines);
	if (pinv_lease_acquire(-1, PINV_LEASE_EXCLUSIVE) || errno != EBADF || lines != 1)
		return 1;
	if (pinv_reg_file_mr(NULL, -1, 0, 0, 0) || errno != EBADF || lines != 2)
		return 1;
	return pinv_dereg_mr(NULL) || pinv_lease_release(NULL);
}
