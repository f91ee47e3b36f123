/* constrain.c - forms from their texts, kept for the next request, and the sequences that follow them. */
#include "constrain/constrain.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "constrain/gram_call_int.h"
#include "base/pack.h"
#include "constrain/pda_int.h"

struct constrain {
    int        refs;
    struct pda pda;
    int32_t    first;
};

/* --- compiling --- */

static struct gram_node *tree(struct gram *g, const struct constrain_conf *conf)
{
    struct gram_schema_opt schema = { .loose = conf->loose, .open = conf->open, .where = "the schema" };
    struct gram_regex_opt  regex  = { .whole = true, .n_max = GRAM_INF };

    switch (conf->kind) {
    case CONSTRAIN_OBJECT: return gram_json(g, SHARED_OBJECT);
    case CONSTRAIN_SCHEMA: return gram_schema(g, conf->text, &schema);
    case CONSTRAIN_GBNF: return gram_gbnf(g, conf->text);
    case CONSTRAIN_REGEX: return gram_regex(g, conf->text, &regex);
    case CONSTRAIN_CALLS:
    case CONSTRAIN_CALL: return gram_call_tree(g, conf);
    }
    return NULL;
}

/* Which of the errors of compiling are about the client's text: they name its field. */
static int blame(const struct constrain_conf *conf, int rc, struct err *e)
{
    if (rc == -ERR_NO_MEMORY) return rc;
    if (e->code == ERR_INVALID_VALUE && conf->kind == CONSTRAIN_SCHEMA) e->code = ERR_INVALID_SCHEMA;
    if (conf->param && !e->param[0]) {
        str_copy_z(e->param, sizeof e->param, str_c(conf->param));
        err_wrap(e, "%s", conf->param);
    }
    return -(int)e->code;
}

static int too_much(struct err *e)
{
    return err_set(e, ERR_INVALID_VALUE, "the grammar needs too much memory");
}

static int compile(struct constrain_vocab *v, const struct constrain_conf *conf, struct constrain *c,
                   struct err *e)
{
    struct arena a;
    struct gram  g;
    struct prog  prog;

    if (conf->text.n > LIM_CONSTRAIN_TEXT)
        return err_set(e, ERR_INVALID_VALUE, "it has %zu bytes, the limit is %zu", conf->text.n,
                       LIM_CONSTRAIN_TEXT);
    arena_init(&a, LIM_CONSTRAIN_ARENA);
    gram_init(&g, &a, e);
    struct gram_node *root = tree(&g, conf);
    if (conf->n_tool > 0 && conf->kind != CONSTRAIN_CALLS && conf->kind != CONSTRAIN_CALL)
        root = GRAM_ALT(&g, root, gram_call_tree(&g, conf));
    int rc = prog_emit(&prog, &g, root, e);
    arena_release(&a);
    if (rc == 0) rc = pda_init(&c->pda, &prog, v, e);
    if (rc < 0) return rc;
    c->first = pda_first(&c->pda);
    if (c->first >= 0) return 0;
    if (c->first == PDA_FULL) return too_much(e);
    *e = c->pda.err;
    return -(int)e->code;
}

int constrain_new(struct constrain_vocab *v, const struct constrain_conf *conf, struct constrain **ret,
                  struct err *e)
{
    struct constrain *c = mem_zalloc(sizeof *c);

    if (!c) return err_nomem(e, "building a grammar");
    c->refs = 1;
    *e      = (struct err){ 0 };
    int rc  = compile(v, conf, c, e);
    if (rc < 0) {
        constrain_unref(c);
        return blame(conf, rc, e);
    }
    *ret = c;
    return 0;
}

struct constrain *constrain_ref(struct constrain *c)
{
    c->refs++;
    return c;
}

void constrain_unref(struct constrain *c)
{
    if (!c || --c->refs > 0) return;
    assert(!c->pda.runs);
    pda_release(&c->pda);
    mem_free(c);
}

/* --- the last few --- */

struct constrain_kept {
    struct str        key; // owned
    struct constrain *c;
};

static void key_of(struct buf *b, const struct constrain_conf *conf)
{
    buf_printf(b, "%d %d %d %d %s %d\n", conf->kind, conf->loose, conf->open, conf->parallel,
               conf->form ? conf->form : "", conf->n_tool);
    pack_str(b, conf->text);
    pack_str(b, conf->only);
    for (int i = 0; i < conf->n_tool; i++) {
        pack_u8(b, conf->tool[i].strict);
        pack_u8(b, conf->tool[i].barred);
        pack_str(b, conf->tool[i].name);
        pack_str(b, conf->tool[i].parameters);
    }
}

static void drop(struct constrain_kept *k)
{
    mem_free((char *)k->key.p);
    constrain_unref(k->c);
}

void constrain_cache_clear(struct constrain_cache *k)
{
    for (int i = 0; i < k->n; i++) drop(&k->kept[i]);
    mem_free(k->kept);
    *k = (struct constrain_cache){ 0 };
}

static int find(struct constrain_cache *k, struct str key)
{
    for (int i = 0; i < k->n; i++)
        if (str_eq(k->kept[i].key, key)) return i;
    return -1;
}

/* Put a new one in front; the last falls out. What cannot be kept is only compiled again. */
static void keep(struct constrain_cache *k, struct buf *key, struct constrain *c)
{
    char *text = mem_alloc(key->n);

    if (!k->kept) k->kept = mem_array(LIM_CONSTRAIN_CACHE, sizeof *k->kept);
    if (!text || !k->kept) {
        mem_free(text);
        return;
    }
    memcpy(text, key->p, key->n);
    if (k->n == LIM_CONSTRAIN_CACHE) drop(&k->kept[--k->n]);
    memmove(k->kept + 1, k->kept, (size_t)k->n++ * sizeof *k->kept);
    k->kept[0] = (struct constrain_kept){ { text, key->n }, constrain_ref(c) };
}

int constrain_cache_get(struct constrain_cache *k, struct constrain_vocab *v, const struct constrain_conf *conf,
                        struct constrain **ret, struct err *e)
{
    struct buf key;

    buf_init(&key, LIM_FRAME_BYTES * 2);
    key_of(&key, conf);
    if (key.failed) {
        buf_release(&key);
        return err_nomem(e, "building a grammar");
    }
    int i = find(k, buf_text(&key)), rc = 0;
    if (i >= 0) {
        struct constrain_kept at = k->kept[i];
        memmove(k->kept + 1, k->kept, (size_t)i * sizeof *k->kept);
        k->kept[0] = at;
        *ret       = constrain_ref(at.c);
    } else {
        rc = constrain_new(v, conf, ret, e);
        if (rc == 0) keep(k, &key, *ret);
    }
    buf_release(&key);
    return rc;
}

/* --- sequences --- */

static void link_run(struct constrain_run *r, struct constrain *c)
{
    r->c    = constrain_ref(c);
    r->prev = NULL;
    r->next = c->pda.runs;
    if (r->next) r->next->prev = r;
    c->pda.runs = r;
}

static int failed(struct constrain_run *r, struct err *e)
{
    if (r->c->pda.err.code == ERR_NONE) return too_much(e);
    *e = r->c->pda.err;
    return -(int)e->code;
}

int constrain_start(struct constrain_run *r, struct constrain *c, struct err *e)
{
    *r       = (struct constrain_run){ 0 };
    int32_t conf = pda_first(&c->pda); // again: what the first one was may have been forgotten
    if (conf == PDA_FULL && pda_forget(&c->pda, e) == 0) conf = pda_first(&c->pda);
    link_run(r, c);
    r->conf = conf;
    if (conf >= 0) return 0;
    int rc = failed(r, e);
    r->conf = PDA_ERROR;
    constrain_stop(r);
    return rc;
}

int constrain_clone(struct constrain_run *r, const struct constrain_run *from, struct err *e)
{
    (void)e;
    *r      = (struct constrain_run){ .conf = from->conf };
    if (from->c) link_run(r, from->c);
    return 0;
}

void constrain_stop(struct constrain_run *r)
{
    struct constrain *c = r->c;

    if (!c) return;
    if (r->prev) r->prev->next = r->next;
    else c->pda.runs = r->next;
    if (r->next) r->next->prev = r->prev;
    *r = (struct constrain_run){ 0 };
    pda_shrink(&c->pda);
    constrain_unref(c);
}

int constrain_mask(struct constrain_run *r, const uint64_t **ret, struct err *e)
{
    struct pda *p = &r->c->pda;

    if (r->conf < 0) return failed(r, e);
    p->err               = (struct err){ 0 };
    const uint64_t *mask = pda_mask(p, r);
    if (!mask) return failed(r, e);
    for (int i = 0; i < p->vocab->n_word; i++) {
        if (!mask[i]) continue;
        *ret = mask;
        return 0;
    }
    return err_set(e, ERR_INVALID_VALUE,
                   "no token of this model's vocabulary can write what the form wants next");
}

int constrain_bytes(struct constrain_run *r, struct str bytes, bool *fits, struct err *e)
{
    struct pda *p = &r->c->pda;

    *fits = false;
    if (r->conf < 0) return failed(r, e);
    p->err     = (struct err){ 0 };
    p->steps   = 0;
    bool again = false;
    int32_t at = r->conf;
    for (size_t i = 0; i < bytes.n; i++) {
        int32_t to = pda_next(p, at, (uint8_t)bytes.p[i]);
        if (to == PDA_FULL && !again) { // begin once more with the memory emptied
            if (pda_forget(p, e) < 0) return -(int)e->code;
            again = true;
            at    = r->conf;
            i     = SIZE_MAX;
            continue;
        }
        if (to == PDA_DEAD) return 0;
        if (to < 0) return failed(r, e);
        at = to;
    }
    *fits   = true;
    r->conf = at;
    return 0;
}

int constrain_token(struct constrain_run *r, int32_t tok, bool *fits, struct err *e)
{
    const struct constrain_vocab *v = r->c->pda.vocab;

    *fits = false;
    if (tok < 0 || tok >= v->n_vocab) return 0;
    if (tok < tok_n(v->tok) && tok_is_eog(v->tok, tok) && constrain_may_end(r)) {
        *fits = true;
        return 0;
    }
    struct str s = v->bytes[tok];
    if (s.n == 0 || s.n > LIM_CONSTRAIN_TOKEN) return 0;
    if (s.p[0] == VOCAB_SPECIAL && (tok >= tok_n(v->tok) || !tok_is_special(v->tok, tok))) return 0;
    return constrain_bytes(r, s, fits, e);
}

bool constrain_may_end(const struct constrain_run *r)
{
    return r->conf >= 0 && r->c->pda.conf[r->conf].accept;
}

bool constrain_must_end(const struct constrain_run *r)
{
    return constrain_may_end(r) && r->c->pda.conf[r->conf].n_top == 0;
}
