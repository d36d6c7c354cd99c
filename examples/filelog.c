// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * filelog: a log file that another host appends to without this host's processor.
 *
 * The server registers a file as a memory region; the client writes records into it by RDMA.
 * On a DAX file system the records land in the file's own blocks. The layout lease that the
 * library takes keeps those blocks where they are until the region is deregistered.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pinverbs.h"
#include "filelog.h"

#define EXIT_USAGE 2

static const char usage[] =
	"Usage: filelog server FILE [-b ADDR] [-p PORT]\n"
	"       filelog client ADDR [-p PORT] [-n RECORDS]\n"
	"\n"
	"server  exports FILE (created, and grown to 1 MiB, if need be), prints a line "
	"that\n"
	"        starts with \"ready\", and verifies with read(2) what one client wrote\n"
	"client  writes RECORDS records of 64 bytes into the file of the server at ADDR\n"
	"\n"
	"  -b, --bind ADDR        address of the server (default: any)\n"
	"  -p, --port PORT        port (default: 7472; the server takes 0 for any free "
	"one)\n"
	"  -n, --records RECORDS  how many records to write (default: 1000)\n"
	"  -h, --help             this text\n"
	"\n"
	"Exit status: 0 verified, 1 failed, 2 wrong usage, 3 the file has other data.\n";

static const struct option options[] = {
	{ "bind", required_argument, NULL, 'b' },
	{ "port", required_argument, NULL, 'p' },
	{ "records", required_argument, NULL, 'n' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int wrong_usage(const char *what)
{
	/* getopt_long() has said it already where what is NULL. */
	if (what)
		fprintf(stderr, "filelog: %s; see filelog --help\n", what);
	return EXIT_USAGE;
}

/* The whole of a decimal number from 1 to 2^32. */
static int parse_records(const char *text, uint64_t *records)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -1;
	*records = strtoull(text, &end, 10);
	return *end || !*records || *records > UINT32_MAX ? -1 : 0;
}

static void print_log(void *arg, const char *message)
{
	(void)arg;
	fprintf(stderr, "filelog: %s\n", message);
}

int main(int argc, char **argv)
{
	const char *bind = NULL, *port = "7472";
	uint64_t records = 1000;
	int option;

	pinv_set_log(print_log, NULL);
	while ((option = getopt_long(argc, argv, "b:p:n:h", options, NULL)) != -1) {
		switch (option) {
		case 'b':
			bind = optarg;
			break;
		case 'p':
			port = optarg;
			break;
		case 'n':
			if (parse_records(optarg, &records))
				return wrong_usage("RECORDS must be 1 or more");
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_DONE;
		default:
			return wrong_usage(NULL);
		}
	}
	if (argc - optind != 2)
		return wrong_usage("expected: server FILE, or client ADDR");
	if (!strcmp(argv[optind], "server"))
		return run_server(argv[optind + 1], bind, port);
	if (!strcmp(argv[optind], "client"))
		return run_client(argv[optind + 1], port, records);
	return wrong_usage("first argument must be server or client");
}
