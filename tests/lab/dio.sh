# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# The checks of direct I/O, tests/dio, on the patched and on the stock kernel, in a guest each that
# serves its file systems over NFS; and the kernel's own tests (KUnit), which run while it boots.

plan_dio()
{
	local name rules expect flavour fs

	[[ -x $top/build/tests/dio/dio ]] || return 0
	"$top/build/tests/dio/dio" --list >"$suite/dio" || die "dio --list failed"
	for flavour in test stock; do
		for fs in xfs ext4; do
			: >"$suite/dio.$flavour.$fs"
			while IFS=$'\t' read -r name rules expect; do
				! selected "$flavour.dio.$fs.$name" "$rules" ||
					printf '%s\t%s\t%s\n' "$name" "$rules" "$expect"
			done <"$suite/dio" >>"$suite/dio.$flavour.$fs"
		done
		[[ -s $suite/dio.$flavour.xfs || -s $suite/dio.$flavour.ext4 ]] || continue
		guest_task "$flavour" "$flavour.dio" dio_task "$flavour"
	done
}

dio_task() # FLAVOUR
{
	local fs status

	guest_defaults
	flavour=$1 image=${images[$1]} kernel_args=kunit.enable=1
	DIO_LISTS=$suite/dio.$1 boot "$top/tests/dio/inside" "$top/build/tests/dio" >"$log/stderr" 2>&1
	status=$?
	for fs in xfs ext4; do
		[[ -s $suite/dio.$1.$fs ]] || continue
		: >>"$PINVERBS_OUT/tap.$fs"
		tap_results "$1.dio.$fs" "$fs" "$PINVERBS_OUT/tap.$fs" "$suite/dio.$1.$fs"
	done
	if [[ $failed ]] || ((status > 1)); then
		{ echo "status $status" && tail -n 5 "$log/stderr"; } | fail "$1.dio.guest"
	fi
	if [[ $1 == stock ]]; then
		stock_log_result "$1.dio" "$suite"/dio.stock.{xfs,ext4}
	else
		log_result "$1.dio"
	fi
}
