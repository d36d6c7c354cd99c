// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * fabric FILE ADDRESS: libfabric's verbs provider registers a mapping of FILE, as any of its
 * programs may do, for the device that has ADDRESS; without a word about leases.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>

#define SIZE 65536

static void must(int result, const char *what)
{
	if (result)
		errx(1, "%s: %s", what, fi_strerror(-result));
}

static struct fi_info *find_provider(const char *address)
{
	struct fi_info *hints = fi_allocinfo(), *info;

	if (!hints)
		errx(1, "no memory");
	hints->caps = FI_MSG | FI_RMA;
	hints->ep_attr->type = FI_EP_MSG;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	hints->fabric_attr->prov_name = strdup("verbs");
	must(fi_getinfo(FI_VERSION(1, 14), address, "7207", FI_SOURCE, hints, &info),
	     "find verbs provider");
	fi_freeinfo(hints);
	return info;
}

int main(int argc, char **argv)
{
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_mr *mr;
	void *memory;
	int fd;

	if (argc != 3)
		errx(2, "usage: fabric FILE ADDRESS");
	info = find_provider(argv[2]);
	must(fi_fabric(info->fabric_attr, &fabric, NULL), "fabric");
	must(fi_domain(fabric, info, &domain, NULL), "domain");
	fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, SIZE))
		err(1, "%s", argv[1]);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		err(1, "%s", argv[1]);
	must(fi_mr_reg(domain, memory, SIZE, FI_REMOTE_WRITE | FI_REMOTE_READ, 0, 0, 0,
		       &mr, NULL),
	     "register file");
	printf("%s: registered by %s, key %#lx\n", argv[1], info->fabric_attr->prov_name,
	       (unsigned long)fi_mr_key(mr));
	must(fi_close(&mr->fid), "deregister");
	must(fi_close(&domain->fid), "close domain");
	must(fi_close(&fabric->fid), "close fabric");
	fi_freeinfo(info);
	return 0;
}
