/* serve_model.c - choose the engine, load the model, find its vocabulary and template. */
#include "prog/serve_model.h"

#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "engines/axera/axera_plan.h"
#include "engines/axera/engine_axera.h"
#include "engines/cpu/engine_cpu.h"
#include "engines/script/script.h"
#include "model/gguf.h"
#include "os/fd.h"
#include "prog/models.h"
#include "prog/npu.h"
#include "prog/vocab_hf.h"

#define CTX_DEFAULT 8192 // of models that could do more: KV memory is reserved for it

/* Which engine: what the settings say, else the file's ending; a script says in its text which kind
 * it is. */
static int choose(const struct settings *s, const struct engine_file *file, const struct engine_ops **ret,
                  struct err *e)
{
    struct arena  a;
    struct script script;
    struct str    text;

    bool is_auto = str_eq(str_c(s->engine), STR("auto"));

    bool nw1;
    if (axera_call_path(s->engine, &nw1)) {
        *ret = nw1 ? &engine_child : &engine_axera;
        return 0;
    }
    *ret = &engine_cpu;
    if (npu_is_rkllm(s, file->name)) {
        *ret = &engine_rkllm;
        return 0;
    }
    if (!str_starts(str_c(s->engine), STR("script:")) &&
        !(is_auto && str_ends(str_c(file->name), STR(".script"))))
        return 0;
    arena_init(&a, MIB(64));
    int rc = fd_read_all(file->fd, file->name, MIB(4), &a, &text, e);
    if (rc == 0) rc = script_parse(text, file->name, &a, &script, e);
    if (rc == 0) *ret = script.forward ? &engine_script_forward : &engine_script_generate;
    arena_release(&a);
    return rc;
}

/* A name for this model in this server: of the file's first bytes and size, and of our version. Two
 * servers with the same file give the same. */
static struct str fingerprint(const struct engine_file *file, struct arena *a)
{
    static const uint64_t key[2] = { 0x6375726c6577, 0x6670 };
    char                  head[4096];
    ssize_t               n = pread(file->fd, head, sizeof head, 0);
    uint64_t              h = map_hash(key, (struct str){ head, n > 0 ? (size_t)n : 0 });

    h ^= map_hash(key, STR(CURLEW_VERSION)) ^ file->size;
    return arena_printf(a, "fp_%010llx", (unsigned long long)(h & 0xffffffffff));
}

static bool has_token(const void *ctx, const char *token)
{
    return ctx && tok_find(ctx, str_c(token)) >= 0;
}

/* The template that the settings name. */
static int chosen_template(struct serve_model *m, const char *name, int fd, struct str *text, struct err *e)
{
    int rc = 0;

    if (fd >= 0) rc = fd_read_all(fd, name, LIM_CHAT_TEMPLATE, &m->arena, text, e);
    else *text = tmpl_builtin(str_c(name));
    if (rc == 0 && !text->p) rc = err_set(e, ERR_BAD_CONFIG, "chat-template: \"%.60s\" is not known", name);
    return rc < 0 ? rc : tmpl_compile(str_c(name), *text, &m->tmpl, e);
}

/* The model's own template if it has one that compiles, else the built-in one that suits it. */
static int find_template(struct serve_model *m, const struct gguf *g, struct str own, const char *id,
                         struct str *text, struct err *e)
{
    if (own.p || (g && gguf_str(g, "tokenizer.chat_template", &own))) {
        *text = arena_str(&m->arena, own);
        if (!text->p) return err_nomem(e, "reading the chat template");
        if (tmpl_compile(str_c(id), *text, &m->tmpl, e) == 0) return 0;
        log_warn("template_refused", "model=%s error=\"%s\" a built-in one is used", id, e->msg);
    }
    const char *name = tmpl_builtin_guess(str_c(id), has_token, m->tok);
    if ((!m->tok && m->ops != &engine_rkllm) || (m->tok && tok_n(m->tok) <= 257)) name = "chatml"; // bytes or text only: its markers are plain text
    *text = tmpl_builtin(str_c(name));
    log_info("template", "model=%s builtin=%s", id, name);
    return tmpl_compile(str_c(name), *text, &m->tmpl, e);
}

/* What lies beside a model that has no vocabulary in it: tokenizer.json, its configuration and template. */
static int open_beside(struct serve_model *m, const struct serve_files *f, struct str *tmpl, struct err *e)
{
    const struct engine_file *file = f->file;
    struct arena              a;
    struct vocab_hf           hf = { .tokenizer = STR_NULL };
    int                       rc = 0;

    arena_init(&a, VOCAB_HF_BYTES + MIB(8));
    for (int i = 1; rc == 0 && i < f->n_file; i++) {
        struct str  name = str_c(file[i].name);
        struct str *text = str_eq(name, STR("tokenizer.json"))          ? &hf.tokenizer
                           : str_eq(name, STR("tokenizer_config.json")) ? &hf.config
                           : str_eq(name, STR(NPU_TEMPLATE))            ? &hf.jinja
                                                                        : NULL;
        if (text) rc = fd_read_all(file[i].fd, file[i].name, VOCAB_HF_BYTES, &a, text, e);
    }
    if (rc == 0) {
        rc = vocab_hf_open(&hf, &m->arena, &m->own_tok, tmpl, e);
        if (rc < 0) rc = err_wrap(e, "beside %s", file->name);
    }
    arena_release(&a);
    return rc;
}

/* With the library's own template it gets the last message and nothing else. */
#define LAST_MESSAGE "{{ messages[-1].content }}"

static int open_tok(struct serve_model *m, const struct settings *s, const struct engine_info *i,
                    const struct serve_files *f, const char *id, struct str *template_text, struct err *e)
{
    const struct engine_file *file = f->file;
    struct gguf              *g    = NULL;
    struct str                own  = STR_NULL;
    bool                      npu  = m->ops == &engine_rkllm, library = npu && s->rkllm_template == RKLLM_WORD_LIBRARY;
    int                       rc   = npu ? open_beside(m, f, &own, e) : 0;

    if (rc < 0) return rc;
    if (library) own = STR(LAST_MESSAGE);
    if (i->tok) {
        m->tok = i->tok;
    } else if (i->caps & ENGINE_BYTES) {
        rc = tok_from_bytes(&m->own_tok, e);
    } else if (i->caps & ENGINE_FORWARD) {
        rc = gguf_open(file->fd, file->size, file->name, &g, e);
        if (rc == 0) rc = tok_from_gguf(g, &m->own_tok, e);
        if (rc == 0 && tok_n(m->own_tok) > i->n_vocab)
            rc = err_set(e, ERR_BAD_FILE, "%s: the vocabulary has %d tokens, the model's output %d", file->name,
                         tok_n(m->own_tok), i->n_vocab);
    }
    if (m->own_tok) m->tok = m->own_tok;
    if (rc == 0)
        rc = s->chat_template && !library ? chosen_template(m, s->chat_template, f->template_fd, template_text, e)
                                          : find_template(m, g, own.p ? own : str_c(i->chat_template), id, template_text, e);
    gguf_close(g);
    return rc;
}

static int describe(struct serve_model *m, const struct engine_info *i, const struct tmpl_caps *caps,
                    const struct engine_file *file, struct err *e)
{
    bool fwd = i->caps & ENGINE_FORWARD;

    m->info = (struct chat_info){
        .engine = str_c(m->ops->name), .arch = str_c(i->arch), .quant = str_c(i->quant),
        .tokenizer = str_c(m->tok ? tok_kind(m->tok) : "none"), .n_ctx = i->n_ctx, .n_ctx_train = i->n_ctx,
        .n_seq = i->n_seq, .n_vocab = i->n_vocab, .n_param = i->n_param, .weight_bytes = i->weight_bytes,
        .kv_bytes = i->kv_bytes, .n_embd = i->n_embd, .fingerprint = fingerprint(file, &m->arena),
    };
    m->info.can = (caps->usable ? CHAT_CAN_CHAT : 0) | (caps->tools ? CHAT_CAN_TOOLS : 0) |
                  (caps->thinking || caps->opens_think ? CHAT_CAN_THINK : 0) | CHAT_CAN_CHOICES;
    if (fwd) m->info.can |= CHAT_CAN_LOGPROBS | CHAT_CAN_SEED | CHAT_CAN_SAMPLING | CHAT_CAN_BIAS | CHAT_CAN_TOK_IN;
    if (i->caps & ENGINE_TOK_IN) m->info.can |= CHAT_CAN_TOK_IN;
    m->info.can |= CHAT_CAN_GENERATE;
    if (i->caps & ENGINE_WHOLE) m->info.can = CHAT_CAN_TOK_IN; // an encoder answers nothing
    if (i->caps & ENGINE_EMBED) m->info.can |= i->caps & ENGINE_RANK ? CHAT_CAN_RANK : CHAT_CAN_EMBED;
    if (i->caps & ENGINE_SAMPLING) m->info.can |= CHAT_CAN_SAMPLING;
    if (i->caps & ENGINE_SEED) m->info.can |= CHAT_CAN_SEED;
    return m->info.fingerprint.p ? 0 : err_nomem(e, "describing the model");
}

int serve_model_open(const struct settings *s, const char *id, const struct serve_files *f, struct serve_model *ret,
                     struct err *e)
{
    const struct engine_file *file = f->file;
    struct serve_model m = { 0 };
    struct engine_info i;
    struct session_conf sc;
    struct str          text = STR("");
    struct rkllm_conf   own;
    struct engine_conf  ec   = { .file = file, .n_file = f->n_file, .n_thread = (int)s->threads,
                                 .n_ctx = s->ctx ? (int)s->ctx : CTX_DEFAULT, .n_seq = (int)s->parallel,
                                 .n_batch = (int)s->batch, .kv_bytes = s->kv_bytes, .cache = f->cache,
                                 .kv_type = (enum engine_kv)s->kv_type };

    struct axera_own axera = { .option = s->child.v, .n_option = s->child.n };

    if (ec.n_batch < ec.n_seq) ec.n_batch = ec.n_seq;
    axera.path = axera_call_path(s->engine, &axera.nw1);
    if (axera.path) ec.own = &axera;
    arena_init(&m.arena, MIB(64));
    int rc = choose(s, file, &m.ops, e);
    if (rc == 0 && m.ops == &engine_rkllm) {
        rc       = npu_conf(s, &own, e);
        ec.own   = &own;
        ec.n_ctx = rkllm_ctx_wanted(file->name, (int)s->ctx);
    }
    if (rc == 0) rc = m.ops->open(&ec, &m.engine, e);
    if (rc < 0) goto fail;
    m.ops->info(m.engine, &i);
    rc = open_tok(&m, s, &i, f, id, &text, e);
    if (rc < 0) goto fail;
    struct split_form form = split_detect(text);
    if (s->answer_format && !split_form_by_name(str_c(s->answer_format), &form)) {
        rc = err_set(e, ERR_BAD_CONFIG, "--answer-format: \"%.60s\" is not known", s->answer_format);
        goto fail;
    }

    sc = (struct session_conf){ .ops = m.ops, .engine = m.engine, .tok = m.tok, .tmpl = m.tmpl,
                                .form = form, .n_queue = (int)s->queue, .queue_ms = (int)s->queue_ms,
                                .spec = s->spec == 1, .context_shift = s->context_shift };
    tmpl_caps(m.tmpl, &sc.caps);
    rc = describe(&m, &i, &sc.caps, file, e);
    if (rc == 0) rc = session_new(&sc, &m.session, e);
    if (rc < 0) goto fail;
    log_info("loaded", "model=%s engine=%s arch=%s quant=%s tokenizer=%s ctx=%d parallel=%d kv_mib=%llu kv_type=%s "
             "format=%s",
             id, m.ops->name, i.arch, i.quant, m.tok ? tok_kind(m.tok) : "none", i.n_ctx, i.n_seq,
             (unsigned long long)(i.kv_bytes >> 20), i.kv_type ? i.kv_type : "none", split_form_name(&sc.form));
    *ret = m;
    return 0;

fail:
    serve_model_close(&m);
    return rc;
}

void serve_model_close(struct serve_model *m)
{
    session_free(m->session);
    tmpl_free(m->tmpl);
    tok_free(m->own_tok);
    if (m->ops && m->engine) m->ops->close(m->engine);
    arena_release(&m->arena);
}
