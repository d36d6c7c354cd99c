#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# lspins --watch on a terminal, that of script(1): it draws anew, from the top of an empty screen, when
# something has changed and only then; Ctrl-C ends it and the terminal is as before.
set -eu
if ! [ -e /dev/pts/ptmx ]; then
	echo "SKIP: no terminal can be made here, nothing is mounted on /dev/pts"
	exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -a "$SOURCE/tests/unit/proc/recorded" "$work/proc"
PROC=$work/proc
export PROC
mkfifo "$work/keys"
exec 3<>"$work/keys"
: >"$work/screen"
cat >"$work/session" <<END
trap : INT
stty -g >$work/before
$BUILD/tests/unit/lspins-recorded --watch=0.05 -n -r -p 119 -o PID,FILE
echo \$? >$work/status
stty -g >$work/after
END
timeout 60 script -q -f -c "sh $work/session" /dev/null <"$work/keys" >"$work/screen" 2>&1 &
session=$!

drawn() # how often
{
	tr -d '\r' <"$work/screen" | grep -c "$(printf '^\033\\[H\033\\[2J')" || :
}

await_drawn() # HOW-OFTEN
{
	until [ "$(drawn)" -ge "$1" ]; do
		kill -0 $session || { cat "$work/screen"; exit 1; }
		sleep 0.05
	done
}

await_drawn 1
# nothing has changed: more looks than one, and no picture
sleep 0.5
[ "$(drawn)" = 1 ] || { echo "FAIL drawn without a change"; exit 1; }
grep -q '^.*119 ' "$work/screen"
sed -i '1,$d' "$PROC/119/file_pins" && : >"$PROC/locks"
await_drawn 2
printf '\003' >&3
wait $session || :
[ "$(cat "$work/status")" = 130 ] || { echo "FAIL status $(cat "$work/status")"; exit 1; }
cmp "$work/before" "$work/after"
echo "ok drawn twice, ended by Ctrl-C"
