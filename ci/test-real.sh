#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: test-real.sh [PROGRAM...]
#
# Programs of the distribution, unmodified, at work in a guest (ci/real/README.md):
# each is checkpointed at random moments REAL_ROUNDS times (2), killed, restarted
# from the image, and what it prints and writes compared with an undisturbed run.
# The table, build/results/real.tsv, says what was refused meanwhile, by name.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

export GUEST_ROOT=real
rounds=${REAL_ROUNDS:-2}
programs=("$@")
if [ ${#programs[@]} = 0 ]; then
	for p in ci/real/*; do
		case ${p##*/} in
		README.md | drive) ;;
		*) programs+=("${p##*/}") ;;
		esac
	done
fi

stage=${GUEST_STAGE:-real}
dir=$build/guest/$stage
rm -rf "$dir"
mkdir -p "$dir/results" "$dir/real" "$dir/refused"
ci/build-tools.sh
cp "$build/ckpt" "$dir/ckpt"
cp ci/real/* "$dir/real/"
printf '%s\n' "${programs[@]}" >"$dir/list"
cat >"$dir/job" <<JOB
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The root image's disk, not the host's share, is where programs run.
cp -r /run/ckpt/real /opt/real
export CKPT_TIME_FACTOR=${GUEST_TIME_FACTOR:-1}
while read -r name; do
	echo "<6>real: \$name" >/dev/kmsg
	/opt/real/drive "\$name" $rounds /run/ckpt/results/"\$name"
done </run/ckpt/list
exit 0
JOB
chmod +x "$dir/job"

vm=0
ci/vm-run.sh -t $((600 + ${#programs[@]} * (60 + rounds * 30))) -m 3G "$stage" "$dir" || vm=$?

passed=0 failed=0
tsv=$results/$stage.tsv
printf 'program\tresult\trounds\tlive\truns\trefused\tms\treason\n' >"$tsv"
for name in "${programs[@]}"; do
	line=$(cat "$dir/results/$name" 2>/dev/null || printf '%s\tfail\t0\t0\t0\t-\t0\tnot run' "$name")
	printf '%s\n' "$line" >>"$tsv"
	case $line in
	*$'\tpass\t'*) passed=$((passed + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
done
column -t -s $'\t' <"$tsv" 2>/dev/null || cat "$tsv"
if [ "$vm" != 0 ]; then
	note "the guest's run itself failed ($vm); see $build/logs/$stage.console"
	failed=$((failed + 1))
fi
result "$stage" "$passed" "$failed" 0
