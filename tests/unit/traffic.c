// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "traffic.h"

char *traffic_map(const char *path, int *fd)
{
	char *memory;

	*fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (*fd < 0 || ftruncate(*fd, TRAFFIC_SIZE))
		err(1, "%s", path);
	memory = mmap(NULL, TRAFFIC_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (memory == MAP_FAILED)
		err(1, "%s", path);
	return memory;
}

/* No two neighbours, blocks or pages alike, and never 0. */
void traffic_fill(char *data)
{
	size_t i;

	for (i = 0; i < TRAFFIC_LENGTH; i++)
		data[i] = 1 + (i + i / 251 * 7) % 251;
}

static bool has_line(const char *path, const char *first, const char *second)
{
	FILE *file = fopen(path, "re");
	char line[4200];
	bool found = false;

	while (file && fgets(line, sizeof(line), file))
		found |= strstr(line, first) && strstr(line, second);
	if (file)
		fclose(file);
	return found;
}

void traffic_see_pins(const char *path)
{
	char number[32], holder[32];
	struct stat st;

	if (stat(path, &st))
		err(1, "%s", path);
	snprintf(number, sizeof(number), ":%lu ", st.st_ino);
	snprintf(holder, sizeof(holder), "LAYOUT PINNED    WRITE %d ", getpid());
	if (!has_line("/proc/locks", holder, number))
		errx(1, "%s: no pinned lease of this process in /proc/locks", path);
	if (!has_line("/proc/self/file_pins", path, "\t"))
		errx(1, "%s: not in /proc/self/file_pins", path);
}

void traffic_compare(const char *path, int fd)
{
	static char wanted[TRAFFIC_SIZE], found[TRAFFIC_SIZE];
	size_t i;

	traffic_fill(wanted + TRAFFIC_OFFSET);
	if (pread(fd, found, sizeof(found), 0) != sizeof(found))
		err(1, "%s", path);
	for (i = 0; i < sizeof(found); i++)
		if (found[i] != wanted[i])
			errx(1, "%s: byte %zu is %d, not %d", path, i, found[i],
			     wanted[i]);
	printf("%s: %d bytes of the peer's found with read(2)\n", path, TRAFFIC_LENGTH);
}

/* A program of its own: of what a library of RDMA has made, a forked child can use nothing. */
pid_t traffic_start_peer(char *const argv[], int *input)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		err(1, "pipe");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child) {
		dup2(ends[0], STDIN_FILENO);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	close(ends[0]);
	*input = ends[1];
	return child;
}
