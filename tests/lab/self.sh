# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# For tests/lab/self/*: each is one test of the lab, run with PINVERBS (the entry script), LAB
# (tests/lab) and WORK (an empty folder that stays).  Exit status 77 skips, the last line says why.

set -u -o pipefail
: "${PINVERBS:?}" "${LAB:?}" "${WORK:?}"

wrong()
{
	echo "wrong: $*"
	for file in "$WORK/stdout" "$WORK/stderr"; do
		[[ ! -s $file ]] || { echo "--- ${file##*/}" && tail -n 20 "$file"; }
	done
	exit 1
}

# Tests of the lab do not depend on the series.  A guest of one CPU starts in half the time, so what
# is to be seen of guests is put into few of them.
guest() { "$PINVERBS" run --kernel stock --smp 1 "$@"; }

# Runs CMD with its output in files; its status must be STATUS.
expect_status() # STATUS CMD...
{
	local want=$1 status

	shift
	"$@" >"$WORK/stdout" 2>"$WORK/stderr"
	status=$?
	((status == want)) || wrong "status $status, not $want: $*"
}

expect_stdout() # TEXT
{
	[[ $(cat "$WORK/stdout" && echo .) == "$1"$'\n.' ]] || wrong "stdout is not: $1"
}

# What pinverbs itself said: one line, which matches.
expect_one_line() # REGEX
{
	(($(wc -l <"$WORK/stderr") == 1)) || wrong "not one line on stderr"
	grep -Eq "$1" "$WORK/stderr" || wrong "stderr does not match: $1"
}

expect_stderr() { grep -Eq "$1" "$WORK/stderr" || wrong "stderr does not match: $1"; }

# A second clone that shares nothing but the cache.
clone() # FOLDER
{
	{
		mkdir "$1" "$1/tests" &&
			cp -r "$(dirname "$PINVERBS")"/{pinverbs,kernel-patches} "$1/" &&
			cp -r "$LAB" "$1/tests/lab"
	} || wrong "cannot copy the clone"
}

no_process_with() # TEXT; in any command line
{
	local file

	for file in /proc/[0-9]*/cmdline; do
		! tr '\0' ' ' 2>/dev/null <"$file" | grep -Fq -- "$1" ||
			wrong "still running: $(tr '\0' ' ' <"$file")"
	done
}
