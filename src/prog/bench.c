/* bench.c - see bench.h.
 *
 * Token ids are arbitrary: the time of a forward pass does not depend on them. Two ceilings are measured
 * first, with the same threads: the rate at which memory can be read, which bounds decoding (each token reads
 * all weights once), and the rate of 8-bit dot products, which bounds prefill.
 */
#include "prog/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "engines/cpu/engine_cpu.h"
#include "kern/kern.h"
#include "model/gguf.h"
#include "os/cpu.h"
#include "os/huge.h"
#include "os/pool.h"
#include "prog/bench_peer.h"

enum { REPEAT_MAX = 99, SEQS_MAX = 256 };

struct ceilings {
    double read_gb_s, int8_gop_s;
};

struct result {
    struct engine_info info;
    struct ceilings    top;
    uint64_t           body;          // parameters multiplied for each prompt token
    double             load_ms, prefill_tok_s, decode_tok_s;
    double             peer_prefill_tok_s, peer_decode_tok_s;
    double             rss_mib;
    const char        *kern;
    int                n_thread;
};

/* --- ceilings --- */

struct probe {
    const struct kern *kern;
    const char        *buf;
    size_t             size;
    int                rounds;
    _Atomic uint64_t   sink;
    double             ops; // of one item
};

enum { PIECES = 64, PROBE_ROUNDS = 200000 };

static void read_job(void *ctx, struct lane *l)
{
    struct probe *p = ctx;
    size_t n = p->size / PIECES;

    for (int i; lane_next(l, PIECES, &i);)
        atomic_fetch_xor(&p->sink, p->kern->stream(p->buf + n * (size_t)i, n));
}

static void dot_job(void *ctx, struct lane *l)
{
    struct probe *p = ctx;

    for (int i; lane_next(l, PIECES, &i);) {
        double ops;
        atomic_fetch_xor(&p->sink, p->kern->burn(p->rounds, &ops));
        if (i == 0) p->ops = ops;
    }
}

/* Best of some runs: a ceiling is no average. */
static double best_us(struct pool *pool, pool_fn *job, struct probe *p)
{
    double best = 1e30;

    for (int i = 0; i < 7; i++) {
        uint64_t t = clock_mono_us();
        pool_run(pool, job, p);
        double us = (double)(clock_mono_us() - t);
        if (us < best) best = us;
    }
    return best > 1 ? best : 1;
}

static int measure_ceilings(const struct kern *k, int n_thread, struct ceilings *ret, struct err *e)
{
    struct probe p = { .kern = k, .size = MIB(512), .rounds = PROBE_ROUNDS };
    struct pool *pool;
    int          rc = pool_open(n_thread, &pool, e);

    if (rc) return rc;
    char *buf = huge_alloc(p.size);
    if (!buf) {
        pool_close(pool);
        return err_nomem(e, "measuring the memory");
    }
    memset(buf, 1, p.size); // pages that were never written are all the same one
    p.buf = buf;
    ret->read_gb_s = (double)p.size / best_us(pool, read_job, &p) * 1e-3;
    double us = best_us(pool, dot_job, &p);
    ret->int8_gop_s = p.ops * PIECES / us * 1e-3;
    huge_free(buf, p.size);
    pool_close(pool);
    return 0;
}

/* --- runs --- */

struct bench {
    struct engine *en;
    int32_t       *tok;  // [prompt]
    int32_t       *page; // [n_seq][pages]
    int32_t       *win;  // [n_seq][pages] window pages, or NULL
    int            pages, n_vocab, n_seq;
    int            n_batch; // tokens of a piece of the prompt
};

static int32_t some_id(int i, int n_vocab)
{
    return (int32_t)((uint64_t)i * 7919 % (uint64_t)n_vocab);
}

static struct engine_run run_of(const struct bench *b, int seq, const int32_t *tok, int n_tok, int pos, int n_logits)
{
    int at = seq * b->pages;
    return (struct engine_run){ .tok = tok, .n_tok = n_tok, .pos = pos, .page = b->page + at,
                                .win = b->win ? b->win + at : NULL, .n_logits = n_logits };
}

static int prefill(struct bench *b, int seq, int n, struct err *e)
{
    for (int at = 0; at < n;) {
        int part = n - at < b->n_batch ? n - at : b->n_batch;
        const struct engine_run   run = run_of(b, seq, b->tok + at, part, at, at + part == n);
        const struct engine_batch batch = { &run, 1 };
        int rc = engine_cpu.forward(b->en, &batch, e);
        if (rc) return rc;
        at += part;
    }
    return 0;
}

static int decode(struct bench *b, int pos, struct err *e)
{
    struct engine_run run[SEQS_MAX];
    int32_t           tok[SEQS_MAX];

    for (int i = 0; i < b->n_seq; i++) {
        tok[i] = some_id(pos + 31 * i, b->n_vocab);
        run[i] = run_of(b, i, &tok[i], 1, pos, 1);
    }
    const struct engine_batch batch = { run, b->n_seq };
    return engine_cpu.forward(b->en, &batch, e);
}

static int by_size(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Ours, and the peer's in turn with it, so that both see the same hours of a shared machine. */
static int run_all(struct bench *b, const struct bench_conf *conf, struct result *r, struct err *e)
{
    double pre[REPEAT_MAX], dec[REPEAT_MAX], peer_pre[REPEAT_MAX], peer_dec[REPEAT_MAX];
    int    rc;

    for (int i = 0; i < conf->repeat; i++) {
        uint64_t t = clock_mono_us();
        if ((rc = prefill(b, 0, conf->prompt, e))) return rc;
        pre[i] = conf->prompt * 1e6 / (double)(clock_mono_us() - t + 1);
        for (int s = 1; s < b->n_seq && i == 0; s++)
            if ((rc = prefill(b, s, conf->prompt, e))) return rc;
        t = clock_mono_us();
        for (int k = 0; k < conf->generate; k++)
            if ((rc = decode(b, conf->prompt + k, e))) return rc;
        dec[i] = (double)conf->generate * b->n_seq * 1e6 / (double)(clock_mono_us() - t + 1);
        if (conf->peer && (rc = bench_peer(conf->peer, conf, r->n_thread, &peer_pre[i], &peer_dec[i], e))) return rc;
    }
    r->prefill_tok_s = median(pre, conf->repeat);
    r->decode_tok_s = median(dec, conf->repeat);
    if (conf->peer) {
        r->peer_prefill_tok_s = median(peer_pre, conf->repeat);
        r->peer_decode_tok_s = median(peer_dec, conf->repeat);
    }
    return 0;
}

/* --- the program --- */

static double rss_mib(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long  pages = 0;

    if (!f) return 0;
    if (fscanf(f, "%*s %ld", &pages) != 1) pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (double)MIB(1);
}

static uint64_t body_params(int fd, uint64_t size, const char *name)
{
    struct gguf *g;
    uint64_t     n = 0;

    if (gguf_open(fd, size, name, &g, NULL)) return 0;
    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        if (str_starts(t->name, STR("blk.")) && t->n_dim > 1)
            n += (uint64_t)t->dim[0] * (uint64_t)tensor_rows(t);
    }
    gguf_close(g);
    return n;
}

/* Window pages of a sequence, in turn: a piece of the prompt may take what a window leaves. */
static int windows(struct bench *b, const struct engine_info *info, struct err *e)
{
    int each = info->n_win_page / b->n_seq, pt = info->kv_page_tok, window = (info->n_swa + pt - 2) / pt + 1;

    b->n_batch = info->n_batch;
    if (!info->n_swa) return 0;
    if (each < b->pages && (each - window) * pt < b->n_batch) b->n_batch = (each - window) * pt;
    if (b->n_batch < 1)
        return err_set(e, ERR_BAD_CONFIG, "%d window pages are too few for %d sequences", info->n_win_page, b->n_seq);
    b->win = mem_array((size_t)b->pages * (size_t)b->n_seq, sizeof *b->win);
    if (!b->win) return err_nomem(e, "starting the run");
    for (int i = 0; i < b->pages * b->n_seq; i++) b->win[i] = i / b->pages * each + i % b->pages % each;
    return 0;
}

static int with_engine(const struct bench_conf *conf, struct bench *b, struct result *r, struct err *e)
{
    int rc;

    engine_cpu.info(b->en, &r->info);
    b->n_vocab = r->info.n_vocab;
    if (r->info.caps & ENGINE_WHOLE)
        return err_set(e, ERR_UNSUPP_MODEL, "this model makes embeddings; what is measured here is text generation");
    if (r->info.n_ctx < conf->prompt + conf->generate)
        return err_set(e, ERR_BAD_CONFIG, "prompt and answer are %d tokens, the model's limit is %d",
                       conf->prompt + conf->generate, r->info.n_ctx);
    b->n_seq = conf->n_seq;
    b->pages = (conf->prompt + conf->generate + r->info.kv_page_tok - 1) / r->info.kv_page_tok;
    b->tok = mem_array((size_t)conf->prompt, sizeof *b->tok);
    b->page = mem_array((size_t)b->pages * (size_t)b->n_seq, sizeof *b->page);
    if (!b->tok || !b->page) return err_nomem(e, "starting the run");
    for (int i = 0; i < conf->prompt; i++) b->tok[i] = some_id(i, b->n_vocab);
    for (int i = 0; i < b->pages * b->n_seq; i++) b->page[i] = i;
    if ((rc = windows(b, &r->info, e))) return rc;
    if ((rc = run_all(b, conf, r, e))) return rc;
    r->rss_mib = rss_mib();
    return 0;
}

static int bench(const struct bench_conf *conf, struct result *r, struct err *e)
{
    struct stat  st;
    struct kern  k;
    struct bench b = { 0 };
    unsigned     flags;
    int          rc, fd = open(conf->model, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st)) {
        rc = err_set(e, ERR_IO, "%s: %s", conf->model, err_errno(errno));
        goto out;
    }
    r->n_thread = conf->n_thread ? conf->n_thread : cpu_count().n_core;
    cpu_confine(r->n_thread);
    if ((rc = cpu_features(getenv("CPU"), &flags, e))) goto out;
    kern_init(&k, flags);
    r->kern = k.name;
    if ((rc = measure_ceilings(&k, r->n_thread, &r->top, e))) goto out;

    const char *slash = strrchr(conf->model, '/');
    const struct engine_file file = { slash ? slash + 1 : conf->model, fd, (uint64_t)st.st_size };
    const struct engine_conf econf = {
        .file = &file, .n_file = 1, .n_thread = r->n_thread, .n_seq = conf->n_seq, .n_batch = 512,
        .n_ctx = conf->prompt + conf->generate, .kv_type = (enum engine_kv)conf->kv_type,
    };
    r->body = body_params(fd, (uint64_t)st.st_size, file.name);
    uint64_t t = clock_mono_us();
    if ((rc = engine_cpu.open(&econf, &b.en, e))) goto out;
    r->load_ms = (double)(clock_mono_us() - t) * 1e-3;
    rc = with_engine(conf, &b, r, e);
out:
    engine_cpu.close(b.en);
    mem_free(b.tok);
    mem_free(b.page);
    mem_free(b.win);
    if (fd >= 0) close(fd);
    return rc;
}

static double share(double a, double b) { return b > 0 ? a / b : 0; }

/* Tokens a second that the machine allows: the matrices' operations, the weights' bytes. */
static struct tops {
    double prefill, decode;
} tops(const struct bench_conf *conf, const struct result *r)
{
    return (struct tops){
        r->body ? r->top.int8_gop_s * 1e9 / (2 * (double)r->body) : 0,
        r->info.weight_bytes ? r->top.read_gb_s * 1e9 / (double)r->info.weight_bytes * conf->n_seq : 0,
    };
}

static void print_json(const struct bench_conf *conf, const struct result *r)
{
    struct tops top = tops(conf, r);

    printf("{\"arch\":\"%s\",\"quant\":\"%s\",\"kernels\":\"%s\",\"threads\":%d,\"prompt\":%d,\"generate\":%d,"
           "\"sequences\":%d,\"load_ms\":%.1f,\"prefill_tok_s\":%.2f,\"decode_tok_s\":%.2f,"
           "\"rss_mib\":%.1f,\"kv_type\":\"%s\",\"kv_bytes\":%llu,\"weight_bytes\":%llu,\"read_gb_s\":%.2f,\"int8_gop_s\":%.1f,"
           "\"prefill_of_peak\":%.3f,\"decode_of_bandwidth\":%.3f",
           r->info.arch, r->info.quant, r->kern, r->n_thread, conf->prompt, conf->generate, conf->n_seq, r->load_ms,
           r->prefill_tok_s, r->decode_tok_s, r->rss_mib, r->info.kv_type, (unsigned long long)r->info.kv_bytes,
           (unsigned long long)r->info.weight_bytes, r->top.read_gb_s,
           r->top.int8_gop_s, share(r->prefill_tok_s, top.prefill), share(r->decode_tok_s, top.decode));
    if (conf->peer)
        printf(",\"peer_prefill_tok_s\":%.2f,\"peer_decode_tok_s\":%.2f,\"prefill_ratio\":%.3f,\"decode_ratio\":%.3f",
               r->peer_prefill_tok_s, r->peer_decode_tok_s, share(r->prefill_tok_s, r->peer_prefill_tok_s),
               share(r->decode_tok_s, r->peer_decode_tok_s));
    printf("}\n");
}

static void print_line(const char *what, double own, double top, const double *peer)
{
    printf("%-10s %10.1f %10.1f %8.3f", what, own, top, share(own, top));
    if (peer) printf(" %10.1f %8.2f", *peer, share(own, *peer));
    putchar('\n');
}

static void print_text(const struct bench_conf *conf, const struct result *r)
{
    struct tops top = tops(conf, r);

    printf("%s %s, kernels %s, %d threads; prompt %d, generate %d, sequences %d, median of %d\n"
           "loaded in %.0f ms, %.0f MiB resident, %llu bytes of weights, KV cache %s of %llu bytes\n"
           "the machine reads %.1f GB/s and does %.0f billion 8-bit operations a second\n\n"
           "%-10s %10s %10s %8s%s\n",
           r->info.arch, r->info.quant, r->kern, r->n_thread, conf->prompt, conf->generate, conf->n_seq, conf->repeat,
           r->load_ms, r->rss_mib, (unsigned long long)r->info.weight_bytes, r->info.kv_type,
           (unsigned long long)r->info.kv_bytes, r->top.read_gb_s, r->top.int8_gop_s,
           "tokens/s", "here", "ceiling", "of it", conf->peer ? "       peer    ratio" : "");
    print_line("prefill", r->prefill_tok_s, top.prefill, conf->peer ? &r->peer_prefill_tok_s : NULL);
    print_line("decode", r->decode_tok_s, top.decode, conf->peer ? &r->peer_decode_tok_s : NULL);
}

int bench_main(const struct bench_conf *conf)
{
    struct bench_conf c = *conf;
    struct result     r = { 0 };
    struct err        e = { 0 };

    if (c.repeat <= 0) c.repeat = 3;
    if (c.repeat > REPEAT_MAX) c.repeat = REPEAT_MAX;
    if (c.n_seq <= 0) c.n_seq = 1;
    if (c.n_seq > SEQS_MAX) c.n_seq = SEQS_MAX;
    if (c.prompt < 1 || c.generate < 1) {
        fprintf(stderr, "bench: the prompt and the answer need a token each\n");
        return 2;
    }
    if (bench(&c, &r, &e)) {
        fprintf(stderr, "bench: %s\n", e.msg);
        return 1;
    }
    (c.json ? print_json : print_text)(&c, &r);
    return 0;
}
