// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Why a call failed and what to do about it: the errno says which refusal it was, the file
 * and the process say the rest. Runs only if somebody listens, and changes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "internal.h"

static const char *remedy_of(int err)
{
	switch (err) {
	case EMFILE:
		return "raise the limit of open files (ulimit -n), or close some";
	case ENFILE:
		return "raise the system's limit of open files: sysctl fs.file-max";
	case ENOMEM:
		return "free memory, or raise the process's limits: ulimit -a";
	case EINTR:
		return "call again";
	case ENOENT:
		return "see whether /proc is mounted: mount -t proc proc /proc";
	case EIO:
		return "see the kernel's log, and which devices there are: rdma link";
	default:
		return "see pinverbs(7)";
	}
}

static void other_reason(struct pinv_cap_info *why, int err)
{
	SAY(why->reason, "%s", strerror(err));
	SAY(why->remedy, "%s", remedy_of(err));
}

static void explain_io(struct pinv_cap_info *why)
{
	other_reason(why, EIO);
	SAY(why->reason, "I/O error, as of an RDMA device that has been removed");
}

static void explain_bad_descriptor(int fd, struct pinv_cap_info *why)
{
	if (fcntl(fd, F_GETFL) < 0) {
		SAY(why->reason, "descriptor %d is not open", fd);
		SAY(why->remedy, "pass an open descriptor of a file");
	} else {
		SAY(why->reason, "descriptor %d is not open for writing", fd);
		SAY(why->remedy, "open the file with O_RDWR");
	}
}

static void explain_not_owner(int fd, struct pinv_cap_info *why)
{
	struct stat st;

	if (fstat(fd, &st))
		SAY(why->reason, "caller neither owns the file nor has CAP_LEASE");
	else
		SAY(why->reason,
		    "caller (uid %u) does not own the file (uid %u) nor has CAP_LEASE",
		    geteuid(), st.st_uid);
	SAY(why->remedy, "run as the owner of the file or with CAP_LEASE");
}

static void explain_unsupported(int fd, struct pinv_cap_info *why)
{
	bool dax = false;

	if (pinv_query_cap(PINV_CAP_LAYOUT_LEASE, why))
		return;
	if (file_is_dax(fd, &dax) || !dax) {
		SAY(why->reason, "file is not in DAX mode");
		SAY(why->remedy, "use a file on XFS or ext4 mounted with -o dax=always");
	} else {
		SAY(why->reason,
		    "file has shared extents, is a swap file, or its file system "
		    "grants no layout leases");
		SAY(why->remedy, "make a copy with: cp --reflink=never");
	}
}

static void explain_invalid_file(int fd, const char *operation, struct pinv_cap_info *why)
{
	struct stat st;

	if (!fstat(fd, &st) && !S_ISREG(st.st_mode)) {
		SAY(why->reason, "%s (mode %06o)",
		    strcmp(operation, "map") ? "not a regular file"
					     : "neither a regular file nor device DAX",
		    st.st_mode);
		SAY(why->remedy, "pass a regular file of a file system");
	} else if (!pinv_query_cap(PINV_CAP_LAYOUT_LEASE, why)) {
		other_reason(why, EINVAL);
	}
}

int fail_lease(int fd, const char *operation, int err)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return err;
	switch (err) {
	case EBADF:
		explain_bad_descriptor(fd, &why);
		break;
	case EACCES:
		explain_not_owner(fd, &why);
		break;
	case EOPNOTSUPP:
		explain_unsupported(fd, &why);
		break;
	case EINVAL:
		explain_invalid_file(fd, operation, &why);
		break;
	case EAGAIN:
		SAY(why.reason, "an NFS client holds a pNFS layout on the file, or a "
				"cooperative lease on it is being asked back");
		SAY(why.remedy, "take the lease later, or stop exporting the file");
		break;
	case EBUSY:
		SAY(why.reason, "description carries a layout lease of another kind, or "
				"one that the library did not take");
		SAY(why.remedy, "release that lease, or open the file once more");
		break;
	case ENOMEM:
		SAY(why.reason, "no memory, or no thread that waits for a notice");
		SAY(why.remedy, "free memory, or raise the limit of threads (ulimit -u)");
		break;
	default:
		other_reason(&why, err);
	}
	log_failure(fd, operation, err, &why);
	return err;
}

int fail_release(int fd, int err)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return err;
	if (err == EBUSY) {
		SAY(why.reason, "memory regions registered under the lease still exist");
		SAY(why.remedy,
		    "deregister what ibv_reg_mr() made of this file, then call again");
	} else {
		other_reason(&why, err);
	}
	log_failure(fd, "release layout lease", err, &why);
	return err;
}

static void explain_no_memory(size_t length, struct pinv_cap_info *why)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY) {
		SAY(why->reason,
		    "no memory, or more than the device registers at once: %zu bytes",
		    length);
		SAY(why->remedy, "register less at once");
	} else {
		SAY(why->reason, "no memory, or %zu bytes are over RLIMIT_MEMLOCK (%ju)",
		    length, (uintmax_t)limit.rlim_cur);
		SAY(why->remedy, "raise the limit (ulimit -l), or register less at once");
	}
}

static void explain_refused_pin(struct pinv_cap_info *why)
{
	if (pinv_query_cap(PINV_CAP_LAYOUT_LEASE, why))
		return;
	SAY(why->reason, "kernel refuses long-term pins of this file by this device");
	SAY(why->remedy,
	    "use a device whose driver the series converts, or anonymous memory");
}

/* What is said of any memory that cannot be registered. */
static void explain_refused_memory(int err, size_t length, struct pinv_cap_info *why)
{
	switch (err) {
	case EOPNOTSUPP:
		explain_refused_pin(why);
		break;
	case ENOMEM:
		explain_no_memory(length, why);
		break;
	case EIO:
		explain_io(why);
		break;
	default:
		other_reason(why, err);
	}
}

static void explain_no_room(int err, size_t length, struct pinv_cap_info *why)
{
	SAY(why->reason, "%s: %zu bytes", strerror(err), length);
	SAY(why->remedy, "%s",
	    err == EFBIG ? "append less, or raise the limit of file sizes (ulimit -f)"
			 : "free space; of huge pages: sysctl vm.nr_hugepages");
}

/* With a limit of 0 the kernel refuses with EPERM, where it is ENOMEM above any other limit. */
static bool may_lock_nothing(struct pinv_cap_info *why)
{
	struct __user_cap_header_struct header = { .version =
							   _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur ||
	    syscall(SYS_capget, &header, sets) ||
	    sets[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK))
		return false;
	SAY(why->reason, "no memory may be locked: RLIMIT_MEMLOCK is 0");
	SAY(why->remedy, "raise the limit (ulimit -l)");
	return true;
}

static void explain_not_permitted(const char *operation, struct pinv_cap_info *why)
{
	if (strcmp(operation, "register")) {
		SAY(why->reason, "the file is sealed, or may only be appended to");
		SAY(why->remedy, "see its seals (F_GET_SEALS) and lsattr(1)");
	} else if (!may_lock_nothing(why)) {
		SAY(why->reason,
		    "no exclusive layout lease of this process covers the mapping");
		SAY(why->remedy,
		    "do not release the lease with fcntl() under the library");
	}
}

static void explain_no_mapping(size_t length, struct pinv_cap_info *why)
{
	SAY(why->reason, "no room for a mapping of %zu bytes, or no free huge pages",
	    length);
	SAY(why->remedy,
	    "map less, or raise vm.max_map_count, ulimit -v or vm.nr_hugepages");
}

int fail_file_mr(int fd, const char *operation, int err, size_t length)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return err;
	switch (err) {
	case EPERM:
		explain_not_permitted(operation, &why);
		break;
	case EFAULT:
		SAY(why.reason,
		    "kernel does not pin these pages for this access (page cache, "
		    "hole mapped read-only, or the file was cut)");
		SAY(why.remedy, "use a file on DAX or tmpfs, and O_RDWR");
		break;
	case EACCES:
		SAY(why.reason, "descriptor is not open for reading and writing");
		SAY(why.remedy, "open the file with O_RDWR");
		break;
	case EBADF:
		explain_bad_descriptor(fd, &why);
		break;
	case EFBIG:
	case ENOSPC:
	case EDQUOT:
		explain_no_room(err, length, &why);
		break;
	case EINVAL:
		SAY(why.reason, "access flags or kind of file not supported");
		SAY(why.remedy,
		    "see ibv_reg_mr(3): remote write needs IBV_ACCESS_LOCAL_WRITE");
		break;
	default:
		if (err == ENOMEM && !strcmp(operation, "map"))
			explain_no_mapping(length, &why);
		else
			explain_refused_memory(err, length, &why);
	}
	log_failure(fd, operation, err, &why);
	return err;
}

int fail_on_demand(const struct ibv_pd *pd, int err)
{
	struct pinv_cap_info why;
	char object[80];

	if (!log_wanted())
		return err;
	SAY(object, "RDMA device %s", ibv_get_device_name(pd->context->device));
	SAY(why.reason, "no on-demand paging of this memory (IBV_ACCESS_ON_DEMAND)");
	SAY(why.remedy,
	    "leave the flag out: under a lease the file's pages can be pinned");
	log_failure_of(object, "register", err, &why);
	return err;
}

int fail_no_pd(void)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return EINVAL;
	SAY(why.reason, "it is NULL, as where no device could be opened");
	SAY(why.remedy, "see which there are: ibv_devices(1), rdma-link(8)");
	log_failure_of("protection domain", "register", EINVAL, &why);
	return EINVAL;
}

static void explain_no_device(const char *device, struct pinv_cap_info *why)
{
	if (!kernel_has_rdma_devices()) {
		SAY(why->reason, "kernel has no RDMA device");
		SAY(why->remedy,
		    "load its driver, or add Soft-RoCE: rdma link add rxe0 type "
		    "rxe netdev eth0");
	} else if (device) {
		SAY(why->reason,
		    "no device of that name, or no driver of libibverbs for it");
		SAY(why->remedy, "see which there are: ibv_devices(1), rdma-link(8)");
	} else {
		SAY(why->reason, "libibverbs has no driver for the kernel's devices");
		SAY(why->remedy, "install ibverbs-providers");
	}
}

int fail_open_pd(const char *device, int err)
{
	struct pinv_cap_info why;
	char object[80];

	if (!log_wanted())
		return err;
	SAY(object, "RDMA device%s%s", device ? " " : "", device ? device : "");
	make_printable(object);
	switch (err) {
	case ENODEV:
		explain_no_device(device, &why);
		break;
	case EACCES:
	case EPERM:
		SAY(why.reason, "caller may not open its /dev/infiniband/uverbs*");
		SAY(why.remedy, "be in the group that may, see: ls -l /dev/infiniband");
		break;
	default:
		other_reason(&why, err);
	}
	log_failure_of(object, "open", err, &why);
	return err;
}

int fail_close_pd(const struct ibv_context *context, const char *operation, int err)
{
	struct pinv_cap_info why;
	char object[80];

	if (!log_wanted())
		return err;
	SAY(object, "RDMA device %s", ibv_get_device_name(context->device));
	if (err == EBUSY) {
		SAY(why.reason, "memory regions or queue pairs still use it");
		SAY(why.remedy, "deregister and destroy them, then call again");
	} else {
		other_reason(&why, err);
	}
	log_failure_of(object, operation, err, &why);
	return err;
}

static void explain_invalid_memory(const void *address, size_t length,
				   const char *operation, struct pinv_cap_info *why)
{
	if (strcmp(operation, "register")) {
		SAY(why->reason, "memory was registered before, by other means");
		SAY(why->remedy, "call ibv_fork_init(3) before anything is registered");
	} else if (!length || length >= SIZE_MAX / 2 ||
		   length > UINTPTR_MAX - (uintptr_t)address) {
		SAY(why->reason, "no bytes, or more than there are addresses");
		SAY(why->remedy, "give the length of the memory");
	} else {
		SAY(why->reason, "access flags not supported");
		SAY(why->remedy,
		    "see ibv_reg_mr(3): remote write needs IBV_ACCESS_LOCAL_WRITE");
	}
}

int fail_address_mr(const void *address, const char *operation, int err, size_t length)
{
	struct pinv_cap_info why;
	char object[64];

	if (!log_wanted())
		return err;
	SAY(object, "%zu bytes at %p", length, address);
	switch (err) {
	case EPERM:
		if (may_lock_nothing(&why))
			break;
		SAY(why.reason,
		    "it maps a DAX file without exclusive layout lease of this "
		    "process on the same description");
		SAY(why.remedy, "take one with pinv_lease_acquire(), or use "
				"pinv_reg_file_mr()");
		break;
	case EFAULT:
		SAY(why.reason, "not all of it is mapped, or not for this access");
		SAY(why.remedy, "register mapped, writable memory");
		break;
	case EINVAL:
		explain_invalid_memory(address, length, operation, &why);
		break;
	default:
		explain_refused_memory(err, length, &why);
	}
	log_failure_of(object, operation, err, &why);
	return err;
}

int fail_persist(int fd, int err)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return err;
	if (err == EOPNOTSUPP) {
		SAY(why.reason, "what is written there does not outlive the power");
		SAY(why.remedy, "register a file on persistent memory or on a disk");
	} else {
		other_reason(&why, err);
	}
	log_failure(fd, "make durable", err, &why);
	return err;
}

int fail_persist_range(int fd, size_t offset, size_t length, size_t size)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return EINVAL;
	SAY(why.reason, "%zu bytes from byte %zu are not within the region's %zu", length,
	    offset, size);
	SAY(why.remedy, "count from the first byte of the region");
	log_failure(fd, "make durable", EINVAL, &why);
	return EINVAL;
}

int fail_persist_gone(int fd)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return EINVAL;
	SAY(why.reason, "the region is deregistered already");
	SAY(why.remedy, "make it durable before pinv_dereg_mr(), or use fsync(2)");
	log_failure(fd, "make durable", EINVAL, &why);
	return EINVAL;
}

int fail_flush(const struct ibv_qp_ex *qp, int err, size_t length)
{
	struct pinv_cap_info why;
	char object[80];

	if (!log_wanted())
		return err;
	SAY(object, "queue pair %u of %s", qp->qp_base.qp_num,
	    ibv_get_device_name(qp->qp_base.context->device));
	if (err == EOPNOTSUPP) {
		SAY(why.reason, "its provider has no RDMA flush for it");
		SAY(why.remedy,
		    "make it for RC and flush with IBV_DRIVERS=pinrxe, or have the "
		    "peer call pinv_mr_persist()");
	} else if (err == EINVAL) {
		SAY(why.reason, "%zu bytes are more than a message can have", length);
		SAY(why.remedy, "flush less at once");
	} else if (err == ENOMEM) {
		SAY(why.reason, "the send queue is full");
		SAY(why.remedy, "poll for completions, or make it larger");
	} else {
		other_reason(&why, err);
	}
	log_failure_of(object, "flush", err, &why);
	return err;
}

int fail_dereg(int fd, const char *operation, int err)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return err;
	if (err == EBUSY) {
		SAY(why.reason, "the memory region is in use");
		SAY(why.remedy,
		    "deallocate the memory windows bound to it, then call again");
	} else {
		other_reason(&why, err);
	}
	log_failure(fd, operation, err, &why);
	return err;
}

int fail_range(int fd, uint64_t offset, size_t length, uint64_t size)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return EINVAL;
	if (!length)
		SAY(why.reason, "nothing follows byte %" PRIu64 " of the file's %" PRIu64,
		    offset, size);
	else
		SAY(why.reason,
		    "%zu bytes from byte %" PRIu64 " do not lie within the file's "
		    "%" PRIu64,
		    length, offset, size);
	SAY(why.remedy, "extend the file first (ftruncate), or register less");
	log_failure(fd, "map", EINVAL, &why);
	return EINVAL;
}

int fail_growth(int fd, size_t length, uint64_t size, bool fixed)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return EINVAL;
	if (fixed) {
		SAY(why.reason, "device DAX has its %" PRIu64 " bytes and no more", size);
		SAY(why.remedy, "register a range of it with pinv_reg_file_mr()");
	} else {
		SAY(why.reason, "a file of %" PRIu64 " bytes cannot grow by %zu", size,
		    length);
		SAY(why.remedy, "give the number of bytes to append");
	}
	log_failure(fd, "extend", EINVAL, &why);
	return EINVAL;
}

int fail_kind(int fd, enum pinv_lease_kind kind)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return EINVAL;
	SAY(why.reason, "kind of lease %d is not known to this version of libpinverbs",
	    kind);
	SAY(why.remedy, "ask for PINV_LEASE_EXCLUSIVE or PINV_LEASE_COOPERATIVE");
	log_failure(fd, "take layout lease", EINVAL, &why);
	return EINVAL;
}

int fail_no_place(int fd, const char *operation)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return EINVAL;
	SAY(why.reason, "the pointer to where the result is to go is NULL");
	SAY(why.remedy, "pass the address of a variable");
	log_failure(fd, operation, EINVAL, &why);
	return EINVAL;
}

int fail_notice(int fd)
{
	struct pinv_cap_info why;

	if (!log_wanted())
		return EINVAL;
	SAY(why.reason, "an exclusive lease is never asked back");
	SAY(why.remedy, "take a PINV_LEASE_COOPERATIVE one");
	log_failure(fd, "give notice of lease", EINVAL, &why);
	return EINVAL;
}

int fail_list(int pid, int fd, int err)
{
	struct pinv_cap_info why;
	char object[40];

	if (!log_wanted())
		return err;
	if (pid == PINV_PINS_ALL || pid == PINV_PINS_SELF)
		SAY(object, "%s", pid ? "all processes" : "own process");
	else
		SAY(object, "process %d", pid);
	switch (err) {
	case EOPNOTSUPP:
	case ENOENT:
		if (!pinv_query_cap(PINV_CAP_FILE_PINS, &why))
			other_reason(&why, err);
		break;
	case EACCES:
	case EPERM:
		if (pid > 0) {
			SAY(why.reason, "process belongs to somebody else");
			SAY(why.remedy, "ask as its user or as root");
		} else {
			SAY(why.reason, "not all of /proc may be read");
			SAY(why.remedy,
			    "see the permissions of /proc/locks and /proc/PID");
		}
		break;
	case ESRCH:
		SAY(why.reason, "there is no such process");
		SAY(why.remedy, "give the number of a running process");
		break;
	case EBADF:
		SAY(why.reason, "descriptor %d is not open", fd);
		SAY(why.remedy, "pass that of the file that matters, or -1 for all");
		break;
	case EINVAL:
		SAY(why.reason, "no process has this number, or the order is unknown");
		SAY(why.remedy, "see pinv_list_pins(3)");
		break;
	default:
		other_reason(&why, err);
	}
	log_failure_of(object, "list pins", err, &why);
	return err;
}
