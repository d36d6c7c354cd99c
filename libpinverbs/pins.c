// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The pins listing. What a process shows (file_pins has the paths, fdinfo of the owner's
 * descriptor the figures) is put together with the leases in /proc/locks (who holds them).
 * /proc is read in pieces while the system goes on, so each piece that must fit another is
 * read again until nothing has changed in between, some times at most.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "internal.h"
#include "proc.h"

#define ATTEMPTS 4

/* Freed with the list; the data follows. */
struct block {
	struct block *next;
	max_align_t data[];
};

struct pinv_pins {
	struct pinv_pin *entries;
	size_t count, room;
	struct layout_lease *leases;
	size_t lease_count;
	unsigned unseen;
	struct block *blocks;
	struct lease_places places;
	/* What was asked for. */
	int pid;
	bool filtered;
	struct file_id filter;
	char *filter_path;
};

static void *keep(struct pinv_pins *pins, size_t size)
{
	struct block *block = malloc(sizeof(*block) + size);

	if (!block)
		return NULL;
	block->next = pins->blocks;
	pins->blocks = block;
	return block->data;
}

static char *keep_text(struct pinv_pins *pins, const char *text)
{
	char *copy = keep(pins, strlen(text) + 1);

	return copy ? strcpy(copy, text) : NULL;
}

static void forget_entries(struct pinv_pins *pins)
{
	while (pins->blocks) {
		struct block *next = pins->blocks->next;

		free(pins->blocks);
		pins->blocks = next;
	}
	proc_forget_places(&pins->places);
	free(pins->leases);
	pins->leases = NULL;
	pins->lease_count = 0;
	pins->count = 0;
	pins->unseen = 0;
}

static struct file_id entry_file(const struct pinv_pin *entry)
{
	return (struct file_id){ entry->device_major, entry->device_minor, entry->inode };
}

static struct pinv_pin *add_entry(struct pinv_pins *pins)
{
	struct pinv_pin *entry;

	if (pins->count == pins->room) {
		size_t room = pins->room ? 2 * pins->room : 16;

		entry = realloc(pins->entries, room * sizeof(*entry));
		if (!entry)
			return NULL;
		pins->entries = entry;
		pins->room = room;
	}
	entry = &pins->entries[pins->count++];
	*entry = (struct pinv_pin){
		.uid = -1, .owner_fd = -1, .pages = PINV_UNKNOWN, .regions = PINV_UNKNOWN
	};
	return entry;
}

/* Only the file that was asked for; one without known number goes by its path. */
static bool is_wanted(const struct pinv_pins *pins, const struct file_id *file,
		      const char *path)
{
	if (!pins->filtered)
		return true;
	if (file->inode)
		return same_file(file, &pins->filter);
	return path && pins->filter_path && !strcmp(path, pins->filter_path);
}

static bool has_gone(int err)
{
	return err == ENOENT || err == ESRCH;
}

/* ---- one process ---- */

/* An owner that the process shows: a paragraph of file_pins. */
struct paragraph {
	struct process *process;
	int fd; /* -1: it is mapped only */
	const char *owner;
	char *figures; /* of fdinfo; NULL: not known */
};

/* The next line of fdinfo about a pin, if it is there. */
static bool next_figures(char **text, struct owner_pin *pin)
{
	char *line;

	while (*text && (line = next_line(text)) != NULL)
		if (parse_owner_pin(line, pin))
			return true;
	return false;
}

/*
 * file_pins has a file once, fdinfo has a line for each lease on it, both in the same order,
 * in which leases on one file are neighbours.
 */
static unsigned count_files(const char *figures)
{
	struct owner_pin pin, last = { 0 };
	unsigned count = 0;
	const char *line;

	for (line = figures; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!parse_owner_pin(line, &pin))
			continue;
		count += !same_file(&pin.file, &last.file);
		last = pin;
	}
	return count;
}

static int add_pin(struct pinv_pins *pins, const struct paragraph *paragraph,
		   const char *path, const struct owner_pin *pin)
{
	struct pinv_pin *entry;

	if (!is_wanted(pins, &pin->file, path))
		return 0;
	entry = add_entry(pins);
	if (!entry)
		return ENOMEM;
	entry->pid = paragraph->process->pid;
	entry->uid = paragraph->process->user;
	entry->owner_fd = paragraph->fd;
	entry->device_major = pin->file.major;
	entry->device_minor = pin->file.minor;
	entry->inode = pin->file.inode;
	entry->pages = pin->pages;
	entry->regions = pin->regions;
	if (paragraph->figures)
		entry->lease = pin->zombie ? PINV_PIN_LEASE_ZOMBIE : PINV_PIN_LEASE_HELD;
	entry->command = keep_text(pins, paragraph->process->command);
	entry->owner = keep_text(pins, paragraph->owner);
	entry->file = keep_text(pins, path);
	return entry->command && entry->owner && entry->file ? 0 : ENOMEM;
}

/* Without figures the path is all there is; it tells the number of the file if it fits. */
static int add_without_figures(struct pinv_pins *pins, const struct paragraph *paragraph,
			       const char *path)
{
	struct owner_pin pin = { .pages = PINV_UNKNOWN, .regions = PINV_UNKNOWN };
	struct file_id file;
	struct stat st;
	size_t i;

	if (!stat(path, &st)) {
		file = (struct file_id){ major(st.st_dev), minor(st.st_dev), st.st_ino };
		for (i = 0; i < pins->lease_count; i++)
			if (pins->leases[i].pinned &&
			    same_file(&file, &pins->leases[i].file))
				pin.file = file;
	}
	return add_pin(pins, paragraph, path, &pin);
}

/* @lines: the paths below the owner's line, each after a tab. */
static int add_paragraph(struct pinv_pins *pins, struct paragraph *paragraph, char *lines)
{
	char *figures = paragraph->figures, *path;
	struct owner_pin pin, ahead = { 0 };
	bool more = next_figures(&figures, &ahead);
	int err = 0;

	while (!err && (path = next_line(&lines)) != NULL) {
		path++;
		if (!more) {
			err = add_without_figures(pins, paragraph, path);
			continue;
		}
		do {
			pin = ahead;
			err = add_pin(pins, paragraph, path, &pin);
			more = next_figures(&figures, &ahead);
		} while (!err && more && same_file(&pin.file, &ahead.file));
	}
	return err;
}

static unsigned count_lines(const char *text)
{
	unsigned count = *text != '\0';

	while ((text = strchr(text, '\n')) != NULL && *++text)
		count++;
	return count;
}

/* Leave *figures NULL if they do not fit the paths: the owner has changed meanwhile. */
static int read_figures(const char *name, int fd, const char *lines, char **figures)
{
	char path[32];
	int err;

	*figures = NULL;
	if (fd < 0)
		return 0;
	SAY(path, "fdinfo/%d", fd);
	err = proc_read(name, path, figures);
	if (is_exhausted(err))
		return err;
	if (!err && count_files(*figures) != count_lines(lines)) {
		free(*figures);
		*figures = NULL;
		return EAGAIN;
	}
	return err ? EAGAIN : 0;
}

/* @text is file_pins, and is cut up. EAGAIN: what belongs together did not fit. */
static int add_process(struct pinv_pins *pins, const char *name, struct process *process,
		       char *text, bool last_attempt)
{
	struct paragraph paragraph = { .process = process };
	char *line, *lines;
	int err = 0;

	while (!err && (line = next_line(&text)) != NULL) {
		char *owner = strstr(line, ": ");

		if (!owner)
			return EPROTO;
		paragraph.fd = -1;
		sscanf(line, "%d", &paragraph.fd);
		paragraph.owner = owner + 2;
		lines = text;
		while (*text == '\t')
			text += strcspn(text, "\n") + 1;
		/* The line end before the next paragraph is not needed any more. */
		if (text > lines)
			text[-1] = '\0';
		err = read_figures(name, paragraph.fd, lines, &paragraph.figures);
		if (err == EAGAIN && last_attempt)
			err = 0;
		if (!err)
			err = add_paragraph(pins, &paragraph, lines);
		free(paragraph.figures);
	}
	return err;
}

static int read_process(struct pinv_pins *pins, const char *name)
{
	size_t before = pins->count;
	struct process process;
	unsigned attempt;
	char *text;
	int err = EAGAIN;

	for (attempt = 1; err == EAGAIN && attempt <= ATTEMPTS; attempt++) {
		pins->count = before;
		err = proc_read(name, "file_pins", &text);
		if (err)
			return err;
		if (*text) {
			err = proc_read_process(name, &process);
			if (!err)
				err = add_process(pins, name, &process, text,
						  attempt == ATTEMPTS);
		}
		free(text);
	}
	return err;
}

/* ---- all processes ---- */

/*
 * Kernel threads have no descriptors, though nobody but root may look. Mounted with hidepid=1, /proc does
 * not tell them from others.
 */
static int count_unseen(struct pinv_pins *pins, const char *name)
{
	struct process process;
	int err = proc_read_process(name, &process);
	bool hidden = err == EACCES || err == EPERM;

	if (hidden || (!err && !process.kernel_thread))
		pins->unseen++;
	return hidden || has_gone(err) ? 0 : err;
}

static int read_processes(struct pinv_pins *pins)
{
	DIR *dir = opendir(proc_root);
	bool seen_init = false;
	struct dirent *entry;
	int err = 0;

	if (!dir)
		return errno;
	while (!err && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		seen_init |= !strcmp(entry->d_name, "1");
		err = read_process(pins, entry->d_name);
		if (err == EACCES || err == EPERM)
			err = count_unseen(pins, entry->d_name);
		else if (has_gone(err))
			err = 0;
	}
	closedir(dir);
	/* Mounted with hidepid: there are others, nobody knows how many. */
	pins->unseen += !seen_init;
	return err;
}

static int read_one_process(struct pinv_pins *pins)
{
	char name[16];
	int err;

	if (pins->pid == PINV_PINS_SELF)
		return read_process(pins, "self");
	SAY(name, "%d", pins->pid);
	err = read_process(pins, name);
	return err == ENOENT ? ESRCH : err;
}

/* ---- leases ---- */

static int parse_leases(struct pinv_pins *pins, char *text)
{
	struct layout_lease lease, *leases;
	char *line;

	while ((line = next_line(&text)) != NULL) {
		if (!parse_lease(line, &lease) || !is_wanted(pins, &lease.file, NULL))
			continue;
		leases = realloc(pins->leases, (pins->lease_count + 1) * sizeof(lease));
		if (!leases)
			return ENOMEM;
		pins->leases = leases;
		leases[pins->lease_count++] = lease;
	}
	return 0;
}

/* Whether the leases are the same as before is what a second reading is for. */
static int read_leases(struct pinv_pins *pins, bool *same)
{
	struct layout_lease *old = pins->leases;
	size_t old_count = pins->lease_count;
	char *text;
	int err;

	pins->leases = NULL;
	pins->lease_count = 0;
	err = proc_read("", "locks", &text);
	if (!err) {
		err = parse_leases(pins, text);
		free(text);
	}
	*same = pins->lease_count == old_count &&
		(!old_count || !memcmp(old, pins->leases, old_count * sizeof(*old)));
	free(old);
	return err;
}

static enum pinv_pin_lease lease_kind(const struct layout_lease *lease)
{
	if (lease->cooperative)
		return PINV_PIN_LEASE_COOPERATIVE;
	return lease->zombie ? PINV_PIN_LEASE_ZOMBIE : PINV_PIN_LEASE_HELD;
}

/* Whether the entry's pins can lie under the lease. */
static bool may_be_under(const struct pinv_pin *entry, const struct layout_lease *lease)
{
	struct file_id file = entry_file(entry);

	return lease->pinned && same_file(&file, &lease->file) &&
	       (!entry->lease || entry->lease == lease_kind(lease));
}

/*
 * The kernel does not tell which of several leases on a file pins lie under. If all that it
 * can be are one process's, the answer is exact all the same.
 */
static int set_holders(struct pinv_pins *pins, struct pinv_pin *entry)
{
	int *holders = keep(pins, (pins->lease_count + 1) * sizeof(*holders));
	unsigned count = 0, i;
	size_t n;

	if (!holders)
		return ENOMEM;
	for (n = 0; n < pins->lease_count; n++) {
		const struct layout_lease *lease = &pins->leases[n];

		if (!may_be_under(entry, lease))
			continue;
		for (i = 0; i < count && holders[i] < lease->holder; i++)
			;
		if (i < count && holders[i] == lease->holder)
			continue;
		memmove(&holders[i + 1], &holders[i], (count - i) * sizeof(*holders));
		holders[i] = lease->holder;
		count++;
	}
	entry->holders = holders;
	entry->holder_count = count;
	return 0;
}

/*
 * The path of the leased file, and whose lease it is if that is who the entry is about. The
 * number of a holder that has exited may be another process's by now, so the process must be
 * seen to have the lease.
 */
static int describe_lease(struct pinv_pins *pins, struct pinv_pin *entry,
			  const struct layout_lease *lease)
{
	struct process process;
	char name[16], *path;
	int err = proc_find_lease(lease->holder, &lease->file, &pins->places, &path);

	if (is_exhausted(err))
		return err;
	if (err) {
		if (pins->filter_path)
			entry->file = keep_text(pins, pins->filter_path);
		return 0;
	}
	entry->file = keep_text(pins, path);
	free(path);
	SAY(name, "%d", lease->holder);
	err = entry->pid ? proc_read_process(name, &process) : ESRCH;
	if (is_exhausted(err))
		return err;
	if (!err) {
		entry->uid = process.user;
		entry->command = keep_text(pins, process.command);
		if (!entry->command)
			return ENOMEM;
	}
	return entry->file ? 0 : ENOMEM;
}

/* A lease without pins, or with pins whose owner no process shows. */
static int add_lease(struct pinv_pins *pins, const struct layout_lease *lease)
{
	struct pinv_pin *entry = add_entry(pins);
	int *holder = keep(pins, sizeof(*holder));

	if (!entry || !holder)
		return ENOMEM;
	*holder = lease->holder;
	entry->holders = holder;
	entry->holder_count = 1;
	entry->device_major = lease->file.major;
	entry->device_minor = lease->file.minor;
	entry->inode = lease->file.inode;
	entry->lease = lease_kind(lease);
	if (!lease->pinned) {
		entry->pid = lease->holder;
		entry->pages = 0;
		entry->regions = 0;
	}
	return describe_lease(pins, entry, lease);
}

static int add_leases(struct pinv_pins *pins, int pid)
{
	size_t shown = pins->count, i, n;
	int err = 0;

	for (i = 0; !err && i < pins->lease_count; i++) {
		const struct layout_lease *lease = &pins->leases[i];

		if (pid != PINV_PINS_ALL && lease->holder != pid)
			continue;
		for (n = 0; n < shown && !may_be_under(&pins->entries[n], lease); n++)
			;
		if (n == shown)
			err = add_lease(pins, lease);
	}
	return err;
}

/* Pins lie under leases, which everybody may see: without any there is nothing to miss. */
static void forgive_unseen(struct pinv_pins *pins)
{
	size_t i;

	for (i = 0; i < pins->lease_count; i++)
		if (pins->leases[i].pinned)
			return;
	pins->unseen = 0;
}

/* ---- the list ---- */

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_files(const struct pinv_pin *a, const struct pinv_pin *b)
{
	int order = compare_numbers(a->device_major, b->device_major);

	if (!order)
		order = compare_numbers(a->device_minor, b->device_minor);
	if (!order)
		order = compare_numbers(a->inode, b->inode);
	if (!order)
		order = strcmp(a->file ? a->file : "", b->file ? b->file : "");
	return order;
}

static int compare_owners(const struct pinv_pin *a, const struct pinv_pin *b)
{
	/* What is not known, 0, comes last, and so does a mapping, -1. */
	int order = compare_numbers((unsigned)a->pid - 1, (unsigned)b->pid - 1);

	if (!order)
		order = compare_numbers((unsigned)a->owner_fd, (unsigned)b->owner_fd);
	return order;
}

/* /proc/locks has no order that lasts. */
static int compare_leases(const struct pinv_pin *a, const struct pinv_pin *b)
{
	int order = compare_numbers(a->lease, b->lease);

	if (!order && a->holder_count && b->holder_count)
		order = compare_numbers(a->holders[0], b->holders[0]);
	return order ? order : compare_numbers(a->pages, b->pages);
}

static int by_owner(const void *a, const void *b)
{
	int order = compare_owners(a, b);

	if (!order)
		order = compare_files(a, b);
	return order ? order : compare_leases(a, b);
}

static int by_file(const void *a, const void *b)
{
	int order = compare_files(a, b);

	if (!order)
		order = compare_owners(a, b);
	return order ? order : compare_leases(a, b);
}

static int collect_once(struct pinv_pins *pins, bool *settled)
{
	struct process self;
	int pid = pins->pid, err;
	size_t i;

	forget_entries(pins);
	err = read_leases(pins, settled);
	if (!err)
		err = pid == PINV_PINS_ALL ? read_processes(pins)
					   : read_one_process(pins);
	if (!err)
		err = read_leases(pins, settled);
	if (!err && pid == PINV_PINS_SELF) {
		err = proc_read_process("self", &self);
		pid = self.pid;
	}
	for (i = 0; !err && i < pins->count; i++)
		err = set_holders(pins, &pins->entries[i]);
	if (!err)
		err = add_leases(pins, pid);
	forgive_unseen(pins);
	return err;
}

static int collect(struct pinv_pins *pins)
{
	bool settled = false;
	unsigned attempt;
	int err = 0;

	for (attempt = 1; !err && !settled && attempt <= ATTEMPTS; attempt++)
		err = collect_once(pins, &settled);
	return err;
}

static int set_filter(struct pinv_pins *pins, int fd)
{
	struct stat st;
	char name[32];

	if (fd < 0)
		return 0;
	if (fstat(fd, &st))
		return errno;
	pins->filtered = true;
	pins->filter = (struct file_id){ major(st.st_dev), minor(st.st_dev), st.st_ino };
	SAY(name, "fd/%d", fd);
	/* Good to have only. */
	return proc_read_link("self", name, &pins->filter_path) == ENOMEM ? ENOMEM : 0;
}

PINV_EXPORT struct pinv_pins *pinv_list_pins(int pid, int fd, enum pinv_pins_order order)
{
	struct pinv_pins *pins = NULL;
	int err = 0;

	if (pid < PINV_PINS_ALL || fd < -1 ||
	    (order != PINV_PINS_BY_OWNER && order != PINV_PINS_BY_FILE))
		err = fd < -1 ? EBADF : EINVAL;
	if (!err)
		err = pinv_query_cap(PINV_CAP_FILE_PINS, NULL);
	if (!err) {
		pins = calloc(1, sizeof(*pins));
		err = pins ? set_filter(pins, fd) : ENOMEM;
	}
	if (!err) {
		pins->pid = pid;
		err = collect(pins);
	}
	if (err) {
		pinv_pins_free(pins);
		errno = fail_list(pid, fd, err);
		return NULL;
	}
	if (pins->count)
		qsort(pins->entries, pins->count, sizeof(*pins->entries),
		      order == PINV_PINS_BY_FILE ? by_file : by_owner);
	return pins;
}

PINV_EXPORT size_t pinv_pins_count(const struct pinv_pins *pins)
{
	return pins->count;
}

PINV_EXPORT const struct pinv_pin *pinv_pins_get(const struct pinv_pins *pins,
						 size_t index)
{
	return index < pins->count ? &pins->entries[index] : NULL;
}

PINV_EXPORT unsigned pinv_pins_unseen(const struct pinv_pins *pins)
{
	return pins->unseen;
}

PINV_EXPORT void pinv_pins_free(struct pinv_pins *pins)
{
	if (!pins)
		return;
	forget_entries(pins);
	free(pins->entries);
	free(pins->filter_path);
	free(pins);
}
