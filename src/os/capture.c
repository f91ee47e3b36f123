/* capture.c - a pipe in place of stdout and stderr, and the process that reads it. */
#include "os/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "os/sandbox.h"

/* A line of its own that no library prints; the newline before it ends a line that has none. */
#define MARK "\n\1\n"

static struct {
    int          read_fd, write_fd;
    capture_fn  *fn;
    void        *ctx;
    unsigned     asked; // marks written into the pipe
    atomic_uint *seen;  // and read from it; memory of both processes
} cap = { .read_fd = -1, .write_fd = -1 };

/* --- the reading process --- */

/* A line without escape sequences (colours) and control characters. */
static void put_line(char *line, size_t n)
{
    size_t out = 0;

    if (n == 1 && line[0] == '\1') {
        atomic_fetch_add(cap.seen, 1);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (line[i] == 0x1b && i + 1 < n && line[i + 1] == '[') {
            i += 2;
            while (i < n && !(line[i] >= 0x40 && line[i] <= 0x7e)) i++;
        } else if ((unsigned char)line[i] >= 0x20 && line[i] != 0x7f) {
            line[out++] = line[i];
        }
    }
    if (out) cap.fn(cap.ctx, (struct str){ line, out });
}

static NORETURN void read_all(int log_fd)
{
    char       line[CAPTURE_LINE_BYTES], in[4096];
    size_t     at = 0;
    ssize_t    n;
    struct err e;

    dup2(log_fd, STDERR_FILENO);
    dup2(cap.read_fd, STDIN_FILENO);
    log_to(STDERR_FILENO);
    syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0); // channels and files are the other's
    prctl(PR_SET_PDEATHSIG, 0);                          // it ends when nobody can print any more
    prctl(PR_SET_NAME, "curlew-capture");
    if (sandbox_enter(SANDBOX_WORKER_LOAD, NULL, &e) < 0) _exit(1);
    while ((n = read(STDIN_FILENO, in, sizeof in)) != 0) {
        if (n < 0 && errno != EINTR) break;
        for (ssize_t i = 0; i < n; i++) {
            bool end = in[i] == '\n' || in[i] == '\r';
            if (!end) line[at++] = in[i];
            if (!end && at < sizeof line) continue;
            put_line(line, at);
            at = 0;
        }
    }
    put_line(line, at);
    _exit(0);
}

/* --- the other one --- */

void capture_flush(int ms)
{
    const struct timespec one_ms = { 0, 1000000 };

    if (cap.write_fd < 0) return;
    fflush(stdout);
    unsigned mine = ++cap.asked;
    if (write(cap.write_fd, MARK, sizeof MARK - 1) < 0) return;
    for (int i = 0; i < ms && (int)(atomic_load(cap.seen) - mine) < 0; i++) nanosleep(&one_ms, NULL);
}

int capture_start(capture_fn *fn, void *ctx, struct err *e)
{
    int   pipe_fd[2] = { -1, -1 };
    int   log_fd     = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 4);
    void *shared     = mmap(NULL, sizeof *cap.seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (log_fd < 0 || shared == MAP_FAILED || pipe2(pipe_fd, O_CLOEXEC) < 0)
        return err_set(e, ERR_IO, "catching a library's output: %s", err_errno(errno)); // the process ends
    cap.fn       = fn;
    cap.ctx      = ctx;
    cap.read_fd  = pipe_fd[0];
    cap.write_fd = pipe_fd[1];
    cap.seen     = shared;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) return err_set(e, ERR_IO, "catching a library's output: fork: %s", err_errno(errno));
    if (pid == 0) read_all(log_fd);
    close(cap.read_fd);
    log_to(log_fd);
    dup2(cap.write_fd, STDOUT_FILENO);
    dup2(cap.write_fd, STDERR_FILENO);
    setvbuf(stdout, NULL, _IOLBF, 0); // a pipe would make it wait for 4 KiB
    return 0;
}
