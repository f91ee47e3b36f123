/* rkllm_reuse.c - a conversation that goes on is not read again (--rkllm-reuse).
 *
 * With keep_history the library's KV cache stays after a run and the next input is appended to it. We keep a
 * record of the tokens in it: a prompt that begins with all of them is sent without them; any other prompt
 * empties the cache first. The record must be right, or the model answers another conversation. So it counts
 * for nothing after an abort or an error, and the library must say that its cache is as long as the record:
 * versions differ in whether the last token of an answer is in it.
 */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "engines/rkllm/rkllm_int.h"

bool rkllm_reuse_can(const struct engine *en)
{
    return en->conf.reuse && en->lib.get_kv_cache_size && en->lib.clear_kv_cache &&
           rkllm_has(en->lib.layout, RKLLM_infer_keep_history);
}

size_t rkllm_reuse_begin(struct engine *en, const int32_t *tok, size_t n)
{
    struct rkllm_kv *kv = &en->kv;
    int              size[128] = { 0 }; // n_batch of them are written; ours is 1

    bool known = kv->known && kv->n > 0 && en->lib.get_kv_cache_size(en->handle, size) == 0;
    if (known && (size_t)size[0] + 1 == kv->n) kv->n--; // the last token was drawn and not read
    if (known && (size_t)size[0] == kv->n && kv->n < n && !memcmp(kv->tok, tok, kv->n * sizeof *tok)) return kv->n;
    if (kv->dirty) en->lib.clear_kv_cache(en->handle, 0, NULL, NULL);
    kv->n = 0;
    return 0;
}

void rkllm_reuse_put(struct engine *en, const int32_t *tok, size_t n)
{
    struct rkllm_kv *kv = &en->kv;

    kv->dirty = true;
    if (mem_grow(&kv->tok, &kv->cap, kv->n + n, sizeof *kv->tok, LIM_CTX) < 0) {
        kv->failed = true; // no record, no reuse
        return;
    }
    memcpy(kv->tok + kv->n, tok, n * sizeof *tok);
    kv->n += n;
}

void rkllm_reuse_end(struct engine *en, bool whole)
{
    en->kv.known  = whole && !en->kv.failed;
    en->kv.failed = false;
}

void rkllm_reuse_free(struct engine *en)
{
    mem_free(en->kv.tok);
}
