/* sess_query.c - answer what needs the vocabulary or the template only. At once, between two steps. */
#include "base/clock.h"
#include "base/limits.h"
#include "chat/query.h"
#include "session/session_int.h"

static int need_tok(const struct session *s, struct err *e)
{
    return s->c.tok ? 0 : err_set(e, ERR_UNSUPP_VALUE, "this model's engine takes text: its tokens are not known here");
}

static int put_ids(const struct session *s, const struct ids *ids, bool pieces, struct arena *a,
                   struct chat_answer *ret, struct err *e)
{
    int32_t    *tok   = arena_array(a, ids->n + 1, sizeof *tok);
    struct str *piece = arena_array(a, ids->n + 1, sizeof *piece);

    if (!tok || !piece || ids->failed) return err_nomem(e, "tokenising");
    for (size_t i = 0; i < ids->n; i++) {
        tok[i]   = ids->id[i];
        piece[i] = tok_bytes(s->c.tok, ids->id[i], true);
    }
    ret->tok   = tok;
    ret->n_tok = (int)ids->n;
    ret->piece = pieces ? piece : NULL;
    return 0;
}

static bool is_inside(char c) // a character's second byte, or a later one
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Which characters of the text each token came from. Tokens can begin and end inside a character: then it
 * belongs to all of them. */
static int put_offsets(const struct session *s, struct str text, struct arena *a, struct chat_answer *ret,
                       struct err *e)
{
    size_t           n      = (size_t)ret->n_tok, byte = 0;
    struct tok_span *span   = arena_array(a, n + 1, sizeof *span);
    int32_t         *offset = arena_array(a, n + 1, 2 * sizeof *offset);
    int32_t          chars  = 0; // that begin before `byte`

    if (!span || !offset) return err_nomem(e, "tokenising");
    tok_spans(s->c.tok, text, ret->tok, n, span);
    for (size_t i = 0; i < n; i++) {
        size_t at = span[i].at, end = at + span[i].n;
        for (; byte < at; byte++) chars += !is_inside(text.p[byte]);
        bool    inside = span[i].n && is_inside(text.p[at]);
        int32_t past   = chars;
        for (size_t k = at; k < end; k++) past += !is_inside(text.p[k]);
        offset[2 * i]     = chars - inside;
        offset[2 * i + 1] = past;
    }
    ret->offset = offset;
    return 0;
}

static int tokenize(struct session *s, const struct chat_query *q, struct arena *a, struct chat_answer *ret,
                    struct err *e)
{
    struct ids      ids;
    struct str      text;
    unsigned        flags = (q->add_special ? TOK_ADD_SPECIAL : 0u) | (q->parse_special ? TOK_PARSE_SPECIAL : 0u);
    int             rc    = need_tok(s, e);

    if (rc < 0) return rc;
    ids_init(&ids, LIM_CTX);
    rc = q->chat ? sess_render(s, &q->req, a, &ids, &text, e) : tok_encode(s->c.tok, q->text, flags, &ids, e);
    if (rc == 0) rc = put_ids(s, &ids, q->pieces, a, ret, e);
    if (rc == 0 && q->offsets) rc = put_offsets(s, q->chat ? text : q->text, a, ret, e);
    ids_release(&ids);
    return rc;
}

static int detokenize(struct session *s, const struct chat_query *q, struct arena *a, struct chat_answer *ret,
                      struct err *e)
{
    struct buf b;
    int        rc = need_tok(s, e);

    for (int i = 0; rc == 0 && i < q->n_tok; i++)
        if (q->tok[i] >= tok_n(s->c.tok))
            rc = err_param(e, ERR_INVALID_VALUE, "tokens", "tokens[%d] is %d, the vocabulary has %d", i,
                           q->tok[i], tok_n(s->c.tok));
    if (rc < 0) return rc;
    buf_init(&b, LIM_FRAME_BYTES / 2);
    rc = tok_decode(s->c.tok, q->tok, (size_t)q->n_tok, true, &b, e);
    if (rc == 0) {
        ret->text = arena_str(a, buf_text(&b));
        if (b.failed || !ret->text.p) rc = err_set(e, ERR_TOO_LARGE, "the text is larger than %zu bytes", b.max);
    }
    buf_release(&b);
    return rc;
}

void session_query(struct session *s, struct str frame, struct buf *ret)
{
    struct arena       a;
    struct chat_query  q;
    struct chat_answer an = { .text = STR("") };
    struct err         e  = { .code = ERR_INTERNAL };

    arena_init(&a, LIM_REQ_ARENA);
    int rc = chat_query_unpack(frame, &a, &q, &e);
    if (rc == 0) {
        switch (q.kind) {
        case CHAT_QUERY_TOKENIZE: rc = tokenize(s, &q, &a, &an, &e); break;
        case CHAT_QUERY_DETOKENIZE: rc = detokenize(s, &q, &a, &an, &e); break;
        case CHAT_QUERY_TEMPLATE: rc = sess_render(s, &q.req, &a, NULL, &an.text, &e); break;
        }
    }
    if (rc < 0) an = (struct chat_answer){ .err = e, .text = STR("") };
    chat_answer_pack(ret, &an);
    arena_release(&a);
}
