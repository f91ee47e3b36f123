/* gram_view.c - schemas that hold at once: taking allOf and $ref apart, types, what is not supported. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/utf8.h"
#include "constrain/view_int.h"

/* --- places --- */

static void write_path(struct buf *b, const struct view_path *at, int depth)
{
    if (!at || depth > LIM_CONSTRAIN_DEPTH * 4) return;
    write_path(b, at->up, depth + 1);
    if (at->up || (at->name.n && at->name.p[0] != '#')) buf_byte(b, '/');
    buf_str(b, at->name);
}

void schema_fail(struct schema *s, const struct view_path *at, const char *fmt, ...)
{
    char       what[ERR_MSG_MAX], q[256];
    struct buf b;
    va_list    ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    buf_init(&b, KIB(64));
    write_path(&b, at, 0);
    gram_fail(s->g, ERR_INVALID_VALUE, "%s at %s: %s", s->o->where,
              str_quote(q, sizeof q, b.n ? buf_text(&b) : STR("#")), what);
    buf_release(&b);
}

const struct view_path *schema_path(struct schema *s, const struct view_path *up, struct str name)
{
    struct view_path *p = arena_zalloc(s->g->a, sizeof *p);

    if (!p) {
        gram_fail(s->g, ERR_NO_MEMORY, "out of memory while reading a schema");
        return up;
    }
    *p = (struct view_path){ up, arena_str(s->g->a, name) };
    return p;
}

bool schema_cannot(struct schema *s, const struct view_path *at, const char *what)
{
    if (s->o->loose) return false;
    schema_fail(s, at, "%s", what);
    return true;
}

/* --- references --- */

/* One step of a JSON pointer (RFC 6901), with what a URI escapes in it. */
static struct str unescape(struct schema *s, struct str part)
{
    char  *out = arena_alloc(s->g->a, part.n + 1);
    size_t n   = 0;

    if (!out) return STR_NULL;
    for (size_t i = 0; i < part.n; i++) {
        int64_t v = 0;
        if (part.p[i] == '~' && i + 1 < part.n && (part.p[i + 1] == '0' || part.p[i + 1] == '1')) {
            out[n++] = part.p[++i] == '0' ? '~' : '/';
        } else if (part.p[i] == '%' && i + 2 < part.n) {
            static const char hex[] = "0123456789abcdef";
            const char *a = memchr(hex, part.p[i + 1] | 0x20, 16), *b = memchr(hex, part.p[i + 2] | 0x20, 16);
            if (a && b) {
                v        = (a - hex) * 16 + (b - hex);
                out[n++] = (char)v;
                i += 2;
            } else {
                out[n++] = '%';
            }
        } else {
            out[n++] = part.p[i];
        }
    }
    return (struct str){ out, n };
}

static const struct json *follow(struct schema *s, struct str ref)
{
    const struct json *at = s->root;
    struct str         part;

    if (str_eq(ref, STR("#"))) return at;
    if (!str_starts(ref, STR("#/"))) return NULL;
    for (ref = str_from(ref, 2); at && str_cut(&ref, '/', &part);) {
        uint64_t i;
        part = unescape(s, part);
        if (json_kind(at) == JSON_T_ARR) at = str_to_u64(part, &i) ? json_at(at, (size_t)i) : NULL;
        else at = json_get_str(at, part);
    }
    return at;
}

/* --- parts --- */

void view_add(struct schema *s, struct view *v, const struct json *x, const struct view_path *path,
              unsigned done)
{
    if (json_kind(x) == JSON_T_BOOL) {
        if (!json_bool(x)) v->never = true;
        return;
    }
    if (json_kind(x) != JSON_T_OBJ) {
        schema_fail(s, path, "a schema is an object or a boolean, here is %s", json_kind_name(json_kind(x)));
        return;
    }
    if (json_len(x) == 0) return;
    for (int i = 0; i < v->n; i++)
        if (v->part[i].s == x) return; // it holds already
    if (v->n == VIEW_MAX) {
        schema_fail(s, path, "more than %d schemas apply to one value", VIEW_MAX);
        return;
    }
    v->part[v->n++] = (struct view_part){ x, path, done };
}

struct schema_doc {
    struct schema_doc *next; // in the grammar's arena
    struct json_doc   *doc;  // owned
};

void view_forbid(struct schema *s, struct view *v, struct str name)
{
    struct schema_doc *d = arena_zalloc(s->g->a, sizeof *d);
    struct buf         b;
    struct err         e;

    buf_init(&b, LIM_CONSTRAIN_TEXT * 8);
    buf_str(&b, STR("{\"properties\":{"));
    json_put_str(&b, name);
    buf_str(&b, STR(":false}}"));
    if (!d || b.failed || json_parse(buf_text(&b), NULL, &d->doc, &e) < 0) {
        gram_fail(s->g, ERR_NO_MEMORY, "out of memory while reading a schema");
    } else {
        d->next = s->docs;
        s->docs = d;
        view_add(s, v, json_root(d->doc), v->n ? v->part[0].path : NULL, 0);
    }
    buf_release(&b);
}

void schema_release(struct schema *s)
{
    for (struct schema_doc *d = s->docs; d; d = d->next) json_free(d->doc);
    s->docs = NULL;
}

/* Keywords by what becomes of them. */
static const char *const keywords[] = {
    "type", "enum", "const", "properties", "required", "additionalProperties",
    "unevaluatedProperties", "patternProperties", "minProperties", "maxProperties", "items",
    "prefixItems", "additionalItems", "unevaluatedItems", "minItems", "maxItems", "uniqueItems",
    "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions", "minLength", "maxLength", "pattern",
    "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
};
static const char *const refused[] = {
    "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies",
    "contains", "minContains", "maxContains", "propertyNames", "$dynamicRef", "$recursiveRef",
    "extends", "disallow",
};

static bool listed(struct str key, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(key, str_c(list[i]))) return true;
    return false;
}

static bool harmless(const struct json *x, struct str key)
{
    if (str_eq(key, STR("if"))) return !json_get(x, "then") && !json_get(x, "else");
    if (str_eq(key, STR("then")) || str_eq(key, STR("else"))) return !json_get(x, "if");
    if (str_eq(key, STR("minContains")) || str_eq(key, STR("maxContains"))) return !json_get(x, "contains");
    if (str_eq(key, STR("not")))
        return json_kind(json_get(x, "not")) == JSON_T_BOOL && !json_bool(json_get(x, "not"));
    return false;
}

/* Other keywords are annotations ("title", "x-..."): they forbid nothing. */
static void check_keys(struct schema *s, const struct view_part *p)
{
    char what[128], q[LIM_QUOTE_BYTES];

    for (struct json_it it = json_it(p->s); json_next(&it) && s->g->rc == 0;) {
        if (listed(it.key, keywords, ARRAY_LEN(keywords)) || !listed(it.key, refused, ARRAY_LEN(refused)))
            continue;
        if (harmless(p->s, it.key)) continue;
        snprintf(what, sizeof what, "the keyword \"%s\" is not supported", str_quote(q, sizeof q, it.key));
        schema_cannot(s, p->path, what);
    }
}

static void take_ref(struct schema *s, struct view *v, int i)
{
    const struct json *ref = json_get(v->part[i].s, "$ref");
    char               q[LIM_QUOTE_BYTES], what[160];

    if (json_kind(ref) != JSON_T_STR) {
        schema_fail(s, v->part[i].path, "\"$ref\" is %s, it must be a string", json_kind_name(json_kind(ref)));
        return;
    }
    const struct json *to = follow(s, json_str(ref));
    if (to) {
        view_add(s, v, to, schema_path(s, NULL, json_str(ref)), 0);
        return;
    }
    snprintf(what, sizeof what,
             "\"$ref\" to \"%s\" leads nowhere; \"#\" and \"#/path\" inside the same schema are supported",
             str_quote(q, sizeof q, json_str(ref)));
    schema_cannot(s, v->part[i].path, what);
}

void view_flatten(struct schema *s, struct view *v)
{
    for (int i = 0; i < v->n && s->g->rc == 0; i++) {
        struct view_part *p = &v->part[i];
        if (!(p->done & VIEW_REF) && json_get(p->s, "$ref")) {
            p->done |= VIEW_REF;
            take_ref(s, v, i);
        }
        const struct json *all = json_get(p->s, "allOf");
        if (!(p->done & VIEW_ALL) && all) {
            p->done |= VIEW_ALL;
            const struct view_path *at = schema_path(s, p->path, STR("allOf"));
            if (json_kind(all) != JSON_T_ARR) schema_fail(s, at, "this must be an array");
            for (size_t k = 0; k < json_len(all) && s->g->rc == 0; k++) {
                char name[24];
                snprintf(name, sizeof name, "%zu", k);
                view_add(s, v, json_at(all, k), schema_path(s, at, str_c(name)), 0);
            }
        }
        check_keys(s, &v->part[i]);
    }
}

/* --- types --- */

static unsigned type_bit(struct str name)
{
    static const struct {
        const char *name;
        unsigned    bit;
    } rows[] = {
        { "null", TYPE_NULL },           { "boolean", TYPE_BOOL },  { "integer", TYPE_INT },
        { "number", TYPE_INT | TYPE_REAL }, { "string", TYPE_STR }, { "array", TYPE_ARR },
        { "object", TYPE_OBJ },          { "any", TYPE_ALL },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(name, str_c(rows[i].name))) return rows[i].bit;
    return 0;
}

static unsigned part_types(struct schema *s, const struct view_part *p)
{
    const struct json *t    = json_get(p->s, "type");
    unsigned           bits = 0;
    char               q[LIM_QUOTE_BYTES];

    if (!t) return TYPE_ALL;
    size_t n = json_kind(t) == JSON_T_ARR ? json_len(t) : 1;
    for (size_t i = 0; i < n; i++) {
        const struct json *x   = json_kind(t) == JSON_T_ARR ? json_at(t, i) : t;
        unsigned           bit = type_bit(json_str(x));
        if (!bit && !s->o->loose)
            schema_fail(
                s, p->path,
                "\"type\" is %s%s%s; null, boolean, integer, number, string, array and object are known",
                json_kind(x) == JSON_T_STR ? "\"" : json_kind_name(json_kind(x)),
                str_quote(q, sizeof q, json_str(x)), json_kind(x) == JSON_T_STR ? "\"" : "");
        bits |= bit ? bit : TYPE_ALL;
    }
    return bits;
}

unsigned view_types(struct schema *s, const struct view *v)
{
    static const struct {
        const char *key;
        unsigned    bits;
    } hints[] = {
        { "properties", TYPE_OBJ },
        { "required", TYPE_OBJ },
        { "additionalProperties", TYPE_OBJ },
        { "patternProperties", TYPE_OBJ },
        { "minProperties", TYPE_OBJ },
        { "maxProperties", TYPE_OBJ },
        { "items", TYPE_ARR },
        { "prefixItems", TYPE_ARR },
        { "minItems", TYPE_ARR },
        { "maxItems", TYPE_ARR },
        { "minLength", TYPE_STR },
        { "maxLength", TYPE_STR },
        { "pattern", TYPE_STR },
        { "format", TYPE_STR },
        { "minimum", TYPE_INT | TYPE_REAL },
        { "maximum", TYPE_INT | TYPE_REAL },
        { "multipleOf", TYPE_INT | TYPE_REAL },
        { "exclusiveMinimum", TYPE_INT | TYPE_REAL },
        { "exclusiveMaximum", TYPE_INT | TYPE_REAL },
    };
    unsigned bits = TYPE_ALL, hint = 0;
    bool     said = false;

    for (int i = 0; i < v->n; i++) {
        bits &= part_types(s, &v->part[i]);
        said |= json_get(v->part[i].s, "type") != NULL;
        for (size_t k = 0; k < ARRAY_LEN(hints); k++)
            if (json_get(v->part[i].s, hints[k].key)) hint |= hints[k].bits;
    }
    /* Without a type, what the keywords are about is meant, though other types would pass too. */
    return !said && hint && !s->o->open ? bits & hint : bits;
}

/* --- one value --- */

static bool same(const struct json *a, const struct json *b)
{
    double x = json_num(a), y = json_num(b);
    bool   num_a = json_kind(a) == JSON_T_INT || json_kind(a) == JSON_T_REAL;
    bool   num_b = json_kind(b) == JSON_T_INT || json_kind(b) == JSON_T_REAL;

    if (num_a && num_b)
        return json_kind(a) == JSON_T_INT && json_kind(b) == JSON_T_INT ? json_int(a) == json_int(b) : x == y;
    if (json_kind(a) != json_kind(b) || json_len(a) != json_len(b)) return false;
    if (json_kind(a) == JSON_T_STR) return str_eq(json_str(a), json_str(b));
    if (json_kind(a) == JSON_T_BOOL) return json_bool(a) == json_bool(b);
    for (size_t i = 0; json_kind(a) == JSON_T_ARR && i < json_len(a); i++)
        if (!same(json_at(a, i), json_at(b, i))) return false;
    for (struct json_it it = json_it(json_kind(a) == JSON_T_OBJ ? a : NULL); json_next(&it);)
        if (!json_get_str(b, it.key) || !same(it.val, json_get_str(b, it.key))) return false;
    return true;
}

static bool part_fits(const struct json *s, const struct json *x, const struct json *known)
{
    static const unsigned kinds[] = {
        [JSON_T_NULL] = TYPE_NULL, [JSON_T_BOOL] = TYPE_BOOL, [JSON_T_INT] = TYPE_INT,
        [JSON_T_REAL] = TYPE_REAL, [JSON_T_STR] = TYPE_STR,   [JSON_T_ARR] = TYPE_ARR,
        [JSON_T_OBJ] = TYPE_OBJ
    };
    const struct json *t = json_get(s, "type"), *list = json_get(s, "enum"), *k;
    unsigned           bit = kinds[json_kind(x)], ok = t ? type_bit(json_str(t)) : TYPE_ALL;
    int64_t            whole;
    double             n = json_num(x);

    if (bit == TYPE_REAL && json_whole(x, &whole)) bit |= TYPE_INT; // 1.0
    for (size_t i = 0; json_kind(t) == JSON_T_ARR && i < json_len(t); i++)
        ok |= type_bit(json_str(json_at(t, i)));
    if (!(bit & ok)) return false;
    if ((k = json_get(s, "const")) && !same(k, x)) return false;
    bool found = !list || list == known;
    for (size_t i = 0; !found && i < json_len(list); i++) found |= same(json_at(list, i), x);
    if (!found) return false;
    if (bit & (TYPE_INT | TYPE_REAL)) {
        bool open_lo = json_bool(json_get(s, "exclusiveMinimum")),
             open_hi = json_bool(json_get(s, "exclusiveMaximum"));
        if ((k = json_get(s, "minimum")) && (n < json_num(k) || (open_lo && n == json_num(k)))) return false;
        if ((k = json_get(s, "maximum")) && (n > json_num(k) || (open_hi && n == json_num(k)))) return false;
        if ((k = json_get(s, "exclusiveMinimum")) && json_kind(k) != JSON_T_BOOL && n <= json_num(k))
            return false;
        if ((k = json_get(s, "exclusiveMaximum")) && json_kind(k) != JSON_T_BOOL && n >= json_num(k))
            return false;
    }
    if (bit == TYPE_STR) {
        double len = (double)utf8_count(json_str(x));
        if ((k = json_get(s, "minLength")) && len < json_num(k)) return false;
        if ((k = json_get(s, "maxLength")) && len > json_num(k)) return false;
        if (json_kind(k = json_get(s, "pattern")) == JSON_T_STR &&
            gram_regex_test(json_str(k), json_str(x)) == 0)
            return false;
    }
    return true;
}

/* The values that a schema lists: its enum, or an array of one for const. */
static bool lists_none_of(const struct json *list, const struct json *one, const struct json *b)
{
    const struct json *other = json_get(b, "enum"), *alone = json_get(b, "const");

    if (!other && !alone) return false;
    for (size_t i = 0; i < (one ? 1 : json_len(list)); i++) {
        const struct json *x = one ? one : json_at(list, i);
        if (alone && same(x, alone)) return false;
        for (size_t k = 0; !alone && k < json_len(other); k++)
            if (same(x, json_at(other, k))) return false;
    }
    return one || json_len(list) > 0;
}

static unsigned types_of(const struct json *s)
{
    const struct json *t    = json_get(s, "type");
    unsigned           bits = type_bit(json_str(t));

    for (size_t i = 0; json_kind(t) == JSON_T_ARR && i < json_len(t); i++)
        bits |= type_bit(json_str(json_at(t, i)));
    return bits ? bits : TYPE_ALL;
}

static bool requires(const struct json *s, struct str name)
{
    const struct json *r = json_get(s, "required");

    for (size_t i = 0; i < json_len(r); i++)
        if (str_eq(json_str(json_at(r, i)), name)) return true;
    return false;
}

bool view_disjoint(const struct json *a, const struct json *b)
{
    if (!(types_of(a) & types_of(b))) return true;
    if (lists_none_of(json_get(a, "enum"), json_get(a, "const"), b)) return true;
    for (struct json_it it = json_it(json_get(a, "properties")); json_next(&it);) {
        const struct json *other = json_get_str(json_get(b, "properties"), it.key);
        if (!other || !requires(a, it.key) || !requires(b, it.key)) continue;
        if (!(types_of(it.val) & types_of(other)) ||
            lists_none_of(json_get(it.val, "enum"), json_get(it.val, "const"), other))
            return true;
    }
    return false;
}

bool view_fits(const struct view *v, const struct json *x, const struct json *known)
{
    for (int i = 0; i < v->n; i++)
        if (!part_fits(v->part[i].s, x, known)) return false;
    return !v->never;
}

int64_t view_count(struct schema *s, const struct view *v, const char *key, bool most)
{
    int64_t best = -1, n;

    for (int i = 0; i < v->n; i++) {
        const struct json *x = json_get(v->part[i].s, key);
        if (!x) continue;
        if (!json_whole(x, &n) || n < 0) {
            schema_fail(s, v->part[i].path, "\"%s\" must be a whole number, 0 or more", key);
            return -1;
        }
        if (n > LIM_CONSTRAIN_REPEAT) {
            if (most)
                schema_fail(s, v->part[i].path, "\"%s\" is %lld, the limit is %d", key, (long long)n,
                            LIM_CONSTRAIN_REPEAT);
            else continue; // a ceiling that high is none
        }
        if (best < 0 || (most ? n > best : n < best)) best = n;
    }
    return best;
}
