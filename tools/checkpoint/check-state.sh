#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Compares the members of struct task_struct, signal_struct and mm_struct with
# Documentation/admin-guide/checkpoint-state.rst, which says of each what
# becomes of it in a checkpoint. Prints what is missing there, and what is there
# and no member.
#
# usage: check-state.sh [KERNEL [DOCUMENT]]
#
# KERNEL is a kernel tree, by default the one this file is in.
set -eu
kernel=${1:-$(dirname "$0")/../..}
doc=${2:-$kernel/Documentation/admin-guide/checkpoint-state.rst}

# The names of the members of a structure, whatever the configuration.
members() {	# STRUCT FILE
	awk -v name="$1" '
		{ sub(/\/\/.*/, "") }
		skip { if (!sub(/^.*\*\//, "")) next; skip = 0 }
		{
			gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ")
			if (sub(/\/\*.*/, " ")) skip = 1
		}
		$0 ~ "^struct " name " [{]" { on = 1; next }
		!on || /^[ \t]*#/ { next }
		/^}/ { exit }
		{ gsub(/randomized_struct_fields_(start|end)/, "") }
		{ gsub(/____cacheline_aligned_in_smp|__randomize_layout|__aligned\(.*\)/, "") }
		{ text = text " " $0 }
		END {
			n = split(text, decl, ";")
			for (i = 1; i <= n; i++) {
				m = split(decl[i], part, ",")
				for (j = 1; j <= m; j++) {
					gsub(/\[[^]]*\]/, "", part[j])
					sub(/:.*/, "", part[j])
					gsub(/[ \t*]+$/, "", part[j])
					k = split(part[j], word, /[ \t*]+/)
					# "unsigned :0" is none
					if (k > 1 || j > 1)
						if (word[k] !~ /^(unsigned|}|)$/) print word[k]
				}
			}
		}' "$2" | sort -u
}

# What the document names below the heading of a structure.
documented() {	# STRUCT
	awk -v name="struct $1" '
		/^struct / { on = $0 == name }
		on {
			text = $0
			while (match(text, /``[a-z_0-9]+``/)) {
				print substr(text, RSTART + 2, RLENGTH - 4)
				text = substr(text, RSTART + RLENGTH)
			}
		}' "$doc" | sort -u
}

status=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
check() {	# STRUCT FILE
	members "$1" "$kernel/$2" >"$dir/has"
	documented "$1" >"$dir/says"
	[ -s "$dir/has" ] || { echo "$2: no struct $1"; status=1; }
	for m in $(comm -23 "$dir/has" "$dir/says"); do
		echo "struct $1: $m is not in $(basename "$doc")"
		status=1
	done
	for m in $(comm -13 "$dir/has" "$dir/says"); do
		echo "struct $1: $m is in $(basename "$doc"), and no member"
		status=1
	done
}
check task_struct include/linux/sched.h
check signal_struct include/linux/sched/signal.h
check mm_struct include/linux/mm_types.h
exit $status
