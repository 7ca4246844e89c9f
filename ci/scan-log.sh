#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Look for reports of the kernel about itself in kernel logs: BUGs, warnings,
# lockdep, KASAN, hung tasks, stalls, leaks and panics. Prints what it finds and
# then exits with 1.
#
# usage: scan-log.sh FILE...     (dmesg or console; "-" for standard input)
#        scan-log.sh --self-test
#
# SCAN_FAULTS=1: allocations fail on purpose; what the allocator says of that, with
# the stack of who asked, is no report, nor is a page fault that has to be repeated.
#
# On a console other programs write, too: only lines with the kernel's time
# stamp count, wherever in the line it starts.
set -euo pipefail

reports=(
	'BUG:' 'BUG at ' 'WARNING:' 'INFO: task .* blocked' 'INFO: lockdep'
	'INFO: trying to register' 'INFO: possible' 'INFO: rcu' 'rcu: INFO:'
	'INFO: Slab' 'INFO: Object' 'INFO: Allocated' 'INFO: Freed'
	'Oops' 'Kernel panic' 'kernel BUG' 'unable to handle' 'Unable to handle'
	'general protection fault' 'double fault' 'stack segment' 'invalid opcode:'
	'divide error:' 'Internal error' 'Call Trace:' 'cut here'
	'possible circular locking' 'possible recursive locking'
	'possible irq lock inversion' 'lock order' 'inconsistent lock state'
	'inconsistent \{' 'bad unlock balance' 'bad contention' 'held lock freed'
	'lock held when returning' 'locks? still held' 'is freeing memory'
	'nested lock was not taken' 'suspicious RCU usage' 'Voluntary context switch within RCU'
	'Invalid wait context' 'illegal context' 'Bad RIP' 'MAX_LOCK' 'BUG_ON'
	'turning off the locking correctness validator' 'DEBUG_LOCKS_WARN_ON'
	'scheduling while atomic' 'sleeping function called' 'soft lockup' 'hard LOCKUP'
	'detected stall' 'self-detected' 'hung_task' 'blocked for more than'
	'KASAN' 'KMSAN' 'KCSAN' 'KFENCE' 'UBSAN' 'kmemleak: [0-9]+ new'
	'refcount_t' 'list_(add|del) corruption' 'list_del-entry' 'slab-out-of' 'use-after-free'
	'Redzone' 'Poison overwritten' 'Object already free' 'Objects remaining'
	'Bad page' 'Bad rss-counter' 'bad rss-counter' 'non-zero pgtables' 'BUG: non-zero'
	'bad pte' 'page dumped because' 'nonzero _refcount' 'VM_(BUG|WARN)' 'mm:.* nonzero'
	'unregister_netdevice: waiting' 'ODEBUG' 'percpu ref' 'leaked' 'busy inodes'
	'Busy inodes' 'still in use' 'stack guard page' 'stack-protector' 'corrupted stack'
	'ran out of stack' 'rust_kernel: ' 'panicked at' 'Rust panic' 'Out of memory'
	'oom-kill' 'EXT4-fs error' 'bad_page' 'return thunk' 'Unpatched' 'x86/fpu:.*[Bb]ad'
	'traps: PANIC' 'NMI: ' 'mce:' 'Kernel offset leak' 'kernel stack'
)
# What any boot says without there being anything wrong.
harmless='mce: CPU|NMI: using|NMI watchdog: (Enabled|disabled)|Kernel panic on|hung_task_panic=|MAX_LOCK(DEP|_DEPTH)[A-Z_]*: +[0-9]|mce: Using|kasan: KernelAddressSanitizer|kmemleak: Kernel memory leak detector|KASAN_|KFENCE.*initialized|kfence: initialized|rcu: INFO: preemptible|traps: .*\[[0-9]+\] [a-z ]+ ip:[0-9a-f]+ sp:'

pattern=$(IFS='|'; echo "${reports[*]}")
stamp='\[ *[0-9]+\.[0-9]{6}\]'

# warn_alloc() of the kernel: a line, and later "Call Trace:".
asked_for='(vmalloc error: size|page allocation failure: order)'

scan() {
	local name
	for name; do
		# The line numbers stay what they are in the file.
		if [ -n "${SCAN_FAULTS:-}" ]; then
			awk -v asked="$asked_for" '
				$0 ~ asked { skip = 1 }
				skip && /Call Trace:/ { skip = 0; $0 = "" }
				/VM_FAULT_OOM leaked out to the #PF handler/ { $0 = "" }
				{ print }' "$name"
		else
			cat "$name"
		fi | grep -a -n -E "$stamp.*($pattern)" | grep -a -v -E "$stamp.*($harmless)" |
			sed "s|^|$name:|" || true
	done
}

self_test() {
	local failed=0 line
	# One line of each kind, as kernels print them.
	local bad=(
		'[    9.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008'
		'[    9.000001] BUG: sleeping function called from invalid context at mm/slab_common.c:1'
		'[    9.000001] BUG: scheduling while atomic: job/77/0x00000002'
		'[    9.000001] BUG: Bad rss-counter state mm:00000000c0ffee00 type:MM_ANONPAGES val:3'
		'[    9.000001] BUG: non-zero pgtables_bytes on freeing mm: 4096'
		'[    9.000001] BUG: Bad page state in process job  pfn:1234'
		'[    9.000001] BUG: KASAN: slab-use-after-free in checkpoint+0x1/0x2'
		'[    9.000001] WARNING: CPU: 1 PID: 5 at kernel/fork.c:1 f+0x1/0x2'
		'[    9.000001] WARNING: possible circular locking dependency detected'
		'[    9.000001] WARNING: suspicious RCU usage'
		'[    9.000001] WARNING: inconsistent lock state'
		'[    9.000001] WARNING: bad unlock balance detected!'
		'[    9.000001] WARNING: held lock freed!'
		'[    9.000001] WARNING: lock held when returning to user space!'
		'[    9.000001] INFO: task job:77 blocked for more than 120 seconds.'
		'[    9.000001] INFO: lockdep is turned off.'
		'[    9.000001] INFO: trying to register non-static key.'
		'[    9.000001] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:'
		'[    9.000001] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [job:77]'
		'[    9.000001] Oops: general protection fault, probably for non-canonical address'
		'[    9.000001] Oops: 0000 [#1] SMP PTI'
		'[    9.000001] refcount_t: underflow; use-after-free.'
		'[    9.000001] list_add corruption. next->prev should be prev'
		'[    9.000001] unregister_netdevice: waiting for lo to become free. Usage count = 2'
		'[    9.000001] UBSAN: array-index-out-of-bounds in kernel/x.c:1:1'
		'[    9.000001] kernel BUG at mm/mmap.c:1!'
		'[    9.000001] rust_kernel: panicked at kernel/checkpoint/image.rs:1:1'
		'[    9.000001] Kernel panic - not syncing: Attempted to kill init!'
		'[    9.000001] VFS: Busy inodes after unmount of tmpfs (tmpfs)'
		'[    9.000001] Out of memory: Killed process 77 (job)'
		'[    9.000001][  T123] WARNING: CPU: 1 PID: 5 at kernel/fork.c:1'
		'ok 3 some.test[    9.000001] WARNING: CPU: 1 PID: 5 at kernel/fork.c:1'
	)
	local good=(
		'[    9.000001] traps: exe[77] general protection fault ip:401000 sp:7ffd0 error:0 in exe[401000+9e000]'
		'[    0.000001] Linux version 7.3.4 (build@host) (clang version 19) #1 SMP PREEMPT'
		'[    0.000001] Command line: console=ttyS0 oops=panic panic=-1'
		'[    0.000001] ... MAX_LOCKDEP_SUBCLASSES:  8'
		'[    0.000001] ... MAX_LOCK_DEPTH:          48'
		'[    0.000001] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc.'
		'[    9.000001] reboot: Power down'
		'Warn  (criu/image.c:1): WARNING: a line that a program wrote'
		'not ok 1 BUG: is what this test is called'
	)
	for line in "${bad[@]}"; do
		if [ -z "$(printf '%s\n' "$line" | scan -)" ]; then
			printf 'not seen: %s\n' "$line"
			failed=1
		fi
	done
	for line in "${good[@]}"; do
		if [ -n "$(printf '%s\n' "$line" | scan -)" ]; then
			printf 'false alarm: %s\n' "$line"
			failed=1
		fi
	done
	# With faults on purpose one trace is expected, and no second one.
	local fault='[    9.000001] exe: vmalloc error: size 16384, vm_struct allocation failed
[    9.000002] Call Trace:'
	if [ -z "$(printf '%s\n' "$fault" | scan -)" ] ||
		[ -n "$(printf '%s\n' "$fault" | SCAN_FAULTS=1 scan -)" ] ||
		[ -z "$(printf '%s\n' "$fault" '[    9.000003] Call Trace:' | SCAN_FAULTS=1 scan -)" ]; then
		printf 'failed allocations are not told from reports\n'
		failed=1
	fi
	fault='[    9.000001] Huh VM_FAULT_OOM leaked out to the #PF handler. Retrying PF'
	if [ -z "$(printf '%s\n' "$fault" | scan -)" ] ||
		[ -n "$(printf '%s\n' "$fault" | SCAN_FAULTS=1 scan -)" ]; then
		printf 'page faults without memory are not told from reports\n'
		failed=1
	fi
	[ "$failed" = 0 ] || exit 1
	printf 'scan-log self test: %d reports seen, %d harmless lines passed over\n' "${#bad[@]}" "${#good[@]}"
}

if [ "${1:-}" = --self-test ]; then
	self_test
	exit 0
fi
found=$(scan "$@")
[ -n "$found" ] || exit 0
printf '%s\n' "$found"
exit 1
