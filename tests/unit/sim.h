/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A simulated kernel and device under the library's own objects: the linker (--wrap) sends
 * the calls that the library makes here. It knows descriptors, descriptions, layout leases,
 * mappings and memory regions, keeps the rules of pinverbs(7) as far as the library meets
 * them, records what changed, and can refuse any call. Real descriptors are passed through.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <infiniband/verbs.h>

enum sim_kind {
	SIM_DAX,
	SIM_TMPFS,
	SIM_PAGE_CACHE,
	SIM_HUGETLBFS,
	SIM_DIRECTORY,
	SIM_REFLINKED,
	SIM_DEVICE_DAX, /* a folder of the test's sys_root has its size */
	SIM_DAX_NO_SYNC /* whose mappings cannot be MAP_SYNC */
};

/* What the library can leave behind. */
struct sim_state {
	unsigned descriptors, leases, pins, mappings, regions, devices;
};

extern struct ibv_pd sim_pd;

/* An empty, patched kernel; forgets recorded events and planned failures. */
void sim_reset(void);
void sim_set_patched(bool patched);
void sim_set_leases_enabled(bool enabled);
void sim_set_noexec(bool only); /* memfd_create() wants MFD_NOEXEC_SEAL */

/* The program under test opening, duplicating and closing a file. */
int sim_open(enum sim_kind kind, uint64_t size, int flags);
int sim_dup(int fd);
void sim_close(int fd);
void sim_truncate(int fd, uint64_t size);
void sim_set_classic_lease(int fd, int type); /* F_UNLCK: none */
void sim_give_away(int fd);                   /* the caller does not own the file */

/* Another process starts a layout change: the holder of a cooperative lease is told. */
void sim_ask_back(int fd);
/* As if the kernel could not queue the signal. */
void sim_ask_back_silently(int fd);
/* Owner and signal of the description, as the program sees them. */
int sim_owner(int fd);
int sim_signal(int fd);

/* The RDMA device goes away, and with it what was registered. */
void sim_remove_device(void);

/*
 * The RDMA devices that can be opened, "rxe0 rxe1"; one with a "!" in front cannot be. NULL: a
 * kernel without RDMA.
 */
void sim_set_devices(const char *names);

/* What ibv_is_fork_initialized() says, and what ibv_fork_init() will return. */
void sim_set_fork(enum ibv_fork_status status, int init_error);

/* The same calls as the library's, made by the program behind the library's back. */
int sim_fcntl(int fd, int command, int argument);
struct ibv_mr *sim_reg_mr(void *address, size_t length);
void sim_dereg_mr(struct ibv_mr *mr);

/* Refuse call number @nth from now (1: the next), or the next call named @name, once. */
void sim_fail_nth(unsigned nth, int err);
void sim_fail(const char *name, int err);
/* Whether a planned failure has happened, since sim_fail_nth() was called last. */
bool sim_has_failed(void);

/* Another thread of the program closes @fd just after the call named @name. */
void sim_close_after(const char *name, int fd);

/* Another process cuts the file behind @fd when the library makes the call named @name. */
void sim_truncate_at(const char *name, int fd, uint64_t size);

/* Opening a file whose path ends so, or that is in the folder (with a slash), fails; @function runs when one is opened the @nth time. */
void sim_deny(const char *ending, int err);
void sim_on_open(const char *ending, unsigned nth, void (*function)(void));

/* @function runs once, when the library makes a thread, or waits for the end of one. */
void sim_on_thread(void (*function)(void));
void sim_on_join(void (*function)(void));

/* Changes since the last reset or sim_forget(), as "dup setlease mmap reg"; refused: "mmap!". */
const char *sim_events(void);
void sim_forget(void);

struct sim_state sim_state(void);
/* Rules broken by the library; 0 at the end of every test. */
unsigned sim_violations(void);
/* What mapping @address belongs to: file offset and protection; false: not mapped. */
bool sim_find_mapping(const void *address, uint64_t *offset, size_t *length,
		      int *protection);

#endif
