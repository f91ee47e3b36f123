/* cli_show.c - `curlew show`: what a GGUF file holds, for a person or as JSON.
 *
 * One pass gathers the facts, one of two printers shows them. No control character of a file
 * reaches a terminal. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "chat/split.h"
#include "chat/tmpl.h"
#include "json/json.h"
#include "model/gguf.h"
#include "os/fd.h"
#include "prog/cli.h"

#define COMMAND "show"

struct type_sum {
    size_t   n;
    uint64_t bytes;
};

struct facts {
    const char     *path;
    uint64_t        file_bytes;
    struct gguf    *g;
    struct str      name, arch, licence;
    int64_t         ctx, layers, embd, heads, heads_kv, experts; // 0: the file does not say one
    uint64_t        params, weight_bytes;
    struct type_sum type[TENSOR_TYPES];
    struct tok     *tok; // NULL: the file has none that can be used
    struct err      tok_err;

    struct str        tmpl_text; // STR_NULL: the file has none
    const char       *builtin;   // the one used then
    struct tmpl      *tmpl;      // NULL: it does not compile
    struct err        tmpl_err;
    struct tmpl_caps  caps;
    struct split_form form;
};

/* --- gathering --- */

static int64_t hparam(const struct facts *f, const char *key)
{
    char    full[128];
    int64_t v = 0;

    snprintf(full, sizeof full, STR_FMT ".%s", STR_ARG(f->arch), key);
    return gguf_int(f->g, full, &v) && v > 0 ? v : 0;
}

static void gather_model(struct facts *f)
{
    if (!gguf_str(f->g, "general.name", &f->name)) f->name = STR_NULL;
    if (!gguf_str(f->g, "general.architecture", &f->arch)) f->arch = STR_NULL;
    if (!gguf_str(f->g, "general.license", &f->licence)) f->licence = STR_NULL;
    f->ctx      = hparam(f, "context_length");
    f->layers   = hparam(f, "block_count");
    f->embd     = hparam(f, "embedding_length");
    f->heads    = hparam(f, "attention.head_count");
    f->heads_kv = hparam(f, "attention.head_count_kv");
    f->experts  = hparam(f, "expert_count");
    for (size_t i = 0; i < gguf_n_tensor(f->g); i++) {
        const struct tensor *t = gguf_tensor_at(f->g, i);
        f->params += (uint64_t)tensor_n(t);
        f->weight_bytes += t->bytes;
        f->type[t->type].n++;
        f->type[t->type].bytes += t->bytes;
    }
}

static bool has_token(const void *tok, const char *token)
{
    return tok && tok_find(tok, str_c(token)) >= 0;
}

static void gather_chat(struct facts *f)
{
    struct str text;

    if (tok_from_gguf(f->g, &f->tok, &f->tok_err) < 0) f->tok = NULL;
    if (gguf_str(f->g, "tokenizer.chat_template", &f->tmpl_text)) {
        text = f->tmpl_text;
    } else {
        f->tmpl_text = STR_NULL;
        f->builtin   = tmpl_builtin_guess(f->name, has_token, f->tok);
        text         = tmpl_builtin(str_c(f->builtin));
    }
    f->form = split_detect(text);
    if (tmpl_compile(STR("template"), text, &f->tmpl, &f->tmpl_err) < 0) f->tmpl = NULL;
    else tmpl_caps(f->tmpl, &f->caps);
}

static int gather(const char *path, struct facts *f, struct err *e)
{
    const char *slash = strrchr(path, '/');
    int         fd, rc = fd_open_file(path, &fd, &f->file_bytes, e);

    if (rc < 0) return rc;
    f->path = path;
    rc      = gguf_open(fd, f->file_bytes, slash ? slash + 1 : path, &f->g, e);
    close(fd);
    if (rc < 0) return rc;
    gather_model(f);
    gather_chat(f);
    return 0;
}

static void facts_release(struct facts *f)
{
    tmpl_free(f->tmpl);
    tok_free(f->tok);
    gguf_close(f->g);
}

/* --- numbers and lists both printers use --- */

static void put_bytes(struct buf *b, uint64_t n)
{
    if (n >= GIB(1)) buf_printf(b, "%.2f GiB", (double)n / (double)GIB(1));
    else if (n >= MIB(1)) buf_printf(b, "%.1f MiB", (double)n / (double)MIB(1));
    else buf_printf(b, "%.1f KiB", (double)n / 1024);
}

static void put_count(struct buf *b, uint64_t n)
{
    if (n >= 1000000000) buf_printf(b, "%.2f billion", (double)n * 1e-9);
    else if (n >= 1000000) buf_printf(b, "%.1f million", (double)n * 1e-6);
    else buf_printf(b, "%" PRIu64, n);
}

/* The types of its tensors, what takes the most bytes first: the i-th, or -1. */
static int type_at(const struct facts *f, int i)
{
    bool seen[TENSOR_TYPES] = { false };
    int  best               = -1;

    for (; i >= 0; i--) {
        best = -1;
        for (int t = 0; t < TENSOR_TYPES; t++)
            if (!seen[t] && f->type[t].n && (best < 0 || f->type[t].bytes > f->type[best].bytes)) best = t;
        if (best < 0) return -1;
        seen[best] = true;
    }
    return best;
}

static const struct {
    const char *name;
    size_t      offset;
} cap_words[] = {
    { "system", offsetof(struct tmpl_caps, system) },       { "tools", offsetof(struct tmpl_caps, tools) },
    { "tool_calls", offsetof(struct tmpl_caps, tool_calls) }, { "thinking", offsetof(struct tmpl_caps, thinking) },
    { "opens_think", offsetof(struct tmpl_caps, opens_think) }, { "effort", offsetof(struct tmpl_caps, effort) },
};

static bool has_cap(const struct facts *f, size_t i)
{
    return *(const bool *)((const char *)&f->caps + cap_words[i].offset);
}

/* --- for people --- */

static void put_esc(struct buf *b, struct str s)
{
    struct str head = str_sub(s, 0, 200);

    if (head.n < s.n) head.n = utf8_cut(head);
    for (struct str line; str_cut(&head, '\n', &line);) {
        cli_put_clean(b, line);
        if (head.p) buf_byte(b, ' ');
    }
}

static void put_special(struct buf *b, const struct tok *t, const char *what, int32_t id)
{
    if (id < 0) {
        buf_printf(b, ", no %s", what);
        return;
    }
    buf_printf(b, ", %s %d ", what, id);
    cli_put_clean(b, tok_name(t, id));
}

static void put_arch(struct buf *b, const struct facts *f)
{
    buf_str(b, STR("architecture  "));
    if (f->arch.p) put_esc(b, f->arch);
    else buf_str(b, STR("not said"));
    if (f->layers) buf_printf(b, ", %" PRId64 " layer%s", f->layers, f->layers == 1 ? "" : "s");
    if (f->embd) buf_printf(b, ", width %" PRId64, f->embd);
    if (f->heads) buf_printf(b, ", %" PRId64 " heads", f->heads);
    if (f->heads_kv && f->heads_kv != f->heads) buf_printf(b, " (%" PRId64 " for keys and values)", f->heads_kv);
    if (f->experts) buf_printf(b, ", %" PRId64 " experts", f->experts);
    buf_byte(b, '\n');
}

static void put_weights(struct buf *b, const struct facts *f)
{
    if (!gguf_n_tensor(f->g)) {
        buf_str(b, STR("tensors       none: vocabulary only\n"));
        return;
    }
    buf_str(b, STR("parameters    "));
    put_count(b, f->params);
    buf_printf(b, " in %zu tensors, ", gguf_n_tensor(f->g));
    put_bytes(b, f->weight_bytes);
    buf_printf(b, ", %.2f bits each\n", f->params ? (double)f->weight_bytes * 8 / (double)f->params : 0);
    buf_str(b, STR("quantisation  "));
    for (int i = 0, t; (t = type_at(f, i)) >= 0; i++)
        buf_printf(b, "%s%s (%zu tensors)", i ? ", " : "", tensor_type_row((enum tensor_type)t)->name, f->type[t].n);
    buf_byte(b, '\n');
}

static void put_tok(struct buf *b, const struct facts *f)
{
    buf_str(b, STR("vocabulary    "));
    if (!f->tok) {
        buf_printf(b, "cannot be used: %s\n", f->tok_err.msg);
        return;
    }
    buf_printf(b, "%s, %d tokens", tok_kind(f->tok), tok_n(f->tok));
    put_special(b, f->tok, "BOS", tok_bos(f->tok));
    put_special(b, f->tok, "EOS", tok_eos(f->tok));
    buf_byte(b, '\n');
}

static void put_tmpl(struct buf *b, const struct facts *f)
{
    buf_str(b, STR("template      "));
    if (f->builtin) buf_printf(b, "none of its own, the built-in \"%s\" is used", f->builtin);
    else buf_printf(b, "its own, %zu bytes", f->tmpl_text.n);
    if (!f->tmpl) {
        buf_printf(b, "; it cannot be used: %s\n", f->tmpl_err.msg);
        return;
    }
    for (size_t i = 0, n = 0; i < ARRAY_LEN(cap_words); i++)
        if (has_cap(f, i)) buf_printf(b, "%s%s", n++ ? ", " : "; knows ", cap_words[i].name);
    buf_printf(b, "\nanswers       %s\n", split_form_name(&f->form));
}

static void put_tensors(struct buf *b, const struct facts *f)
{
    for (size_t i = 0; i < gguf_n_tensor(f->g); i++) {
        const struct tensor *t = gguf_tensor_at(f->g, i);
        buf_printf(b, "%-8s ", tensor_type_row(t->type)->name);
        for (int d = 0; d < t->n_dim; d++) buf_printf(b, "%s%" PRId64, d ? " x " : "", t->dim[d]);
        buf_str(b, STR("  "));
        buf_str(b, t->name); // clean text, see gguf.h
        buf_byte(b, '\n');
    }
}

static void put_metadata(struct buf *b, const struct facts *f)
{
    for (size_t i = 0; i < gguf_n_kv(f->g); i++) {
        buf_str(b, gguf_kv_key(f->g, i));
        buf_str(b, STR(" = "));
        gguf_kv_text(f->g, i, b);
        buf_byte(b, '\n');
    }
}

static void print_text(struct buf *b, const struct facts *f, const struct settings *s)
{
    if (f->name.p) {
        buf_str(b, STR("name          "));
        put_esc(b, f->name);
        buf_byte(b, '\n');
    }
    buf_printf(b, "file          %s, ", f->path);
    put_bytes(b, f->file_bytes);
    buf_byte(b, '\n');
    put_arch(b, f);
    put_weights(b, f);
    if (f->ctx) buf_printf(b, "context       %" PRId64 " tokens\n", f->ctx);
    put_tok(b, f);
    put_tmpl(b, f);
    if (f->licence.p) {
        buf_str(b, STR("licence       "));
        put_esc(b, f->licence);
        buf_byte(b, '\n');
    }
    if (s->metadata) {
        buf_str(b, STR("\n"));
        put_metadata(b, f);
    }
    if (s->tensors) {
        buf_str(b, STR("\n"));
        put_tensors(b, f);
    }
}

/* --- as JSON --- */

static void member(struct buf *b, const char *key)
{
    if (b->n && b->p[b->n - 1] != '{') buf_str(b, STR(", "));
    json_put_str(b, str_c(key));
    buf_str(b, STR(": "));
}

static void member_str(struct buf *b, const char *key, struct str v)
{
    member(b, key);
    if (v.p) json_put_str(b, v);
    else buf_str(b, STR("null"));
}

static void member_int(struct buf *b, const char *key, int64_t v, bool known)
{
    member(b, key);
    if (known) buf_i64(b, v);
    else buf_str(b, STR("null"));
}

static void json_tok(struct buf *b, const struct facts *f)
{
    member(b, "vocabulary");
    if (!f->tok) {
        buf_str(b, STR("null"));
        return;
    }
    buf_byte(b, '{');
    member_str(b, "kind", str_c(tok_kind(f->tok)));
    member_int(b, "tokens", tok_n(f->tok), true);
    member_int(b, "bos", tok_bos(f->tok), tok_bos(f->tok) >= 0);
    member_int(b, "eos", tok_eos(f->tok), tok_eos(f->tok) >= 0);
    buf_byte(b, '}');
}

static void json_tmpl(struct buf *b, const struct facts *f)
{
    member(b, "template");
    buf_byte(b, '{');
    member_int(b, "bytes", (int64_t)f->tmpl_text.n, f->tmpl_text.p);
    member_str(b, "builtin", str_c(f->builtin));
    member(b, "usable");
    buf_str(b, f->tmpl && f->caps.usable ? STR("true") : STR("false"));
    for (size_t i = 0; i < ARRAY_LEN(cap_words); i++) {
        member(b, cap_words[i].name);
        buf_str(b, has_cap(f, i) ? STR("true") : STR("false"));
    }
    member_str(b, "answers", str_c(split_form_name(&f->form)));
    buf_byte(b, '}');
}

static void json_tensors(struct buf *b, const struct facts *f)
{
    member(b, "tensors");
    buf_byte(b, '[');
    for (size_t i = 0; i < gguf_n_tensor(f->g); i++) {
        const struct tensor *t = gguf_tensor_at(f->g, i);
        buf_str(b, i ? STR(", {") : STR("{"));
        member_str(b, "name", t->name);
        member_str(b, "type", str_c(tensor_type_row(t->type)->name));
        member(b, "dims");
        for (int d = 0; d < t->n_dim; d++) buf_printf(b, "%s%" PRId64, d ? ", " : "[", t->dim[d]);
        buf_byte(b, ']');
        member_int(b, "bytes", (int64_t)t->bytes, true);
        buf_byte(b, '}');
    }
    buf_byte(b, ']');
}

static void json_metadata(struct buf *b, const struct facts *f)
{
    struct buf text;

    member(b, "metadata"); // values as short text
    buf_byte(b, '{');
    buf_init(&text, MIB(1));
    for (size_t i = 0; i < gguf_n_kv(f->g); i++) {
        struct str key = gguf_kv_key(f->g, i);
        if (i) buf_str(b, STR(", "));
        json_put_str(b, key);
        buf_str(b, STR(": "));
        buf_clear(&text);
        gguf_kv_text(f->g, i, &text);
        json_put_str(b, buf_text(&text));
    }
    buf_release(&text);
    buf_byte(b, '}');
}

static void print_json(struct buf *b, const struct facts *f, const struct settings *s)
{
    buf_byte(b, '{');
    member_str(b, "file", str_c(f->path));
    member_int(b, "bytes", (int64_t)f->file_bytes, true);
    member_str(b, "name", f->name);
    member_str(b, "architecture", f->arch);
    member_str(b, "license", f->licence);
    member_int(b, "context", f->ctx, f->ctx);
    member_int(b, "layers", f->layers, f->layers);
    member_int(b, "width", f->embd, f->embd);
    member_int(b, "heads", f->heads, f->heads);
    member_int(b, "heads_kv", f->heads_kv, f->heads_kv);
    member_int(b, "experts", f->experts, f->experts);
    member_int(b, "parameters", (int64_t)f->params, true);
    member_int(b, "weight_bytes", (int64_t)f->weight_bytes, true);
    member(b, "types");
    buf_byte(b, '{');
    for (int i = 0, t; (t = type_at(f, i)) >= 0; i++)
        member_int(b, tensor_type_row((enum tensor_type)t)->name, (int64_t)f->type[t].n, true);
    buf_byte(b, '}');
    json_tok(b, f);
    json_tmpl(b, f);
    if (s->metadata) json_metadata(b, f);
    if (s->tensors) json_tensors(b, f);
    buf_str(b, STR("}\n"));
}

int cli_show(const struct settings *s)
{
    struct facts f = { 0 };
    struct buf   b;
    struct err   e;
    const char  *path = cli_model(COMMAND, s);

    if (!path) return PROG_USAGE;
    int rc = gather(path, &f, &e);
    if (rc == 0) {
        buf_init(&b, MIB(64));
        if (s->json) print_json(&b, &f, s);
        else print_text(&b, &f, s);
        rc = b.failed ? err_nomem(&e, "describing the file") : cli_write(buf_text(&b), &e);
        buf_release(&b);
    }
    facts_release(&f);
    return rc < 0 ? cli_failed(COMMAND, &e) : PROG_OK;
}
