#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The other compiler finds nothing in what is installed, and in the examples; in the provider, if that is
# built here. tests/unit/heavy builds and runs with it.
set -eu
if ! command -v clang >/dev/null; then
	echo "skipped: clang is missing; install clang"
	exit 77
fi
cd "$SOURCE"
# shellcheck disable=SC2046
clang -fsyntax-only -std=gnu11 -Wall -Wextra -Werror -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	-DPINVERBS_VERSION='"1.0.0"' -Ilibpinverbs $(pkg-config --cflags libibverbs libpmem librdmacm) \
	libpinverbs/*.c libpinverbs/preload/*.c tools/*.c examples/*.c
echo "$(find libpinverbs tools examples -name '*.c' | wc -l) files"

headers=$BUILD/providers/include
if [ -d "$headers" ]; then
	# rdma-core's commands are a header, a structure of the kernel, and what the driver adds
	clang -fsyntax-only -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
		-Wpointer-arith -Werror -Wno-gnu-variable-sized-type-not-at-end -isystem "$headers" \
		providers/pinrxe/*.c
	echo "$(find providers/pinrxe -name '*.c' | wc -l) files of the provider"
else
	echo "not the provider: it is not built here"
fi
