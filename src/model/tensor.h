/* tensor.h - tensor types (block formats) and a tensor's place in its file.
 *
 * One row per type in tensor_types.def: name, GGUF number, elements and bytes of a block. The
 * formats are ggml's; each type's layout is drawn where it is read (dequant*.c).
 */
#ifndef CURLEW_MODEL_TENSOR_H
#define CURLEW_MODEL_TENSOR_H

#include "base/str.h"

enum tensor_type {
#define TENSOR_TYPE(name, number, block_n, block_bytes) TENSOR_##name,
#include "model/tensor_types.def"
#undef TENSOR_TYPE
    TENSOR_TYPES
};

struct tensor_type_row {
    const char *name;        // "Q8_0"
    int         number;      // in the file
    int         block_n;     // elements of a block
    int         block_bytes; // bytes of a block
};
const struct tensor_type_row *tensor_type_row(enum tensor_type t);
bool tensor_type_by_number(uint32_t number, enum tensor_type *ret);
/* The name of a number that the format has withdrawn ("Q4_0_4_4"), or NULL. */
const char *tensor_type_gone(uint32_t number);

struct tensor {
    struct str           name;
    enum tensor_type     type;
    int                  n_dim;   // as the file says it, 1..4
    int64_t              dim[4];  // dim[0] runs fastest: elements of a row; unused ones are 1
    const unsigned char *data;    // in the mapping, or owned by whoever made it
    uint64_t             bytes;   // of data
    uint64_t             offset;  // in the file, for messages
};

int64_t  tensor_rows(const struct tensor *t);     // dim[1] * dim[2] * dim[3]
int64_t  tensor_n(const struct tensor *t);        // elements
uint64_t tensor_row_bytes(const struct tensor *t);

/* Read n elements (a multiple of the type's block, asserted) at src, of any alignment, as f32: the
 * definition of each type, slow and clear; kernels are checked against it. I32, I64 and F64 round
 * to nearest. Every type of the table can be read; false only for a type that is not in it. */
bool dequant_row(enum tensor_type type, const void *src, float *dst, int64_t n);

#endif
