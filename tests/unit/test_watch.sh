#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# lspins --watch on a terminal, that of script(1): it draws anew, from the top of an empty screen, when
# something has changed and only then, or when the window has another size, into which it has to fit; Ctrl-C
# ends it and the terminal is as before.
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

# begin ARG...: in a session with a terminal of its own
begin()
{
	: >"$work/screen"
	cat >"$work/session" <<END
trap : INT
tty >$work/tty
stty -g >$work/before
$BUILD/tests/unit/lspins-recorded $*
echo \$? >$work/status
stty -g >$work/after
END
	timeout 30 script -q -f -c "sh $work/session" /dev/null <"$work/keys" >"$work/screen" 2>&1 &
	session=$!
}

end()
{
	printf '\003' >&3
	wait $session || :
	[ "$(cat "$work/status")" = 130 ] || { echo "FAIL status $(cat "$work/status")"; exit 1; }
	cmp "$work/before" "$work/after"
}

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

last_picture()
{
	tr -d '\r' <"$work/screen" | awk '/^\033\[H/ { text = "" } { text = text $0 "\n" } END { printf "%s", text }' |
		sed "s/^$(printf '\033')\[H$(printf '\033')\[2J//"
}

# await_picture N TEXT: what was drawn last; a terminal may have the beginning of a picture before its end
await_picture()
{
	await_drawn "$1"
	printf '%s\n' "$2" >"$work/wanted"
	until last_picture | cmp -s - "$work/wanted"; do
		kill -0 $session || { last_picture | diff "$work/wanted" -; echo "FAIL picture $1"; exit 1; }
		sleep 0.05
	done
}

begin --watch=0.05 -n -r -p 119 -o PID,FILE
await_drawn 1
# nothing has changed: more looks than one, and no picture
sleep 0.5
[ "$(drawn)" = 1 ] || { echo "FAIL drawn without a change"; exit 1; }
grep -q '^.*119 ' "$work/screen"
sed -i '1,$d' "$PROC/119/file_pins" && : >"$PROC/locks"
await_drawn 2
end
echo "ok drawn twice, ended by Ctrl-C"

# It does not look again within this test; at first the terminal has no size.
rm -rf "$PROC" && cp -a "$SOURCE/tests/unit/proc/recorded" "$PROC"
begin --watch=1000 -p 111 -o PID,FILE
all='PID FILE
111 /mnt/xfs/a
111 /mnt/xfs/b (deleted)
111 /mnt/xfs/two\012lines'
await_picture 1 "$all"
stty -F "$(cat "$work/tty")" rows 4 cols 12
await_picture 2 'PID FILE
111 /mnt/xfs
... 2 more'
stty -F "$(cat "$work/tty")" rows 5 cols 80
await_picture 3 "$all"
end
echo "ok drawn for each size of the window"
