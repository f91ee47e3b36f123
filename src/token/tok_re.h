/* tok_re.h - regular expressions of tokenizers, under PCRE2; the one file that knows it.
 *
 * Patterns come from model files, in the dialect of Oniguruma or Rust's regex; texts from clients. A
 * search does work linear in the text or fails: each attempt sees a window that grows only while the
 * match asks for more, and the growth is counted against a budget.
 */
#ifndef CURLEW_TOKEN_TOK_RE_H
#define CURLEW_TOKEN_TOK_RE_H

#include "base/buf.h"
#include "base/err.h"

struct tok_re; // immutable after tok_re_new: any thread

/* Error: UNSUPP_MODEL naming the pattern, what is wrong with it and where. */
NODISCARD int tok_re_new(struct str pattern, struct tok_re **ret, struct err *e);
void          tok_re_free(struct tok_re *re); // NULL is fine

/* The pattern in PCRE2's words: \s, \w, \d, \b and their opposites become the classes the other
 * engines mean by them, [a&&[^b]] becomes a look-ahead. For tests. */
NODISCARD int tok_re_translate(struct str pattern, struct buf *ret, struct err *e);

struct tok_re_run {
    void  *data;   // match data, of one thread
    size_t budget; // window bytes that may still be asked for
};
NODISCARD int tok_re_start(const struct tok_re *re, size_t n_text, struct tok_re_run *run, struct err *e);
void          tok_re_stop(struct tok_re_run *run); // zeroed is fine

/* The first match in text[at, end) that is not empty. Returns 1 and its borders, 0 when there is none,
 * or an error: TOO_LARGE when the pattern takes more than linear time on this text. The text is
 * well-formed UTF-8 and what lies before `at` is seen by look-behinds. */
NODISCARD int tok_re_next(const struct tok_re *re, struct tok_re_run *run, const char *text, size_t at,
                          size_t end, size_t *from, size_t *to, struct err *e);

#endif
