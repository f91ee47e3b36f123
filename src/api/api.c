/* api.c - the HTTP server's callbacks: find the route on the head, hand the request over. */
#include "api/api.h"

#include "api/api_int.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

int api_new(struct event_base *base, struct gateway *g, const struct api_conf *c, struct api **ret,
            struct err *e)
{
    struct api *a = mem_zalloc(sizeof *a);

    if (!a) return err_nomem(e, "starting the API");
    *a = (struct api){ .base = base, .gw = g, .conf = *c, .start_us = clock_mono_us() };
    buf_init(&a->text, LIM_REQ_ARENA);
    int rc = jobs_new(base, &a->jobs, e);
    if (rc < 0) {
        mem_free(a);
        return rc;
    }
    *ret = a;
    return 0;
}

void api_set_conf(struct api *a, const struct api_conf *c)
{
    a->conf = *c;
}

void api_free(struct api *a)
{
    if (!a) return;
    jobs_free(a->jobs);
    buf_release(&a->text);
    mem_free(a);
}

/* A JSON body, or one that does not say what it is: curl's users forget the type. */
static bool is_json(struct str type)
{
    struct str rest = type, name;

    if (!type.p || !str_cut(&rest, ';', &name)) return true;
    name = str_trim(name);
    return str_eq_nocase(name, STR("application/json")) ||
           str_eq_nocase(name, STR("application/x-www-form-urlencoded")); // curl -d without -H
}

static void on_head(void *ctx, struct http_req *h)
{
    struct api            *a    = ctx;
    const struct http_head *head = http_req_head(h);
    const struct route    *r;
    struct str             rest;
    struct err             e;
    char                   allow[64];

    if (route_find(head, &r, &rest, allow, sizeof allow, &e) < 0) {
        bool all = str_eq(head->path, STR("*"));
        if (head->method == HTTP_OPTIONS && (allow[0] || all)) {
            http_reply_field(h, "allow", all ? STR("GET, HEAD, POST, OPTIONS") : str_c(allow));
            http_reply(h, 204, STR_NULL, STR_NULL);
            return;
        }
        if (allow[0]) http_reply_field(h, "allow", str_c(allow));
        http_reply_err(h, &e);
        return;
    }
    if (r->method == HTTP_GET) {
        r->fn(a, h, r, rest);
        return;
    }
    struct str type = http_req_field(h, "content-type");
    if (!is_json(type)) {
        char q[LIM_QUOTE_BYTES];
        err_set(&e, ERR_MEDIA_TYPE, "content-type is \"%s\", application/json is expected", str_quote(q, sizeof q, type));
        http_reply_err(h, &e);
        return;
    }
    http_req_read(h, a->conf.body_bytes);
}

static void on_body(void *ctx, struct http_req *h)
{
    struct api         *a = ctx;
    const struct route *r;
    struct str          rest;
    struct err          e;
    char                allow[64];

    if (route_find(http_req_head(h), &r, &rest, allow, sizeof allow, &e) < 0) http_reply_err(h, &e);
    else r->fn(a, h, r, rest);
}

static void on_gone(void *ctx, struct http_req *h)
{
    struct api_user *u = http_req_user(h);
    (void)ctx;

    if (u) u->gone(u);
}

static void on_done(void *ctx, struct http_req *h)
{
    struct api_user *u = http_req_user(h);
    (void)ctx;

    if (u) u->detach(u);
}

const struct http_calls api_http_calls = { .head = on_head, .body = on_body, .gone = on_gone, .done = on_done };
