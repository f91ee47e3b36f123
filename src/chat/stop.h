/* stop.h - find stop sequences in a stream of text.
 *
 *     struct stop st;
 *     int rc = stop_init(&st, stops, n, &e);
 *     ... for each piece of text:
 *     struct stop_out o = stop_put(&st, piece);   // o.head, o.text are ready to go out
 *     if (o.hit >= 0) -> finished by stops[o.hit]
 *     ... at the end of generation:
 *     struct str rest = stop_end(&st);
 *
 * Text is held back only while it is the head of a stop sequence (at most LIM_STOP_BYTES less one).
 * The earliest end wins; of several that end on the same byte, the one that began first. Bytes are
 * compared, so sequences may run across pieces, tokens and characters. Time is linear in the text
 * (Aho and Corasick, "Efficient string matching", CACM 18(6), 1975). It stands between the token
 * stream and the splitter: what it holds back, nobody after it has seen.
 */
#ifndef CURLEW_CHAT_STOP_H
#define CURLEW_CHAT_STOP_H

#include "base/err.h"
#include "base/str.h"

struct stop_node;

struct stop {
    struct stop_node *node;   // owned, the automaton; NULL when there is nothing to stop at
    int               n_node;
    int               at;     // state: node of the longest held head
    char             *held;   // owned, [2][depth]: the bytes of that head, and the last ones let go
    size_t            n_held;
    size_t            depth;  // length of the longest sequence
    bool              over;   // a sequence matched
};

struct stop_out {
    struct str head; // bytes held from earlier pieces that are free now; until the next call
    struct str text; // then this part of the piece (the caller's bytes)
    int        hit;  // index of the sequence that ended here, or -1
};

/* At most LIM_STOPS sequences of 1..LIM_STOP_BYTES bytes, which may be released afterwards. None is
 * fine. Error: NO_MEMORY, INVALID_VALUE. */
NODISCARD int stop_init(struct stop *s, const struct str *seq, int n, struct err *e);
void          stop_release(struct stop *s); // zeroed or half-built is fine

/* After a hit nothing more comes out. head.n + text.n counts the bytes let go: what of the stream is
 * not in any reply is held (n_held) or, after a hit, was the sequence and what followed it. */
struct stop_out stop_put(struct stop *s, struct str piece);
struct str      stop_end(struct stop *s); // what was held; valid until release

#endif
