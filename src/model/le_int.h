/* le_int.h - little-endian numbers at any address. Private to the room. */
#ifndef CURLEW_MODEL_LE_INT_H
#define CURLEW_MODEL_LE_INT_H

#include <stdint.h>
#include <string.h>

static inline uint16_t le16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le32(const unsigned char *p)
{
    return le16(p) | (uint32_t)le16(p + 2) << 16;
}

static inline uint64_t le64(const unsigned char *p)
{
    return le32(p) | (uint64_t)le32(p + 4) << 32;
}

static inline float le_f32(const unsigned char *p)
{
    uint32_t u = le32(p);
    float    f;

    memcpy(&f, &u, sizeof f);
    return f;
}

static inline double le_f64(const unsigned char *p)
{
    uint64_t u = le64(p);
    double   f;

    memcpy(&f, &u, sizeof f);
    return f;
}

#endif
