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
export PROC LC_ALL
failures=0
: >"$work/file"

bad() # MESSAGE
{
	echo "FAIL $name: allocation $number: $1"
	sed 's/^/    /' "$work/runs/$number.errors"
	failures=$((failures + 1))
}

starve() # ARG...
{
	name=$*
	listed=0
	rm -rf "$work/runs"
	mkdir "$work/runs"
	env STARVE="$work/runs" LD_PRELOAD="$BUILD/tests/unit/libstarve.so" \
		"$lspins" "$@" >"$work/ended" </dev/null
	count=0
	{
		read -r number wanted
		while read -r number status; do
			count=$number
			case $status in
			0)
				listed=$((listed + 1))
				cmp -s "$work/runs/0.out" "$work/runs/$number.out" || bad "status 0, and another list"
				;;
			1) grep -q '^lspins: .*[a-z]' "$work/runs/$number.errors" || bad "status 1 without a word" ;;
			*) bad "status $status" ;;
			esac
		done
	} <"$work/ended"
	number=0
	[ "$wanted" = 0 ] || bad "status $wanted with all that it asked for"
	[ "$count" -gt 10 ] || bad "only $count allocations"
	echo "$name: $count allocations taken away, $listed of them not missed"
}

starve -n -o PID,COMMAND,HOLDER
starve -p 119
starve --json -p 119
starve --raw -p 111 -o FILE,LEASE
starve "$work/file" "$work/file"
starve --kill --yes "$work/file"
starve --help
[ "$failures" = 0 ]
