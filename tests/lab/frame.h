/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What lab-host (outside) and lab-guest (inside) say to each other over one virtio port.
 *
 * One port for everything keeps the order of stdout, stderr and the exit status: when the
 * status arrives, all output has arrived.
 */
#ifndef PINVERBS_LAB_FRAME_H
#define PINVERBS_LAB_FRAME_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#define FRAME_MAX 32768

struct frame {
	uint32_t type;
	uint32_t len;
};

enum {
	/* guest to host */
	FRAME_WAITING = 'W', /* for FRAME_JOB */
	FRAME_STARTED = 'S', /* the command begins */
	FRAME_OUT = 'O',     /* bytes of its stdout */
	FRAME_ERR = 'E',     /* bytes of its stderr */
	FRAME_ALIVE = 'A',   /* heartbeat */
	FRAME_EXIT = 'X',    /* uint32_t: exit status, or 128 + signal */
	/* host to guest */
	FRAME_JOB = 'j',     /* the folder of the job; lab-init waits for it */
	FRAME_IN = 'i',      /* bytes of its stdin */
	FRAME_IN_EOF = 'e',  /* end of its stdin */
	FRAME_WINSIZE = 'w', /* two uint16_t: rows, columns */
	FRAME_DUMP = 'd',    /* write the stacks of blocked tasks to the kernel log */
	FRAME_QUIT = 'q',    /* all guests have their status: shut down */
};

#endif
