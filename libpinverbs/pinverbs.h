/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * libpinverbs: RDMA memory registration of DAX files under layout leases.
 *
 * Conventions, as in libibverbs: a function that returns int returns 0 or a positive
 * errno; a function that returns a pointer returns NULL with errno set. A call that fails
 * changes nothing, except where its text says how far it may have got. The library prints
 * nothing and uses no signals; it says why a call failed through the function given to
 * pinv_set_log(). Rule ids (L1, P1, …) are explained in pinverbs(7). A handle is one that the
 * library has given and not yet taken back; NULL is one only where the text says so.
 *
 * Threads: every function may be called from any thread at any time. Two threads must not
 * use one handle when one of them is giving it up, as with free(). A thread in a call must
 * not be cancelled (pthread_cancel).
 *
 * fork: a child holds no lease (L7) and its parent's memory regions are not its own. In a
 * child made by fork(), the calls that give up an inherited handle give up the child's
 * copy only: its memory, its mapping, its descriptor. The parent's lease and MR stay.
 *
 * Descriptors: a function that takes a file descriptor only borrows it during the call.
 * What must outlast the call is kept through a duplicate (close-on-exec), which refers to
 * the same open file description, so the caller may close its own at any time. When the
 * duplicate is closed, by a call that fails too, the caller loses the POSIX record locks
 * (F_SETLK) that it has on the file, as close(2) says; open file description locks
 * (F_OFD_SETLK) stay.
 */
#ifndef PINVERBS_H
#define PINVERBS_H

#include <stddef.h>
#include <stdint.h>
#include <infiniband/verbs.h>

/*
 * The numbers of the kernel's interface, for programs that call fcntl(2) themselves:
 * fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE) takes an exclusive layout lease,
 * fcntl(fd, F_SETLEASE, F_LAYOUT | F_UNLCK) releases it, fcntl(fd, F_GETLEASE) tells it.
 * A patched kernel has them in <linux/fcntl.h> for every architecture (L8).
 */
#ifndef F_LAYOUT
#define F_LAYOUT 0x100
#endif
#ifndef F_EXCLUSIVE
#define F_EXCLUSIVE 0x200
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct pinv_lease;
struct pinv_mr;

/* What the calling process holds on an open file description. */
enum pinv_lease_kind {
	PINV_LEASE_NONE = 0,
	PINV_LEASE_EXCLUSIVE = 1,   /* cannot be broken; allows pins */
	PINV_LEASE_COOPERATIVE = 2, /* can be broken; allows no pins */
	PINV_LEASE_UNKNOWN = 3      /* a classic lease on the description hides it */
};

/*
 * pinv_lease_acquire - take a layout lease on the open file description behind fd.
 *
 * Effect: until release no other process can free, move or share the blocks of the file
 * (T1), and the calling process may register mappings made through this description (P1).
 * The lease covers the whole file, whatever its size.
 * PINV_LEASE_COOPERATIVE instead: a layout change by another process makes the descriptor of
 * pinv_lease_notice() readable and waits until the lease is released, at most
 * fs.lease-break-time seconds, after which the kernel ends the lease by itself. It allows no
 * pins (L3).
 *
 * A process has one lease on a description, so the library counts: every call returns a
 * handle of its own, which must be of the same kind, the memory regions of pinv_reg_file_mr()
 * count too, and the kernel's lease is released with the last of them. A lease that the process
 * had taken itself with fcntl(2) before the first of them is used and left in place afterwards.
 *
 * Ownership: the handle is the caller's, to be given to pinv_lease_release(). The lease
 * belongs to the calling process and the description (L7); @fd stays the caller's.
 * Threads: safe. Waits while another thread or process holds the file's inode lock.
 * Returns NULL with errno: EACCES neither the file's owner nor CAP_LEASE; EBADF not open,
 * or not open for writing; EBUSY the description carries a lease of another kind, or a
 * cooperative one that the library did not take; EINVAL not a regular file, leases switched
 * off (fs.leases-enable), or an unknown @kind; EAGAIN a pNFS layout is out on the file, or a
 * cooperative lease on it is being asked back; EMFILE; ENOMEM, also if no thread may be made;
 * EOPNOTSUPP the kernel has no layout leases, or the file cannot carry one (not DAX, shared
 * extents, swap file).
 * Rules: L1, L2, L3, L5, L7, L10.
 */
struct pinv_lease *pinv_lease_acquire(int fd, enum pinv_lease_kind kind);

/*
 * pinv_lease_release - give up a handle of pinv_lease_acquire().
 *
 * Effect: with the last handle and memory region on the description the kernel's lease is
 * released and no new registration succeeds (P3). The handle is freed when 0 is returned.
 * NULL is allowed and does nothing.
 * Threads: safe; see the top of this file for handles shared by threads.
 * Returns EBUSY, the handle and lease unchanged, when this is the last handle and pins that
 * the library did not make (ibv_reg_mr() called directly) still lie under the lease (L6).
 * Rules: L6, L7, P3.
 */
int pinv_lease_release(struct pinv_lease *lease);

/*
 * pinv_lease_notice - the descriptor that tells when a cooperative lease is asked back.
 *
 * Effect: stores in *@fd a descriptor that poll(2), select(2) and epoll(7) find readable from
 * the moment on at which somebody waits for the lease; it stays so. Whoever uses the layout
 * then stops and calls pinv_lease_release(). No signal reaches the program: the library has a
 * thread, with all signals blocked, as long as there are cooperative leases, and makes it the
 * owner of the description (F_SETOWN_EX, F_SETSIG) for the moment in which the lease is taken.
 * Ownership: the descriptor is the handle's, may be shared with other handles on the same
 * description, and is closed with the last. Only wait for it: do not read or close it.
 * Threads: safe. Returns EINVAL @fd is NULL, or the lease is exclusive. Rules: L3.
 */
int pinv_lease_notice(const struct pinv_lease *lease, int *fd);

/*
 * pinv_lease_query - which layout lease the calling process holds through fd.
 *
 * Effect: none but storing the answer in *@kind: also leases taken with fcntl(2) are seen.
 * A forked child and a process that received the descriptor hold none until they take their
 * own (L7). PINV_LEASE_UNKNOWN: F_GETLEASE reports the classic lease first (L1), and the
 * library took no layout lease here. On a kernel without layout leases: PINV_LEASE_NONE.
 * Threads: safe.
 * Returns EBADF not an open descriptor; EINVAL @kind is NULL. Rules: L1, L7.
 */
int pinv_lease_query(int fd, enum pinv_lease_kind *kind);

/*
 * pinv_open_pd - open an RDMA device, and allocate a protection domain on it.
 *
 * Effect: opens the device of that name, or if @device is NULL the first that can be opened,
 * with ibv_open_device(3) and ibv_alloc_pd(3). Nothing of this library needs it: any protection
 * domain will do for memory regions.
 * Ownership: protection domain and device (pd->context) are the caller's, to be given to
 * pinv_close_pd(), or to ibv_dealloc_pd() and ibv_close_device().
 * Threads: safe.
 * Returns NULL with errno: ENODEV there is no such device, or none that libibverbs has a driver
 * for; EACCES, EPERM the caller may not open it; EMFILE; ENOMEM; others of open(2).
 */
struct ibv_pd *pinv_open_pd(const char *device);

/*
 * pinv_close_pd - free a protection domain, and close its device.
 *
 * NULL is allowed and does nothing. A forked child shares the device with its parent: what it
 * frees there is gone for both, so it leaves the parent's domain alone and opens its own.
 * Threads: safe; see the top of this file.
 * Returns EBUSY, nothing changed, while there are memory regions, queue pairs and others on it;
 * those of ibv_dealloc_pd(3); those of ibv_close_device(3), after which the domain has gone.
 */
int pinv_close_pd(struct ibv_pd *pd);

/*
 * pinv_reg_file_mr - map a range of a file and register it as a memory region.
 *
 * Effect: takes the exclusive layout lease that a DAX file needs (as pinv_lease_acquire(),
 * counted with its handles), maps @length bytes (0: up to the end of the file) from byte
 * @offset shared through the description behind @fd, and registers them with @pd and the
 * IBV_ACCESS_ flags @access. What needs no lease (device DAX, tmpfs, memfd, hugetlbfs: P5) is
 * mapped and registered only. The mapping is readable, and writable if @fd is. If a step
 * fails the earlier ones are undone in reverse order.
 *
 * Ownership: the handle is the caller's, to be given to pinv_dereg_mr(); it owns the
 * mapping, the ibv_mr and a share in the lease. @fd and @pd stay the caller's; @pd must
 * outlive the handle.
 * Threads: safe.
 * Units: @offset and @length in bytes, with no alignment asked of them. The range must lie
 * within the file: see pinv_grow_file_mr().
 * Returns NULL with errno: those of pinv_lease_acquire() for a DAX file; EACCES write access
 * asked for and @fd not open for reading and writing; EINVAL empty range, or one that does
 * not lie within the file, or not a regular file, or @pd is NULL; ENOMEM, over RLIMIT_MEMLOCK
 * too (P9); EPERM with a RLIMIT_MEMLOCK of 0; EFAULT the kernel does not pin the pages of this file for writing (page cache, P7),
 * or a hole under a read-only mapping (P8), or a file without lease was cut meanwhile; those of
 * mmap(2) and ibv_reg_mr(3).
 * Rules: P1, P3, P5, P7, P8, P9, P11.
 */
struct pinv_mr *pinv_reg_file_mr(struct ibv_pd *pd, int fd, uint64_t offset,
				 size_t length, int access);

/*
 * pinv_grow_file_mr - append to a file and register what is new as a memory region.
 *
 * Effect: as pinv_reg_file_mr() on the last @length bytes of the file after it has been
 * extended by as many, with blocks allocated (T3: growth is no layout change, so other
 * processes' leases do not hinder). If @offset is not NULL the byte at which they start is
 * stored there. Regions registered before stay as they are.
 * Threads: safe, but two that grow one file at the same time may get the same bytes, as two
 * writers that append without O_APPEND: let one do it.
 * Returns NULL with errno: those of pinv_reg_file_mr(); EINVAL @length is 0, or the file
 * cannot grow that far (device DAX: not at all); EFBIG, ENOSPC, EDQUOT, EPERM (sealed memfd),
 * EINTR (a signal, while huge pages are found) and others of fallocate(2). The file keeps its
 * new size if mapping or registering it fails: under the lease it cannot be cut.
 * Rules: T3 and those of pinv_reg_file_mr().
 */
struct pinv_mr *pinv_grow_file_mr(struct ibv_pd *pd, int fd, size_t length, int access,
				  uint64_t *offset);

/*
 * pinv_reg_mr - register memory of the caller as a memory region.
 *
 * Effect: as ibv_reg_mr(3), made safe for fork(): a child does not take the pages away from
 * the device (F1). On a kernel that copies pinned pages for the child (since 5.12) nothing is
 * needed for that; on an older one libibverbs is told to keep the memory from children
 * (ibv_fork_init(3)).
 * Ownership: the handle is the caller's, to be given to pinv_dereg_mr(); so is the memory, which
 * must stay mapped. A mapping of a DAX file needs a lease that the caller holds (P1).
 * Threads: safe.
 * Returns NULL with errno: those of ibv_reg_mr(3); EPERM no lease for a DAX file, or RLIMIT_MEMLOCK is 0; EINVAL
 * @length is 0, an older kernel, and memory was registered before by other means, or @pd is
 * NULL.
 * Rules: F1, P1, P2, P9.
 */
struct pinv_mr *pinv_reg_mr(struct ibv_pd *pd, void *address, size_t length, int access);

/*
 * pinv_dereg_mr - deregister, unmap, and give up the share in the lease, in this order.
 *
 * The order is the only safe one: the device must have stopped before the address can be
 * reused, and a lease with pins cannot be released (L6). The handle is freed when 0 is
 * returned. NULL is allowed and does nothing.
 *
 * If a step fails its errno is returned, the steps before it are done, the handle stays
 * valid and another call goes on at that step. Until the first step has succeeded nothing
 * has changed: EBUSY from ibv_dereg_mr() (memory windows are bound to it) leaves the MR in
 * full use. pinv_mr_ibv() tells: NULL when the MR is gone. If the device has been removed
 * (O7) the MR has ended by itself, and the other steps are done.
 * Threads: safe; see the top of this file for handles shared by threads.
 * Returns those of ibv_dereg_mr(3); ENOMEM from munmap(2), which would split a mapping over
 * the process's limit; EBUSY as pinv_lease_release(). Rules: C1, C2, L6, T6.
 */
int pinv_dereg_mr(struct pinv_mr *mr);

/*
 * pinv_mr_ibv - the verbs MR of a handle: addr, length, lkey, rkey.
 *
 * addr is the address of byte @offset of the file in this process. The ibv_mr belongs to
 * the handle: never give it to ibv_dereg_mr() or ibv_rereg_mr().
 * Threads: safe. Returns NULL (errno untouched) once the MR is deregistered, and in a
 * forked child.
 */
struct ibv_mr *pinv_mr_ibv(const struct pinv_mr *mr);

/*
 * pinv_mr_persist - make durable what has been written to a memory region on a file.
 *
 * Effect: after return @length bytes (0: up to its end) from byte @offset of the region are on
 * the storage, whether this process or a peer wrote them, provided that the peer's writes have
 * arrived: as seen by a completion for something sent after them, not by polling memory. On
 * device DAX and on files whose mapping allows it (MAP_SYNC) this flushes CPU caches
 * (libpmem's pmem_persist), else it is msync(2).
 * Threads: safe.
 * Returns EOPNOTSUPP memory that does not last (tmpfs, memfd, hugetlbfs), or a region of
 * pinv_reg_mr(); EINVAL the range is not within the region, or that is deregistered already;
 * those of msync(2). Rules: Y1.
 */
int pinv_mr_persist(struct pinv_mr *mr, size_t offset, size_t length);

/*
 * Access flags of a region, and of the queue pair through which it is reached: peers may flush
 * it. Later releases of libibverbs name them.
 */
#define PINV_ACCESS_FLUSH_GLOBAL     (1 << 8)
#define PINV_ACCESS_FLUSH_PERSISTENT (1 << 9)

/*
 * pinv_wr_flush - make durable, from afar, what has been written to a peer's region.
 *
 * Effect: adds a work request to a batch, as ibv_wr_rdma_write(3) does: between
 * ibv_wr_start() and ibv_wr_complete(), with qp->wr_id and qp->wr_flags. When it has completed
 * @length bytes from @address of the peer's region @rkey are on the peer's storage, with what
 * this queue pair wrote there before; the peer's program does nothing. The peer registered the
 * region, on persistent memory, with PINV_ACCESS_FLUSH_PERSISTENT; its queue pair has that
 * access flag too, and responder resources (max_dest_rd_atomic not 0).
 * Threads: safe, as far as the batch is.
 * Returns EOPNOTSUPP the provider has it not for this queue pair: nothing was added, the batch
 * goes on, and the peer can be asked to call pinv_mr_persist(); what ibv_wr_complete() is
 * going to return, then nothing of the batch is posted: EINVAL more than 2 GiB; ENOMEM the
 * send queue is full. pinv_query_device_cap() tells of the device. Rules: Y1.
 */
int pinv_wr_flush(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address, size_t length);

/* What the running kernel can do. */
enum pinv_cap {
	PINV_CAP_LAYOUT_LEASE =
		0, /* layout leases, and so memory regions on DAX files (L1) */
	PINV_CAP_FILE_PINS = 1, /* /proc/PID/file_pins (O1) */
	PINV_CAP_FORK = 2       /* regions stay intact when the process forks (F1) */
};

/* What an RDMA device can do. */
enum pinv_device_cap {
	PINV_DEVICE_CAP_FLUSH = 0, /* RDMA flush: the peer makes its writes durable */
	PINV_DEVICE_CAP_ATOMIC_WRITE = 1, /* 8 bytes at once, in order after a flush */
	PINV_DEVICE_CAP_ODP = 2           /* on-demand paging: registering without pins */
};

/* Why a capability is missing and what to do: one lower-case line each. */
struct pinv_cap_info {
	char reason[128];
	char remedy[128];
};

/*
 * pinv_query_cap - whether the running kernel has a capability, and if not, why.
 *
 * Effect: none that lasts: no lease is taken or released, no file of the caller touched.
 * If @info is not NULL its texts are set, to empty strings if the capability is there.
 * Threads: safe.
 * Returns 0 it is there; EOPNOTSUPP it is not; EINVAL unknown @cap; another errno (EMFILE,
 * ENOMEM, EPERM) it could not be found out, with the reason in @info. Rules: L1, L2, O1.
 */
int pinv_query_cap(enum pinv_cap cap, struct pinv_cap_info *info);

/*
 * pinv_query_device_cap - whether a device has a capability, and if not, why and what instead.
 *
 * It is about the device and its driver; the provider library must offer the operation too.
 * Threads: safe. Returns as pinv_query_cap(), EINVAL also if @context is NULL, or the errno of
 * ibv_query_device_ex(3).
 */
int pinv_query_device_cap(struct ibv_context *context, enum pinv_device_cap cap,
			  struct pinv_cap_info *info);

/*
 * Pins listing: which files are pinned, through which process and owner, and under whose
 * lease; and which are leased without pins. Whatever could not be found out is marked as
 * unknown, never guessed.
 */
struct pinv_pins;

/* Whose pins: a process number, or one of these. */
#define PINV_PINS_SELF 0
#define PINV_PINS_ALL  (-1)

enum pinv_pins_order {
	PINV_PINS_BY_OWNER = 0, /* process, descriptor, file */
	PINV_PINS_BY_FILE = 1   /* file, process, descriptor */
};

enum pinv_pin_lease {
	PINV_PIN_LEASE_UNKNOWN = 0,
	PINV_PIN_LEASE_HELD = 1,       /* exclusive, on an open or mapped description */
	PINV_PIN_LEASE_ZOMBIE = 2,     /* exclusive, kept by its pins only (C3) */
	PINV_PIN_LEASE_COOPERATIVE = 3 /* can be broken; has no pins */
};

#define PINV_UNKNOWN UINT64_MAX

/*
 * The pins of one owner under one lease, as one process shows them; or, with pages 0, a
 * lease without pins. Later versions may add members at the end.
 *
 * Paths are as in /proc: a newline as \012, and " (deleted)" after that of an unlinked file.
 */
struct pinv_pin {
	/* The process that has the owner's descriptor, or the lease without pins; 0: unknown. */
	int pid;
	unsigned uid;        /* effective user of pid; -1: unknown */
	const char *command; /* of pid; NULL: unknown */
	/* Descriptor in pid; -1: pid has the owner mapped only, or there is none. */
	int owner_fd;
	const char *owner; /* path of the uverbs device; NULL: no pins, or unknown */
	const char *file;  /* path of the pinned or leased file; NULL: unknown */
	unsigned device_major, device_minor; /* of the file's file system */
	uint64_t inode;   /* of the file; 0: it is unknown, and the device too */
	uint64_t pages;   /* of sysconf(_SC_PAGESIZE) bytes; PINV_UNKNOWN */
	uint64_t regions; /* memory regions; PINV_UNKNOWN */
	enum pinv_pin_lease lease;
	/* Who took the lease; more than one: one of them. They may have exited since. */
	unsigned holder_count;
	const int *holders;
};

/*
 * pinv_list_pins - list the pins and leases of a process, or of all.
 *
 * Effect: reads /proc/locks, and file_pins and fdinfo of the processes; takes nothing.
 * @pid is PINV_PINS_SELF, PINV_PINS_ALL or a process; @fd is -1, or a descriptor, O_PATH will
 * do, of the only file that matters. The list is what was there at one time unless files were
 * being registered all the while.
 * Ownership: the list is the caller's, to be given to pinv_pins_free().
 * Threads: safe. Returns NULL with errno: EOPNOTSUPP the kernel has no file_pins; ESRCH there
 * is no process @pid; EACCES it may not be looked at (PTRACE_MODE_READ); EBADF @fd; EINVAL
 * @pid or @order; EMFILE; ENOMEM; ENOENT /proc is not mounted. Rules: L9, O1, O2, O3, O4, C3.
 */
struct pinv_pins *pinv_list_pins(int pid, int fd, enum pinv_pins_order order);

/* The number of entries. Threads: safe. */
size_t pinv_pins_count(const struct pinv_pins *pins);

/* Entry @index, valid until pinv_pins_free(); NULL if there is none. Threads: safe. */
const struct pinv_pin *pinv_pins_get(const struct pinv_pins *pins, size_t index);

/*
 * The number of processes that may have pins which the list does not show, since the caller
 * may not look at them. 0, and so a complete list, also if there is no lease with pins under
 * which they could be. Threads: safe.
 */
unsigned pinv_pins_unseen(const struct pinv_pins *pins);

/* Free a list; NULL is allowed. Threads: as free(). */
void pinv_pins_free(struct pinv_pins *pins);

/*
 * A log function gets one line, without newline, for each call that failed: object,
 * operation, reason, value, remedy. It runs in the thread of the failing call, before that
 * returns, with no lock of the library held; it may call the library. @message is valid
 * during the call only.
 */
typedef void (*pinv_log_fn)(void *arg, const char *message);

/*
 * pinv_set_log - have failures explained to @fn(@arg, …); NULL, the default, for silence.
 * The queries of capabilities have their own texts and are not logged.
 *
 * Effect: for the whole process, replacing the function set before.
 * Ownership: @arg stays the caller's and must stay valid: a call that was failing in another
 * thread meanwhile may still call the replaced function shortly after the return.
 * Threads: safe. Cannot fail.
 */
void pinv_set_log(pinv_log_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
