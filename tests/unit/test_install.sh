#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# What cmake --install leaves is complete: a stranger's program builds with pkg-config
# against it alone, and runs.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Below a folder of our own whatever the build was configured for: this machine is somebody's.
root=$work/root/prefix
DESTDIR=$work/root "$CMAKE" --install "$BUILD" --prefix /prefix >"$work/log"
if ! grep -q '^CMAKE_INSTALL_SYSCONFDIR:[A-Z]*=/' "$BUILD/CMakeCache.txt" &&
	grep -E '^-- (Installing|Up-to-date)' "$work/log" | grep -vF " $root/"; then
	echo "installed outside of the prefix"
	exit 1
fi

pc=$(find "$root" -name libpinverbs.pc)
library=$(dirname "$(dirname "$pc")")
# The file names the prefix of the configuration; the program is built for this one.
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
set -- "--define-variable=prefix=$root" "--define-variable=libdir=$library" \
	"--define-variable=includedir=$root/include"
flags=$(pkg-config "$@" --cflags --libs libpinverbs)

for compiler in "$CC -x c" "$CXX -x c++"; do
	# shellcheck disable=SC2086
	$compiler -Wall -Wextra -Werror ${FLAGS:-} "$SOURCE/tests/unit/installed.c" -x none \
		$flags -o "$root/program"
	LD_LIBRARY_PATH=$library "$root/program"
	echo "ok: $compiler"
done

# CMake: the folder can be anywhere.
mkdir "$root/stranger"
cat >"$root/stranger/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(stranger LANGUAGES C)
find_package(pinverbs 1.0 REQUIRED)
add_executable(stranger ${SOURCE}/tests/unit/installed.c)
target_link_libraries(stranger PRIVATE pinverbs::pinverbs)
END
"$CMAKE" -S "$root/stranger" -B "$root/stranger/build" -DCMAKE_PREFIX_PATH="$root" \
	-DSOURCE="$SOURCE" -DCMAKE_C_COMPILER="$CC" -DCMAKE_C_FLAGS="${FLAGS:-}" >"$work/log"
"$CMAKE" --build "$root/stranger/build" >"$work/log" || { cat "$work/log"; exit 1; }
"$root/stranger/build/stranger"
echo "ok: find_package"

# The examples as Debian's package has them, in a folder of their own
mkdir "$root/examples"
while read -r files; do
	# shellcheck disable=SC2086
	(cd "$SOURCE" && cp $files "$root/examples/")
done <"$SOURCE/debian/pinverbs-doc.examples"
if ! { "$CMAKE" -S "$root/examples" -B "$root/built" -DCMAKE_PREFIX_PATH="$root" -DCMAKE_C_COMPILER="$CC" \
	-DCMAKE_C_FLAGS="-Wall -Wextra -Werror ${FLAGS:-}" -Werror=dev && "$CMAKE" --build "$root/built"; } \
	>"$work/log" 2>&1; then
	cat "$work/log"
	exit 1
fi
for program in built/appendlog built/filelog built/forked built/growing built/handover built/kvstore \
	built/refused built/register examples/kvstore-restart examples/run; do
	[ -x "$root/$program" ] || { echo "no program: $program"; exit 1; }
done
status=0
"$root/built/kvstore" >"$work/log" 2>&1 || status=$?
[ "$status" = 2 ] && grep -q '^kvstore: usage' "$work/log"
echo "ok: examples"

# DESTDIR, as packagers use it
DESTDIR=$root/staged "$CMAKE" --install "$BUILD" >"$work/log"
[ "$(find "$root/staged" -name libpinverbs.so.1)" ]

readelf -d "$root/program" | grep -q 'NEEDED.*\[libpinverbs.so.1\]'
for page in man3/pinv_reg_file_mr.3 man7/pinverbs.7 man8/lspins.8; do
	[ -f "$root/share/man/$page" ] || { echo "not installed: $page"; exit 1; }
done
