#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The program in README is examples/register.c, and has fifteen lines.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^```$/ { on = 0 } on; /^```c$/ { on = ++count == 1 }' "$SOURCE/README.md" >"$work/readme"
sed '1,2d' "$SOURCE/examples/register.c" >"$work/example"
diff "$work/readme" "$work/example"
[ "$(grep -c . "$work/readme")" = 15 ] || { echo "not fifteen lines"; exit 1; }
