#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# The kernel tree: found, verified and unpacked once, then kept equal to this checkout.
#
#   ci/kernel-src.sh sync     lay the checkout over the base; print the tree's path
#   ci/kernel-src.sh path     print the tree's path
#   ci/kernel-src.sh diff     what was edited in the tree since the last sync
#   ci/kernel-src.sh update   look for a newer release of the series
#
# The tree is a git repository of its own whose tag `base` is the pristine source. A sync computes
# the wanted tree as a git object and lets git move the files there: what does not differ keeps its
# time stamp, so kbuild builds only what changed, and what went away is as it was in the base.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/guest-lib.sh"	# private_apt

package=linux-source-$series
suites="trixie-backports sid forky"

# Downloads the newest package of the series; its verified .deb is all that is left behind. The
# machine's own mirror and keyring are asked for other suites, in an apt state of our own.
fetch_package() {
	local apt=$cache/apt options version
	rm -rf "$apt"
	mkdir -p "$cache/downloads"
	mapfile -t options < <(private_apt "$apt" "$suites")
	options+=(-o Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=false)
	note "looking for $package"
	# A mirror need not have every suite; what counts is whether one of them has the package.
	apt-get -qq "${options[@]}" update >"$build/logs/apt-base.log" 2>&1 || :
	version=$(apt-cache "${options[@]}" madison "$package" |
		awk '{ print $3 }' | grep "^${series//./[.]}[.]" | sort -rV | head -1) || :
	[[ $version ]] || { cat "$build/logs/apt-base.log" >&2; die "no $package in $suites: set KERNEL_SRC="; }
	note "base: $package $version"
	(cd "$cache/downloads" && apt-get -qq "${options[@]}" download "$package=$version") >&2
	base_deb=$(ls "$cache/downloads/${package}_${version//:/%3a}"_*.deb)
	base_key=$version
	rm -rf "$apt"
}

import() {	# commits the files of the current folder as the tag `base`
	export GIT_AUTHOR_NAME=base GIT_AUTHOR_EMAIL=base@localhost GIT_AUTHOR_DATE='2000-01-01T00:00:00Z'
	export GIT_COMMITTER_NAME=base GIT_COMMITTER_EMAIL=base@localhost GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
	export GIT_CONFIG_GLOBAL=/dev/null	# no signing, no hooks
	git init -q
	git_config
	git -c core.compression=1 add -A -f
	git commit -q -m "$1"
	git tag base
}

git_config() {
	git config gc.auto 0
	git config core.fsync none
	git config core.autocrlf false
	git config advice.detachedHead false
}

tree_of() { printf '%s\n' "$cache/linux-${1//[^A-Za-z0-9.-]/-}"; }

# Sets $tree: the folder of the base that is asked for, made where it is not there yet.
find_base() {
	local new git_dir='' base_deb='' base_key
	tree=
	if [[ ${KERNEL_SRC:-} ]]; then
		KERNEL_SRC=$(cd "$KERNEL_SRC" && pwd)
		if git -C "$KERNEL_SRC" rev-parse -q --verify HEAD >/dev/null 2>&1 && [[ -e $KERNEL_SRC/.git ]]; then
			git_dir=$KERNEL_SRC
			base_key=git-$(git -C "$git_dir" rev-parse --short=12 HEAD)
		else
			base_key=dir-$(cd "$KERNEL_SRC" && find . -name .git -prune -o -type f -printf '%P %s %T@\n' | sort |
				sha256sum | cut -c1-12)
		fi
	else
		base_key=$(cat "$cache/base-$series" 2>/dev/null || :)
		[[ ${1:-} != update && $base_key && -e $(tree_of "$base_key")/.git ]] || fetch_package
	fi
	tree=$(tree_of "$base_key")
	if [[ ! -e $tree/.git ]]; then
		note "unpacking the base to $tree"
		new=$tree.new
		rm -rf "$new"
		mkdir "$new"
		if [[ $git_dir ]]; then
			git -C "$new" init -q
			(cd "$new" && git_config)
			git -C "$new" fetch -q --depth 1 "file://$git_dir" HEAD
			git -C "$new" tag base FETCH_HEAD
			git -C "$new" checkout -q --detach base
		elif [[ ${KERNEL_SRC:-} ]]; then
			cp -a "$KERNEL_SRC/." "$new"
			rm -rf "$new/.git"
			(cd "$new" && import "Linux $(make -s kernelversion), a folder")
		else
			dpkg-deb --fsys-tarfile "$base_deb" |
				tar -xO "./usr/src/$package.tar.xz" | tar -xJ -C "$new" --strip-components=1
			(cd "$new" && import "Linux, Debian's $package $base_key")
		fi
		[[ $(make -s -C "$new" kernelversion) == "$series".* ]] || die "the base is not Linux $series"
		rm -rf "$tree"
		mv "$new" "$tree"
	fi
	[[ ${KERNEL_SRC:-} ]] || echo "$base_key" >"$cache/base-$series"
}

# Prints "kernel path, tab, path here" of every new file.
overlay() {
	source_files rust-checkpoint arch-x86 Documentation tools/checkpoint tools/testing/selftests/checkpoint |
		sed -e 's#^rust-checkpoint/\(.*\)#\1\t&#;t' -e 's#^arch-x86/\(.*\)#arch/x86/\1\t&#;t' \
			-e 's#.*#&\t&#'
}

# Prints the git tree that this checkout stands for.
overlay_tree() {
	local entry path from clash
	export GIT_INDEX_FILE=$tree/.git/overlay-index
	git -C "$tree" read-tree base
	clash=$(comm -12 <(overlay | cut -f1 | sort) <(git -C "$tree" ls-files | sort))
	[[ ! $clash ]] || die "in the base already, so a hook patch must change it: $clash"
	while read -r entry; do
		[[ $entry == *.patch ]] || continue
		entry_diff "linux-patches/$entry" | git -C "$tree" apply --cached --whitespace=nowarn ||
			die "linux-patches/$entry does not apply"
	done < <(series_entries)
	while IFS=$'\t' read -r path from; do
		printf '%s %s\t%s\n' "$([[ -x $from ]] && echo 100755 || echo 100644)" \
			"$(git -C "$tree" hash-object -w "$top/$from")" "$path"
	done < <(overlay) | git -C "$tree" update-index --index-info
	git -C "$tree" write-tree
	unset GIT_INDEX_FILE
}

stray() {
	git -C "$tree" update-index -q --refresh >/dev/null || :
	git -C "$tree" diff-files -p
	git -C "$tree" ls-files -o --exclude-standard | while read -r f; do
		git -C "$tree" diff --no-index -- /dev/null "$f" || :
	done
}

sync() {
	local want edits
	want=$(overlay_tree)
	edits=$(stray)
	if [[ $edits ]]; then
		printf '%s\n' "$edits" >"$build/stray-edits-$(date +%Y%m%d-%H%M%S).diff"
		note "edits in $tree were put aside as build/stray-edits-*.diff"
	fi
	git -C "$tree" read-tree -u --reset "$want"
	git -C "$tree" clean -fdxq
}

lock_cache
case ${1:-} in
sync)	find_base; sync; echo "$tree" ;;
path)	find_base; echo "$tree" ;;
diff)	find_base; stray ;;
update)	find_base update; echo "$tree" ;;
overlay-tree)	find_base; echo "$tree $(overlay_tree)" ;;
overlay)	overlay ;;
*)	die "usage: $0 sync|path|diff|update" ;;
esac
