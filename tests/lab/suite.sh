# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# ./pinverbs test: tasks run side by side, one more than there are CPUs, since some of them wait.
# Each has a folder of its own, $log, and writes its results with pass, fail and skip.  A task that
# ends without a result, or a guest without a status, has failed.

# Runs once for every caller of this clone: the programs, with what is new in them.  The tests' need
# packages that the demo does without.  The provider wants the source of rdma-core, without which one example
# does less.
build_programs() # [TARGET...]
{
	local -a targets=() generator=(-G Ninja)
	local rules=build.ninja
	local out=$cache/build/programs-$(echo "$top" | sha256sum | cut -c 1-12).log

	lock "programs-$(echo "$top" | sha256sum | cut -c 1-12)" "builds the programs of this clone"
	(($# == 0)) || targets=(--target "$@")
	provider_options
	[[ ! ${targets[*]} || ! $rdma_core ]] || targets+=(pinrxe)
	reuse_objects
	# a folder that was configured by hand stays as it is
	if grep -qs '^CMAKE_GENERATOR:[A-Z]*=Unix Makefiles$' "$top/build/CMakeCache.txt"; then
		generator=() rules=Makefile
		export CMAKE_BUILD_PARALLEL_LEVEL=$(($(nproc) + 1))
	fi
	progress "building the programs"
	# what was not found for the demo may be there now
	if [[ ! -e $top/build/$rules || (-z $* && -e $top/build/.for-demo) ]] ||
		! configured_as "${provider_cmake[@]}"; then
		rm -f "$top/build/.for-demo"
		await cmake -S "$top" -B "$top/build" "${generator[@]}" "${provider_cmake[@]}" >"$out" 2>&1 ||
			programs_failed "$out"
		(($# == 0)) || : >"$top/build/.for-demo"
	fi
	await cmake --build "$top/build" "${targets[@]}" >"$out" 2>&1 || programs_failed "$out"
	clear_progress
	unlock "programs-$(echo "$top" | sha256sum | cut -c 1-12)"
}

# Clones share what the compiler made of the same text.
reuse_objects() # appends to provider_cmake
{
	command -v ccache >/dev/null || return 0
	provider_cmake+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
	export CCACHE_DIR=$cache/ccache CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=300M
}

programs_failed() # LOG
{
	! no_space_in "$1" "$top" || die "no disk space in $top/build: free some (log: $1)"
	! grep -q 'does not match the source\|is different than the directory' "$1" ||
		die "$top/build belongs to another folder: remove it and run again"
	die "building the programs failed: $(grep -m 1 -E 'rror' "$1") (log: $1)"
}

# --- names and results

patterns=()
declare -A images=()	# flavour -> kernel

# A test is run if no pattern is given, or one is part of its name, matches it as a shell pattern,
# or is one of its rules.
declare -A matched=()	# patterns that have selected something
selected() # NAME [RULES]
{
	local p found=1

	((${#patterns[@]})) || return 0
	for p in "${patterns[@]}"; do
		# shellcheck disable=SC2053
		if [[ $1 == *"$p"* || $1 == $p || ",${2-}," == *",$p,"* ]]; then
			matched[$p]=1
			found=0
		fi
	done
	return "$found"
}

pass() { printf 'pass\t%s\n' "$1" >>"$log/results"; }

skip() # NAME REASON
{
	printf 'skip\t%s\t%s\n' "$1" "$2" >>"$log/results"
}

fail() # NAME; what is to be shown comes on stdin
{
	printf 'fail\t%s\n' "$1" >>"$log/results"
	sed 's/^/    /' >>"$log/results"
}

# --- the pool

queue=()		# "NAME FUNCTION ARG..."
declare -A running=()	# pid -> name
declare -A started=()	# name -> when
passed=0 failures=0 skipped=0 cpu=0

task() { queue+=("$*"); }

start_task() # NAME FUNCTION ARG...
{
	local name=$1 status

	shift
	mkdir "$log/$name"
	started[$name]=$SECONDS
	(
		own_cleanup
		log=$log/$name
		mkdir "$log/out"
		chmod 1777 "$log/out"
		PINVERBS_OUT=$log/out
		: >"$log/results"
		"$@"
		status=$?
		times >"$log/times"
		exit "$status"
	) </dev/null >"$log/$name/output" 2>&1 &
	running[$!]=$name
	children[$!]=1
}

# What the processes of a task have computed, in seconds.  While others run beside it, only this and
# not the time that it took tells what it costs.
cpu_seconds() # TASK; sets REPLY
{
	local line=

	{ read -r line && read -r line; } 2>/dev/null <"$log/$1/times"
	REPLY=$(awk -F '[ms ]+' '{ printf "%.0f", $1 * 60 + $2 + $3 * 60 + $4 }' <<<"$line")
}

finish_task() # PID STATUS
{
	local name=${running[$1]} line word p=0 f=0 s=0 file
	local test

	unset "running[$1]" "children[$1]"
	file=$log/$name/results
	if (($2)) || [[ ! -s $file ]]; then
		{
			printf 'fail\t%s\n' "$name"
			echo "    broken, status $2:"
			tail -n 5 "$log/$name/output" | sed 's/^/    /'
		} >>"$file"
	fi
	cat "$file" >>"$log/results"
	clear_progress
	while IFS= read -r line; do
		IFS=$'\t' read -r word test _ <<<"$line"
		case $line in
		pass*) p=$((p + 1)) ;;
		skip*)
			s=$((s + 1))
			echo "skip $test: ${line##*$'\t'}"
			;;
		fail*)
			f=$((f + 1))
			echo "FAIL $test"
			;;
		*) echo "$line" ;;
		esac
	done <"$file"
	cpu_seconds "$name"
	cpu=$((cpu + REPLY))
	printf '%s\t%d\t%d\n' "$name" "$((SECONDS - started[$name]))" "$REPLY" >>"$log/times.tsv"
	echo "$name: $p passed, $f failed, $s skipped ($(elapsed "${started[$name]}"), $REPLY s of CPU)"
	passed=$((passed + p)) failures=$((failures + f)) skipped=$((skipped + s))
}

run_tasks()
{
	local pid status
	local -a words

	begin=$SECONDS

	while ((${#queue[@]} + ${#running[@]})); do
		while ((${#queue[@]} && ${#running[@]} <= jobs)); do
			read -ra words <<<"${queue[0]}"
			queue=("${queue[@]:1}")
			start_task "${words[@]}"
		done
		progress "running ${running[*]}, ${#queue[@]} more to come, $(elapsed "$begin")"
		wait -n -p pid "${!running[@]}"
		status=$?
		finish_task "$pid" "$status"
	done
	clear_progress
}

# --- tasks

unit_task() # NAME...
{
	local line name result
	local -A wanted=()
	local re='Test +#[0-9]+: ([^ ]+) \.+[ *]*([A-Za-z]+)'

	for name in "$@"; do
		wanted[$name]=1
	done
	PINVERBS_CACHE=$cache await ctest --test-dir "$top/build" --output-on-failure --timeout 120 \
		-R "^($(IFS='|' && echo "${*//./\\.}"))\$" >"$log/ctest" 2>&1
	while IFS= read -r line; do
		[[ $line =~ $re ]] || continue
		name=${BASH_REMATCH[1]} result=${BASH_REMATCH[2]}
		unset "wanted[$name]"
		case $result in
		Passed) pass "$name" ;;
		Skipped) skip "$name" "$(sed -n "/: $name /,/^ *[0-9]*\/[0-9]* Test/{/skip/Ip}" "$log/ctest" | grep -v 'Test *#' | head -n 1)" ;;
		*) sed -n "/Test *#[0-9]*: $name /,/Start /p" "$log/ctest" | head -n 40 | fail "$name" ;;
		esac
	done <"$log/ctest"
	for name in "${!wanted[@]}"; do
		tail -n 5 "$log/ctest" | fail "$name"
	done
}

shell_task()
{
	local file clean
	local -a scripts=()

	# every file of the project with a shell's first line
	while IFS= read -r -d '' file; do
		! head -n 1 "$file" | grep -qaE '^#!/bin/(ba)?sh' || scripts+=("$file")
	done < <(find "$top" -path "$top/build" -prune -o -path "$top/.git" -prune -o -type f -print0)
	# what was clean is not looked at again until a script or shellcheck changes
	clean=$cache/shellcheck/$( (shellcheck --version && cd "$top" &&
		sha256sum -- .shellcheckrc tests/lab/*.sh "${scripts[@]#"$top/"}" | sort) | sha256sum | cut -c 1-24)
	if [[ -e $clean ]] || await shellcheck -x -P "$top" -P "$lab" "${scripts[@]}" >"$log/shellcheck" 2>&1; then
		mkdir -p "${clean%/*}" && : >"$clean"
		prune "$cache/shellcheck" 100
		pass shellcheck
	else
		fail shellcheck <"$log/shellcheck"
	fi
}

# The Debian packages, of the files as they are.  Their verdict stands until one of those changes, or what
# is installed here.
packages_task()
{
	local key word name rest

	if [[ -z $rdma_core ]]; then
		skip packages "built without rdma-core source: $no_rdma_core"
		return
	fi
	key=$( (cd "$top" && echo "$rdma_core" && dpkg-query -W &&
		debian/check --quick --list | xargs -d '\n' sha256sum) | sha256sum | cut -c 1-24)
	if [[ -e $cache/packages/$key ]]; then
		cat "$cache/packages/$key" >>"$log/results"
		return
	fi
	scratch
	await env RDMA_CORE_SOURCE="$rdma_core" "$top/debian/check" --quick "$REPLY" >"$log/check" 2>&1
	while read -r word name rest; do
		case $word in
		ok) pass "packages.$name" ;;
		FAIL) { echo "$rest" && sed -n "/^FAIL $name /,/^\(ok\|FAIL\) /s/^    //p" "$log/check"; } | fail "packages.$name" ;;
		esac
	done <"$log/check"
	# the last step
	if ! grep -q '^\(ok\|FAIL\) remove ' "$log/check"; then
		tail -n 5 "$log/check" | fail packages.remove
	elif ! grep -qv '^pass' "$log/results"; then
		mkdir -p "$cache/packages" && cp "$log/results" "$cache/packages/.$key.$$" &&
			mv "$cache/packages/.$key.$$" "$cache/packages/$key"
		prune "$cache/packages" 20
	fi
}

series_task()
{
	local name word rest status=0

	await "$top/kernel-patches/check" >"$log/check" 2>&1 || status=$?
	while read -r word name rest; do
		case $word in
		ok) pass "series.$name" ;;
		skip) skip "series.$name" "$rest" ;;
		FAIL) sed -n "/^FAIL ${name//\//\\/}\$/,/^\(ok\|FAIL\|skip\) /p" "$log/check" | grep '^ ' | fail "series.$name" ;;
		esac
	done < <(grep -E '^(ok|FAIL|skip) ' "$log/check")
	# what broke off has failed, whatever it has said before
	((status == 0)) || grep -q '^FAIL ' "$log/check" || tail -n 5 "$log/check" | fail series.end
	[[ -s $log/results ]] || fail series <"$log/check"
}

self_task() # NAME
{
	local status

	PINVERBS=$top/pinverbs LAB=$lab WORK=$log await "$lab/self/$1" >"$log/self" 2>&1
	status=$?
	case $status in
	0) pass "lab.$1" ;;
	77) skip "lab.$1" "$(tail -n 1 "$log/self")" ;;
	*) { echo "status $status" && tail -n 30 "$log/self"; } | fail "lab.$1" ;;
	esac
}

# The kernel log of a task's guests, as a test of its own.
log_result() # NAME
{
	if clean_logs 2>"$log/dirty"; then
		pass "$1.kernel-log"
	else
		fail "$1.kernel-log" <"$log/dirty"
	fi
}

# A line for the rule table.  The name of a litmus test begins with the file system.
rule_result() # NAME VERDICT; wants fs and rule of tap_results
{
	[[ $1 != *.* ]] || fs=${1%%.*}
	printf '%s\t%s\t%s\t%s\t%s\n' "$flavour" "$fs" "$1" "${rule[$1]}" "$2" >>"$log/rules"
}

# Reads TAP; on the stock kernel a check that must fail there passes by failing, not by breaking.
tap_results() # PREFIX FS TAP LIST (name<TAB>rules<TAB>stock=...)
{
	local prefix=$1 fs=$2 tap=$3 list=$4 line name ok rules text failing= detail=
	local -A must_fail=() left=() rule=()
	local re='^(ok|not ok) [0-9]+ - ([^ ]+) ?(.*)$'

	while IFS=$'\t' read -r name rules text _; do
		left[$name]=1
		rule[$name]=$rules
		[[ $flavour != stock || $text != stock=fail ]] || must_fail[$name]=1
	done <"$list"
	while IFS= read -r line || [[ $line ]]; do
		if [[ ! $line =~ $re ]]; then
			detail+=$line$'\n'
			continue
		fi
		ok=${BASH_REMATCH[1]} name=${BASH_REMATCH[2]} text=${BASH_REMATCH[3]}
		if [[ $failing ]]; then
			fail "$prefix.$failing" <<<"$detail"
		fi
		failing= detail=
		[[ ${left[$name]-} ]] || continue
		unset "left[$name]"
		if [[ $text == *"# SKIP"* ]]; then
			skip "$prefix.$name" "${text##*# SKIP }"
			rule_result "$name" skip
		elif [[ $text == *"# BROKEN"* ]]; then
			failing=$name
			rule_result "$name" broken
		elif [[ ${must_fail[$name]-} && $ok == ok ]]; then
			fail "$prefix.$name" <<<"passes on the stock kernel: it proves nothing"
			rule_result "$name" fail
		elif [[ $ok == ok || ${must_fail[$name]-} ]]; then
			pass "$prefix.$name"
			rule_result "$name" pass
		else
			failing=$name
			rule_result "$name" fail
		fi
	done <"$tap"
	if [[ $failing ]]; then
		fail "$prefix.$failing" <<<"$detail"
	fi
	for name in "${!left[@]}"; do
		fail "$prefix.$name" <<<"did not run"
		rule_result "$name" broken
	done
}

# The log of a guest.  A check that has to fail on a stock kernel may do so because the kernel warns:
# the lines stand between its name and the next one's, and are shown with the results.  All others
# count.
stock_log_result() # NAME LIST... (name<TAB>rules<TAB>stock=...)
{
	local prefix=$1 line check= bad=
	local -A must_fail=() shown=()
	local re='conformance: ([^ ]+)$'

	shift
	while IFS=$'\t' read -r check _ line; do
		[[ $line != stock=fail ]] || must_fail[$check]=1
	done < <(cat "$@")
	check=
	while IFS= read -r line; do
		if [[ $line =~ $re ]]; then
			check=${BASH_REMATCH[1]}
		elif [[ ! ${must_fail[${check:-none}]-} ]]; then
			bad+="${check:-before the first check}: $line"$'\n'
		elif [[ ! ${shown[$check]-} && $line != *'cut here'* ]]; then
			shown[$check]=1
			echo "note $prefix.$check: fails with a kernel warning: ${line#*] }" >>"$log/results"
		fi
	done < <(tr -d '\r' <"$log/kernel.log" | grep -aE "$re|$dirty_pattern")
	if [[ $bad ]]; then
		fail "$prefix.kernel-log" <<<"$bad"
	else
		pass "$prefix.kernel-log"
	fi
}

# Conformance checks and litmus tests, all of a flavour and of some file systems in one guest.  What
# to run are the lists of the suite, KIND.FLAVOUR.PART: a part is a file system, or those tests of ext4
# where things happen at the same time.  Only these have two CPUs: when they take turns, two compute half as
# much again as one does, for they send each other interrupts and wait.  (Those of the stress run at the
# same time.)
checks_task() # NAME FLAVOUR PART...
{
	local name=$1 flavour kind part list status
	local -a lists=()

	guest_defaults
	flavour=$2 image=${images[$2]} limit=1200
	shift 2
	[[ $* == two-cpus ]] || smp=1
	for part; do
		for kind in conformance litmus; do
			list=$suite/$kind.$flavour.$part
			[[ -s $list ]] || continue
			lists+=("$list")
			cut -f 1 "$list" >"$PINVERBS_OUT/$kind.$part.names"
			echo "$kind $part ${part/#two-cpus/ext4}" >>"$PINVERBS_OUT/plan"
		done
	done
	boot "$lab/inside/checks" "$top" >"$log/stderr" 2>&1
	status=$?
	for list in "${lists[@]}"; do
		kind=${list##*/}
		checks_result "${kind%%.*}" "${list##*.}" "$list"
	done
	if ((status)); then
		{ echo "status $status" && tail -n 5 "$log/stderr"; } | fail "$name.guest"
	fi
	if [[ $flavour == stock ]]; then
		stock_log_result "$name" "${lists[@]}"
	else
		log_result "$name"
	fi
}

# What has to fail on the stock kernel is the control of the other results.  Like a mutant's verdict, its own is
# kept for a day as long as that kernel, the tests, their guests and what is installed here are what they
# were.  A run that names tests runs them.
control_task() # FUNCTION ARG...
{
	local kept new

	kept=$cache/control/$(control_key "$@")
	if ((${#patterns[@]} == 0)) && [[ $(find "$kept" -maxdepth 0 -mmin -1440 2>/dev/null) ]]; then
		cp "$kept"/* "$log/" || die "cannot write to $log: free space there"
		echo "note verdict of $(date -r "$kept" '+%H:%M') kept: the same kernel, tests and packages" >>"$log/results"
		return
	fi
	"$@" || return
	((${#patterns[@]} == 0)) && ! grep -q '^fail' "$log/results" || return 0
	new=$cache/control/.$BASHPID
	temporary+=("$new")
	mkdir -p "$new" && cp "$log/results" "$log/rules" "$new/" && rm -rf "$kept" && mv -T "$new" "$kept" &&
		prune "$cache/control" 30
}

control_key() # FUNCTION ARG...
{
	{
		echo "$* ${images[stock]} $accel"
		stat -c '%n %s %Y' "$(command -v qemu-system-x86_64)"
		dpkg-query -W
		grep '^CMAKE_\(BUILD_TYPE\|C_\)' "$top/build/CMakeCache.txt"
		cd "$top" && find CMakeLists.txt libpinverbs tests tools -type f ! -name '*.md' ! -name '*.pyc' -print0 |
			sort -z | xargs -0 sha256sum
	} | sha256sum | cut -c 1-24
}

checks_result() # KIND PART LIST; of checks_task
{
	local fs=${2/#two-cpus/ext4} out=$PINVERBS_OUT/$1.$2 prefix status

	prefix=$flavour.$fs
	[[ $1 != litmus ]] || prefix=$flavour.litmus
	: >>"$out.tap"
	tap_results "$prefix" "$fs" "$out.tap" "$3"
	status=$(cat "$out.status" 2>/dev/null || echo none)
	[[ $status == [01] ]] ||
		{ echo "status $status" && tail -n 5 "$out.stderr"; } 2>/dev/null | fail "$prefix.$1.end"
}

# Two guests: the litmus tests that need both, and the examples with their processes apart.
hosts2_task() # FLAVOUR PROGRAM.FS...
{
	local name=$1.hosts2 flavour=$1 list=$suite/litmus.$1.hosts2 pinrxe=$suite/pinrxe.$1.hosts2 status program

	guest_defaults
	flavour=$1 image=${images[$1]} hosts=2 smp=1 limit=600
	shift
	[[ ! -s $list ]] || cut -f 1 "$list" >"$PINVERBS_OUT/litmus.names"
	[[ ! -s $pinrxe ]] || cut -f 1 "$pinrxe" >"$PINVERBS_OUT/pinrxe.names"
	boot env PLUGIN="$top/build/$plugin" "$lab/inside/hosts2" "$top" "$@" >"$log/stderr" 2>&1
	status=$?
	if [[ -s $list ]]; then
		: >>"$PINVERBS_OUT/litmus.tap"
		tap_results "$flavour.litmus" "" "$PINVERBS_OUT/litmus.tap" "$list"
	fi
	if [[ -s $pinrxe ]]; then
		: >>"$PINVERBS_OUT/pinrxe.tap"
		tap_results provider.hosts2 "" "$PINVERBS_OUT/pinrxe.tap" "$pinrxe"
	fi
	for program; do
		if [[ $(sort -u "$PINVERBS_OUT/$program.status" 2>/dev/null) == 0 ]]; then
			pass "hosts2.$program"
		else
			tail -n 20 "$PINVERBS_OUT/$program".[01] 2>&1 | fail "hosts2.$program"
		fi
	done
	((status == 0)) || { echo "status $status" && tail -n 5 "$log/stderr"; } | fail "$name.guest"
	log_result "$name"
}

# Programs that test by themselves, several in one guest.
programs_task() # TASK FLAVOUR PROGRAM.FS...
{
	local task=$1 name word

	guest_defaults
	flavour=$2 image=${images[$2]} limit=1200
	if [[ $task == stress ]]; then
		parallel=1
	else
		smp=1
	fi
	shift 2
	boot "$lab/inside/programs" "$top" "$@" >"$log/stderr" 2>&1
	for name in "$@"; do
		word=$(sed -n "s/ $name\$//p" "$PINVERBS_OUT/status" 2>/dev/null)
		case $word in
		ok) pass "guest.$name" ;;
		skip) skip "guest.$name" "$(tail -n 1 "$PINVERBS_OUT/$name")" ;;
		fail) tail -n 30 "$PINVERBS_OUT/$name" | fail "guest.$name" ;;
		*) { echo "did not run" && tail -n 5 "$log/stderr"; } | fail "guest.$name" ;;
		esac
	done
	log_result "guest.$task"
}

# The example whose server is killed, and that finds its table in the next guest.
restart_task()
{
	local name=guest.kvstore-restart.xfs part

	guest_defaults
	flavour=test image=${images[test]} limit=300 smp=1 pmem=$log/pmem
	mkdir "$pmem"
	copy_pmem "$pmem"
	for part in put check; do
		boot "$top/examples/kvstore-restart" "$part" /mnt/xfs >"$log/$part" 2>&1 || {
			{ echo "$part:" && tail -n 20 "$log/$part"; } | fail "$name"
			break
		}
		mv "$log/kernel.log" "$log/kernel-$part.log"
	done
	[[ -s $log/results ]] || pass "$name"
	log_result guest.kvstore-restart
	rm -r "$pmem"
}

# The selftest that the series brings to the kernel, which needs no RDMA.
kselftest_task()
{
	local selftests=tools/testing/selftests fs version pristine program
	local -a patches

	guest_defaults
	flavour=test image=${images[test]} limit=300 smp=1
	source_version
	unpack_source
	series test
	scratch
	apply_series "$REPLY"
	program=$log/layout_lease_test
	cp "$pristine/$selftests"/kselftest{,_harness}.h "$REPLY/$selftests" &&
		await cc -D_GNU_SOURCE= -Wall -Werror -O2 -o "$program" \
			"$REPLY/$selftests/filesystems/layout_lease/layout_lease_test.c" >"$log/cc" 2>&1 || {
		fail guest.kselftest <"$log/cc"
		return
	}
	# shellcheck disable=SC2016
	boot sh -c 'for fs in xfs ext4; do LAYOUT_LEASE_DIR=/mnt/$fs "$0" >"$PINVERBS_OUT/$fs.tap"; done' \
		"$program" >"$log/stderr" 2>&1
	for fs in xfs ext4; do
		kselftest_results "guest.kselftest.$fs" "$PINVERBS_OUT/$fs.tap"
	done
	log_result guest.kselftest
}

# What a test says stands before its line; how many there are, in the first.
kselftest_results() # PREFIX TAP
{
	local line text='' n=0
	local re='^(ok|not ok) [0-9]+ [a-z_]+\.([a-z0-9_]+)( # SKIP (.*))?$'

	: >>"$2"
	while IFS= read -r line; do
		text+=$line$'\n'
		[[ $line =~ $re ]] || continue
		n=$((n + 1))
		if [[ ${BASH_REMATCH[3]} ]]; then
			skip "$1.${BASH_REMATCH[2]}" "${BASH_REMATCH[4]}"
		elif [[ ${BASH_REMATCH[1]} == ok ]]; then
			pass "$1.${BASH_REMATCH[2]}"
		else
			fail "$1.${BASH_REMATCH[2]}" <<<"$text"
		fi
		text=
	done <"$2"
	((n)) && grep -qx "1\.\.$n" "$2" || { echo "$n tests ended:" && cat "$2" "$log/stderr"; } | fail "$1"
}

# --- what there is to run

# Fills the lists of the guests' checks.  What passes on a stock kernel is run there on both file
# systems.  What has to fail there fails in its first step, because there is no lease to take: one
# file system shows that, XFS, or ext4 for what XFS does not have.  What needs no lease to fail, of the
# rules T4, T7 and D1, runs on both.
list_conformance()
{
	local name rules expect flavour fs part

	"$top/build/tests/conformance/conformance" --list >"$suite/list" ||
		die "conformance --list failed"
	for flavour in test stock; do
		while IFS=$'\t' read -r name rules expect; do
			for fs in xfs ext4; do
				selected "$flavour.$fs.$name" "$rules" || continue
				case $flavour.$expect.$fs.$name in
				stock.stock=race.*) continue ;;
				stock.stock=fail.xfs.*_ext4_* | stock.stock=fail.xfs.*_move_extents_* | \
					stock.stock=fail.xfs.*_swap_boot_*) continue ;;
				stock.stock=fail.ext4.*_ext4_* | stock.stock=fail.ext4.*_move_extents_* | \
					stock.stock=fail.ext4.*_swap_boot_* | stock.stock=fail.ext4.t[47]_* | \
					stock.stock=fail.ext4.d1_*) ;;
				stock.stock=fail.ext4.*) continue ;;
				esac
				part=$fs
				[[ $flavour.$fs.$name != test.ext4.*_@(against|under_traffic|while)* ]] ||
					part=two-cpus
				printf '%s\t%s\t%s\n' "$name" "$rules" "$expect" >>"$suite/conformance.$flavour.$part"
			done
		done <"$suite/list"
	done
}

list_litmus()
{
	local name rules expect tags flavour part

	"$top/build/tests/litmus/litmus" --list >"$suite/litmus" || die "litmus --list failed"
	for flavour in test stock; do
		while IFS=$'\t' read -r name rules expect tags; do
			[[ $flavour,$tags, != test,*,two-guests,* ]] || ! selected "provider.hosts2.$name" ||
				list_pinrxe "$name" "$rules" "$expect"
			selected "$flavour.litmus.$name" "$rules,$tags" || continue
			part=${name%%.*}
			[[ ! $flavour.$part,$tags, =~ ^test\.ext4,.*(traffic|race|many), ]] || part=two-cpus
			[[ ,$tags, != *,two-guests,* ]] || part=hosts2
			[[ ,$tags, != *,nfs,* ]] || part=dio
			# a stock kernel does not come as far as to the end of the guest
			[[ ! $flavour,$tags, =~ ^test,.*(power-cut|reboot), ]] || part=power-cut
			printf '%s\t%s\t%s\n' "$name" "$rules" "$expect" >>"$suite/litmus.$flavour.$part"
		done <"$suite/litmus"
	done
}

# The litmus tests of two guests once more; guest/litmus of tests/provider has the others.
list_pinrxe() # NAME RULES EXPECT
{
	if [[ -e $top/build/$plugin-rdmav34.so ]]; then
		printf '%s\t%s\t%s\n' "$@" >>"$suite/pinrxe.test.hosts2"
	else
		skip "provider.hosts2.$1" "built without rdma-core source: $no_rdma_core"
	fi
}

# One guest for each part, and for both file systems of the stock kernel, where little runs to its end.
plan_checks()
{
	local part

	for part in xfs ext4 two-cpus; do
		[[ -s $suite/conformance.test.$part || -s $suite/litmus.test.$part ]] || continue
		guest_task test "test.$part" checks_task "test.$part" test "$part"
	done
	if compgen -G "$suite/*.stock.xfs" >/dev/null || compgen -G "$suite/*.stock.ext4" >/dev/null; then
		guest_task stock stock control_task checks_task stock stock xfs ext4
	fi
}

plan_hosts2()
{
	local name
	local -a names=()

	for name in filelog.xfs filelog.ext4 examples.xfs; do
		! selected "hosts2.$name" || names+=("$name")
	done
	if [[ -s $suite/litmus.test.hosts2 || -s $suite/pinrxe.test.hosts2 || ${names[*]-} ]]; then
		guest_task test test.hosts2 hosts2_task test "${names[@]}"
	fi
	[[ ! -s $suite/litmus.stock.hosts2 ]] || guest_task stock stock.hosts2 control_task hosts2_task stock
}

plan_power_cut()
{
	[[ ! -s $suite/litmus.test.power-cut ]] || guest_task power-cut test.power-cut power_cut_task
}

# One guest for each file system, and one for the stress and a race of a few instructions, whose CPUs really run
# at the same time.
plan_programs()
{
	local name fs systems
	local -a ext4=() xfs=() stress=() stock=()

	while IFS=$'\t' read -r name systems _; do
		for fs in ${systems#stock }; do
			selected "guest.$name.$fs" || continue
			if [[ $systems == stock\ * ]]; then
				stock+=("$name.$fs")
			elif [[ $name == @(stress|close-race) ]]; then
				stress+=("$name.$fs")
			elif [[ $fs == xfs ]]; then
				xfs+=("$name.$fs")
			else
				ext4+=("$name.$fs")
			fi
		done
	done < <(sed '/^#/d' "$lab/guest-programs")
	((${#ext4[@]} == 0)) || guest_task test programs.ext4 programs_task programs.ext4 test "${ext4[@]}"
	((${#xfs[@]} == 0)) || guest_task test programs.xfs programs_task programs.xfs test "${xfs[@]}"
	! selected guest.kvstore-restart.xfs || guest_task test guest.kvstore-restart restart_task
	! selected guest.kselftest.xfs.ext4 || guest_task test guest.kselftest kselftest_task
	((${#stock[@]} == 0)) || guest_task stock programs.stock programs_task programs.stock stock "${stock[@]}"
	((${#stress[@]} == 0)) || guest_task test stress programs_task stress test "${stress[@]}"
}

# A task that wants the kernel of a flavour.
guest_task() # FLAVOUR NAME FUNCTION ARG...
{
	images[$1]=wanted
	shift
	task "$@"
}

# The longest first.
plan()
{
	local name
	local -a names=()

	list_conformance
	list_litmus
	plan_checks
	plan_dio
	plan_provider
	plan_programs
	plan_hosts2
	plan_power_cut
	while read -r name; do
		! selected "$name" || names+=("$name")
	done < <(ctest --test-dir "$top/build" -N | sed -n 's/^ *Test *#[0-9]*: //p')
	((${#names[@]} == 0)) || task unit unit_task "${names[@]}"
	! selected packages.build.lintian.install.program.upgrade.remove || task packages packages_task
	! selected series.apply.checkpatch || task series series_task
	for name in "$lab"/self/*; do
		selected "lab.${name##*/}" || continue
		guest_task stock "lab.${name##*/}" self_task "${name##*/}"
	done
	! selected shellcheck || task shellcheck shell_task
}

# What the tests say about each rule, on a terminal with the bad cells in red.
rule_table()
{
	compgen -G "$suite/*/rules" >/dev/null || return 0
	cat "$suite"/*/rules >"$suite/rules.tsv"
	"$top/build/tests/litmus/litmus" --table "$suite/rules.tsv" >"$suite/rules.txt"
	((${#patterns[@]})) || "$top/build/tests/litmus/litmus" --table "$suite/rules.tsv"
}

# Lines that the series adds and no guest ran; not those of tests, which run at boot or not at all.
coverage_report()
{
	local pristine version
	local -a patches files

	source_version
	unpack_source
	series coverage
	mapfile -t files < <(touched_files "${patches[@]}" | grep '\.[ch]$' | grep -v '^tools/\|test')
	"$lab/coverage.py" "$pristine" "$cache/build/coverage" "$suite" "${files[@]}" \
		>"$suite/coverage.txt" 2>"$suite/coverage.err" ||
		die "no report of lines: $(tail -n 1 "$suite/coverage.err") (log: $suite/coverage.err)"
	cat "$suite/coverage.txt"
}

# What the tasks share is made before they start.
prepare_tasks()
{
	local f

	# in this order, for some start from the objects of one before
	for f in demo-stock stock demo test power-cut "${!images[@]}"; do
		[[ ${images[$f]-} == wanted ]] || continue
		kernel "${f/#test/"$checking"}"
		images[$f]=$image
	done
	((${#images[@]})) || return 0
	[[ $checking != coverage || ! ${images[test]-} || -e $cache/build/coverage/vmlinux ]] ||
		die "the coverage kernel was built elsewhere: remove ${images[test]%/*} to build it here"
	tools
	accelerator
	disks
}

test_main()
{
	local suite begin p

	while [[ ${1-} == -* ]]; do
		[[ $1 == --kernel ]] || usage_error "unknown option $1"
		[[ ${2-} == @(test|kasan|coverage) ]] ||
			usage_error "test --kernel takes test, kasan or coverage, not '${2-}'"
		checking=$2
		shift 2
	done
	for p; do
		[[ $p != -* ]] || usage_error "unknown option $p"
		[[ $p ]] || usage_error "an empty pattern"
	done
	patterns=("$@")
	install_packages test
	build_programs
	new_run
	prune_runs
	suite=$log
	all_kernel_args=$without_enumerations
	plan
	for p in "${patterns[@]}"; do
		[[ ${matched[$p]-} ]] || die "no test matches $p"
	done
	((${#queue[@]})) || die "no test to run"
	prepare_tasks
	run_tasks
	rule_table
	[[ $checking != coverage ]] || coverage_report
	say "logs and results: $suite"
	say "$cpu s of CPU in $(elapsed "$begin")"
	echo "$passed passed, $failures failed, $skipped skipped"
	((failures == 0 && passed > 0))
}
