/* fake_brain.c - a script of bytes, or curlew's own CPU engine inside the fake library. */
#include "fake_brain.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "engine.h"
#include "engines/cpu/engine_cpu.h"
#include "model/gguf.h"
#include "token/tok.h"

#define BRAIN_CTX 1024
#define CHUNK     64

struct brain {
    struct engine      *engine;
    struct engine_info  info;
    struct tok         *tok;
    int32_t            *page; // [info.n_kv_page]
};

struct fake_answer {
    struct fake_model *m;
    char              *text; // script: what is said
    size_t             at;
    bool               ended;
    int32_t            last; // real model: the token to go on from
    int                pos;
};

/* --- a real model --- */

static struct brain *brain_open(const char *path)
{
    struct stat   st;
    struct err    e;
    struct gguf  *g;
    struct brain *b  = calloc(1, sizeof *b);
    int           fd = open(path, O_RDONLY | O_CLOEXEC);

    if (!b || fd < 0 || fstat(fd, &st) < 0) return NULL;
    struct engine_file file = { "model.gguf", fd, (uint64_t)st.st_size };
    struct engine_conf conf = { .file = &file, .n_file = 1, .n_thread = 1, .n_ctx = BRAIN_CTX, .n_seq = 1,
                                .n_batch = CHUNK };
    if (gguf_open(fd, file.size, file.name, &g, &e) < 0) return NULL;
    int rc = tok_from_gguf(g, &b->tok, &e);
    gguf_close(g);
    if (rc < 0 || engine_cpu.open(&conf, &b->engine, &e) < 0) return NULL; // the descriptor stays open with it
    engine_cpu.info(b->engine, &b->info);
    b->page = calloc((size_t)b->info.n_kv_page, sizeof *b->page);
    for (int i = 0; b->page && i < b->info.n_kv_page; i++) b->page[i] = i;
    return b->page ? b : NULL;
}

/* The likeliest token after these. */
static int32_t brain_next(struct brain *b, const int32_t *tok, int n, int pos)
{
    struct err    e;
    const float  *row = NULL;

    for (int at = 0; at < n; at += CHUNK) {
        int                 m     = n - at < CHUNK ? n - at : CHUNK;
        struct engine_run   run   = { tok + at, m, pos + at, b->page, at + m == n };
        struct engine_batch batch = { &run, 1 };
        if (pos + at + m > b->info.n_ctx || engine_cpu.forward(b->engine, &batch, &e) < 0) return -1;
    }
    row          = engine_cpu.logits(b->engine, 0);
    int32_t best = 0;
    for (int i = 1; i < b->info.n_vocab; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

/* --- the file --- */

static char *unescape(const char *s)
{
    char *p = strdup(s), *out = p;

    for (const char *in = s; *in; in++) {
        if (in[0] == '\\' && in[1] == 'n') {
            *out++ = '\n';
            in++;
        } else {
            *out++ = *in;
        }
    }
    *out = 0;
    return p;
}

static void set(struct fake_model *m, const char *path, const char *key, char *value)
{
    int n = (int)strtol(value, NULL, 10);

    if (!strcmp(key, "toolkit")) snprintf(m->toolkit, sizeof m->toolkit, "%s", value);
    else if (!strcmp(key, "platform")) snprintf(m->platform, sizeof m->platform, "%s", value);
    else if (!strcmp(key, "dtype")) snprintf(m->dtype, sizeof m->dtype, "%s", value);
    else if (!strcmp(key, "max_context_limit")) m->max_context_limit = n;
    else if (!strcmp(key, "npu_cores")) m->npu_cores = n;
    else if (!strcmp(key, "tok_ms")) m->tok_ms = n;
    else if (!strcmp(key, "prefill_ms")) m->prefill_ms = n;
    else if (!strcmp(key, "eos")) m->eos = n;
    else if (!strcmp(key, "answer")) m->answer = unescape(value);
    else if (!strcmp(key, "on") && strchr(value, '|') && m->n_on < FAKE_ONS) {
        char *bar = strchr(value, '|');
        *bar               = 0;
        m->on[m->n_on]     = unescape(value);
        m->then[m->n_on++] = unescape(bar + 1);
    } else if (!strcmp(key, "gguf")) {
        char        full[4096];
        const char *slash = strrchr(path, '/');
        snprintf(full, sizeof full, "%.*s%s", slash && value[0] != '/' ? (int)(slash - path + 1) : 0, path, value);
        m->brain = brain_open(full);
    }
}

struct fake_model *fake_model_open(const char *path, const char **why)
{
    char               line[4096];
    bool               wants_brain = false;
    FILE              *f = fopen(path, "re");
    struct fake_model *m;

    *why = "failed to open";
    if (!f) return NULL;
    *why = "invalid rkllm model!";
    m    = calloc(1, sizeof *m);
    if (!m || !fgets(line, sizeof line, f) || strcmp(line, "FAKE-RKLLM 1\n") != 0) {
        free(m);
        fclose(f);
        return NULL;
    }
    *m = (struct fake_model){ .toolkit = "1.2.3", .platform = "RK3588", .dtype = "W8A8", .max_context_limit = 4096,
                              .npu_cores = 3, .eos = -1 };
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *eq = strchr(line, '=');
        if (!eq) continue;
        *eq = 0;
        set(m, path, line, eq + 1);
        wants_brain |= !strcmp(line, "gguf");
    }
    fclose(f);
    if (!wants_brain || m->brain) return m;
    *why = "failed to open the gguf of a fake model";
    fake_model_close(m);
    return NULL;
}

void fake_model_close(struct fake_model *m)
{
    for (int i = 0; i < m->n_on; i++) {
        free(m->on[i]);
        free(m->then[i]);
    }
    free(m->answer);
    if (m->brain) {
        engine_cpu.close(m->brain->engine);
        tok_free(m->brain->tok);
        free(m->brain->page);
        free(m->brain);
    }
    free(m);
}

/* --- answers --- */

int32_t *fake_encode(const struct fake_model *m, const char *text, size_t *n)
{
    size_t   len = strlen(text);
    int32_t *id  = NULL;

    if (m->brain) {
        struct ids v;
        struct err e;
        ids_init(&v, LIM_CTX);
        if (tok_encode(m->brain->tok, str_c(text), TOK_PARSE_SPECIAL, &v, &e) < 0) return NULL;
        id = malloc(v.n * sizeof *id + 1);
        if (id) memcpy(id, v.id, v.n * sizeof *id);
        *n = v.n;
        ids_release(&v);
        return id;
    }
    id = malloc(len * sizeof *id + 1);
    for (size_t i = 0; id && i < len; i++) id[i] = (unsigned char)text[i];
    *n = len;
    return id;
}

static char *script_answer(const struct fake_model *m, const int32_t *tok, size_t n)
{
    char  *prompt = malloc(n + 1);
    size_t at     = 0;

    if (!prompt) return NULL;
    for (size_t i = 0; i < n; i++)
        if (tok[i] > 0 && tok[i] < 256) prompt[at++] = (char)tok[i];
    prompt[at] = 0;
    for (int i = 0; i < m->n_on; i++)
        if (strstr(prompt, m->on[i])) {
            free(prompt);
            return strdup(m->then[i]);
        }
    if (m->answer && !strcmp(m->answer, "echo")) return prompt;
    free(prompt);
    return strdup(m->answer ? m->answer : "Hello!");
}

struct fake_answer *fake_answer_begin(struct fake_model *m, const int32_t *tok, size_t n)
{
    struct fake_answer *a = calloc(1, sizeof *a);

    if (!a) return NULL;
    a->m = m;
    if (!m->brain) {
        a->text = script_answer(m, tok, n);
    } else {
        a->last = brain_next(m->brain, tok, (int)n, 0);
        a->pos  = (int)n;
    }
    return a;
}

bool fake_answer_next(struct fake_answer *a, int32_t *tok, const char **bytes, size_t *n_bytes)
{
    struct brain *b = a->m->brain;

    if (a->ended) return false;
    *bytes   = "";
    *n_bytes = 0;
    if (!b) {
        if (a->text[a->at]) {
            *tok     = (unsigned char)a->text[a->at];
            *bytes   = a->text + a->at++;
            *n_bytes = 1;
            return true;
        }
        a->ended = true;
        *tok     = a->m->eos;
        return a->m->eos >= 0;
    }
    *tok = a->last;
    if (a->last < 0) return false;
    if (tok_is_eog(b->tok, a->last)) {
        a->ended = true;
        return a->m->eos >= 0; // told, or not: versions may differ
    }
    struct str text = tok_bytes(b->tok, a->last, false);
    *bytes   = text.p ? text.p : "";
    *n_bytes = text.n;
    a->last  = brain_next(b, &a->last, 1, a->pos);
    a->pos++;
    return true;
}

void fake_answer_end(struct fake_answer *a)
{
    if (!a) return;
    free(a->text);
    free(a);
}
