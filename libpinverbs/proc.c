// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Reading what /proc says about layout leases and file pins. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "internal.h"
#include "proc.h"

const char *proc_root = "/proc";

bool same_file(const struct file_id *a, const struct file_id *b)
{
	return a->inode && a->inode == b->inode && a->major == b->major &&
	       a->minor == b->minor;
}

bool is_exhausted(int err)
{
	return err == ENOMEM || err == EMFILE || err == ENFILE;
}

static void proc_path(char *path, const char *process, const char *name)
{
	say(path, PROC_PATH, "%s/%s%s%s", proc_root, process, *process ? "/" : "", name);
}

/* Files of /proc have no size: read until there is no more. */
static int read_all(int fd, char **text)
{
	size_t used = 0, room = 4096;
	char *data = malloc(room), *larger;

	while (data) {
		ssize_t got = read(fd, data + used, room - used - 1);
		int err = errno;

		if (got == 0) {
			data[used] = '\0';
			*text = data;
			return 0;
		}
		if (got < 0 && err != EINTR) {
			free(data);
			return err;
		}
		used += got < 0 ? 0 : got;
		if (used < room - 1)
			continue;
		room *= 2;
		larger = realloc(data, room);
		if (!larger)
			free(data);
		data = larger;
	}
	return ENOMEM;
}

int proc_read(const char *process, const char *name, char **text)
{
	char path[PROC_PATH];
	int fd, err;

	proc_path(path, process, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	err = read_all(fd, text);
	close(fd);
	return err;
}

char *next_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (!*line)
		return NULL;
	if (end) {
		*end = '\0';
		*text = end + 1;
	} else {
		*text = line + strlen(line);
	}
	return line;
}

int proc_read_process(const char *process, struct process *result)
{
	char *text, *rest, *line;
	int err = proc_read(process, "status", &text);

	memset(result, 0, sizeof(*result));
	if (err)
		return err;
	for (rest = text; (line = next_line(&rest)) != NULL;) {
		unsigned user, flag;

		if (sscanf(line, "Tgid: %d", &result->pid) == 1)
			continue;
		if (sscanf(line, "Uid: %*u %u", &user) == 1)
			result->user = user;
		else if (sscanf(line, "Kthread: %u", &flag) == 1)
			result->kernel_thread = flag;
		else if (!strncmp(line, "Name:\t", 6))
			SAY(result->command, "%s", line + 6);
	}
	free(text);
	return result->pid ? 0 : ESRCH;
}

/* As the kernel's seq_path(…, "\n"). */
static char *escape_path(const char *path, size_t length)
{
	char *result = malloc(4 * length + 1), *to = result;
	size_t i;

	if (!result)
		return NULL;
	for (i = 0; i < length; i++) {
		if (path[i] == '\n')
			to = stpcpy(to, "\\012");
		else
			*to++ = path[i];
	}
	*to = '\0';
	return result;
}

int proc_read_link(const char *process, const char *name, char **path)
{
	char link[PROC_PATH], target[PATH_MAX];
	ssize_t length;

	proc_path(link, process, name);
	length = readlink(link, target, sizeof(target));
	if (length < 0)
		return errno;
	*path = escape_path(target, length);
	return *path ? 0 : ENOMEM;
}

bool parse_lease(const char *line, struct layout_lease *lease)
{
	struct file_id *file = &lease->file;
	char state[16], mode[16];

	memset(lease, 0, sizeof(*lease));
	if (sscanf(line, "%*u: LAYOUT %15s %15s %d %x:%x:%" SCNu64, state, mode,
		   &lease->holder, &file->major, &file->minor, &file->inode) != 6)
		return false;
	lease->cooperative = !strcmp(mode, "READ");
	lease->zombie = !strcmp(state, "ZOMBIE");
	lease->pinned = lease->zombie || !strcmp(state, "PINNED");
	return true;
}

bool parse_owner_pin(const char *line, struct owner_pin *pin)
{
	struct file_id *file = &pin->file;
	char lease[16];

	memset(pin, 0, sizeof(*pin));
	if (sscanf(line,
		   "file_pin: pages: %" SCNu64 " mrs: %" SCNu64
		   " dev: %x:%x ino: %" SCNu64 " lease: %15s",
		   &pin->pages, &pin->regions, &file->major, &file->minor, &file->inode,
		   lease) != 6)
		return false;
	pin->zombie = !strcmp(lease, "zombie");
	return true;
}

/* Whether the text of a descriptor's fdinfo has a layout lease of the process on the file. */
static bool has_lease(char *text, int pid, const struct file_id *file)
{
	struct layout_lease lease;
	char *line;

	while ((line = next_line(&text)) != NULL)
		if (!strncmp(line, "lock:\t", 6) && parse_lease(line + 6, &lease) &&
		    lease.holder == pid && same_file(&lease.file, file))
			return true;
	return false;
}

struct lease_place {
	struct file_id file;
	int fd;
};

void proc_forget_places(struct lease_places *places)
{
	free(places->list);
	*places = (struct lease_places){ 0 };
}

static int add_place(struct lease_places *places, const struct file_id *file, int fd)
{
	if (places->count == places->room) {
		size_t room = places->room ? 2 * places->room : 16;
		struct lease_place *list = realloc(places->list, room * sizeof(*list));

		if (!list)
			return ENOMEM;
		places->list = list;
		places->room = room;
	}
	places->list[places->count++] = (struct lease_place){ *file, fd };
	return 0;
}

static int look_at_descriptor(const char *process, int pid, const char *fd,
			      struct lease_places *places)
{
	char name[PROC_PATH], *text, *rest, *line;
	struct layout_lease lease;
	int err;

	SAY(name, "fdinfo/%s", fd);
	err = proc_read(process, name, &text);
	/* A descriptor that has just been closed is none. */
	if (err)
		return is_exhausted(err) ? err : 0;
	for (rest = text; !err && (line = next_line(&rest)) != NULL;)
		if (!strncmp(line, "lock:\t", 6) && parse_lease(line + 6, &lease) &&
		    lease.holder == pid)
			err = add_place(places, &lease.file, atoi(fd));
	free(text);
	return err;
}

static int look_at_descriptors(const char *process, int pid, struct lease_places *places)
{
	char name[PROC_PATH];
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	proc_path(name, process, "fdinfo");
	dir = opendir(name);
	if (!dir)
		return errno;
	places->count = 0;
	while (!err && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			err = look_at_descriptor(process, pid, entry->d_name, places);
	closedir(dir);
	places->pid = err ? 0 : pid;
	return err;
}

/* The descriptor may be another's by now, so it is looked at again before its path. */
static int find_in_descriptors(const char *process, int pid, const struct file_id *file,
			       struct lease_places *places, char **path)
{
	char name[PROC_PATH], *text;
	bool there;
	size_t i;
	int err = places->pid == pid ? 0 : look_at_descriptors(process, pid, places);

	for (i = 0; !err && i < places->count; i++) {
		if (!same_file(&places->list[i].file, file))
			continue;
		SAY(name, "fdinfo/%d", places->list[i].fd);
		err = proc_read(process, name, &text);
		if (is_exhausted(err))
			return err;
		there = !err && has_lease(text, pid, file);
		if (!err)
			free(text);
		err = 0;
		if (!there)
			continue;
		SAY(name, "fd/%d", places->list[i].fd);
		return proc_read_link(process, name, path);
	}
	return err ? err : ENODATA;
}

static int find_in_mappings(const char *process, const struct file_id *file, char **path)
{
	char *text, *rest, *line;
	int err = proc_read(process, "maps", &text);

	if (err)
		return err;
	err = ENODATA;
	for (rest = text; err == ENODATA && (line = next_line(&rest)) != NULL;) {
		struct file_id id;
		int at = 0;

		/* addresses, permissions, offset, device, inode, path */
		if (sscanf(line, "%*s %*s %*s %x:%x %" SCNu64 " %n", &id.major, &id.minor,
			   &id.inode, &at) != 3 ||
		    !at || !same_file(&id, file))
			continue;
		*path = strdup(line + at);
		err = *path ? 0 : ENOMEM;
	}
	free(text);
	return err;
}

int proc_find_lease(int pid, const struct file_id *file, struct lease_places *places,
		    char **path)
{
	char process[16];
	int err;

	SAY(process, "%d", pid);
	err = find_in_descriptors(process, pid, file, places, path);
	return err == ENODATA ? find_in_mappings(process, file, path) : err;
}
