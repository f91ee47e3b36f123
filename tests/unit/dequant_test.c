/* dequant_test.c - every block format against what the format's own library reads.
 *
 * tests/data/quant/dequant.json has one row of real weights in 27 formats with the floats that
 * libggml reads back; the shared material has eight rows (zeros and outliers among them).
 */
#include "unit.h"

#include <math.h>

#include "base/half.h"
#include "json/json.h"
#include "model/iq_grids_int.h"
#include "model/tensor.h"

static size_t from_base64(struct str s, unsigned char *dst, size_t max)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t            n        = 0;
    unsigned          acc = 0, bits = 0;

    for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
        const char *at = memchr(digits, s.p[i], 64);
        assert_non_null(at);
        acc = acc << 6 | (unsigned)(at - digits);
        if ((bits += 6) < 8) continue;
        bits -= 8;
        assert_true(n < max);
        dst[n++] = (unsigned char)(acc >> bits);
    }
    return n;
}

static unsigned char raw[1 << 16];
static float         want[1 << 14], got[1 << 14];

/* One format: every float exact, to the bit but for the sign of zero. */
static void check_type(const struct json *it)
{
    enum tensor_type t;

    assert_true(tensor_type_by_number((uint32_t)json_int(json_get(it, "type")), &t));
    const struct tensor_type_row *row = tensor_type_row(t);
    size_t bytes = from_base64(json_str(json_get(it, "bytes")), raw, sizeof raw);
    size_t n =
        from_base64(json_str(json_get(it, "values_f32")), (unsigned char *)want, sizeof want) / 4;
    assert_true(str_eq_nocase(json_str(json_get(it, "name")), str_c(row->name)));
    assert_true(n > 0 && n % (size_t)row->block_n == 0);
    assert_int_equal(bytes, n / (size_t)row->block_n * (size_t)row->block_bytes);

    assert_true(dequant_row(t, raw, got, (int64_t)n));
    size_t exact = 0, ulp = 0;
    for (size_t i = 0; i < n; i++) {
        exact += got[i] == want[i];
        ulp += got[i] != want[i] && (got[i] == nextafterf(want[i], INFINITY) ||
                                     got[i] == nextafterf(want[i], -INFINITY));
        if (got[i] != want[i])
            print_message("%s: element %zu is %a, not %a\n", row->name, i, (double)got[i],
                          (double)want[i]);
    }
    print_message("%-8s %5zu floats: %zu exact, %zu one ulp off, %zu wrong\n", row->name, n, exact,
                  ulp, n - exact - ulp);
    assert_int_equal(exact, n);
}

static void check_file(const char *path)
{
    struct json_doc *doc;
    struct err       e;
    size_t           n;
    char            *text = unit_read(path, &n);

    assert_non_null(text);
    assert_ok(json_parse((struct str){ text, n }, &json_limits_default, &doc, &e));
    const struct json *types = json_get(json_root(doc), "types");
    assert_int_equal(json_len(types), 27);
    for (size_t i = 0; i < json_len(types); i++) check_type(json_at(types, i));
    json_free(doc);
    free(text);
}

static void own_vectors(void **state)
{
    (void)state;
    check_file(unit_data("quant/dequant.json"));
}

static void shared_vectors(void **state)
{
    (void)state;
    const char *path = unit_shared("quant/dequant.json");

    if (!path) {
        print_message("skipped: no shared material\n");
        skip();
    }
    check_file(path);
}

/* The formats that files of weights do not hold, by hand. */
static void by_hand(void **state)
{
    (void)state;
    unsigned char q8_1[36]  = { 0x00, 0x38, 0xff, 0x7f }; // d = 0.5, a sum that must not matter
    unsigned char q8_k[292] = { 0x00, 0x00, 0x80, 0x3e }; // d = 0.25
    unsigned char i16[4] = { 0xff, 0x7f, 0x00, 0x80 }, i64[8] = { 1, 0, 0, 0, 0, 0, 0, 0x80 };
    unsigned char f64[8] = { 0, 0, 0, 0, 0, 0, 0xf8, 0xbf };
    float         y[256];

    for (int i = 0; i < 32; i++) q8_1[4 + i] = (unsigned char)(i - 16);
    assert_true(dequant_row(TENSOR_Q8_1, q8_1, y, 32));
    for (int i = 0; i < 32; i++) assert_true(y[i] == 0.5f * (float)(i - 16));

    for (int i = 0; i < 256; i++) q8_k[4 + i] = (unsigned char)(i - 128);
    memset(q8_k + 260, 0xff, 32);
    assert_true(dequant_row(TENSOR_Q8_K, q8_k, y, 256));
    for (int i = 0; i < 256; i++) assert_true(y[i] == 0.25f * (float)(i - 128));

    assert_true(dequant_row(TENSOR_I16, i16, y, 2));
    assert_true(y[0] == 32767 && y[1] == -32768);
    assert_true(dequant_row(TENSOR_I64, i64, y, 1));
    assert_true(y[0] == -0x1p63f);
    assert_true(dequant_row(TENSOR_F64, f64, y, 1));
    assert_true(y[0] == -1.5f);
    assert_true(dequant_row(TENSOR_I8, i16, y, 2));
    assert_true(y[0] == -1 && y[1] == 127);
}

/* Scales of the 4-bit floats at the ends of their range: OCP Microscaling Formats 1.0, sec. 5.3. */
static void small_float_scales(void **state)
{
    (void)state;
    unsigned char mx[17] = { 0, 0x97 }, nv[36] = { 0x7e, 0x01, 0x00, 0x7f, 0x77 };
    float         y[64];

    assert_true(dequant_row(TENSOR_MXFP4, mx, y, 32)); // 2^-127: 6 and -0.5 below it, subnormal
    assert_true(y[0] == 6 * 0x1p-127f && y[16] == -0x1p-128f && y[1] == 0);
    mx[0] = 254;
    assert_true(dequant_row(TENSOR_MXFP4, mx, y, 32));
    assert_true(isinf(y[0]) && y[16] == -0x1p126f);

    memset(nv + 4, 0x22, 32); // ones
    assert_true(dequant_row(TENSOR_NVFP4, nv, y, 64));
    assert_true(y[0] == 448 && y[15] == 448);          // the largest scale
    assert_true(y[16] == 0x1p-9f && y[31] == 0x1p-9f); // the smallest
    assert_true(y[32] == 0 && y[48] == 0);
}

/* A base-3 byte holds each of the 243 digit groups; the first digit is the most significant. */
static void ternary_digits(void **state)
{
    (void)state;
    unsigned char b[54] = { 0 };
    float         y[256];

    b[53] = 0x3c; // d = 1
    for (unsigned v = 0; v < 243; v++) {
        b[0] = (unsigned char)((v * 256 + 242) / 243); // ceil: what quantisers write
        assert_true(dequant_row(TENSOR_TQ1_0, b, y, 256));
        unsigned back = 0;
        for (int n = 0; n < 5; n++) back = back * 3 + (unsigned)(y[n * 32] + 1);
        assert_int_equal(back, v);
    }
}

/* The 6-bit scales, each different, packed as ggml's quantiser does: every bit is found again. */
static void six_bit_scales(void **state)
{
    (void)state;
    unsigned char q4[144] = { 0x00, 0x3c, 0x00, 0x3c }, q5[176] = { 0x00, 0x3c, 0x00, 0x3c },
                  q3[110] = { 0 };
    float y[256];

    for (int j = 0; j < 8; j++) { // d = dmin = 1, all q = 1
        int scale = 7 * j + 5, min = 62 - 8 * j;
        if (j < 4) {
            q4[4 + j] |= (unsigned char)scale;
            q4[8 + j] |= (unsigned char)min;
        } else {
            q4[8 + j] = (unsigned char)((scale & 15) | (min & 15) << 4);
            q4[j] |= (unsigned char)(scale >> 4 << 6);
            q4[4 + j] |= (unsigned char)(min >> 4 << 6);
        }
    }
    memset(q4 + 16, 0x11, 128);
    memcpy(q5 + 4, q4 + 4, 12);
    memset(q5 + 16, 0xff, 32); // all q = 16 + 1
    memset(q5 + 48, 0x11, 128);
    assert_true(dequant_row(TENSOR_Q4_K, q4, y, 256));
    for (int i = 0; i < 256; i++)
        assert_true(y[i] == (float)(7 * (i / 32) + 5 - (62 - 8 * (i / 32))));
    assert_true(dequant_row(TENSOR_Q5_K, q5, y, 256));
    for (int i = 0; i < 256; i++)
        assert_true(y[i] == (float)(17 * (7 * (i / 32) + 5) - (62 - 8 * (i / 32))));

    for (int j = 0; j < 16; j++) { // d = 1, all q = 4 + 1 with the high bit
        unsigned scale = (unsigned)(j * 37 + 11) & 63;
        q3[96 + j % 8] |= (unsigned char)((scale & 15) << (j / 8 * 4));
        q3[104 + j % 4] |= (unsigned char)(scale >> 4 << (j / 4 * 2));
    }
    memset(q3, 0xff, 32);
    memset(q3 + 32, 0x55, 64);
    q3[109] = 0x3c;
    assert_true(dequant_row(TENSOR_Q3_K, q3, y, 256));
    for (int i = 0; i < 256; i++) assert_true(y[i] == (float)(((i / 16 * 37 + 11) & 63) - 32));
}

static uint32_t crc32_of(const unsigned char *p, size_t n)
{
    uint32_t c = ~0u;

    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
    }
    return ~c;
}

/* The tables of patterns against CRC-32 sums of ggml's tables, which have a byte per element. */
static void grids(void **state)
{
    (void)state;
    static const unsigned char two[4] = { 8, 25, 43 }, three[8] = { 4, 12, 20, 28, 36, 44, 52, 62 };
    static const unsigned char odd[8] = { 1, 3, 5, 7, 9, 11, 13, 15 }, one[4] = { 255, 0, 1 };
    static const struct {
        const uint16_t      *grid;
        size_t               n;
        int                  elems, bits;
        const unsigned char *level;
        uint32_t             crc;
    } rows[] = {
        { iq2_xxs_grid, 256, 8, 2, two, 0x9924ff02 },
        { iq2_xs_grid, 512, 8, 2, two, 0xfa1e1bfd },
        { iq2_s_grid, 1024, 8, 2, two, 0x25ae5bf1 },
        { iq3_xxs_grid, 256, 4, 3, three, 0x07ba9ed0 },
        { iq3_s_grid, 512, 4, 3, odd, 0xf576e4f3 },
        { iq1_s_grid, 2048, 8, 2, one, 0xb85e6ccf },
    };

    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        size_t at = 0;
        for (size_t i = 0; i < rows[r].n; i++)
            for (int j = 0; j < rows[r].elems; j++)
                raw[at++] =
                    rows[r]
                        .level[rows[r].grid[i] >> (j * rows[r].bits) & ((1 << rows[r].bits) - 1)];
        if (crc32_of(raw, at) != rows[r].crc) fail_msg("grid %zu: %08x", r, crc32_of(raw, at));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_vectors),    cmocka_unit_test(shared_vectors),
        cmocka_unit_test(by_hand),        cmocka_unit_test(small_float_scales),
        cmocka_unit_test(ternary_digits), cmocka_unit_test(six_bit_scales),
        cmocka_unit_test(grids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
