// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* lspins: what each column says about an entry. */
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "lspins.h"

static const struct {
	const char *name;
	enum shape shape;
} columns[COLUMN_COUNT] = {
	[COLUMN_COMMAND] = { "COMMAND", SHAPE_TEXT },
	[COLUMN_PID] = { "PID", SHAPE_NUMBER },
	[COLUMN_USER] = { "USER", SHAPE_TEXT },
	[COLUMN_OWNER_FD] = { "OWNER-FD", SHAPE_TEXT },
	[COLUMN_OWNER] = { "OWNER", SHAPE_TEXT },
	[COLUMN_FILE] = { "FILE", SHAPE_TEXT },
	[COLUMN_PAGES] = { "PAGES", SHAPE_NUMBER },
	[COLUMN_SIZE] = { "SIZE", SHAPE_NUMBER },
	[COLUMN_MRS] = { "MRS", SHAPE_NUMBER },
	[COLUMN_LEASE] = { "LEASE", SHAPE_TEXT },
	[COLUMN_HOLDER] = { "HOLDER", SHAPE_NUMBERS },
	[COLUMN_DEV] = { "DEV", SHAPE_TEXT },
	[COLUMN_INODE] = { "INODE", SHAPE_NUMBER },
};

const char *column_name(enum column column)
{
	return columns[column].name;
}

enum shape column_shape(enum column column)
{
	return columns[column].shape;
}

int find_column(const char *name, size_t length)
{
	int i;

	for (i = 0; i < COLUMN_COUNT; i++)
		if (strlen(columns[i].name) == length &&
		    !strncasecmp(columns[i].name, name, length))
			return i;
	return -1;
}

static const struct cell unknown = { .unknown = true };
static const struct cell nothing;

__attribute__((format(printf, 1, 2))) static struct cell cell(const char *format, ...)
{
	struct cell result = { 0 };
	va_list args;

	va_start(args, format);
	if (vasprintf(&result.text, format, args) < 0)
		result.text = NULL;
	va_end(args);
	must(result.text);
	return result;
}

static struct cell text_cell(const char *text)
{
	return text ? cell("%s", text) : unknown;
}

static struct cell number_cell(uint64_t number)
{
	return number == PINV_UNKNOWN ? unknown : cell("%" PRIu64, number);
}

static struct cell user_cell(unsigned uid)
{
	struct passwd *user;

	if (uid == (unsigned)-1)
		return unknown;
	user = getpwuid(uid);
	return user ? text_cell(user->pw_name) : cell("%u", uid);
}

/* As lslocks: the largest unit in which there is a whole number before the point. */
static struct cell size_cell(uint64_t pages, bool bytes)
{
	static const char units[] = "BKMGTPE";
	uint64_t size, page = sysconf(_SC_PAGESIZE);
	unsigned unit = 0, tenths = 0;

	if (pages == PINV_UNKNOWN || pages > UINT64_MAX / page)
		return unknown;
	size = pages * page;
	if (bytes)
		return number_cell(size);
	for (; size >= 1024; unit++) {
		tenths = size % 1024 * 10 / 1024;
		size /= 1024;
	}
	if (tenths)
		return cell("%" PRIu64 ".%u%c", size, tenths, units[unit]);
	return cell("%" PRIu64 "%c", size, units[unit]);
}

static struct cell holders_cell(const struct pinv_pin *pin)
{
	struct cell result = { 0 };
	size_t size;
	FILE *memory;
	unsigned i;

	if (!pin->holder_count)
		return unknown;
	memory = must(open_memstream(&result.text, &size));
	for (i = 0; i < pin->holder_count; i++)
		fprintf(memory, "%s%d", i ? "," : "", pin->holders[i]);
	if (fclose(memory))
		must(NULL);
	must(result.text);
	return result;
}

static struct cell lease_cell(const struct pinv_pin *pin)
{
	switch (pin->lease) {
	case PINV_PIN_LEASE_HELD:
		return text_cell("held");
	case PINV_PIN_LEASE_ZOMBIE:
		return text_cell("zombie");
	case PINV_PIN_LEASE_COOPERATIVE:
		return text_cell("cooperative");
	case PINV_PIN_LEASE_UNKNOWN:
		break;
	}
	return unknown;
}

/* Who has the owner: nobody, if there are no pins. */
static struct cell owner_cell(const struct pinv_pin *pin, enum column column)
{
	if (!pin->pages)
		return nothing;
	if (!pin->owner)
		return unknown;
	if (column == COLUMN_OWNER)
		return text_cell(pin->owner);
	return pin->owner_fd < 0 ? text_cell("map") : cell("%d", pin->owner_fd);
}

struct cell make_cell(const struct pinv_pin *pin, enum column column, bool bytes)
{
	switch (column) {
	case COLUMN_COMMAND:
		return text_cell(pin->command);
	case COLUMN_PID:
		return pin->pid ? cell("%d", pin->pid) : unknown;
	case COLUMN_USER:
		return user_cell(pin->uid);
	case COLUMN_OWNER_FD:
	case COLUMN_OWNER:
		return owner_cell(pin, column);
	case COLUMN_FILE:
		return text_cell(pin->file);
	case COLUMN_PAGES:
		return number_cell(pin->pages);
	case COLUMN_SIZE:
		return size_cell(pin->pages, bytes);
	case COLUMN_MRS:
		return number_cell(pin->regions);
	case COLUMN_LEASE:
		return lease_cell(pin);
	case COLUMN_HOLDER:
		return holders_cell(pin);
	case COLUMN_DEV:
		return pin->inode ? cell("%u:%u", pin->device_major, pin->device_minor)
				  : unknown;
	case COLUMN_INODE:
		return pin->inode ? number_cell(pin->inode) : unknown;
	case COLUMN_COUNT:
		break;
	}
	return unknown;
}
