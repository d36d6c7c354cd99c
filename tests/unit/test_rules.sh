#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Every rule that a check, a scenario, the header or a manual page names is stated in pinverbs(7),
# once. Says which of those stated there no check and no scenario names.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

sed -n 's/^\.B \([A-Z][0-9]*\)$/\1/p' "$SOURCE/man/pinverbs.7" | sort >"$work/stated"
[ -s "$work/stated" ]
if [ "$(uniq -d "$work/stated")" ]; then
	echo "stated twice: $(uniq -d "$work/stated")"
	status=1
fi
{
	"$BUILD/tests/conformance/conformance" --list | cut -f 2 | tr ',' '\n'
	sed -n 's/^rules:* *//p' "$SOURCE"/tests/litmus/*.litmus | tr -s ', ' '\n'
} | grep -x '[A-Z][0-9]*' | sort -u >"$work/checked"
grep -ohE '\b[LPTCOFDYX][0-9]{1,2}\b' "$SOURCE/libpinverbs/pinverbs.h" "$SOURCE"/man/*.3 |
	sort -u >"$work/named"

for file in checked named; do
	comm -13 "$work/stated" "$work/$file" >"$work/missing"
	if [ -s "$work/missing" ]; then
		echo "$file, and not stated in pinverbs(7): $(tr '\n' ' ' <"$work/missing")"
		status=1
	fi
done
echo "$(wc -l <"$work/stated") rules; not checked: $(comm -23 "$work/stated" "$work/checked" | tr '\n' ' ')"
exit $status
