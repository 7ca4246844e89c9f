#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Builds ckpt as one file that needs nothing, for this machine and for a guest: build/ckpt
#
# It is linked with the C library's static archive (libc6-dev has it), so that it runs in a root
# image without that library, or with another version of it.
. "$(dirname "$0")/lib.sh"

target=$(uname -m)-unknown-linux-gnu
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$build/cargo}
RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --locked --release \
	--manifest-path tools/checkpoint/Cargo.toml --package ckpt --target "$target"
install -m 755 "$CARGO_TARGET_DIR/$target/release/ckpt" "$build/ckpt.new"
if ldd "$build/ckpt.new" 2>/dev/null | grep -q '=>'; then
	die "ckpt needs libraries: $(ldd "$build/ckpt.new" | awk '{ print $1 }' | xargs)"
fi
"$build/ckpt.new" --version >/dev/null
mv "$build/ckpt.new" "$build/ckpt"
note "build/ckpt: $(stat -c %s build/ckpt) bytes"
