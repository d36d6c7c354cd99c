// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What users type, for the examples: addresses, ports, numbers. */
#include <errno.h>
#include <stdlib.h>
#include <rdma/rdma_cma.h>
#include "link.h"

int link_number(const char *text, int most)
{
	char *end;
	long number = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && number <= most ? (int)number : -1;
}

/* Neither a name that is not known nor a port that is none sets errno. */
int link_resolve(const char *address, const char *port, const struct rdma_addrinfo *hints,
		 struct rdma_addrinfo **info)
{
	if (link_number(port, UINT16_MAX) >= 0 &&
	    !rdma_getaddrinfo(address, port, hints, info))
		return 0;
	errno = EADDRNOTAVAIL;
	return -1;
}
