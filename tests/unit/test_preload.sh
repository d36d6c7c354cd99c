#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# libpinverbs-preload.so on the host, with wrong values in its environment: the program runs as it would
# without it, and says what is wrong if it is asked to.
set -eu
case $FLAGS in
*thread* | *address*)
	echo "skipped: the sanitizers' runtime is not in the programs that are preloaded here"
	exit 77
	;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# check NAME VARIABLE=VALUE...: what is to be said on standard error comes on stdin
check()
{
	name=$1
	shift
	cat >"$work/wanted"
	env LC_ALL=C LD_PRELOAD="$BUILD/libpinverbs/libpinverbs-preload.so" "$@" \
		cat "$0" >"$work/got" 2>"$work/said" || echo "status $?" >>"$work/said"
	if cmp -s "$0" "$work/got" && diff -u "$work/wanted" "$work/said"; then
		echo "ok $name"
	else
		echo "FAIL $name"
		failures=$((failures + 1))
	fi
}

long=/$(printf '%5000s' '' | tr ' ' x)
nothing='libpinverbs-preload: PINVERBS_PRELOAD names no folder; set it, or nothing is changed'
check 'silent unless asked' "PINVERBS_PRELOAD=/none:$long" </dev/null
check 'silent when all is well' PINVERBS_PRELOAD="/:$work::/tmp:" PINVERBS_PRELOAD_LOG=1 </dev/null
check 'not set' PINVERBS_PRELOAD_LOG=1 <<END
$nothing
END
check 'empty' PINVERBS_PRELOAD= PINVERBS_PRELOAD_LOG=1 <<END
$nothing
END
check 'colons' PINVERBS_PRELOAD=::: PINVERBS_PRELOAD_LOG=1 <<END
$nothing
END
check 'not there, and a file' PINVERBS_PRELOAD="/none:$0:$work" PINVERBS_PRELOAD_LOG=1 <<END
libpinverbs-preload: PINVERBS_PRELOAD: /none: No such file or directory; separate folders by colons
libpinverbs-preload: PINVERBS_PRELOAD: $0: Not a directory; separate folders by colons
END
check 'too long' PINVERBS_PRELOAD="$long:$work" PINVERBS_PRELOAD_LOG=1 <<END
libpinverbs-preload: PINVERBS_PRELOAD: a name: File name too long; separate folders by colons
END
exit $((failures > 0))
