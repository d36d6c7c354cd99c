# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# ./pinverbs test: tasks run side by side, as many as there are CPUs.  Each has a folder of its
# own, $log, and writes its results with pass, fail and skip.  A task that ends without a result,
# or a guest without a status, has failed.

# Runs once for every caller of this clone: the programs, with what is new in them.
build_programs()
{
	local out=$cache/build/programs-$(echo "$top" | sha256sum | cut -c 1-12).log

	lock "programs-$(echo "$top" | sha256sum | cut -c 1-12)" "builds the programs of this clone"
	provider_options
	progress "building the programs"
	if [[ ! -e $top/build/CMakeCache.txt ]] || ! configured_as "${provider_cmake[@]}"; then
		await cmake -S "$top" -B "$top/build" -G Ninja "${provider_cmake[@]}" >"$out" 2>&1 ||
			programs_failed "$out"
	fi
	await cmake --build "$top/build" >"$out" 2>&1 || programs_failed "$out"
	clear_progress
	unlock "programs-$(echo "$top" | sha256sum | cut -c 1-12)"
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
selected() # NAME [RULES]
{
	local p

	((${#patterns[@]})) || return 0
	for p in "${patterns[@]}"; do
		# shellcheck disable=SC2053
		if [[ $1 == *"$p"* || $1 == $p || ",${2-}," == *",$p,"* ]]; then
			return 0
		fi
	done
	return 1
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
passed=0 failures=0 skipped=0

task() { queue+=("$*"); }

start_task() # NAME FUNCTION ARG...
{
	local name=$1

	shift
	mkdir "$log/$name"
	(
		own_cleanup
		log=$log/$name
		mkdir "$log/out"
		chmod 1777 "$log/out"
		PINVERBS_OUT=$log/out
		: >"$log/results"
		"$@"
	) </dev/null >"$log/$name/output" 2>&1 &
	running[$!]=$name
	children[$!]=1
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
	echo "$name: $p passed, $f failed, $s skipped ($(elapsed "$begin"))"
	passed=$((passed + p)) failures=$((failures + f)) skipped=$((skipped + s))
}

run_tasks()
{
	local pid status begin=$SECONDS
	local -a words

	while ((${#queue[@]} + ${#running[@]})); do
		while ((${#queue[@]} && ${#running[@]} < jobs)); do
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
	await ctest --test-dir "$top/build" --output-on-failure --timeout 120 \
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
	local file
	local -a scripts=()

	# every file of the project with a shell's first line
	while IFS= read -r -d '' file; do
		! head -n 1 "$file" | grep -qaE '^#!/bin/(ba)?sh' || scripts+=("$file")
	done < <(find "$top" -path "$top/build" -prune -o -path "$top/.git" -prune -o -type f -print0)
	if await shellcheck -x -P "$top" -P "$lab" "${scripts[@]}" >"$log/shellcheck" 2>&1; then
		pass shellcheck
	else
		fail shellcheck <"$log/shellcheck"
	fi
}

series_task()
{
	local name word rest

	await "$top/kernel-patches/check" >"$log/check" 2>&1
	while read -r word name rest; do
		case $word in
		ok) pass "series.$name" ;;
		skip) skip "series.$name" "$rest" ;;
		FAIL) sed -n "/^FAIL ${name//\//\\/}\$/,/^\(ok\|FAIL\|skip\) /p" "$log/check" | grep '^ ' | fail "series.$name" ;;
		esac
	done < <(grep -E '^(ok|FAIL|skip) ' "$log/check")
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

# The log of a stock guest.  A check that has to fail there may do so because the kernel warns: its
# lines stand between its name and the next one's, and are shown with the results.  All others count.
stock_log_result() # NAME LIST (name<TAB>rules<TAB>stock=...)
{
	local line check= bad=
	local -A must_fail=() shown=()
	local re='conformance: ([a-z0-9_]+)'

	while IFS=$'\t' read -r check _ line; do
		[[ $line != stock=fail ]] || must_fail[$check]=1
	done <"$2"
	check=
	while IFS= read -r line; do
		if [[ $line =~ $re ]]; then
			check=${BASH_REMATCH[1]}
		elif [[ ! ${must_fail[${check:-none}]-} ]]; then
			bad+="${check:-before the first check}: $line"$'\n'
		elif [[ ! ${shown[$check]-} && $line != *'cut here'* ]]; then
			shown[$check]=1
			echo "note $1.$check: fails with a kernel warning: ${line#*] }" >>"$log/results"
		fi
	done < <(grep -a -hE "$re|$dirty_pattern" "$log/kernel.log" | tr -d '\r')
	if [[ $bad ]]; then
		fail "$1.kernel-log" <<<"$bad"
	else
		pass "$1.kernel-log"
	fi
}

conformance_task() # FLAVOUR FS
{
	local prefix=$1.$2 list=$suite/list.$1.$2 status
	local -a names=()

	guest_defaults
	flavour=$1 image=${images[$1]} limit=900
	# all checks need no names
	cmp -s "$list" "$suite/list" || mapfile -t names < <(cut -f 1 "$list")
	boot "$top/build/tests/conformance/conformance" --dir "/mnt/$2" "${names[@]}" \
		>"$log/tap" 2>"$log/stderr"
	status=$?
	tap_results "$prefix" "$2" "$log/tap" "$list"
	if [[ $failed ]] || ((status > 1)); then
		{ echo "status $status" && tail -n 5 "$log/stderr"; } | fail "$prefix.guest"
	fi
	if [[ $1 == stock ]]; then
		stock_log_result "$prefix" "$suite/list"
	else
		log_result "$prefix"
	fi
}

litmus_task() # FLAVOUR xfs|ext4|hosts2
{
	local prefix=$1.litmus list=$suite/litmus.$1.$2 status
	local -a names

	guest_defaults
	flavour=$1 image=${images[$1]} limit=900
	[[ $2 != hosts2 ]] || hosts=2
	mapfile -t names < <(cut -f 1 "$list")
	boot "$top/build/tests/litmus/litmus" --junit "$PINVERBS_OUT/junit.xml" "${names[@]}" \
		>"$log/tap" 2>"$log/stderr"
	status=$?
	tap_results "$prefix" "" "$log/tap" "$list"
	if [[ $failed ]] || ((status > 1)); then
		{ echo "status $status" && tail -n 5 "$log/stderr"; } | fail "$prefix.$2.guest"
	fi
	log_result "$prefix.$2"
}

# A program of examples/ with the script in tests/lab/inside that runs it.
example_task() # NAME HOSTS FS
{
	guest_defaults
	image=${images[test]} hosts=$2 limit=120
	if boot "$lab/inside/$1" "$top/build/examples" "/mnt/$3" >"$log/example" 2>&1; then
		pass "example.$1.$3.hosts$2"
	else
		tail -n 20 "$log/example" | fail "example.$1.$3.hosts$2"
	fi
	log_result "example.$1.$3.hosts$2"
}

# Programs that test by themselves, all in one guest.
programs_task() # NAME...
{
	local name fs word

	guest_defaults
	image=${images[test]}
	boot "$lab/inside/programs" "$top" "$@" >"$log/stderr" 2>&1
	for name in "$@"; do
		for fs in xfs ext4; do
			word=$(sed -n "s/ $name\.$fs\$//p" "$PINVERBS_OUT/status" 2>/dev/null)
			case $word in
			ok) pass "guest.$name.$fs" ;;
			fail) tail -n 30 "$PINVERBS_OUT/$name.$fs" | fail "guest.$name.$fs" ;;
			*) { echo "did not run" && tail -n 5 "$log/stderr"; } | fail "guest.$name.$fs" ;;
			esac
		done
	done
	log_result guest.programs
}

# --- what there is to run

plan_conformance()
{
	local name rules expect flavour fs

	"$top/build/tests/conformance/conformance" --list >"$suite/list" ||
		die "conformance --list failed"
	for fs in xfs ext4; do
		for flavour in test stock; do
			while IFS=$'\t' read -r name rules expect; do
				! selected "$flavour.$fs.$name" "$rules" ||
					printf '%s\t%s\t%s\n' "$name" "$rules" "$expect"
			done <"$suite/list" >"$suite/list.$flavour.$fs"
			[[ -s $suite/list.$flavour.$fs ]] || continue
			task "$flavour.$fs" conformance_task "$flavour" "$fs"
			images[$flavour]=wanted
		done
	done
}

plan_litmus()
{
	local name rules expect tags flavour part

	"$top/build/tests/litmus/litmus" --list >"$suite/litmus" || die "litmus --list failed"
	for flavour in test stock; do
		while IFS=$'\t' read -r name rules expect tags; do
			selected "$flavour.litmus.$name" "$rules,$tags" || continue
			part=${name%%.*}
			[[ ,$tags, != *,two-guests,* ]] || part=hosts2
			printf '%s\t%s\t%s\n' "$name" "$rules" "$expect" >>"$suite/litmus.$flavour.$part"
		done <"$suite/litmus"
		for part in xfs ext4 hosts2; do
			[[ -s $suite/litmus.$flavour.$part ]] || continue
			task "$flavour.litmus.$part" litmus_task "$flavour" "$part"
			images[$flavour]=wanted
		done
	done
}

# What the tests say about each rule, on a terminal with the bad cells in red.
rule_table()
{
	compgen -G "$suite/*/rules" >/dev/null || return 0
	cat "$suite"/*/rules >"$suite/rules.tsv"
	"$top/build/tests/litmus/litmus" --table "$suite/rules.tsv" >"$suite/rules.txt"
	((${#patterns[@]})) || "$top/build/tests/litmus/litmus" --table "$suite/rules.tsv"
}

plan()
{
	local name hosts fs
	local -a names=()

	plan_conformance
	plan_litmus
	plan_provider
	for fs in xfs ext4; do
		for hosts in 1 2; do
			selected "example.filelog.$fs.hosts$hosts" || continue
			task "filelog.$fs.hosts$hosts" example_task filelog "$hosts" "$fs"
			images[test]=wanted
		done
	done
	while read -r name; do
		! selected "guest.$name" || names+=("$name")
	done < <(sed -n '/^#/d; s/\t.*//p' "$lab/guest-programs")
	if ((${#names[@]})); then
		task programs programs_task "${names[@]}"
		images[test]=wanted
	fi
	for name in "$lab"/self/*; do
		selected "lab.${name##*/}" || continue
		task "lab.${name##*/}" self_task "${name##*/}"
		images[stock]=wanted
	done
	names=()
	while read -r name; do
		! selected "$name" || names+=("$name")
	done < <(ctest --test-dir "$top/build" -N | sed -n 's/^ *Test *#[0-9]*: //p')
	((${#names[@]} == 0)) || task unit unit_task "${names[@]}"
	! selected shellcheck || task shellcheck shell_task
	! selected series.apply.checkpatch || task series series_task
}

# What the tasks share is made before they start.
prepare_tasks()
{
	local f

	for f in demo-stock demo stock bench test; do
		[[ ${images[$f]-} ]] || continue
		kernel "$f"
		images[$f]=$image
	done
	((${#images[@]})) || return 0
	tools
	accelerator
	disks
}

test_main()
{
	local suite

	[[ ${1-} != -* ]] || usage_error "unknown option $1"
	patterns=("$@")
	install_packages
	build_programs
	new_run
	prune "$cache/runs" 60
	suite=$log
	plan
	((${#queue[@]})) || die "no test matches ${patterns[*]}"
	prepare_tasks
	run_tasks
	rule_table
	say "logs and results: $suite"
	echo "$passed passed, $failures failed, $skipped skipped"
	((failures == 0 && passed > 0))
}
