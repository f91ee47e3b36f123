/* hparams_int.h - private to the room. */
#ifndef CURLEW_MODEL_HPARAMS_INT_H
#define CURLEW_MODEL_HPARAMS_INT_H

#include "model/hparams.h"

/* hp's numbers agree with the dimensions of the tensors that have the usual names, and layers 0 to
 * n_layer - 1 are there, no more. `tmp` is for working space. */
NODISCARD int hparams_check_tensors(const struct gguf *g, const struct hparams *hp,
                                    struct arena *tmp, struct err *e);

/* The string of key as one of `known` (NULL at the end), which is what *ret becomes; `what` it
 * names, for messages. */
NODISCARD int hparams_need_name(const struct gguf *g, const char *key, const char *what,
                                const char *const *known, const char **ret, struct err *e);

#endif
