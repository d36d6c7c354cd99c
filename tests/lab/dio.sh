# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# The checks of direct I/O, tests/dio, on the patched and on the stock kernel, in a guest each that
# serves its file systems over NFS, with the litmus tests that need the server; and the kernel's own
# tests (KUnit), which run while it boots.

plan_dio()
{
	local name rules expect flavour fs part control

	[[ -x $top/build/tests/dio/dio ]] ||
		die "tests/dio was not built, as without libfuse3-dev: install it, remove build/ and run again"
	"$top/build/tests/dio/dio" --list >"$suite/dio" || die "dio --list failed"
	for flavour in test stock; do
		for fs in xfs ext4; do
			while IFS=$'\t' read -r name rules expect; do
				# what lies below the server or the FUSE process matters little to a client
				[[ $fs != ext4 || $name != @(@(nfs[34]|fuse|fork)_*|*_fuse) ||
					$name == @(*_lease|nfs4_read_and_write) ]] || continue
				selected "$flavour.dio.$fs.$name" "$rules" || continue
				part=dio
				[[ $flavour.$name != test.stress_* ]] || part=dio-stress
				printf '%s\t%s\t%s\n' "$name" "$rules" "$expect" >>"$suite/$part.$flavour.$fs"
			done <"$suite/dio"
		done
		for part in dio dio-stress; do
			compgen -G "$suite/$part.$flavour.*" >/dev/null ||
				[[ $part == dio && -s $suite/litmus.$flavour.dio ]] ||
				{ [[ $flavour.$part == test.dio ]] && selected test.dio.kunit; } || continue
			control=
			[[ $flavour != stock ]] || control=control_task
			# shellcheck disable=SC2086 # one word or none
			guest_task "$flavour" "$flavour.$part" $control dio_task "$part" "$flavour"
		done
	done
}

dio_task() # dio|dio-stress FLAVOUR
{
	local fs status list=$suite/$1.$2 litmus=
	local -a stock_lists=()

	guest_defaults
	flavour=$2 image=${images[$2]} limit=900
	case $1 in
	dio)
		kernel_args=kunit.enable=1
		smp=1
		litmus=$suite/litmus.$2.dio
		;;
	dio-stress) parallel=1 ;;
	esac
	[[ ! -s $litmus ]] || cut -f 1 "$litmus" >"$PINVERBS_OUT/litmus.names"
	DIO_LISTS=$list boot "$top/tests/dio/inside" "$top/build/tests/dio" >"$log/stderr" 2>&1
	status=$?
	for fs in xfs ext4; do
		[[ -s $list.$fs ]] || continue
		: >>"$PINVERBS_OUT/tap.$fs"
		tap_results "$2.dio.$fs" "$fs" "$PINVERBS_OUT/tap.$fs" "$list.$fs"
		stock_lists+=("$list.$fs")
	done
	if [[ -s $litmus ]]; then
		: >>"$PINVERBS_OUT/litmus.tap"
		tap_results "$2.litmus" "" "$PINVERBS_OUT/litmus.tap" "$litmus"
		stock_lists+=("$litmus")
	fi
	if [[ $failed ]] || ((status > 1)); then
		{ echo "status $status" && tail -n 5 "$log/stderr"; } | fail "$2.$1.guest"
	fi
	if [[ $2 == stock ]]; then
		stock_log_result "$2.$1" "${stock_lists[@]}"
		return
	fi
	log_result "$2.$1"
	[[ $1 == dio ]] || return 0
	((${#patterns[@]} == 0)) || iterator_table >>"$log/results"
	! selected "$2.dio.kunit" || kunit_results "$2.dio.kunit"
}

# The table of iterators, in the report of a run of some tests, and always in the run's folder: what
# a transfer of 16 pages pinned and unpinned, and the references of one of them before and after.
iterator_table()
{
	local file

	for file in "$PINVERBS_OUT"/iterators.*; do
		[[ -e $file ]] || continue
		echo "    direct I/O by iterator, beside ${file##*.}:"
		printf '    %-8s %-7s %-5s %8s %8s  %-8s %s\n' file from "" pinned unpinned content references
		sed 's/^/    /' "$file"
	done
}

# What the kernel's own tests said while it booted: a line for each suite, after those of its tests.
kunit_results() # PREFIX
{
	local line text= suites=0
	local re='^\[ *[0-9.]+\] (ok|not ok) [0-9]+ ([a-z0-9_-]+)'

	while IFS= read -r line; do
		line=${line%$'\r'}
		text+=$line$'\n'
		[[ $line =~ $re ]] || continue
		suites=$((suites + 1))
		if [[ ${BASH_REMATCH[1]} == ok ]]; then
			pass "$1.${BASH_REMATCH[2]}"
		else
			fail "$1.${BASH_REMATCH[2]}" <<<"$text"
		fi
		text=
	done < <(sed -n '/\] KTAP version/,$p' "$log/kernel.log" | grep -a -E '\] +(#|ok|not ok|1\.\.|KTAP)')
	# the first line after KTAP's says how many suites there are
	line=$(grep -a -m 1 -oE '\] 1\.\.[0-9]+' "$log/kernel.log")
	((suites && suites == ${line##*.})) ||
		fail "$1" <<<"$suites suites of the kernel's own tests ended: ${line:-none ran}"
}
