/* tok_int.h - what the files of this room share. */
#ifndef CURLEW_TOKEN_TOK_INT_H
#define CURLEW_TOKEN_TOK_INT_H

#include "base/buf.h"
#include "base/limits.h"
#include "token/tok.h"
#include "token/tok_pre.h"

enum tok_model { TOK_BPE, TOK_SPM, TOK_WPM, TOK_UGM, TOK_RWKV, TOK_BYTES };

/* Token types, with GGUF's numbers. */
enum tok_type {
    TOK_T_UNDEFINED, TOK_T_NORMAL, TOK_T_UNKNOWN, TOK_T_CONTROL, TOK_T_USER, TOK_T_UNUSED, TOK_T_BYTE,
    TOK_TYPES
};

enum tok_bit {
    TOK_B_SPECIAL = 1 << 0, // control or unknown: never shown, never made of untrusted text
    TOK_B_MATCH   = 1 << 1, // found by its name before the model sees the text
    TOK_B_EOG     = 1 << 2,
    TOK_B_LSTRIP  = 1 << 3, // swallows white space before it
    TOK_B_RSTRIP  = 1 << 4, // and after it
    TOK_B_TEXT    = 1 << 5, // the model may make it of text
    TOK_B_BYTE    = 1 << 6, // stands for one byte
    TOK_B_WORD    = 1 << 7, // matches only as a whole word
};

/* How text is rewritten before it is cut, in this order of steps. */
enum norm_kind {
    NORM_NFC, NORM_NFD, NORM_NFKC, NORM_NFKD,
    NORM_LOWER,
    NORM_ACCENTS,   // marks dropped after NFD
    NORM_BERT_CLEAN, // control characters dropped, white space to " "
    NORM_BERT_CJK,   // spaces around CJK characters
    NORM_REPLACE,   // every a by b
    NORM_REGEX,     // every match of re by b
    NORM_PREPEND,   // b before a text that is not empty
    NORM_STRIP,     // white space at the ends: left with flag 1, right with 2
    NORM_CHARSMAP,  // sentencepiece's precompiled map
};
#define NORM_STEPS 12
struct norm_step {
    enum norm_kind kind;
    int            flag;
    struct str     a, b;  // owned by the vocabulary's arena
    struct tok_re *re;    // owned
};
struct norm {
    struct norm_step step[NORM_STEPS];
    int              n;
    struct str       charsmap; // in arena
    size_t           trie_n;   // words of the map's double array
};

/* Text tables: from bytes to ids. Open addressing; a slot is id + 1 with 32 bits of the hash. */
struct text_slot {
    uint32_t tag, id1;
};
struct text_map {
    struct text_slot *slot; // in arena; [mask + 1]
    uint32_t          mask;
};

/* From a pair of ids to the id they merge to. */
struct merge_slot {
    uint32_t left, right; // left UINT32_MAX: empty
    uint32_t rank, id;
};

#define TOK_ENDS 4

struct trie; // tok_trie.h

enum space_rule { SPACE_NONE, SPACE_FIRST, SPACE_ALWAYS };

struct tok {
    struct arena   arena;   // all that is read-only after the build
    enum tok_model model;
    char           kind[64];
    int32_t        n;       // tokens
    struct str    *name;    // [n] as the vocabulary spells it
    struct str    *bytes;   // [n] as it appears in output
    uint8_t       *bits;    // [n] enum tok_bit
    float         *score;   // [n], or NULL
    struct text_map by_name;
    struct text_map by_bytes; // of TOK_B_TEXT tokens only, as the model spells them (see `spelt`)
    struct str    *spelt;     // [n] = bytes or name: what by_bytes is keyed by
    size_t         len_max;   // bytes of the longest TOK_B_TEXT token
    uint8_t         no_cut[32]; // bit set: a token has U+2581 behind a character that ends in this byte
    int32_t        byte_id[256]; // -1: none

    struct merge_slot *merge; // [merge_mask + 1], BPE
    uint32_t           merge_mask;
    uint64_t          *pair_first; // [256 * 256] rank << 32 | id of two bytes' merge (byte level), or NULL

    struct pre     pre;
    struct norm    norm;
    bool           ignore_merges, byte_level, byte_fallback, fuse_unk;
    bool           spaces;      // " " is U+2581 inside the model
    enum space_rule prefix;     // a space goes before the first text / after every special token
    bool           prefix_bare; // ... only where the text does not begin with one (ByteLevel, Metaspace)
    bool           strip_first; // decoding drops the space the encoder put first
    bool           merge_spaces; // UGM: runs of spaces become one
    bool           suffix_space; // UGM: the space stands behind the word
    size_t         word_max; // WPM: longer words are unknown; 0: no limit

    int32_t bos, eos, eot, unk, cls, sep;
    int32_t fim[TOK_FIMS];
    bool    add_bos, add_eos, add_sep;
    int32_t head[TOK_ENDS], tail[TOK_ENDS]; // ids that TOK_ADD_SPECIAL puts around a text
    int     n_head, n_tail;

    struct trie *match[2]; // specials by name: 0 what any text may hold, 1 the trusted parts' too
    struct trie *words;    // UGM, RWKV
    double       unk_score; // UGM
};

/* What a loader found; everything is borrowed for the call. */
struct tok_pair {
    struct str left, right;
};
struct tok_added { // tokenizer.json's added_tokens
    struct str content;
    int32_t    id;
    bool       special, lstrip, rstrip, single_word;
};
struct tok_spec {
    enum tok_model    model;
    const char       *where;   // "tokenizer.ggml" or "model.vocab": how messages name the source
    struct str        name;    // general.name, for families that need it; may be STR_NULL
    struct str        pre_name; // for tok_kind
    const struct str *token;   // [n_token]
    size_t            n_token;
    const float      *score;   // [n_score] or NULL
    size_t            n_score;
    const int32_t    *type;    // [n_type] or NULL: all normal
    size_t            n_type;
    const struct tok_pair *merge; // [n_merge]
    size_t                 n_merge;
    const struct tok_added *added; // [n_added]; their types are set in `type` already
    size_t                  n_added;
    struct str        charsmap;
    /* -1: none; else checked against n_token */
    int64_t bos, eos, eot, eom, unk, cls, sep;
    int64_t fim[TOK_FIMS];
    bool    add_bos, add_eos, add_sep;
    bool    byte_level, byte_fallback, ignore_merges, fuse_unk, spaces, merge_spaces, suffix_space;
    enum space_rule prefix;
    bool    prefix_bare;
    bool    strip_first;
    size_t  word_max;
    struct str word_prefix;           // WPM: what a continuation begins with; STR_NULL: GGUF's spelling
    int32_t head[TOK_ENDS], tail[TOK_ENDS]; // besides what add_bos, add_eos and add_sep put there
    int     n_head, n_tail;
};

/* Build from the spec; *pre and *norm move into the result when it succeeds. */
NODISCARD int tok_build(const struct tok_spec *spec, struct pre *pre, struct norm *norm,
                        struct tok **ret, struct err *e);
/* The spec with every id absent. */
void tok_spec_init(struct tok_spec *s);

/* tok_vocab.c */
uint64_t tok_hash(const char *p, size_t n);
int32_t  text_find(const struct text_map *m, const struct str *key, const char *p, size_t n);
uint32_t byte_level_char(int byte); // how the byte alphabet spells it
bool     byte_level_bytes(struct str name, char *dst, size_t *n); // false: not of the byte alphabet

static inline const struct merge_slot *merge_find(const struct tok *t, uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    for (uint32_t i = (uint32_t)(h >> 32) & t->merge_mask;; i = (i + 1) & t->merge_mask) {
        const struct merge_slot *m = &t->merge[i];
        if (m->left == left && m->right == right) return m;
        if (m->left == UINT32_MAX) return NULL;
    }
}

/* What one encode call works with. */
struct cache_slot;
struct slot;
struct enc {
    const struct tok  *t;
    struct ids        *out;
    const char        *text; // the segment's bytes, after normalisation
    size_t             n;
    size_t             n_all; // bytes of the whole text
    struct cache_slot *cache; // [cache_mask + 1] or NULL
    uint32_t           cache_mask;
    struct slot       *slot; // [slot_cap] a window's symbols
    uint32_t          *rank; // [rank_cap] of the pairs they begin
    uint64_t          *heap; // [heap_cap]
    size_t             slot_cap, rank_cap, heap_cap;
    struct buf         norm_buf, space_buf;
    bool               unk_seen; // an unknown was put
    bool               unk_open; // the last id is an unknown that the next one may join
    uint64_t           work;     // steps done, for the test that they are linear
};

/* tok_merge.c: append the ids of text[at, end), one piece. */
NODISCARD int merge_piece(struct enc *c, size_t at, size_t end, struct err *e);

/* One segment of text without special tokens, normalised. */
NODISCARD int bpe_encode(struct enc *c, const char *shadow, struct err *e);
NODISCARD int spm_encode(struct enc *c, struct err *e);
NODISCARD int wpm_encode(struct enc *c, const char *shadow, struct err *e);
NODISCARD int ugm_encode(struct enc *c, const char *shadow, struct err *e);
NODISCARD int rwkv_encode(struct enc *c, struct err *e);
void          enc_release(struct enc *c);

/* tok_norm.c. The text with every ill-formed byte as U+0001; NULL when out of memory. */
char *tok_shadow(const char *text, size_t n);
/* in and out differ; out is overwritten. */
NODISCARD int norm_apply(const struct norm *nm, struct str in, struct buf *out, struct err *e);
bool          norm_is_noop(const struct norm *nm, struct str in);
NODISCARD int norm_add(struct norm *nm, struct norm_step step, struct err *e);
void          norm_release(struct norm *nm);
NODISCARD int norm_charsmap(struct norm *nm, struct str map, struct err *e);

/* For tests: steps of the last call of this thread's tok_encode_counted. */
NODISCARD int tok_encode_counted(const struct tok *t, struct str text, unsigned flags, struct ids *ret,
                                 uint64_t *work, struct err *e);

#endif
