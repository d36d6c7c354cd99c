// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The simulated kernel: RDMA devices that can be listed and opened. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "sim_private.h"

#define MOST 4

static struct ibv_device devices[MOST];
static struct ibv_device *list[MOST + 1];
static struct ibv_context contexts[MOST];
static struct ibv_pd pds[MOST];
static bool refuses[MOST], has_rdma;
static unsigned count, lists, opened, allocated;

void sim_reset_devices(void)
{
	lists = opened = allocated = 0;
	sim_set_devices(NULL);
}

void sim_set_devices(const char *names)
{
	int used = 0;

	has_rdma = names != NULL;
	memset(devices, 0, sizeof(devices));
	for (count = 0;
	     names && sscanf(names, " %60s%n", devices[count].name, &used) == 1;
	     count++) {
		char *name = devices[count].name;

		refuses[count] = *name == '!';
		if (*name == '!')
			memmove(name, name + 1, strlen(name));
		list[count] = &devices[count];
		names += used;
	}
	list[count] = NULL;
}

/* What the library has not given back; the PD and its context are the caller's. */
unsigned sim_open_devices(void)
{
	return lists + opened + allocated;
}

/* Caller holds the lock, and has it released. */
static bool refuse_and_unlock(const char *name)
{
	bool refused = refuse(name);

	unlock();
	return refused;
}

struct ibv_device **__wrap_ibv_get_device_list(int *number)
{
	lock();
	if (refuse_and_unlock("devices"))
		return NULL;
	if (!has_rdma) {
		errno = ENOSYS;
		return NULL;
	}
	if (number)
		*number = count;
	lists++;
	return list;
}

void __wrap_ibv_free_device_list(struct ibv_device **freed)
{
	if (freed != list)
		violations++;
	lists--;
}

struct ibv_context *__wrap_ibv_open_device(struct ibv_device *device)
{
	unsigned index = device - devices;

	lock();
	if (refuse_and_unlock("open_device"))
		return NULL;
	if (refuses[index]) {
		errno = EACCES;
		return NULL;
	}
	contexts[index].device = device;
	opened++;
	return &contexts[index];
}

int __wrap_ibv_close_device(struct ibv_context *context)
{
	lock();
	if (refuse_and_unlock("close_device"))
		return -1;
	if (!context->device)
		violations++;
	context->device = NULL;
	opened--;
	/* What undoes is not to spoil the reason. */
	errno = 0;
	return 0;
}

struct ibv_pd *__wrap_ibv_alloc_pd(struct ibv_context *context)
{
	struct ibv_pd *pd = &pds[context - contexts];

	lock();
	if (refuse_and_unlock("alloc_pd"))
		return NULL;
	pd->context = context;
	allocated++;
	return pd;
}

int __wrap_ibv_dealloc_pd(struct ibv_pd *pd)
{
	lock();
	if (refuse_and_unlock("dealloc_pd"))
		return errno;
	/* As after free(): whoever looks at it now sees nothing. */
	pd->context = NULL;
	allocated--;
	return 0;
}
