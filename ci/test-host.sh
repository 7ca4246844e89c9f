#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What can be tested without a kernel of ours: the image library and ckpt.
#
#   ci/test-host.sh [SECONDS]	how long each fuzzer runs, 20 if not said
#
# Unit, property and integration tests; clippy with the kernel's lints and rustdoc, without a
# warning; Miri and the fuzzers where there is a nightly toolchain with what they need.
. "$(dirname "$0")/lib.sh"

fuzz_seconds=${1:-${FUZZ_SECONDS:-20}}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$build/cargo} CARGO_TERM_COLOR=never
cd tools/checkpoint
pass=0 fail=0 skip=0

# One check that passes or fails as its command does.
check() {	# TITLE COMMAND ...
	local log=$build/logs/host-${1//[^a-z]/-}.log
	if "${@:2}" >"$log" 2>&1; then
		pass=$((pass + 1)); printf 'ok   %s\n' "$1"
	else
		fail=$((fail + 1)); printf 'FAIL %s\n' "$1"; tail -60 "$log"
	fi
}

# A run of tests; each of them counts.
tests() {	# TITLE COMMAND ...
	local log=$build/logs/host-${1//[^a-z]/-}.log rc=0 p f s
	"${@:2}" >"$log" 2>&1 || rc=$?
	read -r p f s < <(awk '/^test result: / { p += $4; f += $6; s += $8 }
		/^test .* \.\.\. skipped|^skipped: / { s++; p-- }
		END { print p + 0, f + 0, s + 0 }' "$log")
	((!rc || f)) || f=1	# did not build, or did not end
	pass=$((pass + p)) fail=$((fail + f)) skip=$((skip + s))
	printf '%s %s: %d passed, %d failed, %d skipped\n' "$( ((f)) && echo FAIL || echo 'ok  ')" "$1" "$p" "$f" "$s"
	if ((f)); then grep -vE '^test .* ok$' "$log" | tail -80; fi
	grep -E '^skipped: ' "$log" || :
}

skipped() { skip=$((skip + 1)); printf 'skip %s: %s\n' "$1" "$2"; }

tests 'cargo test' cargo test --locked --workspace --no-fail-fast -- --show-output
if cargo clippy --version >/dev/null 2>&1; then
	check clippy cargo clippy --locked --workspace --all-targets -- -D warnings
else
	skipped clippy 'not installed'
fi
check rustdoc env RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps \
	--document-private-items
check 'static build' ../../ci/build-tools.sh

nightly=
if cargo +nightly --version >/dev/null 2>&1; then nightly=y; fi
if [[ $nightly ]] && cargo +nightly miri --version >/dev/null 2>&1; then
	# A second machine has the other byte order: what is read as little-endian is that there, too.
	export MIRIFLAGS=-Zmiri-disable-isolation
	for machine in "$(uname -m)" s390x; do
		tests "miri ($machine)" env CARGO_TARGET_DIR="$build/cargo-miri" cargo +nightly miri test \
			--locked --package checkpoint-sample --test small --target "$machine-unknown-linux-gnu"
	done
else
	skipped miri 'no nightly toolchain with miri'
fi

# What cargo-fuzz would have set; without it, for it is one more thing to install.
fuzz_flags=(--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
	-Zsanitizer=address -Cdebug-assertions)
fuzz() {	# TARGET
	local corpus=$build/fuzz/$1
	mkdir -p "$corpus" "$build/fuzz/failed"
	"$build/cargo-fuzz/$(uname -m)-unknown-linux-gnu/release/$1" -max_total_time="$fuzz_seconds" \
		-max_len=40000 -timeout=10 -artifact_prefix="$build/fuzz/failed/$1-" \
		-print_final_stats=1 "$corpus" "$build/fuzz/seeds/$1"
}
fuzz_build() {
	env CARGO_TARGET_DIR="$build/cargo-fuzz" RUSTFLAGS="${fuzz_flags[*]}" cargo +nightly build --release --locked \
		--manifest-path fuzz/Cargo.toml --target "$(uname -m)-unknown-linux-gnu" &&
		cargo run --quiet --locked --package checkpoint-sample -- seeds "$build/fuzz/seeds"
}
if [[ $nightly ]] && command -v c++ >/dev/null; then
	check 'fuzzers build' fuzz_build
	check "fuzz: images, $fuzz_seconds s" fuzz image
	check "fuzz: metadata, $fuzz_seconds s" fuzz metadata
else
	skipped fuzz 'no nightly toolchain, or no C++ compiler'
fi

result host $pass $fail $skip
