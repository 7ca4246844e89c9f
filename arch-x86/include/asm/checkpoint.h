/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_CHECKPOINT_H
#define _ASM_X86_CHECKPOINT_H

#include <linux/bits.h>
#include <linux/types.h>

struct mm_struct;
struct pt_regs;
struct task_struct;
struct user_desc;
struct user_regset;
struct vm_area_struct;

/* What keeps an address space or a thread from being saved. */
enum checkpoint_x86_why {
	CHECKPOINT_X86_X32	= BIT(0),	/* x32 ABI */
	CHECKPOINT_X86_LAM	= BIT(1),	/* linear address masking */
	CHECKPOINT_X86_VDSO	= BIT(2),	/* vdso not as exec maps it */
	CHECKPOINT_X86_MM	= BIT(3),	/* other state of the mm */
	CHECKPOINT_X86_SHSTK	= BIT(4),	/* user shadow stack */
};

/**
 * struct checkpoint_x86_mm - what x86 keeps of an address space
 * @why: enum checkpoint_x86_why, 0 when it can be saved
 * @ia32: made for an ia32 task
 * @binfmt: core dumps are written in ELF
 * @vdso: address of the vdso, 0 when it is not mapped
 * @pkeys: allocated protection keys, one bit each; 0 where there are none
 * @exec_only_pkey: the key of execute-only mappings, 0 for none
 */
struct checkpoint_x86_mm {
	u32 why;
	bool ia32;
	bool binfmt;
	unsigned long vdso;
	u32 pkeys;
	u32 exec_only_pkey;
};

/**
 * struct checkpoint_x86_thread - what x86 keeps of a thread beside its regsets
 * @why: enum checkpoint_x86_why, 0 when it can be saved
 * @addr32: runs with ia32 addresses (TIF_ADDR32)
 * @compat_syscall: the system call that was interrupted is an ia32 one
 * @notsc: RDTSC traps
 * @nocpuid: CPUID traps
 * @breakpoints: debug registers are in use
 * @iopl: level of iopl(2)
 * @xcomp_perm: dynamic xstate components that the process may use
 * @guest_perm: those that its virtual machines may use
 * @cr2: address of the last page fault, for signal frames
 * @trap_nr: vector of the last exception, for signal frames
 * @error_code: its error code
 * @ospke: there are protection keys
 * @pkru: its rights to them
 */
struct checkpoint_x86_thread {
	u32 why;
	bool addr32;
	bool compat_syscall;
	bool notsc;
	bool nocpuid;
	bool breakpoints;
	u32 iopl;
	u64 xcomp_perm;
	u64 guest_perm;
	u64 cr2;
	u32 trap_nr;
	u32 error_code;
	bool ospke;
	u32 pkru;
};

void checkpoint_x86_get_mm(struct mm_struct *mm, struct task_struct *task,
			   struct checkpoint_x86_mm *x86);
int checkpoint_x86_set_mm(const struct checkpoint_x86_mm *x86);
void checkpoint_x86_get_thread(struct task_struct *task,
			       struct checkpoint_x86_thread *x86);
int checkpoint_x86_set_thread(struct task_struct *task,
			      const struct checkpoint_x86_thread *x86);
void checkpoint_x86_set_personality(bool ia32);
bool checkpoint_x86_has_ia32(void);
unsigned int checkpoint_x86_ldt_size(struct mm_struct *mm);
bool checkpoint_x86_ldt_entry(struct mm_struct *mm, unsigned int nr,
			      struct user_desc *info);
int checkpoint_x86_write_ldt(const struct user_desc *info, unsigned int n);
const void *checkpoint_x86_vdso_text(bool ia32, size_t *len);
bool checkpoint_x86_is_vdso(const struct vm_area_struct *vma);
const struct user_regset *checkpoint_x86_regset(u32 note);
u64 checkpoint_x86_xfeatures(void);
bool checkpoint_x86_xfeature(unsigned int nr, u32 *size, u32 *offset);
int checkpoint_x86_enable_xfeatures(u64 perm, u64 guest_perm, u64 used);
int checkpoint_x86_ioperm(const unsigned long *bitmap, unsigned int longs);
bool checkpoint_x86_init_pkru(u32 *pkru);
int checkpoint_x86_iopl(unsigned int level);
void checkpoint_x86_finish_regs(struct task_struct *task, unsigned long flags);
void checkpoint_x86_end_syscall(struct task_struct *task);
void checkpoint_x86_set_ax(unsigned long ax);

/* The entries of system calls that may be called again, see checkpoint.c. */
long __x64_sys_read(const struct pt_regs *regs);
long __x64_sys_write(const struct pt_regs *regs);
long __x64_sys_readv(const struct pt_regs *regs);
long __x64_sys_writev(const struct pt_regs *regs);
long __x64_sys_select(const struct pt_regs *regs);
long __x64_sys_sendfile64(const struct pt_regs *regs);
long __x64_sys_connect(const struct pt_regs *regs);
long __x64_sys_accept(const struct pt_regs *regs);
long __x64_sys_sendto(const struct pt_regs *regs);
long __x64_sys_recvfrom(const struct pt_regs *regs);
long __x64_sys_sendmsg(const struct pt_regs *regs);
long __x64_sys_recvmsg(const struct pt_regs *regs);
long __x64_sys_io_getevents(const struct pt_regs *regs);
long __x64_sys_pselect6(const struct pt_regs *regs);
long __x64_sys_ppoll(const struct pt_regs *regs);
long __x64_sys_splice(const struct pt_regs *regs);
long __x64_sys_accept4(const struct pt_regs *regs);
long __x64_sys_recvmmsg(const struct pt_regs *regs);
long __x64_sys_sendmmsg(const struct pt_regs *regs);
long __x64_sys_preadv2(const struct pt_regs *regs);
long __x64_sys_pwritev2(const struct pt_regs *regs);
long __x64_sys_io_pgetevents(const struct pt_regs *regs);
long __ia32_sys_read(const struct pt_regs *regs);
long __ia32_sys_write(const struct pt_regs *regs);
long __ia32_compat_sys_old_select(const struct pt_regs *regs);
long __ia32_compat_sys_socketcall(const struct pt_regs *regs);
long __ia32_compat_sys_select(const struct pt_regs *regs);
long __ia32_sys_readv(const struct pt_regs *regs);
long __ia32_sys_writev(const struct pt_regs *regs);
long __ia32_compat_sys_sendfile(const struct pt_regs *regs);
long __ia32_sys_sendfile64(const struct pt_regs *regs);
long __ia32_sys_io_getevents_time32(const struct pt_regs *regs);
long __ia32_compat_sys_pselect6_time32(const struct pt_regs *regs);
long __ia32_compat_sys_ppoll_time32(const struct pt_regs *regs);
long __ia32_sys_splice(const struct pt_regs *regs);
long __ia32_compat_sys_recvmmsg_time32(const struct pt_regs *regs);
long __ia32_compat_sys_sendmmsg(const struct pt_regs *regs);
long __ia32_sys_connect(const struct pt_regs *regs);
long __ia32_sys_accept4(const struct pt_regs *regs);
long __ia32_sys_sendto(const struct pt_regs *regs);
long __ia32_compat_sys_sendmsg(const struct pt_regs *regs);
long __ia32_compat_sys_recvfrom(const struct pt_regs *regs);
long __ia32_compat_sys_recvmsg(const struct pt_regs *regs);
long __ia32_compat_sys_preadv2(const struct pt_regs *regs);
long __ia32_compat_sys_pwritev2(const struct pt_regs *regs);
long __ia32_compat_sys_io_pgetevents(const struct pt_regs *regs);
long __ia32_compat_sys_pselect6_time64(const struct pt_regs *regs);
long __ia32_compat_sys_ppoll_time64(const struct pt_regs *regs);
long __ia32_compat_sys_io_pgetevents_time64(const struct pt_regs *regs);
long __ia32_compat_sys_recvmmsg_time64(const struct pt_regs *regs);

#endif /* _ASM_X86_CHECKPOINT_H */
