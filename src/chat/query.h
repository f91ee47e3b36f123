/* query.h - questions about text that need a model's vocabulary or template, but not the model: how a
 * text is tokenised, what ids say, what a conversation looks like to the model. */
#ifndef CURLEW_CHAT_QUERY_H
#define CURLEW_CHAT_QUERY_H

#include "chat/chat.h"

enum chat_query_kind {
    CHAT_QUERY_TOKENIZE,   // text or messages -> ids
    CHAT_QUERY_DETOKENIZE, // ids -> text
    CHAT_QUERY_TEMPLATE,   // messages -> text
};

struct chat_query {
    enum chat_query_kind kind;
    bool                 add_special;   // TOKENIZE of text: BOS and the like
    bool                 parse_special; // TOKENIZE of text: names of special tokens are those tokens
    bool                 pieces;        // TOKENIZE: each token's bytes come with it
    bool                 offsets;       // TOKENIZE: and where in the text (of messages: the rendered one) it stands
    struct str           text;          // TOKENIZE of text
    bool                 chat;          // the question is about req's messages
    struct chat_req      req;
    const int32_t       *tok; // [n_tok] DETOKENIZE
    int                  n_tok;
};

struct chat_answer {
    struct err        err;   // code ERR_NONE: answered
    struct str        text;  // DETOKENIZE, TEMPLATE
    const int32_t    *tok;   // [n_tok] TOKENIZE
    const struct str *piece; // [n_tok], or NULL
    const int32_t    *offset; // [2 n_tok] first character and the one past the last, or NULL; tokens put around
                              // the text are empty
    int               n_tok;
};

/* To and from frames, as chat_req_pack and chat_req_unpack. */
void          chat_query_pack(struct buf *b, const struct chat_query *q);
NODISCARD int chat_query_unpack(struct str bytes, struct arena *a, struct chat_query *ret, struct err *e);
void          chat_answer_pack(struct buf *b, const struct chat_answer *an);
NODISCARD int chat_answer_unpack(struct str bytes, struct arena *a, struct chat_answer *ret, struct err *e);

#endif
