// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* lspins: getting the entries. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lspins.h"

static int add_list(struct listing *listing, int pid, int fd)
{
	struct pinv_pins *list = pinv_list_pins(pid, fd, PINV_PINS_BY_FILE);

	/* The library's log line has said why. */
	if (!list)
		return errno == EACCES || errno == EPERM ? EXIT_INCOMPLETE : EXIT_FAILED;
	if (listing->list_count == listing->list_room) {
		listing->list_room = 2 * listing->list_room + 8;
		listing->lists = must(reallocarray(listing->lists, listing->list_room,
						   sizeof(*listing->lists)));
	}
	listing->lists[listing->list_count++] = list;
	listing->count += pinv_pins_count(list);
	if (pinv_pins_unseen(list) > listing->unseen)
		listing->unseen = pinv_pins_unseen(list);
	return EXIT_LISTED;
}

static int fail_file(const char *path, const char *reason)
{
	fprintf(stderr, "lspins: %s: %s; name a regular file\n", path, reason);
	return EXIT_FAILED;
}

/* @seen has the files before: the same one by another name is listed once. */
static int add_file(struct listing *listing, const struct options *options, int index,
		    struct stat *seen)
{
	const char *path = options->files[index];
	int fd = open(path, O_PATH | O_CLOEXEC), status, i;
	struct stat *st = &seen[index];

	if (fd < 0 || fstat(fd, st)) {
		status = fail_file(path, strerror(errno));
	} else if (!S_ISREG(st->st_mode)) {
		status = fail_file(path, "not a regular file");
	} else {
		for (i = 0; i < index && (seen[i].st_dev != st->st_dev ||
					  seen[i].st_ino != st->st_ino);
		     i++)
			;
		status = i < index ? EXIT_LISTED : add_list(listing, options->pid, fd);
	}
	if (fd >= 0)
		close(fd);
	return status;
}

static void collect_entries(struct listing *listing)
{
	size_t list, i, at = 0;

	listing->entries = must(calloc(listing->count + 1, sizeof(*listing->entries)));
	for (list = 0; list < listing->list_count; list++)
		for (i = 0; i < pinv_pins_count(listing->lists[list]); i++)
			listing->entries[at++] = pinv_pins_get(listing->lists[list], i);
}

int make_listing(const struct options *options, struct listing *listing)
{
	struct stat *seen = NULL;
	int status = EXIT_LISTED, i;

	memset(listing, 0, sizeof(*listing));
	if (!options->file_count)
		status = add_list(listing, options->pid, -1);
	else
		seen = must(calloc(options->file_count, sizeof(*seen)));
	for (i = 0; status == EXIT_LISTED && i < options->file_count; i++)
		status = add_file(listing, options, i, seen);
	free(seen);
	if (status == EXIT_LISTED)
		collect_entries(listing);
	else
		free_listing(listing);
	return status;
}

void free_listing(struct listing *listing)
{
	size_t i;

	for (i = 0; i < listing->list_count; i++)
		pinv_pins_free(listing->lists[i]);
	free(listing->lists);
	free(listing->entries);
	memset(listing, 0, sizeof(*listing));
}

int say_unseen(unsigned unseen)
{
	if (!unseen)
		return EXIT_LISTED;
	fflush(stdout);
	fprintf(stderr,
		"lspins: %u process%s may not be looked at and may have pins not shown "
		"here; "
		"run as root to see all\n",
		unseen, unseen == 1 ? "" : "es");
	return EXIT_INCOMPLETE;
}
