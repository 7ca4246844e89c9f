#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Build the guest's root image: a small Debian on ext4, its packages verified
# with Debian's keys. Prints the image's path. The image is kept in the cache
# under a key made of what it depends on, and is never written to by a guest.
#
# GUEST_ROOT=real: the larger one, with the programs that ci/test-real.sh runs.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

suite=trixie
size=768M
packages=(criu bc python3-minimal perl-base xz-utils openssl gawk procps
	util-linux iproute2 libc6-i386 strace busybox-static)
case ${GUEST_ROOT:-} in
'') name=$suite ;;
real)
	name=$suite-real size=1536M
	packages+=(gcc libc6-dev make python3 perl openjdk-21-jdk-headless)
	;;
*) die "no root image '$GUEST_ROOT': real, or none" ;;
esac

key=$(hash_of "$0" "$top/ci/guest/stage1")
image=$cache/rootfs-$name-$key.ext4
if [ -e "$image" ]; then
	echo "$image"
	exit 0
fi

[ "$(id -u)" = 0 ] || die "the root image is built as root (device nodes, ownership); run this once as root"
"$top/ci/deps-guest.sh"
mkdir -p "$cache"
exec 8>"$cache/rootfs.lock"
flock 8
if [ ! -e "$image" ]; then
	mirror=$(debian_mirror)
	tmp=$(mktemp -d "$cache/rootfs.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	note "building the guest's root image from ${mirror%% *}, suite $suite"
	printf 'deb [signed-by=%s] %s %s main\n' "${mirror#* }" "${mirror%% *}" "$suite" >"$tmp/sources.list"
	# The pages of the manual are left out, but for the folder that some packages want.
	# shellcheck disable=SC2016 # mmdebstrap's shell expands it
	mmdebstrap --quiet --mode=root --variant=minbase \
		--include="$(IFS=,; echo "${packages[*]}")" \
		--aptopt='Acquire::Languages "none"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--essential-hook='mkdir -p "$1"/usr/share/man/man1' \
		"$suite" "$tmp/root" "$tmp/sources.list" >&2
	rm -rf "$tmp/root"/var/cache/apt/* "$tmp/root"/var/lib/apt/lists/*
	install -D -m 755 "$top/ci/guest/stage1" "$tmp/root/sbin/ckpt-stage1"
	mkdir -p "$tmp/root/run/ckpt" "$tmp/root/scratch"
	echo ckpt >"$tmp/root/etc/hostname"
	truncate -s "$size" "$tmp/image"
	mke2fs -q -t ext4 -L ckpt-root -d "$tmp/root" "$tmp/image" >&2
	mv "$tmp/image" "$image"
fi
echo "$image"
