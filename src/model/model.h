/* model.h - what to call a model: its size and its precision. */
#ifndef CURLEW_MODEL_MODEL_H
#define CURLEW_MODEL_MODEL_H

#include "model/gguf.h"

/* The tensor type that holds most of the file's bytes ("Q8_0"), or "none" for a file without
 * tensors. Where a mix such as Q4_K_M is meant this gives its main part, "Q4_K". */
const char *model_quant_name(const struct gguf *g);

/* Elements of all tensors. */
uint64_t model_n_param(const struct gguf *g);

/* The count as people say it: "0.6B", "260K", "7.2B", "135M". Returns dst. */
char *model_param_text(uint64_t n_param, char *dst, size_t size);

#endif
