/* sandbox_device_test.c - what the process of a vendor's library may still do: the named paths, and no more. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/sandbox.h"
#include "unit.h"

#define DIES 1000 // SIGSYS ends the process

static char folder[64], readable[96], writable[96], other[96];

static int result(long rc)
{
    return rc >= 0 ? 0 : errno;
}

static int in(const char *dir, const char *name, int flags)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return result(open(path, flags, 0600));
}

static int try_read(void) { return in(readable, "f", O_RDONLY); }
static int try_list(void) { return result(open(readable, O_RDONLY | O_DIRECTORY)); }
static int try_write_read_only(void) { return in(readable, "f", O_WRONLY); }
static int try_create_read_only(void) { return in(readable, "new", O_WRONLY | O_CREAT); }
static int try_write(void) { return in(writable, "f", O_WRONLY); }
static int try_create(void) { return in(writable, "new", O_WRONLY | O_CREAT); }
static int try_other(void) { return in(other, "f", O_RDONLY); }
static int try_other_write(void) { return in(other, "f", O_WRONLY); }
static int try_usr(void) { return result(open("/usr/bin/env", O_RDONLY)); }
static int try_proc(void) { return result(open("/proc/self/status", O_RDONLY)); }
static int try_null(void) { return result(open("/dev/null", O_RDWR)); }
static int try_socket(void) { return result(socket(AF_INET, SOCK_STREAM, 0)); }
static int try_unix(void) { return result(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int try_fork(void) { return result(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }
static int try_kill(void) { return result(kill(getppid(), 0)); }
static int try_exec(void)
{
    char *const argv[] = { NULL };

    return result(execve("/nowhere", argv, argv));
}
static int try_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? errno : 0;
}

/* Paths are Landlock's matter, which not every kernel has; the rest is the filter's. */
static const struct {
    const char *name;
    int (*fn)(void);
    int  want;
    bool path;
} attempts[] = {
    { "read", try_read, 0, false },
    { "list", try_list, 0, false },
    { "write where reading is allowed", try_write_read_only, EACCES, true },
    { "create where reading is allowed", try_create_read_only, EACCES, true },
    { "write", try_write, 0, false },
    { "create", try_create, 0, false },
    { "read a path that was not named", try_other, EACCES, true },
    { "write a path that was not named", try_other_write, EACCES, true },
    { "read /usr", try_usr, 0, false },
    { "read /proc", try_proc, 0, false },
    { "/dev/null", try_null, 0, false },
    { "socket", try_socket, EPERM, false },
    { "socket unix", try_unix, EPERM, false },
    { "fork", try_fork, EPERM, false },
    { "kill", try_kill, EPERM, false },
    { "exec", try_exec, DIES, false },
    { "executable memory", try_code, 0, false },
};

/* 0, an errno, DIES; *landlock: it was in force. */
static int outcome(int (*fn)(void), bool *landlock)
{
    const struct sandbox_path paths[] = { { readable, false }, { writable, true }, { "/nowhere/at/all", true } };
    int                       report[2], got[2] = { -1, 0 }, status;

    assert_int_equal(pipe(report), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e;
        bool       there = false;
        if (sandbox_enter_device(paths, 3, &there, &e) < 0) _exit(3);
        got[1] = there;
        got[0] = fn();
        _exit(write(report[1], got, sizeof got) == (ssize_t)sizeof got ? 0 : 4);
    }
    close(report[1]);
    ssize_t n = read(report[0], got, sizeof got);
    close(report[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) return DIES;
    *landlock = got[1];
    return n == (ssize_t)sizeof got ? got[0] : -1;
}

static void test_device(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        bool landlock = false;
        int  got      = outcome(attempts[i].fn, &landlock);
        if (attempts[i].path && !landlock) continue;
        if (got != attempts[i].want) fail_msg("%s: %d, want %d", attempts[i].name, got, attempts[i].want);
    }
}

static int make(char *dir, size_t size, const char *name)
{
    char path[128];

    snprintf(dir, size, "%s/%s", folder, name);
    snprintf(path, sizeof path, "%s/f", dir);
    if (mkdir(dir, 0700) < 0) return -1;
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    return fd < 0 ? -1 : close(fd);
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;

    snprintf(folder, sizeof folder, "%s/curlew-sandbox-XXXXXX", tmp && strlen(tmp) < 30 ? tmp : P_tmpdir);
    if (!mkdtemp(folder)) return -1;
    if (make(readable, sizeof readable, "r") < 0 || make(writable, sizeof writable, "w") < 0) return -1;
    return make(other, sizeof other, "o");
}

static int teardown(void **state)
{
    static const char *const left[] = { "r/f", "r/new", "w/f", "w/new", "o/f", "r", "w", "o", "" };
    char                     path[128];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(left); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, left[i]);
        remove(path);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_device) };

    return cmocka_run_group_tests(tests, setup, teardown);
}
