/* proc.c - start, signal and reap the processes of the house. */
#include "os/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child, between fork and exec: only async-signal-safe calls. */
static NORETURN void become(const char *role, const char *label, int chan_fd, pid_t parent, int err_fd)
{
    sigset_t none;
    int      null = open("/dev/null", O_RDWR | O_CLOEXEC); // 0 was open: fd_fill_std
    char    *argv[] = { (char *)(uintptr_t)"curlew", (char *)(uintptr_t)"--role",
                        (char *)(uintptr_t)role, (char *)(uintptr_t)label, NULL };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1); // it died before the line above

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (null >= 0) dup2(null, STDIN_FILENO);
    if (chan_fd == PROC_CHAN_FD) fcntl(chan_fd, F_SETFD, 0);
    else if (dup2(chan_fd, PROC_CHAN_FD) < 0) goto fail;
    execv("/proc/self/exe", argv);

fail:;
    int     err  = errno;
    ssize_t done = write(err_fd, &err, sizeof err);
    (void)done;
    _exit(127);
}

int proc_spawn(const char *role, const char *label, int chan_fd, pid_t *ret, struct err *e)
{
    int   pipe_fd[2];
    int   child_errno = 0;
    pid_t me = getpid();

    if (pipe2(pipe_fd, O_CLOEXEC) < 0) return err_set(e, ERR_IO, "pipe: %s", err_errno(errno));
    /* The error pipe must not be what dup2 overwrites. */
    if (pipe_fd[1] == PROC_CHAN_FD) {
        int moved = fcntl(pipe_fd[1], F_DUPFD_CLOEXEC, PROC_CHAN_FD + 1);
        if (moved >= 0) {
            close(pipe_fd[1]);
            pipe_fd[1] = moved;
        }
    }
    pid_t pid = fork();
    if (pid < 0) {
        int err = errno;
        close(pipe_fd[0]);
        close(pipe_fd[1]);
        return err_set(e, ERR_IO, "fork: %s", err_errno(err));
    }
    if (pid == 0) become(role, label, chan_fd, me, pipe_fd[1]);
    close(pipe_fd[1]);
    ssize_t n;
    do n = read(pipe_fd[0], &child_errno, sizeof child_errno); // EOF at exec
    while (n < 0 && errno == EINTR);
    close(pipe_fd[0]);
    if (n == (ssize_t)sizeof child_errno)
        return err_set(e, ERR_IO, "cannot start the %s process: %s", role, err_errno(child_errno));
    *ret = pid;
    return 0;
}

int proc_signals(const int *sig, int n_sig, int *ret_fd, struct err *e)
{
    sigset_t set;

    sigemptyset(&set);
    for (int i = 0; i < n_sig; i++) sigaddset(&set, sig[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_set(e, ERR_IO, "sigprocmask: %s", err_errno(errno));
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) return err_set(e, ERR_IO, "signalfd: %s", err_errno(errno));
    *ret_fd = fd;
    return 0;
}

int proc_next_signal(int fd)
{
    struct signalfd_siginfo si;

    return read(fd, &si, sizeof si) == (ssize_t)sizeof si ? (int)si.ssi_signo : 0;
}

pid_t proc_reap(int *status)
{
    pid_t pid = waitpid(-1, status, WNOHANG);

    return pid > 0 ? pid : 0;
}

const char *proc_status_text(int status, char *buf, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(buf, size, "signal %d (%s)", WTERMSIG(status),
                 sigdescr_np(WTERMSIG(status)) ? sigdescr_np(WTERMSIG(status)) : "unknown");
    else
        snprintf(buf, size, "status %d", WEXITSTATUS(status));
    return buf;
}
