/* pack.h - numbers and strings to and from frames between our processes.
 *
 * Little-endian, no padding, no pointers. The other side counts as hostile: a reader never passes
 * the end of its bytes, and one that would have fails for good (`failed`), giving zeros; the caller
 * checks once (unpack_done).
 */
#ifndef CURLEW_BASE_PACK_H
#define CURLEW_BASE_PACK_H

#include "base/buf.h"

/* Writing appends to a buf, whose sticky failure is the writer's. Strings: u32 length, bytes. */
void pack_u8(struct buf *b, uint8_t v);
void pack_u32(struct buf *b, uint32_t v);
void pack_i32(struct buf *b, int32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_f32(struct buf *b, float v);
void pack_f64(struct buf *b, double v);
void pack_str(struct buf *b, struct str s);

struct unpack {
    const unsigned char *p;
    size_t               n;
    bool                 failed;
};

struct unpack unpack_init(struct str bytes);
uint8_t    unpack_u8(struct unpack *u);
bool       unpack_bool(struct unpack *u); // 0 or 1; anything else fails
uint32_t   unpack_u32(struct unpack *u);
int32_t    unpack_i32(struct unpack *u);
uint64_t   unpack_u64(struct unpack *u);
float      unpack_f32(struct unpack *u);
double     unpack_f64(struct unpack *u);
struct str unpack_str(struct unpack *u); // borrowed from the frame
/* A count of things that take at least `least` bytes each: fails when they cannot all be there. */
uint32_t   unpack_count(struct unpack *u, uint32_t max, size_t least);
/* Everything was read and nothing failed. */
bool       unpack_done(const struct unpack *u);

#endif
