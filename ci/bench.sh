#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: bench.sh [MIB...]
#
# Freeze, checkpoint and restart against fork(2), write(2), read(2) and CRIU, for
# 16, 64, 256 and 1024 MiB of touched memory, all in one run of one guest. The
# kernel is one without debugging, build/bzImage-bench. The tables go to
# build/results/bench.md. Under emulation only the ratios mean anything.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

export KERNEL_IMAGE=${KERNEL_IMAGE:-$build/bzImage-bench}
dir=$build/guest/bench
rm -rf "$dir"
mkdir -p "$dir"
ci/selftests-build.sh >/dev/null
cp "$build/selftests/bin/bench" "$dir/"
sizes=("$@")
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
	echo "Milliseconds, the median of five rounds, and from what to what they were."
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
} 2>&1 | tee /run/ckpt/bench.md
exit $rc
JOB
chmod +x "$dir/job"
vm=0
ci/vm-run.sh -t 1800 -m 6G bench "$dir" || vm=$?
cp "$dir/bench.md" "$results/bench.md"
if grep -q '^#' "$results/bench.md"; then vm=1; fi
exit "$vm"
