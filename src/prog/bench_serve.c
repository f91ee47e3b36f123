/* bench_serve.c - `curlew bench --serve URL`: a table of what a server does under load, a row for each number of
 * clients and each length of prompt. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "json/json.h"
#include "prog/bench.h"
#include "prog/load.h"

enum { ROWS_MAX = 64 };

/* "1,8,32": how many, at most ROWS_MAX; 0 for something else. */
static int read_list(const char *text, int max, int ret[ROWS_MAX])
{
    struct str rest = str_c(text), item;
    int        n = 0;

    while (str_cut(&rest, ',', &item)) {
        int64_t v;
        if (n == ROWS_MAX || !str_to_i64(str_trim(item), &v) || v < 1 || v > max) return 0;
        ret[n++] = (int)v;
    }
    return n;
}

static double per(double a, double b) { return b > 0 ? a / b : 0; }

static void print_row(const struct load_conf *c, const struct load_result *r, bool cpu)
{
    printf("%7d %6d %8d %6d %9.1f %8.1f %8.1f %7.2f %7.2f %7.2f %8.1f", c->n_client, c->n_word, r->n_ok, r->n_failed,
           per((double)r->n_tok, r->seconds), r->first_ms[0], r->first_ms[1], r->between_ms[0], r->between_ms[1],
           r->between_ms[2], per(r->own_cpu_s * 1e6, (double)r->n_tok));
    if (cpu) printf(" %8.1f", per(r->cpu_s * 1e6, (double)r->n_tok));
    putchar('\n');
    if (r->n_failed) printf("        first failure: %s\n", r->why);
    fflush(stdout);
}

static void put_json(struct buf *b, const struct load_conf *c, const struct load_result *r)
{
    buf_printf(b, "%s{\"clients\":%d,\"words\":%d,\"requests\":%d,\"failed\":%d,\"why\":", b->n && b->p[b->n - 1] == '}' ? "," : "",
               c->n_client, c->n_word, r->n_ok, r->n_failed);
    json_put_str(b, str_c(r->why));
    buf_printf(b, ",\"tokens\":%llu,\"seconds\":%.6f,\"tok_s\":%.2f,\"first_ms\":{\"p50\":%.3f,\"p99\":%.3f},"
                  "\"between_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f},\"client_cpu_s\":%.3f,\"server_cpu_s\":",
               (unsigned long long)r->n_tok, r->seconds, per((double)r->n_tok, r->seconds), r->first_ms[0], r->first_ms[1],
               r->between_ms[0], r->between_ms[1], r->between_ms[2], r->own_cpu_s);
    if (c->pid) buf_printf(b, "%.3f}", r->cpu_s);
    else buf_str(b, STR("null}"));
}

static int run_rows(const struct bench_serve_conf *conf, struct load_conf *c, struct buf *json, struct err *e)
{
    int client[ROWS_MAX], word[ROWS_MAX], failed = 0;
    int n_client = read_list(conf->clients, 4096, client), n_word = read_list(conf->words, LIM_CTX, word);

    if (!n_client) return err_set(e, ERR_BAD_CONFIG, "--clients %s: numbers from 1 to 4096 with commas between are wanted", conf->clients);
    if (!n_word) return err_set(e, ERR_BAD_CONFIG, "--words %s: numbers from 1 to %d with commas between are wanted", conf->words, LIM_CTX);
    if (!conf->json)
        printf("%s, answers of %d tokens; times in ms\n\n%7s %6s %8s %6s %9s %8s %8s %7s %7s %7s %8s%s\n", c->model, c->n_tok,
               "clients", "words", "requests", "failed", "tokens/s", "first50", "first99", "next50", "next90", "next99",
               "client", c->pid ? "   server us/token" : " us/token");
    for (int w = 0; w < n_word; w++)
        for (int k = 0; k < n_client; k++) {
            struct load_result r;
            c->n_client = client[k];
            c->n_word = word[w];
            c->n_req = client[k] * conf->rounds;
            int rc = load_run(c, &r, e);
            if (rc) return rc;
            c->first += (uint64_t)c->n_req;
            failed += r.n_failed;
            if (conf->json) put_json(json, c, &r);
            else print_row(c, &r, c->pid);
        }
    return failed ? 1 : 0;
}

int bench_serve(const struct bench_serve_conf *conf)
{
    struct load_conf c = { .n_tok = conf->generate, .pid = conf->pid };
    struct buf       json;
    struct err       e;

    buf_init(&json, MIB(1));
    int rc = load_url_parse(conf->url, &c.url, &e);
    if (rc == 0 && conf->model && strlen(conf->model) < sizeof c.model) str_copy_z(c.model, sizeof c.model, str_c(conf->model));
    else if (rc == 0) rc = load_first_model(&c.url, c.model, sizeof c.model, &e);
    if (rc == 0) rc = run_rows(conf, &c, &json, &e);
    if (rc < 0) fprintf(stderr, "curlew bench: %s\n", e.msg);
    if (rc >= 0 && conf->json) {
        struct buf model;
        buf_init(&model, KIB(4));
        json_put_str(&model, str_c(c.model));
        printf("{\"model\":" STR_FMT ",\"generate\":%d,\"runs\":[" STR_FMT "]}\n", STR_ARG(buf_text(&model)), c.n_tok,
               STR_ARG(buf_text(&json)));
        buf_release(&model);
    }
    buf_release(&json);
    return rc ? 1 : 0;
}
