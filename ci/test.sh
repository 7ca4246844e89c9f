#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs the stages of a test run and adds up what they say.
#
#   ci/test.sh gate|long|kasan|faults|peer|host|guest
#
# A stage is a script that leaves "N passed, N failed, N skipped" in build/results/NAME.txt; one
# that leaves nothing counts as one test, by its exit status. All stages run, whatever fails. The
# last line is the sum.
. "$(dirname "$0")/lib.sh"

shopt -s nullglob
sum() {	# of the given files, or of nothing
	cat "$@" /dev/null | awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped/ { p += $1; f += $3; s += $5 }
		END { printf "%d %d %d\n", p, f, s }'
}

started=$SECONDS red=()
rm -f "$results"/*.txt

# Stages that have not been green yet: they run and say what they find, for at most ten minutes
# each, and do not decide. A stage that is green leaves ci/pending.txt and may not come back.
pending() { grep -qx "$1" ci/pending.txt; }

stage() {	# NAME SCRIPT [ARG ...], settings before it as for env
	local name=$1 rc=0 before after failed args=("${@:2}") script
	for script in "${args[@]}"; do [[ $script == *=* ]] || break; done
	local start=$SECONDS
	printf '\n== %s\n' "$name"
	if [[ ! -x $script ]]; then
		result "$name" 0 0 1
		echo "$script is not there"
		return
	fi
	before=$(sum "$results"/*.txt | cut -d' ' -f2)
	if pending "$name"; then
		timeout -k 10 600 env "${args[@]}" 2>&1 | tee "$build/logs/stage-$name.log" || rc=$?
		printf '== %s: pending (%d), %s, %d s\n' "$name" "$rc" \
			"$(tail -1 "$results/$name.txt" 2>/dev/null || echo 'no result')" $((SECONDS - start))
		[[ ! -e $results/$name.txt ]] || mv "$results/$name.txt" "$results/$name.pending"
		result "$name" 0 0 1
		return
	fi
	env "${args[@]}" 2>&1 | tee "$build/logs/stage-$name.log" || rc=$?
	after=$(sum "$results"/*.txt | cut -d' ' -f2)
	failed=$((after - before))
	((!rc && !failed)) || red+=("$build/logs/stage-$name.log")
	if ((rc && !failed)); then
		result "$name-run" 0 1 0 || :
	elif [[ ! -e $results/$name.txt ]]; then
		result "$name" 1 0 0
	fi
	printf '== %s: %s, %d s\n' "$name" "$( ((rc)) && echo FAILED || echo ok)" $((SECONDS - start))
}

kernel() { stage kernel ci/kernel-build.sh "${1:-test}"; export SKIP_DEPS=1; }
peer() {
	local name=peer-${AREA:-one-task}
	[[ ! ${COMPAT:-} ]] || name=$name-32
	stage "$name" AREA= COMPAT= ci/test-peer.sh "${AREA:-one-task}" ${COMPAT:+COMPAT=y}
}

gate() {
	ci/deps.sh
	stage lint ci/lint.sh
	kernel
	stage lint-objects ci/lint.sh --objects
	stage host ci/test-host.sh
	stage series ci/check-series.sh
	stage guest ci/test-guest.sh
	stage reboot ci/test-reboot.sh
	stage hammer GUEST_STAGE=hammer GUEST_TEST_JOBS=1 ci/test-guest.sh test_hammer test_hammer_32
	stage real ci/test-real.sh
	AREA=one-task COMPAT='' peer
	AREA=one-task COMPAT=y peer
	AREA=tasks COMPAT='' peer
	AREA=tasks COMPAT=y peer
	AREA=memory COMPAT='' peer
}

faults() {
	stage kernel-fault ci/kernel-build.sh fault
	stage guest-faults KERNEL_IMAGE="$build/bzImage-fault" GUEST_STAGE=guest-faults GUEST_TEST_JOBS=1 \
		SCAN_FAULTS=1 GUEST_TEST_LIMIT=7200 ci/test-guest.sh test_faults test_faults_32
}

case ${1:-} in
gate)	gate ;;
long)	gate
	stage kernel-bench ci/kernel-build.sh bench
	stage series-long ci/check-series.sh --long
	stage guest-stress GUEST_STAGE=guest-stress GUEST_TEST_LIMIT=7200 ci/test-guest.sh test_stress
	stage guest-instant GUEST_STAGE=guest-instant CKPT_ROUNDS=200 ci/test-guest.sh test_instant test_instant_32
	stage guest-incremental GUEST_STAGE=guest-incremental CKPT_ROUNDS=400 ci/test-guest.sh test_incremental test_incremental_32
	# Where thousands want to run on few CPUs, who has been preempted waits for long. And each
	# timer of theirs is one that QEMU has to set, unless they wait for the next tick.
	stage guest-storm GUEST_STAGE=guest-storm GUEST_TEST_LIMIT=7200 CKPT_ROUNDS=200 CKPT_STORM=1000 \
		GUEST_APPEND="rcupdate.rcu_cpu_stall_timeout=200 highres=off nohz=off" \
		ci/test-guest.sh test_storm
	stage guest-hammer GUEST_STAGE=guest-hammer GUEST_TEST_JOBS=1 CKPT_HAMMER_MS=10000 \
		ci/test-guest.sh test_hammer test_hammer_32
	stage hammer-one KERNEL_IMAGE="$build/bzImage-bench" GUEST_STAGE=hammer-one GUEST_TEST_JOBS=1 \
		CKPT_HAMMER_MS=10000 CKPT_HAMMER_ONE=1 ci/test-guest.sh test_hammer test_hammer_32
	stage real-long GUEST_STAGE=real-long REAL_ROUNDS=20 ci/test-real.sh
	faults ;;
faults)	faults ;;
kasan)	kernel kasan
	stage guest-kasan KERNEL_IMAGE="$build/bzImage-kasan" GUEST_STAGE=guest-kasan GUEST_TIME_FACTOR=4 \
		ci/test-guest.sh ;;
peer)	kernel; peer ;;
host)	stage host ci/test-host.sh ;;
guest)	kernel; stage guest ci/test-guest.sh ;;
*)	die "usage: $0 gate|long|kasan|faults|peer|host|guest" ;;
esac

read -r passed failed skipped < <(sum "$results"/*.txt)
printf '\n'
for f in "$results"/*.txt; do printf '%-20s %s\n' "$(basename "$f" .txt)" "$(tail -1 "$f")"; done
# Again, where whoever reads only the end finds it.
((!${#red[@]})) || awk '/^FAIL / { print substr($0, 1, 300) }' "${red[@]}" | sed -n 1,40p
printf 'in %d min\n' $(((SECONDS - started + 30) / 60))
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped" | tee "$build/summary.txt"
((failed == 0))
