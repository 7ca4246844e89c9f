#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The demo: an unmodified program of the distribution, bc computing digits of
# pi, is checkpointed half-way by the PID 1 of its namespace and runs on; then
# it is killed and restarted from the image in a fresh pid namespace, and once
# more after a reboot of the guest. Every run must print the same digits.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

ci/build-tools.sh
dir=$build/guest/demo
rm -rf "$dir" "$build/demo.disk"
mkdir -p "$dir"
cp "$build/ckpt" "$dir/ckpt"

cat >"$dir/job" <<'END'
#!/bin/sh
# Runs in the guest, once before and once after the reboot.
set -eu
PATH=/run/ckpt:$PATH
# The share with the host is where ckpt would keep its sockets.
export CKPT_RUNTIME_DIR=/tmp/jobs
say() { printf '\n### %s\n' "$*"; }
cd /scratch
same() { echo; cmp -s pi.undisturbed "$1" && echo "$2: $(wc -c <"$1") bytes, the same as undisturbed" ||
	{ echo "$2: DIFFERS from the undisturbed run"; exit 1; }; }

if [ ! -e pi.img ]; then
	say "an undisturbed run: bc prints pi to ${DIGITS:=2000} digits"
	echo "scale=$DIGITS; 4*a(1)" >pi.bc
	start=$(date +%s%N)
	bc -l pi.bc </dev/null >pi.undisturbed
	took=$((($(date +%s%N) - start) / 1000000))
	echo "it took $took ms"

	say "the same under ckpt, checkpointed half-way; it runs on"
	ckpt run --name pi -- bc -l pi.bc </dev/null >pi.first &
	job=$!
	sleep "$((took / 2000)).$(printf '%03d' $((took / 2 % 1000)))"
	ckpt checkpoint pi -o pi.img
	sleep 0.3
	kill -0 $job && echo "the job is still running"

	say "what the image holds: ckpt show"
	ckpt show pi.img
	ckpt verify pi.img

	say "the job is killed"
	kill -9 $job
	wait $job || true
	[ ! -s pi.first ] && echo "it had printed nothing yet"

	say "restarted from the image, in a fresh pid namespace"
	ckpt restart pi.img </dev/null >pi.second
	same pi.second "after the restart"
	sync
else
	say "after a reboot of the guest, restarted again"
	ckpt restart pi.img </dev/null >pi.third
	same pi.third "after the reboot"
fi
END
chmod +x "$dir/job"

for boot in 1 2; do
	ci/vm-run.sh -d "$build/demo.disk" -t 300 "demo-$boot" "$dir"
done
echo
echo "demo: all runs printed the same digits"
