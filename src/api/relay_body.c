/* relay_body.c - what a relay has to know of a request's body, and the body without the model's name. */
#include "api/api_int.h"
#include "base/limits.h"
#include "base/map.h"

#define PREFIX_BYTES    KIB(4) // of the prompt's beginning that count; a cache's gain is known by then
#define PREFIX_MESSAGES 2      // the system's and the first of the user's: those of one conversation stay together

static void put_text(struct buf *b, const struct json *v)
{
    struct str s = json_str(v);

    if (s.p) buf_str(b, str_sub(s, 0, PREFIX_BYTES - b->n));
    for (size_t i = 0; json_kind(v) == JSON_T_ARR && i < json_len(v) && b->n < PREFIX_BYTES; i++) {
        const struct json *part = json_at(v, i);
        s = json_kind(part) == JSON_T_OBJ ? json_str(json_get(part, "text")) : json_str(part);
        if (s.p) buf_str(b, str_sub(s, 0, PREFIX_BYTES - b->n));
    }
}

static uint64_t hash_prefix(const struct json *o, struct str model)
{
    static const uint64_t key[2] = { 0x707265666978, 0x6375726c6577 };
    const struct json    *list   = json_get(o, "messages");
    struct buf            b;
    uint64_t              h = 0;

    buf_init(&b, PREFIX_BYTES);
    for (size_t i = 0; json_kind(list) == JSON_T_ARR && i < json_len(list) && i < PREFIX_MESSAGES; i++)
        if (json_kind(json_at(list, i)) == JSON_T_OBJ) put_text(&b, json_get(json_at(list, i), "content"));
    put_text(&b, json_get(o, "prompt"));
    if (b.n) h = map_hash(key, buf_text(&b)) ^ map_hash(key, model);
    buf_release(&b);
    return h;
}

static int read_body(const struct json *o, struct arena *a, struct relay_body *ret, struct err *e)
{
    const struct json *model = json_get(o, "model");

    if (json_kind(o) != JSON_T_OBJ)
        return err_set(e, ERR_INVALID_TYPE, "the body is %s, it must be an object", json_kind_name(json_kind(o)));
    if (json_kind(model) != JSON_T_STR) return err_param(e, ERR_MISSING_PARAM, "model", "model is missing");
    ret->model  = arena_str(a, json_str(model));
    ret->stream = json_bool(json_get(o, "stream"));
    const struct json *so = json_get(o, "stream_options");
    ret->usage  = json_kind(so) == JSON_T_OBJ && json_bool(json_get(so, "include_usage"));
    ret->prefix = hash_prefix(o, json_str(model));
    for (struct json_it it = json_it(o); json_next(&it);) {
        if (str_eq(it.key, STR("model"))) continue;
        buf_byte(&ret->tail, ',');
        json_put_str(&ret->tail, it.key);
        buf_byte(&ret->tail, ':');
        json_write(&ret->tail, it.val, JSON_TIGHT);
    }
    buf_byte(&ret->tail, '}');
    return ret->tail.failed || !ret->model.p ? err_nomem(e, "taking a request") : 0;
}

int relay_body_read(struct str body, struct arena *a, struct relay_body *ret, struct err *e)
{
    struct json_doc *doc;
    int              rc = json_parse(body, NULL, &doc, e);

    if (rc < 0) return rc;
    *ret = (struct relay_body){ .prefix = 0 };
    buf_init(&ret->tail, LIM_REQ_ARENA);
    rc = read_body(json_root(doc), a, ret, e);
    json_free(doc);
    if (rc < 0) buf_release(&ret->tail);
    return rc;
}
