#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Installs what the kernel build needs and this machine lacks; with arguments, those packages
# instead. Debian and Ubuntu by apt; elsewhere it says what to install.
. "$(dirname "$0")/lib.sh"

bindgen_version=0.73.2		# what cargo installs where the distribution's is too old
bindgen_min=0.71.1
rust_min=1.85

missing() { local p; for p; do
	[[ $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) == *" installed" ]] || echo "$p"; done; }

as_root() {
	if [[ $EUID == 0 ]]; then "$@"
	elif command -v sudo >/dev/null; then sudo "$@"
	else die "not root and no sudo; run as root: $*"; fi
}

updated=
update() { [[ $updated ]] || as_root apt-get -qq update; updated=1; }

install() {
	local list
	mapfile -t list < <(missing "$@")
	((${#list[@]})) || return 0
	note "installing ${list[*]}"
	update
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -y --no-install-recommends install "${list[@]}" >"$build/logs/apt.log" 2>&1 ||
		{ tail -20 "$build/logs/apt.log" >&2; die "apt-get could not install ${list[*]}"; }
}

at_least() { dpkg --compare-versions "${1:-0}" ge "$2"; }
candidate() { apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)" { print $2 }'; }

if ! command -v apt-get >/dev/null; then
	cat >&2 <<-'EOF'
	This system has no apt. Install, by its own package manager: clang, lld and llvm 18 or
	newer with libclang; rustc 1.85 or newer with its library source, rustfmt and cargo;
	bindgen 0.71.1 or newer; GNU make, flex, bison, bc, perl, python3, git, cpio, rsync, xz,
	kmod, and the headers of libelf and OpenSSL. Then run make with SKIP_DEPS=1
	KERNEL_SRC=<a Linux 7.3 tree>, and LLVM=, RUSTC= and RUST_LIB_SRC= where they are not
	found.
	EOF
	exit 1
fi

if (($#)); then install "$@"; exit; fi

pick() {	# sets llvm and rust: the first that there is
	local v
	for v in 19 20 21 22 18; do
		if [[ $(candidate "clang-$v") ]]; then llvm=$v; break; fi
	done
	for v in rustc-web:rust-web-src rustc:rust-src rustc-1.{96,95,93,91,89,88,85}; do
		case $v in
		*:*)	rust=("${v%:*}" "${v#*:}") ;;
		*)	rust=("$v" "rust-${v#rustc-}-src") ;;
		esac
		if at_least "$(candidate "${rust[0]}")" $rust_min && [[ $(candidate "${rust[1]}") ]]; then
			return
		fi
	done
	rust=()
	return 1
}

llvm='' rust=()
pick || { update; pick; } || die "no rustc $rust_min or newer in this system's package sources"
[[ $llvm ]] || die "no clang between 18 and 22 in this system's package sources"

install "clang-$llvm" "lld-$llvm" "llvm-$llvm" "libclang-$llvm-dev" "${rust[@]}" \
	gcc libc6-dev make flex bison bc perl libelf-dev libssl-dev cpio rsync xz-utils kmod \
	python3 python3-ply python3-git git shellcheck ca-certificates

# cargo and rustfmt: the machine's own, whatever put them there.
web=${rust[0]#rustc}
[[ $web == -web ]] || web=
if ! at_least "$(cargo --version 2>/dev/null | awk '{ print $2 }')" $rust_min; then
	for v in "cargo$web" "cargo${rust[0]#rustc}"; do
		if [[ $(candidate "$v") ]]; then install "$v"; break; fi
	done
fi
if ! rustfmt --version >/dev/null 2>&1; then install "rustfmt$web"; fi

PATH=$cache/cargo/bin:$PATH
if ! at_least "$(bindgen --version 2>/dev/null | awk '{ print $2 }')" $bindgen_min; then
	if at_least "$(candidate bindgen)" $bindgen_min; then
		install bindgen
	else
		note "building bindgen $bindgen_version"
		cargo install --quiet --locked --root "$cache/cargo" --version $bindgen_version bindgen-cli \
			>"$build/logs/bindgen.log" 2>&1 ||
			{ tail -20 "$build/logs/bindgen.log" >&2; die "cargo could not build bindgen"; }
	fi
fi
