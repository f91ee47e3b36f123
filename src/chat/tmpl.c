/* tmpl.c - compile a template, render it.
 *
 * Compiling is done once per model: the syntax tree is immutable, names are numbered. A rendering
 * brings its variables, its memory (the caller's arena) and its budget, runs the tree into one
 * string with spans, and cuts that into pieces.
 */
#include "chat/tmpl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "chat/tmpl_int.h"

/* --- compile --- */

/* The template's text with newlines made \n and without the last one, as Jinja reads it; in the
 * arena. */
static int load_text(struct tmpl *t, struct str text, struct str *ret, struct err *e)
{
    char  *p = arena_alloc(&t->arena, text.n + 1);
    size_t n = 0;

    if (!p) return err_nomem(e, "compiling a template");
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '\r') p[n++] = text.p[i];
        else if (i + 1 == text.n || text.p[i + 1] != '\n') p[n++] = '\n';
    }
    if (n > 0 && p[n - 1] == '\n') n--;
    *ret = (struct str){ p, n };
    return 0;
}

static int number_known_names(struct tmpl *t, struct err *e)
{
    static const char *const known[IDS_KNOWN] = {
        [ID_LOOP]    = "loop",
        [ID_CALLER]  = "caller",
        [ID_VARARGS] = "varargs",
        [ID_KWARGS]  = "kwargs",
    };

    for (int i = 0; i < IDS_KNOWN; i++)
        if (map_put(&t->ids, str_c(known[i]), (void *)(intptr_t)(i + 1)) < 0)
            return err_nomem(e, "compiling a template");
    t->n_name = IDS_KNOWN;
    return 0;
}

static int compile(struct tmpl *t, struct str name, struct str text, struct err *e)
{
    struct tokens tokens = { 0 };

    if (text.n > LIM_TMPL_BYTES)
        return err_set(e, ERR_TOO_LARGE, "%zu bytes, the limit is %zu", text.n, LIM_TMPL_BYTES);
    size_t bad = utf8_check(text);
    if (bad < text.n) return err_set(e, ERR_BAD_FILE, "not UTF-8 at byte %zu", bad);

    t->name = arena_str(&t->arena, name);
    if (!t->name.p) return err_nomem(e, "compiling a template");
    int rc = load_text(t, text, &text, e);
    if (rc == 0) rc = number_known_names(t, e);
    if (rc == 0) rc = tmpl_lex(text, &t->arena, &tokens, e);
    if (rc == 0) rc = tmpl_parse(t, tokens.t, e);
    mem_free(tokens.t);
    return rc;
}

int tmpl_compile(struct str name, struct str text, struct tmpl **ret, struct err *e)
{
    struct tmpl *t = mem_zalloc(sizeof *t);
    struct err   own;
    char         quoted[LIM_QUOTE_BYTES];

    if (!e) e = &own;
    if (!t) return err_nomem(e, "compiling a template");
    arena_init(&t->arena, LIM_TMPL_CODE);
    map_init(&t->ids, LIM_TMPL_NAMES);
    if (compile(t, name, text, e) < 0) {
        tmpl_free(t);
        return err_wrap(e, "chat template '%s'", str_quote(quoted, sizeof quoted, name));
    }
    *ret = t;
    return 0;
}

void tmpl_free(struct tmpl *t)
{
    if (!t) return;
    map_release(&t->ids);
    arena_release(&t->arena);
    mem_free(t);
}

/* --- variables --- */

void tmpl_set(struct run *r, struct str name, struct val v)
{
    void *id = map_get(&r->t->ids, name);

    if (id && !r->failed)
        r->root[(intptr_t)id - 1] = v; // a name the template never says needs no value
}

void tmpl_run_init(struct run *r, const struct tmpl *t, const struct tmpl_in *in, struct arena *a,
                   struct err *e)
{
    *r = (struct run){
        .t = t, .a = a, .e = e, .fuel = (int64_t)LIM_TMPL_STEPS * 16, .now_s = in->now_s
    };
    r->hash_key[0] = rng_system_u64();
    r->hash_key[1] = rng_system_u64();
}

static struct val var_value(struct run *r, const struct tmpl_var *v)
{
    switch (v->kind) {
    case TMPL_VAR_NONE: break;
    case TMPL_VAR_BOOL: return tmpl_bool(v->b);
    case TMPL_VAR_INT: return tmpl_int(v->i);
    case TMPL_VAR_STR: return tmpl_str_new(r, v->s, true);
    }
    return VAL_NONE;
}

/* A kwarg may not stand in for what the server says. */
static bool reserved(const struct tmpl_in *in, struct str name)
{
    static const char *const names[] = { "messages",
                                         "tools",
                                         "documents",
                                         "add_generation_prompt",
                                         "continue_final_message",
                                         "raise_exception",
                                         "strftime_now",
                                         "namespace",
                                         "range",
                                         "dict" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_c(names[i]))) return true;
    for (int i = 0; i < in->n_var; i++)
        if (str_eq(name, in->var[i].name)) return true;
    return false;
}

static void set_kwargs(struct run *r, const struct tmpl_in *in, const struct json *kwargs)
{
    char quoted[LIM_QUOTE_BYTES];

    for (struct json_it it = json_it(kwargs); !r->failed && json_next(&it);) {
        if (!in->trust_kwargs && reserved(in, it.key)) {
            r->failed = true;
            err_param(r->e, ERR_INVALID_VALUE, "chat_template_kwargs",
                      "'%s' cannot be set in chat_template_kwargs",
                      str_quote(quoted, sizeof quoted, it.key));
            return;
        }
        if (map_get(&r->t->ids, it.key))
            tmpl_set(r, it.key, tmpl_from_json(r, it.val, in->trust_kwargs));
    }
}

int tmpl_exec_with(struct run *r, const struct tmpl_in *in, const struct input *x,
                   struct val messages, struct val *ret)
{
    size_t           n;
    const struct fn *fn = tmpl_funcs(&n);
    struct sb        out;

    r->failed = r->raised = false;
    r->fuel   = (int64_t)LIM_TMPL_STEPS * 16;
    r->depth = r->calls = 0;
    r->line  = 1;
    r->scope = NULL;
    r->root  = tmpl_alloc(r, (size_t)r->t->n_name, sizeof *r->root);
    for (size_t i = 0; i < n; i++)
        tmpl_set(r, str_c(fn[i].name), (struct val){ .kind = V_FUNC, .u.fn = &fn[i] });
    tmpl_set(r, STR("messages"), messages);
    tmpl_set(r, STR("tools"), x->tools);
    tmpl_set(r, STR("documents"), x->documents);
    tmpl_set(r, STR("add_generation_prompt"), tmpl_bool(in->add_prompt && !in->continue_final));
    for (int i = 0; i < in->n_var; i++) tmpl_set(r, in->var[i].name, var_value(r, &in->var[i]));
    if (x->effort.p) tmpl_set(r, STR("reasoning_effort"), tmpl_str_new(r, x->effort, false));
    set_kwargs(r, in, x->kwargs);

    tmpl_sb_init(&out, r, LIM_TMPL_OUT_BYTES);
    r->out = &out;
    if (!r->failed) tmpl_exec_body(r, r->t->body);
    struct val v = tmpl_sb_end(&out);
    if (r->failed) return -(int)r->e->code;
    *ret = v;
    return 0;
}

/* --- pieces --- */

int tmpl_pieces(struct run *r, const struct vstr *s, struct tmpl_out *ret)
{
    size_t            n = s->text.n == 0 ? 0 : s->trust == TRUST_MIXED ? s->n_span : 1;
    struct tok_piece *p = tmpl_alloc(r, n + 1, sizeof *p);

    if (!p) return -(int)r->e->code;
    size_t at = 0, k = 0;
    while (at < s->text.n) {
        size_t end;
        bool   trusted = tmpl_span_at(s, at, &end);
        p[k++]         = (struct tok_piece){ str_sub(s->text, at, end - at), trusted };
        at             = end;
    }
    *ret = (struct tmpl_out){ .piece = p, .n_piece = k, .text = s->text };
    return 0;
}

int tmpl_render(const struct tmpl *t, const struct tmpl_in *in, struct arena *a,
                struct tmpl_out *ret, struct err *e)
{
    struct err   own;
    struct run   r;
    struct input x;
    struct val   v;

    if (!e) e = &own;
    tmpl_run_init(&r, t, in, a, e);
    int rc = tmpl_input_load(&r, in, &x);
    if (rc == 0) rc = tmpl_exec_with(&r, in, &x, x.messages, &v);
    if (rc == 0 && in->continue_final) rc = tmpl_cut_final(&r, in, &x, x.messages, &v);
    if (rc == 0) rc = tmpl_pieces(&r, v.u.s, ret);
    tmpl_input_free(&x);
    return rc;
}
