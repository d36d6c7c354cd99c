// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Layout leases. The kernel keeps one per process and open file description and does not
 * count how often it was asked for, so this file does: one struct description for each
 * description that carries a lease on behalf of handles, one share for each handle or
 * memory region.
 *
 * Locks: list_lock guards the list and every `users`; a description's own lock guards its
 * lease and is held across the fcntl calls, which may sleep in the kernel for as long as
 * another operation keeps the inode busy. list_lock is never held there, so leases on
 * other files do not wait, nor does fork(). Order: never both at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include "internal.h"
#include "notice.h"

struct description {
	struct description *next;
	unsigned long generation;
	enum pinv_lease_kind kind;
	unsigned long users; /* list_lock: who may look at this structure */
	pthread_mutex_t lock;
	unsigned long shares; /* lock: who needs the lease; 0: there is none of ours */
	bool adopted;         /* lock: the lease was there before us and will stay */
	struct watch
		watch; /* of a cooperative lease; stays the same as long as there is one */
	int fd;
};

struct pinv_lease {
	struct description *desc;
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct description *descriptions;
static unsigned long generation;

static void before_fork(void)
{
	pthread_mutex_lock(&list_lock);
	watches_before_fork();
}

static void after_fork_in_parent(void)
{
	watches_in_parent();
	pthread_mutex_unlock(&list_lock);
}

/*
 * The child holds no lease (L7): nothing on the list is its own. Its inherited handles
 * still refer to these structures, whose locks may be held by threads that the child does
 * not have, so only `users` is used from now on.
 */
static void after_fork_in_child(void)
{
	generation++;
	descriptions = NULL;
	watches_in_child();
	pthread_mutex_unlock(&list_lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

unsigned long process_generation(void)
{
	return generation;
}

int description_fd(const struct description *desc)
{
	return desc->fd;
}

/*
 * Caller holds list_lock. EINVAL comes from a kernel older than layout leases: whatever is
 * on the list there is about to be refused, so nothing is missed.
 */
static int find_description(int fd, struct description **result)
{
	struct description *desc;

	*result = NULL;
	for (desc = descriptions; desc; desc = desc->next) {
		int same = fcntl(desc->fd, F_DUPFD_QUERY, fd);

		if (same < 0 && errno != EINVAL)
			return errno;
		if (same == 1) {
			*result = desc;
			break;
		}
	}
	return 0;
}

/*
 * The duplicate keeps releasing possible whatever the caller does with its descriptor, and
 * keeps a reused number from being taken for it. Below 3 it could become a standard stream.
 */
static int new_description(int fd, enum pinv_lease_kind kind, struct description **result)
{
	struct description *desc = calloc(1, sizeof(*desc));

	if (!desc)
		return ENOMEM;
	desc->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (desc->fd < 0) {
		/* EINVAL: the limit is not above 3, so there is no number left either. */
		int err = errno == EINVAL ? EMFILE : errno;

		free(desc);
		return err;
	}
	pthread_mutex_init(&desc->lock, NULL);
	desc->generation = generation;
	desc->kind = kind;
	*result = desc;
	return 0;
}

static void discard(struct description *desc)
{
	if (!desc)
		return;
	close(desc->fd);
	pthread_mutex_destroy(&desc->lock);
	free(desc);
}

/*
 * A new one is made without list_lock: fork() takes that, and may have taken the lock of the
 * program's allocator before.
 */
static int get_description(int fd, enum pinv_lease_kind kind, struct description **result)
{
	struct description *desc, *made = NULL;
	int err;

	pthread_mutex_lock(&list_lock);
	err = find_description(fd, &desc);
	if (!err && !desc) {
		pthread_mutex_unlock(&list_lock);
		err = new_description(fd, kind, &made);
		pthread_mutex_lock(&list_lock);
		/* Another thread may have made one meanwhile. */
		if (!err)
			err = find_description(fd, &desc);
		if (!err && !desc) {
			desc = made;
			made = NULL;
			desc->next = descriptions;
			descriptions = desc;
		}
	}
	if (!err && desc->kind != kind)
		err = EBUSY;
	if (!err) {
		desc->users++;
		*result = desc;
	}
	pthread_mutex_unlock(&list_lock);
	discard(made);
	return err;
}

static void put_description(struct description *desc)
{
	struct description **link;

	pthread_mutex_lock(&list_lock);
	if (--desc->users) {
		pthread_mutex_unlock(&list_lock);
		return;
	}
	for (link = &descriptions; *link; link = &(*link)->next) {
		if (*link == desc) {
			*link = desc->next;
			break;
		}
	}
	pthread_mutex_unlock(&list_lock);
	close(desc->fd);
	if (desc->generation == generation)
		pthread_mutex_destroy(&desc->lock);
	else if (desc->kind == PINV_LEASE_COOPERATIVE)
		close(desc->watch.event); /* the parent's watch has its own */
	free(desc);
}

/*
 * Caller holds desc->lock. An exclusive lease that the program has taken itself serves as well;
 * with a cooperative one it has made arrangements of its own. The kernel would change the kind
 * of a lease that is there, and so would break the promise that came with it.
 */
static int take_lease(struct description *desc)
{
	int held = fcntl(desc->fd, F_GETLEASE);
	int err = 0;

	if (held < 0)
		return errno;
	desc->adopted =
		held == (F_LAYOUT | F_EXCLUSIVE) && desc->kind == PINV_LEASE_EXCLUSIVE;
	if (desc->adopted)
		return 0;
	if (held == F_LAYOUT || held == (F_LAYOUT | F_EXCLUSIVE))
		return EBUSY;
	if (desc->kind == PINV_LEASE_COOPERATIVE)
		err = watch_begin(&desc->watch, desc->fd);
	else if (fcntl(desc->fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE))
		err = errno;
	/* A kernel that does not know the argument calls it invalid. */
	if (err == EINVAL && !kernel_has_layout_leases())
		err = EOPNOTSUPP;
	return err;
}

/*
 * Caller holds desc->lock. Releasing what someone has released behind our back is done, and so
 * is what the kernel has taken back.
 */
static int leave_lease(struct description *desc)
{
	if (!desc->adopted && fcntl(desc->fd, F_SETLEASE, F_LAYOUT | F_UNLCK) &&
	    errno != EAGAIN)
		return errno;
	if (desc->kind == PINV_LEASE_COOPERATIVE)
		watch_end(&desc->watch);
	return 0;
}

int description_hold(int fd, enum pinv_lease_kind kind, struct description **result)
{
	struct description *desc = NULL;
	int err = get_description(fd, kind, &desc);

	if (err)
		return err;
	pthread_mutex_lock(&desc->lock);
	if (!desc->shares)
		err = take_lease(desc);
	if (!err)
		desc->shares++;
	pthread_mutex_unlock(&desc->lock);
	if (err) {
		put_description(desc);
		return err;
	}
	*result = desc;
	return 0;
}

int description_drop(struct description *desc)
{
	int err = 0;

	if (desc->generation == generation) {
		pthread_mutex_lock(&desc->lock);
		if (desc->shares == 1)
			err = leave_lease(desc);
		if (!err)
			desc->shares--;
		pthread_mutex_unlock(&desc->lock);
	}
	if (!err)
		put_description(desc);
	return err;
}

/*
 * For undoing what cannot be handed back to the caller: should somebody have made pins under
 * the lease meanwhile, it is theirs now and stays, as one does that was there before us.
 */
void description_abandon(struct description *desc)
{
	if (!description_drop(desc))
		return;
	pthread_mutex_lock(&desc->lock);
	desc->adopted = true;
	pthread_mutex_unlock(&desc->lock);
	description_drop(desc);
}

/* Whether the library has a lease on the description; never waits for a fcntl. */
static bool description_is_listed(int fd)
{
	struct description *desc;
	bool listed;

	pthread_mutex_lock(&list_lock);
	listed = !find_description(fd, &desc) && desc &&
		 desc->kind == PINV_LEASE_EXCLUSIVE;
	pthread_mutex_unlock(&list_lock);
	return listed;
}

PINV_EXPORT struct pinv_lease *pinv_lease_acquire(int fd, enum pinv_lease_kind kind)
{
	struct pinv_lease *lease;
	int err;

	if (kind != PINV_LEASE_EXCLUSIVE && kind != PINV_LEASE_COOPERATIVE) {
		errno = fail_kind(fd, kind);
		return NULL;
	}
	lease = malloc(sizeof(*lease));
	err = lease ? description_hold(fd, kind, &lease->desc) : ENOMEM;
	if (!err)
		return lease;
	free(lease);
	errno = fail_lease(fd,
			   kind == PINV_LEASE_EXCLUSIVE ? "take exclusive layout lease"
							: "take cooperative layout lease",
			   err);
	return NULL;
}

PINV_EXPORT int pinv_lease_notice(const struct pinv_lease *lease, int *fd)
{
	if (lease->desc->kind != PINV_LEASE_COOPERATIVE)
		return fail_notice(lease->desc->fd);
	if (!fd)
		return fail_no_place(lease->desc->fd, "give notice of lease");
	*fd = lease->desc->watch.event;
	return 0;
}

PINV_EXPORT int pinv_lease_release(struct pinv_lease *lease)
{
	int err;

	if (!lease)
		return 0;
	err = description_drop(lease->desc);
	if (err)
		return fail_release(description_fd(lease->desc), err);
	free(lease);
	return 0;
}

PINV_EXPORT int pinv_lease_query(int fd, enum pinv_lease_kind *kind)
{
	int held;

	if (!kind)
		return fail_no_place(fd, "query layout lease");
	held = fcntl(fd, F_GETLEASE);
	if (held < 0)
		return fail_lease(fd, "query layout lease", errno);
	switch (held) {
	case F_LAYOUT | F_EXCLUSIVE:
		*kind = PINV_LEASE_EXCLUSIVE;
		break;
	case F_LAYOUT:
		*kind = PINV_LEASE_COOPERATIVE;
		break;
	case F_UNLCK:
		*kind = PINV_LEASE_NONE;
		break;
	default:
		if (description_is_listed(fd))
			*kind = PINV_LEASE_EXCLUSIVE;
		else
			*kind = kernel_has_layout_leases() ? PINV_LEASE_UNKNOWN
							   : PINV_LEASE_NONE;
	}
	return 0;
}
