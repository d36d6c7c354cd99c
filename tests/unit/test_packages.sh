#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The autopkgtest that runs a guest depends on every package that ./pinverbs would install for its tests:
# in its own list or in the packages' build dependencies.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed 's/#.*//; s/\t.*//; /^$/d' "$SOURCE/tests/lab/packages" | sort >"$work/wanted"
[ -s "$work/wanted" ]
# of every system with a compiler
{
	sed -n '/^Tests: guest/,$p' "$SOURCE/debian/tests/control" | sed -n '/^Depends:/,/^Restrictions:/p'
	sed -n '/^Build-Depends:/,/^[^ ]/p' "$SOURCE/debian/control"
} | tr -s ' ,\n' '\n' | grep -v ':$' | sort -u >"$work/there"
echo libc6-dev >>"$work/there"
sort -o "$work/there" "$work/there"
missing=$(comm -23 "$work/wanted" "$work/there")
if [ "$missing" ]; then
	echo "debian/tests/control: guest does not depend on:"
	echo "$missing"
	exit 1
fi
echo "$(wc -l <"$work/wanted") packages compared"
