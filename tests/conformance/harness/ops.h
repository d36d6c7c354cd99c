/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Steps that an actor does with files and memory.  Result: a value >= 0, or -errno. */
#ifndef PINV_TEST_OPS_H
#define PINV_TEST_OPS_H

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "actor.h"

/* The UAPI of the series, for systems whose headers do not know it yet. */
#ifndef F_LAYOUT
#define F_LAYOUT 0x100
#endif
#ifndef F_EXCLUSIVE
#define F_EXCLUSIVE 0x200
#endif
#define EXCLUSIVE_LAYOUT (F_LAYOUT | F_EXCLUSIVE)

#define NOBODY 65534

static inline long a_open(struct actor *a, const char *path, int flags)
{
	return SYS(a, SYS_openat, V(AT_FDCWD), STR(path), V(flags | O_CLOEXEC), V(0644));
}

/* A descriptor that stays open across exec. */
static inline long a_open_inherited(struct actor *a, const char *path, int flags)
{
	return SYS(a, SYS_openat, V(AT_FDCWD), STR(path), V(flags), V(0644));
}

static inline long a_close(struct actor *a, long fd)
{
	return SYS(a, SYS_close, V(fd));
}

/* Opens, does one thing, closes. */
static inline long a_with_fd(struct actor *a, const char *path, int flags,
			     long (*step)(struct actor *a, long fd))
{
	long fd = a_open(a, path, flags);
	long ret;

	if (fd < 0)
		return fd;
	ret = step(a, fd);
	a_close(a, fd);
	return ret;
}

static inline long a_dup(struct actor *a, long fd)
{
	return SYS(a, SYS_fcntl, V(fd), V(F_DUPFD_CLOEXEC), V(0));
}

static inline long a_fcntl(struct actor *a, long fd, int cmd, long arg)
{
	return SYS(a, SYS_fcntl, V(fd), V(cmd), V(arg));
}

static inline long a_setlease(struct actor *a, long fd, int arg)
{
	return a_fcntl(a, fd, F_SETLEASE, arg);
}

static inline long a_getlease(struct actor *a, long fd)
{
	return a_fcntl(a, fd, F_GETLEASE, 0);
}

/* The address; 0 lets the kernel choose. */
long a_mmap(struct actor *a, uint64_t addr, uint64_t len, int prot, int flags, long fd,
	    uint64_t off);

static inline long a_mmap_shared(struct actor *a, long fd, uint64_t len)
{
	return a_mmap(a, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static inline long a_munmap(struct actor *a, long addr, uint64_t len)
{
	return SYS(a, SYS_munmap, V(addr), V(len));
}

static inline long a_madvise(struct actor *a, long addr, uint64_t len, int advice)
{
	return SYS(a, SYS_madvise, V(addr), V(len), V(advice));
}

static inline long a_msync(struct actor *a, long addr, uint64_t len)
{
	return SYS(a, SYS_msync, V(addr), V(len), V(MS_SYNC));
}

static inline long a_truncate(struct actor *a, const char *path, uint64_t size)
{
	return SYS(a, SYS_truncate, STR(path), V(size));
}

static inline long a_ftruncate(struct actor *a, long fd, uint64_t size)
{
	return SYS(a, SYS_ftruncate, V(fd), V(size));
}

static inline long a_fallocate(struct actor *a, long fd, int mode, uint64_t off,
			       uint64_t len)
{
	return SYS(a, SYS_fallocate, V(fd), V(mode), V(off), V(len));
}

static inline long a_unlink(struct actor *a, const char *path)
{
	return SYS(a, SYS_unlink, STR(path));
}

static inline long a_rename(struct actor *a, const char *from, const char *to)
{
	return SYS(a, SYS_rename, STR(from), STR(to));
}

static inline long a_link(struct actor *a, const char *from, const char *to)
{
	return SYS(a, SYS_link, STR(from), STR(to));
}

static inline long a_chmod(struct actor *a, const char *path, mode_t mode)
{
	return SYS(a, SYS_chmod, STR(path), V(mode));
}

static inline long a_chown(struct actor *a, const char *path, uid_t uid)
{
	return SYS(a, SYS_chown, STR(path), V(uid), V(-1));
}

static inline long a_fsync(struct actor *a, long fd)
{
	return SYS(a, SYS_fsync, V(fd));
}

static inline long a_ioctl_fd(struct actor *a, long fd, unsigned long cmd, long arg)
{
	return SYS(a, SYS_ioctl, V(fd), V(cmd), V(arg));
}

/* Content of seed from position pos of the file on, for len <= 8192 bytes. */
long a_pwrite(struct actor *a, long fd, uint64_t pos, uint64_t len, uint64_t seed);
/* 0 if the file's (or memory's) content is that of seed, -EILSEQ if it is not, -errno. */
long a_pread_check(struct actor *a, long fd, uint64_t pos, uint64_t len, uint64_t seed);
long a_mem_write(struct actor *a, uint64_t addr, uint64_t len, uint64_t seed,
		 uint64_t pos);
long a_mem_check(struct actor *a, uint64_t addr, uint64_t len, uint64_t seed,
		 uint64_t pos);

/* Becomes this user, with no capability but those in the mask (1 << CAP_LEASE, …). */
long a_become(struct actor *a, uid_t uid, uint64_t caps);
long a_set_memlock(struct actor *a, uint64_t bytes);

/* Puts a copy of the descriptor in flight over a socket that nobody reads; the socket. */
long a_park_fd(struct actor *a, long fd);

/* A new thread of the actor does fcntl(fd, cmd, arg) and ends. */
long a_fcntl_in_thread(struct actor *a, long fd, int cmd, long arg);

/* The actor runs a program with its output to /dev/null; its exit status. */
long a_run(struct actor *a, const char *const argv[]);
void a_run_begin(struct actor *a,
		 const char *const argv[]); /* ends with actor_call_end() */

/* Adds an RDMA device (rxe, siw) to a network device, and takes it away: what "rdma link" does. */
long a_rdma_link_add(struct actor *admin, const char *name, const char *type,
		     const char *netdev);
long a_rdma_link_delete(struct actor *admin, const char *name);
void a_rdma_link_delete_begin(struct actor *admin,
			      const char *name); /* ends with actor_call_end() */

/*
 * A fresh RDMA device on the loopback interface, so that rxe0 stays as it is for other checks; the
 * check ends as skipped if the system cannot make one.
 */
void a_rdma_device(struct actor *admin, const char *name, const char *type);

/* io_uring with raw system calls: register a fixed buffer (unregistered again at once) … */
long a_uring_register_buffer(struct actor *a, uint64_t addr, uint64_t len);
/* … register a descriptor with a ring, which is returned and keeps the description … */
long a_uring_keep_fd(struct actor *a, long fd);
/* … and one request on a descriptor (IORING_OP_FTRUNCATE, IORING_OP_FALLOCATE). */
long a_uring_request(struct actor *a, int opcode, long fd, uint64_t off, uint64_t len,
		     uint64_t addr);
void a_uring_request_begin(struct actor *a, int opcode, long fd, uint64_t off,
			   uint64_t len, uint64_t addr);

/* Long-term pin through /sys/kernel/debug/gup_test. */
long a_gup_test_longterm(struct actor *a, uint64_t addr, uint64_t len);

#endif
