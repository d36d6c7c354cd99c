// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What the running kernel and a given file can do, found out without touching either. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "internal.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x00200000
#endif

#define BOOT_THE_SERIES                                                  \
	"boot a kernel with the series in kernel-patches/, or register " \
	"anonymous memory"

/* vm.memfd_noexec=2 wants MFD_NOEXEC_SEAL, kernels before 6.3 do not know it. */
static int private_file(void)
{
	int fd = memfd_create("pinverbs-probe", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("pinverbs-probe", MFD_CLOEXEC);
	return fd;
}

/*
 * Releasing a lease that nobody holds, on a description that nobody else has: EAGAIN from
 * a kernel with layout leases, EINVAL from one that does not know the argument.
 */
static int probe_layout_lease(void)
{
	int fd = private_file();
	int err;

	if (fd < 0)
		return errno;
	err = fcntl(fd, F_SETLEASE, F_LAYOUT | F_UNLCK) ? errno : 0;
	close(fd);
	return err;
}

static bool has_file_pins(void)
{
	return access("/proc/self/file_pins", F_OK) == 0;
}

static bool leases_are_off(void)
{
	FILE *file = fopen("/proc/sys/fs/leases-enable", "re");
	int value = 1;

	if (!file)
		return false;
	if (fscanf(file, "%d", &value) != 1)
		value = 1;
	fclose(file);
	return value == 0;
}

bool kernel_has_layout_leases(void)
{
	return probe_layout_lease() != EINVAL;
}

int file_is_dax(int fd, bool *dax)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx))
		return errno;
	*dax = S_ISREG(stx.stx_mode) && (stx.stx_attributes & STATX_ATTR_DAX);
	return 0;
}

static void name_kernel(char *buffer, size_t size)
{
	struct utsname name;

	say(buffer, size, "%s", uname(&name) ? "(unknown release)" : name.release);
}

static int query_layout_lease(struct pinv_cap_info *info)
{
	int err = probe_layout_lease();
	char kernel[80];

	switch (err) {
	case EAGAIN:
		/* Releasing is always allowed, so the probe does not see this. */
		if (!leases_are_off())
			return 0;
		SAY(info->reason, "leases are switched off (fs.leases-enable is 0)");
		SAY(info->remedy, "set it with: sysctl fs.leases-enable=1");
		return EOPNOTSUPP;
	case EINVAL:
		name_kernel(kernel, sizeof(kernel));
		SAY(info->reason, "kernel %s has no layout leases", kernel);
		SAY(info->remedy, BOOT_THE_SERIES);
		return EOPNOTSUPP;
	default:
		SAY(info->reason, "probing with F_SETLEASE on a memfd gave: %s",
		    err ? strerror(err) : "success");
		SAY(info->remedy, "look for a seccomp filter or a full descriptor table");
		return err ? err : EPROTO;
	}
}

static int query_file_pins(struct pinv_cap_info *info)
{
	char kernel[80];

	if (has_file_pins())
		return 0;
	if (access("/proc/self", F_OK)) {
		SAY(info->reason, "/proc is not mounted, so it cannot be told");
		SAY(info->remedy, "mount -t proc proc /proc");
		return ENOENT;
	}
	name_kernel(kernel, sizeof(kernel));
	SAY(info->reason, "kernel %s has no /proc/PID/file_pins", kernel);
	SAY(info->remedy, "boot a kernel with the series in kernel-patches/");
	return EOPNOTSUPP;
}

static int query_fork(struct pinv_cap_info *info)
{
	char kernel[80];

	if (is_fork_safe())
		return 0;
	name_kernel(kernel, sizeof(kernel));
	SAY(info->reason, "kernel %s does not copy pinned pages when a process forks",
	    kernel);
	SAY(info->remedy, "call ibv_fork_init() before anything is registered");
	return EOPNOTSUPP;
}

PINV_EXPORT int pinv_query_cap(enum pinv_cap cap, struct pinv_cap_info *info)
{
	struct pinv_cap_info unused;

	if (!info)
		info = &unused;
	info->reason[0] = '\0';
	info->remedy[0] = '\0';
	switch (cap) {
	case PINV_CAP_LAYOUT_LEASE:
		return query_layout_lease(info);
	case PINV_CAP_FILE_PINS:
		return query_file_pins(info);
	case PINV_CAP_FORK:
		return query_fork(info);
	}
	SAY(info->reason, "capability %d is not known to this version of libpinverbs",
	    cap);
	SAY(info->remedy, "ask for one of enum pinv_cap");
	return EINVAL;
}

static int query_odp(const struct ibv_device_attr_ex *attr)
{
	return (attr->odp_caps.general_caps & IBV_ODP_SUPPORT) ? 0 : EOPNOTSUPP;
}

/* Of the kernel's device; libibverbs has no names for them before 46. */
#define DEVICE_FLUSH_PERSISTENT (1ULL << 39)
#define DEVICE_ATOMIC_WRITE     (1ULL << 40)

static int query_flag(const struct ibv_device_attr_ex *attr, uint64_t flag)
{
	return (attr->device_cap_flags_ex & flag) ? 0 : EOPNOTSUPP;
}

PINV_EXPORT int pinv_query_device_cap(struct ibv_context *context,
				      enum pinv_device_cap cap,
				      struct pinv_cap_info *info)
{
	struct ibv_device_attr_ex attr = { 0 };
	const char *what = "", *remedy = "";
	struct pinv_cap_info unused;
	int err;

	if (!info)
		info = &unused;
	info->reason[0] = '\0';
	info->remedy[0] = '\0';
	if (!context) {
		SAY(info->reason,
		    "the context is NULL, as where no device could be opened");
		SAY(info->remedy, "see which there are: ibv_devices(1), rdma-link(8)");
		return EINVAL;
	}
	err = ibv_query_device_ex(context, NULL, &attr);
	if (err) {
		SAY(info->reason, "querying the device gave: %s", strerror(err));
		SAY(info->remedy, "see whether the device is still there: rdma link");
		return err;
	}
	switch (cap) {
	case PINV_DEVICE_CAP_FLUSH:
		err = query_flag(&attr, DEVICE_FLUSH_PERSISTENT);
		what = "no RDMA flush to persistent memory";
		remedy = "have the other side call pinv_mr_persist() and answer";
		break;
	case PINV_DEVICE_CAP_ATOMIC_WRITE:
		err = query_flag(&attr, DEVICE_ATOMIC_WRITE);
		what = "no RDMA atomic write";
		remedy = "use an 8-byte compare-and-swap, or send a message";
		break;
	case PINV_DEVICE_CAP_ODP:
		err = query_odp(&attr);
		what = "no on-demand paging";
		remedy = "register under an exclusive layout lease, which does not need "
			 "it";
		break;
	default:
		SAY(info->reason,
		    "capability %d is not known to this version of libpinverbs", cap);
		SAY(info->remedy, "ask for one of enum pinv_device_cap");
		return EINVAL;
	}
	if (err) {
		SAY(info->reason, "device %s has %s",
		    ibv_get_device_name(context->device), what);
		SAY(info->remedy, "%s", remedy);
	}
	return err;
}
