#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The library's symbols, the version map, the header, the man pages and Debian's symbols file name
# the same calls; and those of the provider's direct verbs.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

nm -D --defined-only "$BUILD/libpinverbs/libpinverbs.so.1" |
	awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$work/library"
awk '/global:/ { on = 1; next } /local:/ { on = 0 } on && /;/ { gsub(/[ \t;]/, ""); print }' \
	"$SOURCE/libpinverbs/libpinverbs.map" | sort >"$work/map"
# Declarations: a name followed by its parameters, at the start of a line.
sed -n 's/^[a-z].*[ *]\(pinv_[a-z_]*\)(.*/\1/p' "$SOURCE/libpinverbs/pinverbs.h" |
	grep -v '^pinv_log_fn$' | sort >"$work/header"
for page in "$SOURCE"/man/pinv_*.3; do
	basename "$page" .3
done | sort >"$work/pages"
# Calls with a prototype in the SYNOPSIS of a page.
sed -n 's/^\.BI "[a-z].*[ *]\(pinv_[a-z_]*\)(.*/\1/p' "$SOURCE"/man/*.3 | sort >"$work/synopses"

sed -n 's/^ \(pinv_[a-z_]*\)@PINVERBS_1\.0 .*/\1/p' "$SOURCE/debian/libpinverbs1.symbols" |
	sort >"$work/debian"

[ -s "$work/map" ] || { echo "no symbols in the map"; exit 1; }
for other in library header pages synopses debian; do
	if ! diff -u "$work/map" "$work/$other"; then
		echo "the version map and the $other differ"
		status=1
	fi
done
echo "$(wc -l <"$work/map") calls compared"

# A page that is an alias is one of the page that has the call; and what threads may do is told of each call.
# describes PAGE CALL: by its NAME and a prototype
describes()
{
	sed -n '/^\.SH NAME/,/^\.SH SYNOPSIS/p' "$1" | grep -q "\<$2\>" &&
		grep -q "^\.BI \"[a-z].*[ *]$2(" "$1"
}

for page in "$SOURCE"/man/pinv_*.3 "$SOURCE"/providers/pinrxe/man/pinrxedv_*.3; do
	name=$(basename "$page" .3)
	target=$(sed -n "s|^\.so man3/|${page%/*}/|p" "$page")
	if ! describes "${target:-$page}" "$name"; then
		echo "$name(3) is an alias of ${target##*/}, which does not describe it"
		status=1
	fi
	case $name in
	pinv_*) grep -qi 'from any thread' "${target:-$page}" || { echo "$name(3): nothing about threads"; status=1; } ;;
	esac
done
awk '/^\/\*/ { said = 0 } / Threads: / { said = 1 } /^[a-z].*[ *]pinv_[a-z_]*\(/ && !/typedef/ && !said {
	print "no line about threads above: " $0; bad = 1 } END { exit bad }' \
	"$SOURCE/libpinverbs/pinverbs.h" || status=1

# All are called from several threads at once.
while read -r name; do
	grep -q "\<$name(" "$SOURCE/tests/unit/test_calls.c" || {
		echo "$name is not in tests/unit/test_calls.c"
		status=1
	}
done <"$work/map"

# It prints nothing, ends no program, and leaves the signals alone: it has nothing to do so with.
nm -D --undefined-only "$BUILD/libpinverbs/libpinverbs.so" | sed 's/.* U //; s/@.*//' >"$work/used"
grep -q '^fcntl' "$work/used" || { echo "no functions that the library uses"; exit 1; }
if grep -E '^(_IO_|__)?(f?printf|v?f?printf|d?printf|f?puts|f?putc|putchar|fwrite|perror|err|errx|warnx?|syslog|std(out|err)|_?exit|abort|assert_fail|signal|sigaction|sigprocmask|kill|raise|alarm|setitimer|timer_create)(_chk|64)?$' \
	"$work/used" && [ -z "$FLAGS" ]; then
	echo "the library uses what is the program's"
	status=1
fi

provider=$SOURCE/providers/pinrxe
awk '/global:/ { on = 1; next } /local:/ { on = 0 } on && /;/ { gsub(/[ \t;]/, ""); print }' \
	"$provider/libpinrxe.map" | sort >"$work/dv-map"
sed -n 's/^[a-z].*[ *]\(pinrxedv_[a-z_]*\)(.*/\1/p' "$provider/pinrxedv.h" | sort >"$work/dv-header"
for page in "$provider"/man/pinrxedv_*.3; do
	basename "$page" .3
done | sort >"$work/dv-pages"
sed -n 's/^ \(pinrxedv_[a-z_]*\)@PINRXE_1\.0 .*/\1/p' "$SOURCE/debian/pinverbs-provider.symbols" |
	sort >"$work/dv-debian"
[ -s "$work/dv-map" ] || { echo "no symbols in the provider's map"; exit 1; }
for other in header pages debian; do
	if ! diff -u "$work/dv-map" "$work/dv-$other"; then
		echo "the provider's version map and its $other differ"
		status=1
	fi
done
exit $status
