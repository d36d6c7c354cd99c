// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The simulated kernel: descriptors, leases and files, and what tests plan and see. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "pinverbs.h"
#include "sim_private.h"

#define FIRST_FD        100000
#define F_DUPFD_QUERY   1027
#define MFD_NOEXEC_SEAL 0x0008U
#define STATX_DAX       0x00200000

int __real_fcntl64(int fd, int command, ...);
int __real_close(int fd);
int __real_memfd_create(const char *name, unsigned flags);
int __real_statx(int dir, const char *path, int flags, unsigned mask, struct statx *stx);
int __real_fstat64(int fd, struct stat *st);
int __real_fstatfs64(int fd, struct statfs *fs);
int __real_access(const char *path, int mode);
FILE *__real_fopen64(const char *path, const char *mode);

static pthread_mutex_t big_lock = PTHREAD_MUTEX_INITIALIZER;
static struct file files[MAX];
static struct description opened[MAX];
static unsigned file_count;
static struct description *descriptors[MAX]; /* fd - FIRST_FD; NULL: closed */
struct lease leases[MAX];
struct mapping mappings[MAX];
struct region regions[MAX];
bool patched;
static bool leases_enabled, noexec_only;
unsigned violations;

static char events[1024];
static unsigned fail_nth;
static const char *fail_name;
static int fail_errno;
static bool failed;
static const char *close_name;
static int close_fd;
static const char *cut_name;
static int cut_fd;
static uint64_t cut_size;

/* ---- what tests plan and see ---- */

void sim_reset(void)
{
	memset(files, 0, sizeof(files));
	memset(opened, 0, sizeof(opened));
	memset(descriptors, 0, sizeof(descriptors));
	memset(leases, 0, sizeof(leases));
	memset(mappings, 0, sizeof(mappings));
	memset(regions, 0, sizeof(regions));
	file_count = 0;
	violations = 0;
	patched = leases_enabled = true;
	noexec_only = false;
	fail_nth = 0;
	fail_name = NULL;
	close_name = NULL;
	cut_name = NULL;
	failed = false;
	events[0] = '\0';
	sim_reset_files();
	sim_reset_devices();
	sim_restore_device();
}

void sim_set_patched(bool value)
{
	patched = value;
}

void sim_set_leases_enabled(bool value)
{
	leases_enabled = value;
}

void sim_set_noexec(bool only)
{
	noexec_only = only;
}

void sim_fail_nth(unsigned nth, int err)
{
	fail_nth = nth;
	fail_errno = err;
	failed = false;
}

void sim_fail(const char *name, int err)
{
	fail_name = name;
	fail_errno = err;
}

bool sim_has_failed(void)
{
	return failed;
}

void sim_close_after(const char *name, int fd)
{
	close_name = name;
	close_fd = fd;
}

void sim_truncate_at(const char *name, int fd, uint64_t size)
{
	cut_name = name;
	cut_fd = fd;
	cut_size = size;
}

const char *sim_events(void)
{
	return events;
}

void sim_forget(void)
{
	events[0] = '\0';
}

unsigned sim_violations(void)
{
	return violations;
}

/* Caller holds big_lock, as for everything below that does not take it. */
void record(const char *name, const char *suffix)
{
	size_t used = strlen(events);

	if (close_name && !strcmp(close_name, name)) {
		close_name = NULL;
		descriptors[close_fd - FIRST_FD] = NULL;
	}
	snprintf(events + used, sizeof(events) - used, "%s%s%s", used ? " " : "", name,
		 suffix);
}

/* Whether the call is to be refused; errno is set then. */
bool refuse(const char *name)
{
	bool chosen = fail_nth && --fail_nth == 0;

	if (cut_name && !strcmp(cut_name, name)) {
		cut_name = NULL;
		sim_truncate(cut_fd, cut_size);
	}
	if (fail_name && !strcmp(fail_name, name)) {
		fail_name = NULL;
		chosen = true;
	}
	if (!chosen)
		return false;
	failed = true;
	record(name, "!");
	errno = fail_errno;
	return true;
}

#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER
#endif
#endif

/*
 * The thread sanitizer is to see the library only.  A lock that two calls to the kernel take would
 * put what the library does before the one before what it does after the other.
 */
#ifdef THREAD_SANITIZER
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

static void hide(void)
{
	AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static void show(void)
{
	AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
}
#else
static void hide(void)
{
}

static void show(void)
{
}
#endif

void lock(void)
{
	hide();
	pthread_mutex_lock(&big_lock);
}

void unlock(void)
{
	int err = errno;

	pthread_mutex_unlock(&big_lock);
	show();
	errno = err;
}

/*
 * A forked child can go on with its copy. The library calls here under its own lock, and the
 * last one registered is prepared first: be registered before the library.
 */
__attribute__((constructor(101))) static void survive_fork(void)
{
	pthread_atfork(lock, unlock, unlock);
}

int no(int err)
{
	errno = err;
	return -1;
}

/* ---- descriptors ---- */

bool simulated(int fd)
{
	return fd >= FIRST_FD;
}

struct description *find(int fd)
{
	struct description *description = NULL;

	if (fd >= FIRST_FD && fd < FIRST_FD + MAX)
		description = descriptors[fd - FIRST_FD];
	if (!description)
		errno = EBADF;
	return description;
}

static int install(struct description *description)
{
	int i;

	for (i = 0; i < MAX; i++) {
		if (!descriptors[i]) {
			descriptors[i] = description;
			return FIRST_FD + i;
		}
	}
	return no(EMFILE);
}

int sim_open(enum sim_kind kind, uint64_t size, int flags)
{
	struct file *file = &files[file_count];
	struct description *description = &opened[file_count++];

	*file = (struct file){ .kind = kind, .size = size };
	*description =
		(struct description){ .file = file, .flags = flags, .classic = F_UNLCK };
	return install(description);
}

int sim_dup(int fd)
{
	return install(find(fd));
}

void sim_truncate(int fd, uint64_t size)
{
	find(fd)->file->size = size;
}

void sim_set_classic_lease(int fd, int type)
{
	find(fd)->classic = type;
}

void sim_give_away(int fd)
{
	find(fd)->file->foreign = true;
}

/* L7, C3: with the last descriptor and mapping the lease goes, once it has no pins. */
void drop_unused_leases(void)
{
	unsigned i, j;

	for (i = 0; i < MAX; i++) {
		struct lease *lease = &leases[i];
		bool used = lease->pins > 0;

		for (j = 0; j < MAX && !used; j++)
			used = descriptors[j] == lease->description ||
			       (mappings[j].address &&
				mappings[j].description == lease->description);
		if (!used)
			lease->description = NULL;
	}
}

static int close_descriptor(int fd)
{
	if (!find(fd))
		return -1;
	descriptors[fd - FIRST_FD] = NULL;
	drop_unused_leases();
	return 0;
}

void sim_close(int fd)
{
	lock();
	close_descriptor(fd);
	unlock();
}

/* ---- leases ---- */

struct lease *find_lease(const struct description *description)
{
	pid_t process = getpid();
	unsigned i;

	for (i = 0; i < MAX; i++)
		if (leases[i].description == description && leases[i].process == process)
			return &leases[i];
	return NULL;
}

static int release_lease(struct description *description)
{
	struct lease *lease = find_lease(description);

	if (!lease)
		return no(EAGAIN);
	if (lease->pins)
		return no(EBUSY);
	lease->description = NULL;
	return 0;
}

static int grant_lease(struct description *description, int kind)
{
	struct lease *lease = find_lease(description);
	unsigned i;

	if (description->file->foreign)
		return no(EACCES);
	if ((description->flags & O_ACCMODE) == O_RDONLY)
		return no(EBADF);
	if (description->file->kind == SIM_DIRECTORY || !leases_enabled)
		return no(EINVAL);
	if (description->file->kind != SIM_DAX &&
	    description->file->kind != SIM_DAX_NO_SYNC)
		return no(EOPNOTSUPP);
	if (lease && lease->asked_back)
		return no(EAGAIN);
	for (i = 0; i < MAX && !lease; i++)
		if (!leases[i].description)
			lease = &leases[i];
	lease->description = description;
	lease->process = getpid();
	lease->kind = kind;
	lease->asked_back = false;
	lease->signalled =
		description->owner_type == F_OWNER_TID ? description->owner : 0;
	lease->signal = description->signal;
	return 0;
}

static int set_lease(struct description *description, int kind)
{
	bool release = kind == (F_LAYOUT | F_UNLCK);
	const char *name = release ? "unlock" : "lease";
	int result;

	if (refuse(name))
		return -1;
	if (!patched)
		result = no(EINVAL);
	else if (release)
		result = release_lease(description);
	else
		result = grant_lease(description, kind);
	record(name, result ? "!" : "");
	return result;
}

static int get_lease(struct description *description)
{
	struct lease *lease = find_lease(description);

	if (refuse("getlease"))
		return -1;
	if (description->classic != F_UNLCK)
		return description->classic;
	return lease && !lease->asked_back ? lease->kind : F_UNLCK;
}

static void ask_back(int fd, bool tell)
{
	struct lease *lease;

	lock();
	lease = find_lease(find(fd));
	if (lease && lease->kind == F_LAYOUT) {
		lease->asked_back = true;
		/* Told to anything but a thread of the library, the program would die of it. */
		if (!lease->signalled || !lease->signal)
			violations++;
		else if (tell)
			syscall(SYS_tgkill, getpid(), lease->signalled, lease->signal);
	}
	unlock();
}

void sim_ask_back(int fd)
{
	ask_back(fd, true);
}

void sim_ask_back_silently(int fd)
{
	ask_back(fd, false);
}

int sim_owner(int fd)
{
	return find(fd)->owner;
}

int sim_signal(int fd)
{
	return find(fd)->signal;
}

static int set_owner(struct description *description, const struct f_owner_ex *owner)
{
	if (refuse("setown"))
		return -1;
	description->owner = owner->pid;
	description->owner_type = owner->type;
	return 0;
}

static int get_owner(const struct description *description, struct f_owner_ex *owner)
{
	if (refuse("getown"))
		return -1;
	owner->pid = description->owner;
	owner->type = description->owner_type;
	return 0;
}

static int set_signal(struct description *description, int number)
{
	if (refuse("setsig"))
		return -1;
	description->signal = number;
	return 0;
}

static int simulate_fcntl(int fd, int command, uintptr_t raw)
{
	int argument = (int)raw;
	struct description *description = find(fd);
	int copy;

	if (!description)
		return -1;
	switch (command) {
	case F_DUPFD_CLOEXEC:
		if (refuse("dup"))
			return -1;
		copy = install(description);
		record("dup", copy < 0 ? "!" : "");
		return copy;
	case F_DUPFD_QUERY:
		if (refuse("query") || !find(argument))
			return -1;
		return description == find(argument);
	case F_GETFL:
		return refuse("getfl") ? -1 : description->flags;
	case F_GETLEASE:
		return get_lease(description);
	case F_SETLEASE:
		return set_lease(description, argument);
	case F_GETOWN_EX:
		return get_owner(description, (struct f_owner_ex *)raw);
	case F_SETOWN_EX:
		return set_owner(description, (struct f_owner_ex *)raw);
	case F_GETSIG:
		return refuse("getsig") ? -1 : description->signal;
	case F_SETSIG:
		return set_signal(description, argument);
	}
	return no(EINVAL);
}

static int locked_fcntl(int fd, int command, uintptr_t argument)
{
	int result;

	lock();
	result = simulate_fcntl(fd, command, argument);
	unlock();
	return result;
}

int sim_fcntl(int fd, int command, int argument)
{
	return locked_fcntl(fd, command, argument);
}

/* The only real descriptor that the library asks for a lease is its probe's. */
static int probe_lease(int argument)
{
	bool refused;

	lock();
	refused = refuse("probe");
	unlock();
	if (refused)
		return -1;
	return no(patched && argument == (F_LAYOUT | F_UNLCK) ? EAGAIN : EINVAL);
}

int __wrap_fcntl64(int fd, int command, ...)
{
	va_list arguments;
	uintptr_t argument;

	va_start(arguments, command);
	argument = va_arg(arguments, uintptr_t);
	va_end(arguments);
	if (simulated(fd))
		return locked_fcntl(fd, command, argument);
	if (command == F_SETLEASE)
		return probe_lease(argument);
	return __real_fcntl64(fd, command, argument);
}

int __wrap_close(int fd)
{
	int result;

	if (!simulated(fd))
		return __real_close(fd);
	lock();
	result = close_descriptor(fd);
	if (result)
		violations++;
	record("close", result ? "!" : "");
	unlock();
	return result;
}

/* ---- files ---- */

int __wrap_memfd_create(const char *name, unsigned flags)
{
	bool refused;

	lock();
	refused = refuse("memfd");
	unlock();
	if (refused)
		return -1;
	if (noexec_only && !(flags & MFD_NOEXEC_SEAL))
		return no(EACCES);
	/* The host's kernel need not know the flag. */
	return __real_memfd_create(name, flags & ~MFD_NOEXEC_SEAL);
}

static mode_t file_mode(const struct file *file)
{
	return (file->kind == SIM_DIRECTORY    ? S_IFDIR
		: file->kind == SIM_DEVICE_DAX ? S_IFCHR
					       : S_IFREG) |
	       0600;
}

int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *stx)
{
	struct description *description;
	int result = -1;

	if (!simulated(fd))
		return __real_statx(fd, path, flags, mask, stx);
	lock();
	description = find(fd);
	if (description && !refuse("statx")) {
		memset(stx, 0, sizeof(*stx));
		stx->stx_mode = file_mode(description->file);
		if (description->file->kind == SIM_DAX ||
		    description->file->kind == SIM_DAX_NO_SYNC ||
		    description->file->kind == SIM_REFLINKED)
			stx->stx_attributes = STATX_DAX;
		result = 0;
	}
	unlock();
	return result;
}

int __wrap_fstat64(int fd, struct stat *st)
{
	struct description *description;
	int result = -1;

	if (!simulated(fd))
		return __real_fstat64(fd, st);
	lock();
	description = find(fd);
	if (description && !refuse("fstat")) {
		memset(st, 0, sizeof(*st));
		st->st_mode = file_mode(description->file);
		st->st_size = description->file->size;
		st->st_rdev = makedev(252, 0);
		result = 0;
	}
	unlock();
	return result;
}

int __wrap_fstatfs64(int fd, struct statfs *fs)
{
	struct description *description;
	int result = -1;

	if (!simulated(fd))
		return __real_fstatfs64(fd, fs);
	lock();
	description = find(fd);
	if (description && !refuse("fstatfs")) {
		bool huge = description->file->kind == SIM_HUGETLBFS;

		memset(fs, 0, sizeof(*fs));
		fs->f_type = huge                                   ? HUGETLBFS_MAGIC
			     : description->file->kind == SIM_TMPFS ? TMPFS_MAGIC
								    : XFS_SUPER_MAGIC;
		fs->f_bsize = huge ? HUGE_PAGE : PAGE;
		result = 0;
	}
	unlock();
	return result;
}

int __wrap_access(const char *path, int mode)
{
	if (strstr(path, "file_pins"))
		return patched ? 0 : no(ENOENT);
	return __real_access(path, mode);
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	if (strstr(path, "leases-enable"))
		return fmemopen((void *)(leases_enabled ? "1\n" : "0\n"), 2, "r");
	return __real_fopen64(path, mode);
}

struct sim_state sim_state(void)
{
	struct sim_state state = { 0 };
	unsigned i;

	lock();
	state.devices = sim_open_devices();
	for (i = 0; i < MAX; i++) {
		state.descriptors += descriptors[i] != NULL;
		state.leases += leases[i].description != NULL;
		state.pins += leases[i].description ? leases[i].pins : 0;
		state.mappings += mappings[i].address != NULL;
		state.regions += regions[i].ibv != NULL;
	}
	unlock();
	return state;
}
