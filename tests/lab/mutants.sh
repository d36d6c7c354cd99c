# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# ./pinverbs mutants: the series with one check, reference or lock rule taken out at a time.  Every
# test that a mutant names must notice it: not pass.  A verdict is kept as long as the mutant, the
# series and its tests are what they were, so a run goes on where the last one stopped.
#
# One kernel has all mutants, see mutants.py, and a guest tries several: for each, the tests without
# it, which must pass, and then with it.

declare -A mutant_files=()	# name -> patch
mutant_switch=/sys/module/locks/parameters/mutant_nr

find_mutants()
{
	local file

	for file in "$top"/tests/mutants/{,direct-io/}*.patch; do
		mutant_files[$(basename "$file" .patch)]=$file
	done
}

# mutants.py gets them in one order, whichever are to be tried.
add_mutants() # FOLDER; of series, run_log
{
	"$lab/mutants.py" "$1" "$top"/tests/mutants/{,direct-io/}*.patch \
		>"$run_log/numbers" 2>"$run_log/mutants.py" ||
		die "a mutant does not fit the series: $(head -n 1 "$run_log/mutants.py") (log: $run_log/mutants.py)"
}

# What a verdict depends on.  Not the runner: the tests without the mutant tell whether it works.
mutant_key() # NAME
{
	local -a patches fragments tests
	local test source

	series mutants
	fragments mutants
	tests_of "$1"
	{
		echo "4 $version"
		sed '/^#/d; /^$/d' "${fragments[@]}"
		cat "${patches[@]}" "${mutant_files[$1]}"
		for test in "${tests[@]}"; do
			source=$(test_source "$test") || die "no test $test, which $1 names"
			cat "$source"
		done
	} | sha256sum | cut -c 1-24
}

# A test is "dio." and a check of direct I/O, or a file system and the name of a conformance check or
# of a litmus test.  Names of checks are those of C functions, so they have a "_", which those of
# litmus files have not.
kind_of() # TEST; prints dio, litmus, xfs or ext4
{
	if [[ $1 == *_* ]]; then
		echo "${1%%.*}"
	else
		echo litmus
	fi
}

# Prints the file that a test is in.
test_source() # TEST
{
	local name=${1#*.} macro=

	case $(kind_of "$1") in
	dio)
		# those over NFS are made for one version or for both
		[[ ! $name =~ ^nfs([34])_(.*) ]] || macro="|NFS${BASH_REMATCH[1]}?_CHECK\(${BASH_REMATCH[2]},"
		grep -lE "^(CHECK\($name,$macro)" "$top"/tests/dio/*.c
		;;
	litmus) ls "$top/tests/litmus/$name.litmus" ;;
	*) grep -lE "^CHECK\($name," "$top"/tests/conformance/checks/*.c ;;
	esac
}

# One tree for all.
build_mutants() # sets image; of run_log
{
	local tree=$cache/build/mutants log=$cache/build/mutants.log after_patching=add_mutants
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
	image=$run_log/bzImage
	temporary+=("$image")
	cp "$tree/arch/x86/boot/bzImage" "$image" || die "no disk space in $cache"
	disks
}

tests_of() # NAME; sets tests
{
	local file=${mutant_files[$1]}

	mapfile -t tests < <(sed -n 's/^Noticed-by: //p' "$file" | tr ' ' '\n' | sort -u)
	((${#tests[@]})) || die "$file names no test that must notice (Noticed-by:)"
}

# The script that runs tests.  A litmus test gets no more time than a check: none that is named takes a
# quarter of it, and mutants make many wait.  Where a program does not know the first part of a test's
# name, its results get it.
tests_script() # TEST...
{
	local programs=$top/build/tests test kind
	local -A of=()

	for test in "$@"; do
		kind=$(kind_of "$test")
		[[ $kind == litmus ]] || test=${test#*.}
		of[$kind]+=" $test"
	done
	for kind in "${!of[@]}"; do
		case $kind in
		litmus) echo "$programs/litmus/litmus --limit 40${of[litmus]}" ;;
		dio) echo "DIO_FS=xfs $top/tests/dio/inside $programs/dio${of[dio]} | sed 's/ - / - dio./'" ;;
		*) echo "$programs/conformance/conformance --dir /mnt/$kind${of[$kind]} | sed 's/ - / - $kind./'" ;;
		esac
	done
}

# What a guest does for mutants, one after the other, until the kernel complains: it may be damaged.
batch_script() # NAME...
{
	local name number
	local -a tests

	for name in "$@"; do
		tests_of "$name"
		number=$(sed -n "s/^$name //p" "$run_log/numbers")
		echo "echo '# without $name'"
		tests_script "${tests[@]}"
		echo "echo '# with $name'"
		echo "echo $number >$mutant_switch"
		tests_script "${tests[@]}"
		echo "echo 0 >$mutant_switch"
		echo "echo '# end $name'"
		echo "! dmesg | grep -qE '$dirty_pattern' || exit 0"
	done
}

# Which of the mutant's tests have passed in a part of the guest's output.
passed_in() # without|with NAME; of tests
{
	local test part

	part=$(sed -n "/^# $1 $2\$/,/^# \(without\|with\|end\) /p" "$log/tap")
	for test in "${tests[@]}"; do
		! grep -E "^ok [0-9]+ - ${test//./\\.} " <<<"$part" | grep -qv '# SKIP' || echo "$test"
	done
}

# One guest, with a word for each mutant in the file verdicts: killed, survived TESTS or untried WHY.
# Or alone: to be tried once more, in a guest of its own, for this one may be to blame.  It ended with
# the mutant, or those before have left it unable to notice.  Or again: the guest did not come to
# it, or those before have spoiled it for the mutant's tests.
try_batch() # NAME...; of log, run_log, image
{
	guest_defaults
	flavour=mutant limit=$((300 + 60 * $#))
	kernel_args="softlockup_panic=1 watchdog_thresh=30 hung_task_panic=1 sysctl.kernel.hung_task_timeout_secs=60"
	batch_script "$@" >"$log/script"
	if [[ ${mutant_files[$1]} == */direct-io/* ]]; then
		DIO_SERVER=yes boot "$top/tests/dio/with-nfs" "$top/build/tests/dio" bash "$log/script"
	else
		boot bash "$log/script"
	fi >"$log/tap" 2>"$log/stderr"
	batch_verdicts "$@" >"$log/verdicts.new" && mv "$log/verdicts.new" "$log/verdicts"
}

batch_verdicts() # NAME...; of try_mutants and try_batch
{
	local name survivors word
	local -a tests

	grep -q "^# with $1\$" "$log/tap" ||
		die "the guest ended before it tried $1: $(tail -n 1 "$log/stderr") (logs: $log)"
	for name in "$@"; do
		tests_of "$name"
		survivors=$(passed_in with "$name" | paste -sd ' ')
		if ! grep -q "^# with $name\$" "$log/tap"; then
			word=again
		elif [[ $(passed_in without "$name") != "$(printf '%s\n' "${tests[@]}")" ]]; then
			word=again
			[[ $name != "$1" ]] || word="untried: without it, too, not all tests pass (logs: $log)"
		elif [[ ! ${alone[$name]-} ]] && { [[ $survivors ]] || ! grep -q "^# end $name\$" "$log/tap"; }; then
			word=alone
		else
			word=${survivors:+survived $survivors}
		fi
		echo "$name ${word:-killed}"
	done
}

# The next mutants for one guest: those of direct I/O want a server, the others want none.
next_batch() # sets batch, left; of alone
{
	local most=$(((${#left[@]} + jobs - 1) / jobs)) name

	batch=("${left[0]}")
	left=("${left[@]:1}")
	[[ ! ${alone[${batch[0]}]-} ]] || return 0
	((most <= 12)) || most=12
	while ((${#left[@]} && ${#batch[@]} < most)); do
		name=${left[0]}
		[[ ! ${alone[$name]-} && ${mutant_files[$name]%/*} == "${mutant_files[${batch[0]}]%/*}" ]] || break
		batch+=("$name")
		left=("${left[@]:1}")
	done
}

# Tries mutants, in as many guests at once as there are CPUs, and keeps each verdict as soon as it is
# there.
try_mutants() # NAME...; sets verdicts
{
	local -a left=("$@") batch
	local -A alone=() running=()	# running: pid -> folder
	local pid guests=0 log

	while ((${#left[@]} + ${#running[@]})); do
		while ((${#left[@]} && ${#running[@]} < jobs)); do
			next_batch
			guests=$((guests + 1))
			log=$run_log/$guests
			mkdir -p -m 1777 "$log/out" || die "cannot write to $run_log"
			(
				own_cleanup
				PINVERBS_OUT=$log/out try_batch "${batch[@]}"
			) </dev/null >"$log/output" 2>&1 &
			running[$!]=$log
			children[$!]=1
		done
		progress "trying mutants, ${#left[@]} more to come, $(elapsed "$begin")"
		wait -n -p pid "${!running[@]}"
		log=${running[$pid]}
		unset "running[$pid]" "children[$pid]"
		[[ -e $log/verdicts ]] || die "no verdict: $(tail -n 1 "$log/output") (logs: $log)"
		take_verdicts <"$log/verdicts"
	done
}

take_verdicts() # of try_mutants and keys
{
	local name word
	local -a again=()

	while read -r name word; do
		case $word in
		alone) alone[$name]=1 again+=("$name") ;;
		again) again+=("$name") ;;
		*)
			verdicts[$name]=$word
			clear_progress
			say "$name: $word ($(elapsed "$begin"))"
			[[ $word != untried* ]] || continue
			echo "$word" >"$cache/mutants/${keys[$name]}.new"
			mv "$cache/mutants/${keys[$name]}.new" "$cache/mutants/${keys[$name]}"
			;;
		esac
	done
	left=("${again[@]}" "${left[@]}")
}

mutants_main()
{
	local name p killed=0 begin=$SECONDS version image run_log log
	local -a chosen=() new=()
	local -A verdicts=() keys=()

	[[ ${1-} != -* ]] || usage_error "unknown option $1"
	find_mutants
	mapfile -t chosen < <(
		for name in "${!mutant_files[@]}"; do
			for p in "${@:-}"; do
				[[ $name != *"$p"* ]] || echo "${mutant_files[$name]%/*} $name"
			done
		done | sort -u | cut -d ' ' -f 2
	)
	((${#chosen[@]})) || die "no mutant matches $*"
	install_packages test
	build_programs
	source_version
	new_run
	run_log=$log
	all_kernel_args=$without_enumerations
	tools
	accelerator
	mkdir -p "$cache/mutants"
	lock mutants "runs mutants"
	# now, not when there is a verdict: then a file may be another one than that which was tried
	for name in "${chosen[@]}"; do
		keys[$name]=$(mutant_key "$name") || exit
		verdicts[$name]=$(cat "$cache/mutants/${keys[$name]}" 2>/dev/null) || new+=("$name")
	done
	if ((${#new[@]})); then
		build_mutants
		try_mutants "${new[@]}"
	fi
	unlock mutants
	for name in "${chosen[@]}"; do
		[[ ${verdicts[$name]} != killed ]] || killed=$((killed + 1))
		echo "$name: ${verdicts[$name]}"
	done
	times >"$run_log/times"
	cpu_seconds .
	say "logs: $run_log"
	say "${#new[@]} tried in $(elapsed "$begin"), $REPLY s of CPU"
	echo "$killed killed, $((${#chosen[@]} - killed)) survived or untried"
	((killed == ${#chosen[@]}))
}
