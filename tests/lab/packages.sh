# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# Installs the Debian packages that are missing, after saying which.

missing_packages() # [test]; sets missing
{
	local -a wanted
	local name

	mapfile -t wanted < <(awk -v set="${1-}" '!/^#/ && ($2 == "" || $2 == set) { print $1 }' "$lab/packages")
	declare -A have=()
	while read -r name; do
		have[$name]=1
	done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
		sed -n 's/^installed //p')
	missing=()
	for name in "${wanted[@]}"; do
		[[ ${have[$name]-} ]] || missing+=("$name")
	done
}

install_packages() # [test]: with those that only the tests need
{
	local -a missing as_root=()
	local log unknown

	command -v dpkg-query >/dev/null ||
		die "this is not a Debian system (no dpkg-query): pinverbs needs Debian 12 or later"
	missing_packages "$@"
	((${#missing[@]})) || return 0

	say "missing packages: ${missing[*]}"
	command -v apt-get >/dev/null ||
		die "no apt-get here: install them by hand"
	if ((EUID != 0)); then
		if ! command -v sudo >/dev/null || ! { sudo -n true || [[ -t 0 ]]; } 2>/dev/null; then
			die "cannot install them: neither root nor sudo; run as root: apt-get install ${missing[*]}"
		fi
		as_root=(sudo)
	fi
	lock packages "installs packages"
	missing_packages "$@"
	if ((${#missing[@]})); then
		log=$cache/packages.log
		say "installing them with ${as_root[*]}${as_root:+ }apt-get (log: $log)"
		fetch_packages
	fi
	unlock packages
}

fetch_packages() # of install_packages: missing, as_root, log
{
	local -a apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q
		-o DPkg::Lock::Timeout=600)
	local unknown

	"${apt[@]}" update >"$log" 2>&1 ||
		say "apt-get update failed; trying with the lists as they are"
	if ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
		unknown=$(sed -n 's/^E: Unable to locate package //p; s/^E: Package .\(.*\). has no installation candidate/\1/p' "$log" | paste -sd ' ')
		if [[ $unknown ]]; then
			die "apt knows no package $unknown: add Debian's main and security suites to its sources (log: $log)"
		elif grep -q "No space left on device\|don't have enough free space" "$log"; then
			die "no disk space for packages: free some (log: $log)"
		elif grep -Eq 'Temporary failure resolving|Could not resolve|Could not connect|Network is unreachable|Failed to fetch' "$log"; then
			die "no network: cannot fetch ${missing[*]}; connect and run again (log: $log)"
		fi
		die "apt-get install failed: see $log"
	fi
	hash -r
}
