/* prog_int.h - a grammar as a program over bytes.
 *
 * Operations of a nondeterministic automaton with a stack, in the manner of Thompson's construction
 * ("Regular expression search algorithm", CACM 11(6), 1968): CALL pushes where to go on, END pops it.
 * Immutable once emitted.
 */
#ifndef CURLEW_CONSTRAIN_PROG_INT_H
#define CURLEW_CONSTRAIN_PROG_INT_H

#include "base/mem.h"
#include "constrain/gram_int.h"

enum prog_kind {
    PROG_END,   // of a rule or of a repetition's body
    PROG_NEVER,
    PROG_BYTES, // one byte of set x, then y
    PROG_SPLIT, // x and y
    PROG_JUMP,  // x
    PROG_CALL,  // x, and y after its END
    PROG_REP,   // x min to max times, then y; the frame on the stack counts
};

#define PROG_INF UINT32_MAX

struct prog_op {
    uint8_t  kind;
    bool     plain;    // REP: over the characters of a JSON string
    bool     live;     // a text leads from here to the END
    bool     null;     // ... and the empty one does
    uint32_t x, y;
    uint32_t min, max; // REP; max PROG_INF: without end
};

struct prog_set {
    uint64_t w[4]; // bit b: byte b
};

static inline bool prog_has(const struct prog_set *s, unsigned byte)
{
    return s->w[byte >> 6] >> (byte & 63) & 1;
}

struct prog {
    struct prog_op  *op;  // [n_op]; op 0 is END
    size_t           n_op, cap_op;
    struct prog_set *set; // [n_set], all different
    size_t           n_set, cap_set;
    uint32_t         start;
    uint8_t          cls[256]; // bytes that no set tells apart have the same class
    int              n_cls;
    uint8_t          rep[256]; // [n_cls] a byte of each class
};

/* From the rules of g and the tree of the whole text. What can never be completed is cut off. Errors:
 * g's own failure; INVALID_VALUE for limits, left recursion, or when no text fits at all. */
NODISCARD int prog_emit(struct prog *p, struct gram *g, const struct gram_node *root, struct err *e);
void          prog_release(struct prog *p);

#endif
