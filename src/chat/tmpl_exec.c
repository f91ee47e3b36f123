/* tmpl_exec.c - statements: output, conditions, loops, assignments, macros.
 *
 * Names live in a chain of scopes. `if` has none of its own; each turn of a loop, each macro call,
 * `with`, `filter`, `call` and set blocks have one, which is why a loop cannot assign to a name
 * outside and templates use namespaces. A macro remembers the scope it was defined in.
 *
 * One corner differs from Jinja, which decides at compile time where a name lives: a name that an
 * outer scope assigns only after a loop that reads it is undefined in that loop there; here it
 * still has the value it was given from outside.
 */
#include <assert.h>
#include <string.h>

#include "chat/tmpl_int.h"

enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

struct loop {
    const struct node  *node;  // N_FOR
    struct scope       *up;    // around the loop
    const struct vlist *items;
    size_t              at;    // next of items
    struct val          before, now, after; // MISSING: none, or not looked at yet
    bool                filtered; // the condition has been applied to all of items
    bool                ended; // `after` was looked for and there is none
    int64_t             index0;
    int64_t             length; // -1: not yet known
    int                 depth0;
    struct val          changed; // arguments of the last changed(), a tuple
};

static enum flow exec_list(struct run *r, const struct node *body);

/* --- scopes --- */

static struct scope *new_scope(struct run *r, struct scope *up)
{
    struct scope *s = tmpl_alloc(r, 1, sizeof *s);

    if (s) s->up = up;
    return s;
}

static void bind_name(struct run *r, struct scope *s, int id, struct val v)
{
    if (r->failed) return;
    if (!s) {
        r->root[id] = v;
        return;
    }
    for (int i = 0; i < s->n; i++) {
        if (s->b[i].id != id) continue;
        s->b[i].v = v;
        return;
    }
    if (s->n == s->cap) {
        int          cap  = s->cap ? s->cap * 2 : 4;
        struct bind *more = tmpl_alloc(r, (size_t)cap, sizeof *more);
        if (!more) return;
        if (s->n) memcpy(more, s->b, (size_t)s->n * sizeof *more);
        s->b   = more;
        s->cap = cap;
    }
    s->b[s->n++] = (struct bind){ id, v };
}

static void assign(struct run *r, struct scope *s, const struct node *target, struct val v)
{
    if (r->failed) return;
    if (target->kind == N_NAME) {
        bind_name(r, s, target->id, v);
        return;
    }
    if (target->kind == N_NSREF) {
        struct node name = {
            .kind = N_NAME, .line = target->line, .id = target->id, .name = STR("namespace")
        };
        struct val  ns   = tmpl_eval(r, &name);
        if (r->failed) return;
        if (ns.kind == V_NS) tmpl_dict_put(r, ns, tmpl_str_new(r, target->name, true), v);
        else tmpl_fail(r, "cannot assign attribute on non-namespace object");
        return;
    }
    if (!tmpl_iterable(v)) {
        tmpl_fail(r, "cannot unpack non-iterable %s object", tmpl_type(v));
        return;
    }
    const struct vlist *l = tmpl_elems(r, v);
    if (!r->failed && l->n != (size_t)target->n_item)
        tmpl_fail(r,
                  l->n < (size_t)target->n_item
                      ? "not enough values to unpack (expected %d, got %zu)"
                      : "too many values to unpack (expected %d, got %zu)",
                  target->n_item, l->n);
    for (int i = 0; i < target->n_item && !r->failed; i++) assign(r, s, target->item[i], l->v[i]);
}

/* --- capturing output --- */

static struct sb *capture(struct run *r, struct sb *b)
{
    struct sb *outer = r->out;

    tmpl_sb_init(b, r, LIM_TMPL_STR_BYTES);
    r->out = b;
    return outer;
}

static struct val captured(struct run *r, struct sb *outer)
{
    struct val v = tmpl_sb_end(r->out);

    r->out = outer;
    return v;
}

/* --- loops --- */

/* The next element, past those the loop's condition refuses; MISSING at the end. */
static struct val pull(struct run *r, struct loop *l)
{
    const struct node *cond = l->filtered ? NULL : l->node->item[0];

    while (l->at < l->items->n && tmpl_step(r, 1)) {
        struct val v = l->items->v[l->at++];
        if (!cond) return v;
        struct scope *outer = r->scope;
        r->scope            = new_scope(r, l->up);
        assign(r, r->scope, l->node->a, v);
        bool take = !r->failed && tmpl_truth(r, tmpl_eval(r, cond));
        r->scope  = outer;
        if (take && !r->failed) return v;
    }
    return VAL_MISSING;
}

static struct val peek(struct run *r, struct loop *l)
{
    if (l->after.kind == V_MISSING && !l->ended) {
        l->after = pull(r, l);
        l->ended = l->after.kind == V_MISSING;
    }
    return l->after;
}

static bool advance(struct run *r, struct loop *l)
{
    struct val v = peek(r, l);

    if (v.kind == V_MISSING || r->failed) return false;
    l->after  = VAL_MISSING;
    l->before = l->now;
    l->now    = v;
    l->index0++;
    return true;
}

static int64_t loop_length(struct run *r, struct loop *l)
{
    if (l->length >= 0) return l->length;
    if (!l->node->item[0]) return l->length = (int64_t)l->items->n;
    /* a condition: what is left must be tried; what passes is kept */
    struct val rest = tmpl_list_new(r, V_LIST, 0);
    int64_t    n    = l->index0 + 1;
    for (struct val v = peek(r, l); v.kind != V_MISSING && !r->failed; v = pull(r, l))
        tmpl_list_put(r, rest, v);
    if (r->failed) return 0;
    l->filtered = true;
    l->items    = rest.u.l;
    l->at       = 0;
    l->after    = VAL_MISSING;
    l->ended    = false;
    return l->length = n + (int64_t)rest.u.l->n;
}

static struct val loop_cycle(struct run *r, struct val self, struct args *a)
{
    if (a->n_pos == 0) return tmpl_fail(r, "no items for cycling given");
    return a->pos[self.u.loop->index0 % a->n_pos];
}

static struct val loop_changed(struct run *r, struct val self, struct args *a)
{
    struct val now = tmpl_list_new(r, V_TUPLE, (size_t)a->n_pos);

    for (int i = 0; i < a->n_pos && !r->failed; i++) tmpl_list_put(r, now, a->pos[i]);
    if (r->failed) return VAL_NONE;
    struct loop *l = self.u.loop;
    if (l->changed.kind == V_TUPLE && tmpl_eq(r, l->changed, now)) return tmpl_bool(false);
    l->changed = now;
    return tmpl_bool(true);
}

static const struct method loop_methods[] = {
    { { "cycle", loop_cycle, NULL, 0 }, false },
    { { "changed", loop_changed, NULL, 0 }, false },
};

struct val tmpl_loop_attr(struct run *r, struct loop *l, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(loop_methods); i++) {
        if (!str_eq(name, str_c(loop_methods[i].fn.name))) continue;
        struct vmethod *m = tmpl_alloc(r, 1, sizeof *m);
        if (!m) return VAL_NONE;
        *m = (struct vmethod){ .self = { .kind = V_LOOP, .u.loop = l }, .m = &loop_methods[i] };
        return (struct val){ .kind = V_METHOD, .u.method = m };
    }
    if (str_eq(name, STR("index"))) return tmpl_int(l->index0 + 1);
    if (str_eq(name, STR("index0"))) return tmpl_int(l->index0);
    if (str_eq(name, STR("first"))) return tmpl_bool(l->index0 == 0);
    if (str_eq(name, STR("last"))) return tmpl_bool(peek(r, l).kind == V_MISSING);
    if (str_eq(name, STR("length"))) return tmpl_int(loop_length(r, l));
    if (str_eq(name, STR("revindex"))) return tmpl_int(loop_length(r, l) - l->index0);
    if (str_eq(name, STR("revindex0"))) return tmpl_int(loop_length(r, l) - l->index0 - 1);
    if (str_eq(name, STR("depth"))) return tmpl_int(l->depth0 + 1);
    if (str_eq(name, STR("depth0"))) return tmpl_int(l->depth0);
    if (str_eq(name, STR("previtem")))
        return l->index0 > 0 ? l->before : tmpl_undef_hint(r, "there is no previous item");
    if (str_eq(name, STR("nextitem"))) {
        struct val v = peek(r, l);
        return v.kind != V_MISSING ? v : tmpl_undef_hint(r, "there is no next item");
    }
    return VAL_MISSING;
}

/* Run a loop over `over`, writing to r->out. Its else part runs when no turn came to its end, also
 * when each was cut short by break or continue: so does Jinja's. */
static enum flow run_loop(struct run *r, const struct node *n, struct scope *up, struct val over,
                          int depth0)
{
    struct loop  *l         = tmpl_alloc(r, 1, sizeof *l);
    struct scope *outer     = r->scope, *s = NULL;
    bool          completed = false;

    if (!l) return FLOW_NEXT;
    *l       = (struct loop){ .node = n, .up = up, .index0 = -1, .length = -1, .depth0 = depth0 };
    l->items = tmpl_elems(r, over);
    while (!r->failed && advance(r, l)) {
        if (!s || s->held) s = new_scope(r, up);
        if (!s || !tmpl_step(r, 16)) break;
        s->n     = 0;
        r->scope = s;
        assign(r, s, n->a, l->now);
        bind_name(r, s, ID_LOOP, (struct val){ .kind = V_LOOP, .u.loop = l });
        enum flow f = exec_list(r, n->item[1]);
        if (f == FLOW_NEXT) completed = true;
        if (f == FLOW_BREAK) break;
    }
    r->scope = outer;
    if (completed || !n->item[2] || r->failed) return FLOW_NEXT;
    r->scope    = new_scope(r, up);
    enum flow f = exec_list(r, n->item[2]); // break in an else belongs to the loop around
    r->scope    = outer;
    return f;
}

struct val tmpl_loop_recurse(struct run *r, struct loop *l, struct args *a)
{
    struct sb b;

    if (!l->node->flag)
        return tmpl_fail(r, "the loop must have the 'recursive' marker to be called recursively");
    if (a->n_pos != 1 || a->n_kw > 0) return tmpl_fail(r, "a recursive loop takes one argument");
    if (r->calls >= LIM_TMPL_DEPTH)
        return tmpl_fail_code(r, ERR_TOO_LARGE, "loops recurse deeper than %d", LIM_TMPL_DEPTH);
    struct sb    *outer = capture(r, &b);
    struct scope *scope = r->scope;
    r->calls++;
    run_loop(r, l->node, l->up, a->pos[0], l->depth0 + 1);
    r->calls--;
    r->scope = scope;
    return captured(r, outer);
}

static enum flow exec_for(struct run *r, const struct node *n)
{
    struct val over = tmpl_eval(r, n->b);

    return r->failed ? FLOW_NEXT : run_loop(r, n, r->scope, over, 0);
}

/* --- macros --- */

static struct val make_macro(struct run *r, const struct node *n)
{
    struct macro *m = tmpl_alloc(r, 1, sizeof *m);

    if (!m) return VAL_NONE;
    *m = (struct macro){ .node = n, .scope = r->scope };
    for (struct scope *s = r->scope; s; s = s->up) s->held = true;
    return (struct val){ .kind = V_MACRO, .u.macro = m };
}

static struct val take_kwarg(struct args *a, struct str name)
{
    for (int i = 0; i < a->n_kw; i++) {
        if (!str_eq(a->kw[i].name, name)) continue;
        struct val v = a->kw[i].v;
        a->kw[i]     = a->kw[--a->n_kw];
        return v;
    }
    return VAL_MISSING;
}

/* What was given beyond the parameters, for a macro that mentions `varargs`. */
static struct val varargs(struct run *r, const struct node *n, const struct args *a)
{
    struct val list = tmpl_list_new(r, V_TUPLE, 0);

    for (int i = n->n_arg; i < a->n_pos && !r->failed; i++) tmpl_list_put(r, list, a->pos[i]);
    return list;
}

static struct val kwargs(struct run *r, const struct args *a)
{
    struct val d = tmpl_dict_new(r, V_DICT);

    for (int i = 0; i < a->n_kw && !r->failed; i++)
        tmpl_dict_put(r, d, tmpl_str_new(r, a->kw[i].name, !a->kw[i].client), a->kw[i].v);
    return d;
}

/* Bind the arguments in the macro's scope, which is r->scope already: defaults see earlier
 * parameters. */
static void bind_macro(struct run *r, const struct node *n, struct args *a)
{
    char name[LIM_QUOTE_BYTES], key[LIM_QUOTE_BYTES];

    for (int i = 0; i < n->n_arg && !r->failed; i++) {
        struct val v = i < a->n_pos ? a->pos[i] : take_kwarg(a, n->arg[i].name);
        if (v.kind == V_MISSING && !n->arg[i].v) {
            struct str hint = arena_printf(r->a, "parameter '" STR_FMT "' was not provided",
                                           STR_ARG(n->arg[i].name));
            v               = hint.p ? tmpl_undef_hint(r, hint.p)
                                     : tmpl_no_room(r, 64);
        }
        if (v.kind == V_MISSING) v = tmpl_eval(r, n->arg[i].v);
        bind_name(r, r->scope, n->arg[i].id, v);
    }
    if (r->failed) return;
    if (n->uses_caller) {
        struct val caller = take_kwarg(a, STR("caller"));
        bind_name(r, r->scope, ID_CALLER,
                  caller.kind == V_MISSING ? tmpl_undef_hint(r, "no caller defined") : caller);
    }
    str_quote(name, sizeof name, n->name);
    if (n->uses_kwargs) bind_name(r, r->scope, ID_KWARGS, kwargs(r, a));
    else if (a->n_kw > 0)
        tmpl_fail(r, "macro '%s' takes no keyword argument '%s'", name,
                  str_quote(key, sizeof key, a->kw[0].name));
    if (n->uses_varargs) bind_name(r, r->scope, ID_VARARGS, varargs(r, n, a));
    else if (a->n_pos > n->n_arg)
        tmpl_fail(r, "macro '%s' takes not more than %d argument(s)", name, n->n_arg);
}

struct val tmpl_call_macro(struct run *r, struct macro *m, struct args *a)
{
    struct sb b;

    if (r->calls >= LIM_TMPL_DEPTH)
        return tmpl_fail_code(r, ERR_TOO_LARGE, "macros call each other deeper than %d",
                              LIM_TMPL_DEPTH);
    struct scope *outer = r->scope;
    int           line  = r->line;
    struct scope *inner = new_scope(r, m->scope);
    if (!inner || !tmpl_step(r, 16)) return VAL_NONE;
    r->scope            = inner;
    struct sb *out      = capture(r, &b);
    r->calls++;
    bind_macro(r, m->node, a);
    exec_list(r, m->node->c);
    r->calls--;
    r->scope      = outer;
    struct val v  = captured(r, out);
    if (!r->failed) r->line = line;
    return v;
}

static void exec_call(struct run *r, const struct node *n)
{
    struct args a;
    struct val  f      = tmpl_eval(r, n->a->a);
    struct val  caller = make_macro(r, n->b);

    if (r->failed || !tmpl_eval_args(r, n->a, &a)) return;
    a.kw[a.n_kw++] = (struct kwarg){ STR("caller"), caller };
    r->line        = n->line;
    tmpl_put_str(r->out, tmpl_call(r, f, &a));
}

/* --- statements --- */

/* The body's output as a string; its assignments stay inside. */
static struct val body_text(struct run *r, const struct node *body)
{
    struct sb     b;
    struct sb    *out   = capture(r, &b);
    struct scope *outer = r->scope;

    r->scope = new_scope(r, outer);
    if (!r->failed) exec_list(r, body);
    r->scope = outer;
    return captured(r, out);
}

static void exec_with(struct run *r, const struct node *n, enum flow *f)
{
    struct scope *outer = r->scope, *s = new_scope(r, outer);

    for (int i = 0; i + 1 < n->n_item && !r->failed; i += 2)
        assign(r, s, n->item[i], tmpl_eval(r, n->item[i + 1]));
    if (r->failed) return;
    r->scope = s;
    *f       = exec_list(r, n->c);
    r->scope = outer;
}

static enum flow exec_if(struct run *r, const struct node *n)
{
    for (int i = 0; i + 1 < n->n_item && !r->failed; i += 2)
        if (tmpl_truth(r, tmpl_eval(r, n->item[i])))
            return r->failed ? FLOW_NEXT : exec_list(r, n->item[i + 1]);
    return n->c && !r->failed ? exec_list(r, n->c) : FLOW_NEXT;
}

static void exec_output(struct run *r, const struct node *n)
{
    for (int i = 0; i < n->n_item && !r->failed; i++) {
        const struct node *x = n->item[i];
        struct val         v = x->kind == N_CONST ? x->val : tmpl_eval(r, x);
        if (!r->failed) tmpl_put_str(r->out, v);
    }
}

static enum flow exec_one(struct run *r, const struct node *n)
{
    enum flow  f = FLOW_NEXT;
    struct val v;

    switch ((int)n->kind) {
    case N_OUTPUT: exec_output(r, n); break;
    case N_IF: return exec_if(r, n);
    case N_FOR: return exec_for(r, n);
    case N_SET: assign(r, r->scope, n->a, tmpl_eval(r, n->b)); break;
    case N_SETBLOCK:
        v = body_text(r, n->c);
        if (n->b && !r->failed) v = tmpl_apply_filter(r, n->b, v);
        assign(r, r->scope, n->a, v);
        break;
    case N_MACRO: bind_name(r, r->scope, n->id, make_macro(r, n)); break;
    case N_CALLBLOCK: exec_call(r, n); break;
    case N_FILTERBLOCK:
        v = body_text(r, n->c);
        if (!r->failed) v = tmpl_apply_filter(r, n->b, v);
        if (!r->failed) tmpl_put_str(r->out, v);
        break;
    case N_WITH: exec_with(r, n, &f); break;
    case N_SCOPE: {
        struct scope *outer = r->scope;
        r->scope            = new_scope(r, outer);
        if (!r->failed) f = exec_list(r, n->c);
        r->scope = outer;
        break;
    }
    case N_BREAK: return FLOW_BREAK;
    case N_CONTINUE: return FLOW_CONTINUE;
    case N_REFUSE:
        tmpl_fail(r, "'" STR_FMT "' needs other templates, and there are none", STR_ARG(n->name));
        break;
    default: assert(false && "an expression among statements");
    }
    return f;
}

static enum flow exec_list(struct run *r, const struct node *body)
{
    enum flow f = FLOW_NEXT;

    if (r->depth >= LIM_TMPL_EVAL) {
        tmpl_fail_code(r, ERR_TOO_LARGE, "evaluations nested deeper than %d", LIM_TMPL_EVAL);
        return f;
    }
    r->depth++;
    for (int i = 0; i < body->n_item && f == FLOW_NEXT && tmpl_step(r, 16); i++) {
        r->line = body->item[i]->line;
        f       = exec_one(r, body->item[i]);
    }
    r->depth--;
    return f;
}

void tmpl_exec_body(struct run *r, const struct node *body)
{
    exec_list(r, body);
}
