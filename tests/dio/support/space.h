/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a check mounts goes with its last process. */
#ifndef PINV_DIO_SPACE_H
#define PINV_DIO_SPACE_H

/* A mount namespace of the check's own; may be called again. */
void own_mounts(void);

#endif
