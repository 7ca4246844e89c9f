#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Writes the series as mail to build/series/, from the source folders and linux-patches/ (whose
# README says how). In the kernel tree's repository it is the branch `series`.
. "$(dirname "$0")/lib.sh"

prefix=${SERIES_PREFIX:-RFC PATCH}
out=$build/series
lock_cache
tree=$(ci/kernel-src.sh path)
mapfile -t entries < <(series_entries)
rm -rf "$out"
mkdir -p "$out"
if ((!${#entries[@]})); then note "linux-patches/series names no patch yet"; exit 0; fi

# Which patch adds which file; all that is wrong is said before giving up.
declare -A from owner
wrong=0
wrong() { note "$*"; wrong=1; }
while IFS=$'\t' read -r path file; do from[$file]=$path; done < <(ci/kernel-src.sh overlay)
for e in "${entries[@]}" 0000-cover-letter.msg; do
	f=linux-patches/$e
	[[ -f $f ]] || { wrong "$f: missing"; continue; }
	[[ $(entry_field "$f" Subject) ]] || wrong "$f: no Subject"
	[[ $(entry_body "$f") ]] || wrong "$f: no message"
	[[ $e == *.patch || $e == *.msg ]] || { wrong "$f: neither .patch nor .msg"; continue; }
	if [[ $e == *.patch ]]; then
		while read -r path; do
			git -C "$tree" cat-file -e "base:$path" 2>/dev/null ||
				wrong "$f: $path is not in the base"
		done < <(entry_diff "$f" | git apply --numstat | cut -f3)
	fi
	read -ra patterns <<<"$(entry_field "$f" Files)"
	((${#patterns[@]})) || [[ $e == *.patch || $e == 0000-* ]] || wrong "$f: no Files"
	but=()
	for p in "${patterns[@]}"; do
		[[ $p != !* ]] || but+=(":(exclude,glob)${p#!}")
	done
	for p in "${patterns[@]}"; do
		[[ $p != !* ]] || continue
		hit=
		while read -r file; do
			[[ ${from[$file]:-} ]] || { wrong "$f: $file is not part of the kernel tree"; continue; }
			[[ ${owner[$file]:-$e} == "$e" ]] || wrong "$file: in ${owner[$file]} and in $e"
			owner[$file]=$e
			hit=1
		done < <(source_files ":(glob)$p" "${but[@]}")
		[[ $hit ]] || wrong "$f: $p matches no file"
	done
done
for f in linux-patches/*.patch linux-patches/*.msg; do
	[[ ! -e $f || " ${entries[*]} 0000-cover-letter.msg " == *" ${f##*/} "* ]] || wrong "$f: not in linux-patches/series"
done
while read -r file; do
	[[ ${owner[$file]:-} ]] || wrong "$file: no patch adds it"
done < <(printf '%s\n' "${!from[@]}" | sort)
((!wrong)) || die "the series is not complete"

GIT_AUTHOR_NAME=$(git config user.name || echo 'Nobody in particular')
GIT_AUTHOR_EMAIL=$(git config user.email || echo nobody@localhost)
GIT_AUTHOR_DATE=$(git log -1 --format=%cI 2>/dev/null || date -Iseconds)
GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME
GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
GIT_INDEX_FILE=$tree/.git/series-index
GIT_CONFIG_GLOBAL=/dev/null	# the form of the mails is not a matter of taste
export "${!GIT_@}"

message() { printf '%s\n\n' "$(entry_field "$1" Subject)"; entry_body "$1"; }

kgit() { git -C "$tree" "$@"; }
kgit read-tree base
tip=$(kgit rev-parse 'base^{commit}')
for e in "${entries[@]}"; do
	f=linux-patches/$e
	[[ $e == *.msg ]] || entry_diff "$f" | kgit apply --cached --whitespace=nowarn || die "$f does not apply"
	for file in "${!owner[@]}"; do
		[[ ${owner[$file]} == "$e" ]] || continue
		printf '%s %s\t%s\n' "$([[ -x $file ]] && echo 100755 || echo 100644)" \
			"$(kgit hash-object -w "$top/$file")" "${from[$file]}"
	done | kgit update-index --index-info
	tip=$(message "$f" | git stripspace | kgit commit-tree -p "$tip" "$(kgit write-tree)")
done
unset GIT_INDEX_FILE
kgit branch -qf series "$tip"

kgit format-patch -q --cover-letter --base=base --no-signature --subject-prefix="$prefix" \
	-o "$out" base..series

# The cover letter's own words, for the placeholders that git leaves.
cover=linux-patches/0000-cover-letter.msg
SUBJECT=$(entry_field "$cover" Subject) BODY="$(entry_body "$cover")

The base is $(kgit log -1 --format=%s base), release $(make -s -C "$tree" kernelversion)." \
python3 - "$out/0000-cover-letter.patch" <<'EOF'
import os, sys
text = open(sys.argv[1]).read()
for mark, value in ("SUBJECT", os.environ["SUBJECT"]), ("BLURB", os.environ["BODY"]):
    text = text.replace(f"*** {mark} HERE ***", value, 1)
open(sys.argv[1], "w").write(text)
EOF
note "${#entries[@]} patches and a cover letter in ${out#"$top"/}"
