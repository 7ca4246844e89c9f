#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Build the selftests of this checkout, 64 bits wide and 32, static, into
# build/selftests/bin, and print the programs.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

"$top/ci/deps-guest.sh"
src=tools/testing/selftests/checkpoint
harness=${KSELFTEST_DIR:-$(ci/kernel-src.sh path)/tools/testing/selftests}
[ -e "$harness/kselftest_harness.h" ] || die "no kselftest_harness.h in $harness"
out=$build/selftests
mkdir -p "$out/bin"
# As in the kernel tree: the harness is one folder up.
rm -rf "$out/tree"
mkdir -p "$out/tree/checkpoint"
cp "$harness/kselftest.h" "$harness/kselftest_harness.h" "$harness/lib.mk" "$out/tree/"
cp "$src"/*.c "$src"/*.h "$src/Makefile" "$out/tree/checkpoint/"

flags=(-O2 -g -Wall -Wextra -Werror -Wno-format-truncation -Wno-unused-parameter
	-fno-pie -no-pie -static -D_GNU_SOURCE -I "$top/rust-checkpoint/include/uapi")
[ -e /usr/include/asm ] || flags+=(-idirafter /usr/include/x86_64-linux-gnu)
# Builds $1 from its source, $2, with the flag $3, if anything it is made of has changed.
common=$(cat "$out"/tree/*.h "$out"/tree/checkpoint/*.h rust-checkpoint/include/uapi/linux/checkpoint.h "$0" |
	sha256sum)
program() {
	local key
	key=$common$(sha256sum <"$2.c")$3
	[ "$(cat "$out/bin/.$1.key" 2>/dev/null)" != "$key" ] || return 0
	gcc "${flags[@]}" "$3" -o "$out/bin/$1" "$2.c" || return
	echo "$key" >"$out/bin/.$1.key"
}

mkdir -p "$out/bin"
wanted=()
for c in "$out"/tree/checkpoint/test_*.c; do
	name=${c##*/}
	name=${name%.c}
	wanted+=("$name $name -m64" "${name}_32 $name -m32")
done
wanted+=("peer_init peer_init -m64" "bench bench -m64" "cost cost -m64")
for b in "$out"/bin/*; do	# of a source that is gone
	[[ " ${wanted[*]} " == *" ${b##*/} "* ]] || rm -f "$b"
done
pids=()
for w in "${wanted[@]}"; do
	if [ ${#pids[@]} -ge "$jobs" ]; then
		wait "${pids[0]}" || die "a selftest does not build"
		pids=("${pids[@]:1}")
	fi
	# shellcheck disable=SC2086 # words are wanted
	(cd "$out/tree/checkpoint" && program $w) &
	pids+=($!)
done
for p in "${pids[@]}"; do
	wait "$p" || die "a selftest does not build"
done
ls "$out"/bin/*
