/* gguf.c - open a GGUF file: one pass over header, metadata and tensor table.
 *
 *   "GGUF"  u32 version  u64 n_tensor  u64 n_kv          all little-endian
 *   n_kv     x  { string key, u32 type, value }
 *   n_tensor x  { string name, u32 n_dim, n_dim x u64, u32 type, u64 offset from the data's start }
 *   padding to general.alignment, tensor data
 *
 *   string = u64 length, bytes        array value = u32 element type, u64 count, elements
 *
 * A count is believed only when the rest of the file could hold that many of the smallest entries,
 * so memory and time are bounded by the file's size. Whatever is accepted here was looked at:
 * accessors (gguf_kv.c) walk the same bytes again without checks.
 */
#include "model/gguf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "model/gguf_int.h"
#include "model/le_int.h"

#define ALIGN_DEFAULT 32
#define ALIGN_MIN     8
#define NAME_BYTES    64 // of a tensor, the format's limit

/* Smallest entries of the two tables: key of one byte and value of one; name of one byte, one
 * dimension. */
#define KV_BYTES_MIN     (8 + 1 + 4 + 1)
#define TENSOR_BYTES_MIN (8 + 1 + 4 + 8 + 4 + 8)

/* Our own bytes for the tables are at most this many times the file's: a 14-byte member costs a
 * struct gguf_kv, a 33-byte row a struct tensor and its offset. */
#define ARENA_PER_FILE 8

struct rd {
    struct gguf *g;
    uint64_t     at; // next byte, <= g->size
    struct err  *e;
    const char  *kind; // what errors are about: "key", "tensor", or NULL for the file itself ...
    struct str   who;  // ... its name and its offset
    uint64_t     who_at;
};

int gguf_bad(const struct gguf *g, struct err *e, const char *fmt, ...)
{
    char    msg[ERR_MSG_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return err_set(e, ERR_BAD_FILE, "%.200s: %s", g->name, msg);
}

static int bad(const struct rd *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int bad(const struct rd *r, const char *fmt, ...)
{
    char    msg[ERR_MSG_MAX], q[LIM_QUOTE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (!r->kind) return gguf_bad(r->g, r->e, "%s", msg);
    return gguf_bad(r->g, r->e, "%s \"%s\" at offset %" PRIu64 ": %s", r->kind,
                    str_quote(q, sizeof q, r->who), r->who_at, msg);
}

static void about(struct rd *r, const char *kind, struct str who, uint64_t at)
{
    r->kind   = kind;
    r->who    = who;
    r->who_at = at;
}

static void about_tensor(struct rd *r, const struct tensor *t)
{
    about(r, "tensor", t->name, r->g->tensor_at[t - r->g->tensor]);
}

unsigned gguf_type_bytes(enum gguf_type t)
{
    static const unsigned char bytes[GGUF_TYPES] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return bytes[t];
}

static uint64_t left(const struct rd *r)
{
    return r->g->size - r->at;
}

static int cut_short(const struct rd *r, const char *what)
{
    return bad(r, "%s at offset %" PRIu64 " passes the end of the file (%" PRIu64 " bytes)", what,
               r->at, r->g->size);
}

static int rd_u32(struct rd *r, const char *what, uint32_t *ret)
{
    if (left(r) < 4) return cut_short(r, what);
    *ret = le32(r->g->p + r->at);
    r->at += 4;
    return 0;
}

static int rd_u64(struct rd *r, const char *what, uint64_t *ret)
{
    if (left(r) < 8) return cut_short(r, what);
    *ret = le64(r->g->p + r->at);
    r->at += 8;
    return 0;
}

static int rd_str(struct rd *r, const char *what, size_t max, struct str *ret)
{
    uint64_t n, at = r->at;

    int rc = rd_u64(r, what, &n);
    if (rc) return rc;
    if (n > max)
        return bad(r,
                   "%s at offset %" PRIu64 " has a length of %" PRIu64 " bytes, the limit is %zu",
                   what, at, n, max);
    if (n > left(r))
        return bad(r,
                   "%s at offset %" PRIu64 ", %" PRIu64 " bytes, passes the end of the "
                   "file (%" PRIu64 " bytes)",
                   what, at, n, r->g->size);
    *ret = (struct str){ (const char *)r->g->p + r->at, (size_t)n };
    r->at += n;
    return 0;
}

/* A key or a tensor's name: not empty, UTF-8, no NUL or other control character (names end up in
 * messages and in C strings). */
static int rd_name(struct rd *r, const char *what, size_t max, struct str *ret)
{
    uint64_t at = r->at;

    int rc = rd_str(r, what, max, ret);
    if (rc) return rc;
    if (!ret->n) return bad(r, "%s at offset %" PRIu64 " is empty", what, at);
    size_t ok = utf8_check(*ret);
    for (size_t i = 0; i < ok; i++)
        if ((unsigned char)ret->p[i] < ' ' || ret->p[i] == 0x7f) ok = i;
    if (ok == ret->n) return 0;
    char q[LIM_QUOTE_BYTES];
    return bad(r, "%s at offset %" PRIu64 " is not clean UTF-8 text: byte 0x%02x in \"%s\"", what,
               at, (unsigned char)ret->p[ok], str_quote(q, sizeof q, *ret));
}

/* --- header --- */

static int bad_magic(const struct gguf *g, struct err *e)
{
    static const struct {
        const char *head, *what;
    } known[] = {
        { "version https://git-lfs",
          "a Git LFS pointer, not the model itself: fetch the model with git lfs pull" },
        { "lmgg", "an old GGML file: convert the model to GGUF" },
        { "fmgg", "an old GGML file: convert the model to GGUF" },
        { "tjgg", "an old GGML file: convert the model to GGUF" },
        { "FUGG", "a big-endian GGUF file: only little-endian ones can be read" },
        { "PK\x03\x04", "a ZIP archive, such as PyTorch writes: convert the model to GGUF" },
        { "<!DOCTYPE", "a web page: the download went wrong" },
    };
    struct str file = { (const char *)g->p, (size_t)g->size };
    char       q[LIM_QUOTE_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_starts(file, str_c(known[i].head)))
            return gguf_bad(g, e, "this is %s", known[i].what);
    return gguf_bad(g, e, "not a GGUF file: it begins with \"%s\" instead of \"GGUF\"",
                    str_quote(q, sizeof q, str_sub(file, 0, 4)));
}

static int read_header(struct rd *r)
{
    struct gguf *g = r->g;
    uint64_t     n_tensor, n_kv;
    int          rc;

    if (!g->size) return bad(r, "the file is empty");
    if (g->size < 4 || memcmp(g->p, "GGUF", 4) != 0) return bad_magic(g, r->e);
    r->at = 4;
    if ((rc = rd_u32(r, "the version", &g->version))) return rc;
    if (g->version && !(g->version & 0xffff))
        return bad(r,
                   "a big-endian file (version %u read backwards at offset 4): only "
                   "little-endian ones can be read",
                   __builtin_bswap32(g->version));
    if (g->version != 2 && g->version != 3)
        return bad(r, "version %u at offset 4 is not known, 2 and 3 are", g->version);

    if ((rc = rd_u64(r, "the number of tensors", &n_tensor))) return rc;
    if ((rc = rd_u64(r, "the number of keys", &n_kv))) return rc;
    if (n_tensor > LIM_GGUF_TENSORS || n_tensor > left(r) / TENSOR_BYTES_MIN)
        return bad(r,
                   "the number of tensors at offset 8 is %" PRIu64
                   ": above the limit of %d, or more than "
                   "a file of %" PRIu64 " bytes can hold",
                   n_tensor, LIM_GGUF_TENSORS, g->size);
    if (n_kv > LIM_GGUF_KVS || n_kv > left(r) / KV_BYTES_MIN)
        return bad(r,
                   "the number of keys at offset 16 is %" PRIu64
                   ": above the limit of %d, or more than "
                   "a file of %" PRIu64 " bytes can hold",
                   n_kv, LIM_GGUF_KVS, g->size);
    g->n_tensor = (size_t)n_tensor;
    g->n_kv     = (size_t)n_kv;
    return 0;
}

/* --- metadata --- */

static int read_bools(const struct rd *r, const struct gguf_kv *kv, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (r->g->p[kv->val + i] > 1)
            return bad(r, "boolean at offset %" PRIu64 " is %u, not 0 or 1", kv->val + i,
                       r->g->p[kv->val + i]);
    return 0;
}

static int read_strings(struct rd *r, struct gguf_kv *kv)
{
    struct str s;

    if (kv->n > left(r) / 8)
        return bad(r,
                   "an array of %" PRIu64 " strings does not fit the file's last %" PRIu64 " bytes",
                   kv->n, left(r));
    kv->stride =
        arena_array(&r->g->arena, (size_t)(kv->n / GGUF_STR_STRIDE + 1), sizeof *kv->stride);
    if (!kv->stride) return err_nomem(r->e, "indexing an array of strings");
    for (uint64_t i = 0; i < kv->n; i++) {
        if (i % GGUF_STR_STRIDE == 0) kv->stride[i / GGUF_STR_STRIDE] = r->at;
        int rc = rd_str(r, "a string of its array", LIM_GGUF_STR_BYTES, &s);
        if (rc) return rc;
    }
    return 0;
}

static int read_array(struct rd *r, struct gguf_kv *kv)
{
    uint32_t elem;
    int      rc;

    if ((rc = rd_u32(r, "its element type", &elem))) return rc;
    if ((rc = rd_u64(r, "its length", &kv->n))) return rc;
    if (elem >= GGUF_TYPES) return bad(r, "an array of type %u, which is not known", elem);
    if (elem == GGUF_ARR) return bad(r, "an array of arrays, which is not supported");
    if (kv->n > LIM_GGUF_ARR)
        return bad(r, "an array of %" PRIu64 " elements, the limit is %u", kv->n, LIM_GGUF_ARR);
    kv->elem = (enum gguf_type)elem;
    kv->val  = r->at;
    if (elem == GGUF_STR) return read_strings(r, kv);

    uint64_t bytes = kv->n * gguf_type_bytes(kv->elem); // at most 2^24 * 8
    if (bytes > left(r))
        return bad(r,
                   "an array of %" PRIu64 " elements, %" PRIu64
                   " bytes, passes the end of the file "
                   "(%" PRIu64 " bytes)",
                   kv->n, bytes, r->g->size);
    r->at += bytes;
    return elem == GGUF_BOOL ? read_bools(r, kv, kv->n) : 0;
}

static int read_kv(struct rd *r, struct gguf_kv *kv)
{
    uint32_t   type;
    struct str s;
    int        rc;

    kv->at  = r->at;
    r->kind = NULL;
    if ((rc = rd_name(r, "a key", LIM_GGUF_KEY_BYTES, &kv->key))) return rc;
    about(r, "key", kv->key, kv->at);
    if (map_get(&r->g->by_key, kv->key)) return bad(r, "is there twice");
    if (map_put(&r->g->by_key, kv->key, kv)) return err_nomem(r->e, "reading metadata");
    if ((rc = rd_u32(r, "its type", &type))) return rc;
    if (type >= GGUF_TYPES) return bad(r, "type %u is not known", type);
    kv->type = (enum gguf_type)type;
    kv->val  = r->at;
    if (type == GGUF_ARR) return read_array(r, kv);
    if (type == GGUF_STR) return rd_str(r, "its value", LIM_GGUF_STR_BYTES, &s);

    unsigned bytes = gguf_type_bytes(kv->type);
    if (left(r) < bytes) return cut_short(r, "its value");
    r->at += bytes;
    return type == GGUF_BOOL ? read_bools(r, kv, 1) : 0;
}

static int read_align(struct rd *r)
{
    struct gguf          *g  = r->g;
    const struct gguf_kv *kv = map_get(&g->by_key, STR("general.alignment"));

    g->align = ALIGN_DEFAULT;
    if (!kv) return 0;
    about(r, "key", kv->key, kv->at);
    if (kv->type != GGUF_U32) return bad(r, "is not a 32-bit unsigned integer");
    g->align = le32(g->p + kv->val);
    if (g->align < ALIGN_MIN || g->align > LIM_GGUF_ALIGN || (g->align & (g->align - 1)))
        return bad(r, "value %" PRIu64 " is not a power of two in %d..%u", g->align, ALIGN_MIN,
                   LIM_GGUF_ALIGN);
    return 0;
}

/* --- tensor table --- */

static int read_dims(struct rd *r, struct tensor *t)
{
    uint32_t n_dim;
    uint64_t dim;
    int64_t  n = 1;
    int      rc;

    if ((rc = rd_u32(r, "its number of dimensions", &n_dim))) return rc;
    if (n_dim < 1 || n_dim > LIM_GGUF_DIMS)
        return bad(r, "%u dimensions, 1 to %d are possible", n_dim, LIM_GGUF_DIMS);
    t->n_dim = (int)n_dim;
    for (uint32_t i = 0; i < LIM_GGUF_DIMS; i++) {
        dim = 1;
        if (i < n_dim && (rc = rd_u64(r, "a dimension", &dim))) return rc;
        if (dim < 1 || dim > INT64_MAX)
            return bad(r, "dimension %u is %" PRIu64 ", out of range", i, dim);
        t->dim[i] = (int64_t)dim;
        if (__builtin_mul_overflow(n, t->dim[i], &n))
            return bad(r, "the product of its dimensions passes 2^63");
    }
    return 0;
}

static int read_type(struct rd *r, struct tensor *t)
{
    uint32_t number;

    int rc = rd_u32(r, "its type", &number);
    if (rc) return rc;
    if (!tensor_type_by_number(number, &t->type)) {
        const char *gone = tensor_type_gone(number);
        if (!gone) return bad(r, "type %u is not known", number);
        return bad(r,
                   "type %u is not known any more (%s, withdrawn from the format: convert "
                   "the model again)",
                   number, gone);
    }
    const struct tensor_type_row *row = tensor_type_row(t->type);
    if (t->dim[0] % row->block_n)
        return bad(r, "rows of %" PRId64 " elements cannot be %s, which has blocks of %d",
                   t->dim[0], row->name, row->block_n);
    /* No type needs more than 8 bytes an element, yet 2^63 elements of them pass 64 bits. */
    if (__builtin_mul_overflow((uint64_t)(tensor_n(t) / row->block_n), (uint64_t)row->block_bytes,
                               &t->bytes))
        return bad(r, "its data passes 2^64 bytes");
    return 0;
}

/* One row of the table; t->offset is left relative to the data's start, which is not known yet. */
static int read_tensor(struct rd *r, struct tensor *t)
{
    struct gguf *g = r->g;
    int          rc;

    g->tensor_at[t - g->tensor] = r->at;
    r->kind                     = NULL;
    if ((rc = rd_name(r, "a tensor's name", NAME_BYTES, &t->name))) return rc;
    about_tensor(r, t);
    if (map_get(&g->by_name, t->name)) return bad(r, "its name is there twice");
    if (map_put(&g->by_name, t->name, t)) return err_nomem(r->e, "reading the tensor table");
    if ((rc = read_dims(r, t))) return rc;
    if ((rc = read_type(r, t))) return rc;
    if ((rc = rd_u64(r, "its data offset", &t->offset))) return rc;
    if (t->offset & (g->align - 1))
        return bad(r, "data offset %" PRIu64 " is not a multiple of %" PRIu64, t->offset, g->align);
    return 0;
}

static int place_tensor(struct rd *r, struct tensor *t)
{
    struct gguf *g    = r->g;
    uint64_t     room = g->data <= g->size ? g->size - g->data : 0;

    about_tensor(r, t);
    if (t->offset > room || t->bytes > room - t->offset)
        return bad(r,
                   "data of %" PRIu64 " bytes at data offset %" PRIu64 " passes the end of the "
                   "file (%" PRIu64 " bytes, data from %" PRIu64 "): cut short or corrupted",
                   t->bytes, t->offset, g->size, g->data);
    t->offset += g->data;
    t->data = g->p + t->offset;
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a,
                        *y = *(const struct tensor *const *)b;

    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int check_overlap(struct rd *r)
{
    struct gguf    *g     = r->g;
    struct tensor **order = mem_array(g->n_tensor, sizeof *order);
    int             rc    = 0;

    if (!order) return err_nomem(r->e, "checking the tensor table");
    for (size_t i = 0; i < g->n_tensor; i++) order[i] = &g->tensor[i];
    qsort(order, g->n_tensor, sizeof *order, by_offset);
    for (size_t i = 1; i < g->n_tensor && !rc; i++) {
        const struct tensor *a = order[i - 1], *b = order[i];
        char                 q[LIM_QUOTE_BYTES];
        if (b->offset - a->offset >= a->bytes) continue;
        about_tensor(r, b);
        rc = bad(r, "its data overlaps that of tensor \"%s\" at offset %" PRIu64,
                 str_quote(q, sizeof q, a->name), g->tensor_at[a - g->tensor]);
    }
    mem_free(order);
    return rc;
}

static int read_tensors(struct rd *r)
{
    struct gguf *g = r->g;
    int          rc;

    for (size_t i = 0; i < g->n_tensor; i++)
        if ((rc = read_tensor(r, &g->tensor[i]))) return rc;
    g->data = (r->at + g->align - 1) & ~(g->align - 1); // size < 2^63: no wrap
    for (size_t i = 0; i < g->n_tensor; i++)
        if ((rc = place_tensor(r, &g->tensor[i]))) return rc;
    return check_overlap(r);
}

/* --- open and close --- */

static int read_file(struct gguf *g, struct err *e)
{
    struct rd r = { .g = g, .e = e };

    int rc = read_header(&r);
    if (rc) return rc;
    map_init(&g->by_key, g->n_kv);
    map_init(&g->by_name, g->n_tensor);
    g->kv        = arena_array(&g->arena, g->n_kv, sizeof *g->kv);
    g->tensor    = arena_array(&g->arena, g->n_tensor, sizeof *g->tensor);
    g->tensor_at = arena_array(&g->arena, g->n_tensor, sizeof *g->tensor_at);
    if (!g->kv || !g->tensor || !g->tensor_at) return err_nomem(e, "reading the header");
    for (size_t i = 0; i < g->n_kv; i++)
        if ((rc = read_kv(&r, &g->kv[i]))) return rc;
    if ((rc = read_align(&r))) return rc;
    return read_tensors(&r);
}

/* Takes the mapping over when `mapped`, whatever comes of it. */
static int open_bytes(const unsigned char *p, uint64_t size, bool mapped, const char *name,
                      struct gguf **ret, struct err *e)
{
    struct gguf *g = mem_zalloc(sizeof *g);

    if (!g) {
        if (mapped) munmap((void *)p, size);
        return err_nomem(e, "opening a model file");
    }
    *g           = (struct gguf){ .p = p, .size = size, .mapped = mapped };
    struct str z = str_c(name);
    arena_init(&g->arena, z.n + KIB(64) + ARENA_PER_FILE * size);
    g->name = arena_str(&g->arena, z).p;
    int rc  = g->name ? read_file(g, e) : err_nomem(e, "opening a model file");
    if (rc)
        gguf_close(g);
    else
        *ret = g;
    return rc;
}

int gguf_open(int fd, uint64_t size, const char *name, struct gguf **ret, struct err *e)
{
    if (!size || size > INT64_MAX / 16)
        return err_set(e, ERR_BAD_FILE, "%.200s: %s", name,
                       size ? "the file is too large" : "the file is empty");
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_set(e, ERR_IO, "%.200s: cannot map it: %s", name, err_errno(errno));
    return open_bytes(p, size, true, name, ret, e);
}

int gguf_open_mem(struct str bytes, const char *name, struct gguf **ret, struct err *e)
{
    return open_bytes((const unsigned char *)bytes.p, bytes.n, false, name, ret, e);
}

void gguf_close(struct gguf *g)
{
    if (!g) return;
    map_release(&g->by_key);
    map_release(&g->by_name);
    arena_release(&g->arena);
    if (g->mapped) munmap((void *)g->p, g->size);
    mem_free(g);
}
