/* tmpl_expr.c - tokens to expressions.
 *
 * Loosest to tightest: `a if b else c`, or, and, not, comparisons (which chain, as in Python), + -,
 * ~,
 * * / // %, ** (which binds to the left here, unlike Python), unary, then what follows a value:
 * .name, [index], (call), |filter, is test.
 */
#include "base/mem.h"
#include "chat/tmpl_int.h"

static const struct node *parse_or(struct parser *p);
static const struct node *parse_cond(struct parser *p);

static struct node *binary(struct parser *p, enum node_kind kind, const struct node *a,
                           const struct node *b, int line)
{
    struct node *n = tmpl_node(p, kind, line);

    n->a = a;
    n->b = b;
    tmpl_set_height(p, n);
    return n;
}

const struct node *tmpl_parse_expr(struct parser *p)
{
    const struct node *n = NULL;

    if (tmpl_parse_deeper(p)) n = parse_cond(p);
    p->depth--;
    return p->failed ? NULL : n;
}

static const struct node *parse_cond(struct parser *p)
{
    int                line = p->tok->line;
    const struct node *v    = parse_or(p);

    while (!p->failed && tmpl_skip(p, "if")) {
        struct node *n = tmpl_node(p, N_COND, line);
        n->a = v;
        n->b = parse_or(p);
        if (tmpl_skip(p, "else")) n->c = tmpl_parse_expr(p);
        tmpl_set_height(p, n);
        v = n;
    }
    return v;
}

static const struct node *parse_not(struct parser *p);

static const struct node *parse_and(struct parser *p)
{
    int                line = p->tok->line;
    const struct node *v    = parse_not(p);

    while (!p->failed && tmpl_skip(p, "and")) v = binary(p, N_AND, v, parse_not(p), line);
    return v;
}

static const struct node *parse_or(struct parser *p)
{
    int                line = p->tok->line;
    const struct node *v    = parse_and(p);

    while (!p->failed && tmpl_skip(p, "or")) v = binary(p, N_OR, v, parse_and(p), line);
    return v;
}

static const struct node *parse_compare(struct parser *p);

static const struct node *parse_not(struct parser *p)
{
    int line = p->tok->line;

    if (!tmpl_skip(p, "not")) return parse_compare(p);
    const struct node *v = NULL;
    if (tmpl_parse_deeper(p)) v = parse_not(p);
    p->depth--;
    return binary(p, N_NOT, v, NULL, line);
}

static const struct node *parse_sum(struct parser *p);

/* The comparison at the current token, stepped over; false when there is none. */
static bool compare_op(struct parser *p, enum op *op)
{
    static const struct {
        enum token_kind k;
        enum op         op;
    } rows[] = { { T_EQ, OP_EQ }, { T_NE, OP_NE }, { T_LT, OP_LT },
                 { T_LE, OP_LE }, { T_GT, OP_GT }, { T_GE, OP_GE } };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!tmpl_accept(p, rows[i].k)) continue;
        *op = rows[i].op;
        return true;
    }
    if (tmpl_skip(p, "in")) {
        *op = OP_IN;
        return true;
    }
    if (tmpl_is(p, "not") && p->tok[1].kind == T_NAME && str_eq(p->tok[1].text, STR("in"))) {
        tmpl_next(p);
        tmpl_next(p);
        *op = OP_NOTIN;
        return true;
    }
    return false;
}

static const struct node *parse_compare(struct parser *p)
{
    int                line  = p->tok->line;
    const struct node *first = parse_sum(p);
    struct nodes       list  = { 0 };
    enum op            op;

    while (!p->failed && compare_op(p, &op)) {
        struct node *one = tmpl_node(p, N_COMPARE, p->tok->line);
        one->op = op;
        one->a  = parse_sum(p);
        tmpl_set_height(p, one);
        tmpl_nodes_put(p, &list, one);
    }
    if (list.n == 0) {
        mem_free(list.v);
        return first;
    }
    struct node *n = tmpl_node(p, N_COMPARE, line);
    n->a = first;
    tmpl_nodes_end(p, &list, n);
    return n;
}

static const struct node *parse_product(struct parser *p);

static const struct node *parse_concat(struct parser *p)
{
    int                line = p->tok->line;
    const struct node *v    = parse_product(p);

    if (p->failed || p->tok->kind != T_TILDE) return v;
    struct node *n    = tmpl_node(p, N_CONCAT, line);
    struct nodes list = { 0 };
    tmpl_nodes_put(p, &list, v);
    while (!p->failed && tmpl_accept(p, T_TILDE)) tmpl_nodes_put(p, &list, parse_product(p));
    tmpl_nodes_end(p, &list, n);
    return n;
}

static const struct node *math(struct parser *p, enum op op, const struct node *a,
                               const struct node *b, int line)
{
    struct node *n = binary(p, N_BIN, a, b, line);

    n->op = op;
    return n;
}

static const struct node *parse_sum(struct parser *p)
{
    const struct node *v = parse_concat(p);

    while (!p->failed && (p->tok->kind == T_ADD || p->tok->kind == T_SUB)) {
        int     line = p->tok->line;
        enum op op   = p->tok->kind == T_ADD ? OP_ADD : OP_SUB;
        tmpl_next(p);
        v = math(p, op, v, parse_concat(p), line);
    }
    return v;
}

static const struct node *parse_unary(struct parser *p, bool with_filter);

static const struct node *parse_power(struct parser *p)
{
    const struct node *v = parse_unary(p, true);

    for (int line = p->tok->line; !p->failed && tmpl_accept(p, T_POW); line = p->tok->line)
        v = math(p, OP_POW, v, parse_unary(p, true), line);
    return v;
}

static const struct node *parse_product(struct parser *p)
{
    const struct node *v = parse_power(p);

    while (!p->failed) {
        int     line = p->tok->line;
        enum op op;
        if (tmpl_accept(p, T_MUL)) op = OP_MUL;
        else if (tmpl_accept(p, T_DIV)) op = OP_DIV;
        else if (tmpl_accept(p, T_FLOORDIV)) op = OP_FLOORDIV;
        else if (tmpl_accept(p, T_MOD)) op = OP_MOD;
        else break;
        v = math(p, op, v, parse_power(p), line);
    }
    return v;
}

/* --- values --- */

static const struct node *str_const(struct parser *p, struct str text, int line)
{
    struct node *n = tmpl_node(p, N_CONST, line);
    struct vstr *s = arena_zalloc(&p->t->arena, sizeof *s);

    if (!s) {
        tmpl_parse_nomem(p);
        return NULL;
    }
    *s        = (struct vstr){ .text = text, .trust = TRUST_ALL, .n_char = SIZE_MAX };
    s->n_char = tmpl_n_char(s);
    n->val    = (struct val){ .kind = V_STR, .u.s = s };
    return n;
}

/* One string literal, or several in a row, which are one. */
static const struct node *parse_string(struct parser *p)
{
    const struct token *first = p->tok;
    size_t              n     = 0;

    while (p->tok->kind == T_STRING) {
        n += p->tok->text.n;
        tmpl_next(p);
    }
    if (p->tok == first + 1) return str_const(p, first->text, first->line);

    char *all = arena_alloc(&p->t->arena, n + 1);
    if (!all) return str_const(p, STR_NULL, first->line);
    size_t at = 0;
    for (const struct token *t = first; t < p->tok; t++)
        for (size_t i = 0; i < t->text.n; i++) all[at++] = t->text.p[i];
    return str_const(p, (struct str){ all, n }, first->line);
}

static const struct node *parse_name(struct parser *p, bool with_ns)
{
    static const struct {
        const char *name;
        struct val  v;
    } consts[] = {
        { "true", { .kind = V_BOOL, .u.b = true } }, { "True", { .kind = V_BOOL, .u.b = true } },
        { "false", { .kind = V_BOOL } },             { "False", { .kind = V_BOOL } },
        { "none", { .kind = V_NONE } },              { "None", { .kind = V_NONE } },
    };
    const struct token *t = p->tok;

    tmpl_next(p);

    for (size_t i = 0; i < ARRAY_LEN(consts); i++) {
        if (!str_eq(t->text, str_c(consts[i].name))) continue;
        struct node *n = tmpl_node(p, N_CONST, t->line);
        n->val = consts[i].v;
        return n;
    }
    struct node *n = tmpl_node(p, N_NAME, t->line);
    n->id          = tmpl_name_id(p, t->text);
    n->name        = t->text;
    if (with_ns && tmpl_accept(p, T_DOT)) {
        n->kind = N_NSREF;
        n->name = p->tok->text;
        tmpl_expect(p, T_NAME);
    }
    if (p->failed) return n;
    p->saw_caller |= n->id == ID_CALLER;
    p->saw_varargs |= n->id == ID_VARARGS;
    p->saw_kwargs |= n->id == ID_KWARGS;
    return n;
}

static const struct node *parse_list(struct parser *p)
{
    struct node *n    = tmpl_node(p, N_LIST, p->tok->line);
    struct nodes list = { 0 };

    tmpl_next(p);
    while (!p->failed && p->tok->kind != T_RBRACKET) {
        if (list.n > 0 && !tmpl_expect(p, T_COMMA)) break;
        if (p->tok->kind == T_RBRACKET) break;
        tmpl_nodes_put(p, &list, tmpl_parse_expr(p));
    }
    tmpl_expect(p, T_RBRACKET);
    tmpl_nodes_end(p, &list, n);
    return n;
}

static const struct node *parse_dict(struct parser *p)
{
    struct node *n    = tmpl_node(p, N_DICT, p->tok->line);
    struct nodes list = { 0 };

    tmpl_next(p);
    while (!p->failed && p->tok->kind != T_RBRACE) {
        if (list.n > 0 && !tmpl_expect(p, T_COMMA)) break;
        if (p->tok->kind == T_RBRACE) break;
        tmpl_nodes_put(p, &list, tmpl_parse_expr(p));
        tmpl_expect(p, T_COLON);
        tmpl_nodes_put(p, &list, tmpl_parse_expr(p));
    }
    tmpl_expect(p, T_RBRACE);
    tmpl_nodes_end(p, &list, n);
    return n;
}

const struct node *tmpl_parse_primary(struct parser *p, bool with_ns)
{
    const struct node *n    = NULL;
    int                line = p->tok->line;

    switch (p->tok->kind) {
    case T_NAME: return parse_name(p, with_ns);
    case T_STRING: return parse_string(p);
    case T_INT:
    case T_FLOAT: {
        struct node *num = tmpl_node(p, N_CONST, line);
        num->val = p->tok->kind == T_INT ? tmpl_int(p->tok->i) : tmpl_float(p->tok->f);
        tmpl_next(p);
        return num;
    }
    case T_LPAREN:
        tmpl_next(p);
        n = tmpl_parse_tuple(p, EXPR_PARENS, NULL);
        tmpl_expect(p, T_RPAREN);
        return n;
    case T_LBRACKET: return parse_list(p);
    case T_LBRACE: return parse_dict(p);
    case T_EOF: case T_DATA: case T_BLOCK_BEGIN: case T_BLOCK_END: case T_VAR_BEGIN: case T_VAR_END:
    case T_ADD: case T_SUB: case T_MUL: case T_DIV: case T_FLOORDIV: case T_MOD: case T_POW:
    case T_TILDE:
    case T_RBRACKET: case T_RPAREN: case T_RBRACE: case T_EQ: case T_NE: case T_GT: case T_GE:
    case T_LT:
    case T_LE: case T_ASSIGN: case T_DOT: case T_COLON: case T_PIPE: case T_COMMA: case T_SEMICOLON:
    break;
    }
    tmpl_parse_fail(p, line, "unexpected '%s' where a value should be",
                    tmpl_token_name(p->tok->kind));
    return NULL;
}

static bool at_tuple_end(const struct parser *p, const char *end)
{
    return p->tok->kind == T_VAR_END || p->tok->kind == T_BLOCK_END || p->tok->kind == T_RPAREN ||
           (end && tmpl_is(p, end));
}

const struct node *tmpl_parse_tuple(struct parser *p, unsigned flags, const char *end)
{
    int          line  = p->tok->line;
    struct nodes list  = { 0 };
    bool         tuple = false;

    while (!p->failed && !at_tuple_end(p, end)) {
        const struct node *v = NULL;
        if (!(flags & EXPR_NO_COND)) {
            v = tmpl_parse_expr(p);
        } else {
            if (tmpl_parse_deeper(p)) v = parse_or(p);
            p->depth--;
        }
        tmpl_nodes_put(p, &list, v);
        if (!tmpl_accept(p, T_COMMA)) break;
        tuple = true;
    }
    const struct node *one = list.n > 0 ? list.v[0] : NULL;
    if (!tuple && one) {
        mem_free(list.v);
        return p->failed ? NULL : one;
    }
    if (!tuple && !(flags & EXPR_PARENS))
        tmpl_parse_fail(p, line, "expected an expression, got '%s'", tmpl_token_name(p->tok->kind));
    struct node *n = tmpl_node(p, N_TUPLE, line);
    tmpl_nodes_end(p, &list, n);
    return n;
}

/* --- what follows a value --- */

static void add_arg(struct parser *p, struct arg **list, size_t *n, size_t *cap, struct arg a)
{
    if (p->failed) return;
    int rc = mem_grow(list, cap, *n + 1, sizeof **list, LIM_TMPL_NAMES);
    if (rc == -ERR_NO_MEMORY) tmpl_parse_nomem(p);
    if (rc < 0) {
        tmpl_parse_fail(p, p->tok->line, "more than %d arguments", LIM_TMPL_NAMES);
        return;
    }
    (*list)[(*n)++] = a;
}

/* ( arguments ) into n. */
static void parse_args(struct parser *p, struct node *n)
{
    struct arg *list  = NULL;
    size_t      count = 0, cap = 0;
    bool        named = false, star = false, starstar = false;

    tmpl_expect(p, T_LPAREN);
    while (!p->failed && p->tok->kind != T_RPAREN) {
        if (count > 0 && !tmpl_expect(p, T_COMMA)) break;
        if (p->tok->kind == T_RPAREN) break;

        struct arg a    = { .kind = ARG_POS };
        bool       fits = true;
        if (tmpl_accept(p, T_MUL)) {
            a.kind = ARG_STAR;
            fits   = !star && !starstar;
            star   = true;
        } else if (tmpl_accept(p, T_POW)) {
            a.kind   = ARG_STARSTAR;
            fits     = !starstar;
            starstar = true;
        } else if (p->tok->kind == T_NAME && p->tok[1].kind == T_ASSIGN) {
            a.kind = ARG_NAMED;
            a.name = p->tok->text;
            a.id   = tmpl_name_id(p, a.name);
            tmpl_next(p);
        tmpl_next(p);
            fits  = !starstar;
            named = true;
        } else {
            fits = !named && !star && !starstar;
        }
        if (!fits) tmpl_parse_fail(p, n->line, "invalid syntax for function call expression");
        a.v = tmpl_parse_expr(p);
        add_arg(p, &list, &count, &cap, a);
    }
    tmpl_expect(p, T_RPAREN);
    if (!p->failed && count > 0) {
        struct arg *keep = arena_array(&p->t->arena, count, sizeof *keep);
        if (!keep) {
            tmpl_parse_nomem(p);
        }
        for (size_t i = 0; keep && i < count; i++) keep[i] = list[i];
        n->arg   = keep;
        n->n_arg = keep ? (int)count : 0;
    }
    mem_free(list);
}

static const struct node *parse_call(struct parser *p, const struct node *callee)
{
    struct node *n = tmpl_node(p, N_CALL, p->tok->line);

    n->a = callee;
    parse_args(p, n);
    tmpl_set_height(p, n);
    return n;
}

/* What is between [ and ], once: an expression or a slice. */
static const struct node *parse_index(struct parser *p)
{
    int                line = p->tok->line;
    const struct node *part[3] = { NULL, NULL, NULL };
    struct nodes       list = { 0 };

    if (p->tok->kind != T_COLON) {
        part[0] = tmpl_parse_expr(p);
        if (p->tok->kind != T_COLON) return part[0];
    }
    for (int i = 1; i < 3 && tmpl_accept(p, T_COLON); i++)
        if (p->tok->kind != T_COLON && p->tok->kind != T_RBRACKET && p->tok->kind != T_COMMA)
            part[i] = tmpl_parse_expr(p);
    struct node *n = tmpl_node(p, N_SLICE, line);
    for (int i = 0; i < 3; i++) tmpl_nodes_put(p, &list, part[i]);
    tmpl_nodes_end(p, &list, n);
    return n;
}

static const struct node *parse_subscript(struct parser *p, const struct node *on)
{
    int          line = p->tok->line;
    struct node *n    = tmpl_node(p, N_ITEM, line);

    n->a = on;
    if (tmpl_accept(p, T_DOT)) {
        if (p->tok->kind == T_INT) {
            struct node *num = tmpl_node(p, N_CONST, line);
            num->val = tmpl_int(p->tok->i);
            n->b     = num;
            tmpl_next(p);
        } else {
            n->kind = N_ATTR;
            n->name = p->tok->text;
            tmpl_expect(p, T_NAME);
        }
        tmpl_set_height(p, n);
        return n;
    }
    struct nodes list = { 0 };
    tmpl_next(p);
    while (!p->failed && p->tok->kind != T_RBRACKET) {
        if (list.n > 0 && !tmpl_expect(p, T_COMMA)) break;
        tmpl_nodes_put(p, &list, parse_index(p));
    }
    tmpl_expect(p, T_RBRACKET);
    if (list.n == 1) {
        n->b = list.v[0];
        mem_free(list.v);
    } else {
        struct node *t = tmpl_node(p, N_TUPLE, line);
        tmpl_nodes_end(p, &list, t);
        n->b = t;
    }
    if (n->b && n->b->kind == N_SLICE && !n->b->a) {
        struct node *s = tmpl_node(p, N_SLICE, line);
        s->a      = on;
        s->item   = n->b->item;
        s->n_item = n->b->n_item;
        n         = s;
    }
    tmpl_set_height(p, n);
    return n;
}

static const struct node *parse_postfix(struct parser *p, const struct node *n)
{
    while (!p->failed) {
        if (p->tok->kind == T_DOT || p->tok->kind == T_LBRACKET) n = parse_subscript(p, n);
        else if (p->tok->kind == T_LPAREN) n = parse_call(p, n);
        else break;
    }
    return n;
}

/* The name of a filter or test, which may have dots: the first part decides where the text begins,
 * and no filter of ours has a dot, so the joined name only serves the message. */
static struct str dotted_name(struct parser *p)
{
    struct str name = p->tok->text;

    tmpl_expect(p, T_NAME);
    while (!p->failed && tmpl_accept(p, T_DOT)) {
        name = p->tok->text;
        tmpl_expect(p, T_NAME);
        if (!p->failed)
            tmpl_parse_fail(p, p->tok->line, "there are no filters or tests with a dot");
    }
    return name;
}

const struct node *tmpl_parse_filters(struct parser *p, const struct node *on, bool inline_first)
{
    while (!p->failed && (inline_first || tmpl_accept(p, T_PIPE))) {
        struct node *n = tmpl_node(p, N_FILTER, p->tok->line);
        inline_first   = false;
        n->name        = dotted_name(p);
        n->a           = on;
        n->fn          = tmpl_filter_find(n->name);
        if (p->tok->kind == T_LPAREN) parse_args(p, n);
        tmpl_set_height(p, n);
        on = n;
    }
    return on;
}

/* A value right behind a test's name is its argument: `x is divisibleby 3`. */
static bool at_bare_argument(const struct parser *p)
{
    switch ((int)p->tok->kind) {
    case T_NAME: return !tmpl_is(p, "else") && !tmpl_is(p, "or") && !tmpl_is(p, "and");
    case T_STRING: case T_INT: case T_FLOAT: case T_LBRACKET: case T_LBRACE: return true;
    default: return false;
    }
}

static const struct node *parse_test(struct parser *p, const struct node *on)
{
    struct node *n = tmpl_node(p, N_TEST, p->tok->line);

    tmpl_next(p); // "is"
    bool negated = tmpl_skip(p, "not");
    n->name      = dotted_name(p);
    n->a         = on;
    n->fn        = tmpl_test_find(n->name);
    if (p->tok->kind == T_LPAREN) {
        parse_args(p, n);
    } else if (at_bare_argument(p)) {
        if (tmpl_is(p, "is")) tmpl_parse_fail(p, p->tok->line, "tests cannot be chained with 'is'");
        struct arg *a = arena_zalloc(&p->t->arena, sizeof *a);
        if (!a) {
            tmpl_parse_nomem(p);
            return n;
        }
        const struct node *v = tmpl_parse_primary(p, false);
        if (!p->failed) a->v = parse_postfix(p, v);
        n->arg   = a;
        n->n_arg = 1;
    }
    tmpl_set_height(p, n);
    return negated ? binary(p, N_NOT, n, NULL, n->line) : n;
}

static const struct node *parse_unary(struct parser *p, bool with_filter)
{
    int                line = p->tok->line;
    const struct node *n    = NULL;

    if (p->tok->kind == T_SUB || p->tok->kind == T_ADD) {
        enum node_kind kind = p->tok->kind == T_SUB ? N_NEG : N_POS;
        tmpl_next(p);
        if (tmpl_parse_deeper(p)) n = parse_unary(p, false);
        p->depth--;
        n = binary(p, kind, n, NULL, line);
    } else {
        n = tmpl_parse_primary(p, false);
    }
    n = parse_postfix(p, n);
    while (with_filter && !p->failed) {
        if (p->tok->kind == T_PIPE) n = tmpl_parse_filters(p, n, false);
        else if (tmpl_is(p, "is")) n = parse_test(p, n);
        else if (p->tok->kind == T_LPAREN) n = parse_call(p, n);
        else break;
    }
    return n;
}
