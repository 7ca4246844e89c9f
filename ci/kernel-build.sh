#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Builds the kernel of this checkout.
#
#   ci/kernel-build.sh [test|bench|kasan|off] [make target or option ...]
#
# test: with lockdep and friends, build/bzImage. bench: no debugging, build/bzImage-bench.
# kasan: build/bzImage-kasan. off: without CONFIG_CHECKPOINT; with targets, only those are made
# (in all of them), as a path in the kernel tree such as kernel/fork.o.
. "$(dirname "$0")/lib.sh"

config=${1:-test}
shift || :
fragments=(ci/kernel.config)
case $config in
test)	fragments+=(ci/debug.config); image=$build/bzImage ;;
bench)	image=$build/bzImage-bench ;;
kasan)	fragments+=(ci/debug.config ci/kasan.config); image=$build/bzImage-kasan ;;
off)	fragments+=(ci/debug.config); image= ;;
*)	die "no configuration '$config': test, bench, kasan or off" ;;
esac
if [[ $config != off && $(series_entries) ]]; then fragments+=(ci/checkpoint.config); fi

[[ ${SKIP_DEPS:-} ]] || ci/deps.sh
toolchain
lock_cache
tree=$(ci/kernel-src.sh sync)
obj=$cache/obj-${tree##*/linux-}-$config
log=$build/logs/kernel-$config.log
mkdir -p "$obj"

kmake() { make -C "$tree" O="$obj" "${MAKE_ARGS[@]}" "$@"; }

# Fails where a fragment asks for what the kernel does not grant.
check_config() {
	local line bad=0
	while IFS= read -r line; do
		case $line in
		CONFIG_*=n)	! grep -q "^${line%=n}=" "$1" ;;
		CONFIG_*)	grep -qxF "$line" "$1" ;;
		esac || { note "not granted: $line"; bad=1; }
	done < <(cat "${fragments[@]}")
	((!bad)) || die "the configuration is not what ${fragments[*]} ask for"
}

# .config is replaced only where it differs, so that nothing is built again for its time stamp.
configure() {
	local new=$obj/.config.new
	kmake -s KCONFIG_CONFIG="$new" tinyconfig
	cat "${fragments[@]}" >>"$new"
	kmake -s KCONFIG_CONFIG="$new" olddefconfig
	check_config "$new"
	cmp -s "$new" "$obj/.config" || cp "$new" "$obj/.config"
}

run() {	# the last lines on the terminal where it fails, everything in the log
	"$@" >>"$log" 2>&1 || { grep -nE 'error|Error|undefined|warning:' "$log" | tail -40 >&2
		tail -15 "$log" >&2; die "failed; the whole log is ${log#"$top"/}"; }
}

: >"$log"
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
