#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The command line of the filelog example: usage, exit statuses, one line for each error.
set -eu
filelog=$BUILD/examples/filelog
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

expect() { # status text argument...
	status=$1 text=$2
	shift 2
	got=0
	"$filelog" "$@" >"$work/out" 2>"$work/err" || got=$?
	if [ "$got" != "$status" ] || ! grep -q -e "$text" "$work/out" "$work/err"; then
		echo "filelog $*: exit status $got, expected $status and \"$text\"; it said:"
		cat "$work/out" "$work/err"
		exit 1
	fi
	if [ "$status" != 0 ] && [ "$(wc -l <"$work/err")" != 1 ]; then
		echo "filelog $*: not one line:"
		cat "$work/err"
		exit 1
	fi
	echo "ok: filelog $*"
}

expect 0 '^Usage:' --help
expect 0 '^Usage:' server --help
expect 2 'expected'
expect 2 'expected' server
expect 2 'expected' client one two
expect 2 'first argument' neither file
expect 2 'unrecognized option' server file --sideways
expect 2 'requires an argument' server file -p
expect 2 'RECORDS' client 192.0.2.1 -n 0
expect 2 'RECORDS' client 192.0.2.1 -n -1
expect 2 'RECORDS' client 192.0.2.1 -n 12x
expect 2 'RECORDS' client 192.0.2.1 -n 99999999999999999999
expect 1 'not-an-address' client not-an-address
