/* sandbox_test.c - what each role may still do, tried out: a process of its own for every attempt. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/sandbox.h"
#include "unit.h"

/* What was there before the rights went. */
static int  pair_fd[2], listen_fd = -1;
static char page[4096 * 2] __attribute__((aligned(4096)));

static int result(long rc)
{
    return rc >= 0 ? 0 : errno;
}

/* --- attempts: 0 or the errno --- */

static int try_open(void) { return result(open("/etc/passwd", O_RDONLY)); }
static int try_openat(void) { return result(syscall(SYS_openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY)); }
static int try_openat2(void) { return result(syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0)); }
static int try_create(void) { return result(open("curlew-sandbox-test", O_CREAT | O_WRONLY, 0600)); }
static int try_stat(void)
{
    struct stat st;

    return result(stat("/etc/passwd", &st));
}
static int try_unlink(void) { return result(unlink("/nowhere/nothing")); }
static int try_mkdir(void) { return result(mkdir("/nowhere", 0700)); }
static int try_chdir(void) { return result(chdir("/")); }
static int try_memfd(void) { return result(memfd_create("x", 0)); }
static int try_socket(void) { return result(socket(AF_INET, SOCK_STREAM, 0)); }
static int try_unix(void) { return result(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int try_netlink(void) { return result(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int try_packet(void) { return result(socket(AF_PACKET, SOCK_RAW, 0)); }
static int try_socketpair(void)
{
    int fd[2];

    return result(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
}
static int try_connect(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9) };

    return result(connect(listen_fd, (struct sockaddr *)&a, sizeof a));
}
static int try_bind(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET };

    return result(bind(listen_fd, (struct sockaddr *)&a, sizeof a));
}
static int try_accept(void)
{
    int rc = result(accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK));

    return rc == EAGAIN ? 0 : rc; // nobody is there, but we were allowed to look
}
static int try_ioctl(void)
{
    int n;

    return result(ioctl(pair_fd[0], FIONREAD, &n));
}
static int try_exec(void)
{
    char *argv[] = { (char *)(uintptr_t)"true", NULL };

    return result(execv("/bin/true", argv));
}
static int try_fork(void) { return result(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }
static int try_clone3(void) { return result(syscall(SYS_clone3, NULL, 0)); }
static int try_ptrace(void) { return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL)); }
static int try_vm_write(void)
{
    struct iovec v = { page, 1 };

    return result(process_vm_writev(getppid(), &v, 1, &v, 1, 0));
}
static int try_vm_read(void)
{
    struct iovec v = { page, 1 };

    return result(process_vm_readv(getppid(), &v, 1, &v, 1, 0));
}
static int try_kill(void) { return result(kill(getppid(), 0)); }
static int try_setuid(void) { return result(setuid(getuid())); }
static int try_unshare(void) { return result(syscall(SYS_unshare, 0)); }
static int try_mount(void) { return result(syscall(SYS_mount, "x", "/nowhere", "x", 0, NULL)); }
static int try_bpf(void) { return result(syscall(SYS_bpf, 0, NULL, 0)); }
static int try_perf(void) { return result(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0)); }
static int try_uring(void) { return result(syscall(SYS_io_uring_setup, 1, NULL)); }
static int try_keyctl(void) { return result(syscall(SYS_keyctl, 0, 0, 0, 0, 0)); }
static int try_core(void) { return result(prctl(PR_SET_DUMPABLE, 1)); }
static int try_filter(void) { return result(syscall(SYS_seccomp, 1, 0, NULL)); }
static int try_exec_map(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? errno : 0;
}
static int try_exec_protect(void) { return result(mprotect(page, 4096, PROT_READ | PROT_EXEC)); }
static int try_map(void)
{
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) return errno;
    memset(p, 1, 1 << 20);
    return result(munmap(p, 1 << 20));
}
static int try_pair(void)
{
    char c = 'x';

    if (write(pair_fd[0], &c, 1) != 1 || read(pair_fd[1], &c, 1) != 1) return errno;
    return 0;
}
static void *nothing(void *arg)
{
    return arg;
}
static int try_thread(void)
{
    pthread_t t;
    int       rc = pthread_create(&t, NULL, nothing, NULL);

    return rc ? rc : pthread_join(t, NULL);
}

/* --- the table --- */

#define DIES 1000 // SIGSYS ends the process

struct attempt {
    const char *name;
    int (*fn)(void);
    int want[4]; // by enum sandbox_role
};

#define ALL(x) { x, x, x, x }

static const struct attempt attempts[] = {
    { "open", try_open, ALL(EPERM) },
    { "openat", try_openat, ALL(EPERM) },
    { "openat2", try_openat2, ALL(EPERM) },
    { "create", try_create, ALL(EPERM) },
    { "stat", try_stat, ALL(EPERM) },
    { "unlink", try_unlink, ALL(EPERM) },
    { "mkdir", try_mkdir, ALL(EPERM) },
    { "chdir", try_chdir, ALL(EPERM) },
    { "memfd_create", try_memfd, ALL(EPERM) },
    { "socket", try_socket, { EPERM, EPERM, EPERM, 0 } },
    { "socket unix", try_unix, { EPERM, EPERM, EPERM, 0 } },
    { "socket netlink", try_netlink, ALL(EPERM) },
    { "socket packet", try_packet, ALL(EPERM) },
    { "socketpair", try_socketpair, ALL(EPERM) },
    { "connect", try_connect, { EPERM, EPERM, EPERM, EISCONN } },
    { "bind", try_bind, ALL(EPERM) },
    { "accept", try_accept, { 0, EPERM, EPERM, 0 } },
    { "ioctl", try_ioctl, { 0, EPERM, EPERM, 0 } },
    { "exec", try_exec, ALL(DIES) },
    { "fork", try_fork, ALL(EPERM) },
    { "clone3", try_clone3, ALL(ENOSYS) },
    { "ptrace", try_ptrace, ALL(DIES) },
    { "process_vm_writev", try_vm_write, ALL(DIES) },
    { "process_vm_readv", try_vm_read, ALL(EPERM) },
    { "kill", try_kill, ALL(EPERM) },
    { "setuid", try_setuid, ALL(EPERM) },
    { "unshare", try_unshare, ALL(EPERM) },
    { "mount", try_mount, ALL(EPERM) },
    { "bpf", try_bpf, ALL(EPERM) },
    { "perf_event_open", try_perf, ALL(EPERM) },
    { "io_uring_setup", try_uring, ALL(EPERM) },
    { "keyctl", try_keyctl, ALL(EPERM) },
    { "dumpable again", try_core, ALL(EPERM) },
    { "another filter", try_filter, { EPERM, EFAULT, EPERM, EPERM } }, // LOAD must still get to RUN
    { "executable mmap", try_exec_map, { EPERM, 0, EPERM, EPERM } },
    { "executable mprotect", try_exec_protect, { EPERM, 0, EPERM, EPERM } },
    { "mmap", try_map, ALL(0) },
    { "thread", try_thread, ALL(0) },
    { "read and write", try_pair, ALL(0) },
};

static int enter(enum sandbox_role role)
{
    struct err e;
    int        rc = 0;

    if (role == SANDBOX_WORKER_RUN) rc = sandbox_enter(SANDBOX_WORKER_LOAD, NULL, &e);
    if (rc == 0) rc = sandbox_enter(role, NULL, &e);
    if (rc < 0) dprintf(2, "sandbox_enter: %s\n", e.msg);
    return rc;
}

/* What comes of an attempt in a role: 0, an errno, DIES, or -1 when something else happened. */
static int outcome(const struct attempt *a, enum sandbox_role role)
{
    int   report[2], got = -1, status;
    pid_t pid;

    assert_int_equal(pipe(report), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (enter(role) < 0) _exit(3);
        got = a->fn();
        _exit(write(report[1], &got, sizeof got) == (ssize_t)sizeof got ? 0 : 4);
    }
    close(report[1]);
    ssize_t n = read(report[0], &got, sizeof got);
    close(report[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) return DIES;
    return n == (ssize_t)sizeof got && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? got : -1;
}

static void check_role(enum sandbox_role role)
{
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        int got = outcome(&attempts[i], role);
        if (got != attempts[i].want[role])
            fail_msg("%s in role %d: %d, want %d", attempts[i].name, (int)role, got, attempts[i].want[role]);
    }
}

static void front(void **state)
{
    (void)state;
    check_role(SANDBOX_FRONT);
}

static void front_client(void **state)
{
    (void)state;
    check_role(SANDBOX_FRONT_CLIENT);
}

static void worker_load(void **state)
{
    (void)state;
    check_role(SANDBOX_WORKER_LOAD);
}

static void worker_run(void **state)
{
    (void)state;
    check_role(SANDBOX_WORKER_RUN);
}

/* The filter binds threads that were there before it. */
static int late_open(void)
{
    return try_open();
}

struct before {
    pthread_mutex_t lock;
    int             got;
};

static void *waits(void *arg)
{
    struct before *b = arg;

    pthread_mutex_lock(&b->lock);
    b->got = late_open();
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static int try_before(void)
{
    struct before b = { .lock = PTHREAD_MUTEX_INITIALIZER };
    pthread_t     t;

    pthread_mutex_lock(&b.lock);
    if (pthread_create(&t, NULL, waits, &b) != 0) return -1;
    if (enter(SANDBOX_FRONT) < 0) return -1;
    pthread_mutex_unlock(&b.lock);
    pthread_join(t, NULL);
    return b.got;
}

static void threads_too(void **state)
{
    int status;
    (void)state;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(try_before() == EPERM ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Without the sandbox the attempts do work, so the table above shows the sandbox and nothing else. */
static void without(void **state)
{
    (void)state;
    assert_int_equal(try_open(), 0);
    assert_int_equal(try_stat(), 0);
    assert_int_equal(try_memfd(), 0);
    assert_int_equal(try_socket(), 0);
    assert_int_equal(try_socketpair(), 0);
    assert_int_equal(try_kill(), 0);
    assert_int_equal(try_accept(), 0);
    assert_int_equal(try_exec_map(), 0);
}

static int setup(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    (void)state;

    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(listen_fd, 1) < 0) return -1;
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without),     cmocka_unit_test(front),       cmocka_unit_test(front_client),
        cmocka_unit_test(worker_load), cmocka_unit_test(worker_run),  cmocka_unit_test(threads_too),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
