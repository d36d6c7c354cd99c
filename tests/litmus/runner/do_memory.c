// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Steps with mappings and memory. */
#include <linux/mman.h>
#include <sys/mman.h>

#include "do.h"

bool range_within(struct range *r, uint64_t len)
{
	if (r->to == RANGE_END)
		r->to = len;
	return r->from < r->to && r->to <= len;
}

static long mapped(struct name *result, long addr, uint64_t len, uint64_t pos)
{
	if (addr >= 0 && result) {
		result->map.addr = (uint64_t)addr;
		result->map.len = len;
		result->map.pos = pos;
	}
	return addr < 0 ? addr : 0;
}

struct range range_of_fd(struct actor *a, long fd, struct range r)
{
	struct stat st;

	if (r.to == RANGE_END && SYS(a, SYS_fstat, V(fd), OUT(&st, sizeof(st))) >= 0)
		r.to = (uint64_t)st.st_size;
	return r;
}

#define SHARE_WORDS "shared|private|sync"
#define PROT_WORDS  "rw|ro"

static const int share_flags[] = { MAP_SHARED, MAP_PRIVATE,
				   MAP_SHARED_VALIDATE | MAP_SYNC };

DO(mmap)
{
	struct range range =
		range_of_fd(a, fd_of(&arg[0]), arg[1].kind ? arg[1].range : WHOLE);
	int prot = arg[3].number ? PROT_READ : PROT_READ | PROT_WRITE;
	int flags = share_flags[arg[2].number];
	uint64_t at = 0;

	if (arg[4].kind) {
		/* Right behind the other mapping: one range of addresses over both. */
		at = arg[4].name->map.addr + arg[4].name->map.len;
		flags |= MAP_FIXED;
	}
	return mapped(result,
		      a_mmap(a, at, range.to - range.from, prot, flags, fd_of(&arg[0]),
			     range.from),
		      range.to - range.from, range.from);
}

/* Makes two neighbours one mapping, for steps over both. */
DO(join)
{
	const struct name *one = arg[0].name, *two = arg[1].name;

	if (one->map.addr + one->map.len != two->map.addr)
		return -EINVAL;
	return mapped(result, (long)one->map.addr, one->map.len + two->map.len,
		      one->map.pos);
}

static const int anon_flags[] = {
	MAP_PRIVATE | MAP_ANONYMOUS,
	MAP_PRIVATE | MAP_ANONYMOUS,
	MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB,
	MAP_SHARED | MAP_ANONYMOUS,
};

/* A huge page needs an aligned address: room for one more is mapped, and stays. */
DO(anon)
{
	uint64_t len = arg[0].number, room = len + MiB(2);
	unsigned int how = arg[1].kind ? (unsigned int)arg[1].number : 0;
	long addr;

	if (how != 1)
		return mapped(result,
			      a_mmap(a, 0, len, PROT_READ | PROT_WRITE, anon_flags[how],
				     -1, 0),
			      len, 0);
	addr = a_mmap(a, 0, room, PROT_READ | PROT_WRITE, anon_flags[how], -1, 0);
	if (addr < 0)
		return addr;
	addr = (long)(((uint64_t)addr + MiB(2) - 1) & ~(MiB(2) - 1));
	if (a_madvise(a, addr, len, MADV_HUGEPAGE))
		return -EOPNOTSUPP;
	return mapped(result, addr, len, 0);
}

/* Room for mappings at fixed neighbours: addresses without memory. */
DO(reserve)
{
	return mapped(result,
		      a_mmap(a, 0, arg[0].number, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
		      0, 0);
}

DO(munmap)
{
	struct range range = arg[1].kind ? arg[1].range : WHOLE;

	if (!range_within(&range, arg[0].name->map.len))
		broken("the range is not within the mapping");
	return a_munmap(a, (long)(arg[0].name->map.addr + range.from),
			range.to - range.from);
}

DO(mremap)
{
	const struct name *m = arg[0].name;

	return mapped(result,
		      SYS(a, SYS_mremap, V(m->map.addr), V(m->map.len), V(arg[1].number),
			  V(MREMAP_MAYMOVE)),
		      arg[1].number, m->map.pos);
}

/* Other memory at the same addresses. */
DO(cover)
{
	const struct name *m = arg[0].name;
	long addr = a_mmap(a, m->map.addr, m->map.len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return addr < 0 ? addr : 0;
}

DO(store)
{
	struct range range = arg[1].range;

	if (!range_within(&range, arg[0].name->map.len))
		broken("the range is not within the mapping");
	return a_mem_write(a, arg[0].name->map.addr + range.from, range.to - range.from,
			   arg[2].number, arg[0].name->map.pos + range.from);
}

DO(load)
{
	struct range range = arg[1].range;

	if (!range_within(&range, arg[0].name->map.len))
		broken("the range is not within the mapping");
	return a_mem_check(a, arg[0].name->map.addr + range.from, range.to - range.from,
			   arg[2].number, arg[0].name->map.pos + range.from);
}

DO(msync)
{
	return a_msync(a, (long)arg[0].name->map.addr, arg[0].name->map.len);
}

DO(memlock)
{
	return a_set_memlock(a, arg[0].number);
}

/* ---- other long-term pinners ---- */

DO(uring_buffer)
{
	return a_uring_register_buffer(a, arg[0].name->map.addr, arg[0].name->map.len);
}

DO(gup_pin)
{
	return a_gup_test_longterm(a, arg[0].name->map.addr, arg[0].name->map.len);
}

const struct verb memory_verbs[] = {
	{ "mmap", "FD [RANGE] " SHARE_WORDS " " PROT_WORDS " [after MAP]", K_MAP, do_mmap,
	  "maps $1{, bytes $2,} ($3, $4){ right behind $5} as $=", 0, NULL },
	{ "join", "MAP and MAP", K_MAP, do_join, "calls $1 and $2 together $=", 0, NULL },
	{ "anon", "SIZE [plain|thp|hugetlb|shared]", K_MAP, do_anon,
	  "maps $1 of anonymous memory{ ($2)} as $=", 0, NULL },
	{ "reserve", "SIZE", K_MAP, do_reserve, "reserves addresses for $1 as $=", 0,
	  NULL },
	{ "munmap", "MAP [RANGE]", K_NONE, do_munmap, "unmaps $1{, $2}", 0, NULL },
	{ "mremap", "MAP to SIZE", K_MAP, do_mremap, "remaps $1 to $2 as $=", 0, NULL },
	{ "cover", "MAP", K_NONE, do_cover, "maps anonymous memory over $1", 0, NULL },
	{ "store", "MAP RANGE content N", K_NONE, do_store,
	  "stores content $3 to $2 of the mapping $1", 0, NULL },
	{ "load", "MAP RANGE content N", K_NONE, do_load,
	  "loads content $3 from $2 of the mapping $1", 0, NULL },
	{ "msync", "MAP", K_NONE, do_msync, "syncs the mapping $1", 0, NULL },
	{ "uring-buffer", "MAP", K_NONE, do_uring_buffer,
	  "registers the mapping $1 as an io_uring fixed buffer", 0, NULL },
	{ "gup-pin", "MAP", K_NONE, do_gup_pin,
	  "pins the mapping $1 for long, as a caller without an owner", 0, NULL },
	{ "memlock", "SIZE", K_NONE, do_memlock, "limits its locked memory to $1", 0,
	  NULL },
	{ NULL, NULL, K_NONE, NULL, NULL, 0, NULL },
};
