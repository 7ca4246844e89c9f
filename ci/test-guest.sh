#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: test-guest.sh [TEST...] [-- ARG...]
#
# Build the selftests, run them in one boot of a guest, 64 bits wide and 32, and
# judge: a test that fails, is skipped for want of checkpoint(2), or crashes; a
# KUnit test of the boot that fails; and whatever the kernel reports. TEST is a
# name such as test_regs or test_regs_32; ARGs go to the programs ("-t name"
# includes one scenario, "-v restart" one variant).
#
# CKPT_ROUNDS, CKPT_STORM, CKPT_STEP, CKPT_FUZZ_ROUNDS, CKPT_HAMMER_MS, CKPT_HAMMER_ONE,
# CKPT_MAY_DIFFER: handed on, see the tests.
# GUEST_APPEND: more kernel arguments.
# GUEST_TEST_JOBS: how many test programs run at a time in the guest (2).
# KSELFTEST_DIR: the kernel's tools/testing/selftests, when there is no tree yet.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

only=() args=()
while [ $# -gt 0 ]; do
	case $1 in
	--) shift; args=("$@"); break ;;
	*) only+=("$1"); shift ;;
	esac
done

stage=${GUEST_STAGE:-guest}
dir=$build/guest/$stage
rm -rf "$dir"
mkdir -p "$dir/tests" "$dir/results"
ci/selftests-build.sh >"$dir/built"
while read -r program; do
	name=${program##*/}
	case $name in
	test_*) ;;
	*) continue ;;
	esac
	# Long-running ones only when they are asked for.
	case $name in
	test_stress* | test_faults* | test_hammer*) [[ " ${only[*]-} " == *" $name "* ]] || continue ;;
	esac
	if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then
		continue
	fi
	cp "$program" "$dir/tests/"
done <"$dir/built"
[ -n "$(ls "$dir/tests")" ] || die "no such test"

printf '%s ' "${args[@]-}" >"$dir/args"
cat >"$dir/job" <<'JOB'
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
one() {
	cd /opt/tests || exit 2
	echo "<6>selftest: $1" >/dev/kmsg
	rc=0
	# shellcheck disable=SC2046 # words are wanted
	./"$1" $(cat /run/ckpt/args) >/run/ckpt/results/"$1".tap 2>&1 </dev/null || rc=$?
	echo "$rc" >/run/ckpt/results/"$1".rc
	echo "selftest $1: status $rc, $(grep '^# Totals' /run/ckpt/results/"$1".tap)"
}
if [ "${1:-}" = one ]; then
	one "$2"
	exit 0
fi
mkdir -p /opt/tests
cp /run/ckpt/tests/* /opt/tests/
export CKPT_TIME_FACTOR=@FACTOR@
ls -S /opt/tests | xargs -n 1 -P @JOBS@ /run/ckpt/job one
exit 0
JOB
for v in CKPT_ROUNDS CKPT_STORM CKPT_STEP CKPT_FUZZ_ROUNDS CKPT_HAMMER_MS CKPT_HAMMER_ONE \
	CKPT_MAY_DIFFER; do
	[ -z "${!v:-}" ] || sed -i "/^export CKPT_TIME_FACTOR/a export $v='${!v}'" "$dir/job"
done
sed -i -e "s/@JOBS@/${GUEST_TEST_JOBS:-2}/" -e "s/@FACTOR@/${GUEST_TIME_FACTOR:-1}/" "$dir/job"
chmod +x "$dir/job"

# The emulated CPU has no flaws that tasks could have mitigated, and one node: the kernel is told
# that it has. Nothing comes of what it then does about them.
pretend="numa=fake=2 setcpuid=spec_store_bypass,ssbd,ibpb,flush_l1d spec_store_bypass_disable=prctl"
pretend+=" spectre_v2_user=prctl l1d_flush=on"

vm=0
rm -f "$build/disk-$stage.ext4" "$build/disk-$stage.raw"
ci/vm-run.sh -t "${GUEST_TEST_LIMIT:-5400}" -m "${GUEST_MEMORY:-4G}" -d "$build/disk-$stage.ext4" \
	-r "$build/disk-$stage.raw" -a "$pretend ${GUEST_APPEND:-}" "$stage" "$dir" || vm=$?
rm -f "$build/disk-$stage.ext4" "$build/disk-$stage.raw"

passed=0 failed=0 skipped=0
details=$results/$stage.tsv
printf 'test\tresult\tname\treason\n' >"$details"
for t in "$dir"/tests/*; do
	name=${t##*/}
	tap=$dir/results/$name.tap
	if [ ! -e "$tap" ]; then
		printf '%s\tfail\t-\tnot run\n' "$name" >>"$details"
		continue
	fi
	awk -v t="$name" '
		/^# [^ ]/ && !/Test terminated by assertion$|Expected 0 \(0\) == run->verdict/ {
			why = why " " substr($0, 3)
		}
		/^ok / || /^not ok / {
			bad = /^not ok/
			sub(/^(not )?ok [0-9]+ (- )?/, "")
			n = $0
			skip = sub(/ # SKIP.*/, "", n)
			reason = ""
			if (skip) {
				reason = $0
				sub(/.*# SKIP */, "", reason)
			}
			# A variant that a scenario does not have, such as the restart of what is refused.
			if (reason ~ /^(needs a checkpoint|is refused|there is no second time)/) {
				why = ""
				count++
				next
			}
			# A kernel without the system calls proves nothing.
			if (reason ~ /no checkpoint\(2\)/)
				bad = 1
			if (bad && reason == "")
				reason = substr(why, 2)
			sub(/^Starting [0-9]+ tests from [0-9]+ test cases[.] /, "", reason)
			gsub(/\t/, " ", reason)
			printf "%s\t%s\t%s\t%s\n", t, bad ? "fail" : skip ? "skip" : "pass", n, substr(reason, 1, 600)
			why = ""
			count++
		}
		/^1\.\.[0-9]+$/ { plan = substr($0, 4) + 0 }
		END {
			if (!plan || count != plan)
				printf "%s\tfail\t-\t%d of %d tests have a result\n", t, count, plan
		}' "$tap" >>"$details"
done
# KUnit, at boot.
{ grep -a -E '\] +(not )?ok [0-9]+ ' "$build/logs/$stage.dmesg" || true; } |
	sed -E 's/^\[ *[0-9.]+\](\[[^]]*\])? *//' |
	awk '{ bad = /^not ok/; skip = /# SKIP/; sub(/^(not )?ok [0-9]+ /, "");
		printf "kunit\t%s\t%s\t\n", bad ? "fail" : skip ? "skip" : "pass", $1 }' >>"$details"

passed=$(awk -F'\t' '$2 == "pass"' "$details" | wc -l)
failed=$(awk -F'\t' '$2 == "fail"' "$details" | wc -l)
skipped=$(awk -F'\t' '$2 == "skip"' "$details" | wc -l)
awk -F'\t' '$2 == "fail" { print "FAIL " $1 " " $3 ": " $4 }' "$details" | sed -n 1,60p
awk -F'\t' '$2 == "skip" { print $1 ": " $4 }' "$details" | sort | uniq -c | sed 's/^/skipped /'
if [ "$vm" != 0 ]; then
	note "the guest's run itself failed ($vm); see $build/logs/$stage.console"
	failed=$((failed + 1))
fi
result "$stage" "$passed" "$failed" "$skipped"
