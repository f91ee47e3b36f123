/* tensor.c - the table of tensor types, and sizes. */
#include "model/tensor.h"

#include <assert.h>

static const struct tensor_type_row rows[TENSOR_TYPES] = {
#define TENSOR_TYPE(name, number, block_n, block_bytes) \
    [TENSOR_##name] = { #name, number, block_n, block_bytes },
#include "model/tensor_types.def"
#undef TENSOR_TYPE
};

const struct tensor_type_row *tensor_type_row(enum tensor_type t)
{
    assert((unsigned)t < TENSOR_TYPES);
    return &rows[t];
}

bool tensor_type_by_number(uint32_t number, enum tensor_type *ret)
{
    for (unsigned i = 0; i < TENSOR_TYPES; i++) {
        if ((uint32_t)rows[i].number != number) continue;
        *ret = (enum tensor_type)i;
        return true;
    }
    return false;
}

const char *tensor_type_gone(uint32_t number)
{
    static const struct {
        uint32_t    number;
        const char *name;
    } gone[] = {
        { 4, "Q4_2" },      { 5, "Q4_3" },        { 31, "Q4_0_4_4" },   { 32, "Q4_0_4_8" },
        { 33, "Q4_0_8_8" }, { 36, "IQ4_NL_4_4" }, { 37, "IQ4_NL_4_8" }, { 38, "IQ4_NL_8_8" },
    };

    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        if (gone[i].number == number) return gone[i].name;
    return NULL;
}

int64_t tensor_rows(const struct tensor *t)
{
    return t->dim[1] * t->dim[2] * t->dim[3];
}

int64_t tensor_n(const struct tensor *t)
{
    return t->dim[0] * tensor_rows(t);
}

uint64_t tensor_row_bytes(const struct tensor *t)
{
    const struct tensor_type_row *row = tensor_type_row(t->type);

    return (uint64_t)(t->dim[0] / row->block_n) * (uint64_t)row->block_bytes;
}
