/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Being told that a cooperative lease is asked back; nothing of it is exported. */
#ifndef PINVERBS_NOTICE_H
#define PINVERBS_NOTICE_H

/* Part of a description that carries a cooperative lease. */
struct watch {
	struct watch *next;
	int fd;    /* of the description */
	int event; /* readable once the lease is asked back */
};

/* The functions return 0 or a positive errno; the caller serialises those on one watch. */

/* Take the cooperative lease on the description behind fd, and watch it. */
int watch_begin(struct watch *watch, int fd);

/* Stop watching, before the lease is released or once it is. */
void watch_end(struct watch *watch);

/* Around fork(). In the child there are no watches, only event descriptors to close. */
void watches_before_fork(void);
void watches_in_parent(void);
void watches_in_child(void);

#endif
