// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who a task is and what it may do: ids, capabilities, limits, scheduling,
 * session, name, and the flags that prctl(2) sets.
 */
#include "ckpt_harness.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS	40
#endif

struct caps {
	struct __user_cap_header_struct h;
	struct __user_cap_data_struct d[2];
};

static int caps_get(struct caps *c)
{
	c->h.version = _LINUX_CAPABILITY_VERSION_3;
	c->h.pid = 0;
	return syscall(SYS_capget, &c->h, c->d);
}

static int caps_set(struct caps *c)
{
	c->h.version = _LINUX_CAPABILITY_VERSION_3;
	c->h.pid = 0;
	return syscall(SYS_capset, &c->h, c->d);
}

SCENARIO(ids)
{
	gid_t groups[] = { 9, 5, 40000, 7, 70000 }, now[8];
	uid_t r, e, s;

	NEED(!setgroups(5, groups));
	NEED(!setresgid(100, 200, 300));
	NEED(!setresuid(101, 0, 301));
	setfsgid(400);
	setfsuid(401);
	job_hold();
	CHECK(!getresuid(&r, &e, &s) && r == 101 && e == 0 && s == 301);
	CHECK(!getresgid(&r, &e, &s) && r == 100 && e == 200 && s == 300);
	CHECK_EQ(setfsuid(-1), 401);
	CHECK_EQ(setfsgid(-1), 400);
	CHECK_EQ(getgroups(8, now), 5);
	/* The kernel sorts them. */
	CHECK(now[0] == 5 && now[1] == 7 && now[2] == 9 && now[3] == 40000 && now[4] == 70000);
}

/* Nobody in particular, without a capability. */
SCENARIO(unprivileged)
{
	struct caps c;
	int fd;

	NEED(!setgroups(0, NULL) && !setresgid(1234, 1234, 1234) && !setresuid(1234, 1234, 1234));
	fd = open("mine", O_RDWR | O_CREAT, 0600);
	NEED(fd >= 0);
	job_hold();
	CHECK(!caps_get(&c) && !c.d[0].effective && !c.d[0].permitted && !c.d[1].effective);
	CHECK_EQ(getuid(), 1234);
	CHECK_EQ(getgroups(0, NULL), 0);
	CHECK(setuid(0) && errno == EPERM);
	CHECK(pwrite(fd, "x", 1, 0) == 1);
	CHECK(open("/etc/shadow", O_RDONLY) < 0);
}

/* Who may look at it, and at its children, is decided by more than ids. */
SCENARIO(dumpable)
{
	char path[64], c;
	int fd, status;
	pid_t pid;

	NEED(!setgroups(0, NULL) && !setresgid(1234, 1234, 1234) && !setresuid(1234, 1234, 1234));
	NEED(!prctl(PR_SET_DUMPABLE, 1));
	job_hold();
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	CHECK(pid > 0);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && read(fd, &c, 1) == 1);
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid);
}

SCENARIO(capabilities)
{
	struct caps c, now;

	NEED(!caps_get(&c));
	NEED(!prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0));
	c.d[0].effective = 1 << CAP_NET_RAW | 1 << CAP_CHOWN;
	c.d[0].permitted = c.d[0].effective | 1 << CAP_KILL | 1 << CAP_SETPCAP;
	c.d[0].inheritable = 1 << CAP_CHOWN | 1 << CAP_KILL;
	c.d[1].effective = 0;
	c.d[1].permitted = 1 << (CAP_SYSLOG - 32);
	c.d[1].inheritable = 0;
	NEED(!caps_set(&c));
	NEED(!prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
	NEED(!caps_get(&c));
	job_hold();
	CHECK(!caps_get(&now));
	CHECK(!memcmp(c.d, now.d, sizeof(c.d)));
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_BOOT, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 1);
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 1);
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 0);
}

SCENARIO(secure_bits)
{
	unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS |
			     SECBIT_NO_SETUID_FIXUP;

	NEED(!prctl(PR_SET_SECUREBITS, bits, 0, 0, 0));
	job_hold();
	CHECK_EQ(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), bits);
}

SCENARIO(no_new_privs)
{
	NEED(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	job_hold();
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

SCENARIO(limits)
{
	struct rlimit64 { uint64_t cur, max; } was[16], now;

	for (int i = 0; i < 16; i++) {
		NEED(!syscall(SYS_prlimit64, 0, i, NULL, &was[i]));
		was[i].max = was[i].max > 1ULL << 40 && i % 2 ? (1ULL << 40) + i : was[i].max;
		was[i].cur = was[i].cur > was[i].max ? was[i].max - 1 : was[i].cur;
		NEED(!syscall(SYS_prlimit64, 0, i, &was[i], NULL));
	}
	job_hold();
	for (int i = 0; i < 16; i++) {
		CHECK(!syscall(SYS_prlimit64, 0, i, NULL, &now));
		CHECK_EQ(now.cur, was[i].cur);
		CHECK_EQ(now.max, was[i].max);
	}
}

/* Limits that the job is beyond already must not be in the way. */
SCENARIO(limits_exceeded)
{
	struct rlimit none = { 0, 0 }, small = { 4096, 4096 };
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	NEED(p != MAP_FAILED && fd >= 0 && dup2(fd, 300) == 300);
	fill(p, 1 << 20, 1);
	NEED(ftruncate(fd, 1 << 20) == 0);
	NEED(!setrlimit(RLIMIT_AS, &small) && !setrlimit(RLIMIT_DATA, &none) &&
	     !setrlimit(RLIMIT_NOFILE, &none) && !setrlimit(RLIMIT_FSIZE, &none) &&
	     !setrlimit(RLIMIT_STACK, &small) && !setrlimit(RLIMIT_MEMLOCK, &none) &&
	     !setrlimit(RLIMIT_SIGPENDING, &none) && !setrlimit(RLIMIT_NPROC, &none));
	job_hold();
	CHECK(filled(p, 1 << 20, 1));
	CHECK(fcntl(300, F_GETFD) == 0);
	CHECK(open("f", O_RDONLY) < 0 && errno == EMFILE);
}

SCENARIO(nice_value)
{
	NEED(!setpriority(PRIO_PROCESS, 0, 7));
	job_hold();
	errno = 0;
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 7);
}

SCENARIO(nice_negative)
{
	NEED(!setpriority(PRIO_PROCESS, 0, -5));
	job_hold();
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), -5);
}

static void scheduled(int policy, int priority)
{
	struct sched_param p = { .sched_priority = priority };

	if (sched_setscheduler(0, policy, &p))
		JOB_SKIP("no such policy");
	job_hold();
	CHECK_EQ(sched_getscheduler(0), policy);
	CHECK(!sched_getparam(0, &p));
	CHECK_EQ(p.sched_priority, priority);
}

SCENARIO(batch)
{
	scheduled(SCHED_BATCH, 0);
}

SCENARIO(idle)
{
	scheduled(SCHED_IDLE, 0);
}

SCENARIO(fifo)
{
	scheduled(SCHED_FIFO, 3);
}

SCENARIO(round_robin_reset_on_fork)
{
	scheduled(SCHED_RR | SCHED_RESET_ON_FORK, 4);
}

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

SCENARIO(deadline)
{
	struct attr a = {
		.size = sizeof(a), .policy = 6, .runtime = 50000000, .deadline = 900000000,
		.period = 1000000000,
	}, now = { 0 };

	if (syscall(SYS_sched_setattr, 0, &a, 0))
		JOB_SKIP("no deadline scheduling");
	job_hold();
	CHECK(!syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0));
	CHECK_EQ(now.policy, 6);
	CHECK_EQ(now.runtime, a.runtime);
	CHECK_EQ(now.deadline, a.deadline);
	CHECK_EQ(now.period, a.period);
}

SCENARIO(affinity)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	NEED(!sched_setaffinity(0, sizeof(set), &set));
	job_hold();
	CPU_ZERO(&set);
	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
	CHECK(CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set));
	CHECK_EQ(sched_getcpu(), 0);
}

SCENARIO(io_priority)
{
	if (syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6))
		JOB_SKIP("no I/O priorities");
	job_hold();
	CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 2 << 13 | 6);
}

/* One context of two processes (CLONE_IO): what one sets, both have. */
SCENARIO(io_context_shared, .tasks = 2)
{
	volatile int *go = common_memory(4096);
	const int kcmp_io = 5;
	int status;
	pid_t pid;

	if (syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6))
		JOB_SKIP("no I/O priorities");
	pid = syscall(SYS_clone, CLONE_IO | SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		while (!*go)
			sleep_ms(1);
		_exit(syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 3) ? 5 : 6);
	}
	NEED(pid > 0);
	job_hold();
	errno = 0;
	CHECK(!syscall(SYS_kcmp, getpid(), pid, kcmp_io, 0, 0) || errno == ENOSYS);
	CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), 2 << 13 | 6);
	CHECK(!syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3));
	*go = 1;
	CHECK(waitpid(pid, &status, 0) == pid && status == 5 << 8);
}

SCENARIO(name)
{
	char now[17] = "";

	NEED(!prctl(PR_SET_NAME, "a )( name\n\"\\x", 0, 0, 0));
	job_hold();
	CHECK(!prctl(PR_GET_NAME, now, 0, 0, 0) && !strcmp(now, "a )( name\n\"\\x"));
}

SCENARIO(person)
{
	int was;

	NEED(personality(ADDR_NO_RANDOMIZE | personality(0xffffffff)) >= 0);
	was = personality(0xffffffff);
	job_hold();
	CHECK_EQ(personality(0xffffffff), was);
}

SCENARIO(timer_slack)
{
	NEED(!prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0));
	job_hold();
	CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 123456);
}

static void proc_setting(const char *path, const char *value, const char *shown)
{
	char buf[32] = "";
	int fd = open(path, O_RDWR);

	if (fd < 0)
		JOB_SKIP("no %s", path);
	NEED(write(fd, value, strlen(value)) == (ssize_t)strlen(value));
	close(fd);
	job_hold();
	fd = open(path, O_RDONLY);
	CHECK(read(fd, buf, sizeof(buf) - 1) > 0);
	CHECK(!strncmp(buf, shown, strlen(shown)));
}

SCENARIO(oom_score)
{
	proc_setting("/proc/self/oom_score_adj", "321", "321\n");
}

SCENARIO(coredump_filter)
{
	proc_setting("/proc/self/coredump_filter", "0x55", "00000055\n");
}

static int registrations_now(void)
{
	const int get_registrations = 1 << 9;	/* since Linux 6.3 */

	return syscall(SYS_membarrier, get_registrations, 0, 0);
}

SCENARIO(membarrier)
{
	const int want = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
			 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;

	NEED(!syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0));
	NEED(!syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0));
	NEED((registrations_now() & want) == want);
	job.word[0] = registrations_now();
	job_hold();
	CHECK_EQ(registrations_now(), (int)job.word[0]);
	CHECK(!syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0));
}

SCENARIO(no_membarrier)
{
	NEED(registrations_now() == 0);
	job_hold();
	CHECK_EQ(registrations_now(), 0);
	CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) < 0 &&
	      errno == EPERM);
}

SCENARIO(subreaper)
{
	int on = 0;

	NEED(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	job_hold();
	CHECK(!prctl(PR_GET_CHILD_SUBREAPER, &on, 0, 0, 0));
	CHECK_EQ(on, 1);
}

SCENARIO(machine_check_policy)
{
	if (prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0))
		JOB_SKIP("no PR_MCE_KILL");
	job_hold();
	CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY);
}

SCENARIO(own_session)
{
	job_hold();
	CHECK_EQ(getpid(), 2);
	CHECK_EQ(getsid(0), 2);
	CHECK_EQ(getpgrp(), 2);
	CHECK_EQ(getppid(), 1);
	CHECK(setsid() < 0 && errno == EPERM);
}

/* In the session of init, as a program is that a plain init starts. */
SCENARIO(session_of_init, .same_session = true)
{
	job_hold();
	CHECK_EQ(getsid(0), 1);
	CHECK_EQ(getpgrp(), 1);
}

SCENARIO(own_group_in_session_of_init, .same_session = true)
{
	NEED(!setpgid(0, 0));
	job_hold();
	CHECK_EQ(getsid(0), 1);
	CHECK_EQ(getpgrp(), 2);
	CHECK(setsid() < 0 && errno == EPERM);
}

/* What a thread registers with the kernel. */
SCENARIO(registrations)
{
	static char list[24] __attribute__((aligned(8)));
	int *tid_address = NULL;
	void *head = NULL;
	size_t len = 0;

	*(void **)list = list;
	NEED(!syscall(SYS_set_robust_list, list, 3 * sizeof(long)));
	NEED(syscall(SYS_set_tid_address, &job.word[3]) == getpid());
	job_hold();
	CHECK(!syscall(SYS_get_robust_list, 0, &head, &len));
	CHECK(head == list);
	CHECK_EQ(len, 3 * sizeof(long));
	CHECK(!prctl(PR_GET_TID_ADDRESS, &tid_address, 0, 0, 0) &&
	      tid_address == (int *)&job.word[3]);
}

#ifdef __x86_64__
#define RSEQ_SIG	0x53053053

static struct {
	uint32_t cpu_id_start, cpu_id;
	uint64_t rseq_cs;
	uint32_t flags, node_id, mm_cid, pad;
} own_rseq __attribute__((aligned(32)));

extern const ptrdiff_t __rseq_offset;
extern const unsigned int __rseq_size;

/* The restartable sequence of a thread: it keeps telling the CPU. */
SCENARIO(rseq)
{
	volatile typeof(own_rseq) *r = &own_rseq;
	cpu_set_t set;
	long err;

	err = syscall(SYS_rseq, r, sizeof(own_rseq), 0, RSEQ_SIG);
	if (err)	/* the C library was first */
		r = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	NEED(!sched_setaffinity(0, sizeof(set), &set));
	NEED(r->cpu_id == 0);
	job_hold();
	CHECK_EQ(r->cpu_id, 0);
	CPU_ZERO(&set);
	CPU_SET(1, &set);
	if (!sched_setaffinity(0, sizeof(set), &set)) {
		CHECK_EQ(r->cpu_id, 1);
		CHECK_EQ(r->cpu_id_start, 1);
	}
	/* Registered still: a second one is refused. */
	CHECK(syscall(SYS_rseq, &job.word, 32, 0, RSEQ_SIG) && errno != ENOSYS);
}

/* Stopped inside a sequence: it has to be aborted, as by any preemption. */
static struct {
	uint32_t version, flags;
	uint64_t start, length, abort;
} cs __asm__("test_rseq_cs") __attribute__((aligned(32), used));

static volatile int aborted __asm__("test_rseq_aborted") __attribute__((used));

SCENARIO(rseq_critical_section)
{
	volatile typeof(own_rseq) *r = &own_rseq;

	if (syscall(SYS_rseq, r, sizeof(own_rseq), 0, RSEQ_SIG))
		r = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	asm volatile("leaq 1f(%%rip), %%rax; movq %%rax, test_rseq_cs+8(%%rip)\n"
		     "leaq 2f(%%rip), %%rcx; subq %%rax, %%rcx\n"
		     "movq %%rcx, test_rseq_cs+16(%%rip)\n"
		     "leaq 3f(%%rip), %%rax; movq %%rax, test_rseq_cs+24(%%rip)\n"
		     "leaq test_rseq_cs(%%rip), %%rax; movq %%rax, %0\n"
		     "1: movl $1, ckpt_job(%%rip)\n"
		     "5: cmpl $0, ckpt_job+4(%%rip); jne 5b\n"
		     "2: jmp 4f\n"
		     ".long 0x53053053\n"
		     "3: movl $1, test_rseq_aborted(%%rip)\n"
		     "4:\n"
		     : "=m"(r->rseq_cs) : : "rax", "rcx", "memory", "cc");
	/* By itself it may or may not have been preempted. */
	CHECK(aborted || job.plain);
}
#endif

SCENARIO(tsc_off)
{
	int mode = 0;

	if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0))
		JOB_SKIP("no PR_SET_TSC");
	/* The vdso reads it: nothing that tells the time from here on. */
	job_spin();
	CHECK(!prctl(PR_GET_TSC, &mode, 0, 0, 0));
	CHECK_EQ(mode, PR_TSC_SIGSEGV);
	prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
}

SCENARIO(saved_root)
{
	NEED(!setresuid(0, 18943, 0));
	job_hold();
	CHECK_EQ(geteuid(), 18943);
	CHECK(!seteuid(0));
}

TEST_HARNESS_MAIN
