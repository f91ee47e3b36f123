/* sess_salt.c - a number for each combination of client, cache key and salt.
 *
 * The scheduler shares pages within one number only. Numbers are given in turn and never again, so two combinations
 * never have the same one, which a hash of them could not promise. When there are too many names, all are forgotten
 * and get new numbers: what was computed before is then not found any more, and nothing else happens.
 */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "session/session_int.h"

void sess_salts_release(struct session *s)
{
    struct str key;
    size_t     it = 0;
    void      *val;

    while (map_next(&s->salt, &it, &key, &val)) mem_free((void *)key.p);
    map_release(&s->salt);
    map_init(&s->salt, LIM_SALTS);
}

static int give_number(struct session *s, struct str name, uint64_t *ret, struct err *e)
{
    if (s->salt.n == LIM_SALTS) sess_salts_release(s);
    char *copy = mem_alloc(name.n);
    if (!copy) return err_nomem(e, "taking a request");
    memcpy(copy, name.p, name.n);
    if (map_put(&s->salt, (struct str){ copy, name.n }, (void *)(uintptr_t)(s->n_salt + 1)) < 0) {
        mem_free(copy);
        return err_nomem(e, "taking a request");
    }
    *ret = ++s->n_salt;
    return 0;
}

int sess_salt(struct session *s, const struct chat_req *r, uint64_t *ret, struct err *e)
{
    struct buf name;
    int        rc = 0;

    *ret = 0;
    if (!r->client && !r->cache_key.n && !r->cache_salt.n) return 0;
    buf_init(&name, KIB(2));
    pack_u64(&name, r->client);
    pack_str(&name, r->cache_key); // with its length: no two combinations are alike
    pack_str(&name, r->cache_salt);
    void *known = name.failed ? NULL : map_get(&s->salt, buf_text(&name));
    if (name.failed) rc = err_nomem(e, "taking a request");
    else if (known) *ret = (uint64_t)(uintptr_t)known;
    else rc = give_number(s, buf_text(&name), ret, e);
    buf_release(&name);
    return rc;
}
