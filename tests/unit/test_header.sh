#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The header compiles alone, as C and C++, with either fcntl.h before or after it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
verbs=$(pkg-config --cflags libibverbs)
warnings="-Wall -Wextra -Werror -I$SOURCE/libpinverbs"

# A kernel header of the series: the same numbers, spelled the same.
printf '#define F_LAYOUT 0x100\n#define F_EXCLUSIVE 0x200\n' >"$work/series.h"
body='int use(void); int use(void) { return F_LAYOUT == 0x100 && F_EXCLUSIVE == 0x200; }'

compile() { # compiler standard include...
	compiler=$1 standard=$2
	shift 2
	: >"$work/unit.c"
	for header; do
		echo "#include <$header>" >>"$work/unit.c"
	done
	echo "$body" >>"$work/unit.c"
	# shellcheck disable=SC2086
	$compiler -x "${standard%%:*}" "-std=${standard##*:}" $warnings $verbs -I"$work" \
		-c "$work/unit.c" -o "$work/unit.o"
	echo "ok: $compiler $standard: $*"
}

for how in "$CC c:c99" "$CC c:gnu11" "$CXX c++:c++11" "$CXX c++:c++20"; do
	# shellcheck disable=SC2086
	set -- $how
	compile "$1" "$2" pinverbs.h
	compile "$1" "$2" pinverbs.h pinverbs.h
	compile "$1" "$2" fcntl.h pinverbs.h
	compile "$1" "$2" pinverbs.h fcntl.h
	compile "$1" "$2" pinverbs.h linux/fcntl.h
	compile "$1" "$2" series.h pinverbs.h
	compile "$1" "$2" pinverbs.h series.h
done
