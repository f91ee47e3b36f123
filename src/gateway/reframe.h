/* reframe.h - another server's replies in our own frame.
 *
 * What an upstream sends is taken apart and written anew: our id, our time, our name of the model, usage only where it
 * was asked for; members that we do not know go along. What is not as the API has it is an error, and so is a stream
 * that ends before each of its choices has a finish_reason. No I/O. */
#ifndef CURLEW_GATEWAY_REFRAME_H
#define CURLEW_GATEWAY_REFRAME_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

enum reframe_kind {
    REFRAME_CHAT,
    REFRAME_TEXT,  // completions
    REFRAME_EMBED,
    REFRAME_RANK,
};

struct reframe {
    enum reframe_kind kind;
    struct str        id, model; // ours; borrowed
    int64_t           created;
    bool              usage; // the client asked for it in the stream
    /* a stream so far */
    unsigned char choice[LIM_UPSTREAM_CHOICES]; // 0: not seen, 1: begun, 2: has its finish_reason
    int           n_seen, n_open;
};

/* What an upstream says went wrong, bounded and fit for a reply. */
struct reframe_fault {
    char msg[ERR_MSG_MAX];
    char type[ERR_PARAM_MAX], code[ERR_PARAM_MAX], param[ERR_PARAM_MAX]; // plain words, or ""
};

/* One event's data to out (cleared first): nothing when the client shall not see it. Errors: UPSTREAM that says what
 * is wrong with it, also when it is the upstream's own report of an error; NO_MEMORY. */
NODISCARD int reframe_event(struct reframe *r, struct str data, struct buf *out, struct err *e);
/* After the last one: has every choice ended? Error: UPSTREAM. */
NODISCARD int reframe_end(const struct reframe *r, struct err *e);

/* A whole reply. Errors as above. */
NODISCARD int reframe_whole(const struct reframe *r, struct str body, struct buf *out, struct err *e);

/* The body of a reply that is an error, in any of the shapes that servers have: {"error": {"message"}},
 * {"error": "..."}, {"message"}, {"detail"}. False: it says nothing. */
bool reframe_fault(struct str body, struct reframe_fault *ret);

#endif
