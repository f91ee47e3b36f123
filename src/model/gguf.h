/* gguf.h - GGUF model files: metadata and tensor table, checked to the last byte.
 *
 * The file is hostile. Every count, length and offset is checked against the file's size before
 * use; an error (BAD_FILE) names the file, the field and its offset. Keys and tensor names are
 * unique, clean UTF-8 without control characters; string values are bytes. Tensors lie in the file,
 * aligned, and do not overlap. Nothing of the file is trusted later either: the accessors give
 * values with their types, and users check ranges (hparams.h does for the usual ones).
 *
 * Once open, a struct gguf does not change: any number of threads may read it.
 * Format: ggml's GGUF specification, versions 2 and 3, little-endian. Refused: version 1,
 * big-endian files, arrays of arrays, alignments below 8.
 */
#ifndef CURLEW_MODEL_GGUF_H
#define CURLEW_MODEL_GGUF_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/tensor.h"

enum gguf_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STR,
    GGUF_ARR, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_TYPES
};

struct gguf; // owns its mapping

/* Map fd (size bytes) and read header, metadata and tensor table. `name` is for messages. The fd is
 * borrowed until return. The file must not change while it is open: one cut short raises SIGBUS on
 * access, one written to is no longer what was checked. Either ends its worker at worst. */
NODISCARD int gguf_open(int fd, uint64_t size, const char *name, struct gguf **ret, struct err *e);
/* The same over bytes in memory (tests, fuzzing); borrowed until gguf_close. Tensor data is aligned
 * as the bytes are, at most to general.alignment. */
NODISCARD int gguf_open_mem(struct str bytes, const char *name, struct gguf **ret, struct err *e);
void          gguf_close(struct gguf *g); // NULL is fine; unmaps: tensor data is gone

/* --- metadata. NULL/false when the key is absent or of another type. --- */
bool       gguf_has(const struct gguf *g, const char *key);
bool       gguf_str(const struct gguf *g, const char *key, struct str *ret); // borrowed
bool       gguf_bool(const struct gguf *g, const char *key, bool *ret);
bool       gguf_int(const struct gguf *g, const char *key, int64_t *ret); // any integer type
bool       gguf_f64(const struct gguf *g, const char *key, double *ret);  // any number type

/* An integer that must be there (or, with a default, may be absent) and lie in min..max.
 * Error: BAD_FILE naming file, key, value, range and offset. */
NODISCARD int gguf_need_int(const struct gguf *g, const char *key, int64_t min, int64_t max,
                            int64_t *ret, struct err *e);
NODISCARD int gguf_opt_int(const struct gguf *g, const char *key, int64_t min, int64_t max,
                           int64_t def, int64_t *ret, struct err *e);
NODISCARD int gguf_opt_f64(const struct gguf *g, const char *key, double min, double max,
                           double def, double *ret, struct err *e);

/* Arrays: element type and count, then strings by index at constant cost each (an index is built at
 * open); STR_NULL past the end. For loops over a vocabulary, gguf_strs is one pass. */
bool       gguf_arr(const struct gguf *g, const char *key, enum gguf_type *type, size_t *n);
struct str gguf_arr_str(const struct gguf *g, const char *key, size_t i);
/* A whole array of strings, as slices into the file, allocated from a. */
NODISCARD int gguf_strs(const struct gguf *g, const char *key, struct arena *a, struct str **ret,
                        size_t *n, struct err *e);
/* Whole numeric arrays converted to one type, allocated from a; booleans are the integers 0 and 1.
 * BAD_FILE when not numeric, or when an integer does not fit. Doubles too large become infinity. */
NODISCARD int gguf_ints(const struct gguf *g, const char *key, struct arena *a, int32_t **ret,
                        size_t *n, struct err *e);
NODISCARD int gguf_floats(const struct gguf *g, const char *key, struct arena *a, float **ret,
                          size_t *n, struct err *e);

/* --- tensors --- */
size_t               gguf_n_tensor(const struct gguf *g);
const struct tensor *gguf_tensor_at(const struct gguf *g, size_t i);
const struct tensor *gguf_tensor(const struct gguf *g, const char *name); // NULL when absent
/* A tensor that must be there with these dimensions (n_dim of them; trailing ones of 1 may be left
 * out in the file). Error: BAD_FILE naming file, tensor, both sets of dimensions, and offset. */
NODISCARD int gguf_need_tensor(const struct gguf *g, const char *name, const int64_t *dim,
                               int n_dim, const struct tensor **ret, struct err *e);

const char *gguf_name(const struct gguf *g);    // of the file, for messages
uint64_t    gguf_data_offset(const struct gguf *g);
/* Members in order, for `curlew show`: key, and the value as short text into buf. */
size_t      gguf_n_kv(const struct gguf *g);
struct str  gguf_kv_key(const struct gguf *g, size_t i);
void        gguf_kv_text(const struct gguf *g, size_t i, struct buf *ret);

#endif
