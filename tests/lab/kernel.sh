# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# Kernels: Debian's source, the series, a configuration.  An image is found by the content of
# all three, so nothing is built twice, whoever's clone asks.

flavours=(stock test bench kasan coverage)
source_package=linux-source-6.12
source_tarball=/usr/src/$source_package.tar.xz
# For make: where each macro of a message comes from costs the compiler a fortieth of its time.
cheaper=KCFLAGS=-ftrack-macro-expansion=0
# The two kernels of the demo, which a new user waits for, take it a sixth less.  fpu/signal.c leaves out a
# call of what is not configured by -fipa-cp only.  Warnings are what the other flavours are built for.
cheapest="$cheaper -O1 -fipa-cp -w --param ggc-min-expand=1000 --param ggc-min-heapsize=1048576"

is_flavour()
{
	local f

	for f in "${flavours[@]}"; do
		[[ $f != "$1" ]] || return 0
	done
	return 1
}

# The patches of a flavour, in order: none for stock.
series() # FLAVOUR; sets patches
{
	local p

	patches=()
	[[ $1 != stock && $1 != demo-stock ]] || return 0
	for p in "$top"/kernel-patches/{,direct-io/}[0-9]*.patch; do
		[[ ! -e $p || $p == */0000-* ]] || patches+=("$p")
	done
	[[ $1 != power-cut ]] || patches+=("$lab/power-cut.patch")
}

fragments() # FLAVOUR; sets fragments
{
	fragments=("$top/kernel-patches/lab.config")
	case $1 in
	demo | demo-stock) fragments+=("$top/kernel-patches/"{bench,demo}.config) ;;
	stock | bench) fragments+=("$top/kernel-patches/"{wide,bench}.config) ;;
	test | mutants | power-cut) fragments+=("$top/kernel-patches/"{wide,test}.config) ;;
	kasan | coverage) fragments+=("$top/kernel-patches/"{wide,test,"$1"}.config) ;;
	esac
}

source_version() # sets version
{
	version=$(dpkg-query -W -f '${Version}' "$source_package" 2>/dev/null)
	[[ $version && -r $source_tarball ]] ||
		die "no kernel source: install the package $source_package"
}

kernel_key() # FLAVOUR; prints the name of its image's folder
{
	local -a patches fragments

	series "$1"
	fragments "$1"
	{
		# the number stands for the way of building below
		echo "1 $version"
		sed '/^#/d; /^$/d' "${fragments[@]}"
		((${#patches[@]} == 0)) || cat "${patches[@]}"
	} | sha256sum | cut -c 1-24
}

# Sets image to the kernel of FLAVOUR, which is built if it has to be.
kernel() # FLAVOUR
{
	local version key tree

	source_version
	key=$(kernel_key "$1")
	image=$cache/kernels/$key/bzImage
	if [[ -e $image ]]; then
		touch -c "$cache/kernels/$key"
		return
	fi
	tree_of "$1"
	lock "kernel-$tree" "builds the $1 kernel"
	[[ -e $image ]] || build_kernel "$1" "$key"
	unlock "kernel-$tree"
}

# The kernel for power cuts is built in the tree of the test kernel, of which it differs in three files.
tree_of() # FLAVOUR; sets tree
{
	tree=$1
	[[ $1 != power-cut ]] || tree=test
}

# The unpacked source, never changed afterwards: trees are hard links to it.
unpack_source() # sets pristine
{
	local log=$cache/src/unpack.log

	pristine=$cache/src/$version
	[[ ! -d $pristine ]] || return 0
	lock source "unpacks the kernel source"
	if [[ ! -d $pristine ]]; then
		need_space 3500 "$cache" "the kernel source"
		rm -rf "$cache/src/unpacking"
		mkdir "$cache/src/unpacking" || die "no disk space in $cache: free some or set XDG_CACHE_HOME"
		progress "unpacking $source_package $version"
		# a sixth of the files are for other processors
		if ! await tar -C "$cache/src/unpacking" --strip-components=1 \
			--exclude="$source_package/arch/[!x]*/*."{c,h,S,dts,dtsi} -xJf "$source_tarball" 2>"$log"; then
			temporary+=("$cache/src/unpacking")
			! no_space_in "$log" ||
				die "no disk space in $cache for the kernel source: free 3.5 GiB or set XDG_CACHE_HOME"
			die "cannot unpack $source_tarball: $(tail -n 1 "$log")"
		fi
		mv "$cache/src/unpacking" "$pristine"
		clear_progress
	fi
	unlock source
}

# Names of the files that patches touch.
touched_files() # PATCH…
{
	((${#} == 0)) || sed -n 's/^\(---\|+++\) [ab]\/\([^\t]*\).*/\2/p' "$@" | sort -u
}

# Makes a folder with the patched content of the files that the series touches.
apply_series() # FOLDER
{
	local to=$1 file p log=$cache/apply.log

	while read -r file; do
		[[ -e $pristine/$file ]] || continue
		mkdir -p "$to/$(dirname "$file")"
		cp -p "$pristine/$file" "$to/$file"
	done < <(touched_files "${patches[@]}")
	for p in "${patches[@]}"; do
		if ! patch -d "$to" -p1 -s -f -F0 --no-backup-if-mismatch -r - <"$p" >"$log" 2>&1; then
			die "${p##*/} does not fit $source_package $version ($(head -n 1 "$log")):" \
				"install the version in tests/lab/source, $(<"$lab/source"), or rebase the series"
		fi
	done
}

# Flavours with nearly the same configuration, or the same source: the first tree starts the second,
# where make then builds only what differs.  What make made has one link, source has two.
copy_objects() # TREE
{
	local name from=

	case $1 in
	*/demo) set -- "$1" demo-stock ;;
	*/bench) set -- "$1" stock ;;
	*/mutants | */check) set -- "$1" test ;;
	esac
	for name in "${@:2}"; do
		from=${1%/*}/$name
		[[ ! -e $from/vmlinux || $(<"$from/.pinverbs-version") != "$version" ]] || break
		from=
	done
	[[ $from ]] || return 0
	(
		exec {fd}>>"$cache/locks/kernel-${from##*/}"
		flock -n "$fd" || exit 0
		cd "$from" || exit 1
		find . -type f -links 1 ! -name 'vmlinux*' -print0 |
			tar --format=posix --null -T - -cf - | tar -C "$1.new" -xf -
	) || die "no disk space in $cache for the kernel build: free some or set XDG_CACHE_HOME"
	# tools/ names its files by absolute paths
	find "$1.new/tools" -name '.*.cmd' -links 1 -exec sed -i "s,$from/,$1/,g" {} +
}

# Brings the tree of a flavour to the series, changing no file that is right already: what make
# built before stays valid.  If after_patching is set, it names a function that gets a folder with
# what the series touches, and may change it.
update_tree() # TREE
{
	local tree=$1 patched file

	if [[ ! -e $tree/.pinverbs-version || $(<"$tree/.pinverbs-version") != "$version" ]]; then
		rm -rf "$tree" "$tree.new"
		progress "copying the kernel source"
		await cp -al "$pristine" "$tree.new" ||
			die "no disk space in $cache for the kernel source: free some or set XDG_CACHE_HOME"
		echo "$version" >"$tree.new/.pinverbs-version"
		copy_objects "$tree"
		mv "$tree.new" "$tree"
	fi
	scratch
	patched=$REPLY
	apply_series "$patched"
	"${after_patching:-:}" "$patched"
	{
		touched_files "${patches[@]}"
		[[ ! -e $tree/.pinverbs-touched ]] || cat "$tree/.pinverbs-touched"
	} | sort -u >"$tree/.pinverbs-touched.new"
	# before any of them is, or the next series would not know of those that this one began with
	mv "$tree/.pinverbs-touched.new" "$tree/.pinverbs-touched"
	while read -r file; do
		if [[ -e $patched/$file ]]; then
			cmp -s "$patched/$file" "$tree/$file" && continue
			mkdir -p "$tree/$(dirname "$file")"
			rm -f "$tree/$file"
			cp "$patched/$file" "$tree/$file"
		elif [[ -e $pristine/$file ]]; then
			cmp -s "$pristine/$file" "$tree/$file" && continue
			rm -f "$tree/$file"
			cp "$pristine/$file" "$tree/$file"
		else
			rm -f "$tree/$file"
		fi
	done <"$tree/.pinverbs-touched"
}

# Compares a finished configuration with the fragments that it was made from.
check_config() # CONFIG FRAGMENT…; prints the options that did not come out as asked
{
	local config=$1 line
	declare -A wanted=() # a later fragment overrides an earlier one

	shift
	while IFS= read -r line; do
		wanted[${line%%=*}]=${line#*=}
	done < <(grep -h '^CONFIG_' "$@")
	for line in "${!wanted[@]}"; do
		if [[ ${wanted[$line]} == n ]]; then
			! grep -q "^$line=" "$config" || echo "$line"
		else
			grep -Fxq "$line=${wanted[$line]}" "$config" || echo "$line"
		fi
	done | sort
}

configure() # TREE LOG FRAGMENT…
{
	local tree=$1 log=$2 dropped

	shift 2
	cat "$@" >"$tree/.pinverbs.config"
	{
		await make -C "$tree" -s allnoconfig KCONFIG_ALLCONFIG=.pinverbs.config &&
			await make -C "$tree" -s olddefconfig
	} >"$log" 2>&1 || build_failed "$log"
	dropped=$(check_config "$tree/.config" "$@" | paste -sd ' ')
	[[ -z $dropped ]] ||
		die "the kernel configuration dropped $dropped: add what it depends on to kernel-patches/*.config, or take it out"
}

build_failed() # LOG
{
	local first

	! no_space_in "$1" ||
		die "no disk space in $cache for the kernel build: free some or set XDG_CACHE_HOME (log: $1)"
	first=$(grep -m 1 -E '(error|Error [0-9]+|undefined reference|No rule to make)' "$1")
	die "kernel build failed: ${first:-see the log} (log: $1)"
}

# For make: the compiler adds counters to the files that the series touches, and to no others of the same name.
coverage_flags() # TREE; appends to flags
{
	local file folder stem
	local -A folders=()

	while read -r file; do
		folder=${file%/*}
		until [[ -e $1/$folder/Makefile || $folder != */* ]]; do
			folder=${folder%/*}
		done
		stem=${file#"$folder/"}
		folders[${stem%.c}]+=" $folder"
	done < <(touched_files "${patches[@]}" | grep '^[^/]*/.*\.c$')
	for stem in "${!folders[@]}"; do
		flags+=("GCOV_PROFILE_$stem.o=\$(if \$(filter${folders[$stem]},\$(obj)),y)")
	done
}

# Runs make, counting objects against what a dry run says there is to do.
compile() # TREE LOG FLAVOUR
{
	local tree=$1 log=$2 flavour=$3 total=0 built=0 begin=$SECONDS line pid out
	local -a flags=("$cheaper")

	[[ $flavour != demo* ]] || flags=("$cheapest")
	[[ $flavour != coverage ]] || coverage_flags "$tree"
	progress "building the $flavour kernel: preparing"
	await make -C "$tree" -s "-j$jobs" "${flags[@]}" prepare >>"$log" 2>&1 || build_failed "$log"
	total=$(make -C "$tree" -n "${flags[@]}" bzImage 2>/dev/null | grep -Ec "echo '?  (CC|AS) ")
	exec {out}< <(exec setsid setpriv --pdeathsig TERM make -C "$tree" "-j$((jobs + 1))" "${flags[@]}" bzImage 2>&1)
	pid=$!
	children[$pid]=1
	while IFS= read -r -u "$out" line; do
		echo "$line" >&"$build_log"
		if [[ $line == "  CC "* || $line == "  AS "* ]]; then
			built=$((built + 1))
			((built <= total)) || total=$built
			progress "building the $flavour kernel: $built of $total objects, $(elapsed "$begin")"
		elif [[ $line == "  LD "* ]]; then
			progress "building the $flavour kernel: linking, $(elapsed "$begin")"
		fi
	done
	exec {out}<&-
	wait "$pid" || build_failed "$log"
	unset "children[$pid]"
	clear_progress
	say "built the $flavour kernel: $built objects in $(elapsed "$begin")"
}

build_kernel() # FLAVOUR KEY
{
	local tree log=$cache/build/$1.log new=$cache/kernels/.$2.$$
	local -a patches fragments
	local pristine build_log

	tree_of "$1"
	tree=$cache/build/$tree
	unpack_source
	need_space 700 "$cache" "the $1 kernel"
	series "$1"
	fragments "$1"
	update_tree "$tree"
	configure "$tree" "$log" "${fragments[@]}"
	exec {build_log}>>"$log"
	compile "$tree" "$log" "$1"
	exec {build_log}>&-
	temporary+=("$new")
	mkdir "$new" &&
		cp "$tree/arch/x86/boot/bzImage" "$new/bzImage" &&
		cp "$tree/.config" "$new/config" &&
		cp "$log" "$new/build.log" ||
		die "no disk space in $cache: free some or set XDG_CACHE_HOME"
	rm -rf "$cache/kernels/$2"
	mv "$new" "$cache/kernels/$2"
	prune "$cache/kernels" 24
}
