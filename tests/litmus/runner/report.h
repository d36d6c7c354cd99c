/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Results of a run: TAP on stdout, JUnit XML, and the rule table of many runs. */
#ifndef PINV_LITMUS_REPORT_H
#define PINV_LITMUS_REPORT_H

#include "check.h"
#include "litmus.h"

void report_plan(unsigned int tests);
void report_test(const struct litmus *l, enum fs fs, const struct outcome *out, long ms);
/* True if tests passed and none failed. */
bool report_end(void);

/* Begins the XML file, which report_end() completes. */
bool report_junit(const char *path);

/*
 * Reads lines "flavour<TAB>fs<TAB>test<TAB>rules<TAB>pass|fail|broken|skip" and prints the table
 * rule by file system and flavour; false if a cell is neither passed nor justified.
 */
bool rule_table(FILE *in, struct litmus *const *all, FILE *out, bool colour);

#endif
