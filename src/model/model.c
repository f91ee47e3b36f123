/* model.c - size and precision of a model in words. */
#include "model/model.h"

#include <stdio.h>

const char *model_quant_name(const struct gguf *g)
{
    uint64_t bytes[TENSOR_TYPES] = { 0 };
    int      most                = -1;

    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        bytes[t->type] += t->bytes;
        if (most < 0 || bytes[t->type] > bytes[most]) most = (int)t->type;
    }
    return most < 0 ? "none" : tensor_type_row((enum tensor_type)most)->name;
}

uint64_t model_n_param(const struct gguf *g)
{
    uint64_t n = 0; // tensors do not overlap and no type has over 8 elements a byte: far below 2^64

    for (size_t i = 0; i < gguf_n_tensor(g); i++) n += (uint64_t)tensor_n(gguf_tensor_at(g, i));
    return n;
}

char *model_param_text(uint64_t n_param, char *dst, size_t size)
{
    static const struct {
        double      unit;
        const char *letter;
    } rows[] = { { 1e12, "T" }, { 1e9, "B" }, { 1e6, "M" }, { 1e3, "K" }, { 1, "" } };
    double n = (double)n_param;
    size_t i = 0;

    /* 0.6B, not 596M: above half a billion people count in billions. */
    while (i + 1 < ARRAY_LEN(rows) && n < rows[i].unit * (rows[i].unit == 1e9 ? 0.5 : 1)) i++;
    double v = n / rows[i].unit;
    snprintf(dst, size, v < 9.95 && rows[i].unit > 1e6 ? "%.1f%s" : "%.0f%s", v, rows[i].letter);
    return dst;
}
