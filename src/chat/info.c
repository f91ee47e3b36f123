/* info.c - a model's description on its way from worker to front. */
#include "chat/info.h"

#include "base/limits.h"
#include "base/utf8.h"

void chat_info_pack(struct buf *b, const struct chat_info *i)
{
    pack_str(b, i->engine);
    pack_str(b, i->arch);
    pack_str(b, i->quant);
    pack_str(b, i->tokenizer);
    pack_i32(b, i->n_ctx);
    pack_i32(b, i->n_ctx_train);
    pack_i32(b, i->n_seq);
    pack_i32(b, i->n_vocab);
    pack_u64(b, i->n_param);
    pack_u64(b, i->weight_bytes);
    pack_u64(b, i->kv_bytes);
    pack_u32(b, i->can);
    pack_str(b, i->fingerprint);
    pack_i32(b, i->n_embd);
}

static struct str get_name(struct unpack *u, struct arena *a, bool *no_mem)
{
    struct str s = unpack_str(u);

    if (s.n > LIM_MODEL_NAME || !utf8_valid(s)) u->failed = true;
    if (u->failed) return STR_NULL;
    s = arena_str(a, s);
    if (!s.p) *no_mem = true;
    return s;
}

int chat_info_unpack(struct str bytes, struct arena *a, struct chat_info *ret, struct err *e)
{
    struct unpack    u      = unpack_init(bytes);
    bool             no_mem = false;
    struct chat_info i      = { 0 };

    i.engine       = get_name(&u, a, &no_mem);
    i.arch         = get_name(&u, a, &no_mem);
    i.quant        = get_name(&u, a, &no_mem);
    i.tokenizer    = get_name(&u, a, &no_mem);
    i.n_ctx        = unpack_i32(&u);
    i.n_ctx_train  = unpack_i32(&u);
    i.n_seq        = unpack_i32(&u);
    i.n_vocab      = unpack_i32(&u);
    i.n_param      = unpack_u64(&u);
    i.weight_bytes = unpack_u64(&u);
    i.kv_bytes     = unpack_u64(&u);
    i.can          = unpack_u32(&u);
    i.fingerprint  = get_name(&u, a, &no_mem);
    i.n_embd       = unpack_i32(&u);
    if (no_mem) return err_nomem(e, "reading a model's description");
    if (!unpack_done(&u) || i.n_ctx < 1 || i.n_ctx_train < 0 || i.n_seq < 1 || i.n_vocab < 0 || i.n_embd < 0)
        return err_set(e, ERR_PROTOCOL, "the description of the model is malformed");
    *ret = i;
    return 0;
}
