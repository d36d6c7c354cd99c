#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# lspins, with one allocation after the other failing: it ends with 1 and says what failed, or lists all
# the same; never with a signal, and never with a list that is not the whole one and the status of
# one that is.  Looking up users' names is left out: glibc 2.36 ends the program when it has no memory
# for that.
set -eu
lspins=$BUILD/tests/unit/lspins-recorded
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $FLAGS in
*thread* | *address*)
	echo "skipped: the sanitizers have an allocator of their own"
	exit 77
	;;
esac
PROC=$SOURCE/tests/unit/proc/recorded
LC_ALL=C.UTF-8
STARVED=$work/starved
export PROC LC_ALL STARVED
failures=0
: >"$work/file"

bad() # MESSAGE
{
	echo "FAIL $name: allocation $number: $1"
	sed 's/^/    /' "$work/errors"
	failures=$((failures + 1))
}

starve() # ARG...
{
	name=$*
	number=0
	listed=0
	"$lspins" "$@" >"$work/wanted" 2>/dev/null </dev/null
	while :; do
		number=$((number + 1))
		rm -f "$STARVED"
		status=0
		env STARVE=$number LD_PRELOAD="$BUILD/tests/unit/libstarve.so" \
			"$lspins" "$@" >"$work/got" 2>"$work/errors" </dev/null || status=$?
		[ -e "$STARVED" ] || break
		case $status in
		0)
			listed=$((listed + 1))
			cmp -s "$work/wanted" "$work/got" || bad "status 0, and another list"
			;;
		1) grep -q '^lspins: .*[a-z]' "$work/errors" || bad "status 1 without a word" ;;
		*) bad "status $status" ;;
		esac
		[ "$failures" -lt 10 ] || break
	done
	[ "$number" -gt 20 ] || bad "only $number allocations"
	echo "$name: $((number - 1)) allocations taken away, $listed of them not missed"
}

starve -n -o PID,COMMAND,HOLDER
starve -p 119
starve --json -p 119
starve --raw -p 111 -o FILE,LEASE
starve "$work/file" "$work/file"
starve --kill --yes "$work/file"
starve --help
[ "$failures" = 0 ]
