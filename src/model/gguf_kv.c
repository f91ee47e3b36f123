/* gguf_kv.c - what an open GGUF file holds: values by key, arrays, tensors by name.
 *
 * Everything here walks bytes that gguf_open has looked at: lengths and types hold.
 */
#include <assert.h>
#include <stdio.h>

#include "base/buf.h"
#include "model/gguf_int.h"
#include "model/le_int.h"

#define TEXT_BYTES 160 // of a string in gguf_kv_text
#define TEXT_ELEMS 6   // of an array

static const struct gguf_kv *find(const struct gguf *g, const char *key)
{
    return map_get(&g->by_key, str_c(key));
}

/* --- single values: of type t at p --- */

static bool is_int(enum gguf_type t)
{
    return t <= GGUF_I32 || t == GGUF_U64 || t == GGUF_I64;
}

/* Integers and booleans as i64; a u64 above INT64_MAX is the one that does not fit. */
static bool int_at(const unsigned char *p, enum gguf_type t, int64_t *ret)
{
    switch (t) {
    case GGUF_U8:
    case GGUF_BOOL: *ret = p[0]; return true;
    case GGUF_I8: *ret = (int8_t)p[0]; return true;
    case GGUF_U16: *ret = le16(p); return true;
    case GGUF_I16: *ret = (int16_t)le16(p); return true;
    case GGUF_U32: *ret = le32(p); return true;
    case GGUF_I32: *ret = (int32_t)le32(p); return true;
    case GGUF_U64:
    case GGUF_I64: *ret = (int64_t)le64(p); return t == GGUF_I64 || *ret >= 0;
    case GGUF_F32:
    case GGUF_F64:
    case GGUF_STR:
    case GGUF_ARR:
    case GGUF_TYPES: break;
    }
    return false;
}

static bool f64_at(const unsigned char *p, enum gguf_type t, double *ret)
{
    int64_t i;

    if (t == GGUF_F32)
        *ret = (double)le_f32(p);
    else if (t == GGUF_F64)
        *ret = le_f64(p);
    else if (t == GGUF_U64)
        *ret = (double)le64(p);
    else if (is_int(t) && int_at(p, t, &i))
        *ret = (double)i;
    else
        return false;
    return true;
}

static struct str str_at(const struct gguf *g, uint64_t at)
{
    return (struct str){ (const char *)g->p + at + 8, (size_t)le64(g->p + at) };
}

bool gguf_has(const struct gguf *g, const char *key)
{
    return find(g, key) != NULL;
}

bool gguf_str(const struct gguf *g, const char *key, struct str *ret)
{
    const struct gguf_kv *kv = find(g, key);

    if (!kv || kv->type != GGUF_STR) return false;
    *ret = str_at(g, kv->val);
    return true;
}

bool gguf_bool(const struct gguf *g, const char *key, bool *ret)
{
    const struct gguf_kv *kv = find(g, key);

    if (!kv || kv->type != GGUF_BOOL) return false;
    *ret = g->p[kv->val];
    return true;
}

bool gguf_int(const struct gguf *g, const char *key, int64_t *ret)
{
    const struct gguf_kv *kv = find(g, key);
    int64_t               v;

    if (!kv || !is_int(kv->type) || !int_at(g->p + kv->val, kv->type, &v)) return false;
    *ret = v;
    return true;
}

bool gguf_f64(const struct gguf *g, const char *key, double *ret)
{
    const struct gguf_kv *kv = find(g, key);

    return kv && f64_at(g->p + kv->val, kv->type, ret);
}

/* --- values that must be right --- */

static const char *type_word(enum gguf_type t)
{
    static const char *const word[GGUF_TYPES] = {
        [GGUF_U8] = "an integer",     [GGUF_I8] = "an integer",  [GGUF_U16] = "an integer",
        [GGUF_I16] = "an integer",    [GGUF_U32] = "an integer", [GGUF_I32] = "an integer",
        [GGUF_U64] = "an integer",    [GGUF_I64] = "an integer", [GGUF_F32] = "a real number",
        [GGUF_F64] = "a real number", [GGUF_BOOL] = "a boolean", [GGUF_STR] = "a string",
        [GGUF_ARR] = "an array",
    };
    return word[t];
}

int gguf_bad_key(const struct gguf *g, struct err *e, const char *key, const char *fmt, ...)
{
    const struct gguf_kv *kv = find(g, key);
    char                  msg[ERR_MSG_MAX];
    va_list               ap;

    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (!kv) return gguf_bad(g, e, "key \"%.64s\" %s", key, msg);
    return gguf_bad(g, e, "key \"%.64s\" at offset %" PRIu64 ": %s", key, kv->at, msg);
}

static int missing(const struct gguf *g, struct err *e, const char *key, const char *what)
{
    return gguf_bad_key(g, e, key, "is missing: %s is needed", what);
}

static int check_int(const struct gguf *g, const struct gguf_kv *kv, const char *key, int64_t min,
                     int64_t max, int64_t *ret, struct err *e)
{
    int64_t v;

    if (!is_int(kv->type))
        return gguf_bad_key(g, e, key, "%s, not an integer", type_word(kv->type));
    if (!int_at(g->p + kv->val, kv->type, &v))
        return gguf_bad_key(g, e, key, "value %" PRIu64 " is not in %" PRId64 "..%" PRId64,
                            le64(g->p + kv->val), min, max);
    if (v < min || v > max)
        return gguf_bad_key(g, e, key, "value %" PRId64 " is not in %" PRId64 "..%" PRId64, v, min,
                            max);
    *ret = v;
    return 0;
}

int gguf_need_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *ret,
                  struct err *e)
{
    const struct gguf_kv *kv = find(g, key);

    return kv ? check_int(g, kv, key, min, max, ret, e) : missing(g, e, key, "an integer");
}

int gguf_opt_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t def,
                 int64_t *ret, struct err *e)
{
    const struct gguf_kv *kv = find(g, key);

    if (kv) return check_int(g, kv, key, min, max, ret, e);
    *ret = def;
    return 0;
}

int gguf_opt_f64(const struct gguf *g, const char *key, double min, double max, double def,
                 double *ret, struct err *e)
{
    const struct gguf_kv *kv = find(g, key);
    double                v;

    if (!kv) {
        *ret = def;
        return 0;
    }
    if (!f64_at(g->p + kv->val, kv->type, &v))
        return gguf_bad_key(g, e, key, "%s, not a number", type_word(kv->type));
    if (!(v >= min && v <= max)) // NaN is in no range
        return gguf_bad_key(g, e, key, "value %g is not in %g..%g", v, min, max);
    *ret = v;
    return 0;
}

/* --- arrays --- */

bool gguf_arr(const struct gguf *g, const char *key, enum gguf_type *type, size_t *n)
{
    const struct gguf_kv *kv = find(g, key);

    if (!kv || kv->type != GGUF_ARR) return false;
    *type = kv->elem;
    *n    = (size_t)kv->n;
    return true;
}

static uint64_t next_str(const struct gguf *g, uint64_t at)
{
    return at + 8 + le64(g->p + at);
}

static struct str arr_str(const struct gguf *g, const struct gguf_kv *kv, size_t i)
{
    uint64_t at = kv->stride[i / GGUF_STR_STRIDE];

    for (size_t k = i % GGUF_STR_STRIDE; k; k--) at = next_str(g, at);
    return str_at(g, at);
}

struct str gguf_arr_str(const struct gguf *g, const char *key, size_t i)
{
    const struct gguf_kv *kv = find(g, key);

    if (!kv || kv->type != GGUF_ARR || kv->elem != GGUF_STR || i >= kv->n) return STR_NULL;
    return arr_str(g, kv, i);
}

/* The array of key, when `fits` likes its element type. */
static int need_arr(const struct gguf *g, const char *key, bool (*fits)(enum gguf_type),
                    const char *what, const struct gguf_kv **ret, struct err *e)
{
    const struct gguf_kv *kv = find(g, key);

    if (!kv) return missing(g, e, key, what);
    if (kv->type != GGUF_ARR)
        return gguf_bad_key(g, e, key, "%s, not %s", type_word(kv->type), what);
    if (!fits(kv->elem))
        return gguf_bad_key(g, e, key, "an array with elements each %s, not %s",
                            type_word(kv->elem), what);
    *ret = kv;
    return 0;
}

static bool fits_str(enum gguf_type t)
{
    return t == GGUF_STR;
}

static bool fits_int(enum gguf_type t)
{
    return is_int(t) || t == GGUF_BOOL;
}

static bool fits_number(enum gguf_type t)
{
    return is_int(t) || t == GGUF_F32 || t == GGUF_F64;
}

int gguf_strs(const struct gguf *g, const char *key, struct arena *a, struct str **ret, size_t *n,
              struct err *e)
{
    const struct gguf_kv *kv;

    int rc = need_arr(g, key, fits_str, "an array of strings", &kv, e);
    if (rc) return rc;
    struct str *s = arena_array(a, (size_t)kv->n, sizeof *s);
    if (!s) return err_nomem(e, "reading an array of strings");
    uint64_t at = kv->val;
    for (size_t i = 0; i < kv->n; i++, at = next_str(g, at)) s[i] = str_at(g, at);
    *ret = s;
    *n   = (size_t)kv->n;
    return 0;
}

int gguf_ints(const struct gguf *g, const char *key, struct arena *a, int32_t **ret, size_t *n,
              struct err *e)
{
    const struct gguf_kv *kv;
    int64_t               i64;

    int rc = need_arr(g, key, fits_int, "an array of integers", &kv, e);
    if (rc) return rc;
    int32_t *v = arena_array(a, (size_t)kv->n, sizeof *v);
    if (!v) return err_nomem(e, "reading an array of integers");
    for (size_t i = 0; i < kv->n; i++) {
        if (!int_at(g->p + kv->val + i * gguf_type_bytes(kv->elem), kv->elem, &i64) ||
            i64 < INT32_MIN || i64 > INT32_MAX)
            return gguf_bad_key(g, e, key, "element %zu of %" PRIu64 " does not fit 32 bits", i,
                                kv->n);
        v[i] = (int32_t)i64;
    }
    *ret = v;
    *n   = (size_t)kv->n;
    return 0;
}

int gguf_floats(const struct gguf *g, const char *key, struct arena *a, float **ret, size_t *n,
                struct err *e)
{
    const struct gguf_kv *kv;
    double                f64 = 0;

    int rc = need_arr(g, key, fits_number, "an array of numbers", &kv, e);
    if (rc) return rc;
    float *v = arena_array(a, (size_t)kv->n, sizeof *v);
    if (!v) return err_nomem(e, "reading an array of numbers");
    for (size_t i = 0; i < kv->n; i++) {
        f64_at(g->p + kv->val + i * gguf_type_bytes(kv->elem), kv->elem, &f64);
        v[i] = (float)f64;
    }
    *ret = v;
    *n   = (size_t)kv->n;
    return 0;
}

/* --- tensors --- */

size_t gguf_n_tensor(const struct gguf *g)
{
    return g->n_tensor;
}

const struct tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
    assert(i < g->n_tensor);
    return &g->tensor[i];
}

const struct tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    return map_get(&g->by_name, str_c(name));
}

static const char *dims_text(char *dst, size_t size, const int64_t *dim, int n_dim)
{
    size_t at = 0;

    for (int i = 0; i < n_dim && at < size; i++)
        at += (size_t)snprintf(dst + at, size - at, "%s%" PRId64, i ? " x " : "", dim[i]);
    return dst;
}

int gguf_need_tensor(const struct gguf *g, const char *name, const int64_t *dim, int n_dim,
                     const struct tensor **ret, struct err *e)
{
    const struct tensor *t = gguf_tensor(g, name);
    char                 found[96], wanted[96];
    bool                 same = true;

    assert(n_dim >= 1 && n_dim <= LIM_GGUF_DIMS);
    if (!t)
        return gguf_bad(g, e, "tensor \"%.64s\" is missing: one of %s is needed", name,
                        dims_text(wanted, sizeof wanted, dim, n_dim));
    for (int i = 0; i < LIM_GGUF_DIMS; i++) same = same && t->dim[i] == (i < n_dim ? dim[i] : 1);
    if (!same)
        return gguf_bad(g, e, "tensor \"%.64s\" at offset %" PRIu64 ": is %s, %s is needed", name,
                        g->tensor_at[t - g->tensor],
                        dims_text(found, sizeof found, t->dim, t->n_dim),
                        dims_text(wanted, sizeof wanted, dim, n_dim));
    *ret = t;
    return 0;
}

const char *gguf_name(const struct gguf *g)
{
    return g->name;
}

uint64_t gguf_data_offset(const struct gguf *g)
{
    return g->data;
}

/* --- listing --- */

size_t gguf_n_kv(const struct gguf *g)
{
    return g->n_kv;
}

struct str gguf_kv_key(const struct gguf *g, size_t i)
{
    assert(i < g->n_kv);
    return g->kv[i].key;
}

static void put_str(struct buf *b, struct str s, size_t size)
{
    char q[TEXT_BYTES];

    buf_byte(b, '"');
    buf_str(b, str_c(str_quote(q, size, s)));
    buf_byte(b, '"');
}

static void put_number(struct buf *b, const unsigned char *p, enum gguf_type t)
{
    int64_t i;
    double  d = 0;

    if (t == GGUF_BOOL)
        buf_str(b, p[0] ? STR("true") : STR("false"));
    else if (t == GGUF_U64)
        buf_u64(b, le64(p));
    else if (int_at(p, t, &i))
        buf_i64(b, i);
    else if (f64_at(p, t, &d))
        buf_printf(b, t == GGUF_F32 ? "%.7g" : "%.15g", d);
}

void gguf_kv_text(const struct gguf *g, size_t i, struct buf *ret)
{
    assert(i < g->n_kv);
    const struct gguf_kv *kv = &g->kv[i];

    if (kv->type == GGUF_STR) {
        put_str(ret, str_at(g, kv->val), TEXT_BYTES);
    } else if (kv->type != GGUF_ARR) {
        put_number(ret, g->p + kv->val, kv->type);
    } else {
        buf_printf(ret, "%" PRIu64 " [", kv->n);
        for (size_t k = 0; k < kv->n && k < TEXT_ELEMS; k++) {
            if (k) buf_str(ret, STR(", "));
            if (kv->elem == GGUF_STR)
                put_str(ret, arr_str(g, kv, k), LIM_QUOTE_BYTES);
            else
                put_number(ret, g->p + kv->val + k * gguf_type_bytes(kv->elem), kv->elem);
        }
        buf_str(ret, kv->n > TEXT_ELEMS ? STR(", ...]") : STR("]"));
    }
}
