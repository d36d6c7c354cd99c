// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The simulated kernel: RDMA devices that can be listed and opened. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "sim_private.h"

#define MOST      4
#define MOST_OPEN 32

static struct ibv_device devices[MOST];
static struct ibv_device *list[MOST + 1];
static struct ibv_context contexts[MOST_OPEN]; /* without device: free */
static struct ibv_pd pds[MOST_OPEN];
static bool refuses[MOST], has_rdma;
static unsigned count, lists, opened, allocated;

void sim_reset_devices(void)
{
	lists = opened = allocated = 0;
	memset(contexts, 0, sizeof(contexts));
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

static bool refuse_locked(const char *name)
{
	bool refused;

	lock();
	refused = refuse(name);
	unlock();
	return refused;
}

struct ibv_device **__wrap_ibv_get_device_list(int *number)
{
	if (refuse_locked("devices"))
		return NULL;
	if (!has_rdma) {
		errno = ENOSYS;
		return NULL;
	}
	if (number)
		*number = count;
	lock();
	lists++;
	unlock();
	return list;
}

void __wrap_ibv_free_device_list(struct ibv_device **freed)
{
	lock();
	if (freed != list)
		violations++;
	lists--;
	unlock();
}

static struct ibv_context *free_context(void)
{
	unsigned i;

	for (i = 0; i < MOST_OPEN; i++)
		if (!contexts[i].device)
			return &contexts[i];
	return no(EMFILE), NULL;
}

struct ibv_context *__wrap_ibv_open_device(struct ibv_device *device)
{
	struct ibv_context *context = NULL;

	if (refuse_locked("open_device"))
		return NULL;
	if (refuses[device - devices]) {
		errno = EACCES;
		return NULL;
	}
	lock();
	context = free_context();
	if (context) {
		context->device = device;
		opened++;
	}
	unlock();
	return context;
}

int __wrap_ibv_close_device(struct ibv_context *context)
{
	if (refuse_locked("close_device"))
		return -1;
	lock();
	if (!context->device)
		violations++;
	context->device = NULL;
	opened--;
	unlock();
	/* What undoes is not to spoil the reason. */
	errno = 0;
	return 0;
}

struct ibv_pd *__wrap_ibv_alloc_pd(struct ibv_context *context)
{
	struct ibv_pd *pd = &pds[context - contexts];

	if (refuse_locked("alloc_pd"))
		return NULL;
	lock();
	pd->context = context;
	allocated++;
	unlock();
	return pd;
}

int __wrap_ibv_dealloc_pd(struct ibv_pd *pd)
{
	if (refuse_locked("dealloc_pd"))
		return errno;
	lock();
	/* As after free(): whoever looks at it now sees nothing. */
	pd->context = NULL;
	allocated--;
	unlock();
	return 0;
}
