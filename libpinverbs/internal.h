/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the files of libpinverbs share; nothing of it is exported. */
#ifndef PINVERBS_INTERNAL_H
#define PINVERBS_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include "pinverbs.h"

#define PINV_EXPORT __attribute__((visibility("default")))

/* Since Linux 6.10; layout leases are younger, so wherever they are it is there. */
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY (1024 + 3)
#endif

/* The functions below return 0 or a positive errno, unless they say otherwise. */

/* lease.c: a share in the layout lease of the description behind fd. */
struct description;
int description_hold(int fd, enum pinv_lease_kind kind, struct description **result);
int description_drop(struct description *desc);
void description_abandon(struct description *desc);
int description_fd(const struct description *desc);

/* Changes in a forked child: a handle of an older generation is inherited. */
unsigned long process_generation(void);

/* caps.c */
bool kernel_has_layout_leases(void);
int file_is_dax(int fd, bool *dax);

/* fork.c */
bool is_fork_safe(void);
int make_fork_safe(void);

/* device.c */
bool kernel_has_rdma_devices(void);

/* log.c; in the place of a descriptor: what failed has no file. */
#define NO_FILE INT_MIN
bool log_wanted(void);
void make_printable(char *text);
void log_failure_of(const char *object, const char *operation, int err,
		    const struct pinv_cap_info *why);
void log_failure(int fd, const char *operation, int err, const struct pinv_cap_info *why);
__attribute__((format(printf, 3, 4))) void say(char *buffer, size_t size,
					       const char *format, ...);
#define SAY(array, ...) say(array, sizeof(array), __VA_ARGS__)

/*
 * explain.c: log a failed call, with what errno and the file tell about the reason. Each
 * returns the errno it was given, or EINVAL if it was given none.
 */
int fail_lease(int fd, const char *operation, int err);
int fail_release(int fd, int err);
int fail_file_mr(int fd, const char *operation, int err, size_t length);
int fail_address_mr(const void *address, const char *operation, int err, size_t length);
int fail_no_pd(void);
int fail_open_pd(const char *device, int err);
int fail_close_pd(const struct ibv_context *context, const char *operation, int err);
int fail_on_demand(const struct ibv_pd *pd, int err);
int fail_persist(int fd, int err);
int fail_persist_range(int fd, size_t offset, size_t length, size_t size);
int fail_persist_gone(int fd);
int fail_flush(const struct ibv_qp_ex *qp, int err, size_t length);
int fail_dereg(int fd, const char *operation, int err);
int fail_range(int fd, uint64_t offset, size_t length, uint64_t size);
int fail_growth(int fd, size_t length, uint64_t size, bool fixed);
int fail_kind(int fd, enum pinv_lease_kind kind);
int fail_no_place(int fd, const char *operation);
int fail_notice(int fd);
int fail_list(int pid, int fd, int err);

#endif
