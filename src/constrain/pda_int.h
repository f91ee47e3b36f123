/* pda_int.h - run a program over bytes: all ways at once, remembered.
 *
 * A way is a stack; its top says where in the program it stands. Stacks are shared as a tree: a frame has
 * one parent, equal frames are one (so does Tomita's graph-structured stack, "Efficient Parsing for
 * Natural Language", 1985, without joining tops). A configuration is the set of tops that wait for a
 * byte; equal sets are one configuration, and where each class of bytes leads from it is computed once:
 * a deterministic automaton that is built while it is used.
 *
 *     tops of a configuration        frames
 *       BYTES '"' ...   ---------->  REP string, 3 so far  --->  CALL member's rest  ---> ...
 *
 * Everything remembered lies below ceilings (base/limits.h). When they are reached it is all forgotten
 * but what running sequences hold.
 */
#ifndef CURLEW_CONSTRAIN_PDA_INT_H
#define CURLEW_CONSTRAIN_PDA_INT_H

#include "constrain/prog_int.h"
#include "constrain/vocab_int.h"

#define PDA_UNKNOWN (-1)
#define PDA_DEAD    (-2)
#define PDA_FULL    (-3) // the memory is used up: pda_forget and again
#define PDA_ERROR   (-4) // p->err says why
#define PDA_ROOT    0u   // the frame below all others

struct pda_frame {
    uint32_t pc, count, parent;
    uint16_t depth;
    bool     alive; // used by pda_forget
};

struct pda_conf {
    uint32_t top_at, n_top; // in p->top
    uint32_t hash;
    int32_t  mask;          // which of the masks, or -1
    bool     accept;        // the text may end here
};

struct pda {
    struct prog             prog;
    struct constrain_vocab *vocab; // borrowed

    struct pda_frame *frame;
    size_t            n_frame, cap_frame;
    uint32_t         *seen;  // [cap_seen] by frame: the closure it was last in
    size_t            cap_seen;
    uint32_t          epoch;
    uint32_t         *frame_slot; // hash table of frame + 1
    size_t            frame_mask;

    struct pda_conf *conf;
    size_t           n_conf, cap_conf;
    int32_t         *trans; // [n_conf][n_cls]
    size_t           cap_trans;
    uint32_t        *top;
    size_t           n_top, cap_top;
    uint32_t        *conf_slot;
    size_t           conf_mask;

    uint32_t *work, *out; // scratch of a closure
    size_t    cap_work, cap_out, n_work, n_out;
    bool      accept;
    uint64_t  steps;      // frames looked at since pda_mask or pda_advance began

    uint64_t *masks;      // [n_mask][vocab->n_word]
    int32_t  *mask_conf;  // [n_mask] whose it is, or -1
    int       n_mask, cap_mask, hand;
    int32_t  *path;       // [len_max + 1] configurations of a walk

    struct constrain_run *runs; // sequences that hold a configuration
    struct err            err;
};

/* The program moves in. Error: NO_MEMORY. */
NODISCARD int pda_init(struct pda *p, struct prog *prog, struct constrain_vocab *v, struct err *e);
void          pda_release(struct pda *p);

int32_t pda_first(struct pda *p);                            // before any byte
int32_t pda_byte(struct pda *p, int32_t conf, uint8_t byte); // PDA_DEAD, PDA_FULL, PDA_ERROR
/* A configuration that allows the same tokens, one for many: while a string's limits are farther away than
 * any token is long, it does not matter how far. conf itself when there is none, or no memory. */
int32_t pda_alike(struct pda *p, int32_t conf);
/* Forget all but the configurations of p->runs, which get new numbers. Error: NO_MEMORY. */
NODISCARD int pda_forget(struct pda *p, struct err *e);

/* Nobody runs: give back what was used beyond a usual measure. */
void pda_shrink(struct pda *p);

/* pda_mask.c: tokens that may follow; until the next call. NULL: p->err. */
const uint64_t *pda_mask(struct pda *p, struct constrain_run *r);

static inline int32_t pda_next(struct pda *p, int32_t conf, uint8_t byte)
{
    int32_t to = p->trans[(size_t)conf * (size_t)p->prog.n_cls + p->prog.cls[byte]];
    return to != PDA_UNKNOWN ? to : pda_byte(p, conf, byte);
}

#endif
