/* tmpl_eval.c - expressions to values. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "chat/tmpl_int.h"

/* --- failing --- */

PRINTF_LIKE(3, 0)
static void explain(struct run *r, enum err_code code, const char *fmt, va_list ap)
{
    char what[ERR_MSG_MAX], name[LIM_QUOTE_BYTES];

    if (r->failed) return;
    r->failed = true;
    vsnprintf(what, sizeof what, fmt, ap);
    str_quote(name, sizeof name, r->t->name);
    err_set(r->e, code, "chat template '%s', line %d: %s", name, r->line, what);
}

struct val tmpl_fail(struct run *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    explain(r, ERR_UNSUPP_VALUE, fmt, ap);
    va_end(ap);
    return VAL_NONE;
}

struct val tmpl_fail_code(struct run *r, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    explain(r, code, fmt, ap);
    va_end(ap);
    return VAL_NONE;
}

struct val tmpl_fail_undef(struct run *r, struct val v)
{
    const struct undef *u = v.u.undef;
    char                name[LIM_QUOTE_BYTES];

    str_quote(name, sizeof name, u->name);
    if (u->hint) return tmpl_fail(r, "%s", u->hint);
    if (u->unsafe)
        return tmpl_fail(r, "access to attribute '%s' of '%s' object is unsafe", name, u->of);
    if (u->of) return tmpl_fail(r, "'%s object' has no attribute '%s'", u->of, name);
    return tmpl_fail(r, "'%s' is undefined", name);
}

bool tmpl_step(struct run *r, size_t sixteenths)
{
    if (r->failed) return false;
    if (sixteenths > INT64_MAX / 2) sixteenths = INT64_MAX / 2;
    r->fuel -= (int64_t)sixteenths;
    if (r->fuel < 0) tmpl_fail_code(r, ERR_TOO_LARGE, "more than %d steps", LIM_TMPL_STEPS);
    return !r->failed;
}

struct val tmpl_no_room(struct run *r, size_t size)
{
    if (size > r->a->bytes_max || r->a->used > r->a->bytes_max - size)
        return tmpl_fail_code(r, ERR_TOO_LARGE, "more than %zu bytes of memory", r->a->bytes_max);
    return tmpl_fail_code(r, ERR_NO_MEMORY, "out of memory");
}

void *tmpl_alloc(struct run *r, size_t n, size_t size)
{
    size_t all;
    void  *p = r->failed ? NULL : arena_array(r->a, n, size);

    if (!p && !r->failed) tmpl_no_room(r, __builtin_mul_overflow(n, size, &all) ? SIZE_MAX : all);
    return p;
}

/* --- arithmetic --- */

static const char *op_name(enum op op)
{
    static const char *const names[] = { "+",  "-", "*",  "/", "//", "%",  "** or pow()", "==",
                                         "!=", "<", "<=", ">", ">=", "in", "not in" };
    return names[op];
}

static struct val wrong_types(struct run *r, enum op op, struct val a, struct val b)
{
    if (a.kind == V_UNDEF) return tmpl_fail_undef(r, a);
    if (b.kind == V_UNDEF) return tmpl_fail_undef(r, b);
    if (op == OP_ADD && (a.kind == V_STR || a.kind == V_LIST || a.kind == V_TUPLE))
        return tmpl_fail(r, "can only concatenate %s (not \"%s\") to %s", tmpl_type(a),
                         tmpl_type(b), tmpl_type(a));
    return tmpl_fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", op_name(op),
                     tmpl_type(a), tmpl_type(b));
}

static struct val overflow(struct run *r)
{
    return tmpl_fail(r, "integer beyond 64 bits");
}

static struct val power_int(struct run *r, int64_t base, int64_t exp)
{
    int64_t v = 1;

    if (exp < 0) {
        if (base == 0) return tmpl_fail(r, "0.0 cannot be raised to a negative power");
        return tmpl_float(pow((double)base, (double)exp));
    }
    if (base == 0 || base == 1) return tmpl_int(exp == 0 ? 1 : base);
    if (base == -1) return tmpl_int(exp % 2 ? -1 : 1);
    for (; exp > 0; exp--) // at most 64 rounds: |base| >= 2
        if (__builtin_mul_overflow(v, base, &v)) return overflow(r);
    return tmpl_int(v);
}

static struct val math_int(struct run *r, enum op op, int64_t a, int64_t b)
{
    int64_t v = 0;

    switch ((int)op) {
    case OP_ADD: return __builtin_add_overflow(a, b, &v) ? overflow(r) : tmpl_int(v);
    case OP_SUB: return __builtin_sub_overflow(a, b, &v) ? overflow(r) : tmpl_int(v);
    case OP_MUL: return __builtin_mul_overflow(a, b, &v) ? overflow(r) : tmpl_int(v);
    case OP_POW: return power_int(r, a, b);
    default: break;
    }
    if (b == 0)
        return tmpl_fail(r,
                         op == OP_DIV ? "division by zero" : "integer division or modulo by zero");
    if (op == OP_DIV) return tmpl_float((double)a / (double)b);
    if (b == -1) return op == OP_MOD ? tmpl_int(0) : a == INT64_MIN ? overflow(r) : tmpl_int(-a);
    int64_t rest = a % b;
    bool    fix  = rest != 0 && (rest < 0) != (b < 0); // Python rounds the quotient down
    if (op == OP_MOD) return tmpl_int(fix ? rest + b : rest);
    return tmpl_int(a / b - fix);
}

static struct val math_float(struct run *r, enum op op, double a, double b)
{
    switch ((int)op) {
    case OP_ADD: return tmpl_float(a + b);
    case OP_SUB: return tmpl_float(a - b);
    case OP_MUL: return tmpl_float(a * b);
    case OP_POW: {
        if (a == 0 && b < 0) return tmpl_fail(r, "0.0 cannot be raised to a negative power");
        if (a < 0 && isfinite(a) && isfinite(b) && b != trunc(b))
            return tmpl_fail(r, "the power is a complex number");
        double v = pow(a, b);
        return isinf(v) && isfinite(a) && isfinite(b) ? tmpl_fail(r, "power: result too large")
                                                      : tmpl_float(v);
    }
    default: break;
    }
    if (b == 0)
        return tmpl_fail(r, op == OP_DIV   ? "float division by zero"
                            : op == OP_MOD ? "float modulo"
                                           : "float floor division by zero");
    if (op == OP_DIV) return tmpl_float(a / b);
    double rest = fmod(a, b);
    if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
    else if (rest == 0) rest = copysign(0, b);
    if (op == OP_MOD) return tmpl_float(rest);
    double q = (a - rest) / b, low = floor(q);
    if (q == 0) return tmpl_float(copysign(0, a / b));
    return tmpl_float(q - low > 0.5 ? low + 1 : low); // the quotient is whole but for its rounding
}

static struct val repeat(struct run *r, struct val v, int64_t times)
{
    if (v.kind == V_STR) return tmpl_repeat(r, v, times);
    struct val list = tmpl_list_new(r, v.kind, 0);
    for (int64_t k = 0; k < times && v.u.l->n > 0 && !r->failed; k++)
        for (size_t i = 0; i < v.u.l->n && !r->failed; i++) tmpl_list_put(r, list, v.u.l->v[i]);
    return list;
}

static bool repeats(struct val v)
{
    return v.kind == V_STR || v.kind == V_LIST || v.kind == V_TUPLE;
}

static struct val add_lists(struct run *r, struct val a, struct val b)
{
    struct val list = tmpl_list_new(r, a.kind, a.u.l->n + b.u.l->n);

    for (size_t i = 0; i < a.u.l->n && !r->failed; i++) tmpl_list_put(r, list, a.u.l->v[i]);
    for (size_t i = 0; i < b.u.l->n && !r->failed; i++) tmpl_list_put(r, list, b.u.l->v[i]);
    return list;
}

static struct val compare(struct run *r, enum op op, struct val a, struct val b)
{
    switch ((int)op) {
    case OP_EQ: return tmpl_bool(tmpl_eq(r, a, b));
    case OP_NE: return tmpl_bool(!tmpl_eq(r, a, b));
    case OP_IN: return tmpl_bool(tmpl_contains(r, b, a));
    case OP_NOTIN: return tmpl_bool(!tmpl_contains(r, b, a));
    default: break;
    }
    if (tmpl_is_num(a) && tmpl_is_num(b) && (isnan(tmpl_as_float(a)) || isnan(tmpl_as_float(b))))
        return tmpl_bool(false);
    int c = tmpl_cmp(r, a, b, op_name(op));
    return tmpl_bool(op == OP_LT ? c < 0 : op == OP_LE ? c <= 0 : op == OP_GT ? c > 0 : c >= 0);
}

struct val tmpl_binary(struct run *r, enum op op, struct val a, struct val b)
{
    if (r->failed) return VAL_NONE;
    if (op >= OP_EQ) return compare(r, op, a, b);
    if (tmpl_is_int(a) && tmpl_is_int(b)) return math_int(r, op, tmpl_as_int(a), tmpl_as_int(b));
    if (tmpl_is_num(a) && tmpl_is_num(b))
        return math_float(r, op, tmpl_as_float(a), tmpl_as_float(b));
    if (op == OP_ADD && a.kind == V_STR && b.kind == V_STR) return tmpl_concat(r, a, b);
    if (op == OP_ADD && a.kind == b.kind && (a.kind == V_LIST || a.kind == V_TUPLE))
        return add_lists(r, a, b);
    if (op == OP_MUL && repeats(a) && tmpl_is_int(b)) return repeat(r, a, tmpl_as_int(b));
    if (op == OP_MUL && repeats(b) && tmpl_is_int(a)) return repeat(r, b, tmpl_as_int(a));
    if (op == OP_MOD && a.kind == V_STR) return tmpl_percent(r, a.u.s, b);
    return wrong_types(r, op, a, b);
}

/* --- calls --- */

static bool put_kwarg(struct run *r, struct args *a, struct kwarg kw)
{
    for (int i = 0; i < a->n_kw; i++) {
        if (!str_eq(a->kw[i].name, kw.name)) continue;
        tmpl_fail(r, "two values for the same keyword argument");
        return false;
    }
    a->kw[a->n_kw++] = kw;
    return true;
}

bool tmpl_eval_args(struct run *r, const struct node *n, struct args *ret)
{
    struct val  star[2] = { VAL_MISSING, VAL_MISSING };
    size_t      n_pos = 0, n_kw = 0;
    struct args a = { 0 };

    /* the values in the order they are written, the starred ones kept whole */
    struct val *v = n->n_arg ? tmpl_alloc(r, (size_t)n->n_arg, sizeof *v) : NULL;
    for (int i = 0; i < n->n_arg && !r->failed; i++) {
        v[i] = tmpl_eval(r, n->arg[i].v);
        if (n->arg[i].kind == ARG_POS) n_pos++;
        if (n->arg[i].kind == ARG_NAMED) n_kw++;
        if (n->arg[i].kind == ARG_STAR) star[0] = v[i];
        if (n->arg[i].kind == ARG_STARSTAR) star[1] = v[i];
    }
    if (r->failed) return false;
    const struct vlist *more = star[0].kind != V_MISSING ? tmpl_elems(r, star[0]) : NULL;
    if (star[1].kind != V_MISSING && star[1].kind != V_DICT)
        tmpl_fail(r, "argument after ** must be a mapping");
    if (r->failed) return false;
    if (more) n_pos += more->n;
    if (star[1].kind == V_DICT) n_kw += star[1].u.d->n;
    if (n_pos > LIM_TMPL_RANGE || n_kw > LIM_TMPL_NAMES) {
        tmpl_fail_code(r, ERR_TOO_LARGE, "too many arguments");
        return false;
    }

    a.pos = tmpl_alloc(r, n_pos + 1, sizeof *a.pos);
    a.kw  = tmpl_alloc(r, n_kw + 2, sizeof *a.kw); // one more for `caller`
    if (r->failed) return false;
    for (int i = 0; i < n->n_arg; i++) {
        if (n->arg[i].kind == ARG_POS) a.pos[a.n_pos++] = v[i];
        struct kwarg kw = { .name = n->arg[i].name, .v = v[i] };
        if (n->arg[i].kind == ARG_NAMED && !put_kwarg(r, &a, kw)) return false;
    }
    for (size_t i = 0; more && i < more->n; i++) a.pos[a.n_pos++] = more->v[i];
    for (size_t i = 0; star[1].kind == V_DICT && i < star[1].u.d->n && tmpl_step(r, 1 + n_kw);
         i++) {
        struct val key = star[1].u.d->e[i].key;
        if (key.kind != V_STR) {
            tmpl_fail(r, "keywords must be strings");
            break;
        }
        put_kwarg(r, &a, (struct kwarg){ .name = key.u.s->text, .v = star[1].u.d->e[i].v,
                                         .client = !tmpl_trusted(key.u.s) });
    }
    *ret = a;
    return !r->failed;
}

struct val tmpl_call(struct run *r, struct val f, struct args *a)
{
    if (r->failed) return VAL_NONE;
    switch (f.kind) {
    case V_FUNC: return tmpl_fn_call(r, f.u.fn, VAL_NONE, a);
    case V_METHOD: return tmpl_fn_call(r, &f.u.method->m->fn, f.u.method->self, a);
    case V_MACRO: return tmpl_call_macro(r, f.u.macro, a);
    case V_LOOP: return tmpl_loop_recurse(r, f.u.loop, a);
    case V_JOINER: {
        struct val sep = f.u.joiner->used ? f.u.joiner->sep : tmpl_str_c(r, "");
        f.u.joiner->used = true;
        return sep;
    }
    case V_UNDEF: return tmpl_fail_undef(r, f);
    case V_MISSING: case V_NONE: case V_BOOL: case V_INT: case V_FLOAT: case V_STR: case V_LIST:
    case V_TUPLE:
    case V_DICT: case V_RANGE: case V_ITER: case V_VIEW: case V_NS: case V_CYCLER: break;
    }
    return tmpl_fail(r, "'%s' object is not callable", tmpl_type(f));
}

static struct val no_such(struct run *r, const char *what, struct str name)
{
    char quoted[LIM_QUOTE_BYTES];

    return tmpl_fail(r, "no %s named '%s'", what, str_quote(quoted, sizeof quoted, name));
}

struct val tmpl_call_filter(struct run *r, struct str name, struct val v, struct args *a)
{
    const struct fn *f = tmpl_filter_find(name);

    return f ? tmpl_fn_call(r, f, v, a) : no_such(r, "filter", name);
}

struct val tmpl_call_test(struct run *r, struct str name, struct val v, struct args *a)
{
    const struct fn *f = tmpl_test_find(name);

    return f ? tmpl_fn_call(r, f, v, a) : no_such(r, "test", name);
}

/* A filter or test in the syntax; `on` stands in for the missing value of a filter block's chain.
 */
static struct val apply(struct run *r, const struct node *n, const struct val *on)
{
    struct args      a = { 0 };
    const struct fn *f = n->fn;
    struct val       v =
        n->a ? (n->kind == N_FILTER && on ? apply(r, n->a, on) : tmpl_eval(r, n->a)) : *on;

    if (!f)
        return r->failed ? VAL_NONE : no_such(r, n->kind == N_FILTER ? "filter" : "test", n->name);
    if (n->n_arg == 0) {
        struct val none[1] = { VAL_MISSING };
        a.pos = none;
        r->line = n->line;
        return tmpl_fn_call(r, f, v, &a);
    }
    if (r->failed || !tmpl_eval_args(r, n, &a)) return VAL_NONE;
    r->line = n->line;
    return tmpl_fn_call(r, f, v, &a);
}

struct val tmpl_apply_filter(struct run *r, const struct node *chain, struct val on)
{
    return apply(r, chain, &on);
}

/* --- the rest --- */

static struct val name_value(struct run *r, const struct node *n)
{
    for (const struct scope *s = r->scope; s; s = s->up)
        for (int i = s->n; i-- > 0;)
            if (s->b[i].id == n->id) return s->b[i].v;
    struct val v = r->root[n->id];
    return v.kind != V_MISSING ? v : tmpl_undef(r, n->name, NULL);
}

static struct val list_value(struct run *r, const struct node *n, enum val_kind kind)
{
    struct val list = tmpl_list_new(r, kind, (size_t)n->n_item);

    for (int i = 0; i < n->n_item && !r->failed; i++)
        tmpl_list_put(r, list, tmpl_eval(r, n->item[i]));
    return list;
}

static struct val dict_value(struct run *r, const struct node *n)
{
    struct val d = tmpl_dict_new(r, V_DICT);

    for (int i = 0; i + 1 < n->n_item && !r->failed; i += 2) {
        struct val key = tmpl_eval(r, n->item[i]);
        tmpl_dict_put(r, d, key, tmpl_eval(r, n->item[i + 1]));
    }
    return d;
}

static struct val part(struct run *r, const struct node *n)
{
    return n ? tmpl_eval(r, n) : VAL_NONE;
}

static struct val slice_value(struct run *r, const struct node *n)
{
    struct val v = tmpl_eval(r, n->a), from = part(r, n->item[0]), to = part(r, n->item[1]),
               by = part(r, n->item[2]);

    return r->failed ? VAL_NONE : tmpl_slice(r, v, from, to, by);
}

static struct val chain_value(struct run *r, const struct node *n)
{
    struct val left = tmpl_eval(r, n->a), v = VAL_NONE;

    for (int i = 0; i < n->n_item && !r->failed; i++) {
        struct val right = tmpl_eval(r, n->item[i]->a);
        v                = tmpl_binary(r, n->item[i]->op, left, right);
        if (r->failed || !v.u.b) break;
        left = right;
    }
    return v;
}

static struct val concat_value(struct run *r, const struct node *n)
{
    struct sb b;

    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    for (int i = 0; i < n->n_item && !r->failed; i++) tmpl_put_str(&b, tmpl_eval(r, n->item[i]));
    return tmpl_sb_end(&b);
}

static struct val sign_value(struct run *r, const struct node *n)
{
    struct val v = tmpl_eval(r, n->a);

    if (r->failed) return v;
    if (v.kind == V_FLOAT) return n->kind == N_NEG ? tmpl_float(-v.u.f) : v;
    if (tmpl_is_int(v))
        return n->kind == N_NEG ? math_int(r, OP_SUB, 0, tmpl_as_int(v)) : tmpl_int(tmpl_as_int(v));
    if (v.kind == V_UNDEF) return tmpl_fail_undef(r, v);
    return tmpl_fail(r, "bad operand type for unary %c: '%s'", n->kind == N_NEG ? '-' : '+',
                     tmpl_type(v));
}

static struct val call_value(struct run *r, const struct node *n)
{
    struct args a = { 0 };
    struct val  f = tmpl_eval(r, n->a);

    if (r->failed || !tmpl_eval_args(r, n, &a)) return VAL_NONE;
    r->line = n->line;
    return tmpl_call(r, f, &a);
}

static struct val cond_value(struct run *r, const struct node *n)
{
    if (tmpl_truth(r, tmpl_eval(r, n->b))) return tmpl_eval(r, n->a);
    if (n->c) return tmpl_eval(r, n->c);
    return tmpl_undef_hint(r, "an inline if-expression was false and has no else");
}

static struct val eval(struct run *r, const struct node *n)
{
    struct val a, b;

    switch (n->kind) {
    case N_CONST: return n->val;
    case N_NAME: return name_value(r, n);
    case N_LIST: return list_value(r, n, V_LIST);
    case N_TUPLE: return list_value(r, n, V_TUPLE);
    case N_DICT: return dict_value(r, n);
    case N_ATTR:
        a = tmpl_eval(r, n->a);
        return r->failed ? a : tmpl_attr(r, a, n->name);
    case N_ITEM:
        a = tmpl_eval(r, n->a);
        b = tmpl_eval(r, n->b);
        return r->failed ? a : tmpl_item(r, a, b);
    case N_SLICE: return n->a ? slice_value(r, n) : tmpl_fail(r, "a slice among several indices");
    case N_CALL: return call_value(r, n);
    case N_FILTER:
    case N_TEST: return apply(r, n, NULL);
    case N_NOT: return tmpl_bool(!tmpl_truth(r, tmpl_eval(r, n->a)));
    case N_NEG:
    case N_POS: return sign_value(r, n);
    case N_BIN:
        a = tmpl_eval(r, n->a);
        b = tmpl_eval(r, n->b);
        return tmpl_binary(r, n->op, a, b);
    case N_AND:
        a = tmpl_eval(r, n->a);
        return tmpl_truth(r, a) ? tmpl_eval(r, n->b) : a;
    case N_OR:
        a = tmpl_eval(r, n->a);
        return tmpl_truth(r, a) ? a : tmpl_eval(r, n->b);
    case N_COMPARE: return chain_value(r, n);
    case N_CONCAT: return concat_value(r, n);
    case N_COND: return cond_value(r, n);
    case N_OUTPUT: case N_IF: case N_FOR: case N_SET: case N_SETBLOCK: case N_MACRO:
    case N_CALLBLOCK:
    case N_FILTERBLOCK: case N_WITH: case N_SCOPE: case N_BREAK: case N_CONTINUE: case N_REFUSE:
    case N_BODY:
    case N_NSREF: break;
    }
    assert(false && "a statement among expressions");
    return VAL_NONE;
}

struct val tmpl_eval(struct run *r, const struct node *n)
{
    struct val v = VAL_NONE;

    if (!tmpl_step(r, 1)) return v;
    if (r->depth >= LIM_TMPL_EVAL)
        return tmpl_fail_code(r, ERR_TOO_LARGE, "evaluations nested deeper than %d", LIM_TMPL_EVAL);
    r->depth++;
    r->line = n->line;
    v       = eval(r, n);
    r->depth--;
    return r->failed ? VAL_NONE : v;
}
