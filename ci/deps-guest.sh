#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Install what booting and driving a guest needs: QEMU, the root image's
# builder, compilers for 64-bit and 32-bit test programs, and the libraries that
# the peer suite is built against. Does nothing where all is there.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

packages=(qemu-system-x86 mmdebstrap e2fsprogs debian-archive-keyring
	gcc make libc6-dev dpkg-dev xz-utils
	libaio-dev libcap-dev libbpf-dev libnl-3-dev libnl-route-3-dev
	libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libelf-dev)

# 32-bit programs: gcc-multilib, unless a cross compiler is installed that it
# conflicts with; then the package below it, which does not.
if ! dpkg -s gcc-multilib >/dev/null 2>&1; then
	if command -v apt-get >/dev/null &&
		apt-get install -s --no-install-recommends gcc-multilib 2>/dev/null | grep -q '^Remv'; then
		packages+=("gcc-$(gcc -dumpversion)-multilib")
	else
		packages+=(gcc-multilib)
	fi
fi

missing=()
for p in "${packages[@]}"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || die "not a Debian or Ubuntu machine: install the likes of ${missing[*]}"
[ "$(id -u)" = 0 ] || die "not root: run 'apt-get install ${missing[*]}' first"
note "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
	apt-get update >/dev/null
	apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null
}
