/* cli_doctor.c - `curlew doctor rkllm`: is this library, and this model, one that we can run here?
 *
 * A vendor's library may crash, end the process, or never come back. So each look is a process of its own,
 * with the rights of a worker; this one passes on what it says and sees how it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "engines/rkllm/rkllm_doctor.h"
#include "os/capture.h"
#include "os/fd.h"
#include "os/proc.h"
#include "prog/cli.h"
#include "prog/npu.h"

#define COMMAND "doctor"
#define END_MS  2000 // from its last word to its end

struct look {
    struct rkllm_conf  conf;
    struct engine_file file; // fd < 0: the library alone
    int                n_ctx;
};

static NORETURN void look_at(const struct look *l, int out)
{
    struct err e;
    bool       good = false;
    int        rc   = rkllm_prepare(&l->conf, &l->file, l->file.fd >= 0, NULL, &e);

    if (rc < 0) dprintf(out, "verdict    no: %s\n", e.msg);
    else if (l->file.fd < 0) good = rkllm_doctor_library(&l->conf, out);
    else good = rkllm_doctor_model(&l->conf, &l->file, l->n_ctx, out);
    capture_flush(1000);
    _exit(good ? PROG_OK : PROG_FAILED);
}

/* Pass on what comes until the other side closes. False: it says nothing for too long. */
static bool pass_on(int fd, int ms)
{
    uint64_t end = clock_mono_us() + (uint64_t)ms * 1000, now;
    char     buf[4096];

    while ((now = clock_mono_us()) < end) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, (int)((end - now) / 1000) + 1) <= 0) continue;
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return true;
        fwrite(buf, 1, (size_t)n, stdout);
        fflush(stdout);
        end = clock_mono_us() + (uint64_t)ms * 1000;
    }
    return false;
}

/* Does the child end within ms? */
static bool ends(pid_t pid, int ms, int *status)
{
    uint64_t end = clock_mono_us() + (uint64_t)ms * 1000;

    do {
        if (waitpid(pid, status, WNOHANG) == pid) return true;
        usleep(1000);
    } while (clock_mono_us() < end);
    return false;
}

/* True: it went well. */
static bool look(const struct look *l, int ms)
{
    int  fd[2], status = 0;
    char how[64];

    fflush(NULL);
    pid_t pid = pipe2(fd, O_CLOEXEC) == 0 ? fork() : -1;
    if (pid < 0) {
        fprintf(stderr, "curlew " COMMAND ": cannot start a process: %s\n", err_errno(errno));
        return false;
    }
    if (pid == 0) {
        setpgid(0, 0); // what it starts ends with it
        close(fd[0]);
        look_at(l, fd[1]);
    }
    close(fd[1]);
    bool ended = pass_on(fd[0], ms) && ends(pid, END_MS, &status);
    if (!ended) {
        kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    close(fd[0]);
    if (!ended) {
        printf("verdict    no: the library hangs (%d s without a word)\n", ms / 1000);
        return false;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) <= PROG_FAILED) return WEXITSTATUS(status) == PROG_OK;
    printf("verdict    no: the library ended the process: %s\n", proc_status_text(status, how, sizeof how));
    return false;
}

int cli_doctor(const struct settings *s)
{
    struct look l = { .file = { .fd = -1 } };
    struct err  e;

    if (s->arg.n != 1 || strcmp(s->arg.v[0], "rkllm") != 0)
        return cli_usage(COMMAND, "whose library? rkllm is known: curlew doctor rkllm --library librkllmrt.so");
    log_init(LOG_LVL_INFO, COMMAND);
    if (npu_conf(s, &l.conf, &e) < 0) return cli_failed(COMMAND, &e);
    int margin = (int)s->npu_stall_ms + 5000; // the engine's own patience ends first and says more
    if (!look(&l, margin)) return PROG_FAILED;
    if (s->model.n == 0) return PROG_OK;
    const char *path = cli_model(COMMAND, s);
    if (!path) return PROG_USAGE;
    const char *slash = strrchr(path, '/');
    if (fd_open_file(path, &l.file.fd, &l.file.size, &e) < 0) return cli_failed(COMMAND, &e);
    l.file.name = slash ? slash + 1 : path;
    l.n_ctx     = rkllm_ctx_wanted(l.file.name, (int)s->ctx);
    bool good   = look(&l, margin + (int)(l.file.size >> 30) * 45000);
    fd_close(&l.file.fd);
    return good ? PROG_OK : PROG_FAILED;
}
