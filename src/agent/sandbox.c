#include "agent/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* By what they are for. Names that an architecture does not have are passed over. */
static const char *const allowed[] = {
    /* descriptors and files; which ones, the user's rights decide */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "close", "lseek", "_llseek", "open", "openat", "stat",
    "fstat", "lstat", "stat64", "fstat64", "lstat64", "newfstatat", "fstatat64", "statx", "statfs", "statfs64", "fstatfs",
    "fstatfs64", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "getdents", "getdents64",
    "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "truncate", "truncate64",
    "ftruncate", "ftruncate64", "fsync", "fdatasync", "fadvise64", "fadvise64_64", "fchmod", "umask", "flock", "fcntl",
    "fcntl64", "dup", "dup2", "dup3", "pipe", "pipe2", "ioctl",
    /* waiting */
    "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "timerfd_create",
    "timerfd_settime", "timerfd_settime64", "timerfd_gettime", "timerfd_gettime64", "signalfd4", "nanosleep",
    "clock_nanosleep", "clock_nanosleep_time64", "restart_syscall", "sched_yield", "futex", "futex_time64",
    /* sockets; making one is looked at more closely below */
    "connect", "bind", "getsockname", "getpeername", "sendto", "recvfrom", "send", "recv", "sendmsg", "recvmsg",
    "sendmmsg", "recvmmsg", "recvmmsg_time64", "setsockopt", "getsockopt", "shutdown",
    /* time, itself, memory, threads, signals */
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday", "time", "getrandom",
    "uname", "sysinfo", "getrusage", "getrlimit", "ugetrlimit", "getpid", "getppid", "gettid", "getuid", "geteuid",
    "getgid", "getegid", "getuid32", "geteuid32", "getgid32", "getegid32", "sched_getaffinity", "brk", "munmap", "mremap",
    "madvise", "membarrier", "set_robust_list", "rseq", "set_tid_address", "arch_prctl", "exit", "exit_group",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "rt_sigtimedwait", "rt_sigpending", "sigaltstack",
    "tgkill", "kill", "wait4", "waitid", "waitpid", "prctl"};

/* Never an accident. */
static const char *const hostile[] = {
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "mount", "umount2",
    "pivot_root", "chroot", "setns", "unshare", "bpf", "perf_event_open", "init_module", "finit_module",
    "delete_module", "kexec_load", "kexec_file_load", "keyctl", "add_key", "request_key", "io_uring_setup",
    "userfaultfd", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset", "reboot",
    "swapon", "settimeofday", "clock_settime", "adjtimex", "sethostname", "personality", "mknod", "mknodat"};

static int add_names(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count && !rc; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number == __NR_SCMP_ERROR || number < 0)
            continue; /* not of this architecture */
        rc = seccomp_rule_add(filter, action, number, 0);
    }
    return rc;
}

static struct scmp_arg_cmp equals(unsigned argument, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value};
}

static struct scmp_arg_cmp masked(unsigned argument, scmp_datum_t mask, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

/* Addresses and what is local; of these no raw sockets, which the parent has opened. */
static int add_sockets(scmp_filter_ctx filter)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    const unsigned long mask = ~(unsigned long)(SOCK_NONBLOCK | SOCK_CLOEXEC);
    int rc = 0;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        for (size_t j = 0; j < sizeof types / sizeof types[0] && !rc; j++)
            rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                                  equals(0, (scmp_datum_t)families[i]),
                                  masked(1, mask, (scmp_datum_t)types[j]));
    }
    if (!rc) /* getifaddrs and the like; no privilege, no change */
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, equals(0, AF_NETLINK));
    return rc ? rc
              : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, equals(0, AF_UNIX));
}

/* Memory that was written to never becomes code; a library may still be mapped from its file. */
static int add_memory(scmp_filter_ctx filter)
{
    int rc = 0;
    const int maps[] = {SCMP_SYS(mmap), SCMP_SYS(mmap2)};
    for (size_t i = 0; i < 2 && !rc; i++) {
        if (maps[i] < 0)
            continue;
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, maps[i], 1, masked(2, PROT_EXEC, 0));
        if (!rc)
            rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, maps[i], 2,
                                  masked(2, PROT_WRITE, 0),
                                  masked(3, MAP_ANONYMOUS, 0));
    }
    return rc ? rc
              : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                 masked(2, PROT_EXEC, 0));
}

/* Threads, not processes. The flags of clone3 are out of a filter's sight: without it libraries use clone. */
static int add_threads(scmp_filter_ctx filter)
{
    int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              masked(0, CLONE_THREAD, CLONE_THREAD));
    if (!rc)
        rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!rc) /* limits are read, not set */
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, equals(2, 0));
    return rc;
}

int sandbox_enter(enum sandbox_mode mode, struct error *err)
{
    if (mode == SANDBOX_OFF || SANDBOX_HAS_SANITIZER)
        return 0;
    scmp_filter_ctx filter = seccomp_init(mode == SANDBOX_STRICT ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return error_set(err, E_NOT_SUPPORTED, "--sandbox", "this machine has no seccomp");
    int rc = add_names(filter, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof allowed[0]);
    if (!rc && mode != SANDBOX_STRICT)
        rc = add_names(filter, SCMP_ACT_KILL_PROCESS, hostile, sizeof hostile / sizeof hostile[0]);
    if (!rc)
        rc = add_sockets(filter);
    if (!rc)
        rc = add_memory(filter);
    if (!rc)
        rc = add_threads(filter);
    if (!rc)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    return rc ? error_sys(err, -rc, "--sandbox", "cannot limit the system calls of the worker") : 0;
}
