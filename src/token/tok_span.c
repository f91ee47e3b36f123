/* tok_span.c - where in the text each token came from.
 *
 * Found after the fact, by laying the tokens' bytes along the text: for families that keep the text
 * this is exact, and costs the encoder nothing. Where a family rewrites text (case, accents, Unicode
 * forms, lost spaces) the next place that agrees is looked for nearby.
 */
#include "token/tok_int.h"

#define REACH 64 // bytes that a rewritten piece may lie ahead

static bool agrees(struct str text, size_t at, struct str b)
{
    struct str there = str_sub(text, at, b.n);
    return there.n == b.n && (str_eq(there, b) || str_eq_nocase(there, b));
}

void tok_spans(const struct tok *t, struct str text, const int32_t *id, size_t n, struct tok_span *ret)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        struct str b     = tok_bytes(t, id[i], true);
        struct str bare  = b.n > 1 && b.p[0] == ' ' ? str_from(b, 1) : b; // the encoder's own space
        bool       mark  = b.n == 1 && b.p[0] == ' ';
        size_t     far   = text.n - at < REACH ? text.n : at + REACH;
        bool       found = false;
        ret[i]           = (struct tok_span){ at, 0 };
        if (!b.n || (mark && !agrees(text, at, b))) continue;
        /* A special token that was put around the text has no place in it, so is not looked for ahead;
         * one that was found in it may have swallowed white space before or after. */
        for (size_t k = at; k <= far && !found; k++) {
            struct str as = agrees(text, k, b) ? b : agrees(text, k, bare) ? bare : STR_NULL;
            if (as.n) {
                ret[i] = (struct tok_span){ k, as.n };
                found  = true;
            } else if (tok_is_special(t, id[i]) && k < text.n && !(uni_class_of((unsigned char)text.p[k]) & UNI_SPACE)) {
                break;
            }
        }
        if (found) at = ret[i].at + ret[i].n;
    }
}
