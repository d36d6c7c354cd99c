#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Every man page formats without a warning, at two widths.
set -eu
if ! command -v man >/dev/null || ! command -v groff >/dev/null; then
	echo "skipped: man or groff is missing; install man-db and groff-base"
	exit 77
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root/man3" "$root/man7"
cp "$SOURCE"/man/*.3 "$root/man3/"
cp "$SOURCE"/man/*.7 "$root/man7/"
cd "$root" # aliases are relative to here
count=0
for page in man3/* man7/*; do
	for width in 80 132; do
		said=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=$width \
			man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
		if [ -n "$said" ]; then
			echo "$page: $said"
			exit 1
		fi
	done
	count=$((count + 1))
done
[ "$count" -gt 0 ]
echo "$count pages formatted"
