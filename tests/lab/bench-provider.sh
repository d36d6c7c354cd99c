# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# ./pinverbs bench provider: what the data path of pinrxe costs, beside librxe's in the same guest.
# The user side is counted by callgrind, user and kernel together by QEMU.

provider_missed=0

# PINRXE / LIBRXE in VALUE of CALLS calls, and the ratio that is wanted
provider_line() # TEXT LIBRXE PINRXE CALLS TARGET
{
	local ratio verdict=met

	[[ $2 =~ ^[0-9]+$ && $3 =~ ^[0-9]+$ ]] || die "bench provider: no figure for $1 (logs: $log)"
	ratio=$(awk "BEGIN { printf \"%.2f\", $3 / $2 }")
	if awk "BEGIN { exit !($3 / $2 > $5) }"; then
		verdict=MISSED
		provider_missed=$((provider_missed + 1))
	fi
	awk -v text="$1" -v a="$2" -v b="$3" -v n="$4" -v ratio="$ratio" -v target="$5" -v verdict="$verdict" \
		'BEGIN { printf "%-46s %9.1f %9.1f %7s %9s  %s\n", text, a / n, b / n, ratio, "<= " target, verdict }'
}

provider_boot() # WHAT
{
	boot env BUILD="$top/build" PLUGIN="$top/build/$plugin" "$top/tests/provider/inside/bench" "$1" \
		>>"$log/values" 2>"$log/stderr.$1" && clean_logs ||
		die "measuring failed: $(tail -n 1 "$log/values") (logs: $log)"
}

bench_provider()
{
	local provider name number rounds=64 kernel=${1-}
	local -A value=()

	install_packages test
	build_programs
	[[ -e $top/build/$plugin-rdmav34.so ]] || die "the provider was not built: $no_rdma_core"
	new_run
	prune_runs
	guest_defaults
	flavour=bench
	if [[ $kernel ]]; then
		image=$kernel
	else
		kernel bench
	fi
	tools
	accelerator
	disks
	progress "measuring the user side"
	provider_boot callgrind
	progress "measuring user and kernel together"
	icount=1 smp=1
	provider_boot total
	clear_progress
	while read -r provider name number; do
		value[$provider.$name]=$number
	done <"$log/values"
	echo "Instructions per call, or per request (WR), 8-byte RDMA writes:"
	echo
	printf '%-46s %9s %9s %7s %9s\n' "" librxe pinrxe ratio target
	provider_line "ibv_post_send, 1 WR" "${value[librxe.post_send]-}" "${value[pinrxe.post_send]-}" $rounds 0.60
	provider_line "ibv_post_send, 16 WRs, per WR" "${value[librxe.post_send_16]-}" \
		"${value[pinrxe.post_send_16]-}" $((rounds * 16)) 0.40
	provider_line "ibv_wr_*, 16 WRs, per WR" "${value[librxe.wr_16]-}" "${value[pinrxe.wr_16]-}" $((rounds * 16)) 0.50
	provider_line "ibv_wr_*, 1 WR" "${value[librxe.wr]-}" "${value[pinrxe.wr]-}" $rounds 0.60
	provider_line "ibv_poll_cq, one completion" "${value[librxe.poll_hit]-}" "${value[pinrxe.poll_hit]-}" $rounds 0.85
	provider_line "ibv_poll_cq, empty" "${value[librxe.poll_empty]-}" "${value[pinrxe.poll_empty]-}" $rounds 0.70
	provider_line "ibv_post_recv" "${value[librxe.post_recv]-}" "${value[pinrxe.post_recv]-}" $rounds 0.60
	provider_line "user + kernel, 16 posts in flight, per WR" "${value[librxe.total]-}" "${value[pinrxe.total]-}" 1 0.95
	provider_line "the same with PINRXE_COALESCE=0" "${value[librxe.total]-}" "${value[doorbells.total]-}" 1 1.00
	say "logs: $log"
	((provider_missed == 0)) || die "$provider_missed targets missed"
}
