/* name.h - names of models as clients write them.
 *
 * Files of models have long names: who published it, how it was quantised, what it was built for. Clients have
 * short ones. The short form of a name is what is left of it in lower case without folders, the publisher in front
 * ("google_", "Qwen/"), ":latest", and from the end everything that says how and what for:
 *
 *     google_gemma-3-270m-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588      gemma-3-270m
 *     Qwen/Qwen3-0.6B-Q8_0.gguf                                       qwen3-0.6b
 */
#ifndef CURLEW_GATEWAY_NAME_H
#define CURLEW_GATEWAY_NAME_H

#include "base/str.h"

#define NAME_SHORT_MAX 256

enum name_fit { // each better than those before
    NAME_OTHER,
    NAME_HEAD,   // the beginning of the name, or of the short form up to a border between its parts
    NAME_SHORT,  // the same short form
    NAME_NOCASE, // the name but for upper and lower case
    NAME_ALIAS,
    NAME_ID,
};

/* How a name that a client asks for fits one that a model has. */
enum name_fit name_fits(struct str asked, struct str have, bool alias);

/* The short form; a view of dst. */
struct str name_short(struct str name, char dst[NAME_SHORT_MAX]);

/* What a name says of a model; 0 or STR_NULL where it says nothing. Texts are views of the name. */
struct name_facts {
    struct str quant;    // "w8a8", "Q8_0"
    struct str params;   // "0.6B", "270m"
    struct str platform; // "rk3588"
    int        n_ctx;    // of "ctx16384"
    int        n_npu;    // cores, of "npu3"
};
void name_read(struct str name, struct name_facts *ret);

#endif
