/* tok.h - text to token ids and back.
 *
 * One `struct tok` is one vocabulary with its rules; immutable after it is built, so any thread may
 * use it. Scratch memory belongs to the call.
 */
#ifndef CURLEW_TOKEN_TOK_H
#define CURLEW_TOKEN_TOK_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct tok;
struct gguf; // model/gguf.h

/* A growing list of ids with a ceiling; failure is sticky as in base/buf.h. */
struct ids {
    int32_t *id;  // owned
    size_t   n;
    size_t   cap;
    size_t   max;
    bool     failed;
};

void ids_init(struct ids *v, size_t n_max);
void ids_release(struct ids *v);
void ids_put(struct ids *v, int32_t id);

/* Build from a model's metadata / from a Hugging Face tokenizer.json / the 256 bytes and an
 * end-of-text (id 256), for engines without a vocabulary. The result owns copies of all it needs. */
NODISCARD int tok_from_gguf(const struct gguf *g, struct tok **ret, struct err *e);
NODISCARD int tok_from_json(struct str text, struct tok **ret, struct err *e);
/* The same with the tokenizer_config.json beside it (STR_NULL: none), which names BOS and EOS. */
NODISCARD int tok_from_hf(struct str text, struct str config, struct tok **ret, struct err *e);
NODISCARD int tok_from_bytes(struct tok **ret, struct err *e);
void          tok_free(struct tok *t); // NULL is fine

enum tok_flag {
    TOK_ADD_SPECIAL   = 1 << 0, // BOS (and EOS, CLS, SEP) as the vocabulary asks for
    TOK_PARSE_SPECIAL = 1 << 1, // special tokens' names in the text become those tokens
};

/* Append the ids of text. A client's text never goes in with TOK_PARSE_SPECIAL unless the API asked
 * for it; a template's own text does. Linear in text.n. Errors: TOO_LARGE, NO_MEMORY. */
NODISCARD int tok_encode(const struct tok *t, struct str text, unsigned flags, struct ids *ret,
                         struct err *e);

/* Pieces of one text, some trusted (the template's) and some not (the client's): ids as if the whole
 * was one text, but special tokens are recognised only inside trusted pieces. */
struct tok_piece {
    struct str text;
    bool       trusted;
};
NODISCARD int tok_encode_pieces(const struct tok *t, const struct tok_piece *piece, size_t n_piece,
                                unsigned flags, struct ids *ret, struct err *e);

/* Append the ids of two texts for a model that reads pairs, with the special tokens it expects around
 * them; the first *n_first of them belong to the first text.
 *
 *   wordpiece    [CLS] first [SEP] second [SEP]         Devlin et al., arXiv:1810.04805, sec. 3
 *   others       <s> first </s> </s> second </s>        Liu et al., arXiv:1907.11692; XLM-R likewise
 *
 * A vocabulary without an end token of its own gets one separator between the two. */
NODISCARD int tok_encode_pair(const struct tok *t, struct str first, struct str second, struct ids *ret,
                              int *n_first, struct err *e);

/* Where in the text each of its n ids came from, ret[n], ascending: bytes [at, at + n). Tokens put
 * around the text, and what normalisation made up, are empty. Exact where the family keeps the text
 * as it is; where it rewrites it, the nearest place that agrees. Half characters are possible. Linear. */
struct tok_span {
    size_t at, n;
};
void tok_spans(const struct tok *t, struct str text, const int32_t *id, size_t n, struct tok_span *ret);

/* The bytes of one token as they appear in output (may be half a character); a special token's are
 * empty unless `special`. Borrowed from t. An id out of range gives STR_NULL. `first` is true for the
 * first token of a text, where some vocabularies drop a leading space. */
struct str tok_bytes(const struct tok *t, int32_t id, bool special);
NODISCARD int tok_decode(const struct tok *t, const int32_t *id, size_t n, bool special,
                         struct buf *ret, struct err *e);

int  tok_n(const struct tok *t);       // vocabulary size
bool tok_is_eog(const struct tok *t, int32_t id); // ends an answer: EOS, EOT, EOM ...
bool tok_is_special(const struct tok *t, int32_t id); // control or unknown: not shown
/* -1 when the vocabulary has none. */
int32_t tok_bos(const struct tok *t);
int32_t tok_eos(const struct tok *t);
/* Tokens for filling in the middle of a file: [prefix] what is before, [suffix] what is behind, [middle],
 * and then the model writes what is between; [repo] and [file] stand before names in front of that. By
 * the file's keys, else by the names that families have given them. -1: none. */
enum tok_fim { TOK_FIM_PREFIX, TOK_FIM_SUFFIX, TOK_FIM_MIDDLE, TOK_FIM_REPO, TOK_FIM_FILE, TOK_FIMS };
int32_t tok_fim(const struct tok *t, enum tok_fim which);
/* The id of a token by its exact name ("<|im_start|>"), -1 when absent. */
int32_t tok_find(const struct tok *t, struct str name);
struct str tok_name(const struct tok *t, int32_t id); // as the vocabulary spells it
bool tok_adds_bos(const struct tok *t);
const char *tok_kind(const struct tok *t); // "bpe/qwen2", "spm" ... for logs

/* Streaming decode: bytes of tokens in, whole UTF-8 characters out. Keeps at most 3 bytes; bytes that
 * can never become a character come out as U+FFFD, one for each maximal ill-formed part. */
struct tok_stream {
    const struct tok *t;     // borrowed
    char              held[4];
    int               n_held;
    bool              started; // a first token was seen
    bool              special; // show special tokens
};
void tok_stream_init(struct tok_stream *s, const struct tok *t, bool special);
void tok_stream_put(struct tok_stream *s, int32_t id, struct buf *out);
void tok_stream_end(struct tok_stream *s, struct buf *out); // what is held, as U+FFFD

#endif
