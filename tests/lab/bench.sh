# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# ./pinverbs bench: instructions that kernel paths take, with and without the series.  QEMU counts
# them (-icount): the guest's clock advances by 1 ns for each.  Every kind of memory has a boot of
# its own, since several in one boot move each other's figures.

bench_memory=(anon4k thp hugetlb memfd devdax fsdax4k fsdax2m)
bench_mib=256

declare -A value=()	# FLAVOUR.TASK.NAME -> number, or word where there is none
missed=0 gates=0 unmeasured=0

bench_task() # FLAVOUR ARG...
{
	local -a program=("$top/build/tests/bench/bench")

	guest_defaults
	flavour=$1 image=${images[$1]} icount=1 smp=1 limit=900
	shift
	[[ $1 != dio ]] || { program=("$top/tests/dio/bench-inside" "$top") && shift; }
	if ! boot "${program[@]}" "$@" >"$log/values" || ! clean_logs; then
		return 1
	fi
}

bench_queue() # NAME FLAVOUR... -- ARG...
{
	local name=$1
	local -a with=()

	shift
	while [[ $1 != -- ]]; do
		with+=("$1")
		shift
	done
	shift
	selected "$name" || return 0
	for flavour in "${with[@]}"; do
		task "$flavour.$name" bench_task "$flavour" "$@"
		images[$flavour]=wanted
	done
}

bench_plan()
{
	local kind fs

	for kind in "${bench_memory[@]}"; do
		bench_queue "$kind" stock bench -- mr /mnt/xfs "$kind" "$bench_mib"
	done
	for fs in xfs ext4; do
		bench_queue "truncate.$fs" stock bench -- truncate "/mnt/$fs"
	done
	for kind in xfs ext4 nfs; do
		bench_queue "dio.$kind" stock bench -- dio "$kind"
	done
	for kind in refused-truncate lease-calls file-pins; do
		bench_queue "$kind" bench -- "$kind" /mnt/xfs
	done
}

# Like run_tasks, for tasks that give numbers.
bench_run()
{
	local pid name word number status begin=$SECONDS
	local -a words

	while ((${#queue[@]} + ${#running[@]})); do
		while ((${#queue[@]} && ${#running[@]} < jobs)); do
			read -ra words <<<"${queue[0]}"
			queue=("${queue[@]:1}")
			start_task "${words[@]}"
		done
		progress "measuring ${running[*]}, ${#queue[@]} more to come, $(elapsed "$begin")"
		wait -n -p pid "${!running[@]}"
		status=$?
		name=${running[$pid]}
		unset "running[$pid]" "children[$pid]"
		if ((status)); then
			clear_progress
			say "measuring $name failed: $(tail -n 1 "$log/$name/output")"
			unmeasured=$((unmeasured + 1))
			continue
		fi
		while read -r word number; do
			value[$name.$word]=$number
		done <"$log/$name/values"
	done
	clear_progress
}

# --- arithmetic on figures that may be missing

calc() # EXPRESSION; prints its value, nothing if a figure is missing
{
	[[ $1 != *"?"* ]] || return 0
	awk "BEGIN { printf \"%.3f\", $1 }"
}

v() # NAME; a figure, ? if it was not measured
{
	local number=${value[$1]-}

	[[ $number =~ ^[0-9.]+$ ]] || number="?"
	echo "$number"
}

# One line of the list of targets; KIND is gate or target.
judge() # KIND TEXT EXPRESSION LIMIT
{
	local got verdict=met

	got=$(calc "$3")
	[[ $got ]] || return 0
	[[ $4 == *.* ]] || got=${got%.000}
	if awk "BEGIN { exit !($got > $4) }"; then
		verdict=MISSED
		missed=$((missed + 1))
		[[ $1 != gate ]] || gates=$((gates + 1))
	fi
	printf '%-8s %-66s %12s %10s  %s\n' "$1" "$2" "$got" "<= $4" "$verdict"
}

# --- what is printed

bench_figures() # KIND NAME; sets cells to stock, patched and their relation
{
	local stock patched

	stock=$(v "stock.$1.$2") patched=$(v "bench.$1.$2")
	cells=("$stock" "$patched")
	if [[ ${value[stock.$1.refused]-} ]]; then
		cells[0]=refused
	fi
	if [[ $2 == *-4k ]]; then
		cells+=("$(calc "$patched - $stock")")
	else
		cells+=("$(calc "$patched / $stock")")
	fi
	cells[0]=${cells[0]%.00} cells[1]=${cells[1]%.00} cells[2]=${cells[2]%.000}
}

bench_memory_table()
{
	local kind name line
	local -a cells
	local format='%-9s  %8s %8s %6s   %8s %8s %6s   %8s %8s %6s   %8s %8s %6s\n'

	[[ $(for kind in "${bench_memory[@]}"; do echo "${value[bench.$kind.reg-4k]-}"; done) ]] || return 0
	# shellcheck disable=SC2059
	{
		printf "\n$format" "" "reg 4KiB" "" "" "dereg" "" "" "reg/page" "$bench_mib MiB" "" \
			"dereg" "" ""
		printf "$format" memory stock patched more stock patched more stock patched ratio \
			stock patched ratio
		for kind in "${bench_memory[@]}"; do
			[[ ${value[bench.$kind.reg-4k]-} ]] || continue
			line=()
			for name in reg-4k dereg-4k reg-page dereg-page; do
				bench_figures "$kind" "$name"
				line+=("${cells[@]}")
			done
			printf "$format" "$kind" "${line[@]}"
		done
	} | sed 's/ *$//'
}

bench_dio_table()
{
	local kind name
	local -a cells line
	local format='%-9s  %8s %8s %6s   %8s %8s %6s   %8s %8s %6s   %8s %8s %6s\n'

	[[ ${value[bench.dio.xfs.read-4k]-}${value[bench.dio.ext4.read-4k]-}${value[bench.dio.nfs.read-4k]-} ]] || return 0
	# shellcheck disable=SC2059
	{
		echo
		printf "$format" "direct" "read" "4 KiB" "" "write" "4 KiB" "" "read" "1 MiB" "" "write" "1 MiB" ""
		printf "$format" on stock patched ratio stock patched ratio stock patched ratio stock patched ratio
		for kind in xfs ext4 nfs; do
			[[ ${value[bench.dio.$kind.read-4k]-} ]] || continue
			line=()
			for name in read-4k write-4k read-1m write-1m; do
				bench_figures "dio.$kind" "$name"
				cells[2]=$(calc "$(v "bench.dio.$kind.$name") / $(v "stock.dio.$kind.$name")")
				line+=("${cells[@]}")
			done
			printf "$format" "$kind" "${line[@]}"
		done
	} | sed 's/ *$//'
}

bench_verdicts()
{
	local kind op fs one all

	for kind in anon4k thp hugetlb memfd devdax; do
		for op in reg dereg; do
			judge gate "$kind, $op, patched / stock" \
				"$(v "bench.$kind.$op-page") / $(v "stock.$kind.$op-page")" 1.005
			judge gate "$kind, $op of 4 KiB, patched - stock" \
				"$(v "bench.$kind.$op-4k") - $(v "stock.$kind.$op-4k")" 100
		done
	done
	judge gate "FS-DAX 2 MiB-mapped / THP, reg" \
		"$(v bench.fsdax2m.reg-page) / $(v bench.thp.reg-page)" 1.5
	judge target "FS-DAX 2 MiB-mapped / THP, reg" \
		"$(v bench.fsdax2m.reg-page) / $(v bench.thp.reg-page)" 1.00
	judge target "FS-DAX 4 KiB-mapped / anonymous 4 KiB, reg" \
		"$(v bench.fsdax4k.reg-page) / $(v bench.anon4k.reg-page)" 1.10
	judge target "FS-DAX 2 MiB-mapped, dereg, per page" "$(v bench.fsdax2m.dereg-page)" 20
	for fs in xfs ext4 nfs; do
		for op in read-4k write-4k read-1m write-1m; do
			judge gate "direct I/O on $fs, $op, patched / stock" \
				"$(v "bench.dio.$fs.$op") / $(v "stock.dio.$fs.$op")" \
				"$([[ $fs == nfs ]] && echo 1.02 || echo 1.005)"
		done
	done
	one="$(v bench.fsdax2m.reg-4k) + $(v bench.fsdax2m.dereg-4k)"
	all="$(v bench.devdax.reg-4k) + $(v bench.devdax.dereg-4k)"
	judge target "lease check and accounting, per MR: FS-DAX - device DAX, 4 KiB" \
		"$one - ($all)" 500
	judge target "refusing a truncate, 10,000 MRs / 1 MR" \
		"$(v bench.refused-truncate.refused-truncate-many) / $(v bench.refused-truncate.refused-truncate-1)" 1.05
	judge target "file_pins, per line, 10,000 files" "$(v bench.file-pins.file-pins-line)" 1500
	judge target "file_pins, per line, 10,000 files / 1,000 files" \
		"$(v bench.file-pins.file-pins-line) / $(v bench.file-pins.file-pins-line-tenth)" 1.05
	for fs in xfs ext4; do
		judge target "truncate without leases on $fs, patched / stock" \
			"$(v "bench.truncate.$fs.truncate") / $(v "stock.truncate.$fs.truncate")" 1.01
	done
	one=$(v bench.lease-calls.lease-call-many)
	judge target "lease call beside 10,000 leases, per lease" "$one / 10000" 390
	judge target "the same with 10,000 MRs / without" \
		"$(v bench.lease-calls.lease-call-many-pinned) / $one" 1.01
}

bench_image() # OPTION IMAGE; sets image
{
	[[ $2 == */* && -r $2 ]] || usage_error "bench $1 takes the path of an image"
	image=$(realpath "$2")
}

bench_main()
{
	local own='' own_stock=''

	while [[ ${1-} == --kernel || ${1-} == --stock ]]; do
		bench_image "$1" "${2-}"
		if [[ $1 == --kernel ]]; then
			own=$image
		else
			own_stock=$image
		fi
		shift 2
	done
	[[ ${1-} != -* ]] || usage_error "unknown option $1"
	if [[ ${1-} == provider ]]; then
		bench_provider "$own"
		return
	fi
	patterns=("$@")
	install_packages test
	build_programs
	new_run
	prune_runs
	bench_plan
	((${#queue[@]})) || die "nothing to measure matches ${patterns[*]}"
	[[ -z $own ]] || unset "images[bench]"
	[[ -z $own_stock ]] || unset "images[stock]"
	prepare_tasks
	[[ -z $own ]] || images[bench]=$own
	[[ -z $own_stock ]] || images[stock]=$own_stock
	image=${images[bench]}
	tools
	accelerator
	disks
	bench_run
	echo "Instructions, Linux $(linux_version) without and with the series, counted by QEMU:"
	bench_memory_table
	bench_dio_table
	echo
	bench_verdicts
	say "logs: $log"
	((unmeasured == 0)) || die "$unmeasured measurements failed, $gates gates missed"
	((gates == 0)) || die "$gates gates missed"
	((missed == 0)) || say "$missed targets missed"
}
