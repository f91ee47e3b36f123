/* bench_peer.c - see bench_peer.h. The report: tools/llama-bench/README.md of llama.cpp, an array of tests with
 * n_prompt, n_gen and avg_ts. */
#include "prog/bench_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "json/json.h"
#include "os/proc.h"

extern char **environ;

static int read_report(struct str text, double *prefill, double *decode, struct err *e)
{
    struct json_doc *doc;
    double           pre = 0, dec = 0;
    int              rc = json_parse(text, NULL, &doc, e);

    if (rc) return rc;
    for (size_t i = 0; i < json_len(json_root(doc)); i++) {
        const struct json *t = json_at(json_root(doc), i);
        int64_t n_prompt = json_int(json_get(t, "n_prompt")), n_gen = json_int(json_get(t, "n_gen"));
        double  rate = json_num(json_get(t, "avg_ts"));
        if (n_prompt && !n_gen) pre = rate;
        if (n_gen && !n_prompt) dec = rate;
    }
    json_free(doc);
    if (!(pre > 0) || !(dec > 0))
        return err_set(e, ERR_BAD_FILE, "its report has no avg_ts of a prompt run and of a generating run");
    *prefill = pre;
    *decode = dec;
    return 0;
}

static int spawn(const char *program, const char *const argv[], pid_t *pid, int *out, struct err *e)
{
    posix_spawn_file_actions_t act;
    int                        pair[2];

    if (pipe2(pair, O_CLOEXEC)) return err_set(e, ERR_IO, "pipe: %s", err_errno(errno));
    posix_spawn_file_actions_init(&act);
    posix_spawn_file_actions_adddup2(&act, pair[1], STDOUT_FILENO);
    int rc = posix_spawnp(pid, program, &act, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&act);
    close(pair[1]);
    *out = pair[0];
    if (rc == 0) return 0;
    close(pair[0]);
    return err_set(e, ERR_IO, "it cannot be run: %s", err_errno(rc));
}

static int run(const char *program, const struct bench_conf *conf, int n_thread, struct buf *report, struct err *e)
{
    char   prompt[16], generate[16], threads[16];
    const char *const argv[] = { program, "-m", conf->model, "-p", prompt, "-n", generate, "-t", threads,
                                 "-r", "1", "-o", "json", NULL };
    pid_t  pid;
    int    out, status;

    snprintf(prompt, sizeof prompt, "%d", conf->prompt);
    snprintf(generate, sizeof generate, "%d", conf->generate);
    snprintf(threads, sizeof threads, "%d", n_thread);
    int rc = spawn(program, argv, &pid, &out, e);
    if (rc) return rc;
    for (;;) {
        char    piece[4096];
        ssize_t n = read(out, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        buf_put(report, piece, (size_t)n); // beyond its ceiling: read, so that the peer comes to its end
    }
    close(out);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (status) {
        char text[64];
        return err_set(e, ERR_IO, "it ended with %s", proc_status_text(status, text, sizeof text));
    }
    return report->failed ? err_set(e, ERR_TOO_LARGE, "its report is longer than %zu bytes", MIB(1)) : 0;
}

int bench_peer(const char *program, const struct bench_conf *conf, int n_thread, double *prefill_tok_s,
               double *decode_tok_s, struct err *e)
{
    struct buf report;
    struct err why;

    buf_init(&report, MIB(1));
    int rc = run(program, conf, n_thread, &report, &why);
    if (rc == 0) rc = read_report(buf_text(&report), prefill_tok_s, decode_tok_s, &why);
    buf_release(&report);
    return rc ? err_set(e, why.code, "--peer %s: %s", program, why.msg) : 0;
}
