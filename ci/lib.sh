# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the scripts in ci/ share. Source it first; it changes to the top of the checkout.

set -euo pipefail
export LC_ALL=C

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"

build=$top/build
results=$build/results
cache=${CKPT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/linux-checkpoint}
jobs=${JOBS:-$(nproc)}
series=7.3			# the base: the newest release of this series
mkdir -p "$build/logs" "$results" "$cache"

note() { printf '==> %s\n' "$*" >&2; }
die()  { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# One user of the cache at a time, whichever checkout it works for. Held until the script ends;
# scripts that it calls inherit the lock.
lock_cache() {
	[[ ${CKPT_LOCKED:-} == "$cache" ]] && return
	exec 9>"$cache/lock"
	flock -n 9 || { note "waiting for another user of $cache"; flock 9; }
	export CKPT_LOCKED=$cache
}

# The files below the given folders: what is committed and what is about to be.
source_files() { git ls-files -co --exclude-standard --deduplicate -- "$@" | while IFS= read -r f; do
	[[ ! -e $f ]] || printf '%s\n' "$f"; done; }

# The entries of linux-patches/series.
series_entries() { sed -e 's/[[:space:]]*$//' -e '/^#/d' -e '/^$/d' linux-patches/series 2>/dev/null || :; }

# A field of an entry's header, continued lines joined.
entry_field() {	# FILE FIELD
	awk -v want="$2:" '/^$/ { exit }
		/^[ \t]/ { if (on) v = v $0; next }
		{ on = (index($0, want) == 1); if (on) v = substr($0, length(want) + 1) }
		END { gsub(/[ \t]+/, " ", v); sub(/^ /, "", v); print v }' "$1"
}

# An entry's message without its header and diff, and its diff.
entry_body() { awk 'diff { next } !body { body = /^$/; next } /^---$|^diff --git / { diff = 1; next } 1' "$1"; }
entry_diff() { awk '/^diff --git / { diff = 1 } diff' "$1"; }

# The counts of a stage, where the summary of `make test` finds them.
result() {	# STAGE PASSED FAILED SKIPPED
	printf '%d passed, %d failed, %d skipped\n' "$2" "$3" "$4" | tee "$results/$1.txt"
	[[ $3 == 0 ]]
}

# Sets MAKE_ARGS: how this machine's compilers are named. ci/deps.sh has put them there.
toolchain() {
	local v
	PATH=$cache/cargo/bin:$PATH
	if [[ -z ${LLVM:-} ]]; then
		for v in 19 20 21 22 18; do
			if command -v clang-$v ld.lld-$v >/dev/null; then LLVM=-$v; break; fi
		done
	fi
	if [[ -z ${RUSTC:-} ]]; then
		for v in rustc rustc-1.{96,95,93,91,89,88,85}; do
			if [[ -x /usr/bin/$v ]]; then RUSTC=/usr/bin/$v; break; fi
		done
	fi
	RUSTC=${RUSTC:-rustc}
	if [[ -z ${RUST_LIB_SRC:-} ]]; then
		for v in "$("$RUSTC" --print sysroot)/lib/rustlib/src/rust/library" \
			"/usr/src/${RUSTC##*/}/library" /usr/src/rustc-*/library; do
			if [[ -e $v/core/src/lib.rs ]]; then RUST_LIB_SRC=$v; break; fi
		done
	fi
	[[ ${LLVM:-} && ${RUST_LIB_SRC:-} ]] || die "no LLVM or no Rust library source: run 'make deps'"
	MAKE_ARGS=(-j"$jobs" LLVM="$LLVM" RUSTC="$RUSTC" RUST_LIB_SRC="$RUST_LIB_SRC")
}
