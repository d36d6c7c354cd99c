// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The simulated kernel and device: memory, mappings, memory regions. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "pinverbs.h"
#include "sim_private.h"

#define MOST_MEMORY    (1UL << 40)
#define REAL_MAP_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

void *__real_mmap64(void *address, size_t length, int protection, int flags, int fd,
		    off_t offset);
int __real_munmap(void *address, size_t length);
void *__real_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);

struct ibv_pd sim_pd;

static bool refuse_locked(const char *name)
{
	bool refused;

	lock();
	refused = refuse(name);
	unlock();
	return refused;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refuse_locked("alloc") ? NULL : __real_calloc(count, size);
}

void *__wrap_malloc(size_t size)
{
	return refuse_locked("alloc") ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return refuse_locked("alloc") ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
	return refuse_locked("alloc") ? NULL : __real_strdup(text);
}

static struct mapping *find_mapping(const void *address)
{
	const char *at = address;
	unsigned i;

	for (i = 0; i < MAX; i++)
		if (mappings[i].address && at >= mappings[i].address &&
		    at < mappings[i].address + mappings[i].length)
			return &mappings[i];
	return NULL;
}

bool sim_find_mapping(const void *address, uint64_t *offset, size_t *length,
		      int *protection)
{
	struct mapping *mapping = find_mapping(address);

	if (!mapping)
		return false;
	*offset = mapping->offset + ((const char *)address - mapping->address);
	*length = mapping->length;
	*protection = mapping->protection;
	return true;
}

static int check_mapping(struct description *description, size_t length, int protection,
			 off_t offset)
{
	size_t granule = description->file->kind == SIM_HUGETLBFS ||
					 description->file->kind == SIM_DEVICE_DAX
				 ? HUGE_PAGE
				 : PAGE;

	if (description->file->kind == SIM_DIRECTORY)
		return ENODEV;
	if ((description->flags & O_ACCMODE) == O_WRONLY ||
	    ((protection & PROT_WRITE) && (description->flags & O_ACCMODE) != O_RDWR))
		return EACCES;
	if (length > MOST_MEMORY)
		return ENOMEM;
	return offset % granule || !length ? EINVAL : 0;
}

static struct mapping *free_mapping(void)
{
	unsigned i;

	for (i = 0; i < MAX; i++)
		if (!mappings[i].address)
			return &mappings[i];
	return NULL;
}

static void *simulate_mmap(size_t length, int protection, int flags, int fd, off_t offset)
{
	struct description *description = find(fd);
	struct mapping *mapping = free_mapping();
	void *address;
	int err;

	if (!description || refuse("mmap"))
		return MAP_FAILED;
	err = check_mapping(description, length, protection, offset);
	if (err) {
		record("mmap", "!");
		errno = err;
		return MAP_FAILED;
	}
	if (flags == (MAP_SHARED_VALIDATE | MAP_SYNC)) {
		if (description->file->kind == SIM_DAX_NO_SYNC)
			return no(EOPNOTSUPP), MAP_FAILED;
	} else if (flags != MAP_SHARED) {
		violations++;
	}
	address = __real_mmap64(NULL, length, protection, REAL_MAP_FLAGS, -1, 0);
	if (address == MAP_FAILED)
		return address;
	*mapping = (struct mapping){ address, length, offset, protection, description };
	record("mmap", "");
	return address;
}

void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd,
		    off_t offset)
{
	if (!simulated(fd))
		return __real_mmap64(address, length, protection, flags, fd, offset);
	lock();
	address = simulate_mmap(length, protection, flags, fd, offset);
	unlock();
	return address;
}

/* Unmapping under a region is what the library promises never to do. */
static int simulate_munmap(struct mapping *mapping, size_t length)
{
	unsigned i;

	if (refuse("munmap"))
		return -1;
	if (length != mapping->length)
		violations++;
	for (i = 0; i < MAX; i++)
		if (regions[i].ibv && regions[i].mapping == mapping)
			violations++;
	__real_munmap(mapping->address, mapping->length);
	mapping->address = NULL;
	drop_unused_leases();
	record("munmap", "");
	return 0;
}

int __wrap_munmap(void *address, size_t length)
{
	struct mapping *mapping;
	int result;

	lock();
	mapping = find_mapping(address);
	if (mapping) {
		result = simulate_munmap(mapping, length);
	} else {
		violations++;
		result = no(EINVAL);
	}
	unlock();
	return result;
}

/* ---- the device ---- */

static int check_pin(const struct mapping *mapping, struct lease **lease, int access)
{
	*lease = NULL;
	switch (mapping->description->file->kind) {
	case SIM_DAX:
	case SIM_DAX_NO_SYNC:
	case SIM_REFLINKED:
		if (!patched)
			return EOPNOTSUPP;
		*lease = find_lease(mapping->description);
		return *lease && (*lease)->kind == (F_LAYOUT | F_EXCLUSIVE) ? 0 : EPERM;
	case SIM_PAGE_CACHE:
		return access & IBV_ACCESS_LOCAL_WRITE ? EFAULT : 0;
	default:
		return 0;
	}
}

/* Memory of the program itself, all but NULL. */
static int check_own(const void *address, struct lease **lease)
{
	*lease = NULL;
	return address ? 0 : EFAULT;
}

/* A page wholly beyond the end of its file is not there. */
static bool is_cut(const struct mapping *mapping, const char *address, size_t length)
{
	uint64_t end = mapping->offset + (address - mapping->address) + length;

	return mapping->description->file->kind != SIM_DEVICE_DAX &&
	       end > (mapping->description->file->size + PAGE - 1) / PAGE * PAGE;
}

static struct ibv_mr *simulate_reg(void *address, size_t length, int access)
{
	struct mapping *mapping = find_mapping(address);
	struct region *region = regions;
	struct lease *lease;
	int err;

	if (refuse("reg"))
		return NULL;
	err = mapping ? check_pin(mapping, &lease, access) : check_own(address, &lease);
	if (!err && mapping &&
	    ((char *)address + length > mapping->address + mapping->length ||
	     is_cut(mapping, address, length)))
		err = EFAULT;
	if (err) {
		record("reg", "!");
		errno = err;
		return NULL;
	}
	while (region->ibv)
		region++;
	region->ibv = __real_calloc(1, sizeof(*region->ibv));
	*region->ibv = (struct ibv_mr){ .pd = &sim_pd,
					.addr = address,
					.length = length,
					.lkey = 1 + (region - regions),
					.rkey = 1 + (region - regions) };
	region->lease = lease;
	region->mapping = mapping;
	if (lease)
		lease->pins++;
	record("reg", "");
	return region->ibv;
}

struct ibv_mr *__wrap_ibv_reg_mr_iova2(struct ibv_pd *pd, void *address, size_t length,
				       uint64_t iova, unsigned access)
{
	struct ibv_mr *mr;

	lock();
	if (pd != &sim_pd || iova != (uintptr_t)address)
		violations++;
	mr = simulate_reg(address, length, access);
	unlock();
	return mr;
}

struct ibv_mr *sim_reg_mr(void *address, size_t length)
{
	return __wrap_ibv_reg_mr_iova2(&sim_pd, address, length, (uintptr_t)address,
				       IBV_ACCESS_LOCAL_WRITE);
}

/* The provider's memory is not given back: its ibv_dereg_mr() fails before that. */
static struct ibv_mr *removed[8];
static bool device_removed;

void sim_restore_device(void)
{
	device_removed = false;
}

void sim_remove_device(void)
{
	unsigned i, count = 0;

	lock();
	device_removed = true;
	for (i = 0; i < MAX; i++) {
		if (!regions[i].ibv)
			continue;
		removed[count++] = regions[i].ibv;
		if (regions[i].lease)
			regions[i].lease->pins--;
		regions[i].ibv = NULL;
	}
	drop_unused_leases();
	unlock();
}

int __wrap_ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
	(void)context;
	(void)attr;
	return device_removed ? EIO : 0;
}

static bool was_removed(struct ibv_mr *mr)
{
	unsigned i;

	for (i = 0; i < sizeof(removed) / sizeof(*removed); i++) {
		if (removed[i] == mr) {
			removed[i] = NULL;
			free(mr);
			return true;
		}
	}
	return false;
}

int __wrap_ibv_dereg_mr(struct ibv_mr *mr)
{
	struct region *region = regions;
	int err = 0;

	lock();
	if (was_removed(mr)) {
		record("dereg", "!");
		unlock();
		return EIO;
	}
	while (region < regions + MAX && region->ibv != mr)
		region++;
	if (refuse("dereg")) {
		err = errno;
	} else if (region == regions + MAX) {
		violations++;
		err = EINVAL;
	} else {
		if (region->lease)
			region->lease->pins--;
		region->ibv = NULL;
		free(mr);
		drop_unused_leases();
		record("dereg", "");
	}
	unlock();
	return err;
}

void sim_dereg_mr(struct ibv_mr *mr)
{
	__wrap_ibv_dereg_mr(mr);
}
