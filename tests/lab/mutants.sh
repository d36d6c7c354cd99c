# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# ./pinverbs mutants: the series with one check, reference or lock rule taken out at a time.  Every
# test that a mutant names must notice it: not pass.  A verdict is kept as long as the mutant, the
# series and its tests are what they were, so a run goes on where the last one stopped.
#
# One kernel has nearly all mutants, see mutants.py, and a guest tries several: for each, the tests
# without it, which must pass, and then with it.

mutants=$top/tests/mutants
mutant_image=

# mutants.py gets them in the order of their names, whichever are to be tried.  The others are asleep
# in a kernel that is built for one.
add_mutants() # FOLDER; of series, run_log, own_build
{
	"$lab/mutants.py" "$1" "$mutants"/*.patch >"$run_log/numbers" || die "mutants.py failed (logs: $run_log)"
	[[ ! $own_build ]] || patch -d "$1" -p1 -s -f -F0 --no-backup-if-mismatch -r - <"$own_build" >"$run_log/patch" ||
		die "${own_build##*/} does not fit (logs: $run_log)"
}

# What a verdict depends on.  Not the runner: try_series tells whether it works.
mutant_key() # PATCH...
{
	local -a patches fragments tests
	local test source

	series mutants
	fragments mutants
	tests_of "$@"
	{
		echo "3 $version"
		sed '/^#/d; /^$/d' "${fragments[@]}"
		cat "${patches[@]}" "$@"
		for test in "${tests[@]}"; do
			source=$(test_source "$test") || die "no test $test, which a mutant names"
			cat "$source"
		done
	} | sha256sum | cut -c 1-24
}

# A test is FILE-SYSTEM.NAME.  The names of conformance checks are those of C functions, so they
# have a "_", which those of litmus files have not.
is_check() # TEST
{
	[[ $1 == *_* ]]
}

# Prints the file that a test is in.  Checks that a macro makes have no such line.
test_source() # TEST
{
	if is_check "$1"; then
		grep -lE "^CHECK\(${1#*.}," "$top"/tests/conformance/checks/*.c
	else
		ls "$top/tests/litmus/${1#*.}.litmus"
	fi
}

# One tree for all: with every mutant, or with one that cannot be switched on.
build_mutants() # [PATCH]; sets image
{
	local tree=$cache/build/mutants log=$cache/build/mutants.log after_patching=add_mutants own_build=${1-}
	local -a patches fragments
	local pristine

	unpack_source
	need_space 700 "$cache" "the mutants' kernel"
	series mutants
	fragments mutants
	# the objects of flavour test are worth more than those of another configuration
	cat "${fragments[@]}" | cmp -s - "$tree/.pinverbs.config" || rm -rf "$tree"
	update_tree "$tree"
	progress "building the mutants' kernel"
	cat "${fragments[@]}" | cmp -s - "$tree/.pinverbs.config" || configure "$tree" "$log" "${fragments[@]}"
	await make -C "$tree" "-j$jobs" bzImage >"$log" 2>&1 || build_failed "$log"
	clear_progress
	image=$tree/arch/x86/boot/bzImage
	disks
}

# The script that runs tests: litmus tests, then the checks on one file system and on the other,
# whose names get it as a prefix.
tests_script() # TEST...
{
	local programs=$top/build/tests fs test
	local -a litmus=() checks

	for test in "$@"; do
		is_check "$test" || litmus+=("$test")
	done
	((${#litmus[@]} == 0)) || echo "$programs/litmus/litmus ${litmus[*]}"
	for fs in xfs ext4; do
		checks=()
		for test in "$@"; do
			[[ $test != "$fs".* ]] || ! is_check "$test" || checks+=("${test#*.}")
		done
		((${#checks[@]} == 0)) ||
			echo "$programs/conformance/conformance --dir /mnt/$fs ${checks[*]} | sed 's/ - / - $fs./'"
	done
}

tests_of() # PATCH...; sets tests
{
	mapfile -t tests < <(sed -n 's/^Noticed-by: //p' "$@" | tr ' ' '\n' | sort -u)
	((${#tests[@]})) || die "$1 names no test that must notice (Noticed-by:)"
}

# What a guest does for mutants, one after the other.
batch_script() # NAME...
{
	local name number
	local -a tests

	for name in "$@"; do
		tests_of "$mutants/$name.patch"
		number=$(sed -n "s/^$name //p" "$run_log/numbers")
		echo "echo '# without $name'"
		tests_script "${tests[@]}"
		[[ $number != - ]] || continue
		echo "echo '# with $name'"
		echo "echo $number >/sys/module/locks/parameters/mutant_nr"
		tests_script "${tests[@]}"
		echo "echo 0 >/sys/module/locks/parameters/mutant_nr"
		echo "echo '# end $name'"
	done
}

# Which of the mutant's tests have passed in a part of the guest's output.
passed_in() # without|with NAME
{
	local test part

	part=$(sed -n "/^# $1 $2\$/,/^# \(without\|with\|end\) /p" "$log/tap")
	tests_of "$mutants/$2.patch"
	for test in "${tests[@]}"; do
		! grep -E "^ok [0-9]+ - ${test//./\\.} " <<<"$part" | grep -qv '# SKIP' || echo "$test"
	done
}

# One guest.  A mutant has no verdict if it did not come to it, if one before it spoiled the guest
# for its tests, or if the guest ended with it: unless it was the first, it has to be tried again.
try_batch() # NAME...; sets verdicts[NAME]
{
	local name survivors
	local -a tests

	new_guest_log
	batch_script "$@" >"$log/script"
	guest_defaults
	flavour=mutant limit=$((300 + 60 * $#)) image=$mutant_image
	progress "trying $# mutants, $1 first"
	boot bash "$log/script" >"$log/tap" 2>"$log/stderr"
	clear_progress
	for name in "$@"; do
		grep -q "^# without $name\$" "$log/tap" || return 0
		tests_of "$mutants/$name.patch"
		if [[ $(passed_in without "$name") != "$(printf '%s\n' "${tests[@]}")" ]]; then
			[[ $name != "$1" ]] || die "not all tests pass without $name:" \
				"$(grep -m 1 -E '^not ok|# SKIP' "$log/tap") (logs: $log)"
		elif grep -q "^$name -\$" "$run_log/numbers"; then
			verdicts[$name]=own
		elif grep -q "^# end $name\$" "$log/tap" || [[ $name == "$1" ]]; then
			survivors=$(passed_in with "$name" | paste -sd ' ')
			verdicts[$name]=${survivors:+survived $survivors}
			verdicts[$name]=${verdicts[$name]:-killed}
		fi
	done
}

# A kernel of its own; the tests are known to pass without the mutant.
try_own_build() # NAME; sets verdicts[NAME]
{
	local survivors
	local -a tests

	new_guest_log
	build_mutants "$mutants/$1.patch"
	tests_of "$mutants/$1.patch"
	{
		echo "echo '# with $1'"
		tests_script "${tests[@]}"
	} >"$log/script"
	guest_defaults
	flavour=mutant limit=360
	progress "trying $1"
	boot bash "$log/script" >"$log/tap" 2>"$log/stderr"
	clear_progress
	survivors=$(passed_in with "$1" | paste -sd ' ')
	verdicts[$1]=${survivors:+survived $survivors}
	verdicts[$1]=${verdicts[$1]:-killed}
}

new_guest_log() # sets log
{
	guests=$((guests + 1))
	log=$run_log/$guests
	mkdir -p "$log/out"
	chmod 1777 "$log/out"
}

# Tries mutants and keeps each verdict as soon as it is there.
try_mutants() # NAME...
{
	local -a left=("$@") batch again
	local -A verdicts=()
	local name key guests=0

	if ((${#left[@]})); then
		build_mutants
		mutant_image=$run_log/bzImage
		temporary+=("$mutant_image")
		cp "$image" "$mutant_image" || die "no disk space in $cache"
	fi
	while ((${#left[@]})); do
		batch=("${left[@]:0:12}")
		left=("${left[@]:12}")
		PINVERBS_OUT=$run_log/out try_batch "${batch[@]}"
		[[ ${verdicts[${batch[0]}]-} ]] || die "the guest ended before it tried ${batch[0]} (logs: $log)"
		again=()
		for name in "${batch[@]}"; do
			[[ ${verdicts[$name]-} != own ]] || PINVERBS_OUT=$run_log/out try_own_build "$name"
			if [[ ! ${verdicts[$name]-} ]]; then
				again+=("$name")
				continue
			fi
			key=$(mutant_key "$mutants/$name.patch")
			echo "${verdicts[$name]}" >"$cache/mutants/$key.new"
			mv "$cache/mutants/$key.new" "$cache/mutants/$key"
			say "$name: ${verdicts[$name]} ($(elapsed "$begin"))"
		done
		left=("${again[@]}" "${left[@]}")
	done
}

mutants_main()
{
	local name key verdict survived=0 begin=$SECONDS version p file run_log log
	local -a chosen=() new=()

	[[ ${1-} != -* ]] || usage_error "unknown option $1"
	for file in "$mutants"/*.patch; do
		for p in "${@:-}"; do
			[[ ${file##*/} != *"$p"* ]] || { chosen+=("$(basename "$file" .patch)") && break; }
		done
	done
	((${#chosen[@]})) || die "no mutant matches $*"
	install_packages test
	build_programs
	source_version
	new_run
	run_log=$log
	tools
	accelerator
	mkdir -p "$cache/mutants"
	lock mutants "runs mutants"
	for name in "${chosen[@]}"; do
		key=$(mutant_key "$mutants/$name.patch") || exit
		[[ -e $cache/mutants/$key ]] || new+=("$name")
	done
	try_mutants "${new[@]}"
	unlock mutants
	for name in "${chosen[@]}"; do
		verdict=$(<"$cache/mutants/$(mutant_key "$mutants/$name.patch")")
		[[ $verdict == killed ]] || survived=$((survived + 1))
		echo "$name: $verdict"
	done
	say "logs: $run_log"
	echo "$((${#chosen[@]} - survived)) killed, $survived survived"
	((survived == 0))
}
