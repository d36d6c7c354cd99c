// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The table of all verbs: what a step can do stands next to how it is done, in do_*.c. */
#include "do.h"

const struct verb *const verb_tables[] = { file_verbs,   block_verbs, lease_verbs,
					   memory_verbs, rdma_verbs,  task_verbs,
					   mount_verbs,  look_verbs,  direct_verbs,
					   power_verbs,  nfs_verbs,   NULL };

const struct verb *verb_find(const char *name, bool look)
{
	const struct verb *v;
	int i;

	if (!look && !strcmp(name, verb_returns.name))
		return &verb_returns;
	for (i = 0; verb_tables[i]; i++)
		for (v = verb_tables[i]; v->name; v++)
			if (!strcmp(v->name, name) && !!(v->flags & VERB_LOOK) == look)
				return v;
	return NULL;
}
