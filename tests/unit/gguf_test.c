/* gguf_test.c - the GGUF reader: what it refuses first, then what it gives. */
#include "gguf_make.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file with a value of every type. */
static void make(struct gm *m)
{
    gm_init(m);
    gm_kv_str(m, "general.architecture", "llama");
    gm_kv_u32(m, "general.alignment", 32);
    pack_u8(gm_key(m, "t.u8", GGUF_U8), 200);
    pack_u8(gm_key(m, "t.i8", GGUF_I8), 200);
    buf_put(gm_key(m, "t.u16", GGUF_U16), "\xff\xfe", 2);
    buf_put(gm_key(m, "t.i16", GGUF_I16), "\xff\xfe", 2);
    gm_kv_u32(m, "t.u32", 4000000000u);
    pack_i32(gm_key(m, "t.i32", GGUF_I32), -5);
    gm_kv_f32(m, "t.f32", 0.5f);
    gm_kv_bool(m, "t.yes", true);
    pack_u64(gm_key(m, "t.u64", GGUF_U64), UINT64_MAX);
    pack_u64(gm_key(m, "t.i64", GGUF_I64), (uint64_t)INT64_MIN);
    pack_f64(gm_key(m, "t.f64", GGUF_F64), 1e300);
    struct buf *b = gm_kv_arr(m, "t.strs", GGUF_STR, 3);
    gm_text(b, "one");
    gm_text(b, "");
    gm_text(b, "three");
    buf_put(gm_kv_arr(m, "t.bools", GGUF_BOOL, 3), "\1\0\1", 3);
    buf_put(gm_kv_arr(m, "t.i8s", GGUF_I8, 2), "\x80\x7f", 2);
    gm_kv_arr(m, "t.none", GGUF_F32, 0);
    b = gm_kv_arr(m, "t.f64s", GGUF_F64, 2);
    pack_f64(b, 1e300);
    pack_f64(b, -0.25);
    gm_tensor(m, "first.weight", 8, 2, 64, 3, 1); // Q8_0
    gm_tensor(m, "second.weight", 1, 3, 5, 2, 2); // F16
    gm_tensor(m, "third.weight", 0, 1, 1, 1, 1);  // F32
}

static void refused(struct gm *m, enum err_code code, const char *text)
{
    struct gguf *g = NULL;
    struct err   e;

    assert_err(gguf_open_mem(buf_text(&m->file), "dir/m.gguf", &g, &e), code, text);
    if (strncmp(e.msg, "dir/m.gguf: ", 12) != 0) fail_msg("no file in \"%s\"", e.msg);
    assert_null(g);
}

static void broken_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *needle;
        int         rel;
        uint64_t    v;
        int         bytes;
        const char *text;
    } rows[] = {
        /* header */
        { "GGUF", -1, 'X', 1, "begins with \"GGUX\"" },
        { "GGUF", 0, 1, 4, "version 1 at offset 4 is not known, 2 and 3 are" },
        { "GGUF", 0, 4, 4, "version 4" },
        { "GGUF", 0, 0x03000000, 4, "a big-endian file (version 3" },
        { "GGUF", 4, UINT64_MAX, 8,
          "the number of tensors at offset 8 is 18446744073709551615: above the limit" },
        { "GGUF", 4, 60000, 8, "is 60000: above" },
        { "GGUF", 12, 1ull << 63, 8, "the number of keys at offset 16 is 9223372036854775808" },
        { "GGUF", 12, 60000, 8,
          "is 60000: above the limit of 65536, or more than a file of 1024 bytes" },
        { "GGUF", 12, 19, 8, "" }, // one too many: a tensor's row read as a key
        { "GGUF", 12, 0, 8, "" },
        /* keys */
        { "general.architecture", -28, 0, 8, "a key at offset 24 is empty" },
        { "general.architecture", -28, INT64_MAX, 8,
          "a key at offset 24 has a length of 9223372036854775807" },
        { "general.architecture", -28, 65535, 8, "passes the end of the file" },
        { "general.architecture", -1, 0, 1,
          "is not clean UTF-8 text: byte 0x00 in \"general.architectur\\x00\"" },
        { "general.architecture", -1, 0xff, 1, "byte 0xff" },
        { "general.architecture", 0, 14, 4,
          "key \"general.architecture\" at offset 24: type 14 is not known" },
        { "general.architecture", 0, UINT32_MAX, 4, "type 4294967295 is not known" },
        { "general.architecture", 4, UINT64_MAX, 8,
          "key \"general.architecture\" at offset 24: its value at offset 56" },
        { "general.architecture", 4, 1 << 20, 8, "passes the end" },
        { "t.yes", 4, 2, 1, "key \"t.yes\" at offset" },
        { "t.bools", 17, 9, 1, "is 9, not 0 or 1" },
        { "t.strs", 4, 13, 4, "an array of type 13, which is not known" },
        { "t.strs", 4, GGUF_ARR, 4, "an array of arrays" },
        { "t.strs", 8, 1ull << 61, 8,
          "an array of 2305843009213693952 elements, the limit is 16777216" },
        { "t.strs", 8, 5000, 8, "an array of 5000 strings does not fit the file's last" },
        { "t.strs", 16, 1ull << 40, 8, "key \"t.strs\" at offset" },
        { "t.f64s", 8, 1 << 23, 8, "an array of 8388608 elements, 67108864 bytes, passes the end" },
        { "general.alignment", 4, 0, 4,
          "key \"general.alignment\" at offset 69: value 0 is not a power of two in 8..1048576" },
        { "general.alignment", 4, 48, 4, "value 48" },
        { "general.alignment", 4, 1u << 31, 4, "value 2147483648" },
        { "general.alignment", 4, 128, 4, "is not a multiple of 128" },
        { "general.alignment", 0, GGUF_F32, 4, "is not a 32-bit unsigned integer" },
        /* tensors */
        { "first.weight", -20, 0, 8, "a tensor's name at offset" },
        { "first.weight", -20, 65, 8, "a length of 65 bytes, the limit is 64" },
        { "first.weight", -1, 0xC3, 1, "is not clean UTF-8" },
        { "first.weight", 0, 0, 4, "tensor \"first.weight\" at offset" },
        { "first.weight", 0, 5, 4, "5 dimensions, 1 to 4 are possible" },
        { "first.weight", 4, 0, 8, "dimension 0 is 0, out of range" },
        { "first.weight", 4, UINT64_MAX, 8, "dimension 0 is 18446744073709551615" },
        { "first.weight", 4, 1ull << 62, 8, "passes 2^63" },
        { "first.weight", 4, 65, 8, "rows of 65 elements cannot be Q8_0, which has blocks of 32" },
        { "third.weight", 4, 1ull << 62, 8, "its data passes 2^64 bytes" },
        { "first.weight", 12, 300, 8, "passes the end of the file" },
        { "first.weight", 20, 31, 4, "type 31 is not known any more (Q4_0_4_4" },
        { "first.weight", 20, 200, 4, "type 200 is not known" },
        { "first.weight", 24, 7, 8, "data offset 7 is not a multiple of 32" },
        { "first.weight", 24, UINT64_MAX - 31, 8, "passes the end of the file" },
        { "first.weight", 24, 1ull << 40, 8,
          "data of 204 bytes at data offset 1099511627776 passes the end" },
        { "second.weight", 32, 192, 8,
          "its data overlaps that of tensor \"first.weight\" at offset" },
        { "third.weight", 16, 0, 8, "overlaps that of tensor" },
        { "third.weight", 16, 512, 8, "cut short or corrupted" },
    };
    struct gm m;

    make(&m);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        gm_finish(&m);
        gm_poke(&m, rows[i].needle, rows[i].rel, rows[i].v, rows[i].bytes);
        refused(&m, ERR_BAD_FILE, rows[i].text);
    }
    gm_release(&m);
}

static void twice(void **state)
{
    (void)state;
    struct gm m;

    gm_init(&m);
    gm_kv_u32(&m, "a", 1);
    gm_tensor(&m, "x", 0, 1, 4, 1, 1);
    gm_tensor(&m, "x", 0, 1, 4, 1, 1);
    gm_finish(&m);
    refused(&m, ERR_BAD_FILE, "tensor \"x\" at offset 74: its name is there twice");
    gm_kv_bool(&m, "a", 1);
    gm_finish(&m);
    refused(&m, ERR_BAD_FILE, "key \"a\" at offset 41: is there twice");
    gm_release(&m);
}

static void other_files(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        { "", "the file is empty" },
        { "GG", "not a GGUF file: it begins with \"GG\"" },
        { "GGUF", "the version at offset 4 passes the end" },
        { "GGUF\3\0\0\0", "the number of tensors at offset 8" },
        { "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer" },
        { "lmgg\1\0\0\0", "an old GGML file" },
        { "<!DOCTYPE html>", "a web page" },
        { "FUGG\0\0\0\3", "big-endian" },
    };
    struct gguf *g;
    struct err   e;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str s = str_c(rows[i].bytes);
        if (i == 3) s.n = 8;
        assert_err(gguf_open_mem(s, "m.gguf", &g, &e), ERR_BAD_FILE, rows[i].text);
    }
    assert_err(gguf_open(0, 0, "m.gguf", &g, &e), ERR_BAD_FILE, "m.gguf: the file is empty");
    assert_err(gguf_open(-1, 100, "m.gguf", &g, &e), ERR_IO, "cannot map it: Bad file descriptor");
}

/* Cut anywhere, metadata that ends the file is refused: nothing that follows could hide a length
 * that was believed too early. */
static void cut_metadata(void **state)
{
    (void)state;
    for (int last = 0; last < 4; last++) {
        struct gm    m;
        struct gguf *g;
        struct err   e;
        gm_init(&m);
        gm_kv_u32(&m, "a", 1);
        if (last == 0)
            gm_kv_str(&m, "s", "some text");
        else if (last == 1)
            gm_text(gm_kv_arr(&m, "s", GGUF_STR, 1), "some text");
        else if (last == 2)
            pack_f64(gm_kv_arr(&m, "s", GGUF_F64, 1), 1);
        else
            pack_u64(gm_key(&m, "s", GGUF_U64), 1);
        gm_finish(&m);
        size_t n = 24 + m.kv.n;
        for (size_t cut = 0; cut <= n; cut++) {
            char *copy = malloc(cut ? cut : 1);
            memcpy(copy, m.file.p, cut);
            int rc = gguf_open_mem((struct str){ copy, cut }, "m.gguf", &g, &e);
            assert_int_equal(rc, cut < n ? -ERR_BAD_FILE : 0);
            if (rc == 0) gguf_close(g);
            free(copy);
        }
        gm_release(&m);
    }
}

/* Cut anywhere, a file lacks something; with any one byte changed it opens or says why not. */
static void cut_and_flipped(void **state)
{
    (void)state;
    struct gm    m;
    struct gguf *g;
    struct err   e;
    unsigned     opened = 0, not_opened = 0;

    make(&m);
    struct str whole = gm_finish(&m);
    for (size_t n = 0; n + 28 < whole.n; n++) { // the last tensor ends 28 bytes before its padding
        char *copy = malloc(n ? n : 1);         // of exactly this size: reading on is seen
        memcpy(copy, whole.p, n);
        if (gguf_open_mem((struct str){ copy, n }, "m.gguf", &g, &e) == 0)
            fail_msg("cut at %zu", n);
        free(copy);
    }
    for (size_t at = 0; at < whole.n; at++) {
        static const unsigned char flips[] = { 1, 0x80, 0xff, 0x0f };
        for (size_t k = 0; k < ARRAY_LEN(flips); k++) {
            m.file.p[at] = (char)(m.file.p[at] ^ flips[k]);
            e.msg[0]     = 0;
            if (gguf_open_mem(whole, "m.gguf", &g, &e) == 0)
                gguf_close(g), opened++;
            else
                not_opened += e.msg[0] != 0;
            m.file.p[at] = (char)(m.file.p[at] ^ flips[k]);
        }
    }
    assert_int_equal(opened + not_opened, 4 * whole.n);
    print_message("%zu cuts refused; %u changes opened, %u refused\n", whole.n - 28, opened,
                  not_opened);
    gm_release(&m);
}

static void no_memory(void **state)
{
    (void)state;
    struct gm    m;
    struct gguf *g;
    struct err   e;
    int          rc, n = 0;

    make(&m);
    for (int i = 0; i < 40; i++) { // enough for the maps to grow
        char key[16];
        snprintf(key, sizeof key, "k.%d", i);
        gm_kv_u32(&m, key, 1);
    }
    gm_finish(&m);
    do {
        mem_fail_at((uint64_t)++n);
        rc = gguf_open_mem(buf_text(&m.file), "m.gguf", &g, &e);
        mem_fail_at(0);
        if (rc) assert_int_equal(rc, -ERR_NO_MEMORY);
    } while (rc);
    assert_true(n > 5);
    gguf_close(g);
    gm_release(&m);
}

static void values(void **state)
{
    (void)state;
    struct gm    m;
    struct gguf *g;
    struct err   e;
    int64_t      i;
    double       d;
    bool         b;
    struct str   s;

    make(&m);
    m.version = 2;
    assert_ok(gguf_open_mem(gm_finish(&m), "m.gguf", &g, &e));
    assert_true(gguf_str(g, "general.architecture", &s));
    assert_str(s, "llama");
    static const struct {
        const char *key;
        int64_t     v;
    } ints[] = { { "t.u8", 200 },         { "t.i8", -56 }, { "t.u16", 0xfeff },   { "t.i16", -257 },
                 { "t.u32", 4000000000 }, { "t.i32", -5 }, { "t.i64", INT64_MIN } };
    for (size_t k = 0; k < ARRAY_LEN(ints); k++) {
        assert_true(gguf_int(g, ints[k].key, &i));
        assert_true(i == ints[k].v);
        assert_true(gguf_f64(g, ints[k].key, &d));
        assert_true(d == (double)ints[k].v);
    }
    assert_false(gguf_int(g, "t.u64", &i)); // does not fit
    assert_true(gguf_f64(g, "t.u64", &d));
    assert_true(d == 0x1p64);
    assert_true(gguf_f64(g, "t.f32", &d) && d == 0.5);
    assert_true(gguf_f64(g, "t.f64", &d) && d == 1e300);
    assert_true(gguf_bool(g, "t.yes", &b) && b);
    /* another type is as good as absent */
    assert_false(gguf_int(g, "t.yes", &i));
    assert_false(gguf_int(g, "t.f32", &i));
    assert_false(gguf_str(g, "t.u8", &s));
    assert_false(gguf_bool(g, "t.u8", &b));
    assert_false(gguf_f64(g, "general.architecture", &d));
    assert_false(gguf_has(g, "absent"));

    assert_ok(gguf_need_int(g, "t.u8", 0, 200, &i, &e));
    assert_err(gguf_need_int(g, "t.u8", 0, 199, &i, &e), ERR_BAD_FILE,
               "m.gguf: key \"t.u8\" at offset 102: value 200 is not in 0..199");
    assert_err(gguf_need_int(g, "t.u64", 0, INT64_MAX, &i, &e), ERR_BAD_FILE,
               "value 18446744073709551615");
    assert_err(gguf_need_int(g, "t.f32", 0, 1, &i, &e), ERR_BAD_FILE,
               "a real number, not an integer");
    assert_err(gguf_need_int(g, "absent", 0, 1, &i, &e), ERR_BAD_FILE, "key \"absent\" is missing");
    assert_ok(gguf_opt_int(g, "absent", 0, 1, 7, &i, &e));
    assert_true(i == 7);
    assert_err(gguf_opt_f64(g, "t.f64", 0, 1, 0, &d, &e), ERR_BAD_FILE,
               "value 1e+300 is not in 0..1");
    assert_err(gguf_opt_f64(g, "t.yes", 0, 1, 0, &d, &e), ERR_BAD_FILE, "a boolean, not a number");
    assert_ok(gguf_opt_f64(g, "absent", 0, 1, 0.25, &d, &e));
    assert_true(d == 0.25);
    gguf_close(g);
    gm_release(&m);
}

static void arrays(void **state)
{
    (void)state;
    struct gm      m;
    struct gguf   *g;
    struct err     e;
    struct arena   a;
    enum gguf_type type;
    size_t         n;
    struct str    *s;
    int32_t       *v;
    float         *f;

    make(&m);
    struct buf *b = gm_kv_arr(&m, "many", GGUF_STR, 1000);
    for (int i = 0; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i * i);
        gm_text(b, text);
    }
    pack_u64(gm_kv_arr(&m, "wide", GGUF_U64, 1), 1ull << 31);
    assert_ok(gguf_open_mem(gm_finish(&m), "m.gguf", &g, &e));
    arena_init(&a, 1 << 20);
    assert_true(gguf_arr(g, "t.strs", &type, &n));
    assert_true(type == GGUF_STR && n == 3);
    assert_ok(gguf_strs(g, "t.strs", &a, &s, &n, &e));
    assert_str(s[0], "one");
    assert_str(s[1], "");
    assert_str(s[2], "three");
    assert_str(gguf_arr_str(g, "t.strs", 2), "three");
    assert_null(gguf_arr_str(g, "t.strs", 3).p);
    assert_null(gguf_arr_str(g, "t.i8s", 0).p);
    assert_ok(gguf_strs(g, "many", &a, &s, &n, &e));
    assert_int_equal(n, 1000);
    for (size_t i = 0; i < n; i++) assert_true(str_eq(s[i], gguf_arr_str(g, "many", i)));
    assert_str(gguf_arr_str(g, "many", 999), "998001");

    assert_ok(gguf_ints(g, "t.i8s", &a, &v, &n, &e));
    assert_true(n == 2 && v[0] == -128 && v[1] == 127);
    assert_ok(gguf_ints(g, "t.bools", &a, &v, &n, &e));
    assert_true(n == 3 && v[0] == 1 && v[1] == 0 && v[2] == 1);
    assert_ok(gguf_floats(g, "t.f64s", &a, &f, &n, &e));
    assert_true(n == 2 && isinf(f[0]) && f[1] == -0.25f);
    assert_ok(gguf_floats(g, "t.none", &a, &f, &n, &e));
    assert_int_equal(n, 0);
    assert_err(gguf_ints(g, "wide", &a, &v, &n, &e), ERR_BAD_FILE,
               "element 0 of 1 does not fit 32 bits");
    assert_err(gguf_ints(g, "t.strs", &a, &v, &n, &e), ERR_BAD_FILE,
               "each a string, not an array of integers");
    assert_err(gguf_floats(g, "t.u8", &a, &f, &n, &e), ERR_BAD_FILE,
               "an integer, not an array of numbers");
    assert_err(gguf_strs(g, "absent", &a, &s, &n, &e), ERR_BAD_FILE, "is missing");
    arena_release(&a);
    arena_init(&a, 100);
    assert_err(gguf_strs(g, "many", &a, &s, &n, &e), ERR_NO_MEMORY, "array of strings");
    assert_err(gguf_floats(g, "many", &a, &f, &n, &e), ERR_BAD_FILE, "a string");
    arena_release(&a);
    gguf_close(g);
    gm_release(&m);
}

static void tensors(void **state)
{
    (void)state;
    struct gm            m;
    struct gguf         *g;
    struct err           e;
    const struct tensor *t;
    const int64_t        dim[] = { 64, 3, 1, 1 }, other[] = { 64, 4 };

    make(&m);
    struct str file = gm_finish(&m);
    assert_ok(gguf_open_mem(file, "m.gguf", &g, &e));
    assert_int_equal(gguf_n_tensor(g), 3);
    t = gguf_tensor(g, "second.weight");
    assert_ptr_equal(t, gguf_tensor_at(g, 1));
    assert_true(t->type == TENSOR_F16 && t->n_dim == 3 && t->dim[0] == 5 && t->dim[2] == 2 &&
                t->dim[3] == 1);
    assert_int_equal(tensor_rows(t), 4);
    assert_int_equal(tensor_n(t), 20);
    assert_int_equal(t->bytes, 40);
    assert_int_equal(t->offset, gguf_data_offset(g) + 224); // 204 bytes before it, to 32
    assert_ptr_equal(t->data, file.p + t->offset);
    assert_null(gguf_tensor(g, "absent"));

    assert_ok(gguf_need_tensor(g, "first.weight", dim, 2, &t, &e));
    assert_ok(gguf_need_tensor(g, "first.weight", dim, 4, &t, &e)); // trailing ones left out
    assert_int_equal(tensor_row_bytes(t), 68);
    assert_err(gguf_need_tensor(g, "first.weight", dim, 1, &t, &e), ERR_BAD_FILE,
               "is 64 x 3, 64 is needed");
    assert_err(gguf_need_tensor(g, "first.weight", other, 2, &t, &e), ERR_BAD_FILE,
               "is 64 x 3, 64 x 4 is needed");
    assert_err(gguf_need_tensor(g, "absent", other, 2, &t, &e), ERR_BAD_FILE,
               "tensor \"absent\" is missing: one of 64 x 4 is needed");
    gguf_close(g);
    gm_release(&m);
}

/* A table out of order is fine as long as the data does not overlap, and each type has its size. */
static void layouts(void **state)
{
    (void)state;
    struct gm    m;
    struct gguf *g;
    struct err   e;

    gm_init(&m);
    gm_tensor(&m, "aa", 0, 1, 8, 1, 1);
    gm_tensor(&m, "bb", 0, 1, 8, 1, 1);
    gm_finish(&m);
    gm_poke(&m, "aa", 16, 32, 8); // swap the two
    gm_poke(&m, "bb", 16, 0, 8);
    assert_ok(gguf_open_mem(buf_text(&m.file), "m.gguf", &g, &e));
    assert_true(gguf_tensor(g, "aa")->data > gguf_tensor(g, "bb")->data);
    gguf_close(g);
    gm_release(&m);

    gm_init(&m);
    for (uint32_t n = 0; n < 43; n++) {
        enum tensor_type t;
        char             name[8];
        if (!tensor_type_by_number(n, &t)) continue;
        snprintf(name, sizeof name, "t%u", n);
        gm_tensor(&m, name, n, 2, 256, 2, 1);
    }
    struct str file = gm_finish(&m);
    assert_ok(gguf_open_mem(file, "m.gguf", &g, &e));
    assert_int_equal(gguf_n_tensor(g), TENSOR_TYPES);
    gguf_close(g);

    gm_release(&m);
    gm_init(&m); // a file of metadata alone, and of nothing at all
    assert_ok(gguf_open_mem(gm_finish(&m), "m.gguf", &g, &e));
    gguf_close(g);
    gm_kv_u32(&m, "a", 1);
    file = gm_finish(&m);
    assert_ok(gguf_open_mem((struct str){ file.p, 24 + 8 + 1 + 4 + 4 }, "m.gguf", &g, &e));
    gguf_close(g);
    gm_release(&m);
}

static void mapped(void **state)
{
    (void)state;
    struct gm    m;
    struct gguf *g;
    struct err   e;

    make(&m);
    struct str file = gm_finish(&m);
    int        fd   = memfd_create("m", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, file.p, file.n), file.n);
    mem_fail_at(1);
    assert_err(gguf_open(fd, file.n, "m.gguf", &g, &e), ERR_NO_MEMORY, "opening a model file");
    assert_ok(gguf_open(fd, file.n, "m.gguf", &g, &e));
    close(fd); // borrowed for the call only
    const struct tensor *t = gguf_tensor(g, "first.weight");
    assert_memory_equal(t->data, file.p + t->offset, t->bytes);
    assert_string_equal(gguf_name(g), "m.gguf");
    gguf_close(g);
    gguf_close(NULL);
    gm_release(&m);
}

static void listing(void **state)
{
    (void)state;
    static const char *const want[] = {
        "general.architecture = \"llama\"",
        "general.alignment = 32",
        "t.u8 = 200",
        "t.i8 = -56",
        "t.u16 = 65279",
        "t.i16 = -257",
        "t.u32 = 4000000000",
        "t.i32 = -5",
        "t.f32 = 0.5",
        "t.yes = true",
        "t.u64 = 18446744073709551615",
        "t.i64 = -9223372036854775808",
        "t.f64 = 1e+300",
        "t.strs = 3 [\"one\", \"\", \"three\"]",
        "t.bools = 3 [true, false, true]",
        "t.i8s = 2 [-128, 127]",
        "t.none = 0 []",
        "t.f64s = 2 [1e+300, -0.25]",
        "long = 9 [0, 1, 2, 3, 4, 5, ...]",
    };
    struct gm    m;
    struct gguf *g;
    struct err   e;
    struct buf   b;

    make(&m);
    buf_put(gm_kv_arr(&m, "long", GGUF_U8, 9), "\0\1\2\3\4\5\6\7\10", 9);
    char *text = calloc(1, 100001);
    memset(text, '\n', 100000);
    gm_kv_str(&m, "text", text);
    free(text);
    assert_ok(gguf_open_mem(gm_finish(&m), "m.gguf", &g, &e));
    assert_int_equal(gguf_n_kv(g), ARRAY_LEN(want) + 1);
    buf_init(&b, 1000);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        buf_clear(&b);
        buf_str(&b, gguf_kv_key(g, i));
        buf_str(&b, STR(" = "));
        gguf_kv_text(g, i, &b);
        assert_str(buf_text(&b), want[i]);
    }
    buf_clear(&b);
    gguf_kv_text(g, ARRAY_LEN(want), &b);
    assert_true(!b.failed && b.n < 200);
    buf_release(&b);
    gguf_close(g);
    gm_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_bytes), cmocka_unit_test(twice),
        cmocka_unit_test(other_files),  cmocka_unit_test(cut_and_flipped),
        cmocka_unit_test(no_memory),    cmocka_unit_test(values),
        cmocka_unit_test(arrays),       cmocka_unit_test(tensors),
        cmocka_unit_test(layouts),      cmocka_unit_test(mapped),
        cmocka_unit_test(listing),      cmocka_unit_test(cut_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
