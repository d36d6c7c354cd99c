#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Without the rdma-core source CMake says so in one line and leaves the provider out; a source that will
# not do is an error with its reason.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

configure() # RDMA_CORE_SOURCE
{
	rm -rf "$work/build"
	"$CMAKE" -S "$SOURCE" -B "$work/build" -G Ninja -DCMAKE_C_COMPILER="$CC" -DBUILD_TESTING=OFF \
		-DRDMA_CORE_SOURCE="$1" >"$work/log" 2>&1
}

refused() # RDMA_CORE_SOURCE REASON
{
	if configure "$1" || ! tr -s ' \n' ' ' <"$work/log" | grep -q "$2"; then
		echo "FAIL refused: $2"
		cat "$work/log"
		exit 1
	fi
	echo "ok refused: $2"
}

configure ''
grep '^-- providers:' "$work/log" >"$work/said"
echo '-- providers: left out, -DRDMA_CORE_SOURCE= names no rdma-core source (./pinverbs obtains it)' |
	diff - "$work/said"
"$CMAKE" --build "$work/build" --target help | grep -q libpinverbs
if "$CMAKE" --build "$work/build" --target help | grep pinrxe; then
	echo "FAIL the provider is there all the same"
	exit 1
fi
echo "ok left out"

refused "$work" 'is no rdma-core source tree: it has no libibverbs/driver.h'
mkdir -p "$work/core/libibverbs"
: >"$work/core/libibverbs/driver.h"
printf 'set(PACKAGE_VERSION "%s")\nset(IBVERBS_PABI_VERSION "%s")\n' 57.0 35 >"$work/core/CMakeLists.txt"
refused "$work/core" "rdma-core 57.0 has private ABI '35'; pinrxe is written for 34"
printf 'set(PACKAGE_VERSION "%s")\nset(IBVERBS_PABI_VERSION "%s")\n' 43.0 34 >"$work/core/CMakeLists.txt"
refused "$work/core" 'rdma-core 43.0 is too old'
