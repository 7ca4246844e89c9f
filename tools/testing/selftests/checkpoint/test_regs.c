// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers of all kinds: what a task has in the CPU when it is stopped is what
 * it has when it goes on.
 */
#include "ckpt_harness.h"
#include "ckpt_image.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#ifndef ARCH_SET_GS
#define ARCH_SET_GS	0x1001
#define ARCH_SET_FS	0x1002
#define ARCH_GET_FS	0x1003
#define ARCH_GET_GS	0x1004
#endif
#ifndef ARCH_REQ_XCOMP_PERM
#define ARCH_REQ_XCOMP_PERM	0x1023
#endif

/* CF, PF, AF, ZF, SF, DF, OF and AC: what a program sets and relies on. */
#define FLAGS_TESTED	0x40cd5UL

#ifdef __x86_64__
enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15, NREGS };
#define FLAGS_SET	0x40c95UL
#else
enum { EAX, EBX, ECX, EDX, ESI, EDI, EBP, ESP, NREGS };
#define FLAGS_SET	0x40c95UL
#endif

struct regs {
	unsigned long in[NREGS], out[NREGS];
	unsigned long flags_in, flags_out;
	unsigned long stack;
};

static struct regs regs __asm__("test_regs") __attribute__((used));
static struct timespec nap __asm__("test_nap") __attribute__((used));

static void pattern(unsigned long *r)
{
	for (int i = 0; i < NREGS; i++)
		r[i] = (0x0123456789abcdefULL + i * 0x1111111111111111ULL) ^ (i << 3);
}

#ifdef __x86_64__
#define SAVE								\
	"push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15\n" \
	"mov %%rsp, test_regs+272(%%rip)\n"				\
	"push test_regs+256(%%rip); popfq\n"
#define LOAD								\
	"mov test_regs+0(%%rip), %%rax; mov test_regs+8(%%rip), %%rbx\n"	\
	"mov test_regs+16(%%rip), %%rcx; mov test_regs+24(%%rip), %%rdx\n"	\
	"mov test_regs+32(%%rip), %%rsi; mov test_regs+40(%%rip), %%rdi\n"	\
	"mov test_regs+48(%%rip), %%rbp; mov test_regs+56(%%rip), %%rsp\n"	\
	"mov test_regs+64(%%rip), %%r8; mov test_regs+72(%%rip), %%r9\n"	\
	"mov test_regs+80(%%rip), %%r10; mov test_regs+88(%%rip), %%r11\n"	\
	"mov test_regs+96(%%rip), %%r12; mov test_regs+104(%%rip), %%r13\n"	\
	"mov test_regs+112(%%rip), %%r14; mov test_regs+120(%%rip), %%r15\n"
#define HOLDS	"movl $1, ckpt_job(%%rip)\n"
#define STORE								\
	"mov %%rax, test_regs+128(%%rip); mov %%rbx, test_regs+136(%%rip)\n"	\
	"mov %%rcx, test_regs+144(%%rip); mov %%rdx, test_regs+152(%%rip)\n"	\
	"mov %%rsi, test_regs+160(%%rip); mov %%rdi, test_regs+168(%%rip)\n"	\
	"mov %%rbp, test_regs+176(%%rip); mov %%rsp, test_regs+184(%%rip)\n"	\
	"mov %%r8, test_regs+192(%%rip); mov %%r9, test_regs+200(%%rip)\n"	\
	"mov %%r10, test_regs+208(%%rip); mov %%r11, test_regs+216(%%rip)\n"	\
	"mov %%r12, test_regs+224(%%rip); mov %%r13, test_regs+232(%%rip)\n"	\
	"mov %%r14, test_regs+240(%%rip); mov %%r15, test_regs+248(%%rip)\n"	\
	"mov test_regs+272(%%rip), %%rsp\n"				\
	"pushfq; pop test_regs+264(%%rip); pushq $0x202; popfq\n"	\
	"pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx\n"
#define CLOBBERS "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc"
_Static_assert(offsetof(struct regs, out) == 128 && offsetof(struct regs, flags_in) == 256 &&
	       offsetof(struct regs, flags_out) == 264 && offsetof(struct regs, stack) == 272,
	       "as the assembly has it");

/* No stack, no flags, and every register but rcx is a pattern. */
static __attribute__((noinline)) void spin_user(void)
{
	/* The red zone of the caller must not be written to. */
	asm volatile("sub $256, %%rsp\n" SAVE LOAD HOLDS
		     "1: movl ckpt_job+4(%%rip), %%ecx\n"
		     "jrcxz 2f\n"
		     "jmp 1b\n"
		     "2:\n" STORE "add $256, %%rsp\n" ::: CLOBBERS);
}

static __attribute__((noinline)) void wait_syscall(void)
{
	asm volatile("sub $256, %%rsp\n" SAVE LOAD HOLDS
		     "mov $35, %%eax\n"		/* nanosleep(&nap, NULL) */
		     "syscall\n" STORE "add $256, %%rsp\n" ::: CLOBBERS);
}
#else
#define SAVE								\
	"pushal\n mov %%esp, test_regs+72\n push test_regs+64; popfl\n"
#define LOAD								\
	"mov test_regs+0, %%eax; mov test_regs+4, %%ebx; mov test_regs+8, %%ecx\n"	\
	"mov test_regs+12, %%edx; mov test_regs+16, %%esi; mov test_regs+20, %%edi\n"	\
	"mov test_regs+24, %%ebp; mov test_regs+28, %%esp\n"
#define HOLDS	"movl $1, ckpt_job\n"
#define STORE								\
	"mov %%eax, test_regs+32; mov %%ebx, test_regs+36; mov %%ecx, test_regs+40\n"	\
	"mov %%edx, test_regs+44; mov %%esi, test_regs+48; mov %%edi, test_regs+52\n"	\
	"mov %%ebp, test_regs+56; mov %%esp, test_regs+60; mov test_regs+72, %%esp\n"	\
	"pushfl; pop test_regs+68; push $0x202; popfl\n popal\n"
_Static_assert(offsetof(struct regs, out) == 32 && offsetof(struct regs, flags_in) == 64 &&
	       offsetof(struct regs, flags_out) == 68 && offsetof(struct regs, stack) == 72,
	       "as the assembly has it");

static __attribute__((noinline)) void spin_user(void)
{
	asm volatile(SAVE LOAD HOLDS
		     "1: movl ckpt_job+4, %%ecx\n"
		     "jecxz 2f\n"
		     "jmp 1b\n"
		     "2:\n" STORE ::: "memory", "cc");
}

static __attribute__((noinline)) void wait_syscall(void)
{
	asm volatile(SAVE LOAD HOLDS
		     "mov $162, %%eax\n"	/* nanosleep(&nap, NULL) */
		     "int $0x80\n" STORE ::: "memory", "cc");
}
#endif

SCENARIO(user_mode)
{
	pattern(regs.in);
	regs.flags_in = FLAGS_SET | 2;
	spin_user();
	for (int i = 0; i < NREGS; i++)
		if (i != 2)		/* rcx and ecx do the waiting */
			CHECK_EQ(regs.out[i], regs.in[i]);
	CHECK_EQ(regs.flags_out & FLAGS_TESTED, FLAGS_SET);
}

SCENARIO(user_mode_other_flags)
{
	pattern(regs.in);
	regs.flags_in = 0x44 | 2;
	spin_user();
	for (int i = 0; i < NREGS; i++)
		if (i != 2)
			CHECK_EQ(regs.out[i], regs.in[i]);
	CHECK_EQ(regs.flags_out & FLAGS_TESTED, 0x44);
}

SCENARIO(system_call)
{
	pattern(regs.in);
	regs.flags_in = FLAGS_SET | 2;
	nap.tv_nsec = 400 * 1000000;
#ifdef __x86_64__
	regs.in[RDI] = (unsigned long)&nap;
	regs.in[RSI] = 0;
	wait_syscall();
	CHECK_EQ(regs.out[RAX], 0);
	for (int i = 0; i < NREGS; i++)
		if (i != RAX && i != RCX && i != R11)
			CHECK_EQ(regs.out[i], regs.in[i]);
#else
	regs.in[EBX] = (unsigned long)&nap;
	regs.in[ECX] = 0;
	wait_syscall();
	CHECK_EQ(regs.out[EAX], 0);
	for (int i = 0; i < NREGS; i++)
		if (i != EAX)
			CHECK_EQ(regs.out[i], regs.in[i]);
#endif
	CHECK_EQ(regs.flags_out & FLAGS_TESTED, FLAGS_SET);
}

/*
 * The whole of XSAVE's state that the kernel gives to programs: x87, SSE, AVX,
 * AVX-512, protection keys, AMX, as far as this CPU has them. It is loaded, the
 * program waits without touching it, and stores what is there then.
 */
#define XSAVE_ROOM	16384
static unsigned char xin[XSAVE_ROOM] __attribute__((aligned(64)));
static unsigned char xout[XSAVE_ROOM] __attribute__((aligned(64)));

static uint64_t xcr0(void)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

#ifdef __x86_64__
#define XSAVE "xsave64"
#define XRSTOR "xrstor64"
#else
#define XSAVE "xsave"
#define XRSTOR "xrstor"
#endif

static void xstate(uint64_t mask)
{
	unsigned int a, b, c, d;
	double third = 1.0 / 3;

	if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !(c & (1 << 27)))
		JOB_SKIP("no XSAVE");
	mask &= xcr0();
	if (!mask)
		JOB_SKIP("this CPU has none of it");

	/* x87 as the CPU itself stores it, with three numbers and another control word. */
	asm volatile("fninit; fldpi; fldl2e; fldl %1\n" XSAVE " %0"
		     : "+m"(xin) : "m"(third), "a"(3), "d"(0));
	*(uint16_t *)xin = 0x0f7f;		/* round to zero, all masked */
	*(uint32_t *)(xin + 24) = 0x5f80;	/* MXCSR: round down, all masked */
#ifdef __x86_64__
	fill(xin + 160, 256, 1);
#else
	fill(xin + 160, 128, 1);
#endif
	for (int i = 2; i < 63; i++) {
		if (!(mask >> i & 1))
			continue;
		if (i == 3 || i == 4)
			continue;	/* MPX is history */
		__get_cpuid_count(0xd, i, &a, &b, &c, &d);
		if (b + a > XSAVE_ROOM)
			continue;
		fill(xin + b, a, i);
		if (i == 9)		/* Keys: the first two stay usable. */
			*(uint64_t *)(xin + b) = 0xaaaaaaa0;
		if (i == 17) {		/* AMX, palette 1: eight tiles of 16 rows */
			memset(xin + b, 0, a);
			xin[b] = 1;
			for (int t = 0; t < 8; t++) {
				xin[b + 16 + 2 * t] = 64;
				xin[b + 48 + t] = 16;
			}
		}
	}
	mask &= ~0x18ULL;
#ifndef __x86_64__
	mask &= ~0x60080ULL;	/* 64-bit mode only */
#endif
	*(uint64_t *)(xin + 512) = mask;
	memset(xin + 520, 0, 56);

	asm volatile(XRSTOR " %[in]\n"
#ifdef __x86_64__
		     "movl $1, ckpt_job(%%rip)\n"
		     "1: cmpl $0, ckpt_job+4(%%rip)\n"
#else
		     "movl $1, ckpt_job\n"
		     "1: cmpl $0, ckpt_job+4\n"
#endif
		     "jne 1b\n"
		     XSAVE " %[out]\n"
		     : [out] "+m"(xout)
		     : [in] "m"(xin), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
		     : "memory", "cc");
	/* From here on the C library's own use of these registers does no harm. */
	if (mask & 1 << 9)
		asm volatile("wrpkru" :: "a"(0x55555554), "c"(0), "d"(0));
	asm volatile("fninit");
	{
		uint32_t mxcsr = 0x1f80;

		asm volatile("ldmxcsr %0" :: "m"(mxcsr));
	}

	if (mask & 1) {
		CHECK_EQ(*(uint16_t *)xout, 0x0f7f);			/* control */
		CHECK_EQ(*(uint16_t *)(xout + 2), *(uint16_t *)(xin + 2));	/* status, top */
		CHECK_EQ(xout[4], xin[4]);				/* tags */
		for (int i = 0; i < 8; i++)
			CHECK(!memcmp(xout + 32 + 16 * i, xin + 32 + 16 * i, 10));
	}
	if (mask & 2) {
		CHECK_EQ(*(uint32_t *)(xout + 24), 0x5f80);
#ifdef __x86_64__
		CHECK(!memcmp(xout + 160, xin + 160, 256));
#else
		CHECK(!memcmp(xout + 160, xin + 160, 128));
#endif
	}
	CHECK_EQ(*(uint64_t *)(xout + 512) & mask, mask);
	for (int i = 2; i < 63; i++) {
		if (!(mask >> i & 1))
			continue;
		__get_cpuid_count(0xd, i, &a, &b, &c, &d);
#ifndef __x86_64__
		if (i == 2)
			a = 128;
		if (i == 6)
			a = 256;
#endif
		if (b + a <= XSAVE_ROOM && !CHECK(!memcmp(xout + b, xin + b, a)))
			job_say("  that is component %d\n", i);
	}
}

SCENARIO(x87_sse)
{
	xstate(3);
}

SCENARIO(avx)
{
	xstate(7);
}

SCENARIO(avx512)
{
	if (!(xcr0() & 0x20))
		JOB_SKIP("no AVX-512");
	xstate(0xe7);
}

SCENARIO(pkru)
{
	if (!(xcr0() & 0x200))
		JOB_SKIP("no protection keys");
	xstate(0x203);
}

static uint32_t rights_to_keys(void)
{
	uint32_t a, d;

	asm volatile("rdpkru" : "=a"(a), "=d"(d) : "c"(0));
	return a;
}

JOB(initial_rights_to_keys)
{
	uint32_t was;

	if (!(xcr0() & 0x200))
		JOB_SKIP("no protection keys");
	was = rights_to_keys();
	job_hold();
	CHECK_EQ(rights_to_keys(), was);
}

/* An image that does not say what they are, from a machine without keys. */
INIT_TEST(pkru_not_saved, initial_rights_to_keys)
{
	enum { REGSET = 13, XSTATE = 0x202, HEAD = 8, XSTATE_BV = 512 };
	struct image im = load_job(run, NULL);
	unsigned char *set = NULL;
	int fd;

	for (int i = 0; (set = record(&im, REGSET, i)) && get32(set) != XSTATE; i++)
		;
	if (set && get64(set + HEAD + XSTATE_BV) & 0x200) {
		put64(set + HEAD + XSTATE_BV, get64(set + HEAD + XSTATE_BV) & ~0x200ULL);
		seal(&im);
	}
	fd = scratch_file(im.b, im.len);
	if (!WANT_ERR(call_restart(run, fd, 0), 0))
		say_log(run, LOG_PATH);
	close(fd);
	job_finish(run);
}

SCENARIO(amx)
{
	if (!(xcr0() & 0x40000))
		JOB_SKIP("no AMX");
	if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, 18))
		JOB_SKIP("no permission for AMX");
	xstate(0x60007);
}

SCENARIO(xstate_all)
{
	xstate(xcr0() & ~0x60000ULL);
}

/* A task that never used more than the initial state still has that. */
SCENARIO(xstate_initial)
{
	uint32_t mxcsr = 0;
	uint16_t cw = 0;

	asm volatile("fninit");
	job_spin();
	asm volatile("fnstcw %0; stmxcsr %1" : "=m"(cw), "=m"(mxcsr));
	CHECK_EQ(cw, 0x37f);
	CHECK_EQ(mxcsr & ~0x3fU, 0x1f80);
}

#ifdef __x86_64__
static unsigned long base_get(int what)
{
	unsigned long v = 0;

	syscall(SYS_arch_prctl, what, &v);
	return v;
}

SCENARIO(fs_gs_base)
{
	static unsigned long area[64] = { [3] = 0x1234567890abcdefUL };
	unsigned long fs = base_get(ARCH_GET_FS), v;

	NEED(!syscall(SYS_arch_prctl, ARCH_SET_GS, area));
	job_hold();
	CHECK_EQ(base_get(ARCH_GET_FS), fs);
	CHECK_EQ(base_get(ARCH_GET_GS), (unsigned long)area);
	asm volatile("mov %%gs:24, %0" : "=r"(v));
	CHECK_EQ(v, area[3]);
	CHECK_EQ(*(volatile int *)&errno, errno);	/* thread-local storage works */
}

/* The base as the program itself sets it, of an address with nothing there. */
SCENARIO(gs_base_odd)
{
	unsigned long gs = 0x00007654deadbee1UL;

	if (!(getauxval(AT_HWCAP2) & 2))
		JOB_SKIP("no FSGSBASE");
	asm volatile("wrgsbase %0" :: "r"(gs));
	job_spin();
	asm volatile("rdgsbase %0" : "=r"(gs));
	CHECK_EQ(gs, 0x00007654deadbee1UL);
}
#endif

static unsigned int segments(int which)
{
	unsigned short s = 0;

	switch (which) {
	case 0:
		asm volatile("mov %%ds, %0" : "=r"(s));
		break;
	case 1:
		asm volatile("mov %%es, %0" : "=r"(s));
		break;
	case 2:
		asm volatile("mov %%fs, %0" : "=r"(s));
		break;
	case 3:
		asm volatile("mov %%gs, %0" : "=r"(s));
		break;
	case 4:
		asm volatile("mov %%cs, %0" : "=r"(s));
		break;
	case 5:
		asm volatile("mov %%ss, %0" : "=r"(s));
		break;
	}
	return s;
}

SCENARIO(segments)
{
	unsigned int was[6];

#ifdef __x86_64__
	asm volatile("mov %0, %%ds; mov %0, %%es" :: "r"(0x2b));
#endif
	for (int i = 0; i < 6; i++)
		was[i] = segments(i);
	job_spin();
	for (int i = 0; i < 6; i++)
		CHECK_EQ(segments(i), was[i]);
}

static struct user_desc entry(unsigned int nr, void *base)
{
	return (struct user_desc){
		.entry_number = nr, .base_addr = (unsigned long)base, .limit = 0xfffff,
		.seg_32bit = 1, .limit_in_pages = 1, .useable = 1,
	};
}

/* A 32-bit system call, from 64-bit programs, too. */
static int int80(int nr, void *arg)
{
	int ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(arg)
		     : "memory"
#ifdef __x86_64__
		     , "r8", "r9", "r10", "r11"
#endif
		     );
	return ret;
}

/* A segment of the thread's own (set_thread_area), in use. */
SCENARIO(tls_entry)
{
	static unsigned int area[4] __attribute__((used)) = { 0, 0x11223344, 0, 0 };
	static struct user_desc d, now;
	unsigned int v, nr;

#ifdef __x86_64__
	d = entry(13, area);
#else
	d = entry(-1, area);
#endif
	if (int80(243, &d))
		JOB_SKIP("no set_thread_area");
	nr = d.entry_number;
#ifdef __x86_64__
	asm volatile("mov %0, %%gs" :: "r"(nr * 8 + 3));
#else
	asm volatile("mov %0, %%fs" :: "r"(nr * 8 + 3));
#endif
	job_spin();
#ifdef __x86_64__
	asm volatile("movl %%gs:4, %0" : "=r"(v));
	CHECK_EQ(segments(3), nr * 8 + 3);
#else
	asm volatile("movl %%fs:4, %0" : "=r"(v));
	CHECK_EQ(segments(2), nr * 8 + 3);
#endif
	CHECK_EQ(v, 0x11223344);
	now = entry(nr, NULL);
	CHECK(!int80(244, &now));
	CHECK_EQ(now.base_addr, (unsigned long)area);
	CHECK_EQ(now.limit, 0xfffff);
	CHECK_EQ(now.seg_32bit, 1);
	CHECK_EQ(now.limit_in_pages, 1);
	CHECK_EQ(now.read_exec_only, 0);
}

SCENARIO(ldt)
{
	static unsigned int area[4] __attribute__((used)) = { 0, 0, 0x55667788, 0 };
	struct user_desc d = entry(7, area);
	unsigned char was[256], now[256];
	long n;
	unsigned int v;

	if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)))
		JOB_SKIP("no modify_ldt");
	d = entry(2, NULL);
	NEED(!syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)));
	n = syscall(SYS_modify_ldt, 0, was, sizeof(was));
	NEED(n >= 64);
#ifdef __x86_64__
	asm volatile("mov %0, %%gs" :: "r"(7 * 8 + 7));
	job_spin();
	asm volatile("movl %%gs:8, %0" : "=r"(v));
	CHECK_EQ(segments(3), 7 * 8 + 7);
#else
	asm volatile("mov %0, %%fs" :: "r"(7 * 8 + 7));
	job_spin();
	asm volatile("movl %%fs:8, %0" : "=r"(v));
	CHECK_EQ(segments(2), 7 * 8 + 7);
#endif
	CHECK_EQ(v, 0x55667788);
	CHECK_EQ(syscall(SYS_modify_ldt, 0, now, sizeof(now)), n);
	CHECK(!memcmp(was, now, n));
}

/* A watchpoint that a debugger left behind. */
static volatile int watched __attribute__((aligned(8)));
static volatile int trapped;

static void on_trap(int sig)
{
	(void)sig;
	trapped++;
}

static void set_watchpoint(struct run *run)
{
	int status;

	if (ptrace(PTRACE_ATTACH, run->pid, 0, 0) ||
	    waitpid(run->pid, &status, __WALL) != run->pid ||
	    ptrace(PTRACE_POKEUSER, run->pid, offsetof(struct user, u_debugreg[0]), &watched) ||
	    /* Exact length 4, on writing, in register 0. */
	    ptrace(PTRACE_POKEUSER, run->pid, offsetof(struct user, u_debugreg[7]), 0xd0101))
		run_fail(run, "no watchpoint: %s\n", strerror(errno));
	if (ptrace(PTRACE_DETACH, run->pid, 0, 0))
		run_fail(run, "detach: %s\n", strerror(errno));
	sleep_ms(20);
}

SCENARIO(debug_registers, .before = set_watchpoint, .no_plain = true)
{
	signal(SIGTRAP, on_trap);
	job_hold();
	watched = 1;
	CHECK_EQ(trapped, 1);
	watched = 2;
	CHECK_EQ(trapped, 2);
}

/* Single-stepping is the tracer's; a trap flag of its own is the program's. */
SCENARIO(trap_flag)
{
	signal(SIGTRAP, on_trap);
	job_spin();
#ifdef __x86_64__
	asm volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop\n"
		     "pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
#else
	asm volatile("pushfl; orl $0x100, (%%esp); popfl; nop; nop\n"
		     "pushfl; andl $~0x100, (%%esp); popfl" ::: "memory", "cc");
#endif
	CHECK(trapped > 2);
}

TEST_HARNESS_MAIN
