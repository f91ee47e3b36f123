/* tmpl_parse.c - tokens to statements; and the tools both parsers use.
 *
 * The parser is a plain recursive descent. What the reader of a message wants to know is where it
 * went wrong, so the first failure wins and the rest of the walk is made harmless: after it the
 * current token is the end of the template, and every loop stops there.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "chat/tmpl_int.h"

static const struct token end_token = { .kind = T_EOF };

void tmpl_parse_fail(struct parser *p, int line, const char *fmt, ...)
{
    char    what[ERR_MSG_MAX];
    va_list ap;

    if (p->failed) return;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    err_set(p->e, ERR_BAD_FILE, "line %d: %s", line, what);
    p->failed = true;
    p->tok    = &end_token;
}

void tmpl_parse_nomem(struct parser *p)
{
    if (p->failed) return;
    err_nomem(p->e, "compiling a template");
    p->failed = true;
    p->tok    = &end_token;
}

bool tmpl_parse_deeper(struct parser *p)
{
    if (++p->depth > LIM_TMPL_DEPTH)
        tmpl_parse_fail(p, p->tok->line, "nested deeper than %d", LIM_TMPL_DEPTH);
    return !p->failed;
}

struct node *tmpl_node(struct parser *p, enum node_kind kind, int line)
{
    struct node *n = arena_zalloc(&p->t->arena, sizeof *n);

    if (!n) {
        tmpl_parse_nomem(p);
        return &p->spare;
    }
    n->kind   = kind;
    n->line   = line;
    n->height = 1;
    return n;
}

int tmpl_name_id(struct parser *p, struct str name)
{
    struct tmpl *t  = p->t;
    void        *id = map_get(&t->ids, name);

    if (id) return (int)((intptr_t)id - 1);
    int rc = map_put(&t->ids, name, (void *)(intptr_t)(t->n_name + 1));
    if (rc == -ERR_NO_MEMORY) tmpl_parse_nomem(p);
    if (rc < 0) {
        tmpl_parse_fail(p, p->tok->line, "more than %d different names", LIM_TMPL_NAMES);
        return 0;
    }
    return t->n_name++;
}

void tmpl_next(struct parser *p)
{
    if (p->tok->kind != T_EOF) p->tok++;
}

bool tmpl_is(const struct parser *p, const char *name)
{
    return p->tok->kind == T_NAME && str_eq(p->tok->text, str_c(name));
}

bool tmpl_skip(struct parser *p, const char *name)
{
    if (!tmpl_is(p, name)) return false;
    tmpl_next(p);
    return true;
}

bool tmpl_accept(struct parser *p, enum token_kind k)
{
    if (p->tok->kind != k || k == T_EOF) return false;
    tmpl_next(p);
    return true;
}

bool tmpl_expect(struct parser *p, enum token_kind k)
{
    if (tmpl_accept(p, k)) return true;
    char got[LIM_QUOTE_BYTES];
    str_quote(got, sizeof got, p->tok->text);
    if (p->tok->kind == T_NAME)
        tmpl_parse_fail(p, p->tok->line, "expected '%s', got '%s'", tmpl_token_name(k), got);
    else
        tmpl_parse_fail(p, p->tok->line, "expected '%s', got '%s'", tmpl_token_name(k),
                        tmpl_token_name(p->tok->kind));
    return false;
}

static int taller(int height, const struct node *n)
{
    return n && n->height >= height ? n->height + 1 : height;
}

void tmpl_set_height(struct parser *p, struct node *n)
{
    int h = 1;

    if (p->failed) return;
    h = taller(taller(taller(h, n->a), n->b), n->c);
    for (int i = 0; i < n->n_item; i++) h = taller(h, n->item[i]);
    for (int i = 0; i < n->n_arg; i++) h = taller(h, n->arg[i].v);
    n->height = h;
    if (h > LIM_TMPL_TREE)
        tmpl_parse_fail(p, n->line, "expression of more than %d levels", LIM_TMPL_TREE);
}

void tmpl_nodes_put(struct parser *p, struct nodes *l, const struct node *n)
{
    if (p->failed) return;
    if (mem_grow(&l->v, &l->cap, l->n + 1, sizeof *l->v, LIM_TMPL_BYTES) < 0) {
        tmpl_parse_nomem(p);
        return;
    }
    l->v[l->n++] = n;
}

void tmpl_nodes_end(struct parser *p, struct nodes *l, struct node *into)
{
    if (!p->failed && l->n > 0) {
        into->item = arena_array(&p->t->arena, l->n, sizeof *into->item);
        if (into->item) {
            for (size_t i = 0; i < l->n; i++) into->item[i] = l->v[i];
            into->n_item = (int)l->n;
        } else {
            tmpl_parse_nomem(p);
        }
    }
    mem_free(l->v);
    *l = (struct nodes){ 0 };
    if (!p->failed) tmpl_set_height(p, into);
}

/* --- statements --- */

static const struct node *parse_statement(struct parser *p);

/* The current name is one of `ends`, separated by blanks. */
static bool at_end_word(const struct parser *p, const char *ends)
{
    struct str rest = str_c(ends), word;

    if (p->tok->kind != T_NAME) return false;
    while (str_cut(&rest, ' ', &word))
        if (str_eq(p->tok->text, word)) return true;
    return false;
}

/* Statements until {% one of `ends`; NULL: until the end of the template. That word is then
 * current. */
static const struct node *parse_until(struct parser *p, const char *ends)
{
    struct node *body = tmpl_node(p, N_BODY, p->tok->line);
    struct nodes list = { 0 };
    bool         done = false;

    while (!done && !p->failed && p->tok->kind != T_EOF) {
        struct node *out = tmpl_node(p, N_OUTPUT, p->tok->line);
        struct nodes bits = { 0 };
        while (p->tok->kind == T_DATA || p->tok->kind == T_VAR_BEGIN) {
            if (tmpl_accept(p, T_VAR_BEGIN)) {
                tmpl_nodes_put(p, &bits, tmpl_parse_tuple(p, 0, NULL));
                tmpl_expect(p, T_VAR_END);
                continue;
            }
            struct node *text = tmpl_node(p, N_CONST, p->tok->line);
            struct vstr *s    = arena_zalloc(&p->t->arena, sizeof *s);
            if (!s) tmpl_parse_nomem(p);
            if (p->failed) break;
            *s = (struct vstr){ .text = p->tok->text, .trust = TRUST_ALL, .n_char = SIZE_MAX };
            s->n_char = tmpl_n_char(s);
            text->val = (struct val){ .kind = V_STR, .u.s = s };
            tmpl_nodes_put(p, &bits, text);
            tmpl_next(p);
        }
        bool any = bits.n > 0;
        tmpl_nodes_end(p, &bits, out);
        if (any) tmpl_nodes_put(p, &list, out);

        if (!tmpl_accept(p, T_BLOCK_BEGIN)) continue;
        done = ends && at_end_word(p, ends);
        if (done) break;
        tmpl_nodes_put(p, &list, parse_statement(p));
        tmpl_expect(p, T_BLOCK_END);
    }
    if (ends && !done)
        tmpl_parse_fail(p, p->tok->line, "the template ends where '%s' was expected", ends);
    tmpl_nodes_end(p, &list, body);
    return body;
}

/* The body of a statement whose tag is read up to its %}: until one of `ends`, which is then
 * current. */
static const struct node *parse_body(struct parser *p, const char *ends)
{
    const struct node *body = NULL;

    tmpl_accept(p, T_COLON);
    tmpl_expect(p, T_BLOCK_END);
    if (tmpl_parse_deeper(p)) body = parse_until(p, ends);
    p->depth--;
    return body;
}

/* The same for a single end word, which is consumed. */
static const struct node *parse_body_to(struct parser *p, const char *end)
{
    const struct node *body = parse_body(p, end);

    tmpl_skip(p, end);
    return body;
}

static bool assignable(const struct node *n)
{
    if (n->kind == N_NSREF) return true;
    if (n->kind == N_NAME) return true;
    if (n->kind != N_TUPLE) return false;
    for (int i = 0; i < n->n_item; i++)
        if (!assignable(n->item[i])) return false;
    return true;
}

/* A name, a tuple of names, or (with_ns) a namespace's member, to be assigned to. */
static const struct node *parse_target(struct parser *p, bool with_ns, const char *end)
{
    int                line = p->tok->line;
    const struct node *one  = NULL;
    struct nodes       list = { 0 };
    bool               tuple = false;

    while (!p->failed) {
        if (tuple &&
            (p->tok->kind == T_BLOCK_END || p->tok->kind == T_ASSIGN || (end && tmpl_is(p, end))))
            break;
        one = tmpl_parse_primary(p, with_ns);
        tmpl_nodes_put(p, &list, one);
        if (!tmpl_accept(p, T_COMMA)) break;
        tuple = true;
    }
    if (tuple && !p->failed) {
        struct node *t = tmpl_node(p, N_TUPLE, line);
        tmpl_nodes_end(p, &list, t);
        one = t;
    }
    mem_free(list.v);
    if (p->failed) return NULL;
    if (!assignable(one)) tmpl_parse_fail(p, line, "can't assign to this");
    return one;
}

static const struct node *parse_if(struct parser *p, int line)
{
    struct node *n    = tmpl_node(p, N_IF, line);
    struct nodes list = { 0 };

    for (bool more = true; more && !p->failed;) {
        tmpl_nodes_put(p, &list, tmpl_parse_tuple(p, EXPR_NO_COND, NULL));
        tmpl_nodes_put(p, &list, parse_body(p, "elif else endif"));
        more = tmpl_skip(p, "elif");
    }
    if (tmpl_skip(p, "else"))
        n->c = parse_body_to(p, "endif");
    else
        tmpl_skip(p, "endif");
    tmpl_nodes_end(p, &list, n);
    return n;
}

static const struct node *parse_for(struct parser *p, int line)
{
    struct node *n    = tmpl_node(p, N_FOR, line);
    struct nodes list = { 0 };

    n->a = parse_target(p, false, "in");
    if (!tmpl_skip(p, "in")) tmpl_parse_fail(p, p->tok->line, "expected 'in'");
    n->b = tmpl_parse_tuple(p, EXPR_NO_COND, "recursive");
    tmpl_nodes_put(p, &list, tmpl_skip(p, "if") ? tmpl_parse_expr(p) : NULL);
    n->flag = tmpl_skip(p, "recursive");
    p->loops++;
    tmpl_nodes_put(p, &list, parse_body(p, "endfor else"));
    p->loops--;
    tmpl_nodes_put(p, &list, tmpl_skip(p, "else") ? parse_body_to(p, "endfor") : NULL);
    if (n && list.n == 3 && !list.v[2]) tmpl_skip(p, "endfor");
    tmpl_nodes_end(p, &list, n);
    return n;
}

static const struct node *parse_set(struct parser *p, int line)
{
    const struct node *target = parse_target(p, true, NULL);

    if (tmpl_accept(p, T_ASSIGN)) {
        struct node *n = tmpl_node(p, N_SET, line);
        n->a = target;
        n->b = tmpl_parse_tuple(p, 0, NULL);
        tmpl_set_height(p, n);
        return n;
    }
    struct node *n = tmpl_node(p, N_SETBLOCK, line);
    n->a = target;
    n->b = tmpl_parse_filters(p, NULL, false);
    n->c = parse_body_to(p, "endset");
    tmpl_set_height(p, n);
    return n;
}

/* (a, b=1, ...) into the parameters of a macro. */
static void parse_signature(struct parser *p, struct node *macro)
{
    struct arg *list = NULL;
    size_t      n = 0, cap = 0;
    bool        defaults = false;

    tmpl_expect(p, T_LPAREN);
    while (!p->failed && p->tok->kind != T_RPAREN) {
        if (n > 0 && !tmpl_expect(p, T_COMMA)) break;
        struct arg a = { .kind = ARG_POS, .name = p->tok->text };
        if (!tmpl_expect(p, T_NAME)) break;
        a.id = tmpl_name_id(p, a.name);
        if (tmpl_accept(p, T_ASSIGN)) {
            a.v      = tmpl_parse_expr(p);
            defaults = true;
        } else if (defaults) {
            tmpl_parse_fail(p, p->tok->line, "non-default argument follows default argument");
        }
        if (mem_grow(&list, &cap, n + 1, sizeof *list, LIM_TMPL_NAMES) < 0) {
            tmpl_parse_nomem(p);
            break;
        }
        list[n++] = a;
    }
    tmpl_expect(p, T_RPAREN);
    if (!p->failed && n > 0) {
        struct arg *keep = arena_array(&p->t->arena, n, sizeof *keep);
        if (!keep) tmpl_parse_nomem(p);
        for (size_t i = 0; keep && i < n; i++) keep[i] = list[i];
        macro->arg   = keep;
        macro->n_arg = keep ? (int)n : 0;
    }
    mem_free(list);
}

/* The body of a macro: a function of its own, so no loop outside can be broken out of; and what
 * special names it uses decides what arguments it takes. */
static void parse_macro_body(struct parser *p, struct node *macro, const char *end)
{
    const int  loops      = p->loops;
    const bool saw_caller = p->saw_caller, saw_varargs = p->saw_varargs, saw_kwargs = p->saw_kwargs;

    p->loops      = 0;
    p->saw_caller = p->saw_varargs = p->saw_kwargs = false;
    macro->c            = parse_body_to(p, end);
    macro->uses_caller  = p->saw_caller;
    macro->uses_varargs = p->saw_varargs;
    macro->uses_kwargs  = p->saw_kwargs;
    for (int i = 0; i < macro->n_arg; i++) { // a parameter of that name is just a parameter
        if (macro->arg[i].id == ID_CALLER) macro->uses_caller = false;
        if (macro->arg[i].id == ID_VARARGS) macro->uses_varargs = false;
        if (macro->arg[i].id == ID_KWARGS) macro->uses_kwargs = false;
    }
    p->loops = loops;
    p->saw_caller |= saw_caller;
    p->saw_varargs |= saw_varargs;
    p->saw_kwargs |= saw_kwargs;
    tmpl_set_height(p, macro);
}

static const struct node *parse_macro(struct parser *p, int line)
{
    struct node *n = tmpl_node(p, N_MACRO, line);

    n->name = p->tok->text;
    if (tmpl_expect(p, T_NAME)) n->id = tmpl_name_id(p, n->name);
    parse_signature(p, n);
    parse_macro_body(p, n, "endmacro");
    return n;
}

static const struct node *parse_call_block(struct parser *p, int line)
{
    struct node *n      = tmpl_node(p, N_CALLBLOCK, line);
    struct node *caller = tmpl_node(p, N_MACRO, line);

    if (p->tok->kind == T_LPAREN) parse_signature(p, caller);
    n->a = tmpl_parse_expr(p);
    if (!p->failed && n->a->kind != N_CALL) tmpl_parse_fail(p, line, "expected a call");
    parse_macro_body(p, caller, "endcall");
    n->b = caller;
    tmpl_set_height(p, n);
    return n;
}

static const struct node *parse_filter_block(struct parser *p, int line)
{
    struct node *n = tmpl_node(p, N_FILTERBLOCK, line);

    n->b = tmpl_parse_filters(p, NULL, true);
    n->c = parse_body_to(p, "endfilter");
    tmpl_set_height(p, n);
    return n;
}

static const struct node *parse_with(struct parser *p, int line)
{
    struct node *n    = tmpl_node(p, N_WITH, line);
    struct nodes list = { 0 };

    while (!p->failed && p->tok->kind != T_BLOCK_END) {
        if (list.n > 0 && !tmpl_expect(p, T_COMMA)) break;
        tmpl_nodes_put(p, &list, parse_target(p, false, NULL));
        if (!tmpl_expect(p, T_ASSIGN)) break;
        tmpl_nodes_put(p, &list, tmpl_parse_expr(p));
    }
    n->c = parse_body_to(p, "endwith");
    tmpl_nodes_end(p, &list, n);
    return n;
}

static const struct node *parse_print(struct parser *p, int line)
{
    struct node *n    = tmpl_node(p, N_OUTPUT, line);
    struct nodes list = { 0 };

    while (!p->failed && p->tok->kind != T_BLOCK_END) {
        if (list.n > 0 && !tmpl_expect(p, T_COMMA)) break;
        tmpl_nodes_put(p, &list, tmpl_parse_expr(p));
    }
    tmpl_nodes_end(p, &list, n);
    return n;
}

static const struct node *parse_generation(struct parser *p, int line)
{
    struct node *n = tmpl_node(p, N_SCOPE, line);

    n->c = parse_body_to(p, "endgeneration");
    tmpl_set_height(p, n);
    return n;
}

/* A block that nobody can override is its body. */
static const struct node *parse_block(struct parser *p, int line)
{
    struct node *n = tmpl_node(p, N_SCOPE, line);

    n->name = p->tok->text;
    tmpl_expect(p, T_NAME);
    tmpl_skip(p, "scoped");
    tmpl_skip(p, "required");
    n->c = parse_body_to(p, "endblock");
    if (p->tok->kind == T_NAME && str_eq(p->tok->text, n->name)) tmpl_next(p);
    tmpl_set_height(p, n);
    return n;
}

static const struct node *parse_loop_control(struct parser *p, int line, enum node_kind kind)
{
    if (p->loops == 0) tmpl_parse_fail(p, line, "'break' or 'continue' outside a loop");
    return tmpl_node(p, kind, line);
}

static const struct node *parse_break(struct parser *p, int line)
{
    return parse_loop_control(p, line, N_BREAK);
}

static const struct node *parse_continue(struct parser *p, int line)
{
    return parse_loop_control(p, line, N_CONTINUE);
}

/* What needs other templates or escaping modes is an error only when it is reached, as in Jinja. */
static const struct node *parse_refused(struct parser *p, int line)
{
    struct node *n = tmpl_node(p, N_REFUSE, line);

    n->name = p->tok[-1].text;
    while (p->tok->kind != T_BLOCK_END && p->tok->kind != T_EOF) tmpl_next(p);
    return n;
}

static const struct {
    const char *name;
    const struct node *(*parse)(struct parser *p, int line);
} statements[] = {
    { "if", parse_if },           { "for", parse_for },         { "set", parse_set },
    { "macro", parse_macro },     { "call", parse_call_block }, { "filter", parse_filter_block },
    { "with", parse_with },       { "print", parse_print },     { "generation", parse_generation },
    { "block", parse_block },     { "break", parse_break },     { "continue", parse_continue },
    { "include", parse_refused }, { "import", parse_refused },  { "from", parse_refused },
    { "extends", parse_refused },
};

static const struct node *parse_statement(struct parser *p)
{
    int        line = p->tok->line;
    char       quoted[LIM_QUOTE_BYTES];
    struct str name = p->tok->text;

    if (!tmpl_expect(p, T_NAME)) return NULL;
    for (size_t i = 0; i < ARRAY_LEN(statements); i++)
        if (str_eq(name, str_c(statements[i].name))) return statements[i].parse(p, line);
    tmpl_parse_fail(p, line, "unknown tag '%s'", str_quote(quoted, sizeof quoted, name));
    return NULL;
}

int tmpl_parse(struct tmpl *t, const struct token *tok, struct err *e)
{
    struct parser p = { .t = t, .tok = tok, .e = e };

    t->body = parse_until(&p, NULL);
    return p.failed ? -(int)e->code : 0;
}
