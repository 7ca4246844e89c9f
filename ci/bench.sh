#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: bench.sh [MIB...]
#        bench.sh tasks
#        bench.sh memory [MIB...]
#        bench.sh cost
#
# Freeze, checkpoint and restart against fork(2), write(2), read(2) and CRIU, for
# 16, 64, 256 and 1024 MiB of touched memory, of shared memory, for eleven processes that
# have 64 and 256 MiB since fork(2), for images of what has changed of 64, 256 and 1024 MiB,
# for 10, 100, 250 and 500 processes, and 100, 500 and 1000 threads, all in one run of one
# guest; and a plot of cost against the number of tasks. "tasks" leaves out all but the last
# two, "memory" leaves those out; 4096 takes GUEST_MEMORY=16G. The kernel is one without
# debugging, build/bzImage-bench. The tables go to build/results/bench.md.
#
# "cost" is what a process pays that is never saved: page faults, fork(2) and the like with
# that kernel, and with build/bzImage-bench-off, which has CONFIG_CHECKPOINT off, booted in
# turn. The table goes to build/results/cost.md.
#
# Under emulation only the ratios mean anything.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

# Of each figure what it was in the runs with it on and off: the medians, and from what to what.
cost_table() {
	awk '{
		if (!($2 in seen)) { seen[$2] = 1; names[++n] = $2 }
		value[$1, $2, ++count[$1, $2]] = $3
	}
	function sorted(which, name,	i, j, v, m) {
		m = count[which, name]
		for (i = 1; i <= m; i++) a[i] = value[which, name, i] + 0
		for (i = 2; i <= m; i++)
			for (j = i; j > 1 && a[j] < a[j - 1]; j--) { v = a[j]; a[j] = a[j - 1]; a[j - 1] = v }
		text = sprintf("%.0f (%.0f-%.0f)", a[int((m + 1) / 2)], a[1], a[m])
		return a[int((m + 1) / 2)]
	}
	END {
		print "| ns | off | on | on / off |"
		print "|:---|---:|---:|---:|"
		for (i = 1; i <= n; i++) {
			off = sorted("off", names[i]); off_text = text
			on = sorted("on", names[i])
			printf "| %s | %s | %s | %.3f |\n", names[i], off_text, text, on / off
		}
	}' "$@"
}

if [ "${1:-}" = cost ]; then
	dir=$build/guest/cost
	rm -rf "$dir"
	mkdir -p "$dir"
	ci/selftests-build.sh >/dev/null
	cp "$build/selftests/bin/cost" "$dir/"
	printf '%s\n' '#!/bin/sh' '/run/ckpt/cost >/run/ckpt/figures' >"$dir/job"
	chmod +x "$dir/job"
	: >"$dir/all"
	for boot in 1 2 3 4 5 6 7; do
		for which in off on; do
			image=$build/bzImage-bench
			[ "$which" = on ] || image=$image-off
			KERNEL_IMAGE=$image ci/vm-run.sh -t 600 cost "$dir" >"$dir/boot.log"
			sed "s/^/$which /" "$dir/figures" >>"$dir/all"
			note "boot $boot, $which"
		done
	done
	cost_table "$dir/all" | tee "$results/cost.md"
	exit
fi

export KERNEL_IMAGE=${KERNEL_IMAGE:-$build/bzImage-bench}
dir=$build/guest/bench
rm -rf "$dir"
mkdir -p "$dir"
ci/selftests-build.sh >/dev/null
cp "$build/selftests/bin/bench" "$dir/"
sizes=("$@")
if [ "${1:-}" = tasks ]; then
	sizes=() && touch "$dir/no-sizes"
elif [ "${1:-}" = memory ]; then
	sizes=("${@:2}") && touch "$dir/no-tasks"
fi
[ ${#sizes[@]} -gt 0 ] || sizes=(16 64 256 1024)
printf '%s\n' "${sizes[@]}" >"$dir/sizes"
cat >"$dir/job" <<'JOB'
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
mkdir -p /opt && cp /run/ckpt/bench /opt/bench
export CKPT_TIME_FACTOR=6
rc=0
{
	echo "Linux $(uname -r), $(nproc) CPUs, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | sed -n 1p)"
	criu --version | sed 's/Version:/CRIU/'
	echo "Milliseconds, the median of five rounds (of CRIU's with many tasks, of three), and"
	echo "from what to what they were."
	if [ ! -e /run/ckpt/no-sizes ]; then
		echo
		echo "4 KiB pages:"
		echo
		# shellcheck disable=SC2046 # words are wanted
		/opt/bench $(cat /run/ckpt/sizes) || rc=$?
		echo
		echo "Transparent huge pages:"
		echo
		# shellcheck disable=SC2046
		BENCH_HUGE=1 /opt/bench $(cat /run/ckpt/sizes) || rc=$?
	fi
	if [ ! -e /run/ckpt/no-sizes ]; then
		echo
		echo "Shared memory (MAP_SHARED | MAP_ANONYMOUS), which fork(2) does not duplicate:"
		echo
		BENCH_SHARED=1 /opt/bench 64 256 1024 || rc=$?
		echo
		echo "Memory that eleven processes share since fork(2):"
		echo
		/opt/bench -s 64 256 || rc=$?
	fi
	if [ ! -e /run/ckpt/no-sizes ]; then
		echo
		echo "Images of what has changed since the last one, 4 KiB pages:"
		echo
		/opt/bench -i 64 256 1024 || rc=$?
		echo
		echo "Transparent huge pages:"
		echo
		BENCH_HUGE=1 /opt/bench -i 64 256 1024 || rc=$?
	fi
	if [ ! -e /run/ckpt/no-tasks ]; then
		echo
		echo "Processes, with 64 KiB of their own each:"
		echo
		/opt/bench -p 10 100 250 500 || rc=$?
		echo
		echo "Threads of one process:"
		echo
		/opt/bench -t 100 500 1000 || rc=$?
	fi
} 2>&1 | tee /run/ckpt/bench.md
exit $rc
JOB
chmod +x "$dir/job"
vm=0
# A row with CRIU and many processes takes its time, and nothing is said meanwhile.
ci/vm-run.sh -t 10800 -s 2400 -m "${GUEST_MEMORY:-10G}" bench "$dir" || vm=$?
cp "$dir/bench.md" "$results/bench.md"
# Cost against the number of tasks: what is linear makes a straight line of bars.
awk -F' *[|] *' '
	$2 == "processes" || $2 == "threads" {
		unit = $2
		for (i = 3; i < NF; i++)
			title[i] = $i
	}
	$2 == "MiB" { unit = "" }
	unit != "" && $2 ~ /^[0-9]+$/ {
		rows++
		units[rows] = unit
		tasks[rows] = $2
		for (i = 3; i < NF; i++)
			value[rows, i] = $i + 0
		columns = NF
	}
	END {
		for (u = 1; u <= 2; u++) {
			unit = u == 1 ? "processes" : "threads"
			for (i = 3; i < columns; i++) {
				if (title[i] !~ /freeze|checkpoint|restart|frozen|dump|restore/)
					continue
				max = 0
				for (r = 1; r <= rows; r++)
					if (units[r] == unit && value[r, i] > max)
						max = value[r, i]
				if (!max)
					continue
				printf "\n    %s, ms, of %s:\n", title[i], unit
				for (r = 1; r <= rows; r++) {
					if (units[r] != unit)
						continue
					n = int(value[r, i] / max * 50 + 0.5)
					printf "    %5d %9.1f %7.3f each |", tasks[r], value[r, i], value[r, i] / tasks[r]
					for (k = 0; k < n; k++)
						printf "#"
					printf "\n"
				}
			}
		}
	}' "$results/bench.md" | tee "$results/bench-plot.txt"
cat "$results/bench-plot.txt" >>"$results/bench.md"
if grep -q '^#' "$results/bench.md"; then vm=1; fi
exit "$vm"
