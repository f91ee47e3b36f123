/* tok_wpm.c - WordPiece: BERT's words, each cut greedily into the longest tokens known.
 *
 * Tokens are spelt as GGUF spells them: the head of a word begins with U+2581, a continuation is bare
 * (upstream: the head is bare, a continuation begins with "##").
 * Source: Devlin et al., arXiv:1810.04805, and google-research/bert, tokenization.py.
 */
#include "base/mem.h"
#include "base/utf8.h"
#include "token/tok_int.h"

#define SPACE "\xE2\x96\x81"

/* One word: all its tokens, or the unknown token alone. Linear: a token is at most len_max bytes, and
 * each place is tried at most len_max times. */
static int put_word(struct enc *c, const char *p, size_t n, struct err *e)
{
    const struct tok *t    = c->t;
    size_t            mark = c->out->n, at = 0;
    struct buf        head;
    char              small[256];
    int               rc = 0;

    if (t->word_max && utf8_count((struct str){ p, n }) > t->word_max) goto unknown;
    while (at < n) {
        size_t  len = n - at < t->len_max ? n - at : t->len_max;
        int32_t id  = -1;
        for (; len && id < 0; len--) {
            c->work++;
            if (at + len < n && ((unsigned char)p[at + len] & 0xC0) == 0x80) continue;
            if (at) {
                id = text_find(&t->by_bytes, t->spelt, p + at, len);
            } else if (len + 3 <= sizeof small) {
                memcpy(small, SPACE, 3);
                memcpy(small + 3, p, len);
                id = text_find(&t->by_bytes, t->spelt, small, len + 3);
            } else {
                buf_init(&head, len + 3);
                buf_str(&head, STR(SPACE));
                buf_put(&head, p, len);
                if (head.failed) rc = err_nomem(e, "tokenising");
                else id = text_find(&t->by_bytes, t->spelt, head.p, head.n);
                buf_release(&head);
                if (rc < 0) return rc;
            }
            if (id >= 0) break;
        }
        if (id < 0) goto unknown;
        ids_put(c->out, id);
        at += len;
    }
    return 0;
unknown:
    c->out->n = mark;
    if (t->unk < 0) return err_set(e, ERR_INVALID_VALUE, "the vocabulary has no token for unknown words");
    ids_put(c->out, t->unk);
    return 0;
}

/* Punctuation, which is a word of its own: Unicode's, and all of ASCII's that is no letter or digit. */
static bool is_punct(uint32_t cp, uint8_t k)
{
    return k & UNI_PUNCT || (cp < 0x80 && k & UNI_SYM);
}

static int piece(void *ctx, size_t at, size_t end, struct err *e)
{
    struct enc *c = ctx;
    return put_word(c, c->text + at, end - at, e);
}

int wpm_encode(struct enc *c, const char *shadow, struct err *e)
{
    size_t word = 0, at = 0;
    int    rc   = 0, len;

    if (c->t->pre.n_stage) return pre_walk(&c->t->pre, shadow, c->n, piece, c, &c->work, e);
    for (; at < c->n && !rc; at += (size_t)len) {
        uint32_t cp;
        len       = uni_next(c->text, at, c->n, &cp);
        uint8_t k = uni_class_of(cp);
        if (!(k & UNI_SPACE) && !is_punct(cp, k)) continue;
        if (at > word) rc = put_word(c, c->text + word, at - word, e);
        if (!rc && !(k & UNI_SPACE)) rc = put_word(c, c->text + at, (size_t)len, e);
        word = at + (size_t)len;
    }
    if (!rc && at > word) rc = put_word(c, c->text + word, at - word, e);
    return rc;
}
