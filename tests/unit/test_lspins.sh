#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# lspins on the recorded /proc: columns, formats, exit status, refused options.
set -eu
lspins=$BUILD/tests/unit/lspins-recorded
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PROC=$SOURCE/tests/unit/proc/recorded
LC_ALL=C
export PROC LC_ALL
failures=0

# check NAME STATUS ARG...; what must be printed comes on stdin, standard error after it
check() {
	name=$1 wanted=$2
	shift 2
	cat >"$work/wanted"
	status=0
	"$lspins" "$@" >"$work/got" 2>"$work/errors" </dev/null || status=$?
	cat "$work/errors" >>"$work/got"
	if [ "$status" != "$wanted" ] || ! diff -u "$work/wanted" "$work/got"; then
		echo "FAIL $name: status $status, wanted $wanted"
		failures=$((failures + 1))
	else
		echo "ok $name"
	fi
}

check 'one process' 0 -p 119 <<'END'
COMMAND PID USER OWNER-FD OWNER                   FILE       PAGES SIZE MRS LEASE HOLDER
holder  119 root 4        /dev/infiniband/uverbs0 /mnt/xfs/a   512   2M   1 held  111,119,142
holder  119 root -        -                       /mnt/xfs/c     0   0B   0 held  119
END
check 'chosen columns' 0 -p 111 -o pid,FILE,size,lease <<'END'
PID FILE                  SIZE LEASE
111 /mnt/xfs/a              2M held
111 /mnt/xfs/b (deleted)    2M zombie
111 /mnt/xfs/two\012lines   2M held
END
check 'more columns' 0 -p 136 -o +DEV,INODE --bytes <<'END'
COMMAND PID USER OWNER-FD OWNER FILE       PAGES SIZE MRS LEASE HOLDER DEV   INODE
holder  136 root -        -     /mnt/xfs/g     0    0   0 held  136    259:1  4103
END
check 'without headings' 0 -n -p 119 -o PID,FILE <<'END'
119 /mnt/xfs/a
119 /mnt/xfs/c
END
check 'raw' 0 --raw -p 111 -o PID,FILE,SIZE <<'END'
PID FILE SIZE
111 /mnt/xfs/a 2M
111 /mnt/xfs/b\x20(deleted) 2M
111 /mnt/xfs/two\x5c012lines 2M
END
check 'unknown is shown as unknown' 0 -p 128 <<'END'
COMMAND PID USER OWNER-FD OWNER                   FILE                 PAGES SIZE MRS LEASE  HOLDER
holder  128 root map      /dev/infiniband/uverbs0 /mnt/xfs/b (deleted)     ?    ?   ? ?      ?
holder  128 root map      /dev/infiniband/uverbs0 /mnt/xfs/c               ?    ?   ? ?      ?
?         ? ?    ?        ?                       ?                        ?    ?   ? zombie 128
?         ? ?    ?        ?                       /mnt/xfs/c               ?    ?   ? held   128
END
check 'JSON' 0 --json -p 119 -o +dev,inode <<'END'
{
   "lspins": [
      {
         "command": "holder",
         "pid": 119,
         "user": "root",
         "owner-fd": "4",
         "owner": "/dev/infiniband/uverbs0",
         "file": "/mnt/xfs/a",
         "pages": 512,
         "size": 2097152,
         "mrs": 1,
         "lease": "held",
         "holder": [111,119,142],
         "dev": "259:1",
         "inode": 4099
      },{
         "command": "holder",
         "pid": 119,
         "user": "root",
         "owner-fd": null,
         "owner": null,
         "file": "/mnt/xfs/c",
         "pages": 0,
         "size": 0,
         "mrs": 0,
         "lease": "held",
         "holder": [119],
         "dev": "259:1",
         "inode": 4101
      }
   ],
   "unseen": 0
}
END
check 'JSON, a column twice' 0 --json -p 119 -o PID,LEASE,PID,LEASE <<'END'
{
   "lspins": [
      {
         "pid": 119,
         "lease": "held"
      },{
         "pid": 119,
         "lease": "held"
      }
   ],
   "unseen": 0
}
END
check 'JSON of nothing' 0 --json -p 2 <<'END'
{
   "lspins": [],
   "unseen": 0
}
END
check 'JSON of the unknown' 0 --json -p 128 -o PID,PAGES,SIZE,LEASE,HOLDER <<'END'
{
   "lspins": [
      {
         "pid": 128,
         "pages": null,
         "size": null,
         "lease": null,
         "holder": []
      },{
         "pid": 128,
         "pages": null,
         "size": null,
         "lease": null,
         "holder": []
      },{
         "pid": null,
         "pages": null,
         "size": null,
         "lease": "zombie",
         "holder": [128]
      },{
         "pid": null,
         "pages": null,
         "size": null,
         "lease": "held",
         "holder": [128]
      }
   ],
   "unseen": 0
}
END

# A process of somebody else: what is known is listed, and the status says that it is not all.
DENIED=/142/file_pins
export DENIED
check 'incomplete' 2 -o PID,FILE <<'END'
PID FILE
128 /mnt/xfs/b (deleted)
128 /mnt/xfs/c
111 /mnt/xfs/a
119 /mnt/xfs/a
121 /mnt/xfs/a
111 /mnt/xfs/b (deleted)
119 /mnt/xfs/c
  ? /mnt/xfs/c
111 /mnt/xfs/two\012lines
136 /mnt/xfs/g
lspins: 1 process may not be looked at and may have pins not shown here; run as root to see all
END
check 'somebody else' 2 -p 142 <<'END'
lspins: process 142: list pins: process belongs to somebody else (EACCES); ask as its user or as root
END
DENIED=/locks
check 'locks may not be read' 2 <<'END'
lspins: all processes: list pins: not all of /proc may be read (EACCES); see the permissions of /proc/locks and /proc/PID
END
unset DENIED
check 'no such process' 1 -p 99999 <<'END'
lspins: process 99999: list pins: there is no such process (ESRCH); give the number of a running process
END
# A file that exists and that nobody has pinned; the same file twice is one.
: >"$work/file"
check 'free file' 0 "$work/file" "$work/file" <<'END'
COMMAND PID USER OWNER-FD OWNER FILE PAGES SIZE MRS LEASE HOLDER
END
check 'no such file' 1 "$work/none" <<END
lspins: $work/none: No such file or directory; name a regular file
END
check 'directory' 1 "$work" <<END
lspins: $work: not a regular file; name a regular file
END

# A file's name and a program's may hold anything.
cp -a "$PROC" "$work/proc"
PROC=$work/proc
printf 'Name:\t\033[2J"q\\n\nTgid:\t119\nUid:\t0\t4294967294\n' >"$PROC/119/status"
printf '4: /dev/infiniband/uverbs0\n\t/mnt/\303\244 \377\t\033]0;x\007\n' >"$PROC/119/file_pins"
LC_ALL=C.UTF-8
check 'control characters' 0 -n -p 119 -o COMMAND,USER,FILE <<'END'
\x1b[2J"q\n 4294967294 /mnt/ä \xff\x09\x1b]0;x\x07
\x1b[2J"q\n 4294967294 /mnt/xfs/c
END
check 'control characters, JSON' 0 -J -p 119 -o COMMAND,FILE <<'END'
{
   "lspins": [
      {
         "command": "\u001b[2J\"q\\n",
         "file": "/mnt/ä \\xff\u0009\u001b]0;x\u0007"
      },{
         "command": "\u001b[2J\"q\\n",
         "file": "/mnt/xfs/c"
      }
   ],
   "unseen": 0
}
END
LC_ALL=C
# A lease of each of very many processes: none is left out.
number=0
holders=
while [ $number -lt 200 ]; do
	number=$((number + 1))
	echo "$number: LAYOUT PINNED    WRITE $((4000000 + number)) 103:01:4099 0 EOF"
	holders=$holders${holders:+,}$((4000000 + number))
done >"$work/proc/locks"
check 'very many holders' 0 -r -n -p 119 -o PID,HOLDER <<END
119 $holders
END
# Many leases of one process: it is looked at once for all of them, and not for each of them.
rm -rf "$PROC/136/fd" "$PROC/136/fdinfo"
mkdir "$PROC/136/fd" "$PROC/136/fdinfo"
number=0
while [ $number -lt 300 ]; do
	number=$((number + 1))
	lock="$number: LAYOUT ACTIVE    WRITE 136 103:01:$((10000 + number)) 0 EOF"
	echo "$lock" >&4
	printf 'pos:\t0\nlock:\t%s\n' "$lock" >"$PROC/136/fdinfo/$number"
	ln -s "/mnt/xfs/$number" "$PROC/136/fd/$number"
	echo "136 /mnt/xfs/$number" >&5
done 4>"$work/proc/locks" 5>"$work/many"
OPENS=1300
export OPENS
check 'very many leases' 0 -r -n -p 136 -o PID,FILE <"$work/many"
unset OPENS
cp "$SOURCE/tests/unit/proc/recorded/locks" "$work/proc/locks"
check 'width goes by what is shown' 0 -p 119 -o USER,FILE,PID <<'END'
USER       FILE                               PID
4294967294 /mnt/\xc3\xa4 \xff\x09\x1b]0;x\x07 119
4294967294 /mnt/xfs/c                         119
END
PROC=$SOURCE/tests/unit/proc/recorded

STOCK=1
export STOCK
release=$(uname -r)
check 'stock kernel' 1 <<END
lspins: all processes: list pins: kernel $release has no /proc/PID/file_pins (EOPNOTSUPP); boot a kernel with the series in kernel-patches/
END
unset STOCK

while read -r arguments; do
	status=0
	# shellcheck disable=SC2086
	"$lspins" $arguments >"$work/got" 2>"$work/errors" </dev/null || status=$?
	if [ "$status" != 1 ] || [ -s "$work/got" ] || ! grep -q 'see lspins --help' "$work/errors"; then
		echo "FAIL refused options: $arguments: status $status"
		failures=$((failures + 1))
	fi
done <<'END'
--bogus
-p
-p 0
-p -1
-p 1x
-p 99999999999
-o PID,BOGUS
-o PID,
-o +
--watch=0
--watch=x
--watch=1e99
--json --raw
--kill
--kill --watch /x
--kill --json /x
--yes
--signal TERM
--kill --signal 65 /x
--kill --signal -9 /x
--signal FOO
--signal 0
END
echo "ok refused options"

# Writing to a full device is a failure, not success without output.
for option in --raw --json --help --version; do
	status=0
	"$lspins" $option >/dev/full 2>"$work/errors" || status=$?
	if [ "$status" != 1 ] || ! grep -q 'write: No space' "$work/errors"; then
		echo "FAIL full device, $option: status $status"
		failures=$((failures + 1))
	fi
done

# The first list at once, another when something changes, nothing in between.
cp -a "$PROC/." "$work/proc"
PROC=$work/proc
mkfifo "$work/pipe"
"$lspins" --watch=0.01 -n -p 119 -o FILE >"$work/pipe" &
watch=$!
exec 3<"$work/pipe"
read -r one <&3 && read -r two <&3
printf '4: /dev/infiniband/uverbs0\n\t/mnt/xfs/new\n' >"$work/new" && mv "$work/new" "$PROC/119/file_pins"
read -r blank <&3 && read -r three <&3
kill "$watch"
if [ "$one,$two,$blank,$three" != /mnt/xfs/a,/mnt/xfs/c,,/mnt/xfs/new ]; then
	echo "FAIL watch: $one,$two,$blank,$three"
	failures=$((failures + 1))
else
	echo "ok watch"
fi

# A list that is not complete is never shown without saying so.
mkfifo "$work/errors-pipe"
DENIED=/142/file_pins "$lspins" --watch=0.01 -n -o FILE >"$work/got" 2>"$work/errors-pipe" &
watch=$!
read -r said <"$work/errors-pipe"
kill "$watch"
case $said in
*'1 process may not be looked at'*) echo "ok watch, incomplete" ;;
*)
	echo "FAIL watch, incomplete: $said"
	failures=$((failures + 1))
	;;
esac

# The help, the manual and the completion name the same options and columns.
"$lspins" --help >"$work/help"
grep -o -e '--[a-z]*' "$work/help" | sort -u >"$work/options"
sed -n 's/^\.BR* .*\\-\\-\([a-z]*\).*/--\1/p' "$SOURCE/man/lspins.8" | sort -u >"$work/manual"
grep -o -e '--[a-z][a-z]*' "$SOURCE/tools/lspins.bash-completion" | sort -u >"$work/completion"
sed -n 's/^Columns: //p' "$work/help" | tr ' ' '\n' | sort >"$work/columns"
sed -n 's/.*columns="\(.*\)"/\1/p' "$SOURCE/tools/lspins.bash-completion" | tr ' ' '\n' | sort >"$work/completed"
sed -n '/^\.SH COLUMNS/,/^\.SH /s/^\.B \([A-Z-]*\)$/\1/p' "$SOURCE/man/lspins.8" |
	sed 's/\\//g' | sort >"$work/described"
for pair in options:manual options:completion columns:completed columns:described; do
	if ! diff -u "$work/${pair%:*}" "$work/${pair#*:}"; then
		echo "FAIL ${pair%:*} of the help and the ${pair#*:} differ"
		failures=$((failures + 1))
	fi
done
[ -s "$work/options" ]
[ -s "$work/columns" ]

bash -eu -c '. "$1"; shift
	COMP_WORDS=(lspins --js) COMP_CWORD=1; _lspins; [[ ${COMPREPLY[*]} == --json ]]
	compopt() { :; }
	COMP_WORDS=(lspins -o PID,HO) COMP_CWORD=2; _lspins; [[ ${COMPREPLY[*]} == PID,HOLDER, ]]
	COMP_WORDS=(lspins --output = PID,HO) COMP_CWORD=3; _lspins; [[ ${COMPREPLY[*]} == PID,HOLDER, ]]
	COMP_WORDS=(lspins --signal =) COMP_CWORD=2; _lspins; [[ " ${COMPREPLY[*]} " == *" SIGTERM "* ]]
	COMP_WORDS=(lspins -p $$) COMP_CWORD=2; _lspins; [[ " ${COMPREPLY[*]} " == *" $$ "* ]]' \
	bash "$SOURCE/tools/lspins.bash-completion" || {
	echo "FAIL completion"
	failures=$((failures + 1))
}
exit $((failures > 0))
