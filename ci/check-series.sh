#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Proves of the series that it is what this checkout stands for and that it may be mailed:
#
# - `git am` on the pristine base gives the tree that the kernel is built from, byte for byte;
# - the kernel's own checkpatch.pl --strict has nothing to say on any patch but for two things:
#   the missing sign-off, which only the person who mails it may add (--no-signoff), and
#   FILE_PATH_CHANGES, as MAINTAINERS is changed in a patch of its own;
# - the document on what becomes of each member of a task names all that the base has, and no other;
# - with the feature off, what the hooks touch still compiles and asks for nothing that only the
#   feature has. (With it on, it is the kernel that all other tests run.)
#
#   ci/check-series.sh --quick   builds nothing
#   ci/check-series.sh --wide    instead of that: what the test kernel does not have of what the series
#                                touches, such as file systems, compiles
#   ci/check-series.sh --long    that, and the kernel after every single patch, with the feature on
#                                and off. Takes hours.
. "$(dirname "$0")/lib.sh"

stage=series
case ${1:-} in
--long) stage="series-long" ;;
--wide) stage="series-wide" ;;
esac
pass=0 fail=0
ok()  { pass=$((pass + 1)); echo "ok   $*"; }
bad() { fail=$((fail + 1)); echo "FAIL $*"; }

lock_cache
if [[ ! $(series_entries) ]]; then result $stage 0 0 1; exit; fi
ci/series.sh || { result $stage 0 1 0; exit; }
read -r tree want < <(ci/kernel-src.sh overlay-tree)
mails=("$build"/series/0*.patch)
patches=("${mails[@]:1}")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

am_gives_the_tree() {
	local -x GIT_CONFIG_GLOBAL=/dev/null	# signing, hooks, whitespace: not a matter of taste
	# Only the index is filled, and of the files those that the patches touch.
	git -c init.defaultBranch=am clone -q --shared --no-checkout "$tree" "$work/am"
	git -C "$work/am" config user.name am
	git -C "$work/am" config user.email am@localhost
	git -C "$work/am" sparse-checkout set --no-cone /COPYING
	git -C "$work/am" -c advice.detachedHead=false checkout -q base
	git -C "$work/am" am -q "${patches[@]}" || return
	[[ $(git -C "$work/am" rev-parse 'HEAD^{tree}') == "$want" ]] || {
		git -C "$work/am" diff --stat "$want" HEAD
		return 1
	}
}
if am_gives_the_tree; then ok "git am gives the tree that is built"; else bad "git am"; fi

ci/kernel-src.sh sync >/dev/null	# checkpatch looks things up in the tree
# (with the distribution's python, which has what its spdxcheck wants).
for p in "${patches[@]}"; do
	# A user-space program is no kernel code: attributes, volatile (what another process or
	# a signal changes), externs of the C library and errno are as they are there.
	ignore=FILE_PATH_CHANGES
	if grep -q '^+++ b/tools/testing/selftests/checkpoint/' "$p"; then
		ignore+=,VOLATILE,PREFER_DEFINED_ATTRIBUTE_MACRO,ARRAY_SIZE,AVOID_EXTERNS,ENOSYS
		ignore+=,EMBEDDED_FUNCTION_NAME,ARCH_DEFINES,CAMELCASE,MACRO_ARG_REUSE,BIT_MACRO
	fi
	# struct user_desc has a member "useable", and what file systems that are modules call in
	# Rust is exported next to its C declaration, not to its definition.
	ignore+=,TYPO_SPELLING,EXPORT_SYMBOL
	if said=$(cd "$tree" && PATH=/usr/bin:$PATH perl scripts/checkpatch.pl --strict --no-signoff --quiet --no-summary \
			--ignore "$ignore" "$p" 2>&1) && [[ ! $said ]]; then
		ok "checkpatch ${p##*/}"
	else
		printf '%s\n' "$said"
		bad "checkpatch ${p##*/}"
	fi
done

if said=$(tools/checkpoint/check-state.sh "$tree" Documentation/admin-guide/checkpoint-state.rst 2>&1); then
	ok "it is said of every member of a task what becomes of it"
else
	printf '%s\n' "$said"
	bad "members of a task"
fi

# The objects of the files that the hooks touch, as far as the test kernel builds them.
on=$cache/obj-${tree##*/linux-}-test off=$cache/obj-${tree##*/linux-}-off
objects() { sed -n 's/\.[cS]$/.o/p' | while read -r o; do [[ ! -e $on/$o ]] || echo "$o"; done; }

off_compiles() {
	local touched own
	mapfile -t touched < <(git -C "$tree" diff --name-only --diff-filter=M base series | objects)
	mapfile -t own < <(git -C "$tree" diff --name-only --diff-filter=A base series |
		sed 's/\.rs$/.c/' | sort -u | objects)
	((${#touched[@]} && ${#own[@]})) || { echo "nothing touched; is the kernel built?"; return 1; }
	ci/kernel-build.sh off "${touched[@]}" || return
	# What those objects ask for and only the feature's own objects have.
	(cd "$off" && nm -u "${touched[@]}") | awk 'NF == 2 { print $2 }' | sort -u >"$work/wanted"
	(cd "$off" && nm --defined-only "${touched[@]}") | awk 'NF == 3 { print $3 }' | sort -u >"$work/have"
	(cd "$on" && nm --defined-only -g "${own[@]}") | awk 'NF == 3 { print $3 }' | sort -u >"$work/own"
	[[ -s $work/wanted && -s $work/have && -s $work/own ]] || { echo "objects without symbols"; return 1; }
	comm -12 "$work/wanted" "$work/own" | comm -23 - "$work/have" >"$work/missing"
	[[ ! -s $work/missing ]] || { echo "missing with the feature off:"; cat "$work/missing"; return 1; }
}

wide_compiles() {
	local missing
	mapfile -t missing < <(git -C "$tree" diff --name-only --diff-filter=M base series -- '*.c' ':!tools' |
		sed 's/c$/o/' | while read -r o; do [[ -e $on/$o ]] || echo "$o"; done)
	((${#missing[@]})) || return 0
	echo "not in the test kernel: ${missing[*]}"
	ci/kernel-build.sh wide "${missing[@]}"
}
wide() {
	if wide_compiles; then ok "what the test kernel does not have compiles"; else bad "wide"; fi
}

each_patch_builds() {
	local commits commit subject config n=0
	mapfile -t commits < <(git -C "$tree" log --reverse --format='%H %s' base..series)
	for commit in "${commits[@]}"; do
		n=$((n + 1)) subject=${commit#* } commit=${commit%% *}
		for config in test off; do
			if KERNEL_COMMIT=$commit ci/kernel-build.sh "$config" </dev/null; then
				ok "builds after patch $n, $config: $subject"
			else
				bad "builds after patch $n, $config: $subject"
			fi
		done
		export SKIP_DEPS=1	# they are there now
	done
}

if [[ $stage == series-long ]]; then
	wide
	each_patch_builds
elif [[ $stage == series-wide ]]; then
	wide
elif [[ ${1:-} == --quick ]]; then
	:
elif off_compiles; then
	ok "with the feature off, what the hooks touch builds"
else
	bad "with the feature off"
fi
result $stage $pass $fail 0
