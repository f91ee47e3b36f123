/* fake_rkllm.c - a librkllmrt.so for machines without an NPU: the functions, the habits and the faults.
 *
 * Built once for each layout (-DLAYOUT=11|120|12|13), exporting that version's functions and text. It is
 * strict where the real one is silent: pointers die after the callback, a call from inside a callback aborts.
 *
 *   FAKE_RKLLM_TRACE=FILE  one line of JSON for each call
 *   FAKE_RKLLM_EOS=1       the end-of-answer token is called back, too
 *   FAKE_RKLLM_UNREAD=1    the last token of an answer is not in the cache that stays
 *   FAKE_RKLLM_ON=TEXT     faults of a run only where the prompt contains TEXT
 *   FAKE_RKLLM_FAIL=LIST   faults, parted by commas:
 *     load:crash load:exit load:hang (before anything was called)
 *     init:-1 init:null init:log init:crash init:abort init:exit init:hang init:nofile
 *     run:-1 run:error@N run:crash@N run:hang@N run:exit@N (at token N) run:nofinish (hangs) run:silent (returns without it)
 *     run:late run:deaf run:noise
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake_abi.h"
#include "fake_brain.h"

#define EXPORT __attribute__((visibility("default")))

#if LAYOUT == 11
#define VERSION "1.1.4"
#elif LAYOUT == 120
#define VERSION "1.2.0"
#elif LAYOUT == 12
#define VERSION "1.2.3"
#else
#define VERSION "1.3.0"
#endif
#ifdef ODD_VERSION // a build whose three signs do not agree
#undef VERSION
#define VERSION "1.4.0"
#endif

static const volatile char sdk_text[] = "RKLLM SDK (version: " VERSION " | target: x86 | build: fake)";

struct handle {
    struct fake_model *model;
    struct fake_param  param;
    fake_result_fn    *callback;
    void              *userdata;
    bool               raw;  // the library's own template is off
    char               lora[32];
    int32_t           *kv; // [n_kv] what the cache holds
    int                n_kv;
    atomic_bool        running, abort;
};

static _Thread_local bool inside; // a callback of ours

/* --- small things --- */

static void say(const char *level, const char *text)
{
    printf("\033[1;32m%s rkllm: %s\033[0m\n", level, text);
}

static void trace(const char *text)
{
    const char *path = getenv("FAKE_RKLLM_TRACE");
    FILE       *f    = path ? fopen(path, "ae") : NULL;

    if (!f) return;
    fprintf(f, "%s\n", text);
    fclose(f);
}

/* Is this fault wished for, and the number after its '@'. */
static bool fault(const char *name, int *n)
{
    const char *list = getenv("FAKE_RKLLM_FAIL");
    size_t      len  = strlen(name);

    for (; list; list = strchr(list, ','), list = list ? list + 1 : NULL) {
        if (strncmp(list, name, len) != 0 || (list[len] && list[len] != ',' && list[len] != '@')) continue;
        if (n) *n = list[len] == '@' ? (int)strtol(list + len + 1, NULL, 10) : 0;
        return true;
    }
    return false;
}

static void sleep_ms(int ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

    if (ms > 0) nanosleep(&t, NULL);
}

static void not_inside(void)
{
    if (!inside) return;
    say("E", "called from inside a callback");
    abort();
}

static void die(const char *how)
{
    if (!strcmp(how, "crash")) raise(SIGSEGV);
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "exit")) _exit(3);
    for (;;) sleep_ms(1000);
}

__attribute__((constructor)) static void at_load(void)
{
    if (fault("load:crash", NULL)) die("crash");
    if (fault("load:exit", NULL)) die("exit");
    if (fault("load:hang", NULL)) die("hang");
}

/* --- init --- */

EXPORT struct fake_param rkllm_createDefaultParam(void);
EXPORT struct fake_param rkllm_createDefaultParam(void)
{
    struct fake_param p;

    memset(&p, 0, sizeof p);
    p.max_context_len    = 512;
    p.max_new_tokens     = -1;
    p.top_k              = 40;
    p.top_p              = 0.9f;
    p.temperature        = 0.8f;
    p.repeat_penalty     = 1.1f;
    p.mirostat_tau       = 5.0f;
    p.mirostat_eta       = 0.1f;
    p.skip_special_token = true;
#if LAYOUT != 11
    p.n_keep                         = -1;
    p.extend_param.embed_flash       = 1;
    p.extend_param.enabled_cpus_num  = 4;
    p.extend_param.enabled_cpus_mask = 0xf0;
#endif
#if LAYOUT == 12 || LAYOUT == 13
    p.extend_param.n_batch = 1;
#endif
#if LAYOUT != 13
    p.img_start = p.img_end = p.img_content = "";
#endif
    memset(p.extend_param.reserved, 0xa5, sizeof p.extend_param.reserved); // what the real one leaves unwritten
    return p;
}

static bool check(const struct fake_param *p, const struct fake_model *m)
{
    char text[200] = "";

    for (size_t i = 0; i < sizeof p->extend_param.reserved; i++)
        if (p->extend_param.reserved[i]) snprintf(text, sizeof text, "reserved not zero");
    if (p->max_context_len > m->max_context_limit)
        snprintf(text, sizeof text, "max_context[%d] must be less than the model's max_context_limit[%d]",
                 p->max_context_len, m->max_context_limit);
#if LAYOUT != 11
    int n_cpu = __builtin_popcount(p->extend_param.enabled_cpus_mask);
    if (p->n_keep >= p->max_context_len) snprintf(text, sizeof text, "n_keep must be less than the max_context_len");
    if (p->extend_param.enabled_cpus_num != n_cpu || n_cpu < m->npu_cores)
        snprintf(text, sizeof text, "number of enabled CPUs must be >= number of NPU cores");
#endif
#if LAYOUT == 12 || LAYOUT == 13
    if (p->extend_param.n_batch < 1 || p->extend_param.n_batch > 100)
        snprintf(text, sizeof text, "The n_batch must be between 1 and 100");
#endif
    if (text[0]) say("E", text);
    return !text[0];
}

#if LAYOUT == 13
EXPORT int rkllm_init(void **handle, struct fake_param *p, struct fake_callbacks *callback);
EXPORT int rkllm_init(void **handle, struct fake_param *p, struct fake_callbacks *callback)
{
    fake_result_fn *fn       = callback->result_callback;
    void           *userdata = callback->result_userdata;
#else
EXPORT int rkllm_init(void **handle, struct fake_param *p, fake_result_fn *callback);
EXPORT int rkllm_init(void **handle, struct fake_param *p, fake_result_fn *callback)
{
    fake_result_fn *fn       = callback;
    void           *userdata = NULL;
#endif
    static const char *const deaths[] = { "crash", "abort", "exit", "hang" };
    char                     text[400];
    const char              *why;

    not_inside();
    say("I", "rkllm-runtime version: " VERSION ", rknpu driver version: 0.9.8, platform: RK3588");
    snprintf(text, sizeof text, "{\"call\": \"init\", \"ctx\": %d, \"top_k\": %d, \"temperature\": %g, \"domain\": %d, "
             "\"skip_special\": %d, \"path\": \"%.200s\"}", p->max_context_len, p->top_k, (double)p->temperature,
             p->extend_param.base_domain_id, p->skip_special_token, p->model_path);
    trace(text);
    for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++) {
        snprintf(text, sizeof text, "init:%s", deaths[i]);
        if (fault(text, NULL)) {
            say("E", "last words before the end");
            die(deaths[i]);
        }
    }
    if (fault("init:-1", NULL)) return -1;
    if (fault("init:nofile", NULL)) {
        say("E", "failed to allocate handle, ret: -1, errno: 24, errstr: Too many open files");
        return -1;
    }
    *handle = NULL;
    if (fault("init:null", NULL)) return 0;
    struct fake_model *m = fake_model_open(p->model_path, &why);
    if (!m) {
        snprintf(text, sizeof text, "%s '%.200s'", why, p->model_path);
        say("E", text);
        return -1;
    }
    snprintf(text, sizeof text, "rkllm-toolkit version: %s, max_context_limit: %d, npu_core_num: %d, target_platform: "
             "%s, model_dtype: %s", m->toolkit, m->max_context_limit, m->npu_cores, m->platform, m->dtype);
    say("I", text);
    if (!fn || !check(p, m)) {
        fake_model_close(m);
        return -1;
    }
    struct handle *h = calloc(1, sizeof *h);
    if (!h) return -1;
    h->model    = m;
    h->param    = *p;
    h->callback = fn;
    h->userdata = userdata;
    *handle     = h;
    if (fault("init:log", NULL)) say("E", "rkllm_init failed");
    return 0;
}

EXPORT int rkllm_destroy(void *handle);
EXPORT int rkllm_destroy(void *handle)
{
    struct handle *h = handle;

    not_inside();
    trace("{\"call\": \"destroy\"}");
    if (!h || h->running) return -1;
    fake_model_close(h->model);
    free(h->kv);
    free(h);
    return 0;
}

/* --- run --- */

/* One callback. The text's memory dies after it. */
static void tell(struct handle *h, void *userdata, int state, const char *text, size_t n, bool null, int32_t tok)
{
    struct fake_result r;
    char              *copy = null ? NULL : malloc(n + 1);

    memset(&r, 0, sizeof r);
    r.token_id = tok;
    if (copy) {
        memcpy(copy, text, n);
        copy[n] = 0;
    }
    r.text = copy;
#if LAYOUT == 12 || LAYOUT == 13
    if (state == FAKE_FINISH) r.perf.prefill_tokens = h->n_kv;
#endif
    inside = true;
    h->callback(&r, userdata, state);
    inside = false;
    if (copy) memset(copy, 0xdd, n);
    free(copy);
}

/* How many of the bytes make whole characters. */
static size_t whole(const char *p, size_t n)
{
    size_t at = 0;

    while (at < n) {
        unsigned char c   = (unsigned char)p[at];
        size_t        len = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (at + len > n) break;
        at += len;
    }
    return at;
}

struct late {
    struct handle *h;
    void          *userdata;
};

static void *late_callback(void *arg)
{
    struct late *l = arg;

    sleep_ms(20);
    tell(l->h, l->userdata, FAKE_NORMAL, "late", 4, false, 'l');
    free(l);
    return NULL;
}

static bool faulty_prompt(const struct handle *h, const int32_t *tok, size_t n)
{
    const char *only = getenv("FAKE_RKLLM_ON");
    size_t      len  = only ? strlen(only) : 0, k;
    (void)h;

    if (!only) return true;
    for (size_t i = 0; i + len <= n; i++) {
        for (k = 0; k < len && tok[i + k] == (unsigned char)only[k]; k++) continue;
        if (k == len) return true;
    }
    return false;
}

static void kv_put(struct handle *h, int32_t id)
{
    int32_t *more = realloc(h->kv, sizeof *h->kv * (size_t)(h->n_kv + 1));

    if (!more) abort();
    h->kv            = more;
    h->kv[h->n_kv++] = id;
}

static int answer(struct handle *h, const struct fake_infer *infer, void *userdata, const int32_t *tok, size_t n)
{
    bool                faulty = faulty_prompt(h, tok, n);
    struct fake_answer *a      = fake_answer_begin(h->model, h->kv, (size_t)h->n_kv);
    char                held[64];
    const char         *bytes;
    size_t              n_held = 0, n_bytes;
    int32_t             id;
    int                 i = 0, at, n_wait = 0, max = -1;

#if LAYOUT == 13
    max = infer->max_new_tokens;
#endif
    if (h->lora[0] && infer->lora_params) tell(h, userdata, FAKE_NORMAL, "[lora]", 6, false, '[');
    sleep_ms(h->model->prefill_ms * (int)n); // deaf to aborts
    for (; fake_answer_next(a, &id, &bytes, &n_bytes); i++) {
        if ((h->abort && !(faulty && fault("run:deaf", NULL))) || (max > 0 && i >= max)) break;
        if (faulty && fault("run:error", &at) && i == at) {
            fake_answer_end(a);
            say("E", "run failed");
            tell(h, userdata, FAKE_ERROR, "", 0, true, -1);
            return -1;
        }
        if (faulty && fault("run:crash", &at) && i == at) die("crash");
        if (faulty && fault("run:exit", &at) && i == at) die("exit");
        if (faulty && fault("run:hang", &at) && i == at) die("hang");
        if (fault("run:noise", NULL)) printf("noise on stdout %d\nand half a line", i);
        if (!bytes[0] && id == h->model->eos && !getenv("FAKE_RKLLM_EOS") && !h->model->brain) continue;
        sleep_ms(h->model->tok_ms);
        if (n_held + n_bytes > sizeof held) n_held = 0;
        memcpy(held + n_held, bytes, n_bytes);
        n_held += n_bytes;
        size_t ready = whole(held, n_held);
        if (ready < n_held) { // half a character: no text, or what there is of it, which will come again
            tell(h, userdata, FAKE_WAITING, held, n_held, n_wait++ % 2, id);
        } else {
            tell(h, userdata, FAKE_NORMAL, held, n_held, false, id);
            n_held = 0;
        }
        kv_put(h, id);
    }
    if (h->abort) say("W", "rkllm_run was aborted");
    fake_answer_end(a);
    if (faulty && fault("run:nofinish", NULL)) die("hang");
    if (!(faulty && fault("run:silent", NULL))) tell(h, userdata, FAKE_FINISH, "", 0, i % 2, -1);
    if (fault("run:late", NULL)) {
        struct late *l = malloc(sizeof *l);
        pthread_t    t;
        if (l) {
            *l = (struct late){ h, userdata };
            if (pthread_create(&t, NULL, late_callback, l) == 0) pthread_detach(t);
        }
    }
    return 0;
}

EXPORT int rkllm_run(void *handle, struct fake_input *in, struct fake_infer *infer, void *userdata);
EXPORT int rkllm_run(void *handle, struct fake_input *in, struct fake_infer *infer, void *userdata)
{
    struct handle *h    = handle;
    int32_t       *own  = NULL;
    const int32_t *tok;
    char           text[300];
    size_t         n;

    not_inside();
    if (!h || atomic_exchange(&h->running, true)) {
        say("E", "a run is under way");
        return -1;
    }
    h->abort = false;
    if (in->input_type == FAKE_TOKEN) {
        tok = in->u.token.data;
        n   = in->u.token.n;
    } else {
        char *whole_text = NULL;
        if (asprintf(&whole_text, h->raw || LAYOUT == 11 ? "%s" : "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n",
                     in->u.prompt) < 0) return -1;
        own = fake_encode(h->model, whole_text, &n);
        tok = own;
        free(whole_text);
    }
    int think = -1, max = -1, top_k = h->param.top_k, keep = -1;
#if LAYOUT == 12 || LAYOUT == 13
    think = in->enable_thinking;
#endif
#if LAYOUT != 11
    keep = infer->keep_history;
#endif
#if LAYOUT == 13
    max = infer->max_new_tokens;
    if (infer->sampling_params) top_k = infer->sampling_params->top_k;
#endif
    snprintf(text, sizeof text, "{\"call\": \"run\", \"type\": %d, \"n\": %zu, \"thinking\": %d, \"max\": %d, \"top_k\": %d, "
             "\"keep\": %d, \"mode\": %d, \"raw\": %d}", in->input_type, n, think, max, top_k, keep, infer->mode, h->raw);
    trace(text);
    int rc = -1;
    if ((int)n + h->n_kv >= h->param.max_context_len) say("E", "length of prompt is greater than max context");
    else if (fault("run:-1", NULL) && faulty_prompt(h, tok, n)) say("E", "run refused");
    else {
        for (size_t i = 0; i < n; i++) kv_put(h, tok[i]);
        rc = answer(h, infer, userdata ? userdata : h->userdata, tok, n);
        if (keep <= 0) h->n_kv = 0;
        else if (getenv("FAKE_RKLLM_UNREAD") && h->n_kv > 0) h->n_kv--; // the last token was drawn and not read
    }
    free(own);
    atomic_store(&h->running, false);
    return rc;
}

EXPORT int rkllm_abort(void *handle);
EXPORT int rkllm_abort(void *handle)
{
    struct handle *h = handle;

    not_inside();
    if (!h || !h->running) return -1;
    h->abort = true;
    return 0;
}

EXPORT int rkllm_is_running(void *handle);
EXPORT int rkllm_is_running(void *handle)
{
    struct handle *h = handle;

    return (h && h->running) == (LAYOUT == 13); // older versions say 0 for yes
}

EXPORT int rkllm_run_async(void *handle, struct fake_input *in, struct fake_infer *infer, void *userdata);
EXPORT int rkllm_run_async(void *handle, struct fake_input *in, struct fake_infer *infer, void *userdata)
{
    (void)handle, (void)in, (void)infer, (void)userdata;
    return -1; // nobody here uses it
}

/* --- adapters and caches --- */

EXPORT int rkllm_load_lora(void *handle, struct fake_lora_adapter *l);
EXPORT int rkllm_load_lora(void *handle, struct fake_lora_adapter *l)
{
    struct handle *h = handle;

    not_inside();
    if (access(l->path, R_OK) < 0) {
        say("E", "Lora adapter path does not exist!");
        return -1;
    }
    snprintf(h->lora, sizeof h->lora, "%s", l->name);
    return l->scale > 0 ? 0 : -1;
}

EXPORT int rkllm_load_prompt_cache(void *handle, const char *path);
EXPORT int rkllm_load_prompt_cache(void *handle, const char *path)
{
    char  head[16] = "";
    FILE *f        = fopen(path, "re");
    (void)handle;

    if (f && fgets(head, sizeof head, f) && strncmp(head, "FAKE-CACHE", 10) == 0) {
        fclose(f);
        say("I", "prompt cache loaded");
        return 0;
    }
    if (f) fclose(f);
    say("E", "the prompt cache file is missing or empty");
    return -1;
}

EXPORT int rkllm_release_prompt_cache(void *handle);
EXPORT int rkllm_release_prompt_cache(void *handle)
{
    (void)handle;
    return 0;
}

#if LAYOUT != 11
EXPORT int rkllm_set_chat_template(void *handle, const char *system, const char *prefix, const char *postfix);
EXPORT int rkllm_set_chat_template(void *handle, const char *system, const char *prefix, const char *postfix)
{
    struct handle *h = handle;

    not_inside();
    h->raw = !system[0] && !prefix[0] && !postfix[0];
    return 0;
}

EXPORT int rkllm_clear_kv_cache(void *handle, int keep_system, int *start, int *end);
EXPORT int rkllm_clear_kv_cache(void *handle, int keep_system, int *start, int *end)
{
    struct handle *h = handle;
    (void)keep_system, (void)start, (void)end;

    not_inside();
    trace("{\"call\": \"clear\"}");
    h->n_kv = 0;
    return 0;
}
#endif

#if LAYOUT == 12 || LAYOUT == 13
EXPORT int rkllm_get_kv_cache_size(void *handle, int *sizes);
EXPORT int rkllm_get_kv_cache_size(void *handle, int *sizes)
{
    sizes[0] = ((struct handle *)handle)->n_kv;
    return 0;
}

EXPORT int rkllm_set_function_tools(void *handle, const char *system, const char *tools, const char *tag);
EXPORT int rkllm_set_function_tools(void *handle, const char *system, const char *tools, const char *tag)
{
    (void)handle, (void)system, (void)tools, (void)tag;
    return sdk_text[0] ? 0 : -1;
}

EXPORT int rkllm_set_cross_attn_params(void *handle, void *params);
EXPORT int rkllm_set_cross_attn_params(void *handle, void *params)
{
    (void)handle, (void)params;
    return -1;
}
#endif

/* Keeps the text in the file, and shows which one this is. */
EXPORT const char *fake_rkllm_version(void);
EXPORT const char *fake_rkllm_version(void)
{
    return (const char *)(uintptr_t)sdk_text;
}
