# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# Guests: the three small programs, the disks, QEMU, and what became of the command.

# The programs that set the guest up, carry a command into it and its output and status out, and the files
# that guests get a copy of; made once.
tools() # sets tools
{
	local key new log
	local -a hot

	hot_files
	key=$({ cat "$lab"/*.[ch] && stat -c '%f %u %g %Y %s %N' "${hot[@]}"; } | sha256sum | cut -c 1-24)
	tools=$cache/tools/$key
	if [[ -d $tools ]]; then
		touch -c "$tools"
		return
	fi
	new=$cache/tools/.$key.$$
	log=$cache/tools/build.log
	temporary+=("$new")
	mkdir "$new" || die "cannot write to $cache/tools: free space there"
	if ! cc -O2 -o "$new/lab-host" "$lab/host.c" >"$log" 2>&1 ||
		! cc -O2 -o "$new/lab-tsc" "$lab/tsc.c" >>"$log" 2>&1 ||
		! cc -O2 -static -o "$new/lab-guest" "$lab/guest.c" >>"$log" 2>&1 ||
		! cc -O2 -static -o "$new/lab-init" "$lab"/{init,network,netlink}.c >>"$log" 2>&1; then
		die "cannot compile tests/lab: $(grep -m 1 -E 'error|cannot|No space' "$log") (log: $log)"
	fi
	initramfs "$new/lab-init" >"$new/initramfs" || die "cannot write to $cache/tools: free space there"
	# another one may have been faster
	mv -T "$new" "$tools" 2>/dev/null || [[ -d $tools ]] || die "cannot write to $cache/tools"
	prune "$cache/tools" 16
}

# The files of the list, what those that are links point to, and the folders that they are in.
hot_files() # sets hot
{
	local file dir
	local -a found
	local -A all=()

	mapfile -t found < <(shopt -s nullglob && sed '/^#/d' "$lab/hot-files" | while read -r file; do
		# shellcheck disable=SC2086
		printf '%s\n' $file
	done)
	mapfile -t -O ${#found[@]} found < <(realpath -e -- "${found[@]}" 2>/dev/null)
	for file in "${found[@]}"; do
		[[ -L $file || (-f $file && -r $file) ]] || continue
		all[$file]=1
		for ((dir = ${#file}; dir > 0; dir--)); do
			[[ ${file:dir:1} != / ]] || all[${file:0:dir}]=1
		done
	done
	# folders before what is in them
	mapfile -t hot < <(printf '%s\n' "${!all[@]}" | LC_ALL=C sort)
}

# An archive in cpio's "newc" form, which the kernel unpacks into memory: process 1, and the hot files in a folder
# of their own.
initramfs() # LAB-INIT
{
	local name mode uid gid mtime size file

	for name in dev proc sys host mnt hot; do
		archive_member "$name" 0x41ed 0 0 0 0 || return
	done
	archive_member dev/console 0x2180 0 0 0 0 5 1 &&
		archive_member init 0x81ed 0 0 0 "$(stat -c %s "$1")" && archive_data "$1" || return
	while read -r mode uid gid mtime size file; do
		case $mode in
		a*)
			name=$(readlink "$file") &&
				archive_member "hot$file" "0x$mode" "$uid" "$gid" "$mtime" "${#name}" &&
				printf '%s' "$name" && pad "${#name}"
			;;
		4*) archive_member "hot$file" "0x$mode" "$uid" "$gid" "$mtime" 0 ;;
		*)
			archive_member "hot$file" "0x$mode" "$uid" "$gid" "$mtime" "$size" &&
				archive_data "$file"
			;;
		esac || return
	done < <(stat -c '%f %u %g %Y %s %n' "${hot[@]}")
	archive_member 'TRAILER!!!' 0 0 0 0 0
}

archive_member() # NAME MODE UID GID MTIME SIZE [MAJOR MINOR]
{
	archived=$((${archived-0} + 1))
	# inode, mode, owner, group, links, time, size, device of the archive, device, length of the name
	printf '070701' &&
		printf '%08X' "$archived" "$2" "$3" "$4" 1 "$5" "$6" 0 0 "${7-0}" "${8-0}" $((${#1} + 1)) 0 &&
		printf '%s\0' "$1" &&
		pad $((110 + ${#1} + 1))
}

archive_data() # FILE
{
	cat "$1" && pad "$(stat -c %s "$1")"
}

pad() { head -c $((-$1 & 3)) /dev/zero; } # LENGTH; to a multiple of four

# --- acceleration: /dev/kvm may exist and yet run nothing, so a kernel has to boot once

accelerator() # sets accel to kvm or tcg, and emulated_args, for the kernel below tcg; needs tools
{
	local verdict boot khz

	accel=tcg
	# Without a frequency the guest measures for itself, wrongly on a busy machine, and with one CPU nothing
	# contradicts it: then it has to take a clock that costs a device access for each reading.  So it has where
	# this machine's kernel does not trust the counter.
	emulated_args=tsc=unstable
	if grep -qw tsc /sys/devices/system/clocksource/clocksource0/available_clocksource 2>/dev/null; then
		khz=$("$tools/lab-tsc")
		emulated_args=${khz:+tsc=reliable tsc_early_khz=$khz}
		emulated_args=${emulated_args:-tsc=unstable}
	fi
	# ticks come too late for the look whether the timer works
	emulated_args+=" no_timer_check"
	# QEMU before 8.0 keeps what it has translated by the address at which it ran: programs and libraries that
	# are elsewhere each time are translated each time, half of what it takes to start one
	emulated_args+=" norandmaps"
	[[ -r /dev/kvm && -w /dev/kvm && -z ${PINVERBS_TCG-} ]] || return 0
	boot=$(</proc/sys/kernel/random/boot_id)
	verdict=$cache/tools/kvm-$boot-$(id -u)
	if [[ ! -e $verdict ]]; then
		lock kvm "tries /dev/kvm"
		[[ -e $verdict ]] || probe_kvm "$verdict"
		unlock kvm
	fi
	read -r accel <"$verdict"
}

probe_kvm() # VERDICT
{
	local out

	scratch
	out=$REPLY/console
	# without a root the kernel panics, reboots and QEMU ends
	await timeout -k 1 10 qemu-system-x86_64 -machine q35,accel=kvm -cpu host -m 256 \
		-nodefaults -no-user-config -no-reboot -display none -serial "file:$out" \
		-kernel "$image" -append "console=ttyS0 panic=-1 root=none" >/dev/null 2>&1
	if grep -q 'Kernel panic' "$out" 2>/dev/null; then
		echo kvm >"$1.new"
	else
		echo tcg >"$1.new"
		say "/dev/kvm runs no guest here: using emulation"
	fi
	rm -f "$cache"/tools/kvm-*[!w]
	mv "$1.new" "$1"
}

# --- disks: formatted once in a guest, then the start of every guest, which writes to memory

pmem_sizes=(1024M 1024M 512M)
disk_size=512M

disks() # sets disks; needs image
{
	local key

	key=$(echo "${pmem_sizes[@]}" $disk_size | cat - "$lab/format-disks" | sha256sum | cut -c 1-24)
	disks=$cache/disks/$key
	[[ ! -d $disks ]] || return 0
	lock disks "formats the guest's disks"
	[[ -d $disks ]] || format_disks
	unlock disks
}

format_disks()
{
	local new=$disks.new status i

	need_space 200 "$cache" "the guest's disks"
	progress "formatting the guest's disks"
	rm -rf "$new"
	mkdir "$new" || die "no disk space in $cache: free some or set XDG_CACHE_HOME"
	temporary+=("$new")
	for i in 0 1 2; do
		truncate -s "${pmem_sizes[i]}" "$new/pmem$i"
		truncate -s $disk_size "$new/vd$i"
	done
	(
		own_cleanup
		log=$new/log PINVERBS_OUT=$new/log/out
		mkdir -p "$log/out"
		guest_defaults
		pmem=$new disks=$new raw=1
		limit=120
		boot "$lab/format-disks" </dev/null >"$log/output" 2>&1
	)
	status=$?
	clear_progress
	if ((status)); then
		mkdir -p "$cache/runs/format-disks"
		cp "$new"/log/*.* "$new/log/output" "$cache/runs/format-disks/" 2>/dev/null
		! no_space_in "$new/log/output" ||
			die "no disk space in $cache for the guest's disks: free 200 MiB or set XDG_CACHE_HOME"
		die "cannot format the guest's disks: $(tail -n 1 "$new/log/output") (logs: $cache/runs/format-disks)"
	fi
	rm -rf "$new/log"
	mv "$new" "$disks"
}

# --- one run

# For the kernels of all guests.  Tests do without the names of enumerations in the formats of events,
# which only programs like perf read: looking for them takes a second of each boot.
all_kernel_args=
without_enumerations=initcall_blacklist=trace_eval_init

guest_defaults()
{
	failed=
	flavour=test limit=600 net=veth smp=2 mem=2048 icount= parallel= hosts=1 pmem= raw= terminal= kernel_args=
	cut=
}

# Persistent memory of one's own in a folder, made from the formatted one.
copy_pmem() # FOLDER
{
	local i

	for i in 0 1 2; do
		[[ -e $1/pmem$i ]] && continue
		if ! cp --sparse=always "$disks/pmem$i" "$1/.pmem$i.$$" 2>/dev/null; then
			rm -f "$1/.pmem$i.$$"
			die "no disk space in $1 for persistent memory: free 100 MiB there"
		fi
		mv "$1/.pmem$i.$$" "$1/pmem$i"
	done
}

# A folder for the logs of a run and for its PINVERBS_OUT.
new_run() # sets log
{
	log=$cache/runs/$(date +%Y%m%d-%H%M%S)-$$
	while ! mkdir "$log" 2>/dev/null; do
		[[ -d $log ]] || die "cannot write to $cache/runs: free space there"
		log+=+
	done
	mkdir "$log/out"
	chmod 1777 "$log/out"
}

quote() { echo "${1//,/,,}"; } # for QEMU's option lists

# TCG goes through a REP string instruction byte by byte: without ERMS the kernel copies eight at a time.
# SMAP ends a translated block at each access to user memory; the flavour that looks for stray ones has it.
tcg_cpu()
{
	if [[ $flavour == kasan ]]; then
		echo max,-erms
	else
		echo max,-erms,-smap
	fi
}

qemu_args() # HOST; sets args
{
	local host=$1 share=off from=$disks snapshot=on append i
	local port=socket,id=port,fd=3 netdev=stream,id=net,server=off,addr.type=fd,addr.str=4

	append="console=ttyS0 loglevel=7 printk.devkmsg=on panic=-1 $all_kernel_args $kernel_args"
	if [[ $pmem ]]; then
		share=on from=$pmem
	fi
	[[ -z $cut ]] || share=off
	if [[ $keep ]]; then
		share=on from=$keep port=file,id=port,path=$keep/port netdev=hubport,id=net,hubid=0
	fi
	[[ -z $raw ]] || snapshot=off
	# Pin interrupts: QEMU 7.2 now and then aborts in msix_table_mmio_write() while the guest's
	# kernel looks for devices, and without vectors there is no such table
	args=(qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none
		-global virtio-pci.vectors=0
		-m "${mem}M,slots=4,maxmem=$((mem + 4096))M" -smp "$smp"
		-chardev "file,id=log,append=on,path=$(quote "$(kernel_log "$host")")" -serial chardev:log
		-kernel "$image" -initrd "$tools/initramfs")
	if [[ $icount ]]; then
		args+=(-machine q35,nvdimm=on -accel tcg -cpu max -icount "shift=0,sleep=off")
		# idle time is skipped: a moment's wait for this machine's disk would look like a hung task
		append+=" noreplace-smp sysctl.kernel.hung_task_timeout_secs=0"
	elif [[ $accel == kvm ]]; then
		args+=(-machine q35,nvdimm=on -accel kvm -cpu host)
	else
		# One thread for all CPUs computes less, as no translation needs a lock.  With one for each, QEMU
		# before 8.1 may miss that a CPU writes to code while another translates it: the kernel switches
		# a tracepoint, the other CPU runs into the breakpoint of before, "Oops: int3"
		args+=(-machine q35,nvdimm=on -accel "tcg,thread=$([[ $parallel ]] && echo multi || echo single)"
			-cpu "$(tcg_cpu)")
		append+=" $emulated_args"
	fi
	args+=(-append "$append"
		-virtfs "local,path=/,mount_tag=rootfs,security_model=none,readonly=on,multidevs=remap"
		-virtfs "local,path=$(quote "$PINVERBS_OUT"),mount_tag=out,security_model=none,multidevs=remap"
		-device virtio-rng-pci -device virtio-serial-pci
		-chardev "$port" -device "virtserialport,chardev=port,name=pinverbs")
	for i in 0 1 2; do
		args+=(-object "memory-backend-file,id=mem$i,share=$share,mem-path=$(quote "$from/pmem$i"),size=${pmem_sizes[i]}"
			-device "nvdimm,id=nv$i,memdev=mem$i,slot=$i"
			-drive "if=none,id=vd$i,file=$(quote "$disks/vd$i"),format=raw,snapshot=$snapshot,cache=unsafe"
			-device "virtio-blk-pci,drive=vd$i")
	done
	# the medium behind what is only a cache then: tests/lab/power-cut.patch
	for i in ${cut:+0 1}; do
		args+=(-object "memory-backend-file,id=medium$i,share=on,mem-path=$(quote "$from/pmem$i"),size=${pmem_sizes[i]}"
			-device "ivshmem-plain,memdev=medium$i,master=on")
	done
	if ((hosts == 2)); then
		args+=(-netdev "$netdev" -device "virtio-net-pci,netdev=net,mac=52:54:00:00:77:0$((host + 1)),romfile=")
	fi
	if [[ $keep ]]; then
		args+=(-monitor stdio)
	elif [[ $state ]]; then
		args+=(-incoming defer -chardev "pipe,id=monitor,path=$(quote "$state/commands")" -mon monitor)
	fi
}

kernel_log() # HOST
{
	if (($1)); then
		echo "$log/kernel-$1.log"
	else
		echo "$log/kernel.log"
	fi
}

job_files() # HOST CMD…
{
	local dir=$job/$1 host=$1 which=$net

	shift
	mkdir "$dir" &&
		cp "$tools/lab-guest" "$dir/" &&
		printf '%s\0' "$@" >"$dir/args" &&
		env -0 "${caller_locale[@]}" >"$dir/env" &&
		printf '%s' "$here" >"$dir/cwd" ||
		die "no disk space in /tmp: free some"
	((hosts == 1)) || which=eth
	[[ -z $terminal ]] || : >"$dir/tty"
	printf '%s\0' "HOST=$host" "HOSTS=$hosts" "NET=$which" "FLAVOUR=$flavour" "CUT=$cut" \
		"DISKS=$([[ $raw ]] && echo raw || echo ready)" "OUT=$PINVERBS_OUT" \
		"NOW=${EPOCHREALTIME%[.,]*}" "SEED=$SRANDOM $SRANDOM $SRANDOM $SRANDOM $SRANDOM $SRANDOM $SRANDOM $SRANDOM" \
		>"$dir/conf"
}

# The flavour that the tests get in the place of test.
checking=test

# Boots the guest, or both, with CMD.  Wants image, tools, disks, accel, log and the settings of
# guest_defaults; stdin, stdout and stderr are the command's.  Returns the command's status.
boot() # CMD…
{
	local job host pid status state='' keep='' flavour=$flavour mem=$mem limit=$limit boot_limit=180
	local -a args all=() options

	# the kernel for power cuts is the same one always
	if [[ $flavour == test && ! $cut && $checking == kasan ]]; then
		flavour=kasan mem=3072 limit=$((limit * 4))
	fi
	[[ $flavour != kasan ]] || boot_limit=720
	scratch
	job=$REPLY
	PINVERBS_OUT=${PINVERBS_OUT:-$log/out}
	for ((host = 0; host < hosts; host++)); do
		kept_state "$host"
		job_files "$host" "$@"
		qemu_args "$host"
		all+=(-- "${args[@]}")
		rm -f "$(kernel_log "$host")"
		[[ -z $state ]] || cp "$state"/kernel*.log "$(kernel_log "$host")" ||
			die "cannot write to $log: free space there"
	done
	options=(-b "$boot_limit" -l "$log/qemu.log")
	((limit == 0)) || options+=(-t "$limit")
	[[ -z $terminal ]] || options+=(-T)
	# not await: this one shares the terminal and its signals
	TMPDIR=$job "$tools/lab-host" "${options[@]}" "$job" "$job/result" "${all[@]}" <&0 &
	pid=$!
	children[$pid]=1
	wait "$pid"
	unset "children[$pid]"
	verdict "$job/result"
}

# --- the state of a guest that waits for its job: later ones go on from there, and need not boot

# Sets state to the folder of such a guest, or to nothing where guests boot: with KVM, which does it in no
# time, and those with settings that few others have.  A state is of no use after this machine has booted
# again: the guest's clock is its time-stamp counter.
kept_state() # HOST
{
	local key

	state=
	[[ $accel == tcg && $mem == 2048 && -z $icount$kernel_args$cut$raw$pmem ]] || return 0
	key=$({
		stat -c '%n %i %s %Y' "$image" "$(command -v qemu-system-x86_64)"
		cat /proc/sys/kernel/random/boot_id
		echo "$1 $hosts $tools $disks $smp $(tcg_cpu) $all_kernel_args ${emulated_args//[0-9]/}"
	} | sha256sum | cut -c 1-24)
	state=$cache/states/$key
	if [[ ! -d $state ]]; then
		lock "state-$key" "boots a guest"
		# what keeps this one from booting will be seen when the guest itself boots
		[[ -d $state ]] || keep_state "$1" || state=
		unlock "state-$key"
	fi
	[[ -z $state ]] || touch -c "$state"
}

# Boots a guest as far as that, in $state.  Persistent memory, which nothing has written to yet, is no part of it.
keep_state() # HOST
{
	local log=$state.$$ keep i pid deadline=$((SECONDS + 90)) ignore='migrate_set_capability x-ignore-shared on'
	local -a args

	# guests can do without
	(need_space 400 "$cache" "the state of a booted guest") 2>/dev/null || return 1
	mkdir -p "$log" || die "no disk space in $cache: free some or set XDG_CACHE_HOME"
	temporary+=("$log")
	scratch
	keep=$REPLY
	for i in 0 1 2; do
		cp --sparse=always "$disks/pmem$i" "$keep/pmem$i" || die "no disk space in $keep: free 100 MiB there"
	done
	mkfifo "$keep/commands"
	qemu_args "$1"
	progress "booting a guest, from which others go on"
	setsid setpriv --pdeathsig TERM "${args[@]}" <>"$keep/commands" >"$log/output" 2>&1 &
	pid=$!
	children[$pid]=1
	# QEMU writes there what the guest says on its port: FRAME_WAITING
	until [[ -s $keep/port ]]; do
		if ! kill -0 "$pid" 2>/dev/null || ((SECONDS >= deadline)); then
			kill "$pid" 2>/dev/null
			break
		fi
		sleep 0.1
	done
	printf '%s\n' "$ignore" 'migrate_set_parameter max-bandwidth 100G' "migrate \"exec:cat > '$log/guest'\"" \
		'info migrate' quit 1<>"$keep/commands"
	wait "$pid"
	unset "children[$pid]"
	clear_progress
	printf '%s\n' "$ignore" "migrate_incoming \"exec:cat '$state/guest'\"" >"$log/commands.in" &&
		ln -s /dev/null "$log/commands.out" &&
		grep -qs 'Migration status: completed' "$log/output" && mv -T "$log" "$state" && prune "$cache/states" 16
}

lab_failure() # TEXT
{
	failed=1
	say "$* (logs: $log)"
	return 125
}

# Turns lab-host's result into a status: the first guest that did not succeed decides.
verdict() # RESULT
{
	local word n host=0 status=0 s who=guest

	[[ -s $1 ]] || { lab_failure "lab-host ended without a result"; return; }
	while read -r word n; do
		((hosts == 1)) || who="guest $host"
		s=125
		case $word in
		exit) s=$n ;;
		pipe) s=141 ;;
		signal) exit $((128 + n)) ;;
		dead) lab_failure "$who died: $(last_words "$host")" ;;
		noboot) lab_failure "$who hung: no command started within $n s: $(last_words "$host")" ;;
		hung) lab_failure "$who hung: no sign of life for $n s: $(last_words "$host")" ;;
		noend) lab_failure "$who hung: it did not shut down within $n s after the command: $(last_words "$host")" ;;
		timeout) lab_failure "$who hung or too slow: the command did not end in $n s (--timeout)" ;;
		partner) lab_failure "$who ended because the other one failed" ;;
		esac
		((status)) && [[ $status != 125 || $s == 125 ]] || status=$s
		host=$((host + 1))
	done <"$1"
	return "$status"
}

last_words() # HOST; the line of the kernel log, or of QEMU, that says why
{
	local line file

	file=$(kernel_log "$1")
	line=$(grep -a -m 1 -oE 'BUG: .*|Oops: .*|Kernel panic.*|pinverbs: guest: .*' "$file" 2>/dev/null |
		tr -d '\r')
	if [[ -z $line && ! -s $file ]]; then
		line="QEMU: $(tail -n 1 "$log/qemu.log" 2>/dev/null)"
	fi
	echo "${line:-no message in the kernel log}"
}

# --- the kernel log

# Nothing is ever taken off this list for a test's sake.
dirty_pattern='WARNING:|BUG:|Oops|\bKASAN:|UBSAN:|refcount_t:|general protection fault'
dirty_pattern+='|[Uu]nable to handle|INFO: task .* blocked|INFO: rcu|rcu: INFO|possible (circular|recursive|irq|deadlock)'
dirty_pattern+='|trying to register non-static key|locking correctness validator|Call Trace:'
dirty_pattern+='|inconsistent lock state|suspicious RCU|bad unlock balance|held lock freed|locks? (still )?held'
dirty_pattern+='|kernel BUG at|Kernel panic|double fault|stack segment|kmemleak: [0-9]+ new|soft lockup|hard LOCKUP|------------\[ cut here'

# Shows the lines of a run's kernel logs that should not be there; false if there are any.
clean_logs()
{
	local file lines clean=0

	for file in "$log"/kernel*.log; do
		lines=$(grep -a -nE "$dirty_pattern" "$file" 2>/dev/null | tr -d '\r' | head -n 20)
		if [[ $lines ]]; then
			say "kernel log is dirty, $file:"
			echo "$lines" >&2
			clean=1
		fi
	done
	return "$clean"
}
