#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# examples/register, README's program, where it cannot succeed: it names what failed, why and what to
# look at, and exits with 1. Libibverbs' list of devices is replaced by one that is empty or not there,
# so that it does not matter what this machine has.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $FLAGS in
*thread* | *address*)
	echo "skipped: a preloaded library is in the way of the sanitizers"
	exit 77
	;;
esac

cat >"$work/none.c" <<'END'
#include <errno.h>
#include <stdlib.h>

void **ibv_get_device_list(int *count);
void ibv_free_device_list(void **list);

/* Of rdma-core: NULL and ENOSYS on a kernel without RDMA. */
void **ibv_get_device_list(int *count)
{
	static void *list[1];

	if (count)
		*count = 0;
	errno = getenv("NO_RDMA") ? ENOSYS : 0;
	return getenv("NO_RDMA") ? NULL : list;
}

void ibv_free_device_list(void **list)
{
	(void)list;
}
END
$CC -shared -fPIC -Wl,-z,now "$work/none.c" -o "$work/none.so"

refused() # NAME ARG...
{
	name=$1
	shift
	status=0
	said=$("$@" 2>&1 </dev/null) || status=$?
	if [ "$status" != 1 ] ||
		[ "$said" != "register: open a device, see ibv_devices: No such device" ]; then
		echo "FAIL $name: status $status: $said"
		exit 1
	fi
	echo "ok $name: $said"
}

refused 'no device' env LD_PRELOAD="$work/none.so" "$BUILD/examples/register" "$work/none.c"
refused 'no device and no file' env LD_PRELOAD="$work/none.so" "$BUILD/examples/register"
refused 'no RDMA' env NO_RDMA=1 LD_PRELOAD="$work/none.so" "$BUILD/examples/register" "$work/none.c"
