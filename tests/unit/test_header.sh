#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The headers compile alone, as C and C++: the library's with either fcntl.h before or after it, and the
# provider's, which comes with it in libpinverbs-dev.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
verbs=$(pkg-config --cflags libibverbs)
warnings="-Wall -Wextra -Werror -I$SOURCE/libpinverbs"
mkdir "$work/infiniband"
ln -s "$SOURCE/providers/pinrxe/pinrxedv.h" "$work/infiniband/"

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
	compile "$1" "$2" pinverbs.h infiniband/pinrxedv.h
done

# A program in C++, too, calls what the provider's library has.
sed -n 's/^\t\t\(pinrxedv_.*\);$/\1/p' "$SOURCE/providers/pinrxe/libpinrxe.map" | sort >"$work/exported"
[ -s "$work/exported" ]
body='int use(void); int use(void) { return pinrxedv_is_supported(0) + pinrxedv_wr_flush(0, 0, 0, 0, 0, 0) +
	pinrxedv_wr_atomic_write(0, 0, 0, 0) + (pinrxedv_reg_lease_mr(0, 0, 0, 0, 0) == 0); }'
for how in "$CC c:c99" "$CC c:gnu11" "$CXX c++:c++11" "$CXX c++:c++20"; do
	# shellcheck disable=SC2086
	set -- $how
	compile "$1" "$2" infiniband/pinrxedv.h
	compile "$1" "$2" infiniband/pinrxedv.h infiniband/pinrxedv.h
	nm "$work/unit.o" | sed -n 's/.* U \(.*pinrxedv.*\)/\1/p' | sort | diff "$work/exported" -
done
