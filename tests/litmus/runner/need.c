// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What a scenario may need beyond two file systems and one RDMA device. */
#include <stdlib.h>
#include <unistd.h>

#include "do.h"
#include "need.h"

static bool has_line(const char *file, const char *word)
{
	char text[16384];

	return file_read(file, text, sizeof(text)) >= 0 && strstr(text, word);
}

static bool has_overlay(void)
{
	return has_line("/proc/filesystems", "\toverlay\n");
}

static bool has_loop(void)
{
	return !access("/dev/loop-control", F_OK);
}

static bool has_hugetlb(void)
{
	return !access("/proc/sys/vm/nr_hugepages", F_OK);
}

static bool has_thp(void)
{
	return has_line("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
}

static bool has_scrub(void)
{
	char line[256];
	FILE *f = fopen("/proc/kallsyms", "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, " xfs_ioc_scrub_metadata\n");
	if (f)
		fclose(f);
	return found;
}

static bool has_devdax(void)
{
	return getenv("PINVERBS_DEVDAX");
}

static bool has_second_guest(void)
{
	return getenv("PINVERBS_PEER");
}

static bool has_nfs_server(void)
{
	return nfs_serves(check_dir());
}

/* Any other word is a program. */
static bool has_program(const char *name)
{
	char dirs[1024], path[1200], *d, *save;

	snprintf(dirs, sizeof(dirs), "%s:/usr/sbin:/sbin", getenv("PATH") ?: "");
	for (d = strtok_r(dirs, ":", &save); d; d = strtok_r(NULL, ":", &save)) {
		snprintf(path, sizeof(path), "%s/%s", d, name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

static const struct {
	const char *word;
	bool (*there)(void);
} features[] = {
	{ "overlay", has_overlay },           { "loop", has_loop },
	{ "hugetlb", has_hugetlb },           { "thp", has_thp },
	{ "xfs-scrub", has_scrub },           { "devdax", has_devdax },
	{ "second-guest", has_second_guest }, { "nfs-server", has_nfs_server },
};

void need(const char *feature)
{
	size_t i;

	for (i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (!strcmp(features[i].word, feature)) {
			if (!features[i].there())
				skip("no %s here", feature);
			return;
		}
	if (!has_program(feature))
		skip("no program %s", feature);
}
