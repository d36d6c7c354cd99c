# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# ./pinverbs demo: the same steps on the stock kernel and on the patched one, side by side.
# Every cell is what tests/demo/observe saw in this run.

demo_rows=(
	"register-no-lease	register the mapping, no lease"
	"register-lease	register it under an exclusive layout lease"
	"remote-write-read	remote write, then read(2)"
	"truncate-other	truncate by another process"
	"truncate-after-close	truncate after munmap and close"
	"truncate-after-dereg	truncate after deregistration"
)

# What the programs of the demo are made of; the tests are not.
demo_programs=(observe examples/all)

demo_guest() # PART...
{
	boot "$lab/inside/demo" "$top" "$@" && clean_logs
}

demo_task() # FLAVOUR
{
	guest_defaults
	flavour=$1 image=${images[$1]} limit=300
	demo_guest observe
}

# The examples; kvstore's server is killed at the end of the first guest and starts in a second one.
examples_task()
{
	guest_defaults
	flavour=demo image=${images[demo]} limit=300 pmem=$log/pmem
	mkdir "$pmem"
	copy_pmem "$pmem"
	demo_guest observe examples put && smp=1 && demo_guest check
}

hosts2_demo()
{
	guest_defaults
	flavour=demo image=${images[demo]} limit=300 hosts=2 smp=1
	demo_guest hosts2
}

observed() # FLAVOUR FS KEY
{
	sed -n "s/^$2	$3	//p" "$log/$1/out/observed" | head -n 1
}

print_table()
{
	local row key flavour fs
	local format='%-44s  %-26s %-26s  %-22s %-22s\n'
	local -a cells

	# shellcheck disable=SC2059
	{
		printf "$format" "" "stock kernel" "" "patched kernel" ""
		printf "$format" "" XFS ext4 XFS ext4
		for row in "${demo_rows[@]}"; do
			key=${row%%$'\t'*}
			cells=()
			for flavour in demo-stock demo; do
				for fs in xfs ext4; do
					cells+=("$(observed "$flavour" "$fs" "$key")")
				done
			done
			[[ "${cells[0]}" && "${cells[1]}" && "${cells[2]}" && "${cells[3]}" ]] || return 1
			printf "$format" "${row#*$'\t'}" "${cells[@]}"
		done
	} | sed 's/ *$//'
}

print_examples()
{
	echo
	echo "examples/ on the patched kernel:"
	sed 's/^/    /' "$log/demo/out/examples.0"
	echo
	echo "the key-value store, its server killed, the guest started anew:"
	sed 's/^/    /' "$log/demo/out/put.0" "$log/demo/out/check.0"
	echo
	echo "in two guests: the server's"
	sed 's/^/    /' "$log/two-guests/out/hosts2.0"
	echo "and the client's"
	sed 's/^/    /' "$log/two-guests/out/hosts2.1"
}

demo_main()
{
	local name status=0 begin=$SECONDS
	local -A pids=()

	(($# == 0)) || usage_error "demo takes no argument, not '$1'"
	install_packages
	build_programs "${demo_programs[@]}"
	images=([demo-stock]=wanted [demo]=wanted)
	prepare_tasks
	new_run
	prune_runs
	progress "running both kernels"
	start_task demo examples_task
	pids[demo]=$!
	start_task demo-stock demo_task demo-stock
	pids[demo-stock]=$!
	start_task two-guests hosts2_demo
	pids[two-guests]=$!
	for name in "${!pids[@]}"; do
		if ! wait "${pids[$name]}"; then
			clear_progress
			say "$name: $(tail -n 1 "$log/$name/output")"
			status=1
		fi
	done
	clear_progress

	echo "RDMA into a DAX file over Soft-RoCE, Linux $(linux_version), observed in this run:"
	echo
	print_table || die "an observation is missing (logs: $log)"
	print_examples
	((status == 0)) || die "demo failed (logs: $log)"
	say "done in $(elapsed "$begin") (logs: $log)"
}

linux_version() { dpkg-query -W -f '${Version}' "$source_package"; }
