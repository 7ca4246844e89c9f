#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: test-peer.sh AREA [COMPAT=y] [CRIU=1] [NAME...]
#
# Run an area of the peer suite (ci/peer/README.md) in one boot of a guest:
# 64-bit programs, or 32-bit ones with COMPAT=y; only those named, when some are.
# Fails when one fails that ci/peer/passed.txt says has passed before, when the
# area is in ci/peer/required.txt and not all pass, and when the kernel has
# something to report.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

area='' width=64 criu='' only=()
for arg in ${AREA:+"$AREA"} ${COMPAT:+"COMPAT=$COMPAT"} ${CRIU:+"CRIU=$CRIU"} "$@"; do
	case $arg in
	COMPAT=?*) width=32 ;;
	CRIU=1 | CRIU=y) criu=1 ;;
	*=*) ;;
	*) if [ -z "$area" ]; then area=$arg; else only+=("$arg"); fi ;;
	esac
done
[ -n "$area" ] || die "usage: test-peer.sh AREA [COMPAT=y] [CRIU=1] [NAME...]; areas: $(grep -v "^#" ci/peer/zdtm-open.txt | cut -f1 | sort -u | tr '\n' ' ')"

stage=peer-$area
[ "$width" = 64 ] || stage=$stage-32
programs=$(ci/peer-build.sh "$area" "$width")
dir=$build/guest/$stage
rm -rf "$dir"
mkdir -p "$dir/programs" "$dir/results"
selftests=tools/testing/selftests/checkpoint
gcc -O2 -Wall -Wextra -Wno-format-truncation -static -I rust-checkpoint/include/uapi \
	-o "$dir/peer_init" "$selftests/peer_init.c"

# What the guest needs to know of each program: its name, how it is run, and
# what its description asks for (root, options for CRIU).
while IFS=$'\t' read -r a name command; do
	[ "$a" = "$area" ] || continue
	if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then
		continue
	fi
	if [ ! -e "$programs/$name.c" ] && [ ! -x "$programs/$name" ]; then
		printf 'skip\t-\tthe source package has no such program\n' >"$dir/results/$name.plain"
	elif [ ! -x "$programs/$name" ]; then
		printf 'skip\t-\tdoes not build %s bits wide\n' "$width" >"$dir/results/$name.plain"
	else
		cp "$programs/$name" "$dir/programs/"
	fi
	flags='' options=''
	if [ -e "$programs/$name.desc" ]; then
		! grep -q "'flags':.*suid" "$programs/$name.desc" || flags=-U
		options=$(sed -n "s/.*'opts' *: *'\([^']*\)'.*/\1/p" "$programs/$name.desc")
	fi
	printf '%s\t%s\t%s\t%s\n' "$name" "$command" "${flags:--}" "${options:--}"
done <ci/peer/zdtm-open.txt >"$dir/list"
[ -s "$dir/list" ] || die "nothing to run"

cat >"$dir/job" <<'JOB'
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# ext4, as the root image is, and writable for whoever the programs run as.
mkdir -p /zdtm /tmp/peer
cp /run/ckpt/programs/* /zdtm/
chmod 777 /zdtm
cp /run/ckpt/peer_init /peer_init
cd /zdtm || exit 2
modes=$(cat /run/ckpt/modes)
while IFS='	' read -r name command flags options; do
	[ "$flags" = - ] && flags=
	[ "$options" = - ] && options=
	[ ! -e /run/ckpt/results/$name.plain ] || continue
	for mode in $modes; do
		echo "<6>peer: $name $mode" >/dev/kmsg
		echo "=== $name $mode"
		# shellcheck disable=SC2086 # words are wanted
		PEER_CRIU_OPTS=$options /peer_init -m $mode -s /tmp/peer -t 60 $flags \
			-r /run/ckpt/results/$name.$mode "$name" $command </dev/null 2>&1
		echo "$mode: $(cat /run/ckpt/results/$name.$mode)"
		# What does not pass untouched says nothing about a checkpoint.
		if [ $mode = plain ] && ! grep -q ^pass /run/ckpt/results/$name.plain; then
			break
		fi
	done
done </run/ckpt/list
exit 0
JOB
chmod +x "$dir/job"
echo "plain ckpt ${criu:+criu}" >"$dir/modes"

n=$(wc -l <"$dir/list")
vm=0
ci/vm-run.sh -t $((600 + n * 120)) "$stage" "$dir" >"$results/$stage.log" || vm=$?

# The verdict of a program: plain first, then ours, and CRIU's beside it.
passed=0 failed=0 skipped=0 bad=0 fresh=() yet=()
tsv=$results/$stage.tsv
printf 'program\tresult\tdiffs\treason' >"$tsv"
[ -z "$criu" ] || printf '\tcriu\tdiffs\treason' >>"$tsv"
printf '\n' >>"$tsv"
while IFS=$'\t' read -r name _; do
	IFS=$'\t' read -r what diffs why < <(cat "$dir/results/$name.plain" 2>/dev/null || printf 'fail\t-\tnot run\n')
	if [ "$what" = pass ]; then
		IFS=$'\t' read -r what diffs why < <(cat "$dir/results/$name.ckpt" 2>/dev/null || printf 'fail\t-\tnot run\n')
	fi
	printf '%s\t%s\t%s\t%s' "$name" "$what" "$diffs" "$why" >>"$tsv"
	if [ -n "$criu" ]; then
		printf '\t%s' "$(cat "$dir/results/$name.criu" 2>/dev/null || echo -)" >>"$tsv"
	fi
	printf '\n' >>"$tsv"
	case $what in
	pass)
		passed=$((passed + 1))
		grep -qx "$area $width $name" ci/peer/passed.txt || fresh+=("$area $width $name")
		;;
	fail)
		if grep -qx "$area $width $name" ci/peer/passed.txt; then
			note "$name has passed before"
			failed=$((failed + 1)) bad=1
		elif grep -qx "$area $width" ci/peer/required.txt; then
			note "$name has to pass"
			failed=$((failed + 1)) bad=1
		else
			# Never passed: in the table a failure, in the sum one that does not count.
			yet+=("$name")
			skipped=$((skipped + 1))
		fi
		;;
	skip)
		skipped=$((skipped + 1))
		if grep -qx "$area $width $name" ci/peer/passed.txt; then
			note "$name has passed before, and is skipped now: $why"
			bad=1
		fi
		;;
	esac
done <"$dir/list"

column -t -s $'\t' <"$tsv" 2>/dev/null || cat "$tsv"
if [ ${#fresh[@]} -gt 0 ]; then
	note "passes for the first time; add to ci/peer/passed.txt:"
	printf '%s\n' "${fresh[@]}" | tee "$results/$stage.fresh" >&2
fi
[ ${#yet[@]} = 0 ] || note "do not pass yet: ${yet[*]}"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped" | tee "$results/$stage.txt"
if [ -n "$criu" ]; then
	printf 'CRIU: %d passed, %d failed\n' \
		"$(cat "$dir"/results/*.criu | grep -c ^pass)" "$(cat "$dir"/results/*.criu | grep -c ^fail)" || true
fi
[ "$vm" = 0 ] || die "the guest's run itself failed ($vm); see $results/$stage.log and $build/logs/$stage.console"
exit "$bad"
