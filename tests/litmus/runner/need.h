/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PINV_LITMUS_NEED_H
#define PINV_LITMUS_NEED_H

/* Ends the check as skipped, saying what is missing, unless the machine has the feature. */
void need(const char *feature);

#endif
