# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# Litmus tests with a reboot or a power cut: their first steps in one guest, which ends there, the others
# in the next.  The stores of a guest to its persistent memory are private to its QEMU; its kernel
# copies what it writes back to the files that the next one starts from.  So a reboot keeps what
# unmounting writes back, too.
#
# One guest shuts down, the next goes on behind that and gets its power cut, the last goes on behind that.

# One guest; "cut" is not empty if it ended as in a power cut.
stage() # NAME
{
	local status want=0

	boot env PLUGIN="$top/build/$plugin" "$lab/inside/power-cut" "$top" "$1" >>"$log/stderr" 2>&1
	status=$?
	mv "$log/kernel.log" "$log/kernel-$1.log"
	[[ $1 != power-cut || ! -s $PINVERBS_OUT/cut ]] || want=125
	((status == want)) ||
		{ echo "$1: status $status" && tail -n 5 "$log/stderr"; } | fail test.power-cut.guest
}

power_cut_task()
{
	local flavour=test list=$suite/litmus.test.power-cut name rules rest

	guest_defaults
	image=${images[power-cut]} pmem=$log/pmem cut=1 smp=1 limit=300
	mkdir "$pmem"
	copy_pmem "$pmem"
	# the tag says how the guest ends
	"$top/build/tests/litmus/litmus" --list reboot | cut -f 1 >"$log/reboots"
	cut -f 1 "$list" | grep -Fxf "$log/reboots" >"$PINVERBS_OUT/reboot.names"
	cut -f 1 "$list" | grep -Fxvf "$log/reboots" >"$PINVERBS_OUT/power-cut.names"
	: >"$PINVERBS_OUT/rebooted"
	: >"$PINVERBS_OUT/cut"
	if [[ -s $PINVERBS_OUT/reboot.names ]]; then
		stage reboot
	fi
	if [[ -s $PINVERBS_OUT/rebooted || -s $PINVERBS_OUT/power-cut.names ]]; then
		stage power-cut
	fi
	# a test that came to the end of a guest has its result from behind it
	if [[ -s $PINVERBS_OUT/cut ]]; then
		stage end
	fi
	while read -r name rules rest; do
		cat "$PINVERBS_OUT/tap.$name" 2>/dev/null
	done <"$list" >"$log/tap"
	tap_results test.litmus "" "$log/tap" "$list"
	log_result test.power-cut
	rm -r "$pmem"
}
