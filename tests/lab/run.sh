# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# ./pinverbs run and ./pinverbs shell

number() # OPTION VALUE MIN MAX
{
	[[ $2 =~ ^[0-9]{1,7}$ ]] && ((10#$2 >= $3 && 10#$2 <= $4)) ||
		usage_error "$1 takes a number from $3 to $4, not '$2'"
}

# Parses the options of run and shell into the settings of guest_defaults; the rest is in command.
parse_guest_options()
{
	local option value

	command=()
	while (($#)); do
		option=$1
		case $option in
		--)
			shift
			command=("$@")
			return
			;;
		--icount)
			icount=1
			shift
			continue
			;;
		--in-turn)
			parallel=
			shift
			continue
			;;
		--*=*)
			value=${option#*=}
			option=${option%%=*}
			shift
			;;
		--kernel | --timeout | --net | --smp | --mem | --hosts | --pmem)
			(($# > 1)) || usage_error "$option needs a value"
			value=$2
			shift 2
			;;
		-*) usage_error "unknown option $option" ;;
		*)
			command=("$@")
			return
			;;
		esac
		guest_option "$option" "$value"
	done
}

guest_option() # OPTION VALUE
{
	case $1 in
	--kernel)
		if [[ $2 == */* ]]; then
			[[ -f $2 && -r $2 ]] || usage_error "--kernel: cannot read the image $2"
			image=$(realpath "$2")
			flavour=own
		else
			is_flavour "$2" ||
				usage_error "--kernel takes one of ${flavours[*]} or an image's path, not '$2'"
			flavour=$2
		fi
		;;
	--timeout) number "$@" 0 9999999 && limit=$((10#$2)) ;;
	--net)
		[[ $2 == veth || $2 == lo ]] || usage_error "--net takes veth or lo, not '$2'"
		net=$2
		;;
	--smp) number "$@" 1 8 && smp=$((10#$2)) smp_given=1 ;;
	--mem) number "$@" 512 65536 && mem=$((10#$2)) mem_given=1 ;;
	--hosts) number "$@" 1 2 && hosts=$2 ;;
	--icount | --in-turn) usage_error "$1 takes no value, not '$2'" ;;
	--pmem) [[ $2 ]] || usage_error "--pmem takes a folder" && pmem=$2 ;;
	*) usage_error "unknown option $1" ;;
	esac
}

check_guest_options()
{
	if [[ $icount ]]; then
		[[ -z ${smp_given-} || $smp == 1 ]] || usage_error "--icount counts one CPU's instructions: no --smp"
		smp=1
	fi
	[[ $flavour != kasan || ${mem_given-} ]] || mem=3072
	[[ -z $pmem || $hosts == 1 ]] || usage_error "--pmem belongs to one guest: no --hosts 2"
}

# Everything a guest of the given flavour needs.
prepare_guest()
{
	install_packages
	[[ $flavour == own ]] || kernel "$flavour"
	tools
	accelerator
	disks
	[[ -z $pmem ]] || keep_pmem
}

# --pmem FOLDER: persistent memory that outlives the guest.
keep_pmem()
{
	mkdir -p "$pmem" 2>/dev/null || die "cannot make the folder $pmem"
	rmdir "$(mktemp -d "$pmem/.probe.XXXXXX" 2>/dev/null)" 2>/dev/null || die "cannot write to the folder $pmem: make it writable or name another"
	pmem=$(cd "$pmem" && pwd -P)
	# held as long as the guest runs
	exec {pmem_lock}<"$pmem"
	flock -n "$pmem_lock" || die "another pinverbs uses $pmem: wait for it to end, or name another folder"
	copy_pmem "$pmem"
}

own_out()
{
	new_run
	prune_runs
	if [[ ${PINVERBS_OUT-} ]]; then
		mkdir -p "$PINVERBS_OUT" 2>/dev/null && PINVERBS_OUT=$(cd "$PINVERBS_OUT" && pwd -P) ||
			die "PINVERBS_OUT: cannot use the folder $PINVERBS_OUT"
		# of these the guest has its own
		[[ $PINVERBS_OUT/ != /@(dev|proc|run|sys)/* ]] ||
			die "PINVERBS_OUT: the guest has a ${PINVERBS_OUT:0:4}… of its own: name a folder elsewhere"
	else
		PINVERBS_OUT=$log/out
	fi
}

run_main()
{
	local status command smp_given mem_given

	FAIL=125
	guest_defaults
	parallel=1
	parse_guest_options "$@"
	((${#command[@]})) || usage_error "run: no command: ./pinverbs run [options] -- CMD ARG..."
	check_guest_options
	prepare_guest
	own_out
	printf '%q ' "${command[@]}" >"$log/command"
	boot "${command[@]}"
	status=$?
	say "PINVERBS_OUT is $PINVERBS_OUT (kernel log: $log/kernel.log)"
	# of a guest that died, one line has been said already
	if [[ -z $failed ]] && ! clean_logs && ((status == 0)); then
		status=125
	fi
	exit "$status"
}

shell_main()
{
	local command smp_given mem_given

	FAIL=125
	guest_defaults
	limit=0 parallel=1
	parse_guest_options "$@"
	((${#command[@]} == 0)) || usage_error "shell takes no command: use run"
	[[ -t 0 && -t 1 ]] || die "shell needs a terminal: use ./pinverbs run -- CMD"
	((hosts == 1)) || usage_error "shell has one guest: no --hosts 2"
	check_guest_options
	terminal=1
	prepare_guest
	own_out
	say "shell in the guest, $flavour kernel; exit or Ctrl-] ends it"
	boot "${SHELL:-/bin/bash}"
	status=$?
	clean_logs
	say "PINVERBS_OUT is $PINVERBS_OUT (kernel log: $log/kernel.log)"
	exit "$status"
}
