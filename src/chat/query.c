/* query.c - questions and answers on the channel. */
#include "chat/query.h"

#include "base/limits.h"

static void pack_toks(struct buf *b, const int32_t *tok, int n)
{
    pack_u32(b, (uint32_t)n);
    for (int i = 0; i < n; i++) pack_i32(b, tok[i]);
}

/* NULL on failure (u failed, or *no_mem), and when there are none. */
static const int32_t *unpack_toks(struct unpack *u, struct arena *a, int *ret_n, bool *no_mem)
{
    uint32_t n   = unpack_count(u, LIM_CTX, 4);
    int32_t *tok = n ? arena_array(a, n, sizeof *tok) : NULL;

    *no_mem |= n && !tok;
    for (uint32_t i = 0; tok && i < n; i++) {
        tok[i] = unpack_i32(u);
        if (tok[i] < 0) u->failed = true;
    }
    *ret_n = tok ? (int)n : 0;
    return tok;
}

static struct str keep(struct arena *a, struct str s, bool *no_mem)
{
    if (!s.p) return STR("");
    s = arena_str(a, s);
    *no_mem |= !s.p;
    return s;
}

void chat_query_pack(struct buf *b, const struct chat_query *q)
{
    pack_u8(b, (uint8_t)q->kind);
    pack_u8(b, q->add_special);
    pack_u8(b, q->parse_special);
    pack_u8(b, q->pieces);
    pack_u8(b, q->offsets);
    pack_str(b, q->text);
    pack_toks(b, q->tok, q->n_tok);
    pack_u8(b, q->chat);
    if (q->chat) chat_req_pack(b, &q->req); // to the end of the frame
}

int chat_query_unpack(struct str bytes, struct arena *a, struct chat_query *ret, struct err *e)
{
    struct unpack     u      = unpack_init(bytes);
    bool              no_mem = false;
    struct chat_query q      = { .kind = (enum chat_query_kind)unpack_u8(&u) };

    if (q.kind > CHAT_QUERY_TEMPLATE) u.failed = true;
    q.add_special   = unpack_bool(&u);
    q.parse_special = unpack_bool(&u);
    q.pieces        = unpack_bool(&u);
    q.offsets       = unpack_bool(&u);
    q.text          = keep(a, unpack_str(&u), &no_mem);
    q.tok           = unpack_toks(&u, a, &q.n_tok, &no_mem);
    q.chat          = unpack_bool(&u);
    if (no_mem) return err_nomem(e, "reading a question");
    if (!u.failed && q.chat) {
        int rc = chat_req_unpack((struct str){ (const char *)u.p, u.n }, a, &q.req, e);
        if (rc < 0) return rc;
        u.n = 0;
    }
    if (!unpack_done(&u) || (q.kind == CHAT_QUERY_TEMPLATE && !q.chat))
        return err_set(e, ERR_PROTOCOL, "question frame is malformed");
    *ret = q;
    return 0;
}

void chat_answer_pack(struct buf *b, const struct chat_answer *an)
{
    pack_u32(b, (uint32_t)an->err.code);
    pack_str(b, an->err.code ? str_c(an->err.param) : STR(""));
    pack_str(b, an->err.code ? str_c(an->err.msg) : STR(""));
    pack_str(b, an->text);
    pack_toks(b, an->tok, an->n_tok);
    pack_u8(b, an->piece != NULL);
    for (int i = 0; an->piece && i < an->n_tok; i++) pack_str(b, an->piece[i]);
    pack_u8(b, an->offset != NULL);
    for (int i = 0; an->offset && i < 2 * an->n_tok; i++) pack_i32(b, an->offset[i]);
}

int chat_answer_unpack(struct str bytes, struct arena *a, struct chat_answer *ret, struct err *e)
{
    struct unpack      u      = unpack_init(bytes);
    bool               no_mem = false;
    struct chat_answer an     = { .err.code = (enum err_code)unpack_u32(&u) };

    if ((unsigned)an.err.code >= ERR_CODES) u.failed = true;
    str_copy_z(an.err.param, sizeof an.err.param, unpack_str(&u));
    str_copy_z(an.err.msg, sizeof an.err.msg, unpack_str(&u));
    an.text = keep(a, unpack_str(&u), &no_mem);
    an.tok  = unpack_toks(&u, a, &an.n_tok, &no_mem);
    if (unpack_bool(&u) && an.n_tok) {
        struct str *piece = arena_array(a, (size_t)an.n_tok, sizeof *piece);
        no_mem |= !piece;
        for (int i = 0; piece && i < an.n_tok; i++) piece[i] = keep(a, unpack_str(&u), &no_mem);
        an.piece = piece;
    }
    if (unpack_bool(&u) && an.n_tok) {
        int32_t *offset = arena_array(a, (size_t)an.n_tok, 2 * sizeof *offset);
        no_mem |= !offset;
        for (int i = 0; offset && i < 2 * an.n_tok; i++) {
            offset[i] = unpack_i32(&u);
            if (offset[i] < 0 || (i & 1 && offset[i] < offset[i - 1])) u.failed = true;
        }
        an.offset = offset;
    }
    if (no_mem) return err_nomem(e, "reading an answer");
    if (!unpack_done(&u)) return err_set(e, ERR_PROTOCOL, "answer frame is malformed");
    *ret = an;
    return 0;
}
