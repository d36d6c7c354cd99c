// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The rules of the lease and pin contract, in its order. */
#include <string.h>

#include "litmus.h"

const struct rule rules[] = {
	{ "L1", "who may take an exclusive layout lease, and on what" },
	{ "L2", "errors of taking one" },
	{ "L3", "the cooperative kind" },
	{ "L4", "layout leases and classic leases do not see each other" },
	{ "L5", "several holders on one file" },
	{ "L6", "release" },
	{ "L7", "a lease belongs to a process and a description" },
	{ "L8", "the values of F_LAYOUT and F_EXCLUSIVE" },
	{ "L9", "/proc/locks and fdinfo" },
	{ "L10", "grants and layout changes are serialised" },
	{ "L11", "a holder that has exited" },
	{ "P1", "registration needs the caller's lease on the description" },
	{ "P2", "several files: all leases or nothing" },
	{ "P3", "no new pin after the release" },
	{ "P4", "no new pin through a zombie" },
	{ "P5", "memory that needs no lease" },
	{ "P6", "other long-term pinners" },
	{ "P7", "page-cache mappings" },
	{ "P8", "no zero page under a pin" },
	{ "P9", "RLIMIT_MEMLOCK" },
	{ "P10", "re-registration" },
	{ "P11", "remote data is the file's data" },
	{ "T1", "layout changes under a lease fail at once" },
	{ "T2", "EDEADLK against one's own leases" },
	{ "T3", "what is no layout change works" },
	{ "T4", "never a hang" },
	{ "T5", "without lease and pins as on the stock kernel" },
	{ "T6", "after the last pin and lease it works again" },
	{ "T7", "no pinned block is freed or reused" },
	{ "T8", "clients of nfsd" },
	{ "C1", "close never waits" },
	{ "C2", "munmap keeps pins and lease" },
	{ "C3", "the zombie lease" },
	{ "C4", "deregistering after close and munmap" },
	{ "O1", "/proc/PID/file_pins and fdinfo" },
	{ "O2", "fork" },
	{ "O3", "passing the uverbs descriptor" },
	{ "O4", "contexts without a descriptor" },
	{ "O5", "SIGKILL releases everything" },
	{ "O6", "descriptors that outlive the context" },
	{ "O7", "removal of the device" },
	{ "O8", "exec" },
	{ "F1", "fork and anonymous memory" },
	{ "F2", "fork and direct I/O" },
	{ "D1", "direct I/O takes pins" },
	{ "D2", "kernel pages in direct I/O" },
	{ "D3", "the zero page in direct I/O" },
	{ "Y1", "fsync of remote data" },
	{ "Y2", "power cut" },
	{ "X1", "device DAX" },
	{ NULL, NULL },
};

bool rule_known(const char *id)
{
	const struct rule *r;

	for (r = rules; r->id; r++)
		if (!strcmp(r->id, id))
			return true;
	return false;
}
