// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* lspins: the list as a table, raw, or as JSON. */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>
#include "lspins.h"

/*
 * Names of files and programs may hold anything, also what a terminal obeys: bytes that are
 * no printable character are shown as \xHH. Returns the number of terminal cells.
 */
static size_t put_text(FILE *out, const char *text, bool no_blanks)
{
	size_t width = 0, left = strlen(text);
	mbstate_t state = { 0 };

	while (left) {
		wchar_t letter;
		size_t length = mbrtowc(&letter, text, left, &state);
		bool valid = length && length <= left;

		if (!valid) {
			memset(&state, 0, sizeof(state));
			length = 1;
		}
		if (valid && iswprint(letter) && letter != L'\\' &&
		    !(no_blanks && letter == L' ')) {
			fwrite(text, 1, length, out);
			width += wcwidth(letter);
			text += length;
			left -= length;
			continue;
		}
		/* A backslash of the kernel's own escapes (\012) stays as it is. */
		if (valid && letter == L'\\' && !no_blanks) {
			width += fprintf(out, "\\");
			text++;
			left--;
			continue;
		}
		for (left -= length; length; length--)
			width += fprintf(out, "\\x%02x", (unsigned char)*text++);
	}
	return width;
}

/* ---- text ---- */

static char *table_text(const struct cell *cell, bool raw, size_t *width)
{
	const char *content = cell->text ? cell->text : cell->unknown ? "?" : "-";
	size_t size;
	char *text = NULL;
	FILE *memory = must(open_memstream(&text, &size));

	*width = put_text(memory, content, raw);
	if (fclose(memory))
		must(NULL);
	return must(text);
}

static void put_padded(FILE *out, const char *text, size_t width, size_t room, bool right,
		       bool last)
{
	int blanks = room > width ? room - width : 0;

	if (right)
		fprintf(out, "%*s%s", blanks, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : blanks, "");
	fputs(last ? "\n" : " ", out);
}

struct table {
	char **texts;
	size_t *widths;
	size_t rows;
	unsigned columns;
	size_t rooms[MOST_COLUMNS];
};

static void fill_table(struct table *table, const struct options *options,
		       const struct listing *listing)
{
	size_t row, at = 0;
	unsigned i;

	for (i = 0; i < table->columns; i++)
		table->rooms[i] = options->no_headings || options->raw
					  ? 0
					  : strlen(column_name(options->columns[i]));
	for (row = 0; row < table->rows; row++) {
		for (i = 0; i < table->columns; i++, at++) {
			struct cell cell = make_cell(listing->entries[row],
						     options->columns[i], options->bytes);

			table->texts[at] =
				table_text(&cell, options->raw, &table->widths[at]);
			if (!options->raw && table->widths[at] > table->rooms[i])
				table->rooms[i] = table->widths[at];
			free(cell.text);
		}
	}
}

static void print_table(FILE *out, const struct options *options,
			const struct listing *listing)
{
	struct table table = { .rows = listing->count, .columns = options->column_count };
	size_t cells = table.rows * table.columns, at = 0, row;
	unsigned i;

	table.texts = must(calloc(cells + 1, sizeof(*table.texts)));
	table.widths = must(calloc(cells + 1, sizeof(*table.widths)));
	fill_table(&table, options, listing);
	for (i = 0; i < table.columns && !options->no_headings; i++) {
		const char *name = column_name(options->columns[i]);

		put_padded(out, name, strlen(name), table.rooms[i],
			   column_shape(options->columns[i]) == SHAPE_NUMBER,
			   i + 1 == table.columns);
	}
	for (row = 0; row < table.rows; row++) {
		for (i = 0; i < table.columns; i++, at++) {
			put_padded(out, table.texts[at], table.widths[at], table.rooms[i],
				   column_shape(options->columns[i]) == SHAPE_NUMBER,
				   i + 1 == table.columns);
			free(table.texts[at]);
		}
	}
	free(table.texts);
	free(table.widths);
}

/* ---- JSON ---- */

/* The number of bytes of the UTF-8 character at @text; 0: it is none. */
static size_t utf8_length(const char *text)
{
	static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *byte = (const unsigned char *)text;
	size_t length, i;
	unsigned letter;

	if (*byte < 0x80)
		return 1;
	length = *byte >= 0xf0 ? 4 : *byte >= 0xe0 ? 3 : *byte >= 0xc0 ? 2 : 0;
	if (!length || *byte >= 0xf8)
		return 0;
	letter = *byte & (0x7f >> length);
	for (i = 1; i < length; i++) {
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
		letter = letter << 6 | (byte[i] & 0x3f);
	}
	if (letter < least[length] || letter > 0x10ffff ||
	    (letter >= 0xd800 && letter < 0xe000))
		return 0;
	return length;
}

/* JSON has no way to hold bytes that are not UTF-8: they become the text \xHH. */
static void put_json_text(FILE *out, const char *text)
{
	size_t length;

	fputc('"', out);
	for (; *text; text += length ? length : 1) {
		length = utf8_length(text);
		if (!length)
			fprintf(out, "\\\\x%02x", (unsigned char)*text);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if ((unsigned char)*text < ' ' || *text == 0x7f)
			fprintf(out, "\\u%04x", (unsigned char)*text);
		else
			fwrite(text, 1, length, out);
	}
	fputc('"', out);
}

static void put_json_cell(FILE *out, const struct pinv_pin *pin, enum column column)
{
	struct cell cell = make_cell(pin, column, true);
	const char *letter;

	fputs("         \"", out);
	for (letter = column_name(column); *letter; letter++)
		fputc(*letter == '-' ? '-' : *letter | 0x20, out);
	fputs("\": ", out);
	if (column_shape(column) == SHAPE_NUMBERS)
		fprintf(out, "[%s]", cell.text ? cell.text : "");
	else if (!cell.text)
		fputs("null", out);
	else if (column_shape(column) == SHAPE_NUMBER)
		fputs(cell.text, out);
	else
		put_json_text(out, cell.text);
	free(cell.text);
}

/* A key is there once, also if its column was asked for twice. */
static bool is_repeated(const struct options *options, unsigned index)
{
	unsigned i;

	for (i = 0; i < index; i++)
		if (options->columns[i] == options->columns[index])
			return true;
	return false;
}

static void print_json(FILE *out, const struct options *options,
		       const struct listing *listing)
{
	size_t row;
	unsigned i;

	fputs("{\n   \"lspins\": [", out);
	for (row = 0; row < listing->count; row++) {
		fputs(row ? ",{\n" : "\n      {\n", out);
		for (i = 0; i < options->column_count; i++) {
			if (is_repeated(options, i))
				continue;
			fputs(i ? ",\n" : "", out);
			put_json_cell(out, listing->entries[row], options->columns[i]);
		}
		fputs("\n      }", out);
	}
	fprintf(out, "%s],\n   \"unseen\": %u\n}\n", listing->count ? "\n   " : "",
		listing->unseen);
}

void print_listing(FILE *out, const struct options *options,
		   const struct listing *listing)
{
	if (options->json)
		print_json(out, options, listing);
	else
		print_table(out, options, listing);
}
