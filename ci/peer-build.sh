#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: peer-build.sh AREA 64|32
#
# Fetch CRIU's source package with the package manager, verified by it, and build
# the area's test programs, static. Prints the directory that they are in. Both
# are kept in the cache.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

[ $# = 2 ] || die "usage: peer-build.sh AREA 64|32"
area=$1 width=$2
suite=trixie
list=$top/ci/peer/zdtm-open.txt

"$top/ci/deps-guest.sh"
mapfile -t names < <(awk -F'\t' -v area="$area" '$1 == area { print $2 }' "$list")
[ ${#names[@]} -gt 0 ] || die "no area '$area' in $list"

exec 8>"$cache/peer.lock"
flock 8

# The source: what is there already, or what the package manager gets.
tarball=$(find "$cache" -maxdepth 1 -name 'criu_*.orig.tar.*' | sort -V | tail -n 1)
if [ -z "$tarball" ]; then
	apt=$cache/apt-$suite
	mapfile -t options < <(private_apt "$apt" "$suite")
	note "fetching the source package criu from $suite"
	apt-get "${options[@]}" -qq update >&2
	tmp=$(mktemp -d "$cache/criu.XXXXXX")
	(cd "$tmp" && apt-get "${options[@]}" -qq source --tar-only --download-only criu >&2)
	mv "$tmp"/criu_*.orig.tar.* "$cache/"
	rmdir "$tmp"
	tarball=$(find "$cache" -maxdepth 1 -name 'criu_*.orig.tar.*' | sort -V | tail -n 1)
fi
version=${tarball##*/criu_}
version=${version%.orig.tar.*}

tree=$cache/zdtm-$version-$width-$(gcc -dumpfullversion)
if [ ! -e "$tree/.complete" ]; then
	rm -rf "$tree"
	mkdir -p "$tree"
	tar -xf "$tarball" -C "$tree" --strip-components=1
	touch "$tree/.complete"
fi

args=("LDFLAGS=-static" "USERCFLAGS=-Wno-error")
if [ "$width" = 32 ]; then
	args=("LDFLAGS=-static -m32" "USERCFLAGS=-Wno-error" COMPAT_TEST=y)
	# gcc-multilib's link to these is absent next to a cross compiler.
	[ -e /usr/include/asm ] || args[1]+=" -idirafter /usr/include/x86_64-linux-gnu"
fi
{
	make -C "$tree/test/zdtm/lib" "${args[@]}"
	make -k -C "$tree/test/zdtm/static" "${args[@]}" "${names[@]}" ||
		echo "not everything was built"
} >"$build/logs/peer-build-$area-$width.log" 2>&1 ||
	die "building failed: $build/logs/peer-build-$area-$width.log"
echo "$tree/test/zdtm/static"
