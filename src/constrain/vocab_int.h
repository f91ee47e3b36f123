/* vocab_int.h - a vocabulary's tokens by their bytes, as a trie, and those that are plain text.
 *
 * A special token's bytes are 0xFF, its name, 0xFF: no text holds that byte, and other tokens with it are
 * left out, so a grammar reaches a special token only by naming it so.
 */
#ifndef CURLEW_CONSTRAIN_VOCAB_INT_H
#define CURLEW_CONSTRAIN_VOCAB_INT_H

#include "constrain/constrain.h"

#define VOCAB_SPECIAL '\xFF'
#define VOCAB_PLAIN   16 // characters; longer tokens are few

/* In the order of a depth-first walk; tokens at node i are id[first] .. id[node[i + 1].first - 1]. */
struct vocab_node {
    uint32_t skip;  // the next node that is not below this one
    uint32_t first;
    uint16_t depth; // bytes before this one
    uint8_t  byte;
};

struct vocab_trie {
    struct vocab_node *node; // [n + 1], the last one only ends the lists
    uint32_t           n;
    int32_t           *id;
};

struct constrain_vocab {
    const struct tok *tok; // borrowed
    int               n_vocab, n_word;
    struct vocab_trie all;
    struct vocab_trie rest;  // without those in plain[VOCAB_PLAIN]
    uint64_t
        *plain; // [VOCAB_PLAIN + 1][n_word] tokens of 1 to i characters that mean themselves in a JSON string
    int32_t          *eog;   // [n_eog]
    int               n_eog;
    size_t            len_max; // bytes of the longest token
    struct str       *bytes;   // [n_vocab] borrowed, or in own
    char             *own;     // names of special tokens between their marks
};

#endif
