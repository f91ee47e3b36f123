/* pack.c - little-endian encoding of frames. */
#include "base/pack.h"

#include <string.h>

static void put_le(struct buf *b, uint64_t v, size_t n)
{
    char *p = buf_room(b, n);

    for (size_t i = 0; p && i < n; i++) p[i] = (char)(v >> 8 * i);
}

static uint64_t get_le(struct unpack *u, size_t n)
{
    uint64_t v = 0;

    if (u->failed || u->n < n) {
        u->failed = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++) v |= (uint64_t)u->p[i] << 8 * i;
    u->p += n;
    u->n -= n;
    return v;
}

void pack_u8(struct buf *b, uint8_t v)
{
    put_le(b, v, 1);
}

void pack_u32(struct buf *b, uint32_t v)
{
    put_le(b, v, 4);
}

void pack_i32(struct buf *b, int32_t v)
{
    put_le(b, (uint32_t)v, 4);
}

void pack_u64(struct buf *b, uint64_t v)
{
    put_le(b, v, 8);
}

void pack_f32(struct buf *b, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_le(b, bits, 4);
}

void pack_f64(struct buf *b, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_le(b, bits, 8);
}

void pack_str(struct buf *b, struct str s)
{
    if (s.n > UINT32_MAX) {
        b->failed = true;
        return;
    }
    pack_u32(b, (uint32_t)s.n);
    buf_str(b, s);
}

struct unpack unpack_init(struct str bytes)
{
    return (struct unpack){ .p = (const unsigned char *)bytes.p, .n = bytes.n };
}

uint8_t unpack_u8(struct unpack *u)
{
    return (uint8_t)get_le(u, 1);
}

bool unpack_bool(struct unpack *u)
{
    uint8_t v = unpack_u8(u);

    if (v > 1) u->failed = true;
    return v == 1;
}

uint32_t unpack_u32(struct unpack *u)
{
    return (uint32_t)get_le(u, 4);
}

int32_t unpack_i32(struct unpack *u)
{
    return (int32_t)(uint32_t)get_le(u, 4);
}

uint64_t unpack_u64(struct unpack *u)
{
    return get_le(u, 8);
}

float unpack_f32(struct unpack *u)
{
    uint32_t bits = (uint32_t)get_le(u, 4);
    float    v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

double unpack_f64(struct unpack *u)
{
    uint64_t bits = get_le(u, 8);
    double   v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

struct str unpack_str(struct unpack *u)
{
    uint32_t n = unpack_u32(u);

    if (u->failed || u->n < n) {
        u->failed = true;
        return STR_NULL;
    }
    struct str s = { (const char *)u->p, n };
    u->p += n;
    u->n -= n;
    return s;
}

uint32_t unpack_count(struct unpack *u, uint32_t max, size_t least)
{
    uint32_t n = unpack_u32(u);

    if (n > max || (least && n > u->n / least)) {
        u->failed = true;
        return 0;
    }
    return u->failed ? 0 : n;
}

bool unpack_done(const struct unpack *u)
{
    return !u->failed && u->n == 0;
}
