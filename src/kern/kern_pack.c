/* kern_pack.c - from rows as files have them to panels of 16 rows.
 *
 *     rows of a file                   a panel (8-bit; one 64-byte line each row of this picture)
 *     r0  c0 c1 c2 c3 c4 ...           r0:c0-3   r1:c0-3   ...  r15:c0-3
 *     r1  c0 c1 c2 c3 c4 ...           r0:c4-7   r1:c4-7   ...  r15:c4-7
 *     ...                              ... 8 lines for 32 columns, 8 more, then 2 x 16 scales
 *
 * F32, F16 and BF16: one line (or half a line) holds one column of the 16 rows.
 * Block layouts of the files: ggml's; Q6_K and Q4_K are drawn in model/dequant.c.
 */
#include "kern/kern_int.h"

#include <assert.h>

static const struct {
    int    cols;  // that a packed group covers
    size_t bytes; // of it
    int    block; // columns of a block in the file
} layout[KERN_TYPES] = {
    [KERN_F32]  = { 1, 64, 1 },
    [KERN_F16]  = { 1, 32, 1 },
    [KERN_BF16] = { 1, 32, 1 },
    [KERN_Q8_0] = { 64, sizeof(struct pack_q8), 32 },
    [KERN_Q4_0] = { 64, sizeof(struct pack_q4), 32 },
    [KERN_Q5_0] = { 64, sizeof(struct pack_q5), 32 },
    [KERN_Q6_K] = { 256, sizeof(struct pack_q6k), 256 },
    [KERN_Q4_K] = { 256, sizeof(struct pack_q4k), 256 },
    [KERN_MXFP4] = { 64, sizeof(struct pack_mx4), 32 },
};

size_t kern_panel_bytes(enum kern_type type, int cols)
{
    size_t groups = ((size_t)cols + (size_t)layout[type].cols - 1) / (size_t)layout[type].cols;
    return (groups * layout[type].bytes + KERN_ALIGN - 1) & ~(size_t)(KERN_ALIGN - 1);
}

int kern_panels(int rows)
{
    return rows / KERN_ROWS + (rows % KERN_ROWS != 0);
}

int kern_block_cols(enum kern_type type)
{
    return layout[type].block;
}

bool kern_is_float(enum kern_type type)
{
    return type == KERN_F32 || type == KERN_F16 || type == KERN_BF16;
}

size_t kern_q8_bytes(int cols)
{
    size_t blocks = ((size_t)cols + KERN_BLOCK - 1) / KERN_BLOCK;
    return (blocks + (blocks & 1)) * sizeof(struct kern_q8);
}

size_t kern_kv_bytes(int head_dim, enum kern_kv type)
{
    size_t n = (size_t)KERN_PAGE_TOK * (size_t)(head_dim + kern_dim_pad(head_dim));

    if (type != KERN_KV_Q8_0) return n * (type == KERN_KV_F32 ? 4 : 2);
    assert(head_dim % KERN_BLOCK == 0);
    return kern_kv_keys_bytes(head_dim) + (size_t)(head_dim / KERN_BLOCK) * sizeof(struct kv_q8);
}

size_t kern_attn_floats(int n_q, int head_dim, enum kern_kv type)
{
    size_t one = (size_t)kern_dim_pad(head_dim);

    if (type == KERN_KV_Q8_0) one += kern_q8_bytes(head_dim) / sizeof(float);
    return (size_t)n_q * one;
}

static const unsigned char *block_at(const void *src, size_t row_bytes, int row, int block, size_t bytes)
{
    return (const unsigned char *)src + (size_t)row * row_bytes + (size_t)block * bytes;
}

/* Columns of `size` bytes, row by row, in pieces that stay in the cache. */
static void pack_float(int cols, const unsigned char *src, size_t row_bytes, int n, unsigned char *dst,
                       size_t size)
{
    enum { STEP = 64 };

    for (int c0 = 0; c0 < cols; c0 += STEP)
        for (int r = 0; r < n; r++) {
            const unsigned char *s = src + (size_t)r * row_bytes;
            for (int c = c0; c < cols && c < c0 + STEP; c++)
                memcpy(dst + ((size_t)c * KERN_ROWS + (size_t)r) * size, s + (size_t)c * size, size);
        }
}

/* A zero of 8 bits is 128, of n bits the middle value: rows that are not there. */
static void pack_q8_0(int cols, const void *src, size_t row_bytes, int n, struct pack_q8 *dst)
{
    int nb = cols / 32;

    for (int b = 0; b < nb + (nb & 1); b++) {
        struct pack_q8 *p = &dst[b / 2];
        for (int r = 0; r < KERN_ROWS; r++) {
            if (r >= n || b >= nb) {
                for (int g = 0; g < 8; g++) memset(p->q[b & 1][g][r], 128, 4);
                p->d[b & 1][r] = 0;
                continue;
            }
            const unsigned char *s = block_at(src, row_bytes, r, b, 34);
            memcpy(&p->d[b & 1][r], s, 2);
            for (int g = 0; g < 8; g++) {
                uint32_t v;
                memcpy(&v, s + 2 + 4 * g, 4);
                v ^= 0x80808080u;
                memcpy(p->q[b & 1][g][r], &v, 4);
            }
        }
    }
}

/* Values u[32] below 16 into nibbles: groups of 4 columns, even groups low. */
static void put_nibbles(const uint8_t u[32], uint8_t q[4][KERN_ROWS][4], int r)
{
    for (int g = 0; g < 4; g++)
        for (int j = 0; j < 4; j++) q[g][r][j] = (uint8_t)((u[8 * g + j] & 15) | (u[8 * g + 4 + j] & 15) << 4);
}

/* The file's order: byte j has column j low and column j + 16 high. */
static void get_nibbles(const unsigned char *s, uint8_t u[32])
{
    for (int j = 0; j < 16; j++) {
        u[j] = s[j] & 15;
        u[j + 16] = s[j] >> 4;
    }
}

static void pack_q4_0(int cols, const void *src, size_t row_bytes, int n, struct pack_q4 *dst)
{
    int nb = cols / 32;

    for (int b = 0; b < nb + (nb & 1); b++)
        for (int r = 0; r < KERN_ROWS; r++) {
            struct pack_q4 *p = &dst[b / 2];
            uint8_t u[32];
            memset(u, 8, sizeof u);
            p->d[b & 1][r] = 0;
            if (r < n && b < nb) {
                const unsigned char *s = block_at(src, row_bytes, r, b, 18);
                memcpy(&p->d[b & 1][r], s, 2);
                get_nibbles(s + 2, u);
            }
            put_nibbles(u, p->q[b & 1], r);
        }
}

static void pack_q5_0(int cols, const void *src, size_t row_bytes, int n, struct pack_q5 *dst)
{
    int nb = cols / 32;

    for (int b = 0; b < nb + (nb & 1); b++)
        for (int r = 0; r < KERN_ROWS; r++) {
            struct pack_q5 *p = &dst[b / 2];
            uint8_t  u[32];
            uint32_t high = 0xFFFFFFFFu; // the middle value, 16
            memset(u, 0, sizeof u);
            p->d[b & 1][r] = 0;
            if (r < n && b < nb) {
                const unsigned char *s = block_at(src, row_bytes, r, b, 22);
                memcpy(&p->d[b & 1][r], s, 2);
                memcpy(&high, s + 2, 4); // bit i: column i
                get_nibbles(s + 6, u);
            }
            put_nibbles(u, p->q[b & 1], r);
            for (int j = 0; j < 4; j++) {
                unsigned bits = 0;
                for (int g = 0; g < 8; g++) bits |= (high >> (4 * g + j) & 1) << g;
                p->h[b & 1][r][j] = (uint8_t)bits;
            }
        }
}

/* 210 bytes: 128 of low nibbles, 64 of high bit pairs, 16 scales, d. Two halves of 128 columns: byte l of
 * a half's 64 low bytes has columns l and l + 64; bits 2k of high byte l (of 32) are of column l + 32 k. */
static void q6k_values(const unsigned char *s, uint8_t u[256])
{
    for (int half = 0; half < 2; half++)
        for (int l = 0; l < 32; l++) {
            const unsigned char *lo = s + 64 * half, *hi = s + 128 + 32 * half;
            uint8_t *v = u + 128 * half;
            v[l]      = (uint8_t)((lo[l] & 15) | (hi[l] & 3) << 4);
            v[l + 32] = (uint8_t)((lo[l + 32] & 15) | (hi[l] >> 2 & 3) << 4);
            v[l + 64] = (uint8_t)(lo[l] >> 4 | (hi[l] >> 4 & 3) << 4);
            v[l + 96] = (uint8_t)(lo[l + 32] >> 4 | (hi[l] >> 6 & 3) << 4);
        }
}

static void pack_q6_k(int cols, const void *src, size_t row_bytes, int n, struct pack_q6k *dst)
{
    for (int sb = 0; sb < cols / 256; sb++) {
        struct pack_q6k *p = &dst[sb];
        memset(p->pad, 0, sizeof p->pad);
        for (int r = 0; r < KERN_ROWS; r++) {
            uint8_t u[256];
            memset(u, 32, sizeof u);
            p->d[r] = 0;
            for (int b = 0; b < 8; b++) p->sc[b][0][r] = p->sc[b][1][r] = 0;
            if (r < n) {
                const unsigned char *s = block_at(src, row_bytes, r, sb, 210);
                q6k_values(s, u);
                memcpy(&p->d[r], s + 208, 2);
                for (int b = 0; b < 8; b++) {
                    p->sc[b][0][r] = (int8_t)s[192 + 2 * b];
                    p->sc[b][1][r] = (int8_t)s[192 + 2 * b + 1];
                }
            }
            for (int b = 0; b < 8; b++) {
                const uint8_t *v = u + 32 * b;
                put_nibbles(v, p->b[b].q, r);
                for (int h = 0; h < 2; h++)
                    for (int j = 0; j < 4; j++) {
                        unsigned bits = 0;
                        for (int g = 0; g < 4; g++) bits |= (unsigned)(v[16 * h + 4 * g + j] >> 4) << 2 * g;
                        p->b[b].h[h][r][j] = (uint8_t)bits;
                    }
            }
        }
    }
}

/* 144 bytes: d, dmin, 12 bytes of 6-bit scales and minima, 128 of nibbles. Columns 64 k + l are the low
 * nibbles of 32 bytes, 64 k + 32 + l their high ones. */
static void pack_q4_k(int cols, const void *src, size_t row_bytes, int n, struct pack_q4k *dst)
{
    for (int sb = 0; sb < cols / 256; sb++) {
        struct pack_q4k *p = &dst[sb];
        for (int r = 0; r < KERN_ROWS; r++) {
            static const unsigned char none[144];
            const unsigned char *s = r < n ? block_at(src, row_bytes, r, sb, 144) : none;
            const unsigned char *k = s + 4;
            memcpy(&p->d[r], s, 2);
            memcpy(&p->dmin[r], s + 2, 2);
            for (int b = 0; b < 4; b++) {
                p->sc[b][r] = k[b] & 63;
                p->mn[b][r] = k[b + 4] & 63;
                p->sc[b + 4][r] = (uint8_t)((k[b + 8] & 15) | (k[b] >> 6) << 4);
                p->mn[b + 4][r] = (uint8_t)(k[b + 8] >> 4 | (k[b + 4] >> 6) << 4);
            }
            for (int b = 0; b < 8; b++) {
                uint8_t u[32];
                for (int l = 0; l < 32; l++) u[l] = (uint8_t)(s[16 + 32 * (b / 2) + l] >> (b & 1 ? 4 : 0) & 15);
                put_nibbles(u, p->q[b], r);
            }
        }
    }
}

/* 17 bytes: an exponent, then nibbles in the order of Q4_0. */
static void pack_mxfp4(int cols, const void *src, size_t row_bytes, int n, struct pack_mx4 *dst)
{
    int nb = cols / 32;

    for (int b = 0; b < nb + (nb & 1); b++)
        for (int r = 0; r < KERN_ROWS; r++) {
            struct pack_mx4 *p = &dst[b / 2];
            uint8_t u[32] = { 0 };
            p->d[b & 1][r] = 0;
            if (r < n && b < nb) {
                const unsigned char *s = block_at(src, row_bytes, r, b, 17);
                /* 2^(e - 128); the two smallest are subnormal */
                p->d[b & 1][r] = (uint16_t)(s[0] < 2 ? 0x20 << s[0] : (s[0] - 1) << 7);
                get_nibbles(s + 1, u);
            }
            put_nibbles(u, p->q[b & 1], r);
        }
}

void kern_pack(enum kern_type type, int cols, const void *src, size_t row_bytes, int n, void *panel)
{
    assert(cols % layout[type].block == 0 && n >= 1 && n <= KERN_ROWS);
    if (kern_is_float(type) && (n < KERN_ROWS || cols % 2)) memset(panel, 0, kern_panel_bytes(type, cols));
    switch (type) {
    case KERN_F32: pack_float(cols, src, row_bytes, n, panel, 4); break;
    case KERN_F16:
    case KERN_BF16: pack_float(cols, src, row_bytes, n, panel, 2); break;
    case KERN_Q8_0: pack_q8_0(cols, src, row_bytes, n, panel); break;
    case KERN_Q4_0: pack_q4_0(cols, src, row_bytes, n, panel); break;
    case KERN_Q5_0: pack_q5_0(cols, src, row_bytes, n, panel); break;
    case KERN_Q6_K: pack_q6_k(cols, src, row_bytes, n, panel); break;
    case KERN_Q4_K: pack_q4_k(cols, src, row_bytes, n, panel); break;
    case KERN_MXFP4: pack_mxfp4(cols, src, row_bytes, n, panel); break;
    case KERN_TYPES: assert(0);
    }
}
