// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The kernel tells by a signal that a cooperative lease is asked back. A library must not have
 * signals delivered to its program, so a thread that has all of them blocked is who they are
 * sent to: when the lease is taken, the kernel notes the description's owner and signal if the
 * owner is a thread of the caller. The description's own settings are put back at once. The
 * thread waits for the signal and makes an event descriptor readable.
 *
 * The thread runs as long as there are watches. Locks: thread_lock guards the thread's coming
 * and going, watch_lock the list. Order: thread_lock, watch_lock.
 *
 * A thread allocates when it is made, and may do so when it ends; fork() may have taken the lock
 * of the program's allocator before it gets here. So it waits for watch_lock, which is held for
 * short, but not for thread_lock: a child begins with a new one, and without thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "internal.h"
#include "notice.h"

/* Queued, unlike SIGIO; sent to our thread only, and so of no concern to the program. */
#define NOTICE_SIGNAL (SIGRTMAX - 3)

/*
 * With RLIMIT_SIGPENDING used up the kernel sends SIGIO, which we do not wait for since it
 * might be one that the program waits for. So have a look now and then.
 */
#define LOOK_SECONDS 1

static pthread_mutex_t thread_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;
static pthread_t thread;
static pid_t thread_id;
static sem_t started;

static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;
static struct watch *watches;
static bool ending;

static void raise_event(const struct watch *watch)
{
	uint64_t one = 1;

	/* Fails only if it is raised already, 2^64 - 1 times. */
	if (write(watch->event, &one, sizeof(one)) < 0)
		return;
}

/* A lease that is asked back, or is gone, is shown as what will be left of it. */
static bool is_asked_back(const struct watch *watch)
{
	return fcntl(watch->fd, F_GETLEASE) == F_UNLCK;
}

/* @fd: what a signal told; -1: nothing. False: the thread is to end. */
static bool look(int fd)
{
	struct watch *watch;
	bool go_on;

	pthread_mutex_lock(&watch_lock);
	for (watch = watches; watch; watch = watch->next)
		if (watch->fd == fd || is_asked_back(watch))
			raise_event(watch);
	go_on = !ending;
	pthread_mutex_unlock(&watch_lock);
	return go_on;
}

static void *wait_for_notices(void *arg)
{
	const struct timespec timeout = { .tv_sec = LOOK_SECONDS };
	siginfo_t info;
	sigset_t set;
	int fd;

	(void)arg;
	thread_id = gettid();
	sem_post(&started);
	sigemptyset(&set);
	sigaddset(&set, NOTICE_SIGNAL);
	do {
		fd = -1;
		if (sigtimedwait(&set, &info, &timeout) == NOTICE_SIGNAL &&
		    info.si_code == POLL_MSG)
			fd = info.si_fd;
	} while (look(fd));
	return NULL;
}

/* Caller holds thread_lock. */
static int start_thread(void)
{
	sigset_t all, old;
	int err;

	ending = false;
	sem_init(&started, 0, 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, NULL, wait_for_notices, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	while (!err && sem_wait(&started))
		;
	sem_destroy(&started);
	/* EAGAIN would say of the lease that it can be had later. */
	return err == EAGAIN ? ENOMEM : err;
}

static int hold_thread(void)
{
	int err = 0;

	pthread_mutex_lock(&thread_lock);
	if (!users)
		err = start_thread();
	if (!err)
		users++;
	pthread_mutex_unlock(&thread_lock);
	return err;
}

static void drop_thread(void)
{
	pthread_mutex_lock(&thread_lock);
	if (!--users) {
		pthread_mutex_lock(&watch_lock);
		ending = true;
		pthread_mutex_unlock(&watch_lock);
		pthread_kill(thread, NOTICE_SIGNAL);
		pthread_join(thread, NULL);
	}
	pthread_mutex_unlock(&thread_lock);
}

/* The owner is the program's, if it has set one: borrowed for the one call. */
static int take_lease_with_signal(int fd)
{
	struct f_owner_ex ours = { .type = F_OWNER_TID, .pid = thread_id }, old;
	int old_signal = fcntl(fd, F_GETSIG), err = 0;

	if (old_signal < 0 || fcntl(fd, F_GETOWN_EX, &old))
		return errno;
	if (fcntl(fd, F_SETOWN_EX, &ours))
		return errno;
	if (fcntl(fd, F_SETSIG, NOTICE_SIGNAL) || fcntl(fd, F_SETLEASE, F_LAYOUT))
		err = errno;
	fcntl(fd, F_SETSIG, old_signal);
	fcntl(fd, F_SETOWN_EX, &old);
	return err;
}

static void add_watch(struct watch *watch)
{
	pthread_mutex_lock(&watch_lock);
	watch->next = watches;
	watches = watch;
	pthread_mutex_unlock(&watch_lock);
}

static void remove_watch(struct watch *watch)
{
	struct watch **link;

	pthread_mutex_lock(&watch_lock);
	for (link = &watches; *link; link = &(*link)->next) {
		if (*link == watch) {
			*link = watch->next;
			break;
		}
	}
	pthread_mutex_unlock(&watch_lock);
}

/*
 * A notice may come before the watch is on the list, whence the look after that; and the list
 * must not have a watch without lease, which would look as if it were asked back.
 */
int watch_begin(struct watch *watch, int fd)
{
	int err;

	watch->fd = fd;
	watch->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->event < 0)
		return errno;
	err = hold_thread();
	if (!err) {
		err = take_lease_with_signal(fd);
		if (err)
			drop_thread();
	}
	if (err) {
		close(watch->event);
		return err;
	}
	add_watch(watch);
	look(-1);
	return 0;
}

void watch_end(struct watch *watch)
{
	remove_watch(watch);
	drop_thread();
	close(watch->event);
}

void watches_before_fork(void)
{
	pthread_mutex_lock(&watch_lock);
}

void watches_in_parent(void)
{
	pthread_mutex_unlock(&watch_lock);
}

/* The thread is the parent's alone. */
void watches_in_child(void)
{
	thread_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	watches = NULL;
	users = 0;
	watches_in_parent();
}
