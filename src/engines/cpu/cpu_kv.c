/* cpu_kv.c - memory for keys and values: how many pages, of which type.
 *
 * Layers with a window have pages of their own, of which a sequence needs those of its window only: their number
 * goes with the sequences and the window, not with the context.
 */
#include "engines/cpu/cpu_int.h"

#include <string.h>

#include "base/log.h"
#include "os/huge.h"

#define PAGES_MAX (1 << 24) // what a scheduler takes (sched.h); pages without layers cost nothing here

static int64_t chunks_of(int64_t n, int size)
{
    return n / size + (n % size != 0);
}

const char *cpu_kv_type_name(const struct engine *en)
{
    static const char *const name[] = { [KERN_KV_F16] = "F16", [KERN_KV_F32] = "F32", [KERN_KV_Q8_0] = "Q8_0" };
    return name[en->kv_type];
}

/* Files in F32 are for comparisons: nothing of them is rounded. */
static void choose_type(struct engine *en, const struct engine_conf *conf)
{
    en->kv_type = !strcmp(en->quant, "F32") ? KERN_KV_F32 : KERN_KV_F16;
    if (conf->kv_type != ENGINE_KV_Q8_0) return;
    if (en->hp.head_dim % KERN_BLOCK)
        log_warn("kv_type_refused", "wanted=q8_0 head_dim=%d multiple_of=%d taken=%s", en->hp.head_dim, KERN_BLOCK,
                 cpu_kv_type_name(en));
    else
        en->kv_type = KERN_KV_Q8_0;
}

static void choose_ctx(struct engine *en, int wanted)
{
    en->n_ctx = wanted ? wanted : en->hp.n_ctx;
    if (en->n_ctx <= en->hp.n_ctx) return;
    log_warn("context_lowered", "wanted=%d model=%d", en->n_ctx, en->hp.n_ctx);
    en->n_ctx = en->hp.n_ctx;
}

/* Which pages each layer is in. A window as wide as the context needs no pages of its own. */
static void place_layers(struct engine *en)
{
    const struct cpu_hparams *hp = &en->hp;

    en->kv_head_bytes = kern_kv_bytes(hp->head_dim, en->kv_type);
    en->kv_layer_bytes = en->kv_head_bytes * (size_t)hp->n_head_kv;
    for (int i = 0; i < hp->n_layer; i++) {
        struct cpu_layer *w = &en->layer[i];
        w->pages = w->swa && hp->n_swa < en->n_ctx ? CPU_WIN_PAGES : CPU_PAGES;
        w->kv_at = en->kv[w->pages].n_layer++;
    }
    for (int i = 0; i < CPU_PAGE_KINDS; i++)
        en->kv[i].page_bytes = en->kv_layer_bytes * (size_t)en->kv[i].n_layer;
}

/* Pages that a window can touch. */
static int64_t window_pages(const struct engine *en)
{
    return (en->hp.n_swa + (int64_t)KERN_PAGE_TOK - 2) / KERN_PAGE_TOK + 1;
}

/* For each sequence that runs its window and another one that stays known after it (sched.h), and for the pieces
 * of prompts in a batch their own pages. More than without a window are never needed. */
static int64_t window_pages_wanted(const struct engine *en, int64_t n_page, int n_batch)
{
    int64_t n = en->n_seq * (2 * window_pages(en) + 1) + chunks_of(n_batch, KERN_PAGE_TOK);
    return n < n_page ? n : n_page;
}

static int too_little(const struct engine *en, int64_t n_win, int64_t limit, struct err *e)
{
    const struct cpu_kv *kv = en->kv;

    if (!n_win)
        return err_set(e, ERR_BAD_CONFIG, "%s: a KV page of %d tokens takes %zu bytes, the KV cache may have %lld",
                       gguf_name(en->gguf), KERN_PAGE_TOK, kv[CPU_PAGES].page_bytes, (long long)limit);
    return err_set(e, ERR_BAD_CONFIG, "%s: a KV page of %d tokens takes %zu bytes and the window %lld of %zu bytes, the "
                   "KV cache may have %lld", gguf_name(en->gguf), KERN_PAGE_TOK, kv[CPU_PAGES].page_bytes,
                   (long long)n_win, kv[CPU_WIN_PAGES].page_bytes, (long long)limit);
}

/* Pages, so that n_seq sequences of n_ctx fit; where the ceiling allows less, both kinds are cut alike. */
static int count_pages(struct engine *en, const struct engine_conf *conf, struct err *e)
{
    struct cpu_kv *all = &en->kv[CPU_PAGES], *win = &en->kv[CPU_WIN_PAGES];
    int64_t n = chunks_of(en->n_ctx, KERN_PAGE_TOK) * conf->n_seq;
    int64_t least = win->n_layer ? window_pages(en) : 0;

    if (n > PAGES_MAX) n = PAGES_MAX;
    int64_t n_win = win->n_layer ? window_pages_wanted(en, n, conf->n_batch) : 0;
    double  bytes = (double)n * (double)all->page_bytes + (double)n_win * (double)win->page_bytes;
    double  limit = conf->kv_bytes > 0 ? (double)conf->kv_bytes : bytes;
    if (bytes > limit) {
        int64_t cut = (int64_t)((double)n_win * (limit / bytes));
        if (least > n_win) least = n_win;
        n_win = cut > least ? cut : least;
        double rest = limit - (double)n_win * (double)win->page_bytes;
        if (all->n_layer && (double)n * (double)all->page_bytes > rest)
            n = rest > 0 ? (int64_t)(rest / (double)all->page_bytes) : 0;
        if (n < 1 || (!all->n_layer && rest < 0)) return too_little(en, n_win, conf->kv_bytes, e);
    }
    if (n * KERN_PAGE_TOK < en->n_ctx) {
        log_warn("context_lowered", "wanted=%d kv_bytes=%lld", en->n_ctx, (long long)conf->kv_bytes);
        en->n_ctx = (int)n * KERN_PAGE_TOK;
    }
    all->n_page = (int)n;
    win->n_page = (int)n_win;
    return 0;
}

int cpu_alloc_kv(struct engine *en, const struct engine_conf *conf, struct err *e)
{
    choose_type(en, conf);
    choose_ctx(en, conf->n_ctx);
    en->n_seq = conf->n_seq;
    if (en->traits & FAM_ENCODER) return 0; // keeps none
    place_layers(en);
    int rc = count_pages(en, conf, e);
    if (rc) return rc;
    for (int i = 0; i < CPU_PAGE_KINDS; i++) {
        struct cpu_kv *kv = &en->kv[i];
        if (!kv->n_layer) continue;
        if (!__builtin_mul_overflow((size_t)kv->n_page, kv->page_bytes, &kv->bytes)) kv->mem = huge_alloc(kv->bytes);
        if (!kv->mem)
            return err_set(e, ERR_NO_MEMORY, "%s: no memory for a KV cache of %d sequences of %d tokens, %d pages of %zu "
                           "bytes", gguf_name(en->gguf), en->n_seq, en->n_ctx, kv->n_page, kv->page_bytes);
    }
    return 0;
}

void cpu_free_kv(struct engine *en)
{
    for (int i = 0; i < CPU_PAGE_KINDS; i++) huge_free(en->kv[i].mem, en->kv[i].bytes);
}
