#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Every man page formats without a warning, at two widths, and mandoc finds nothing in it.
set -eu
if ! command -v man >/dev/null || ! command -v groff >/dev/null; then
	echo "skipped: man or groff is missing; install man-db and groff-base"
	exit 77
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root/man3" "$root/man7" "$root/man8"
cp "$SOURCE"/man/*.3 "$SOURCE"/providers/pinrxe/man/*.3 "$root/man3/"
cp "$SOURCE"/man/*.7 "$SOURCE"/providers/pinrxe/man/*.7 "$root/man7/"
cp "$SOURCE"/man/*.8 "$root/man8/"
cd "$root" # aliases are relative to here
count=0
for page in man3/* man7/* man8/*; do
	for width in 80 132; do
		said=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=$width \
			man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
		if [ -n "$said" ]; then
			echo "$page: $said"
			exit 1
		fi
	done
	# An alias is one line, .so, of which mandoc does not think much.
	if command -v mandoc >/dev/null && ! grep -q '^\.so ' "$page" &&
		! mandoc -T lint -W style "$page"; then
		exit 1
	fi
	count=$((count + 1))
done
[ "$count" -gt 0 ]
echo "$count pages formatted"
