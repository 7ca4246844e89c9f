#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Run a job in a guest: boot, run, power off, and judge the run.
#
# usage: vm-run.sh [options] NAME DIR
#
# DIR (from the top of the checkout) is shared with the guest, where it is /run/ckpt; DIR/job (or DIR/job.init,
# see ci/guest/init) is executed there as root. What the job writes to /run/ckpt
# is found in DIR afterwards. The console goes to build/logs/NAME.console, and
# from the start of init on to standard output; the kernel log goes to
# build/logs/NAME.dmesg.
#
#   -t SECONDS  time limit of the whole run (1800)
#   -s SECONDS  how long nothing may come of it: no line on the console, no file
#               in DIR (300). Before that the guest tells what its tasks wait for.
#   -m SIZE     the guest's memory (2G)
#   -d FILE     a second disk, /scratch in the guest, made if it is not there
#   -r FILE     one more, of 256 MiB with nothing on it; a sector in its middle
#               can neither be read nor written
#   -a ARGS     more kernel arguments
#   -i          interactive: the console is the terminal
#   -q          the console goes to its file only
#
# Exit status: the job's own; 70 when the kernel reported something (BUG,
# WARNING, lockdep, ...), whatever the job says; 71 when the guest hung or died
# before a clean end.
#
# GUEST_ACCEL: tcg (default), kvm, or auto, which takes KVM if a probe boot
# under it succeeds. GUEST_CPUS: the number of CPUs (2). GUEST_QEMU_ARGS: more.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

limit=1800 silence=300 memory=2G disk='' raw='' append='' interactive='' quiet=''
while getopts t:s:m:d:r:a:iq opt; do
	case $opt in
	t) limit=$OPTARG ;;
	s) silence=$OPTARG ;;
	m) memory=$OPTARG ;;
	d) disk=$OPTARG ;;
	r) raw=$OPTARG ;;
	a) append=$OPTARG ;;
	i) interactive=1 ;;
	q) quiet=1 ;;
	*) exit 64 ;;
	esac
done
shift $((OPTIND - 1))
[ $# = 2 ] || die "usage: vm-run.sh [options] NAME DIR"
name=$1 dir=$2
# Slow machines, and kernels with KASAN, need more of everything.
limit=$((limit * ${GUEST_TIME_FACTOR:-1}))
silence=$((silence * ${GUEST_TIME_FACTOR:-1}))

[ -e "$kernel_image" ] || die "no kernel at $kernel_image: 'make kernel' first, or set KERNEL_IMAGE"
command -v qemu-system-x86_64 >/dev/null || "$top/ci/deps-guest.sh"
root=$("$top/ci/rootfs.sh")

mkdir -p "$build/logs" "$dir"
dir=$(cd "$dir" && pwd)
console=$build/logs/$name.console
dmesg=$build/logs/$name.dmesg
rm -rf "$dir/out" "$console" "$dmesg"
mkdir -p "$dir/out"
install -m 755 "$top/ci/guest/init" "$dir/init"
rm -f "$dir/interactive"
[ -z "$interactive" ] || touch "$dir/interactive"
rm -f "$dir/tell" "$dir/watchdog"
[ -n "$interactive" ] || touch "$dir/watchdog"

if [ -n "$disk" ] && [ ! -e "$disk" ]; then
	truncate -s 4G "$disk.new"
	mke2fs -q -t ext4 "$disk.new"
	mv "$disk.new" "$disk"
fi

[ -z "$raw" ] || truncate -s 256M "$raw"

accel_args() {
	case $1 in
	tcg) echo "-accel tcg,thread=multi -cpu max" ;;
	kvm) echo "-accel kvm -cpu host" ;;
	*) die "GUEST_ACCEL=$1: tcg, kvm or auto" ;;
	esac
}

accel=${GUEST_ACCEL:-tcg}
if [ "$accel" = auto ]; then
	accel=tcg
	if [ -w /dev/kvm ]; then
		# Remembered, for this host and kernel: a boot that hangs takes its time.
		probe=$build/kvm-$(hash_of "$kernel_image" /proc/sys/kernel/random/boot_id)
		if [ ! -e "$probe" ]; then
			mkdir -p "$build/guest/kvm-probe"
			printf '#!/bin/sh\nexit 0\n' >"$build/guest/kvm-probe/job"
			chmod +x "$build/guest/kvm-probe/job"
			if GUEST_ACCEL=kvm "$0" -q -t 30 kvm-probe "$build/guest/kvm-probe"; then
				echo kvm >"$probe"
			else
				note "a kernel does not come up under this machine's KVM: TCG it is"
				echo tcg >"$probe"
			fi
		fi
		accel=$(cat "$probe")
	fi
fi

# q35, for the tables of interrupts of the older machine are loops in ACPI code, which takes a slow
# kernel so long that it gives up.
# shellcheck disable=SC2207 # words are wanted
args=($(accel_args "$accel") -machine q35 -smp "${GUEST_CPUS:-2}" -m "$memory"
	-nodefaults -no-user-config -display none -no-reboot
	-kernel "$kernel_image"
	-append "console=ttyS0 root=/dev/vda rw init=/sbin/ckpt-stage1 panic=-1 oops=panic printk.time=1 $append"
	-drive "file=$root,if=virtio,format=raw,snapshot=on"
	-virtfs "local,path=$dir,mount_tag=ckpt,security_model=none,multidevs=remap")
[ -z "$disk" ] || args+=(-drive "file=$disk,if=virtio,format=raw,cache=unsafe")
fault=inject-error.0.event=none,inject-error.0.errno=5,inject-error.0.sector=$((256 << 20 >> 10))
image=image.driver=raw,image.file.driver=file,image.file.filename=$raw
[ -z "$raw" ] || args+=(-drive "if=virtio,driver=blkdebug,$image,$fault,cache=unsafe")
if [ -n "$interactive" ]; then
	args+=(-chardev "stdio,id=con,mux=on,signal=off,logfile=$console" -serial chardev:con -mon chardev=con)
else
	args+=(-chardev "stdio,id=con,signal=off,logfile=$console" -serial chardev:con)
fi
# shellcheck disable=SC2206 # words are wanted
args+=(${GUEST_QEMU_ARGS:-})

# Ends QEMU when the time is up, or when nothing has come of it for too long.
watch() {
	local pid=$1 seen=$build/logs/$name.seen quiet_since=$SECONDS start=$SECONDS
	touch "$seen"
	while sleep 2 && kill -0 "$pid" 2>/dev/null; do
		# Stopped (by job control, say) is not hung.
		if [ "$(ps -o stat= -p "$pid" | cut -c1)" = T ]; then
			quiet_since=$SECONDS
		fi
		if [ -n "$(find "$console" "$dir" -newer "$seen" ! -path "$dir/tell" -print -quit 2>/dev/null)" ]; then
			touch "$seen"
			quiet_since=$SECONDS
		fi
		if [ $((SECONDS - quiet_since)) -ge $((silence - 60)) ] && [ ! -e "$dir/tell" ]; then
			touch "$dir/tell"
			# What the guest says now is no sign of life.
			sleep 50
			touch "$seen"
		fi
		if [ $((SECONDS - quiet_since)) -ge "$silence" ] || [ $((SECONDS - start)) -ge "$limit" ]; then
			kill "$pid" 2>/dev/null
			sleep 5
			kill -KILL "$pid" 2>/dev/null
		fi
	done
	rm -f "$seen"
}

start=$SECONDS
rc=0
if [ -n "$interactive" ]; then
	qemu-system-x86_64 "${args[@]}" || rc=$?
else
	: >"$console"
	if [ -n "$quiet" ]; then
		qemu-system-x86_64 "${args[@]}" </dev/null >/dev/null &
	else
		qemu-system-x86_64 "${args[@]}" </dev/null > >(sed -u -e '1,/ as init process/d' -e 's/\r//g') &
	fi
	qemu=$!
	trap 'kill "$qemu" 2>/dev/null' EXIT
	watch "$qemu" &
	{ wait "$qemu"; } 2>/dev/null || rc=$?
	trap - EXIT
	wait
fi

verdict=0
if [ -e "$dir/out/dmesg" ]; then
	cp "$dir/out/dmesg" "$dmesg"
else
	# The guest did not get to it: what the console saw of it.
	{ grep -a -E '\[ *[0-9]+\.[0-9]{6}\]' "$console" || true; } | sed 's/\r//g' >"$dmesg"
fi
if [ ! -e "$dir/out/end" ]; then
	note "guest $name: no clean end after $((SECONDS - start)) s (limits $limit s, $silence s of silence; QEMU's status $rc); last lines of $console:"
	tail -n 20 "$console" >&2 || true
	verdict=71
fi
if ! "$top/ci/scan-log.sh" "$console" "$dmesg" >"$build/logs/$name.reports"; then
	note "guest $name: the kernel reported:"
	head -n 20 "$build/logs/$name.reports" >&2
	verdict=70
fi
# Bits of the taint mask that only a report sets: bad page, die, warning, lockup.
tainted=$(cat "$dir/out/tainted" 2>/dev/null || echo 0)
if [ $((tainted & (1 << 5 | 1 << 7 | 1 << 9 | 1 << 14))) -ne 0 ]; then
	note "guest $name: the kernel is tainted: $tainted"
	verdict=70
fi
[ "$verdict" = 0 ] || exit "$verdict"
exit "$(cat "$dir/out/status")"
