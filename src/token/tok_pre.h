/* tok_pre.h - pre-tokenizers: how a text is cut before the model sees it. */
#ifndef CURLEW_TOKEN_TOK_PRE_H
#define CURLEW_TOKEN_TOK_PRE_H

#include "token/tok_re.h"
#include "token/tok_scan.h"

#define PRE_STAGES 12

/* What becomes of a stage's matches: Hugging Face's names. */
enum pre_action {
    PRE_ISOLATE,  // a match is a piece, and so is what lies between two
    PRE_REMOVE,   // what lies between
    PRE_CONTIG,   // as isolate, adjacent matches being one
    PRE_PREVIOUS, // a match ends the piece it follows
    PRE_NEXT,     // a match begins the piece it precedes
};

struct pre_stage {
    struct scan_stage scan;
    enum pre_action   action;
    bool              invert; // match and between swap their parts
    struct tok_re    *re;     // owned by the pre; SCAN_REGEX only
    char             *text;   // owned copy of scan.re, or NULL when that is a constant
};

struct pre {
    struct pre_stage stage[PRE_STAGES];
    int              n_stage;
    bool             has_re;
    struct uni      *uni; // owned
};

/* What GGUF's tokenizer.ggml.pre says, beyond the patterns. */
struct pre_row {
    const char              *names;   // "llama-bpe llama3 ..."
    const struct scan_stage *stage;   // [n_stage]
    int                      n_stage;
    bool ignore_merges; // a piece that is a token is that token
    bool add_bos;       // unless the file says otherwise
    bool add_sep;
    bool spaces;        // spaces are U+2581 and bytes are <0xXX>: sentencepiece's spelling
    bool nfc;           // the family normalises to NFC
};
const struct pre_row *pre_find(struct str name); // NULL when unknown
const struct pre_row *pre_row_at(size_t i);      // for tests: NULL past the end

/* Build from stages (copied); their patterns are compiled where they have no scanner. */
NODISCARD int pre_init(struct pre *p, const struct scan_stage *stage, int n, struct err *e);
/* Add one stage of a tokenizer.json: a pattern we know gets its scanner. */
NODISCARD int pre_add_regex(struct pre *p, struct str pattern, enum pre_action action, bool invert,
                            struct err *e);
NODISCARD int pre_add_scan(struct pre *p, const struct scan_stage *stage, enum pre_action action,
                           bool invert, struct err *e);
NODISCARD int pre_add_literal(struct pre *p, struct str lit, enum pre_action action, bool invert,
                              struct err *e);
void          pre_release(struct pre *p); // zeroed is fine
extern const struct scan_stage pre_gpt2;

/* Cut text[0, n) and hand each piece to fn in order; a non-zero return of fn ends the walk and is
 * returned. `shadow` is the text with every ill-formed byte replaced by U+0001 where a stage has a
 * regex, else the text itself. *looked, unless NULL, grows by the bytes looked at beyond the pieces. */
typedef int pre_fn(void *ctx, size_t at, size_t end, struct err *e);
NODISCARD int pre_walk(const struct pre *p, const char *shadow, size_t n, pre_fn *fn, void *ctx,
                       uint64_t *looked, struct err *e);

#endif
