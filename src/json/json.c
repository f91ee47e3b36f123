/* json.c - strict JSON on jansson.
 *
 * jansson has its own depth limit (2,048) and none on counts, so json_scan walks the bytes first:
 * it needs no memory, binds before the work, and refuses what is too deep or too many.
 */
#include "json/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

struct json_doc {
    json_t *root; // owned
};

const struct json_limits json_limits_default = {
    .depth = LIM_JSON_DEPTH, .values = LIM_JSON_VALUES, .keys = LIM_JSON_KEYS
};

/* --- limits before work --- */

struct scan {
    size_t commas[LIM_JSON_DEPTH + 1]; // in each open object or array
    char   kind[LIM_JSON_DEPTH + 1];   // '{' or '['
    int    depth;
};

/* Count nesting, values and members without building anything. Only counts: whether the text is
 * JSON at all is jansson's question. */
static int scan(struct str s, const struct json_limits *lim, struct err *e)
{
    struct scan sc     = { .depth = 0 };
    size_t      values = 1;
    int         deepest = lim->depth < LIM_JSON_DEPTH ? lim->depth : LIM_JSON_DEPTH;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"') {
            for (i++; i < s.n && s.p[i] != '"'; i++)
                if (s.p[i] == '\\') i++;
        } else if (c == '{' || c == '[') {
            if (sc.depth >= deepest)
                return err_set(e, ERR_INVALID_JSON,
                               "JSON is nested deeper than %d levels at offset %zu", deepest, i);
            sc.kind[++sc.depth]  = c;
            sc.commas[sc.depth] = 0;
            values++;
        } else if ((c == '}' || c == ']') && sc.depth > 0) {
            sc.depth--;
        } else if (c == ',' && sc.depth > 0) {
            values++;
            if (++sc.commas[sc.depth] >= lim->keys && sc.kind[sc.depth] == '{')
                return err_set(e, ERR_INVALID_JSON,
                               "JSON object has more than %zu members at offset %zu", lim->keys, i);
        }
        if (values > lim->values)
            return err_set(e, ERR_INVALID_JSON, "JSON has more than %zu values", lim->values);
    }
    return 0;
}

static int parse(struct str text, const struct json_limits *lim, size_t flags,
                 struct json_doc **ret, struct err *e)
{
    json_error_t je;
    int          rc = scan(text, lim ? lim : &json_limits_default, e);

    if (rc < 0) return rc;
    struct json_doc *d = mem_zalloc(sizeof *d);
    if (!d) return err_nomem(e, "reading JSON");

    d->root = json_loadb(text.p ? text.p : "", text.n,
                         JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | flags, &je);
    if (!d->root) {
        mem_free(d);
        if (json_error_code(&je) == json_error_out_of_memory) return err_nomem(e, "reading JSON");
        char why[sizeof je.text * 2]; // the library quotes the text at fault
        str_quote(why, sizeof why, str_c(je.text));
        return err_set(e, ERR_INVALID_JSON, "invalid JSON at line %d, column %d: %s", je.line,
                       je.column, why);
    }
    *ret = d;
    return 0;
}

int json_parse(struct str text, const struct json_limits *lim, struct json_doc **ret, struct err *e)
{
    return parse(text, lim, 0, ret, e);
}

int json_parse_any(struct str text, const struct json_limits *lim, struct json_doc **ret,
                   struct err *e)
{
    return parse(text, lim, JSON_DECODE_ANY, ret, e);
}

void json_free(struct json_doc *d)
{
    if (!d) return;
    json_decref(d->root);
    mem_free(d);
}

/* --- values: struct json is jansson's json_t under our name --- */

static const struct json *from_lib(const json_t *v)
{
    return (const struct json *)(const void *)v;
}

static const json_t *lib(const struct json *v)
{
    return (const json_t *)(const void *)v;
}

const struct json *json_root(const struct json_doc *d)
{
    return from_lib(d->root);
}

enum json_kind json_kind(const struct json *v)
{
    if (!v) return JSON_T_NULL;
    switch (json_typeof(lib(v))) {
    case JSON_OBJECT: return JSON_T_OBJ;
    case JSON_ARRAY: return JSON_T_ARR;
    case JSON_STRING: return JSON_T_STR;
    case JSON_INTEGER: return JSON_T_INT;
    case JSON_REAL: return JSON_T_REAL;
    case JSON_TRUE:
    case JSON_FALSE: return JSON_T_BOOL;
    case JSON_NULL: break;
    }
    return JSON_T_NULL;
}

const char *json_kind_name(enum json_kind t)
{
    static const char *const names[] = {
        [JSON_T_NULL] = "null",      [JSON_T_BOOL] = "a boolean", [JSON_T_INT] = "an integer",
        [JSON_T_REAL] = "a number",  [JSON_T_STR] = "a string",   [JSON_T_ARR] = "an array",
        [JSON_T_OBJ] = "an object",
    };
    return names[t];
}

bool json_bool(const struct json *v)
{
    return v && json_is_true(lib(v));
}

int64_t json_int(const struct json *v)
{
    return v ? json_integer_value(lib(v)) : 0;
}

double json_num(const struct json *v)
{
    return v ? json_number_value(lib(v)) : 0;
}

struct str json_str(const struct json *v)
{
    if (!v || !json_is_string(lib(v))) return STR_NULL;
    return (struct str){ json_string_value(lib(v)), json_string_length(lib(v)) };
}

bool json_whole(const struct json *v, int64_t *ret)
{
    if (json_kind(v) == JSON_T_INT) {
        *ret = json_int(v);
        return true;
    }
    if (json_kind(v) != JSON_T_REAL) return false;
    double d = json_num(v);
    if (d < -0x1p63 || d >= 0x1p63 || d != floor(d)) return false;
    *ret = (int64_t)d;
    return true;
}

size_t json_len(const struct json *v)
{
    if (json_kind(v) == JSON_T_ARR) return json_array_size(lib(v));
    if (json_kind(v) == JSON_T_OBJ) return json_object_size(lib(v));
    return 0;
}

const struct json *json_at(const struct json *arr, size_t i)
{
    return json_kind(arr) == JSON_T_ARR ? from_lib(json_array_get(lib(arr), i)) : NULL;
}

const struct json *json_get(const struct json *obj, const char *key)
{
    return json_kind(obj) == JSON_T_OBJ ? from_lib(json_object_get(lib(obj), key)) : NULL;
}

const struct json *json_get_str(const struct json *obj, struct str key)
{
    for (struct json_it it = json_it(obj); json_next(&it);)
        if (str_eq(it.key, key)) return it.val;
    return NULL;
}

struct json_it json_it(const struct json *obj)
{
    return (struct json_it){ .obj = json_kind(obj) == JSON_T_OBJ ? obj : NULL };
}

bool json_next(struct json_it *it)
{
    if (!it->obj) return false;
    json_t *o = (json_t *)(uintptr_t)it->obj; // the library's iterator wants it writable

    it->pos     = it->started ? json_object_iter_next(o, it->pos) : json_object_iter(o);
    it->started = true;
    if (!it->pos) {
        it->obj = NULL;
        return false;
    }
    it->key = str_c(json_object_iter_key(it->pos)); // keys with NUL are refused by the library
    it->val = from_lib(json_object_iter_value(it->pos));
    return true;
}

/* --- writing --- */

void json_write(struct buf *b, const struct json *v, enum json_style style)
{
    const struct str comma = style == JSON_SPACED ? STR(", ") : STR(",");
    const struct str colon = style == JSON_SPACED ? STR(": ") : STR(":");

    switch (json_kind(v)) { // recursion is bounded: parsed documents have at most LIM_JSON_DEPTH
    case JSON_T_NULL: buf_str(b, STR("null")); break;
    case JSON_T_BOOL: buf_str(b, json_bool(v) ? STR("true") : STR("false")); break;
    case JSON_T_INT: buf_i64(b, json_int(v)); break;
    case JSON_T_REAL: json_put_f64(b, json_num(v)); break;
    case JSON_T_STR: json_put_str(b, json_str(v)); break;
    case JSON_T_ARR:
        buf_byte(b, '[');
        for (size_t i = 0; i < json_len(v); i++) {
            if (i) buf_str(b, comma);
            json_write(b, json_at(v, i), style);
        }
        buf_byte(b, ']');
        break;
    case JSON_T_OBJ: {
        bool first = true;
        buf_byte(b, '{');
        for (struct json_it it = json_it(v); json_next(&it); first = false) {
            if (!first) buf_str(b, comma);
            json_put_str(b, it.key);
            buf_str(b, colon);
            json_write(b, it.val, style);
        }
        buf_byte(b, '}');
        break;
    }
    }
}

static void put_char(struct buf *b, unsigned char c)
{
    switch (c) {
    case '"': buf_put(b, "\\\"", 2); break;
    case '\\': buf_put(b, "\\\\", 2); break;
    case '\b': buf_put(b, "\\b", 2); break;
    case '\f': buf_put(b, "\\f", 2); break;
    case '\n': buf_put(b, "\\n", 2); break;
    case '\r': buf_put(b, "\\r", 2); break;
    case '\t': buf_put(b, "\\t", 2); break;
    default: buf_printf(b, "\\u%04x", (unsigned)c);
    }
}

void json_put_esc(struct buf *b, struct str s)
{
    size_t done = 0; // bytes before this are written

    for (size_t at = 0; at < s.n;) {
        unsigned char c = (unsigned char)s.p[at];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            at++;
            continue;
        }
        if (c >= 0x80) {
            uint32_t cp;
            int      n = utf8_decode(str_from(s, at), &cp);
            if (n > 0) {
                at += (size_t)n;
                continue;
            }
            buf_put(b, s.p + done, at - done);
            buf_str(b, STR("\xEF\xBF\xBD"));
            at += (size_t)-n;
        } else {
            buf_put(b, s.p + done, at - done);
            put_char(b, c);
            at++;
        }
        done = at;
    }
    if (s.n) buf_put(b, s.p + done, s.n - done);
}

void json_put_str(struct buf *b, struct str s)
{
    buf_byte(b, '"');
    json_put_esc(b, s);
    buf_byte(b, '"');
}

void json_put_f64(struct buf *b, double v)
{
    char text[40];

    if (!isfinite(v)) v = -9999.0;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    buf_str(b, str_c(text));
    if (!strpbrk(text, ".e")) buf_str(b, STR(".0"));
}
