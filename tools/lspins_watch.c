// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * lspins --watch: prints the list again when it has changed. On a terminal it draws a picture that fits
 * into the window, and a new one when the window's size changes.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include "lspins.h"

static char *listing_text(const struct options *options, int *status, unsigned *unseen)
{
	struct listing listing;
	size_t size;
	char *text = NULL;
	FILE *memory;

	*status = make_listing(options, &listing);
	if (*status != EXIT_LISTED)
		return NULL;
	memory = must(open_memstream(&text, &size));
	print_listing(memory, options, &listing);
	if (fclose(memory))
		must(NULL);
	*unseen = listing.unseen;
	free_listing(&listing);
	return must(text);
}

/* How many bytes of a line fit into so many columns. */
static size_t fitting(const char *line, size_t length, unsigned columns)
{
	mbstate_t state = { 0 };
	size_t at = 0, bytes;
	unsigned width = 0;
	wchar_t letter;

	for (; at < length; at += bytes) {
		bytes = mbrtowc(&letter, line + at, length - at, &state);
		/* The list has no other letters than those that can be printed. */
		if (!bytes || bytes > length - at)
			break;
		width += wcwidth(letter);
		if (width > columns)
			break;
	}
	return at;
}

static unsigned count_lines(const char *text)
{
	unsigned count = 0;

	for (; (text = strchr(text, '\n')) != NULL; text++)
		count++;
	return count;
}

/* @rows: those that it may take, besides the one for the cursor. */
static void draw_table(const char *text, unsigned rows, unsigned columns)
{
	unsigned lines = count_lines(text), row;

	for (row = 0; row < lines && row + (lines > rows) < rows; row++) {
		size_t length = strcspn(text, "\n");

		printf("%.*s\n", (int)fitting(text, length, columns), text);
		text += length + 1;
	}
	if (row < lines)
		printf("... %u more\n", lines - row);
}

static void draw(const struct options *options, const struct winsize *window,
		 const char *text, bool unseen)
{
	unsigned others = unseen ? 2 : 1;

	fputs("\033[H\033[2J", stdout);
	if (options->json || options->raw || window->ws_row <= others || !window->ws_col)
		fputs(text, stdout);
	else
		draw_table(text, window->ws_row - others, window->ws_col);
}

/* No size: what is there is not a terminal. */
static struct winsize window_size(void)
{
	struct winsize window = { 0 };

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window))
		memset(&window, 0, sizeof(window));
	return window;
}

/* A change of size that comes between a look at it and the wait is not lost: its signal is blocked. */
static void wait_for(double seconds)
{
	struct timespec step = { .tv_sec = seconds };
	sigset_t resized;

	step.tv_nsec = (seconds - step.tv_sec) * 1e9;
	sigemptyset(&resized);
	sigaddset(&resized, SIGWINCH);
	sigtimedwait(&resized, NULL, &step);
}

/* The processes that cannot be seen come and go: whether there are any is what matters. */
int watch_listing(const struct options *options)
{
	struct winsize last_window = { 0 }, window;
	unsigned unseen, last_unseen = 0;
	char *last = NULL, *text;
	sigset_t resized;
	int status;

	sigemptyset(&resized);
	sigaddset(&resized, SIGWINCH);
	sigprocmask(SIG_BLOCK, &resized, NULL);
	while ((text = listing_text(options, &status, &unseen)) != NULL) {
		window = window_size();
		if (!last || strcmp(last, text) || !unseen != !last_unseen ||
		    memcmp(&window, &last_window, sizeof(window))) {
			if (isatty(STDOUT_FILENO))
				draw(options, &window, text, unseen);
			else
				printf("%s%s", last ? "\n" : "", text);
			status = flush_output(EXIT_LISTED);
			say_unseen(unseen);
		}
		free(last);
		last = text;
		last_unseen = unseen;
		last_window = window;
		if (status != EXIT_LISTED)
			break;
		wait_for(options->interval);
	}
	free(last);
	return status;
}
