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
key=$(cat "$out"/tree/*.h "$out"/tree/checkpoint/* rust-checkpoint/include/uapi/linux/checkpoint.h "$0" |
	sha256sum)
if [ "$(cat "$out/key" 2>/dev/null)" != "$key" ]; then
	rm -rf "${out:?}/bin" "${out:?}/key"
	mkdir -p "$out/bin"
	pids=()
	for c in "$out"/tree/checkpoint/test_*.c; do
		name=${c##*/}
		name=${name%.c}
		(cd "${c%/*}" && gcc "${flags[@]}" -m64 -o "$out/bin/$name" "$name.c") &
		pids+=($!)
		(cd "${c%/*}" && gcc "${flags[@]}" -m32 -o "$out/bin/${name}_32" "$name.c") &
		pids+=($!)
	done
	for name in peer_init bench; do
		(cd "$out/tree/checkpoint" && gcc "${flags[@]}" -o "$out/bin/$name" "$name.c") &
		pids+=($!)
	done
	for p in "${pids[@]}"; do
		wait "$p" || die "a selftest does not build"
	done
	echo "$key" >"$out/key"
fi
ls "$out"/bin/*
