/* tmpl_fix.c - conversations put into the shape a template wants.
 *
 * Models were trained on conversations of one shape and their templates refuse, or silently drop,
 * the rest. Each repair here keeps every word of the client and changes only where it stands; glue
 * between two texts is the client's, too, so it can never become a special token. tmpl.h lists
 * them.
 */
#include "chat/tmpl_int.h"

static bool role_is(struct run *r, struct val m, const char *role)
{
    struct val v = m.kind == V_DICT ? tmpl_dict_get_c(r, m, "role") : VAL_MISSING;

    return v.kind == V_STR && str_eq(v.u.s->text, str_c(role));
}

static bool is_system(struct run *r, struct val m)
{
    return role_is(r, m, "system");
}

static struct val get(struct run *r, struct val m, const char *key)
{
    return m.kind == V_DICT ? tmpl_dict_get_c(r, m, key) : VAL_MISSING;
}

static bool has(struct run *r, struct val m, const char *key)
{
    return tmpl_truth(r, get(r, m, key));
}

static void put(struct run *r, struct val d, const char *key, struct val v)
{
    tmpl_dict_put(r, d, tmpl_str_c(r, key), v);
}

struct val tmpl_with(struct run *r, struct val from, const char *key, struct val v)
{
    struct val d = tmpl_dict_new(r, V_DICT);

    for (size_t i = 0; i < from.u.d->n && !r->failed; i++) {
        struct val k = from.u.d->e[i].key;
        if (v.kind == V_MISSING && k.kind == V_STR && str_eq(k.u.s->text, str_c(key))) continue;
        tmpl_dict_put(r, d, k, from.u.d->e[i].v);
    }
    if (v.kind != V_MISSING && !r->failed) put(r, d, key, v);
    return d;
}

/* The content of a message as one string: text parts in a row. */
static struct val plain_text(struct run *r, struct val m)
{
    struct val c = get(r, m, "content"), all = tmpl_str_c(r, "");

    if (c.kind != V_LIST) return c.kind == V_STR ? c : all;
    for (size_t i = 0; i < c.u.l->n && !r->failed; i++) {
        struct val t = get(r, c.u.l->v[i], "text");
        if (t.kind == V_STR) all = tmpl_concat(r, all, t);
    }
    return all;
}

static bool only_text(struct run *r, struct val c)
{
    for (size_t i = 0; c.kind == V_LIST && i < c.u.l->n; i++)
        if (get(r, c.u.l->v[i], "text").kind != V_STR) return false;
    return true;
}

static struct val glue(struct run *r, struct val a, const char *between, struct val b)
{
    if (r->failed || a.u.s->text.n == 0) return b;
    if (b.u.s->text.n == 0) return a;
    return tmpl_concat(r, tmpl_concat(r, a, tmpl_str_new(r, str_c(between), false)), b);
}

static struct val text_part(struct run *r, struct val text)
{
    struct val p = tmpl_dict_new(r, V_DICT);

    put(r, p, "type", tmpl_str_c(r, "text"));
    put(r, p, "text", text);
    return p;
}

/* --- roles --- */

static struct val fix_developer(struct fix *f, const struct vlist *l)
{
    struct run *r    = f->r;
    struct val  list = tmpl_list_new(r, V_LIST, l->n);

    for (size_t i = 0; i < l->n && !r->failed; i++) {
        bool dev = role_is(r, l->v[i], "developer");
        f->changed |= dev;
        tmpl_list_put(r, list,
                      dev ? tmpl_with(r, l->v[i], "role", tmpl_str_c(r, "system")) : l->v[i]);
    }
    return list;
}

static struct val fix_system(struct fix *f, const struct vlist *l)
{
    struct run *r    = f->r;
    struct val list = tmpl_list_new(r, V_LIST, l->n), text = tmpl_str_c(r, ""), first = VAL_MISSING;

    for (size_t i = 0; i < l->n && !r->failed; i++) {
        if (!is_system(r, l->v[i])) continue;
        f->changed |= i > 0;
        if (first.kind == V_MISSING) first = l->v[i];
        text = glue(r, text, "\n\n", plain_text(r, l->v[i]));
    }
    if (f->changed && !r->failed) tmpl_list_put(r, list, tmpl_with(r, first, "content", text));
    for (size_t i = 0; i < l->n && !r->failed; i++)
        if (!f->changed || !is_system(r, l->v[i])) tmpl_list_put(r, list, l->v[i]);
    return list;
}

/* Two messages that may become one: the same role, and nothing but text. */
static bool mergeable(struct run *r, struct val a, struct val b)
{
    static const char *const roles[] = { "user", "assistant", "system" };

    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (!role_is(r, a, roles[i]) || !role_is(r, b, roles[i])) continue;
        return !has(r, a, "tool_calls") && !has(r, b, "tool_calls") &&
               only_text(r, get(r, a, "content")) && only_text(r, get(r, b, "content"));
    }
    return false;
}

static struct val fix_merge(struct fix *f, const struct vlist *l)
{
    struct run *r    = f->r;
    struct val  list = tmpl_list_new(r, V_LIST, l->n);

    for (size_t i = 0; i < l->n && !r->failed; i++) {
        struct val prev = i > 0 ? list.u.l->v[list.u.l->n - 1] : VAL_MISSING;
        if (!mergeable(r, prev, l->v[i])) {
            tmpl_list_put(r, list, l->v[i]);
            continue;
        }
        f->changed      = true;
        struct val text = glue(r, plain_text(r, prev), "\n\n", plain_text(r, l->v[i]));
        if (!r->failed) list.u.l->v[list.u.l->n - 1] = tmpl_with(r, prev, "content", text);
    }
    return list;
}

/* m with `text` in front of its content. */
static struct val prefixed(struct run *r, struct val m, struct val text)
{
    struct val c = get(r, m, "content");

    if (c.kind != V_LIST)
        return tmpl_with(r, m, "content", glue(r, text, "\n\n", plain_text(r, m)));
    struct val parts = tmpl_list_new(r, V_LIST, c.u.l->n + 1); // the other parts may be images
    tmpl_list_put(r, parts, text_part(r, text));
    for (size_t i = 0; i < c.u.l->n && !r->failed; i++) tmpl_list_put(r, parts, c.u.l->v[i]);
    return tmpl_with(r, m, "content", parts);
}

static struct val fix_fold(struct fix *f, const struct vlist *l)
{
    struct run *r    = f->r;
    struct val  text = tmpl_str_c(r, ""), list = tmpl_list_new(r, V_LIST, l->n + 1);
    bool        user = false;

    for (size_t i = 0; i < l->n && !r->failed; i++) {
        user |= role_is(r, l->v[i], "user");
        if (is_system(r, l->v[i]))
            text = glue(r, text, "\n\n", plain_text(r, l->v[i])), f->changed = true;
    }
    if (r->failed) return list;
    bool placed = text.u.s->text.n == 0;
    if (!placed && !user) { // nobody to tell it: a user does
        struct val m = tmpl_dict_new(r, V_DICT);
        put(r, m, "role", tmpl_str_c(r, "user"));
        put(r, m, "content", text);
        tmpl_list_put(r, list, m);
        placed = true;
    }
    for (size_t i = 0; i < l->n && !r->failed; i++) {
        struct val m = l->v[i];
        if (is_system(r, m)) continue;
        if (!placed && role_is(r, m, "user")) m = prefixed(r, m, text), placed = true;
        tmpl_list_put(r, list, m);
    }
    return list;
}

/* --- tools --- */

/* Nine letters or digits, as Mistral's templates insist. */
static bool plain_id(struct val v)
{
    if (v.kind != V_STR || v.u.s->text.n != 9) return false;
    for (size_t i = 0; i < 9; i++) {
        char c = v.u.s->text.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
            return false;
    }
    return true;
}

/* The new id of an old one; the same for the same. */
static struct val new_id(struct fix *f, struct val ids, struct val old)
{
    struct run *r = f->r;

    if (old.kind != V_STR || plain_id(old)) return old;
    struct val id = tmpl_dict_get(r, ids, old);
    if (id.kind != V_MISSING) return id;
    struct str text = arena_printf(r->a, "call%05zu", ids.u.d->n % 100000);
    if (!text.p) return tmpl_no_room(r, 64);
    id         = tmpl_str_new(r, text, false);
    f->changed = true;
    tmpl_dict_put(r, ids, old, id);
    return id;
}

static struct val fix_ids(struct fix *f, const struct vlist *l)
{
    struct run *r    = f->r;
    struct val  list = tmpl_list_new(r, V_LIST, l->n), ids = tmpl_dict_new(r, V_DICT);

    for (size_t i = 0; i < l->n && !r->failed; i++) {
        struct val m = l->v[i], calls = get(r, m, "tool_calls"), id = get(r, m, "tool_call_id");
        if (calls.kind == V_LIST) {
            struct val fixed = tmpl_list_new(r, V_LIST, calls.u.l->n);
            for (size_t k = 0; k < calls.u.l->n && !r->failed; k++) {
                struct val c = calls.u.l->v[k], old = get(r, c, "id");
                if (old.kind == V_STR) c = tmpl_with(r, c, "id", new_id(f, ids, old));
                tmpl_list_put(r, fixed, c);
            }
            m = tmpl_with(r, m, "tool_calls", fixed);
        }
        if (id.kind == V_STR && !r->failed) m = tmpl_with(r, m, "tool_call_id", new_id(f, ids, id));
        tmpl_list_put(r, list, m);
    }
    return list;
}

/* Calls of one message become messages of one call, each followed by its result. */
static struct val fix_split(struct fix *f, const struct vlist *l)
{
    struct run *r    = f->r;
    struct val  list = tmpl_list_new(r, V_LIST, l->n);

    for (size_t i = 0; i < l->n && !r->failed; i++) {
        struct val m = l->v[i], calls = get(r, m, "tool_calls");
        if (calls.kind != V_LIST || calls.u.l->n < 2) {
            tmpl_list_put(r, list, m);
            continue;
        }
        size_t end = i + 1; // of the results that follow
        while (end < l->n && role_is(r, l->v[end], "tool")) end++;
        bool *used = tmpl_alloc(r, end - i, sizeof *used);
        f->changed = true;
        for (size_t k = 0; used && k < calls.u.l->n && !r->failed; k++) {
            struct val one = tmpl_list_new(r, V_LIST, 1), id = get(r, calls.u.l->v[k], "id");
            tmpl_list_put(r, one, calls.u.l->v[k]);
            struct val part = tmpl_with(r, m, "tool_calls", one);
            if (k > 0 && !r->failed) part = tmpl_with(r, part, "content", tmpl_str_c(r, ""));
            tmpl_list_put(r, list, part);
            for (size_t j = i + 1; j < end && !r->failed; j++) {
                struct val of = get(r, l->v[j], "tool_call_id");
                if (used[j - i - 1] ||
                    (id.kind == V_STR && of.kind == V_STR && !tmpl_eq(r, id, of)))
                    continue;
                used[j - i - 1] = true;
                tmpl_list_put(r, list, l->v[j]);
                break;
            }
        }
        for (size_t j = i + 1; used && j < end && !r->failed; j++) // results of no call
            if (!used[j - i - 1]) tmpl_list_put(r, list, l->v[j]);
        i = end - 1;
    }
    return list;
}

/* {"name": ..., "arguments": ...} */
static struct val call_text(struct fix *f, struct val call)
{
    const struct json_opts o    = { .item_sep = STR(", "), .key_sep = STR(": ") };
    struct run            *r    = f->r;
    struct val             fn   = get(r, call, "function"), args = get(r, fn, "arguments");
    struct val             d    = tmpl_dict_new(r, V_DICT), name = get(r, fn, "name");
    const struct json *json = args.kind == V_STR ? tmpl_input_parse(r, f->x, args.u.s->text) : NULL;

    put(r, d, "name", name.kind == V_MISSING ? VAL_NONE : name);
    if (json) args = tmpl_from_json(r, json, false);
    put(r, d, "arguments", args.kind == V_MISSING ? VAL_NONE : args);
    return r->failed ? VAL_NONE : tmpl_json(r, d, &o);
}

static struct val fix_calls(struct fix *f, const struct vlist *l)
{
    struct run *r    = f->r;
    struct val  list = tmpl_list_new(r, V_LIST, l->n);

    for (size_t i = 0; i < l->n && !r->failed; i++) {
        struct val m = l->v[i], calls = get(r, m, "tool_calls");
        if (!f->caps->tool_calls && calls.kind == V_LIST && calls.u.l->n > 0) {
            struct val text = plain_text(r, m);
            for (size_t k = 0; k < calls.u.l->n && !r->failed; k++)
                text = glue(r, text, "\n", call_text(f, calls.u.l->v[k]));
            if (r->failed) break;
            m          = tmpl_with(r, tmpl_with(r, m, "tool_calls", VAL_MISSING), "content", text);
            f->changed = true;
        }
        if (!f->caps->tool_role && role_is(r, m, "tool") && !r->failed) {
            m          = tmpl_with(r, m, "role", tmpl_str_c(r, "user"));
            f->changed = true;
        }
        tmpl_list_put(r, list, m);
    }
    return list;
}

/* --- contents --- */

/* Arguments of calls as an object or as JSON text, whichever the template likes. */
static struct val fix_args(struct fix *f, struct val call, bool *changed)
{
    struct run *r    = f->r;
    struct val  fn   = get(r, call, "function"), args = get(r, fn, "arguments"), to = VAL_MISSING;

    if (f->caps->args_object && args.kind == V_STR) {
        struct str         text = str_trim(args.u.s->text);
        const struct json *j    = tmpl_input_parse(r, f->x, text.n ? text : STR("{}"));
        if (json_kind(j) == JSON_T_OBJ) to = tmpl_from_json(r, j, false);
    } else if (!f->caps->args_object && args.kind == V_DICT) {
        to = tmpl_json(r, args, &(struct json_opts){ .item_sep = STR(", "), .key_sep = STR(": ") });
    }
    if (r->failed || to.kind == V_MISSING) return call;
    *changed = true;
    return tmpl_with(r, call, "function", tmpl_with(r, fn, "arguments", to));
}

static struct val fix_content(struct fix *f, struct val m, bool *changed)
{
    struct run *r     = f->r;
    struct val  c     = get(r, m, "content");
    bool        empty = !tmpl_truth(r, c), calls = has(r, m, "tool_calls");

    if (empty && calls && f->caps->null_content) {
        *changed |= c.kind != V_NONE;
        return tmpl_with(r, m, "content", VAL_NONE);
    }
    if (c.kind == V_NONE || c.kind == V_MISSING) {
        *changed = true;
        c        = tmpl_str_c(r, "");
        m        = tmpl_with(r, m, "content", c);
    }
    if (r->failed) return m;
    if (f->caps->typed_content && c.kind == V_STR) {
        struct val parts = tmpl_list_new(r, V_LIST, 1);
        tmpl_list_put(r, parts, text_part(r, c));
        *changed = true;
        return tmpl_with(r, m, "content", parts);
    }
    if (!f->caps->typed_content && c.kind == V_LIST && only_text(r, c)) {
        *changed = true;
        return tmpl_with(r, m, "content", plain_text(r, m));
    }
    return m;
}

struct val tmpl_fix_shape(struct fix *f, const struct vlist *l, unsigned *done)
{
    struct run *r    = f->r;
    struct val  list = tmpl_list_new(r, V_LIST, l->n);

    for (size_t i = 0; i < l->n && !r->failed; i++) {
        struct val m = l->v[i];
        bool       content = false, args = false;
        if (m.kind != V_DICT) {
            tmpl_list_put(r, list, m);
            continue;
        }
        m                = fix_content(f, m, &content);
        struct val think = get(r, m, "reasoning_content"), calls = get(r, m, "tool_calls");
        if (f->caps->thinking_key && think.kind == V_STR && !has(r, m, "thinking") && !r->failed)
            m = tmpl_with(r, m, "thinking", think);
        if (calls.kind == V_LIST) {
            struct val fixed = tmpl_list_new(r, V_LIST, calls.u.l->n);
            for (size_t k = 0; k < calls.u.l->n && !r->failed; k++)
                tmpl_list_put(r, fixed, fix_args(f, calls.u.l->v[k], &args));
            if (args && !r->failed) m = tmpl_with(r, m, "tool_calls", fixed);
        }
        if (content) *done |= TMPL_REPAIR_CONTENT;
        if (args) *done |= TMPL_REPAIR_ARGS;
        tmpl_list_put(r, list, m);
    }
    return list;
}

const struct repair tmpl_repairs[TMPL_N_REPAIRS] = {
    { TMPL_REPAIR_IDS, fix_ids },
    { TMPL_REPAIR_DEVELOPER, fix_developer },
    { TMPL_REPAIR_SPLIT, fix_split },
    { TMPL_REPAIR_CALLS, fix_calls },
    { TMPL_REPAIR_SYSTEM, fix_system },
    { TMPL_REPAIR_MERGE, fix_merge },
    { TMPL_REPAIR_FOLD, fix_fold },
    { TMPL_REPAIR_MERGE, fix_merge }, // folding makes new neighbours
};
