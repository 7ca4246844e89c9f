// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86 side of checkpoint/restart that needs macros and inlines.
 *
 * Whose state is read or written here stands still, see each function's
 * context: either it sleeps at its task-work point, off its CPU, or it is the
 * caller itself.
 */
#include <linux/binfmts.h>
#include <linux/cgroup.h>
#include <linux/checkpoint.h>
#include <linux/cpufeature.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_context.h>
#include <linux/personality.h>
#include <linux/pkeys.h>
#include <linux/processor.h>
#include <linux/ptrace.h>
#include <linux/regset.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/syscalls.h>
#include <linux/task_work.h>
#include <linux/vdso_datastore.h>
#include <linux/restart_block.h>
#include <linux/thread_info.h>

#include <asm/checkpoint.h>
#include <asm/cpuid/api.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xstate.h>
#include <asm/ia32.h>
#include <asm/io_bitmap.h>
#include <asm/prctl.h>
#include <asm/shstk.h>
#include <asm/syscall.h>
#include <asm/syscalls.h>
#ifdef CONFIG_IA32_EMULATION
#include <asm/unistd_32_ia32.h>
#endif
#include <asm/vdso.h>
#include <asm/vdso/vsyscall.h>

static const struct vdso_image *vdso_image_of(bool ia32)
{
	if (!ia32)
		return &vdso64_image;
#ifdef CONFIG_IA32_EMULATION
	return &vdso32_image;
#else
	return NULL;
#endif
}

/* Where the vdso is mapped the way exec maps it, whole; 0 when not at all. */
static bool find_vdso(struct mm_struct *mm, const struct vdso_image *image,
		      unsigned long *at)
{
	unsigned long text = (unsigned long)mm->context.vdso;
	unsigned long start = text - __VDSO_PAGES * PAGE_SIZE;
	unsigned long pages = 0;
	struct vm_area_struct *vma;
	bool ok = true;

	mmap_read_lock(mm);
	VMA_ITERATOR(vmi, mm, 0);
	for_each_vma(vmi, vma) {
		if (!vma_is_vdso(vma))
			continue;
		pages += vma_pages(vma);
		if (vma->vm_start < start || !image ||
		    vma->vm_end > text + image->size)
			ok = false;
	}
	mmap_read_unlock(mm);

	*at = pages ? text : 0;
	if (!pages)
		return true;
	return ok && image == mm->context.vdso_image &&
	       pages == __VDSO_PAGES + (image->size >> PAGE_SHIFT);
}

/**
 * checkpoint_x86_get_mm - what x86 keeps of an address space
 * @mm: the address space
 * @task: one of its tasks
 * @x86: where it goes
 *
 * The LDT is read with checkpoint_x86_ldt_entry().
 *
 * Context: all tasks in @mm stand still. Takes mmap_lock for reading.
 */
void checkpoint_x86_get_mm(struct mm_struct *mm, struct task_struct *task,
			   struct checkpoint_x86_mm *x86)
{
	unsigned long flags = READ_ONCE(mm->context.flags);
	unsigned long usual;

	memset(x86, 0, sizeof(*x86));
	x86->ia32 = test_tsk_thread_flag(task, TIF_ADDR32);
	x86->binfmt = mm->binfmt;

	/*
	 * Of mm_context_t, ctx_id, tlb_gen, next_trim_cpumask and global_asid
	 * are the machine's; perf_rdpmc_allowed counts mappings of perf
	 * events, which are refused; the rest is looked at here. Someone who
	 * adds a member has to decide what becomes of it.
	 */
	if (x86->ia32 && !test_bit(MM_CONTEXT_UPROBE_IA32, &flags))
		x86->why |= CHECKPOINT_X86_X32;
	/* That LAM can't be changed any more says that there were threads. */
	usual = BIT(MM_CONTEXT_LOCK_LAM);
	usual |= BIT(x86->ia32 ? MM_CONTEXT_UPROBE_IA32 : MM_CONTEXT_HAS_VSYSCALL);
	if (flags & ~usual)
		x86->why |= CHECKPOINT_X86_MM;
#ifdef CONFIG_ADDRESS_MASKING
	if (mm->context.lam_cr3_mask || mm->context.untag_mask != -1UL)
		x86->why |= CHECKPOINT_X86_LAM;
#endif
#ifdef CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS
	if (cpu_feature_enabled(X86_FEATURE_OSPKE)) {
		x86->pkeys = mm->context.pkey_allocation_map;
		x86->exec_only_pkey = max(mm->context.execute_only_pkey, 0);
	}
#endif
	if (!find_vdso(mm, vdso_image_of(x86->ia32), &x86->vdso))
		x86->why |= CHECKPOINT_X86_VDSO;
}

/**
 * checkpoint_x86_set_mm - give the caller's new address space what it had
 * @x86: what checkpoint_x86_get_mm() said
 *
 * Context: the caller has built its address space, and shares it with nobody.
 * Return: 0; -EOPNOTSUPP when this machine has no such protection keys; -EEXIST
 * when the vdso could not be mapped at its address; or another negative errno.
 */
int checkpoint_x86_set_mm(const struct checkpoint_x86_mm *x86)
{
	struct mm_struct *mm = current->mm;
	const struct vdso_image *image = vdso_image_of(x86->ia32);
	int err;

	/* As set_personality_64bit() and set_personality_ia32() do. */
	set_bit(x86->ia32 ? MM_CONTEXT_UPROBE_IA32 : MM_CONTEXT_HAS_VSYSCALL,
		&mm->context.flags);
	if (x86->binfmt) {
#ifdef CONFIG_COMPAT_BINFMT_ELF
		mm->binfmt = x86->ia32 ? &compat_elf_format : &elf_format;
#else
		mm->binfmt = &elf_format;
#endif
	}

	if (x86->pkeys >> arch_max_pkey())
		return -EOPNOTSUPP;
#ifdef CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS
	if (cpu_feature_enabled(X86_FEATURE_OSPKE) && x86->pkeys) {
		mmap_write_lock(mm);
		mm->context.pkey_allocation_map = x86->pkeys;
		mm->context.execute_only_pkey = -1;
		if (x86->exec_only_pkey &&
		    x86->exec_only_pkey < arch_max_pkey() &&
		    x86->pkeys & BIT(x86->exec_only_pkey))
			mm->context.execute_only_pkey = x86->exec_only_pkey;
		mmap_write_unlock(mm);
	}
#endif

	if (!x86->vdso)
		return 0;
	if (!image || !PAGE_ALIGNED(x86->vdso) ||
	    x86->vdso < __VDSO_PAGES * PAGE_SIZE)
		return -EINVAL;
	err = map_vdso_once(image, x86->vdso - __VDSO_PAGES * PAGE_SIZE);
	if (err)
		return err;
	return (unsigned long)mm->context.vdso == x86->vdso ? 0 : -EEXIST;
}

/**
 * checkpoint_x86_get_thread - what x86 keeps of a thread beside its regsets
 * @task: the thread
 * @x86: where it goes
 *
 * Context: @task stands still.
 */
void checkpoint_x86_get_thread(struct task_struct *task,
			       struct checkpoint_x86_thread *x86)
{
	struct thread_struct *thread = &task->thread;
	struct fpu *leader = x86_task_fpu(task->group_leader);
	int i;

	memset(x86, 0, sizeof(*x86));
	x86->addr32 = test_tsk_thread_flag(task, TIF_ADDR32);
	x86->compat_syscall = task->thread_info.status & TS_COMPAT;
	x86->notsc = test_tsk_thread_flag(task, TIF_NOTSC);
	x86->nocpuid = test_tsk_thread_flag(task, TIF_NOCPUID);
	x86->ospke = cpu_feature_enabled(X86_FEATURE_OSPKE);
	x86->pkru = thread->pkru;
	x86->cr2 = thread->cr2;
	x86->trap_nr = thread->trap_nr;
	x86->error_code = thread->error_code;

	/* A tracer that is gone leaves its breakpoints behind. */
	x86->breakpoints = thread->ptrace_dr7 || thread->virtual_dr6;
	for (i = 0; i < HBP_NUM; i++)
		if (thread->ptrace_bps[i])
			x86->breakpoints = true;

	x86->xcomp_perm = READ_ONCE(leader->perm.__state_perm) &
			  XFEATURE_MASK_USER_DYNAMIC;
	x86->guest_perm = READ_ONCE(leader->guest_perm.__state_perm) &
			  XFEATURE_MASK_USER_DYNAMIC;
#ifdef CONFIG_X86_USER_SHADOW_STACK
	if (thread->features || thread->features_locked)
		x86->why |= CHECKPOINT_X86_SHSTK;
#endif
	x86->iopl = thread->iopl_emul;
}

/**
 * checkpoint_x86_set_thread - give a thread what it had beside its regsets
 * @task: a task that was created for restart(2)
 * @x86: what checkpoint_x86_get_thread() said
 *
 * That CPUID traps comes to the CPU when the task is switched to.
 *
 * Context: @task stands still and has not been to user mode.
 * Return: 0, or -EOPNOTSUPP when this machine can't make CPUID trap.
 */
int checkpoint_x86_set_thread(struct task_struct *task,
			      const struct checkpoint_x86_thread *x86)
{
	if (x86->nocpuid && !boot_cpu_has(X86_FEATURE_CPUID_FAULT))
		return -EOPNOTSUPP;

	update_tsk_thread_flag(task, TIF_NOCPUID, x86->nocpuid);
	/* Says how the result of the system call is to be understood. */
	task->thread_info.status &= ~(TS_COMPAT | TS_I386_REGS_POKED);
	if (x86->compat_syscall)
		task->thread_info.status |= TS_COMPAT;
	task->thread.cr2 = x86->cr2;
	task->thread.trap_nr = x86->trap_nr;
	task->thread.error_code = x86->error_code;
	return 0;
}

/**
 * checkpoint_x86_set_personality - make the caller an ia32 or a 64-bit task
 * @ia32: which
 *
 * What set_personality_ia32(), set_personality_64bit() and start_thread() do
 * that is not about the address space, which is still that of init.
 *
 * Context: a task that was created for restart(2), before it gets its mm.
 */
void checkpoint_x86_set_personality(bool ia32)
{
	/* If init has a shadow stack, fork made one for this task. */
	shstk_free(current);
	reset_thread_features();

	/* Would make what is mapped from now on executable. */
	current->personality &= ~READ_IMPLIES_EXEC;
	if (ia32) {
		set_thread_flag(TIF_ADDR32);
		current_thread_info()->status |= TS_COMPAT;
	} else {
		clear_thread_flag(TIF_ADDR32);
		current_thread_info()->status &= ~TS_COMPAT;
	}
}

/* Whether this kernel runs ia32 programs. */
bool checkpoint_x86_has_ia32(void)
{
	return ia32_enabled();
}

/**
 * checkpoint_x86_ldt_size - how many entries the LDT has
 * @mm: an address space that nobody runs in
 *
 * Context: may sleep.
 * Return: the number, free ones included; 0 without an LDT.
 */
unsigned int checkpoint_x86_ldt_size(struct mm_struct *mm)
{
	unsigned int n = 0;

#ifdef CONFIG_MODIFY_LDT_SYSCALL
	down_read(&mm->context.ldt_usr_sem);
	if (mm->context.ldt)
		n = mm->context.ldt->nr_entries;
	up_read(&mm->context.ldt_usr_sem);
#endif
	return n;
}

/**
 * checkpoint_x86_ldt_entry - an entry of the LDT as modify_ldt(2) writes it
 * @mm: an address space that nobody runs in
 * @nr: index of the entry
 * @info: where it goes
 *
 * Context: may sleep.
 * Return: whether the entry is in use. @info is valid in any case and clears
 * the entry if it is not.
 */
bool checkpoint_x86_ldt_entry(struct mm_struct *mm, unsigned int nr,
			      struct user_desc *info)
{
	struct desc_struct desc = {};

#ifdef CONFIG_MODIFY_LDT_SYSCALL
	down_read(&mm->context.ldt_usr_sem);
	if (mm->context.ldt && nr < mm->context.ldt->nr_entries)
		desc = mm->context.ldt->entries[nr];
	up_read(&mm->context.ldt_usr_sem);
#endif
	fill_user_desc(info, nr, &desc);
	return !desc_empty(&desc);
}

/**
 * checkpoint_x86_write_ldt - write entries of the LDT of the caller
 * @info: the entries, checked as modify_ldt(2) checks them
 * @n: how many
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, -EOPNOTSUPP without modify_ldt(2).
 */
int checkpoint_x86_write_ldt(const struct user_desc *info, unsigned int n)
{
#ifdef CONFIG_MODIFY_LDT_SYSCALL
	return write_ldt_entries(info, n, 0);
#else
	return -EOPNOTSUPP;
#endif
}

/**
 * checkpoint_x86_vdso_text - what is mapped as [vdso]
 * @ia32: the one of ia32 tasks
 * @len: its length in bytes
 *
 * Return: the text, which does not change while the kernel runs, or NULL.
 */
const void *checkpoint_x86_vdso_text(bool ia32, size_t *len)
{
	const struct vdso_image *image = vdso_image_of(ia32);

	*len = image ? image->size : 0;
	return image ? image->data : NULL;
}

/* Whether a mapping is the vdso or its data. mmap_lock is held. */
bool checkpoint_x86_is_vdso(const struct vm_area_struct *vma)
{
	return vma_is_vdso(vma);
}

/**
 * checkpoint_x86_regset - find a register set
 * @note: its NT_* number
 *
 * All tasks, ia32 ones too, use the sets of 64-bit ones: what the kernel keeps
 * of an ia32 task is a pt_regs and an xstate like any other, and the i386 view
 * only cuts it to 32 bits. TLS descriptors are in the i386 view alone, but any
 * task has room for them.
 *
 * Return: the set, or NULL if there is none.
 */
const struct user_regset *checkpoint_x86_regset(u32 note)
{
	const struct user_regset_view *view = &user_x86_64_view;
	unsigned int i;

#ifdef CONFIG_IA32_EMULATION
	if (note == NT_386_TLS)
		view = &user_x86_32_view;
#endif
	for (i = 0; i < view->n; i++)
		if (view->regsets[i].core_note_type == note)
			return &view->regsets[i];
	return NULL;
}

/* The xstate components that tasks may use on this machine. */
u64 checkpoint_x86_xfeatures(void)
{
	return fpu_user_cfg.max_features | fpu_user_cfg.legacy_features;
}

/* Where the XSAVE area of this machine has its components. */
static struct {
	u32 size;
	u32 offset;
} xfeature_layout[XFEATURE_MAX] __ro_after_init;

static int __init checkpoint_x86_init(void)
{
	unsigned int i;
	u32 unused;

	if (!cpu_feature_enabled(X86_FEATURE_XSAVE))
		return 0;
	for (i = XFEATURE_YMM; i < XFEATURE_MAX; i++)
		if (fpu_user_cfg.max_features & BIT_ULL(i))
			cpuid_count(CPUID_LEAF_XSTATE, i, &xfeature_layout[i].size,
				    &xfeature_layout[i].offset, &unused, &unused);
	return 0;
}
core_initcall(checkpoint_x86_init);

/**
 * checkpoint_x86_xfeature - where NT_X86_XSTATE has an extended component
 * @nr: number of the component
 * @size: its length in bytes
 * @offset: where it begins
 *
 * It is the machine's, and not the same on all machines.
 *
 * Return: whether this machine has it.
 */
bool checkpoint_x86_xfeature(unsigned int nr, u32 *size, u32 *offset)
{
	if (nr >= XFEATURE_MAX || !xfeature_layout[nr].size)
		return false;
	*size = xfeature_layout[nr].size;
	*offset = xfeature_layout[nr].offset;
	return true;
}

/**
 * checkpoint_x86_enable_xfeatures - let the caller use dynamic xstate components
 * @perm: components that its process may use, as by ARCH_REQ_XCOMP_PERM
 * @guest_perm: and its virtual machines, as by ARCH_REQ_XCOMP_GUEST_PERM
 * @used: those of @perm that it has used
 *
 * Context: the caller has not been to user mode. May sleep.
 * Return: 0 or a negative errno.
 */
int checkpoint_x86_enable_xfeatures(u64 perm, u64 guest_perm, u64 used)
{
	unsigned int i;
	int err = 0;

	if ((perm | guest_perm) & ~XFEATURE_MASK_USER_DYNAMIC || used & ~perm)
		return -EINVAL;
	for (i = 0; i < XFEATURE_MAX && !err; i++)
		if (perm & BIT_ULL(i))
			err = fpu_xstate_prctl(ARCH_REQ_XCOMP_PERM, i);
	for (i = 0; i < XFEATURE_MAX && !err; i++)
		if (guest_perm & BIT_ULL(i))
			err = fpu_xstate_prctl(ARCH_REQ_XCOMP_GUEST_PERM, i);
	if (err)
		return err;
	return used ? xfd_enable_feature(used) : 0;
}

/**
 * checkpoint_x86_ioperm - give the caller access to I/O ports
 * @bitmap: as in NT_386_IOPERM, a clear bit for each port it may use
 * @longs: length of @bitmap
 *
 * Context: may sleep.
 * Return: 0 or what ioperm(2) returns, -EOPNOTSUPP without it.
 */
int checkpoint_x86_ioperm(const unsigned long *bitmap, unsigned int longs)
{
#ifdef CONFIG_X86_IOPL_IOPERM
	unsigned long bits = longs * BITS_PER_LONG;
	unsigned long from, to;
	int err;

	for (from = find_first_zero_bit(bitmap, bits); from < bits;
	     from = find_next_zero_bit(bitmap, bits, to)) {
		to = find_next_bit(bitmap, bits, from);
		err = ksys_ioperm(from, to - from, 1);
		if (err)
			return err;
	}
	return 0;
#else
	return -EOPNOTSUPP;
#endif
}

/**
 * checkpoint_x86_init_pkru - the rights that execve(2) gives to protection keys
 * @pkru: set to them
 *
 * Return: whether there are protection keys.
 */
bool checkpoint_x86_init_pkru(u32 *pkru)
{
	*pkru = pkru_get_init_value();
	return cpu_feature_enabled(X86_FEATURE_OSPKE);
}

/**
 * checkpoint_x86_iopl - iopl(2) for the caller
 * @level: the level, which the caller may have already from init
 *
 * Context: the caller has not been to user mode.
 * Return: 0 or what iopl(2) returns, -EOPNOTSUPP without it.
 */
int checkpoint_x86_iopl(unsigned int level)
{
#ifdef CONFIG_X86_IOPL_IOPERM
	int err = ksys_iopl(level);

	/* It may have the level of init, but not the bitmap that goes with it. */
	if (!err && current->thread.iopl_emul == 3)
		set_thread_flag(TIF_IO_BITMAP);
	return err;
#else
	return level ? -EOPNOTSUPP : 0;
#endif
}

/**
 * checkpoint_x86_finish_regs - what a thread's regsets do not set
 * @task: a thread that got NT_PRSTATUS just now
 * @flags: the flags register as it is in NT_PRSTATUS
 *
 * Context: @task stands still and has not been to user mode.
 */
void checkpoint_x86_finish_regs(struct task_struct *task, unsigned long flags)
{
	struct pt_regs *regs = task_pt_regs(task);

	/* Harmless, and the only flag that user mode can set but not a tracer. */
	regs->flags = (regs->flags & ~X86_EFLAGS_ID) | (flags & X86_EFLAGS_ID);
#ifdef CONFIG_RSEQ
	/*
	 * It goes to user mode as from fork, but was interrupted there: if
	 * that was in a critical section, it must be aborted.
	 */
	if (syscall_get_nr(task, regs) == -1 && task->rseq.event.has_rseq) {
		task->rseq.event.user_irq = true;
		rseq_sched_switch_event(task);
	}
#endif
}

/**
 * checkpoint_x86_end_syscall - have the system call of a thread be over
 * @task: a thread that got its registers just now
 *
 * Context: @task stands still and has not been to user mode.
 */
void checkpoint_x86_end_syscall(struct task_struct *task)
{
	task_pt_regs(task)->orig_ax = -1;
}

/* Sets the register for results of the calling task. */
void checkpoint_x86_set_ax(unsigned long ax)
{
	current_pt_regs()->ax = ax;
}

/*
 * The system calls that checkpoint_go_on_until() is for: those that wait until
 * a time that follows from their arguments or from a socket that they are for.
 */
struct again {
	int nr;
	long (*fn)(const struct pt_regs *regs);
};

static const struct again calls[] = {
	{ __NR_read, __x64_sys_read },
	{ __NR_write, __x64_sys_write },
	{ __NR_readv, __x64_sys_readv },
	{ __NR_writev, __x64_sys_writev },
	{ __NR_select, __x64_sys_select },
	{ __NR_sendfile, __x64_sys_sendfile64 },
	{ __NR_connect, __x64_sys_connect },
	{ __NR_accept, __x64_sys_accept },
	{ __NR_sendto, __x64_sys_sendto },
	{ __NR_recvfrom, __x64_sys_recvfrom },
	{ __NR_sendmsg, __x64_sys_sendmsg },
	{ __NR_recvmsg, __x64_sys_recvmsg },
	{ __NR_io_getevents, __x64_sys_io_getevents },
	{ __NR_pselect6, __x64_sys_pselect6 },
	{ __NR_ppoll, __x64_sys_ppoll },
	{ __NR_splice, __x64_sys_splice },
	{ __NR_accept4, __x64_sys_accept4 },
	{ __NR_recvmmsg, __x64_sys_recvmmsg },
	{ __NR_sendmmsg, __x64_sys_sendmmsg },
	{ __NR_preadv2, __x64_sys_preadv2 },
	{ __NR_pwritev2, __x64_sys_pwritev2 },
	{ __NR_io_pgetevents, __x64_sys_io_pgetevents },
	{ }
};

#ifdef CONFIG_IA32_EMULATION
static const struct again calls_ia32[] = {
	{ __NR_ia32_read, __ia32_sys_read },
	{ __NR_ia32_write, __ia32_sys_write },
	{ __NR_ia32_select, __ia32_compat_sys_old_select },
	{ __NR_ia32_socketcall, __ia32_compat_sys_socketcall },
	{ __NR_ia32__newselect, __ia32_compat_sys_select },
	{ __NR_ia32_readv, __ia32_sys_readv },
	{ __NR_ia32_writev, __ia32_sys_writev },
	{ __NR_ia32_sendfile, __ia32_compat_sys_sendfile },
	{ __NR_ia32_sendfile64, __ia32_sys_sendfile64 },
	{ __NR_ia32_io_getevents, __ia32_sys_io_getevents_time32 },
	{ __NR_ia32_pselect6, __ia32_compat_sys_pselect6_time32 },
	{ __NR_ia32_ppoll, __ia32_compat_sys_ppoll_time32 },
	{ __NR_ia32_splice, __ia32_sys_splice },
	{ __NR_ia32_recvmmsg, __ia32_compat_sys_recvmmsg_time32 },
	{ __NR_ia32_sendmmsg, __ia32_compat_sys_sendmmsg },
	{ __NR_ia32_connect, __ia32_sys_connect },
	{ __NR_ia32_accept4, __ia32_sys_accept4 },
	{ __NR_ia32_sendto, __ia32_sys_sendto },
	{ __NR_ia32_sendmsg, __ia32_compat_sys_sendmsg },
	{ __NR_ia32_recvfrom, __ia32_compat_sys_recvfrom },
	{ __NR_ia32_recvmsg, __ia32_compat_sys_recvmsg },
	{ __NR_ia32_preadv2, __ia32_compat_sys_preadv2 },
	{ __NR_ia32_pwritev2, __ia32_compat_sys_pwritev2 },
	{ __NR_ia32_io_pgetevents, __ia32_compat_sys_io_pgetevents },
	{ __NR_ia32_pselect6_time64, __ia32_compat_sys_pselect6_time64 },
	{ __NR_ia32_ppoll_time64, __ia32_compat_sys_ppoll_time64 },
	{ __NR_ia32_io_pgetevents_time64, __ia32_compat_sys_io_pgetevents_time64 },
	{ __NR_ia32_recvmmsg_time64, __ia32_compat_sys_recvmmsg_time64 },
	{ }
};
#endif

static const struct again *find_call(int nr, bool compat)
{
	const struct again *call = calls;

	if (compat && !ia32_enabled())
		return NULL;
#ifdef CONFIG_IA32_EMULATION
	if (compat)
		call = calls_ia32;
#endif
	while (call->fn && call->nr != nr)
		call++;
	return call->fn ? call : NULL;
}

/* Whether the system call that current is in is an ia32 one. */
bool arch_checkpoint_is_compat(void)
{
	return in_ia32_syscall();
}

/* Whether a system call is one that checkpoint_go_on_until() is for. */
bool arch_checkpoint_knows_call(int nr, bool compat)
{
	return find_call(nr, compat);
}

/**
 * arch_checkpoint_call - call a system call again
 * @nr: its number
 *
 * Its arguments are in the registers, as they were when it was interrupted.
 *
 * Context: current is in the system call, or at its task-work point after it.
 * Return: its result, -EINTR if it is no such call.
 */
long arch_checkpoint_call(int nr)
{
	const struct again *call = find_call(nr, in_ia32_syscall());

	return call ? call->fn(current_pt_regs()) : -EINTR;
}

/**
 * arch_checkpoint_unpark - go on with a call whose restart may be forbidden
 *
 * What is restarted with the time that was left goes through
 * restart_syscall(2), a call that the task has not made, and that its seccomp
 * filters may know nothing of: they could kill it for having been frozen. Nor
 * would a tracer or the audit see what is called. So a task that is watched goes
 * on with its call from here, and so does one whose calls are dispatched to user
 * space (PR_SET_SYSCALL_USER_DISPATCH). If a
 * signal is pending, this ends at once, and all is as with any other signal.
 *
 * In a frozen cgroup it is the freezer that has interrupted the call, and the task
 * stays where it is. There nobody would notice a signal: TIF_SIGPENDING was
 * cleared, for the task to sleep.
 *
 * Context: the caller is at its task-work point, and was let go.
 */
void arch_checkpoint_unpark(void)
{
	struct restart_block *block = &current->restart_block;
	struct pt_regs *regs = current_pt_regs();

	if ((!checkpoint_is_watched() &&
	     !test_syscall_work(SYSCALL_USER_DISPATCH)) ||
	    cgroup_task_frozen(current) ||
	    current->flags & PF_EXITING ||
	    syscall_get_nr(current, regs) == -1 ||
	    syscall_get_error(current, regs) != -ERESTART_RESTARTBLOCK)
		return;
	/* A filter may give any error, and the block be one that nobody needs any more. */
	if (block->fn == checkpoint_restart_call &&
	    syscall_get_nr(current, regs) != block->wait.id)
		return;

	/* Of the work that brought it here; if there is more, that comes next. */
	clear_notify_signal();
	if (task_work_pending(current))
		set_notify_signal(current);
	/* The call is to find the mask that it had found: it may set one for itself. */
	restore_saved_sigmask();
	regs->ax = block->fn == checkpoint_restart_call ? checkpoint_call_again(block) :
							  block->fn(block);
}

/* Whether the call that @block continues was an ia32 one. */
bool arch_checkpoint_restart_is_compat(const struct restart_block *block)
{
	return block->arch_data & TS_COMPAT;
}

void arch_checkpoint_restart_set_compat(struct restart_block *block, bool compat)
{
	block->arch_data = compat ? TS_COMPAT : 0;
}

/* How many of the perf events of a task are breakpoints of ptrace(2). */
unsigned int arch_checkpoint_breakpoints(struct task_struct *task)
{
	unsigned int n = 0;

	for (int i = 0; i < HBP_NUM; i++)
		if (task->thread.ptrace_bps[i])
			n++;
	return n;
}
