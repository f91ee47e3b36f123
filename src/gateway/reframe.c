/* reframe.c - see reframe.h. */
#include "gateway/reframe.h"

#include <string.h>

#include "json/json.h"

/* --- faults --- */

/* Control characters would end up in terminals and logs. */
static void clean(char *dst, size_t size, struct str s)
{
    str_copy_z(dst, size, s);
    for (char *p = dst; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = ' ';
}

static void word(char *dst, size_t size, struct str s)
{
    dst[0] = 0;
    if (s.n == 0 || s.n >= size) return;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_-.[]", c));
        if (!ok) return;
    }
    str_copy_z(dst, size, s);
}

static bool fault_of(const struct json *o, struct reframe_fault *ret)
{
    const struct json *in   = json_get(o, "error");
    struct str         text = STR_NULL;

    *ret = (struct reframe_fault){ .msg = "" };
    if (json_kind(in) == JSON_T_OBJ) o = in;
    else if (json_kind(in) == JSON_T_STR) text = json_str(in);
    if (!text.p) text = json_str(json_get(o, "message"));
    if (!text.p) text = json_str(json_get(o, "detail"));
    clean(ret->msg, sizeof ret->msg, text.p ? text : STR(""));
    word(ret->type, sizeof ret->type, json_str(json_get(o, "type")));
    word(ret->code, sizeof ret->code, json_str(json_get(o, "code")));
    word(ret->param, sizeof ret->param, json_str(json_get(o, "param")));
    return ret->msg[0] != 0;
}

bool reframe_fault(struct str body, struct reframe_fault *ret)
{
    struct json_doc *d;
    struct err       e;

    *ret = (struct reframe_fault){ .msg = "" };
    if (json_parse(body, NULL, &d, &e) < 0) return false;
    bool said = fault_of(json_root(d), ret);
    json_free(d);
    return said;
}

/* An error in place of an answer? */
static int check_error(const struct json *o, struct err *e)
{
    struct reframe_fault f;
    enum json_kind       is = json_kind(json_get(o, "error"));

    if (is == JSON_T_NULL && !str_eq(json_str(json_get(o, "object")), STR("error"))) return 0;
    fault_of(o, &f);
    return err_set(e, ERR_UPSTREAM, "it reports an error: %.300s", f.msg);
}

/* --- writing --- */

static void put_member(struct buf *b, struct str key, const struct json *v)
{
    if (b->n && b->p[b->n - 1] != '{') buf_byte(b, ',');
    json_put_str(b, key);
    buf_byte(b, ':');
    json_write(b, v, JSON_TIGHT);
}

static bool is_text(enum reframe_kind k)
{
    return k == REFRAME_CHAT || k == REFRAME_TEXT;
}

static const char *object_name(const struct reframe *r, bool stream)
{
    if (r->kind == REFRAME_TEXT) return "text_completion";
    return stream ? "chat.completion.chunk" : "chat.completion";
}

static bool is_framed(const struct reframe *r, struct str key)
{
    if (str_eq(key, STR("id")) || str_eq(key, STR("model"))) return true;
    return is_text(r->kind) && (str_eq(key, STR("created")) || str_eq(key, STR("object")));
}

static int put(const struct reframe *r, const struct json *o, bool stream, struct buf *out, struct err *e)
{
    buf_clear(out);
    buf_byte(out, '{');
    if (r->kind != REFRAME_EMBED) {
        buf_str(out, STR("\"id\":"));
        json_put_str(out, r->id);
        buf_byte(out, ',');
    }
    if (is_text(r->kind))
        buf_printf(out, "\"object\":\"%s\",\"created\":%lld,", object_name(r, stream), (long long)r->created);
    buf_str(out, STR("\"model\":"));
    json_put_str(out, r->model);
    for (struct json_it it = json_it(o); json_next(&it);) {
        if (is_framed(r, it.key)) continue;
        if (stream && !r->usage && str_eq(it.key, STR("usage"))) continue;
        put_member(out, it.key, it.val);
    }
    buf_byte(out, '}');
    return out->failed ? err_nomem(e, "writing a reply") : 0;
}

/* --- streams --- */

static int note_choice(struct reframe *r, const struct json *c, struct err *e)
{
    int64_t        i    = 0;
    enum json_kind what = json_kind(json_get(c, "finish_reason"));

    if (json_kind(c) != JSON_T_OBJ) return err_set(e, ERR_UPSTREAM, "a choice is no object");
    if (json_get(c, "index") && (!json_whole(json_get(c, "index"), &i) || i < 0 || i >= LIM_UPSTREAM_CHOICES))
        return err_set(e, ERR_UPSTREAM, "a choice's index is not in 0..%d", LIM_UPSTREAM_CHOICES - 1);
    if (what != JSON_T_NULL && what != JSON_T_STR) return err_set(e, ERR_UPSTREAM, "a finish_reason is no string");
    enum json_kind body = json_kind(json_get(c, r->kind == REFRAME_CHAT ? "delta" : "text"));
    if (body != (r->kind == REFRAME_CHAT ? JSON_T_OBJ : JSON_T_STR) && what == JSON_T_NULL)
        return err_set(e, ERR_UPSTREAM, "a choice has no %s", r->kind == REFRAME_CHAT ? "delta" : "text");
    if (r->choice[i] == 0) {
        r->choice[i] = 1;
        r->n_seen++;
        r->n_open++;
    }
    if (r->choice[i] == 1 && what == JSON_T_STR) {
        r->choice[i] = 2;
        r->n_open--;
    }
    return 0;
}

static int event(struct reframe *r, const struct json *o, struct buf *out, struct err *e)
{
    const struct json *list = json_get(o, "choices");

    if (json_kind(o) != JSON_T_OBJ) return err_set(e, ERR_UPSTREAM, "an event is no object");
    int rc = check_error(o, e);
    if (rc < 0) return rc;
    if (json_kind(list) != JSON_T_ARR) return err_set(e, ERR_UPSTREAM, "an event has no choices");
    for (size_t i = 0; rc == 0 && i < json_len(list); i++) rc = note_choice(r, json_at(list, i), e);
    if (rc < 0) return rc;
    buf_clear(out);
    if (json_len(list) == 0 && !r->usage) return 0; // numbers that nobody asked for
    return put(r, o, true, out, e);
}

int reframe_event(struct reframe *r, struct str data, struct buf *out, struct err *e)
{
    struct json_doc *d;
    struct err       why;

    buf_clear(out);
    if (json_parse(data, NULL, &d, &why) < 0)
        return why.code == ERR_NO_MEMORY ? err_nomem(e, "reading a reply")
                                         : err_set(e, ERR_UPSTREAM, "an event is no JSON: %.200s", why.msg);
    int rc = event(r, json_root(d), out, e);
    json_free(d);
    return rc;
}

int reframe_end(const struct reframe *r, struct err *e)
{
    if (r->n_seen == 0) return err_set(e, ERR_UPSTREAM, "the stream ended without an answer");
    if (r->n_open) return err_set(e, ERR_UPSTREAM, "the stream ended and %d choices have no finish_reason", r->n_open);
    return 0;
}

/* --- whole replies --- */

static int check_choices(const struct reframe *r, const struct json *list, struct err *e)
{
    bool chat = r->kind == REFRAME_CHAT;

    if (json_kind(list) != JSON_T_ARR || json_len(list) == 0) return err_set(e, ERR_UPSTREAM, "the reply has no choices");
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *c = json_at(list, i);
        if (json_kind(json_get(c, chat ? "message" : "text")) != (chat ? JSON_T_OBJ : JSON_T_STR))
            return err_set(e, ERR_UPSTREAM, "a choice has no %s", chat ? "message" : "text");
        if (json_kind(json_get(c, "finish_reason")) != JSON_T_STR)
            return err_set(e, ERR_UPSTREAM, "a choice has no finish_reason");
    }
    return 0;
}

static int check_whole(const struct reframe *r, const struct json *o, struct err *e)
{
    if (json_kind(o) != JSON_T_OBJ) return err_set(e, ERR_UPSTREAM, "the reply is no object");
    int rc = check_error(o, e);
    if (rc < 0) return rc;
    switch (r->kind) {
    case REFRAME_CHAT:
    case REFRAME_TEXT: return check_choices(r, json_get(o, "choices"), e);
    case REFRAME_EMBED:
        if (json_kind(json_get(o, "data")) == JSON_T_ARR) return 0;
        return err_set(e, ERR_UPSTREAM, "the reply has no data");
    case REFRAME_RANK:
        if (json_kind(json_get(o, "results")) == JSON_T_ARR || json_kind(json_get(o, "data")) == JSON_T_ARR) return 0;
        return err_set(e, ERR_UPSTREAM, "the reply has no results");
    }
    return 0;
}

int reframe_whole(const struct reframe *r, struct str body, struct buf *out, struct err *e)
{
    struct json_limits lim = json_limits_default;
    struct json_doc   *d;
    struct err         why;

    lim.values = LIM_UPSTREAM_VALUES;
    buf_clear(out);
    if (json_parse(body, &lim, &d, &why) < 0)
        return why.code == ERR_NO_MEMORY ? err_nomem(e, "reading a reply")
                                         : err_set(e, ERR_UPSTREAM, "the reply is no JSON: %.200s", why.msg);
    int rc = check_whole(r, json_root(d), e);
    if (rc == 0) rc = put(r, json_root(d), false, out, e);
    json_free(d);
    return rc;
}
