#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The examples and lspins with arguments that are none: what is wrong is said before anything is done.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
examples=$BUILD/examples
: >"$work/empty"
mkfifo "$work/fifo"
ln -s nowhere "$work/dangling"
failures=0

# expect STATUS TEXT COMMAND...: TEXT is part of what it says
expect()
{
	wanted=$1 text=$2
	shift 2
	status=0
	said=$(LC_ALL=C timeout 60 "$@" 2>&1 </dev/null) || status=$?
	case $status,$said in
	"$wanted",*"$text"*) echo "ok $*" ;;
	*)
		echo "FAIL $*: status $status, wanted $wanted and '$text': $said"
		failures=$((failures + 1))
		;;
	esac
}

for example in growing handover refused; do
	expect 2 usage "$examples/$example" one two
	expect 2 usage "$examples/$example"
done
for number in -1 3x 99999 4294967297 ''; do
	expect 2 usage "$examples/kvstore" put 127.0.0.1 "$number"
	expect 2 usage "$examples/appendlog" client 127.0.0.1 "$number"
done
expect 1 'key 0 was acknowledged and is not there' "$examples/kvstore" check "$work/empty" 3
expect 1 'nothere: No such file' "$examples/kvstore" check "$work/nothere" 3

PROC=$SOURCE/tests/unit/proc/recorded
export PROC
lspins=$BUILD/tests/unit/lspins-recorded
expect 1 'lspins: : No such file' "$lspins" ''
expect 1 'fifo: not a regular file' "$lspins" "$work/fifo"
expect 1 'dangling: No such file' "$lspins" "$work/dangling"
exit $((failures > 0))
