#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Every C file is as clang-format, with the project's settings, would write it.
set -eu
if ! command -v clang-format >/dev/null; then
	echo "skipped: clang-format is missing; install clang-format"
	exit 77
fi
cd "$SOURCE"
find examples libpinverbs providers tests tools -name '*.[ch]' -exec clang-format --dry-run -Werror {} +
echo "$(find examples libpinverbs providers tests tools -name '*.[ch]' | wc -l) files"
