/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The table of iterators: a row for each iterator, read and write, and kind of file. */
#ifndef PINV_DIO_ITERATORS_H
#define PINV_DIO_ITERATORS_H

#include "dio.h"

#define ROW_LEN   KiB(64)
#define ROW_PAGES ((long)(ROW_LEN / PAGE))

enum iterator {
	ITER_UBUF,
	ITER_IOVEC,
	ITER_BVEC,
	ITER_FIXED,
	ITER_KVEC,
	ITER_FOLIOQ,
	ITER_XARRAY,
	ITER_DISCARD,
	ITERATORS
};

/* One transfer of ROW_LEN: what was pinned and unpinned, references of a page before and after. */
struct row {
	const char *target;
	enum iterator iterator;
	bool write;
	long acquired, released, before, after;
	bool content;
};

/* "xfs, bvec, read" */
const char *row_name(const struct row *r);
/* Adds it to the table, in iterators.FS of $DIO_RESULTS. */
void row_put(const struct row *r);
/* There is no such transfer, and why, in a word that Documentation/direct-io-pins.md explains. */
void row_none(const struct row *r, const char *why);

#endif
