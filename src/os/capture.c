/* capture.c - a pipe in place of stdout and stderr, and the thread that reads it. */
#include "os/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define LAST_WORDS_MS 500

static struct {
    int         read_fd, write_fd;
    capture_fn *fn;
    void       *ctx;
    pthread_t   thread;
    atomic_uint asked, seen; // marks written into the pipe, and read from it
} cap = { .read_fd = -1, .write_fd = -1 };

/* A line of its own that no library prints; the newline before it ends a line that has none. */
#define MARK "\n\1\n"

/* A line without escape sequences (colours) and control characters, cut at its limit. */
static void put_line(char *line, size_t n)
{
    size_t out = 0;

    if (n == 1 && line[0] == '\1') {
        atomic_fetch_add(&cap.seen, 1);
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

static void *reader(void *arg)
{
    char   line[CAPTURE_LINE_BYTES], in[4096];
    size_t at = 0;
    (void)arg;

    for (;;) {
        ssize_t n = read(cap.read_fd, in, sizeof in);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return NULL;
        for (ssize_t i = 0; i < n; i++) {
            bool end = in[i] == '\n' || in[i] == '\r';
            if (!end) line[at++] = in[i];
            if (!end && at < sizeof line) continue;
            put_line(line, at);
            at = 0;
        }
    }
}

/* Only what a signal handler may call. */
static void drain(int ms)
{
    const struct timespec one_ms = { 0, 1000000 };

    if (cap.read_fd < 0 || pthread_equal(pthread_self(), cap.thread)) return;
    unsigned mine = atomic_fetch_add(&cap.asked, 1) + 1;
    if (write(cap.write_fd, MARK, sizeof MARK - 1) < 0) return;
    for (int i = 0; i < ms && (int)(atomic_load(&cap.seen) - mine) < 0; i++) nanosleep(&one_ms, NULL);
}

static void on_fatal(int sig)
{
    drain(LAST_WORDS_MS);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void on_exit_drain(void)
{
    fflush(NULL);
    drain(LAST_WORDS_MS);
}

void capture_flush(int ms)
{
    fflush(stdout);
    drain(ms);
}

int capture_start(capture_fn *fn, void *ctx, struct err *e)
{
    static const int fatal[] = { SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
    int              pipe_fd[2];
    int              log_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 4);

    if (log_fd < 0 || pipe2(pipe_fd, O_CLOEXEC) < 0) {
        int err = errno;
        if (log_fd >= 0) close(log_fd);
        return err_set(e, ERR_IO, "catching a library's output: %s", err_errno(err));
    }
    cap.fn       = fn;
    cap.ctx      = ctx;
    cap.read_fd  = pipe_fd[0];
    cap.write_fd = pipe_fd[1];
    if (pthread_create(&cap.thread, NULL, reader, NULL) != 0) {
        cap.read_fd = -1;
        close(pipe_fd[0]);
        close(pipe_fd[1]);
        close(log_fd);
        return err_set(e, ERR_IO, "catching a library's output: cannot start a thread");
    }
    log_to(log_fd);
    fflush(NULL);
    dup2(pipe_fd[1], STDOUT_FILENO);
    dup2(pipe_fd[1], STDERR_FILENO);
    setvbuf(stdout, NULL, _IOLBF, 0); // a pipe would make it wait for 4 KiB
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++) signal(fatal[i], on_fatal);
    atexit(on_exit_drain);
    return 0;
}
