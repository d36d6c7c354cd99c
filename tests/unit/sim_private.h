/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the parts of the simulation share. */
#ifndef SIM_PRIVATE_H
#define SIM_PRIVATE_H

#include <sys/types.h>
#include "sim.h"

#define MAX       512
#define HUGE_PAGE (2UL << 20)
#define PAGE      4096UL

struct file {
	enum sim_kind kind;
	uint64_t size;
	bool foreign;
};

struct description {
	struct file *file;
	int flags;
	int classic;
	int owner, owner_type, signal;
};

struct lease {
	struct description *description; /* NULL: free slot */
	pid_t process;
	int kind;
	bool asked_back;
	int signalled; /* thread to be told */
	int signal;
	unsigned pins;
};

struct mapping {
	char *address; /* NULL: free slot */
	size_t length;
	uint64_t offset;
	int protection;
	struct description *description;
};

struct region {
	struct ibv_mr *ibv; /* NULL: free slot */
	struct lease *lease;
	struct mapping *mapping;
};

extern struct lease leases[MAX];
extern struct mapping mappings[MAX];
extern struct region regions[MAX];
extern bool patched;
extern unsigned violations;

/* The one lock; everything below is called with it held. */
void lock(void);
void unlock(void);

/* Whether the call is to be refused; errno is set then. */
bool refuse(const char *name);
void record(const char *name, const char *suffix);
/* Set errno, return -1. */
int no(int err);

bool simulated(int fd);
struct description *find(int fd);
struct lease *find_lease(const struct description *description);
void drop_unused_leases(void);

void sim_reset_files(void);
void sim_reset_devices(void);
unsigned sim_open_devices(void);
void sim_restore_device(void);

#endif
