# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# ./pinverbs mutants: the series with one check, reference or lock rule taken out at a time.  Every
# test that a mutant names must notice it: not pass.  A verdict is kept as long as the mutant, the
# series and its tests are what they were, so a run goes on where the last one stopped.
#
# One kernel has nearly all mutants, see mutants.py: a guest's command line says which one it is.

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

# What a mutant runs with, or the series itself (no patch).
mutant_kernel() # NAME [PATCH]; sets image, kernel_args
{
	local number=0

	if [[ ! $mutant_image ]]; then
		build_mutants
		mutant_image=$run_log/bzImage
		cp "$image" "$mutant_image" || die "no disk space in $cache"
	fi
	[[ ! ${2-} ]] || number=$(sed -n "s/^$1 //p" "$run_log/numbers")
	kernel_args="mutant=$number" image=$mutant_image
	if [[ $number == - ]]; then
		kernel_args=
		build_mutants "$2"
	fi
}

# The command for a guest: litmus tests, then the checks on one file system and on the other, whose
# names get it as a prefix.
tests_command() # TEST...; sets command
{
	local programs=$top/build/tests fs test script=
	local -a litmus=() checks

	for test in "$@"; do
		is_check "$test" || litmus+=("$test")
	done
	((${#litmus[@]} == 0)) || script="$programs/litmus/litmus ${litmus[*]}"$'\n'
	for fs in xfs ext4; do
		checks=()
		for test in "$@"; do
			[[ $test != "$fs".* ]] || ! is_check "$test" || checks+=("${test#*.}")
		done
		((${#checks[@]} == 0)) ||
			script+="$programs/conformance/conformance --dir /mnt/$fs ${checks[*]} | sed 's/ - / - $fs./'"$'\n'
	done
	command=(bash -c "$script")
}

# Runs tests in one guest; one that dies or hangs in it has not passed, nor have those after it.
passing() # TEST...; sets passed_tests
{
	local test
	local -a command

	guest_defaults
	mutant_kernel "$name" "$mutant"
	flavour=mutant limit=$((180 + 5 * $#))
	progress "running $# tests on $name"
	tests_command "$@"
	boot "${command[@]}" >"$log/tap" 2>"$log/stderr"
	clear_progress
	passed_tests=()
	for test in "$@"; do
		! grep -E "^ok [0-9]+ - ${test//./\\.} " "$log/tap" | grep -qv '# SKIP' || passed_tests+=("$test")
	done
}

tests_of() # PATCH...; sets tests
{
	mapfile -t tests < <(sed -n 's/^Noticed-by: //p' "$@" | tr ' ' '\n' | sort -u)
	((${#tests[@]})) || die "$1 names no test that must notice (Noticed-by:)"
}

# All tests that the mutants name pass on the series itself, or they would prove nothing.
try_series() # PATCH...; sets verdict
{
	local -a tests passed_tests
	local mutant=

	tests_of "$@"
	passing "${tests[@]}"
	((${#passed_tests[@]} == ${#tests[@]})) ||
		die "without any mutant not all tests pass: $(grep -m 1 -E '^not ok|# SKIP' "$log/tap") (logs: $log)"
	verdict=passed
}

try_mutant() # PATCH; sets verdict
{
	local -a tests passed_tests
	local mutant=$1

	tests_of "$1"
	passing "${tests[@]}"
	verdict=killed
	((${#passed_tests[@]} == 0)) || verdict="survived ${passed_tests[*]}"
}

# The verdict that is kept for the key, or a new one.
verdict_of() # NAME KEY FUNCTION PATCH...; sets verdict
{
	local name=$1 kept=$cache/mutants/$2

	shift 2
	if [[ -e $kept ]]; then
		verdict=$(<"$kept")
		return
	fi
	mkdir -p "$log/$name/out"
	chmod 1777 "$log/$name/out"
	PINVERBS_OUT=$log/$name/out log=$log/$name "$@"
	echo "$verdict" >"$kept.new"
	mv "$kept.new" "$kept"
}

mutants_main()
{
	local name verdict survived=0 begin=$SECONDS version p file runner run_log
	local -a chosen=()

	[[ ${1-} != -* ]] || usage_error "unknown option $1"
	for file in "$mutants"/*.patch; do
		for p in "${@:-}"; do
			[[ ${file##*/} != *"$p"* ]] || { chosen+=("$file") && break; }
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
	runner=$(cat "$top"/tests/litmus/runner/*.[ch] "$top"/tests/conformance/harness/*.[ch] | sha256sum | cut -c 1-24)
	verdict_of series "$(mutant_key "${chosen[@]}")-$runner" try_series "${chosen[@]}"
	for file in "${chosen[@]}"; do
		name=${file##*/}
		name=${name%.patch}
		verdict_of "$name" "$(mutant_key "$file")" try_mutant "$file"
		[[ $verdict == killed ]] || survived=$((survived + 1))
		echo "$name: $verdict ($(elapsed "$begin"))"
	done
	unlock mutants
	say "logs: $log"
	echo "$((${#chosen[@]} - survived)) killed, $survived survived"
	((survived == 0))
}
