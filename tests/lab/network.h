/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PINVERBS_LAB_NETWORK_H
#define PINVERBS_LAB_NETWORK_H

/*
 * Makes the network of guest HOST of HOSTS, and rxe0 on NET: veth, lo or eth.  Returns NULL, or what
 * could not be made, with errno.
 */
const char *network_make(const char *net, int host, int hosts);

#endif
