/* SPDX-License-Identifier: GPL-2.0-only */
/* What the abstractions in rust/kernel/checkpoint/ need from bindgen. */

#include <linux/audit.h>
#include <linux/binfmts.h>
#include <linux/bvec.h>
#include <linux/capability.h>
#include <linux/checkpoint.h>
#include <linux/dcache.h>
#include <linux/fs_struct.h>
#include <linux/futex.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/filter.h>
#include <linux/kallsyms.h>
#include <linux/ktime.h>
#include <linux/magic.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/nsproxy.h>
#include <linux/pid_namespace.h>
#include <linux/ptrace.h>
#include <linux/regset.h>
#include <linux/restart_block.h>
#include <linux/sched/coredump.h>
#include <linux/sched/exec_state.h>
#include <linux/sched/jobctl.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/user.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <linux/security.h>
#include <linux/shmem_fs.h>
#include <linux/signal.h>
#include <linux/stat.h>
#include <linux/task_work.h>
#include <linux/time_namespace.h>
#include <linux/uio.h>
#include <linux/utsname.h>
#include <linux/syscalls.h>
#include <linux/xxhash.h>
#include <uapi/linux/checkpoint.h>
#include <uapi/linux/prctl.h>
#include <uapi/linux/sched/types.h>
#include <uapi/linux/wait.h>

#include <asm/checkpoint.h>

const unsigned int RUST_CONST_HELPER_SECURE_ALL_BITS = SECURE_ALL_BITS;
const unsigned int RUST_CONST_HELPER_SECURE_ALL_LOCKS = SECURE_ALL_LOCKS;
const unsigned int RUST_CONST_HELPER_SECURE_ALL_UNPRIVILEGED = SECURE_ALL_UNPRIVILEGED;
const unsigned int RUST_CONST_HELPER_TASK_ANY_SLEEP =
	TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE | __TASK_STOPPED;
const fmode_t RUST_CONST_HELPER_FMODE_BACKING = FMODE_BACKING;
const fmode_t RUST_CONST_HELPER_FMODE_EXEC = FMODE_EXEC;
const fmode_t RUST_CONST_HELPER_FMODE_PATH = FMODE_PATH;
const unsigned long RUST_CONST_HELPER_MMF_DUMP_FILTER_MASK = MMF_DUMP_FILTER_MASK;
const unsigned long RUST_CONST_HELPER_MMF_TOPDOWN_MASK = MMF_TOPDOWN_MASK;
const vm_flags_t RUST_CONST_HELPER_VM_DROPPABLE = VM_DROPPABLE;
const vm_flags_t RUST_CONST_HELPER_VM_SEALED = VM_SEALED;
const vm_flags_t RUST_CONST_HELPER_VM_GROWSDOWN = VM_GROWSDOWN;
const vm_flags_t RUST_CONST_HELPER_VM_LOCKED = VM_LOCKED;
const vm_flags_t RUST_CONST_HELPER_VM_MAYBE_GUARD = VM_MAYBE_GUARD;
const vm_flags_t RUST_CONST_HELPER_VM_RAND_READ = VM_RAND_READ;
const vm_flags_t RUST_CONST_HELPER_VM_SEQ_READ = VM_SEQ_READ;
const vm_flags_t RUST_CONST_HELPER_VM_UFFD_MISSING = VM_UFFD_MISSING;
const vm_flags_t RUST_CONST_HELPER_VM_UFFD_WP = VM_UFFD_WP;

/* Layout as the C compiler sees it, checked in rust/kernel/checkpoint/task.rs. */
const size_t RUST_CONST_HELPER_CHECKPOINT_OFFSET_FILE_POS = offsetof(struct file, f_pos);
const size_t RUST_CONST_HELPER_CHECKPOINT_OFFSET_MM_AUXV = offsetof(struct mm_struct, saved_auxv);
const size_t RUST_CONST_HELPER_CHECKPOINT_OFFSET_TASK_COMM = offsetof(struct task_struct, comm);
const size_t RUST_CONST_HELPER_CHECKPOINT_OFFSET_TASK_PID = offsetof(struct task_struct, pid);
const size_t RUST_CONST_HELPER_CHECKPOINT_SIZE_SIGNAL = sizeof(struct signal_struct);
const size_t RUST_CONST_HELPER_CHECKPOINT_SIZE_TASK = sizeof(struct task_struct);
const size_t RUST_CONST_HELPER_CHECKPOINT_SIZE_VMA = sizeof(struct vm_area_struct);
