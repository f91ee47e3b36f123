/* sched_draft.c - guess the next tokens from the text itself, to be checked in one pass.
 *
 * Answers that quote, edit or repeat have long stretches of what was there before. When the last few tokens have
 * occurred already, what followed them then is computed together with the sequence's own token; the caller samples row
 * after row as if each had come alone, and the first token that is not the guessed one ends it. So the answer is
 * the same to the token, whatever is guessed: only the number of passes changes.
 * Sources: Yang et al., Inference with Reference, arXiv:2304.04487; A. Saxena, Prompt Lookup Decoding (2023).
 */
#include <string.h>

#include "sched_int.h"

enum {
    NEEDLE   = 3,     // tokens that must have occurred: with 2, most guesses in prose are wrong
    LOOKBACK = 32768, // tokens behind that are not searched
    BEGIN    = 4,     // guesses of a sequence's first try
};

/* Where the text went on after the latest earlier occurrence of its last tokens, or -1. */
static int find_earlier(const int32_t *tok, int n)
{
    const int32_t *last = tok + n - NEEDLE;
    int            stop = n > LOOKBACK ? n - LOOKBACK : 0;

    for (int at = n - NEEDLE - 1; at >= stop; at--)
        if (tok[at] == last[0] && !memcmp(tok + at, last, NEEDLE * sizeof *tok)) return at + NEEDLE;
    return -1;
}

int sched_draft(const struct sched *s, struct seq *q, int room)
{
    int n = q->draft_len ? q->draft_len : BEGIN;

    if (n > s->conf.n_draft) n = s->conf.n_draft;
    if (n > room) n = room;
    if (n > q->cap_tok - q->n_tok - 1) n = q->cap_tok - q->n_tok - 1; // and one more is sampled after the last
    if (n > q->n_more - 1) n = q->n_more - 1;
    if (n < 1 || q->n_tok <= NEEDLE || q->win) return 0; // windows let go of pages by what is certain
    int from = find_earlier(q->tok, q->n_tok);
    if (from < 0) return 0;
    /* A short period is copied over itself. The guesses lie behind the known tokens. */
    for (int i = 0; i < n; i++) q->tok[q->n_tok + i] = q->tok[from + i];
    return n;
}

/* Longer while all comes true, shorter when little does. */
void sched_draft_learn(struct seq *q)
{
    if (q->n_drafted == 0) return;
    q->draft_len = q->n_hit == q->n_drafted ? 2 * q->n_drafted : q->n_hit + 1;
    q->n_drafted = q->n_hit = q->n_draft = 0;
}
