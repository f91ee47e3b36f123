/* sandbox.c - no_new_privs, Landlock and seccomp.
 *
 * The lists are allow-lists. EPERM rather than death for the rest: a library that probes something
 * gets a plain no, and we see our own mistakes as errors. The calls that only an attacker would make
 * (exec, ptrace) end the process.
 */
#include "os/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What every process of ours does: memory, time, its own descriptors, threads' waiting, signals. */
static const int common_calls[] = {
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
    SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(dup), SCMP_SYS(fcntl),
    SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(shutdown),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_settime),
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk),
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(membarrier),
    SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getrusage), SCMP_SYS(uname),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall), SCMP_SYS(tgkill), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static const int front_calls[] = {
    SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(ioctl),
};

/* What a client of other servers does besides. */
static const int client_calls[] = { SCMP_SYS(connect) };

static const int worker_calls[] = {
    SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_setscheduler), SCMP_SYS(sysinfo),
};

/* What a vendor's library does besides, in its own process: files by path (Landlock says which), devices,
 * shared memory, thread priorities. */
static const int device_calls[] = {
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
    SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(newfstatat),
    SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(getdents64), SCMP_SYS(getcwd),
    SCMP_SYS(ioctl), SCMP_SYS(preadv), SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(ftruncate),
    SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(flock), SCMP_SYS(rename), SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(fadvise64), SCMP_SYS(pipe2),
    SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(memfd_create), SCMP_SYS(mlock), SCMP_SYS(mlock2),
    SCMP_SYS(munlock), SCMP_SYS(mincore), SCMP_SYS(msync), SCMP_SYS(getuid), SCMP_SYS(geteuid),
    SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getppid), SCMP_SYS(times), SCMP_SYS(clock_getres),
    SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_get_priority_max),
    SCMP_SYS(sched_get_priority_min), SCMP_SYS(getpriority), SCMP_SYS(setpriority),
    SCMP_SYS(get_mempolicy), SCMP_SYS(set_mempolicy), SCMP_SYS(mbind), SCMP_SYS(getrlimit),
    SCMP_SYS(timerfd_create), SCMP_SYS(set_tid_address), SCMP_SYS(time),
};

static const int deadly_calls[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_writev),
};

static int add(scmp_filter_ctx f, uint32_t action, const int *call, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = seccomp_rule_add(f, action, call[i], 0);
        if (rc < 0 && rc != -EDOM) return rc; // EDOM: this architecture has no such call
    }
    return 0;
}

/* mmap and mprotect whose third argument (protection) lacks PROT_EXEC, or with any. */
static int add_memory(scmp_filter_ctx f, bool exec)
{
    static const int call[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };

    if (exec) return add(f, SCMP_ACT_ALLOW, call, 2);
    for (int i = 0; i < 2; i++) {
        int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, call[i], 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        if (rc < 0) return rc;
    }
    return 0;
}

/* Calls that are fine in one form only. Threads, not processes: clone with CLONE_THREAD. clone3 hides its flags in memory, where a filter
 * cannot look: ENOSYS makes the C library fall back to clone. */
static int add_special(scmp_filter_ctx f)
{
    int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));

    if (rc < 0) return rc;
    rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (rc < 0 && rc != -EDOM) return rc;
    /* newfstatat is how the C library asks for fstat; with a path of its own it needs another flag */
    rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH));
    if (rc < 0 && rc != -EDOM) return rc;
    /* prctl: thread names and memory labels only */
    rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    if (rc < 0) return rc;
    /* prlimit64: reading (new limit NULL) is how a thread learns its stack size */
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
}

/* socket of these families and no other: netlink and packet sockets talk to the kernel. */
static int add_client(scmp_filter_ctx f)
{
    static const unsigned family[] = { AF_INET, AF_INET6, AF_UNIX };
    int                   rc       = add(f, SCMP_ACT_ALLOW, client_calls, ARRAY_LEN(client_calls));

    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(family); i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, family[i]));
    return rc;
}

static int fill_device(scmp_filter_ctx f)
{
    int rc = add(f, SCMP_ACT_ALLOW, common_calls, ARRAY_LEN(common_calls));

    if (rc == 0) rc = add(f, SCMP_ACT_KILL_PROCESS, deadly_calls, ARRAY_LEN(deadly_calls));
    if (rc == 0) rc = add_special(f);
    if (rc == 0) rc = add_memory(f, true);
    if (rc == 0) rc = add(f, SCMP_ACT_ALLOW, worker_calls, ARRAY_LEN(worker_calls));
    if (rc == 0) rc = add(f, SCMP_ACT_ALLOW, device_calls, ARRAY_LEN(device_calls));
    return rc;
}

static int fill(scmp_filter_ctx f, enum sandbox_role role)
{
    int rc = add(f, SCMP_ACT_ALLOW, common_calls, ARRAY_LEN(common_calls));

    if (rc == 0) rc = add(f, SCMP_ACT_KILL_PROCESS, deadly_calls, ARRAY_LEN(deadly_calls));
    if (rc == 0) rc = add_special(f);
    if (rc == 0) rc = add_memory(f, role == SANDBOX_WORKER_LOAD);
    bool front = role == SANDBOX_FRONT || role == SANDBOX_FRONT_CLIENT;
    if (rc == 0 && front) rc = add(f, SCMP_ACT_ALLOW, front_calls, ARRAY_LEN(front_calls));
    if (rc == 0 && role == SANDBOX_FRONT_CLIENT) rc = add_client(f);
    if (rc == 0 && !front)
        rc = add(f, SCMP_ACT_ALLOW, worker_calls, ARRAY_LEN(worker_calls));
    /* a filter on top of ours must still be possible once: from LOAD to RUN */
    if (rc == 0 && role == SANDBOX_WORKER_LOAD) {
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(seccomp), 0);
        if (rc == 0)
            rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP));
        if (rc == 0)
            rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, PR_SET_NO_NEW_PRIVS));
    }
    return rc;
}

static int load_filter(enum sandbox_role role, bool device, struct err *e)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));

    if (!f) return err_nomem(e, "building the system-call filter");
    int rc = device ? fill_device(f) : fill(f, role);
    if (rc == 0) rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1); // threads that exist, too
    if (rc == 0) rc = seccomp_load(f);
    seccomp_release(f);
    return rc < 0 ? err_set(e, ERR_IO, "seccomp: %s", err_errno(-rc)) : 0;
}

#define READ_RIGHTS  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define MAKE_RIGHTS  (LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define FILE_RIGHTS  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

/* One rule. A path that cannot be opened has nothing to be allowed. */
static void landlock_allow(int ruleset, const struct sandbox_path *p)
{
    struct stat st;
    int         fd = open(p->path, O_PATH | O_CLOEXEC);

    if (fd < 0) return;
    if (fstat(fd, &st) == 0) {
        struct landlock_path_beneath_attr rule = {
            .parent_fd = fd, .allowed_access = READ_RIGHTS | (p->write ? FILE_RIGHTS | MAKE_RIGHTS : 0),
        };
        if (!S_ISDIR(st.st_mode)) rule.allowed_access &= FILE_RIGHTS; // others are of folders only
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
    close(fd);
}

/* Landlock with every file right handled, and none granted but those of `path`: otherwise open by path is
 * over. Three system calls that the C library has no wrappers for. Source:
 * Documentation/userspace-api/landlock.rst. */
static bool landlock_all(const struct sandbox_path *path, int n)
{
    struct landlock_ruleset_attr attr = {
        .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                             LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                             LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                             LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
                             LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                             LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                             LANDLOCK_ACCESS_FS_MAKE_SYM,
    };
    long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);

    if (fd < 0) return false;
    for (int i = 0; i < n; i++) landlock_allow((int)fd, &path[i]);
    long rc = syscall(SYS_landlock_restrict_self, (int)fd, 0);
    close((int)fd);
    return rc == 0;
}

/* No new privileges, no core file, not to be looked into. */
static int drop(struct err *e)
{
    const struct rlimit no_core = { 0, 0 };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(e, ERR_IO, "no_new_privs: %s", err_errno(errno));
    if (setrlimit(RLIMIT_CORE, &no_core) < 0)
        return err_set(e, ERR_IO, "core limit: %s", err_errno(errno));
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return err_set(e, ERR_IO, "dumpable: %s", err_errno(errno));
    return 0;
}

int sandbox_enter(enum sandbox_role role, bool *landlock, struct err *e)
{
    if (role != SANDBOX_WORKER_RUN) {
        int rc = drop(e);
        if (rc < 0) return rc;
        bool there = landlock_all(NULL, 0);
        if (landlock) *landlock = there;
    }
    return load_filter(role, false, e);
}

int sandbox_enter_device(const struct sandbox_path *path, int n, bool *landlock, struct err *e)
{
    static const struct sandbox_path common[] = {
        { "/usr", false }, { "/lib", false }, { "/lib64", false }, { "/etc", false }, { "/proc", false },
        { "/sys", false }, { "/dev/null", true }, { "/dev/zero", true },
    };
    struct sandbox_path all[ARRAY_LEN(common) + SANDBOX_PATHS];

    assert(n <= SANDBOX_PATHS);
    memcpy(all, common, sizeof common);
    if (n) memcpy(all + ARRAY_LEN(common), path, sizeof *path * (size_t)n);
    int rc = drop(e);
    if (rc < 0) return rc;
    bool there = landlock_all(all, (int)ARRAY_LEN(common) + n);
    if (landlock) *landlock = there;
    return load_filter(SANDBOX_WORKER_LOAD, true, e);
}
