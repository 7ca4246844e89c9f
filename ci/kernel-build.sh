#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Builds the kernel of this checkout.
#
#   ci/kernel-build.sh [test|bench|bench-off|kasan|fault|off|lint|wide] [make target or option ...]
#
# test: with lockdep and friends, build/bzImage. bench: no debugging, build/bzImage-bench.
# bench-off: that without CONFIG_CHECKPOINT, build/bzImage-bench-off.
# kasan: build/bzImage-kasan. fault: build/bzImage-fault, with fault injection. off: without
# CONFIG_CHECKPOINT. lint: like bench, for the compilers' advice. wide: with what else the series
# touches. With targets, such as kernel/fork.o, only those are made.
#
# KERNEL_COMMIT= builds that commit of the series, in a work tree of its own.
. "$(dirname "$0")/lib.sh"

config=${1:-test}
shift || :
fragments=(ci/kernel.config)
case $config in
test)	fragments+=(ci/debug.config); image=$build/bzImage ;;
bench | bench-off) image=$build/bzImage-$config ;;
kasan)	fragments+=(ci/debug.config ci/kasan.config); image=$build/bzImage-kasan ;;
fault)	fragments+=(ci/debug.config ci/fault.config); image=$build/bzImage-fault ;;
off)	fragments+=(ci/debug.config); image= ;;
lint)	image= ;;
wide)	fragments+=(ci/wide.config); image= ;;
*)	die "no configuration '$config': test, bench, bench-off, kasan, fault, off, lint or wide" ;;
esac
if [[ $config != *off && $(series_entries) ]]; then fragments+=(ci/checkpoint.config); fi

[[ ${SKIP_DEPS:-} ]] || ci/deps.sh
toolchain
lock_cache
tree=$(ci/kernel-src.sh sync)
asked=("${fragments[@]}")
if [[ ${KERNEL_COMMIT:-} ]]; then
	[[ -e $tree-each ]] || git -C "$tree" worktree add -q --detach "$tree-each" base
	tree=$tree-each
	git -C "$tree" checkout -q --detach --force "$KERNEL_COMMIT"
	image=
	# The first half of the series does not know the feature yet. The second has to grant it, or
	# what builds is not what is asked for.
	git -C "$tree" grep -qF kernel/checkpoint/Kconfig -- init/Kconfig ||
		for i in "${!asked[@]}"; do
			[[ ${asked[i]} != ci/checkpoint.config ]] || unset "asked[i]"
		done
fi
obj=$cache/obj-${tree##*/linux-}-$config
log=$build/logs/kernel-$config.log
mkdir -p "$obj"

kmake() { make -C "$tree" O="$obj" LOCALVERSION= "${MAKE_ARGS[@]}" "$@"; }

# What the lines say last of each symbol, in their order: of the symbols of a choice, too, the last y
# is what counts.
last_words() {
	awk -F '[ =]' '/^CONFIG_/ { s = $1 } /^# CONFIG_/ { s = $2 } !/^(# )?CONFIG_/ { next }
		{ line[s] = $0; last[s] = NR } END { for (s in line) print last[s], line[s] }' |
		sort -n | cut -d' ' -f2-
}

# Fails where a fragment asks for what the kernel does not grant.
check_config() {
	local line bad=0
	while IFS= read -r line; do
		case $line in
		CONFIG_*=n)	! grep -q "^${line%=n}=" "$1" ;;
		CONFIG_*)	grep -qxF "$line" "$1" ;;
		esac || { note "not granted: $line"; bad=1; }
	done < <(cat "${asked[@]}" | last_words)
	((!bad)) || die "the configuration is not what ${asked[*]} ask for"
}

# .config is written only where it differs, so that nothing is built again for its time stamp, and
# made again only when something that it depends on has changed: the compilers are slow to ask.
configure() {
	local new=$obj/.config.new key
	key=$( (cat "${fragments[@]}" ci/kernel-build.sh; echo "${MAKE_ARGS[@]}"; "$RUSTC" --version
		"clang$LLVM" --version; git -C "$tree" ls-files -s '*Kconfig*') | sha256sum)
	if [[ -s $obj/.config && $(cat "$obj/.config.key" 2>/dev/null) == "$key" ]]; then return; fi
	kmake -s KCONFIG_CONFIG="$new" tinyconfig
	cat "$new" "${fragments[@]}" | last_words >"$new.merged"
	mv "$new.merged" "$new"
	kmake -s KCONFIG_CONFIG="$new" olddefconfig
	check_config "$new"
	cmp -s "$new" "$obj/.config" || cp "$new" "$obj/.config"
	echo "$key" >"$obj/.config.key"
}

run() {	# the last lines on the terminal where it fails, everything in the log
	local rc
	set +e	# not "if": that would turn -e off inside, too
	(set -e; "$@") >>"$log" 2>&1
	rc=$?
	set -e
	((rc)) || return 0
	grep -nE -A8 'error(\[|:)|undefined|not granted' "$log" | head -60 >&2 || tail -20 "$log" >&2
	die "failed; the whole log is ${log#"$top"/}"
}

: >"$log"
((!$#)) || image=
[[ ! $image ]] || rm -f "$image"	# no test runs on an old one
note "kernel '$config' in $obj"
start=$SECONDS
run configure
if (($#)); then
	run kmake "$@"
else
	run kmake bzImage
	[[ ! $image ]] || cp "$obj/arch/x86/boot/bzImage" "$image"
fi
note "kernel '$config' done in $((SECONDS - start)) s${image:+: ${image#"$top"/}}"
