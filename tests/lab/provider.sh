# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# The RDMA provider: the rdma-core source that it is built against, and its tests.

# Sets rdma_core to the folder of an rdma-core source tree, or to nothing with the reason in
# no_rdma_core.  RDMA_CORE_SOURCE in the environment names one of the user's own.
rdma_core=''
no_rdma_core=''

rdma_core_source()
{
	local release

	if [[ ${RDMA_CORE_SOURCE-} ]]; then
		[[ -f $RDMA_CORE_SOURCE/libibverbs/driver.h ]] ||
			die "RDMA_CORE_SOURCE: $RDMA_CORE_SOURCE is no rdma-core source tree"
		rdma_core=$(cd "$RDMA_CORE_SOURCE" && pwd -P)
		return
	fi
	lock rdma-core "obtains the rdma-core source"
	if ! cached_rdma_core; then
		# the system's own release first; trixie's is the last with private ABI 34
		release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
		fetch_rdma_core "$release" || fetch_rdma_core trixie
		cached_rdma_core
	fi
	unlock rdma-core
	clear_progress
}

cached_rdma_core()
{
	local folder

	for folder in "$cache"/src/rdma-core-*; do
		[[ -f $folder/libibverbs/driver.h ]] || continue
		rdma_core=$folder
		return 0
	done
	return 1
}

# apt with a configuration of its own: the machine's mirror, sources only, no root needed.
private_apt() # FOLDER RELEASE: writes the configuration, sets apt_options
{
	local mirror keys=

	# shellcheck disable=SC2016
	mirror=$(apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(LABEL)' \
		'Created-By: Packages' 2>/dev/null |
		sed -n 's/^\([^|]*\)|[a-z]*|main|Debian|Debian$/\1/p' | head -n 1)
	if [[ -z $mirror ]]; then
		no_rdma_core="apt knows no mirror of Debian: run apt-get update"
		return 1
	fi
	[[ ! -f /usr/share/keyrings/debian-archive-keyring.gpg ]] ||
		keys="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
	mkdir -p "$1"/{lists,archives}/partial || return 1
	echo "deb-src $keys$mirror $2 main" >"$1/sources.list"
	apt_options=(-q -o "Dir::Etc::sourcelist=$1/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::lists=$1/lists" -o "Dir::Cache::archives=$1/archives"
		-o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=")
}

# An archive may have the upstream tarball and yet lack the description (.dsc): then apt fails
# after it has fetched what is needed.  So the checksum decides, not apt's exit status.
fetch_rdma_core() # RELEASE
{
	local folder sum name tarball log=$cache/src/rdma-core.log
	local -a apt_options

	[[ $1 ]] || return 1
	scratch
	folder=$REPLY
	private_apt "$folder" "$1" || return 1
	progress "fetching the rdma-core source of Debian $1"
	if ! await apt-get "${apt_options[@]}" update >"$log" 2>&1; then
		no_rdma_core="cannot fetch Debian's list of source packages (log: $log)"
		return 1
	fi
	read -r sum name < <(apt-cache "${apt_options[@]}" showsrc --only-source rdma-core 2>/dev/null |
		sed -n '/^Checksums-Sha256:/,/^[^ ]/s/^ \([0-9a-f]\{64\}\) [0-9]* \(rdma-core_[^ ]*\.orig\.tar\.[a-z0-9]*\)$/\1 \2/p' |
		tail -n 1)
	if [[ -z $name ]]; then
		no_rdma_core="Debian $1 has no source package rdma-core (log: $log)"
		return 1
	fi
	await env -C "$folder" apt-get "${apt_options[@]}" source --download-only \
		--only-source rdma-core >>"$log" 2>&1
	tarball=$folder/$name
	if ! echo "$sum  $tarball" | sha256sum --status -c 2>/dev/null; then
		no_rdma_core="cannot fetch $name of Debian $1, or it is not what it should be (log: $log)"
		return 1
	fi
	unpack_rdma_core "$tarball" "$log"
}

# Into the cache whole or not at all.
unpack_rdma_core() # TARBALL LOG
{
	local name new

	name=${1##*/}
	name=rdma-core-${name#rdma-core_}
	name=${name%.orig.tar.*}
	new=$cache/src/.$name.$$
	temporary+=("$new")
	need_space 60 "$cache/src" "the rdma-core source"
	mkdir -p "$new"
	if ! await tar -x -f "$1" -C "$new" --strip-components=1 >>"$2" 2>&1; then
		no_rdma_core="cannot unpack ${1##*/} (log: $2)"
		return 1
	fi
	mv -T "$new" "$cache/src/$name"
}

# Was the build configured with these words?
configured_as() # [-DNAME=VALUE...]
{
	local word

	for word; do
		grep -qxF -- "${word#-D}" <(sed 's/:[A-Z]*=/=/' "$top/build/CMakeCache.txt") || return 1
	done
}

# The words that give our build the source, or nothing.
provider_options() # sets provider_cmake
{
	rdma_core_source
	provider_cmake=()
	if [[ $rdma_core ]]; then
		provider_cmake=("-DRDMA_CORE_SOURCE=$rdma_core")
	elif [[ ${CI-} ]]; then
		die "no provider: $no_rdma_core"
	else
		say "the provider is left out: $no_rdma_core"
	fi
}

# --- tests: names of tests/provider/guest that run inside, each with both libraries at hand

plugin=providers/pinrxe/libpinrxe	# in the build folder; libibverbs adds -rdmav34.so

# What is of the provider alone runs on the stock kernel, which people have today; what the series has a
# part in, on the checking kernel.  Programs that poll share one CPU: with two in turn each would poll to the
# end of its turn.  The verbs, with their threads, have two at the same time.
plan_provider()
{
	local name
	local -a stock=() series=() last=() parallel=()

	for name in "$top"/tests/provider/guest/*; do
		name=${name##*/}
		selected "provider.$name" || continue
		case $name in
		# they take the device away
		gone | unplug) last+=("$name") ;;
		verbs) parallel=("$name") ;;
		pyverbs | select | tools | later | lease-stock) stock+=("$name") ;;
		*) series+=("$name") ;;
		esac
	done
	series+=("${last[@]}")
	((${#stock[@]} == 0)) || guest_task stock provider.stock provider_task provider.stock stock in-turn "${stock[@]}"
	((${#series[@]} == 0)) || guest_task test provider provider_task provider test in-turn "${series[@]}"
	((${#parallel[@]} == 0)) ||
		guest_task stock provider.verbs provider_task provider.verbs stock parallel "${parallel[@]}"
}

# All in one guest, one after the other.
provider_task() # TASK FLAVOUR in-turn|parallel NAME...
{
	local task=$1 kernel=$2 how=$3 name
	local -a names=()

	shift 3
	if [[ ! -e $top/build/$plugin-rdmav34.so ]]; then
		for name; do
			skip "provider.$name" "built without rdma-core source: $no_rdma_core"
		done
		return
	fi
	guest_defaults
	flavour=$kernel image=${images[$kernel]} limit=1500
	if [[ $how == parallel ]]; then
		parallel=1
	else
		smp=1
	fi
	for name; do
		! provider_prepare "$name" || names+=("$name")
	done
	boot env BUILD="$top/build" PLUGIN="$top/build/$plugin" PYVERBS="$pyverbs" LATER="$later/build/lib" \
		"$lab/inside/provider" "$top" "${names[@]}" >"$log/stderr" 2>&1
	for name in "${names[@]}"; do
		: >>"$PINVERBS_OUT/$name.result"
		provider_result "$name" "$PINVERBS_OUT/$name.result"
	done
	log_result "$task"
}

# Each prints TAP-like lines: "ok NAME", "skip NAME REASON", "FAIL NAME" with details below it.
provider_result() # NAME FILE
{
	local word name rest

	while read -r word name rest; do
		case $word in
		ok) pass "provider.$1.$name" ;;
		skip) skip "provider.$1.$name" "$rest" ;;
		FAIL) sed -n "/^FAIL ${name//\//\\/}\$/,/^\(ok\|FAIL\|skip\) /p" "$2" | grep '^ ' |
			fail "provider.$1.$name" ;;
		esac
	done < <(grep -E '^(ok|FAIL|skip) ' "$2")
	# the script says so at its end: what broke off before has failed
	grep -qx complete "$2" ||
		{ tail -n 10 "$2" "$PINVERBS_OUT/$1.stderr" "$log/stderr"; } 2>&1 | fail "provider.$1.complete"
}

# rdma-core's own tests come with Debian's pyverbs, as documentation, which an installation may
# leave out; then they are taken from the package itself.
pyverbs=''
# a tree of tests/provider/drop-in, of another release than this system's
later=''

provider_prepare() # NAME
{
	case $1 in
	pyverbs*) obtain_pyverbs ;;
	later) build_later ;;
	esac
}

# Another release than the system's, if need be that of Debian 13.
later_source() # sets core
{
	local here folder

	here=$(dpkg-query -W -f '${Version}' libibverbs1)
	here=${here%%-*}
	for folder in "$rdma_core" "$cache"/src/rdma-core-*; do
		core=$folder
		! grep -qs "^set(PACKAGE_VERSION \"$here\")" "$core/CMakeLists.txt" && [[ -f $core/CMakeLists.txt ]] &&
			return
	done
	return 1
}

build_later()
{
	local core

	if ! later_source; then
		lock rdma-core "obtains the rdma-core source"
		later_source || fetch_rdma_core trixie
		unlock rdma-core
		if ! later_source; then
			skip provider.later "no other release of rdma-core to try: ${no_rdma_core:-Debian 13 has this one}"
			return 1
		fi
	fi
	later=$cache/build/drop-in-${core##*/}
	[[ $core == "$cache"/src/* ]] || later=$log/drop-in
	await env RDMA_CORE_SOURCE="$core" SOURCE="$top" flock "$cache/locks/drop-in" \
		"$top/tests/provider/drop-in-build" "$later" >"$log/later" 2>&1 && return
	fail "provider.later.build" <"$log/later"
	return 1
}

obtain_pyverbs()
{
	local version installed=/usr/share/doc/rdma-core/tests

	version=$(dpkg-query -W -f '${Version}' python3-pyverbs)
	pyverbs=$cache/src/pyverbs-tests-$version
	[[ ! -d $pyverbs ]] || return 0
	scratch
	if [[ ! -d $installed ]]; then
		await env -C "$REPLY" apt-get -q download "python3-pyverbs=$version" >"$log/fetch" 2>&1
		await dpkg-deb -x "$REPLY"/python3-pyverbs_*.deb "$REPLY/x" >>"$log/fetch" 2>&1
		installed=$REPLY/x$installed
	fi
	if [[ ! -d $installed ]]; then
		fail "provider.pyverbs.obtain" <"$log/fetch"
		return 1
	fi
	mkdir "$REPLY/new" && cp -r "$installed" "$REPLY/new/tests" && gunzip -f "$REPLY"/new/tests/*.gz
	mv -T "$REPLY/new" "$pyverbs" 2>/dev/null || [[ -d $pyverbs ]]
}
