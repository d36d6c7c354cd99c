#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The examples of the man pages are C that compiles against the header, as C and C++.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0
{
	printf '#include <err.h>\n#include <errno.h>\n#include <stdio.h>\n#include <pinverbs.h>\n'
	for page in "$SOURCE"/man/pinv_*.3; do
		sed -n '/^\.SH EXAMPLES/,/^\.SH SEE/{/^\.EX/,/^\.EE/p}' "$page" |
			sed '/^\.E[XE]/d; s/\\-/-/g; s/\\&//g; s/\\e/\\/g' >"$work/code"
		[ -s "$work/code" ] || continue
		count=$((count + 1))
		echo "void example_$count(struct ibv_pd *pd, int fd, struct ibv_qp_ex *qp, uint32_t rkey,"
		echo "	uint64_t address, struct ibv_mr *source);"
		echo "void example_$count(struct ibv_pd *pd, int fd, struct ibv_qp_ex *qp, uint32_t rkey,"
		echo "	uint64_t address, struct ibv_mr *source)"
		echo "{"
		# named as in the text; err() is a function elsewhere
		! grep -q '^err = ' "$work/code" || echo "int err, flush;"
		cat "$work/code"
		! grep -q '^err = ' "$work/code" || echo "(void)err, (void)flush;"
		echo "(void)pd, (void)fd, (void)qp, (void)rkey, (void)address, (void)source;"
		echo "}"
	done
} >"$work/examples.c"
cp "$work/examples.c" "$work/examples.cc"
"$CC" -std=gnu11 -Wall -Wextra -Werror -fsyntax-only -I "$SOURCE/libpinverbs" "$work/examples.c"
"$CXX" -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I "$SOURCE/libpinverbs" "$work/examples.cc"
grep -c '^void example_.*,$' "$work/examples.c" >"$work/declared"
[ "$(cat "$work/declared")" -ge 6 ]
echo "$(($(cat "$work/declared") / 2)) examples compiled"
