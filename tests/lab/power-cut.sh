# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# Litmus tests with a power cut: their first steps in one guest, which ends there, the others in the
# next.  The stores of the first to its persistent memory are private to its QEMU; its kernel copies
# what it writes back to the files that the second starts from.

power_cut_task()
{
	local flavour=test list=$suite/litmus.test.power-cut name status

	guest_defaults
	image=${images[power-cut]} pmem=$log/pmem cut=1 limit=300
	mkdir "$pmem"
	copy_pmem "$pmem"
	cut -f 1 "$list" >"$PINVERBS_OUT/names"
	boot "$lab/inside/power-cut" "$top" before >"$log/stderr" 2>&1
	status=$?
	mv "$log/kernel.log" "$log/kernel-before.log"
	if [[ -s $PINVERBS_OUT/cut ]]; then
		# as it has to
		((status == 125)) || fail test.power-cut.guest <<<"status $status after a power cut"
		boot "$lab/inside/power-cut" "$top" after >>"$log/stderr" 2>&1
		status=$?
	fi
	((status == 0)) || { echo "status $status" && tail -n 5 "$log/stderr"; } | fail test.power-cut.guest
	# a test that came to the cut has its result from behind it
	while read -r name; do
		cat "$PINVERBS_OUT/tap.$name" 2>/dev/null
	done <"$PINVERBS_OUT/names" >"$log/tap"
	tap_results test.litmus "" "$log/tap" "$list"
	log_result test.power-cut
	rm -r "$pmem"
}
