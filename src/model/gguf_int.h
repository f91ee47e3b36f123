/* gguf_int.h - an open GGUF file from the inside. Private to the room. */
#ifndef CURLEW_MODEL_GGUF_INT_H
#define CURLEW_MODEL_GGUF_INT_H

#include <inttypes.h>

#include "base/limits.h"
#include "base/map.h"
#include "model/gguf.h"

/* Of every so many strings of an array one offset is kept: any string is a short walk away. */
#define GGUF_STR_STRIDE 32

struct gguf_kv {
    struct str     key;  // in the file
    enum gguf_type type; // GGUF_ARR: n elements of type `elem`
    enum gguf_type elem;
    uint64_t       n;
    uint64_t       at;     // file offset of the member (its key's length)
    uint64_t       val;    // file offset of the value; of an array, of its first element
    uint64_t      *stride; // string arrays: offset of every GGUF_STR_STRIDE-th string
};

struct gguf {
    const unsigned char *p; // the whole file
    uint64_t             size;
    bool                 mapped; // by us: unmap at close
    struct arena         arena;  // owns all below
    const char          *name;
    uint32_t             version;
    uint64_t             align;
    uint64_t             data; // file offset of tensor data
    struct gguf_kv      *kv;
    size_t               n_kv;
    struct tensor       *tensor;
    uint64_t            *tensor_at; // file offset of each tensor's row in the table
    size_t               n_tensor;
    struct map           by_key;  // key -> struct gguf_kv
    struct map           by_name; // tensor name -> struct tensor
};

/* A BAD_FILE error about this file. */
int gguf_bad(const struct gguf *g, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same about a key, which may be absent: `key "x" at offset N: ...`. */
int gguf_bad_key(const struct gguf *g, struct err *e, const char *key, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Bytes of a value of this type; 0 for strings and arrays. */
unsigned gguf_type_bytes(enum gguf_type t);

#endif
