#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What can be told of the text without running it.
#
#   ci/lint.sh             formatting, licence lines, shell, what must not be in the text
#   ci/lint.sh --fix       formats the Rust code
#   ci/lint.sh --objects   clippy and W=1 over the objects that are ours; builds part of a kernel.
#                          And the stack that functions take in build/bzImage's
. "$(dirname "$0")/lib.sh"

mode=${1:-}
stage=lint${mode:+-${mode#--}}
pass=0 fail=0
check() {	# TITLE COMMAND ...: what the command prints is what is wrong
	local title=$1 said
	shift
	said=$("$@" 2>&1) || said=${said:-failed}
	if [[ $said ]]; then
		fail=$((fail + 1)); printf 'FAIL %s\n%s\n' "$title" "$said"
	else
		pass=$((pass + 1)); printf 'ok   %s\n' "$title"
	fi
}

mapfile -t files < <(source_files . | while read -r f; do if grep -qI . "$f"; then echo "$f"; fi; done)
of() { printf '%s\n' "${files[@]}" | grep -E "$1" || :; }	# the files whose name matches
mapfile -t kernel_rust < <(of '^(rust-checkpoint|arch-x86)/.*\.rs$')
mapfile -t scripts < <(for f in "${files[@]}"; do
	if head -1 "$f" | grep -qE '^#! ?/(usr/)?bin/(env )?(ba)?sh'; then echo "$f"; fi; done)

# Every file says its licence, but for the licence itself and files that a program writes or that
# have no place for a comment.
spdx() {
	of '.' | grep -vE '^(COPYING|LICENSES/.*)$|(^|/)Cargo\.lock$|\.(json|tap|expected)$' |
		while read -r f; do
			if ! head -15 "$f" | grep -q 'SPDX-License-Identifier: .*GPL-2\.0'; then echo "$f"; fi
		done
}

# The names of package hosts come from the machine's own configuration; paths of a machine are
# nobody else's.
hosts() {
	of '.' | grep -v 'Cargo\.lock$' | xargs -d '\n' grep -nHE \
		'\b(deb|security|archive|ports|static|index|registry|proxy|mirrors?)\.[a-z0-9-]+\.(org|io|com|net)\b' || :
	of '.' | xargs -d '\n' grep -nHF -e "$top/" -e "$cache/" || :
}

# Kernel code doesn't panic. Tests may, and stand at the end of a file or in one of their own; what
# the compiler computes does so only in the compiler.
panics() {
	((!${#kernel_rust[@]})) || awk '
		FNR == 1 { test = FILENAME ~ /tests?\.rs$/; computed = 0 }
		/#!?\[cfg\(test\)\]|#\[kunit_tests/ { test = 1 }
		/^const _: \(\) = \{/ { computed = 1 }
		computed && /^\};/ { computed = 0 }
		test || computed || /^[ \t]*\/\// || /const _: \(\) = assert!/ { next }
		/\.(unwrap|expect)\(|(^|[^_a-z])(panic|todo|unimplemented|unreachable|assert|assert_eq|assert_ne)!/ {
			print FILENAME ":" FNR ": " $0 }' "${kernel_rust[@]}"
}

left_open() { of '.' | grep -v 'ci/lint\.sh' | xargs -d '\n' grep -nHwE 'TODO|FIXME|XXX|HACK' || :; }

# As the kernel's .rustfmt.toml says; file by file, for modules resolve only in the kernel tree.
format() {	# check|fix
	local f new=$build/formatted.rs only_check=(--check)
	for f in "${kernel_rust[@]}"; do
		rustfmt --edition 2021 --config newline_style=Unix <"$f" >"$new" || { echo "$f"; continue; }
		cmp -s "$new" "$f" || { echo "$f"; [[ $1 == check ]] || cat "$new" >"$f"; }
	done
	rm -f "$new"
	[[ $1 == check ]] || only_check=()
	[[ ! -e tools/checkpoint/Cargo.toml ]] ||
		cargo fmt --manifest-path tools/checkpoint/Cargo.toml --all -- -l "${only_check[@]}"
}

# clippy has to be of the compiler's own release, so it comes from where that came from.
clippy() {
	local package
	toolchain
	package=$(dpkg -S "$RUSTC" 2>/dev/null | cut -d: -f1)
	[[ ! $package ]] || ci/deps.sh "${package/rustc/rust}-clippy"
}

# A warning is ours if it points at a new file.
objects() {
	local own more obj
	mapfile -t own < <(ci/kernel-src.sh overlay | cut -f1 | grep -E '^(arch|kernel|mm|fs|rust)/.*\.(c|rs)$')
	mapfile -t more < <(printf '%s\n' "${own[@]}" | grep -v '^kernel/checkpoint/\|^rust/' | sed -n 's/\.c$/.o/p')
	obj=$cache/obj-$(basename "$(ci/kernel-src.sh path)" | sed 's/^linux-//')-lint
	# What is up to date would say nothing.
	(cd "$obj" 2>/dev/null && rm -f rust/kernel.o rust/helpers/helpers.o kernel/checkpoint/*.o "${own[@]/%.c/.o}")
	ci/kernel-build.sh lint CLIPPY=1 W=1 CLIPPY_DRIVER="${RUSTC/rustc/clippy-driver}" kernel/checkpoint/ \
		"${more[@]}" 2>/dev/null ||
		tail -40 "$build/logs/kernel-lint.log"
	awk -v own="$(IFS='|'; echo "${own[*]//./[.]}")" -v RS= \
		'/(^|\n)[^\n]*(warning|error)[^\n]*:/ && $0 ~ "(^|[ /\n])(" own "):[0-9]" { print $0 "\n" }' \
		"$build/logs/kernel-lint.log"
}

# rustc has no -Wframe-larger-than: what our functions take of the stack, where the limit of the kernel
# (CONFIG_FRAME_WARN) is 2,048 bytes. In the kernel that is tested: clippy's objects are less optimised.
frames() {
	local tree obj
	tree=$(ci/kernel-src.sh path)
	obj=$cache/obj-${tree##*/linux-}-test
	objdump -d "$obj"/kernel/checkpoint/*.o "$obj"/{mm,fs}/checkpoint.o |
		grep -v 'add .*,%rsp$' |	# it takes the end of a function for more
		perl "$tree/scripts/checkstack.pl" x86_64 2048 || :
}

case $mode in
--fix)	format fix; exit ;;
--objects)
	if [[ ! $(series_entries) ]]; then result "$stage" 0 0 1; exit; fi
	clippy	# not in the check: that it is installed is nothing wrong
	check 'clippy and W=1' objects
	check 'stack frames' frames ;;
'')
	check 'licence lines' spdx
	check 'no package hosts, no paths of this machine' hosts
	check 'no panics in kernel code' panics
	check 'nothing left open' left_open
	check 'rustfmt' format check
	check 'shellcheck' shellcheck "${scripts[@]}" ;;
*)	die "usage: $0 [--fix|--objects]" ;;
esac
result "$stage" $pass $fail 0
