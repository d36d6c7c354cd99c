# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# Messages, clean-up, locks and long steps: what every part of ./pinverbs uses.

# What other programs say is read, in English.  The command of a guest gets what the caller had, from env.
caller_locale=(-u LC_ALL -u LANGUAGE)
[[ ! ${LC_ALL+set} ]] || caller_locale+=("LC_ALL=$LC_ALL")
[[ ! ${LANGUAGE+set} ]] || caller_locale+=("LANGUAGE=$LANGUAGE")
unset LANGUAGE
export LC_ALL=C.UTF-8

# Exit status of a failure of the lab itself; "run" makes it 125, out of the command's way.
FAIL=1

say() { echo "pinverbs: $*" >&2; }

die()
{
	clear_progress
	say "$*"
	exit "$FAIL"
}

usage_error()
{
	say "$* (see ./pinverbs help)"
	exit 2
}

# --- clean-up: no process and no temporary file stays, whatever ends the script

declare -A children=()		# pid -> 1; each leads its own process group
declare -a temporary=()

cleanup()
{
	local pid tries

	trap '' INT TERM HUP
	for pid in "${!children[@]}"; do
		kill -TERM -- "-$pid" "$pid" 2>/dev/null
	done
	for pid in "${!children[@]}"; do
		wait "$pid" 2>/dev/null
	done
	# what they started cleans up too, compilers or another pinverbs, and does not stay
	for pid in "${!children[@]}"; do
		for ((tries = 0; tries < 100; tries++)); do
			kill -0 -- "-$pid" 2>/dev/null || continue 2
			sleep 0.1
		done
		kill -KILL -- "-$pid" 2>/dev/null
	done
	if ((${#temporary[@]})); then
		rm -rf -- "${temporary[@]}"
	fi
}

stop() # SIGNAL-NUMBER
{
	clear_progress
	exit $((128 + $1))
}

# At the start of the script, and of a subshell that starts processes or makes files.
own_cleanup()
{
	children=()
	temporary=()
	trap cleanup EXIT
	trap 'stop 2' INT
	trap 'stop 15' TERM
	trap 'stop 1' HUP
}
own_cleanup

# Runs a long command so that a signal is acted on at once, and ends it with this script.
await()
{
	local pid status

	setsid setpriv --pdeathsig TERM "$@" </dev/null &
	pid=$!
	children[$pid]=1
	wait "$pid"
	status=$?
	unset "children[$pid]"
	return "$status"
}

scratch() # sets REPLY to a new folder that goes with this script
{
	REPLY=$(mktemp -d /tmp/pinverbs.XXXXXX) ||
		die "cannot make a folder in /tmp: free space there"
	temporary+=("$REPLY")
}

# --- progress of a long step: one changing line on a terminal, else a line every 10 seconds

progress_shown=0
progress_line=

progress() # TEXT
{
	if [[ -t 2 ]]; then
		printf '\rpinverbs: %s\e[K' "$1" >&2
		progress_line=1
	elif ((SECONDS >= progress_shown + 10)); then
		say "$1"
		progress_shown=$SECONDS
	fi
}

clear_progress()
{
	if [[ $progress_line ]]; then
		printf '\r\e[K' >&2
		progress_line=
	fi
}

# --- the cache, shared by all clones of a user

prepare_cache()
{
	local base=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}

	[[ $base == /* ]] ||
		die "no cache folder: set HOME or XDG_CACHE_HOME to an absolute path"
	cache=$base/pinverbs
	mkdir -p "$cache"/{locks,src,build,kernels,tools,disks,runs} 2>/dev/null &&
		[[ -w $cache && -w $cache/locks && -w $cache/runs && (! -e $cache/locks/cache || -w $cache/locks/cache) ]] ||
		die "cannot write to $cache: make it writable or set XDG_CACHE_HOME"
	# held until this script ends: "clean" waits for nobody, it refuses
	exec {cache_lock}>>"$cache/locks/cache"
	flock -s -n "$cache_lock" ||
		die "another pinverbs is cleaning $cache: wait for it to end"
}

# Holds a lock until unlock or the end of the script.  NAME also names the file.
declare -A locks=()

lock() # NAME WHAT-THE-OTHER-DOES
{
	local fd

	exec {fd}>>"$cache/locks/$1"
	locks[$1]=$fd
	if ! flock -n "$fd"; then
		say "waiting for another pinverbs that $2"
		await flock "$fd"
	fi
}

unlock() # NAME
{
	local fd=${locks[$1]}

	exec {fd}>&-
	unset "locks[$1]"
}

need_space() # MIB FOLDER WHAT
{
	local have

	have=$(df --output=avail -BM -- "$2" 2>/dev/null | tail -n 1 | tr -dc 0-9)
	[[ -z $have ]] || ((have >= $1)) ||
		die "no disk space: $3 needs $1 MiB in $2, which has $have: free some or set XDG_CACHE_HOME"
}

# Was that the cause of a failed step?  Its log may not have fitted either, so try.
no_space_in() # LOG [FOLDER]
{
	local probe=${2:-$cache}/.probe.$$ status

	! grep -q 'No space left on device' "$1" 2>/dev/null || return 0
	head -c 1M /dev/zero 2>/dev/null >"$probe"
	status=$?
	rm -f "$probe"
	((status))
}

# Keeps the newest COUNT entries of a folder.
prune() # FOLDER COUNT
{
	local -a old

	mapfile -t old < <(cd "$1" && ls -1t 2>/dev/null | tail -n +"$(($2 + 1))")
	((${#old[@]} == 0)) || (cd "$1" && rm -rf -- "${old[@]}")
}

# Logs of runs, but not of one that goes on: its process is the end of the name.
prune_runs()
{
	local -a old
	local name pid

	mapfile -t old < <(cd "$cache/runs" && ls -1t 2>/dev/null | tail -n +61)
	for name in "${old[@]}"; do
		pid=${name##*-}
		[[ -e /proc/${pid%%+*} ]] || rm -rf -- "$cache/runs/$name"
	done
}

elapsed() # SECONDS-AT-START: prints m:ss
{
	local s=$((SECONDS - $1))

	printf '%d:%02d' $((s / 60)) $((s % 60))
}
