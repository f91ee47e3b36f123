/* json.h - reading and writing JSON; the one room that knows the JSON library.
 *
 * Reading is strict (RFC 8259): invalid UTF-8, duplicate keys, lone surrogates, numbers out of range,
 * anything after the value are errors. Strings may contain NUL. Values are borrowed from their
 * document and die with it. Not thread-safe for one document; documents are independent.
 */
#ifndef CURLEW_JSON_JSON_H
#define CURLEW_JSON_JSON_H

#include "base/buf.h"
#include "base/err.h"

struct json;     // a value
struct json_doc; // a parsed text, owns its values

enum json_kind { JSON_T_NULL, JSON_T_BOOL, JSON_T_INT, JSON_T_REAL, JSON_T_STR, JSON_T_ARR, JSON_T_OBJ };

struct json_limits {
    int    depth;  // nesting, LIM_JSON_DEPTH
    size_t values; // values in all, LIM_JSON_VALUES
    size_t keys;   // members of one object, LIM_JSON_KEYS
};
extern const struct json_limits json_limits_default;

/* Parse text whose outermost value is an object or an array. The limits are counted in one pass over
 * the bytes before any value is built (NULL: the defaults). Error: INVALID_JSON with line and column. */
NODISCARD int json_parse(struct str text, const struct json_limits *lim, struct json_doc **ret,
                         struct err *e);
/* The same for any value, scalars too. For tool arguments, never for request bodies. */
NODISCARD int json_parse_any(struct str text, const struct json_limits *lim, struct json_doc **ret,
                             struct err *e);
void json_free(struct json_doc *d); // NULL is fine

const struct json *json_root(const struct json_doc *d);

/* Every accessor takes NULL for a value, as if it were absent: type NULL, no members, not found. */
enum json_kind json_kind(const struct json *v);
const char    *json_kind_name(enum json_kind t); // "an integer", "a string", ... for messages
bool           json_bool(const struct json *v);            // false unless it is true
int64_t        json_int(const struct json *v);             // 0 unless it is an integer
double         json_num(const struct json *v);             // integer or real as a double, else 0
struct str     json_str(const struct json *v);             // STR_NULL unless it is a string

/* Integers may come as 1.0 (some clients' only number type): true when v is a whole number that
 * an int64 holds. */
bool json_whole(const struct json *v, int64_t *ret);

size_t             json_len(const struct json *v); // elements or members
const struct json *json_at(const struct json *arr, size_t i);          // NULL past the end
const struct json *json_get(const struct json *obj, const char *key);  // NULL when absent
const struct json *json_get_str(const struct json *obj, struct str key);

/* Members in the order of the text:  for (struct json_it it = json_it(v); json_next(&it);) */
struct json_it {
    const struct json *obj;
    void              *pos;
    struct str         key; // of the current member
    const struct json *val;
    bool               started;
};
struct json_it json_it(const struct json *obj);
bool           json_next(struct json_it *it);

/* Write a value to b as JSON text. `style` is compact (no blanks) or spaced (", " and ": ", as
 * Python's json.dumps writes by default). Non-ASCII stays as UTF-8. */
enum json_style { JSON_TIGHT, JSON_SPACED };
void json_write(struct buf *b, const struct json *v, enum json_style style);

/* s as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, one for each maximal
 * ill-formed part. json_put_esc is the same without the quotes. */
void json_put_str(struct buf *b, struct str s);
void json_put_esc(struct buf *b, struct str s);
/* The shortest text that reads back as the same double; NaN and infinities become -9999.0 (JSON has
 * none; the API's word for "impossible" among logprobs). A ".0" marks whole numbers as real. */
void json_put_f64(struct buf *b, double v);

#endif
