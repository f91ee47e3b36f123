/* page_docs.c - the API's description over HTTP: /openapi.json, and /docs for people.
 *
 * The page is RapiDoc, embedded by the build, or where the build had no npm a plain one of our own. Nothing
 * comes from another server, and the policy says so to the browser. */
#include "api/api_int.h"
#include "api/openapi.h"
#include "base/limits.h"

extern const char   embed_page_js[];
extern const size_t embed_page_js_n;

/* RapiDoc sets styles from its script; otherwise only what this server serves. */
#define POLICY                                                                                              \
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; "              \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void guard(struct http_req *h)
{
    http_reply_field(h, "content-security-policy", STR(POLICY));
    http_reply_field(h, "x-content-type-options", STR("nosniff"));
    http_reply_field(h, "referrer-policy", STR("no-referrer"));
}

static void reply(struct http_req *h, struct str type, struct buf *b, int rc, const struct err *e)
{
    if (rc < 0) http_reply_err(h, e);
    else http_reply(h, 200, type, buf_text(b));
}

void page_openapi(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct err e = { 0 };
    (void)r;
    (void)rest;

    buf_clear(&a->text);
    int rc = openapi_write(&a->text, &e);
    reply(h, STR("application/json"), &a->text, rc, &e);
}

void page_docs(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct err e  = { 0 };
    int        rc = 0;
    (void)r;
    (void)rest;

    guard(h);
    buf_clear(&a->text);
    if (embed_page_js_n)
        buf_str(&a->text, STR("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>curlew API</title>\n"
                              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                              "<script type=\"module\" src=\"/docs/page.js\"></script></head>\n"
                              "<body><rapi-doc spec-url=\"/openapi.json\" load-fonts=\"false\" show-header=\"false\" "
                              "use-path-in-nav-bar=\"true\" allow-authentication=\"false\" allow-server-selection=\"false\" "
                              "render-style=\"read\" theme=\"light\"></rapi-doc></body></html>\n"));
    else
        rc = openapi_html(&a->text, &e);
    reply(h, STR("text/html; charset=utf-8"), &a->text, rc, &e);
}

void page_docs_js(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct err e;
    (void)a;
    (void)r;
    (void)rest;

    if (!embed_page_js_n) {
        err_set(&e, ERR_UNKNOWN_URL, "this server was built without the page's script; /docs is plain HTML");
        http_reply_err(h, &e);
        return;
    }
    http_reply_field(h, "cache-control", STR("max-age=3600"));
    http_reply_field(h, "x-content-type-options", STR("nosniff"));
    http_reply(h, 200, STR("text/javascript; charset=utf-8"), (struct str){ embed_page_js, embed_page_js_n });
}
