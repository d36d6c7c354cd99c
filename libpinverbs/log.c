// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The log function, and the one shape that every message has. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "internal.h"

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static pinv_log_fn log_function;
static void *log_argument;

static void lock_log(void)
{
	pthread_mutex_lock(&log_lock);
}

static void unlock_log(void)
{
	pthread_mutex_unlock(&log_lock);
}

/* A child made while another thread is here would find the lock taken for ever. */
__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(lock_log, unlock_log, unlock_log);
}

PINV_EXPORT void pinv_set_log(pinv_log_fn fn, void *arg)
{
	pthread_mutex_lock(&log_lock);
	log_function = fn;
	log_argument = arg;
	pthread_mutex_unlock(&log_lock);
}

/* The function runs without the lock, so that it may call the library. */
static pinv_log_fn current_log(void **arg)
{
	pinv_log_fn fn;

	pthread_mutex_lock(&log_lock);
	fn = log_function;
	*arg = log_argument;
	pthread_mutex_unlock(&log_lock);
	return fn;
}

bool log_wanted(void)
{
	void *arg;

	return current_log(&arg) != NULL;
}

/* Cuts what does not fit: a message is for people. */
void say(char *buffer, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vsnprintf(buffer, size, format, args) < 0)
		buffer[0] = '\0';
	va_end(args);
}

/* A name may hold anything; the message stays one line of printable characters. */
void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

/* By its path: the number may be that of a duplicate, which is no concern of the caller's. */
static void name_file(int fd, char *buffer, size_t size)
{
	char link[64];
	ssize_t length;

	if (fd == NO_FILE) {
		say(buffer, size, "memory region");
		return;
	}
	SAY(link, "/proc/self/fd/%d", fd);
	length = readlink(link, buffer, size - 1);
	if (length < 0) {
		say(buffer, size, "fd %d", fd);
		return;
	}
	buffer[length] = '\0';
	make_printable(buffer);
}

void log_failure_of(const char *object, const char *operation, int err,
		    const struct pinv_cap_info *why)
{
	const char *name = strerrorname_np(err);
	char message[1024];
	pinv_log_fn fn;
	void *arg;

	fn = current_log(&arg);
	if (!fn)
		return;
	SAY(message, "libpinverbs: %s: %s: %s (%s); %s", object, operation, why->reason,
	    name ? name : "unknown errno", why->remedy);
	fn(arg, message);
}

void log_failure(int fd, const char *operation, int err, const struct pinv_cap_info *why)
{
	char object[600];

	if (!log_wanted())
		return;
	name_file(fd, object, sizeof(object));
	log_failure_of(object, operation, err, why);
}
