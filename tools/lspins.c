// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* lspins: who pins what, and who blocks my truncate. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "lspins.h"

#define DEFAULT_INTERVAL 2.0

void *must(void *memory)
{
	if (memory)
		return memory;
	fputs("lspins: out of memory\n", stderr);
	exit(EXIT_FAILED);
}

static void print_help(void)
{
	int i;

	fputs("usage: lspins [options] [FILE...]\n"
	      "\n"
	      "List which DAX files are pinned for RDMA, by whom and under whose layout "
	      "lease,\n"
	      "and which are leased without pins: all that can be seen, or only FILEs.\n"
	      "\n"
	      "  -p, --pid PID         this process only\n"
	      "  -J, --json            JSON\n"
	      "  -r, --raw             one blank between columns, other blanks as \\x20\n"
	      "  -n, --noheadings      no line of column names\n"
	      "  -o, --output COLS     these columns, separated by commas; +COLS: these "
	      "too\n"
	      "  -b, --bytes           SIZE in bytes\n"
	      "  -w, --watch[=SECONDS] list again when something has changed, until "
	      "interrupted\n"
	      "  -k, --kill            end the processes that keep FILEs leased or "
	      "pinned\n"
	      "  -y, --yes             with --kill: do not ask\n"
	      "  -s, --signal SIGNAL   with --kill: send this, not KILL\n"
	      "  -h, --help            this text\n"
	      "  -V, --version         version, and the providers of the RDMA devices\n"
	      "\n"
	      "Columns:",
	      stdout);
	for (i = 0; i < COLUMN_COUNT; i++)
		printf(" %s", column_name(i));
	fputs("\n(all but DEV and INODE unless -o is given)\n"
	      "Exit status: 0 listed, 1 failed, 2 some processes could not be looked "
	      "at.\n",
	      stdout);
}

__attribute__((format(printf, 1, 2), noreturn)) static void usage(const char *format, ...)
{
	va_list args;

	fputs("lspins: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; see lspins --help\n", stderr);
	exit(EXIT_FAILED);
}

/* Output that is lost is a failure. */
int flush_output(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "lspins: write: %s\n", strerror(errno));
	return EXIT_FAILED;
}

static int parse_pid(const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || *end || end == text || pid < 1 || pid > INT_MAX)
		usage("no process number: %s", text);
	return pid;
}

static double parse_interval(const char *text)
{
	char *end;
	double seconds;

	if (!text)
		return DEFAULT_INTERVAL;
	seconds = strtod(text, &end);
	if (*end || end == text || !(seconds >= 0.01 && seconds <= 86400))
		usage("--watch takes 0.01 to 86400 seconds, not %s", text);
	return seconds;
}

static int parse_signal(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);
	int i;

	if (!*end && end != text && number > 0 && number < NSIG)
		return number;
	if (!strncasecmp(text, "SIG", 3))
		text += 3;
	for (i = 1; i < NSIG; i++)
		if (sigabbrev_np(i) && !strcasecmp(sigabbrev_np(i), text))
			return i;
	usage("unknown signal: %s", text);
}

static void add_column(struct options *options, enum column column)
{
	if (options->column_count == MOST_COLUMNS)
		usage("more than %d columns", MOST_COLUMNS);
	options->columns[options->column_count++] = column;
}

static void default_columns(struct options *options)
{
	int i;

	options->column_count = 0;
	for (i = 0; i <= COLUMN_HOLDER; i++)
		add_column(options, i);
}

static void parse_columns(struct options *options, const char *text)
{
	options->column_count = 0;
	if (*text == '+') {
		default_columns(options);
		text++;
	}
	for (;;) {
		size_t length = strcspn(text, ",");
		int column = find_column(text, length);

		if (column < 0)
			usage("unknown column: %.*s", (int)length, text);
		add_column(options, column);
		if (!text[length])
			return;
		text += length + 1;
	}
}

static void check_options(const struct options *options)
{
	if (options->json && options->raw)
		usage("--json and --raw exclude each other");
	if (options->kill && !options->file_count)
		usage("--kill needs a FILE");
	if (options->kill && options->interval != 0)
		usage("--kill and --watch exclude each other");
	if (options->kill && options->json)
		usage("--kill and --json exclude each other");
	if (options->yes && !options->kill)
		usage("--yes is for --kill");
	if (options->signal && !options->kill)
		usage("--signal is for --kill");
}

static void parse_option(struct options *options, int option)
{
	switch (option) {
	case 'p':
		options->pid = parse_pid(optarg);
		break;
	case 'J':
		options->json = true;
		break;
	case 'r':
		options->raw = true;
		break;
	case 'n':
		options->no_headings = true;
		break;
	case 'o':
		parse_columns(options, optarg);
		break;
	case 'b':
		options->bytes = true;
		break;
	case 'w':
		options->interval = parse_interval(optarg);
		break;
	case 'k':
		options->kill = true;
		break;
	case 'y':
		options->yes = true;
		break;
	case 's':
		options->signal = parse_signal(optarg);
		break;
	case 'h':
		print_help();
		exit(flush_output(EXIT_LISTED));
	case 'V':
		print_version();
		exit(flush_output(EXIT_LISTED));
	default:
		/* getopt has said what is wrong. */
		fputs("see lspins --help\n", stderr);
		exit(EXIT_FAILED);
	}
}

static void parse_options(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{ "pid", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'J' },
		{ "raw", no_argument, NULL, 'r' },
		{ "noheadings", no_argument, NULL, 'n' },
		{ "output", required_argument, NULL, 'o' },
		{ "bytes", no_argument, NULL, 'b' },
		{ "watch", optional_argument, NULL, 'w' },
		{ "kill", no_argument, NULL, 'k' },
		{ "yes", no_argument, NULL, 'y' },
		{ "signal", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "p:Jrno:bw::kys:hV", names, NULL)) >= 0)
		parse_option(options, option);
	options->files = argv + optind;
	options->file_count = argc - optind;
	check_options(options);
}

/* What the library says of a failed call, as this program's own words. */
static void show(void *arg, const char *message)
{
	static const char prefix[] = "libpinverbs: ";

	(void)arg;
	if (!strncmp(message, prefix, sizeof(prefix) - 1))
		message += sizeof(prefix) - 1;
	fprintf(stderr, "lspins: %s\n", message);
}

static int list(const struct options *options)
{
	struct listing listing;
	int status = make_listing(options, &listing);

	if (status != EXIT_LISTED)
		return status;
	print_listing(stdout, options, &listing);
	status = flush_output(say_unseen(listing.unseen));
	free_listing(&listing);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = { .pid = PINV_PINS_ALL };

	setlocale(LC_CTYPE, "");
	default_columns(&options);
	parse_options(&options, argc, argv);
	pinv_set_log(show, NULL);
	if (!options.signal)
		options.signal = SIGKILL;
	if (options.kill)
		return kill_holders(&options);
	return options.interval != 0 ? watch_listing(&options) : list(&options);
}
