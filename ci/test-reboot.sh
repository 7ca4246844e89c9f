#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What is to be seen over a reboot of the guest.
#
# The clocks of a job under ckpt: CLOCK_MONOTONIC and CLOCK_BOOTTIME never go
# backwards, from the start over restarts, from a file and from a stream, and over
# the reboot; and where ckpt may not set them the job is as good otherwise.
#
# A 32-bit job, where the kernel was told to run none (ia32_emulation=off).
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

ci/build-tools.sh
stage=reboot
dir=$build/guest/$stage
rm -rf "$dir" "$build/reboot.disk"
mkdir -p "$dir"
cp "$build/ckpt" "$dir/ckpt"

# Says what goes backwards, asked by each way, until there is a file "stop".
gcc -O2 -Wall -Wextra -static -x c -o "$dir/clocks" - <<'END'
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	static const clockid_t clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME };
	long long last[2][2] = { 0 };
	int back = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (long n = 0; access("stop", F_OK); n++) {
		struct timespec nap = { 0, 10000000 };

		for (int i = 0; i < 4; i++) {
			struct timespec t;
			long long now;

			if (i & 1)
				syscall(SYS_clock_gettime, clocks[i / 2], &t);
			else
				clock_gettime(clocks[i / 2], &t);
			now = t.tv_sec * 1000000000LL + t.tv_nsec;
			if (now < last[i / 2][i & 1]) {
				printf("back: clock %d from %lld to %lld\n", (int)clocks[i / 2],
				       last[i / 2][i & 1], now);
				back = 1;
			}
			last[i / 2][i & 1] = now;
		}
		if (n % 20 == 0)
			printf("at %lld\n", last[0][0]);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	}
	return back ? 3 : 0;
}
END

# Without a library, of which there may be no 32-bit one; it says that it lives.
gcc -m32 -O2 -Wall -Wextra -static -nostdlib -fno-pie -no-pie -fno-stack-protector -x c \
	-o "$dir/narrow" - <<'END'
static int call(int nr, int a, const void *b, int c)
{
	__asm__ volatile("int $0x80" : "+a"(nr) : "b"(a), "c"(b), "d"(c) : "memory");
	return nr;
}

void _start(void)
{
	static const int nap[2] = { 0, 100000000 };

	for (;;) {
		call(4 /* write */, 1, "at\n", 3);
		call(162 /* nanosleep */, (int)nap, (void *)0, 0);
	}
}
END

cat >"$dir/job" <<'END'
#!/bin/bash
# Runs in the guest, once before and once after the reboot.
set -u
PATH=/run/ckpt:$PATH
export CKPT_RUNTIME_DIR=/tmp/jobs
cd /scratch || exit 2
bad=0
check() {	# TITLE COMMAND ...
	if "${@:2}"; then echo "ok $1"; else echo "not ok $1"; bad=1; fi
}
lines() { wc -l <"$1"; }
# Waits until the job goes on to say something.
goes_on() {
	local i n
	n=$(lines "$1")
	for ((i = 0; i < 600; i++)); do
		[ "$(lines "$1")" -le $((n + 1)) ] || return 0
		sleep 0.1
	done
	return 1
}
# The job is in another time namespace than we are.
apart() {
	local p
	for p in /proc/[0-9]*; do
		case $(readlink "$p/exe" 2>/dev/null) in
		*/clocks) [ "$(readlink "$p/ns/time")" != "$(readlink /proc/self/ns/time)" ] || return 1 ;;
		esac
	done
}
save() { ckpt checkpoint "$1" -o "$2"; }
end_job() { kill -KILL "$job"; wait "$job" 2>/dev/null; }

if [ ! -e third.img ]; then
	# The disk, not the share with the host, is where programs run.
	cp /run/ckpt/clocks clocks
	ckpt run --name c -- ./clocks </dev/null >>out 2>>err &
	job=$!
	check "a job runs" goes_on out
	check "its time namespace is its own" apart
	check "it is saved" save c first.img
	end_job
	ckpt restart first.img --name c </dev/null >>out 2>>err &
	job=$!
	check "it goes on" goes_on out
	check "its time namespace is its own again" apart
	check "it is saved again" save c second.img
	end_job
	cat second.img | ckpt restart - --name c >>out 2>>err &
	job=$!
	check "it goes on from a stream" goes_on out
	check "it is saved a third time" save c third.img
	end_job

	cp /run/ckpt/narrow narrow
	ckpt run --name n -- ./narrow </dev/null >>out.n 2>>err &
	job=$!
	check "a 32-bit job runs" goes_on out.n
	check "it is saved" save n narrow.img
	end_job
	ckpt restart narrow.img --name n </dev/null >>out.n 2>>err &
	job=$!
	check "it goes on" goes_on out.n
	end_job

	# Who may make a time namespace and not set its clocks.
	without="setpriv --bounding-set=-sys_time --inh-caps=-sys_time"
	$without ckpt run --name w -- ./clocks </dev/null >>out.w 2>>err.w &
	job=$!
	check "a job without the right runs" goes_on out.w
	check "it is saved" save w w.img
	end_job
	$without ckpt restart w.img --name w </dev/null >>out.w 2>>err.w &
	job=$!
	check "it goes on" goes_on out.w
	check "it is said that its clocks do not" grep -q "clocks of the job do not go on" err.w
	check "it is saved again" save w w.img
	end_job

	# Where there can be no time namespace.
	echo 0 >/proc/sys/user/max_time_namespaces
	ckpt restart w.img --name w </dev/null >>out.w 2>err.n &
	job=$!
	check "it goes on without a time namespace" goes_on out.w
	check "it is said that its clocks do not" grep -q "clocks of the job do not go on" err.n
	check "it is saved without one" save w w.img
	end_job
	[ ! -s err ] || { cat err; bad=1; }
	cut -d' ' -f1 /proc/uptime
	sync
else
	cut -d' ' -f1 /proc/uptime
	cat third.img | ckpt restart - --name c >>out 2>>err &
	job=$!
	check "it goes on after a reboot, from a stream" goes_on out
	check "it is saved a fourth time" save c fourth.img
	end_job
	ckpt restart fourth.img --name c </dev/null >>out 2>>err &
	job=$!
	check "it goes on, from a file" goes_on out
	touch stop
	wait "$job"
	check "no clock has gone backwards" [ $? = 0 ]
	grep back out && bad=1
	[ ! -s err ] || { cat err; bad=1; }
	if ckpt restart narrow.img --name n </dev/null >>out.n 2>err.n; then
		check "a 32-bit job is refused" false
	else
		check "a 32-bit job is refused" grep -q "has ia32 tasks, and this kernel runs none" err.n
	fi
	cat err.n
fi
exit $bad
END
chmod +x "$dir/job"

failed=0
for boot in 1 2; do
	options=
	[ "$boot" = 1 ] || options=ia32_emulation=off
	ci/vm-run.sh -d "$build/reboot.disk" -a "$options" -t 600 "$stage-$boot" "$dir" | tee "$results/$stage-$boot.log" || failed=1
done
passed=$(cat "$results/$stage"-[12].log | grep -c '^ok ' || :)
bad=$(cat "$results/$stage"-[12].log | grep -c '^not ok ' || :)
[ "$failed" = 0 ] || [ "$bad" != 0 ] || bad=1
result "$stage" "$passed" "$bad" 0
