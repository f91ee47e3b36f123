/* route.c - the table of routes. */
#include <string.h>

#include "api/api_int.h"

static const struct route routes[] = {
    { HTTP_POST, "/v1/chat/completions", call_begin, API_CHAT },
    { HTTP_POST, "/v1/completions", call_begin, API_COMPLETION },
    { HTTP_POST, "/v1/embeddings", embed_begin, API_EMBED },
    { HTTP_POST, "/embeddings", embed_begin, API_EMBED },
    { HTTP_POST, "/v1/rerank", embed_begin, API_RERANK },
    { HTTP_POST, "/rerank", embed_begin, API_RERANK },
    { HTTP_POST, "/infill", call_begin, API_INFILL },
    { HTTP_POST, "/completion", call_begin, API_NATIVE },
    { HTTP_POST, "/v1/tokenize", text_tokenize, API_TEXT },
    { HTTP_POST, "/tokenize", text_tokenize, API_TEXT },
    { HTTP_POST, "/v1/detokenize", text_detokenize, API_TEXT },
    { HTTP_POST, "/detokenize", text_detokenize, API_TEXT },
    { HTTP_POST, "/apply-template", text_template, API_TEXT },
    { HTTP_GET, "/v1/models", page_models, 0 },
    { HTTP_GET, "/v1/models/**", page_model, 0 },
    { HTTP_GET, "/models", page_models, 0 },
    { HTTP_GET, "/models/**", page_model, 0 },
    { HTTP_POST, "/generate", plain_generate, 0 },
    { HTTP_POST, "/chat", plain_chat, 0 },
    { HTTP_GET, "/health", page_health, 0 },
    { HTTP_GET, "/v1/health", page_health, 0 },
    { HTTP_GET, "/ping", page_ping, 0 },
    { HTTP_GET, "/", page_root, 0 },
    { HTTP_POST, "/admin/reload", admin_reload, 0 },
    { HTTP_POST, "/admin/shutdown", admin_shutdown, 0 },
    { HTTP_GET, "/openapi.json", page_openapi, 0 },
    { HTTP_GET, "/docs", page_docs, 0 },
    { HTTP_GET, "/redoc", page_docs, 0 },
    { HTTP_GET, "/docs/page.js", page_docs_js, 0 },
    /* base URLs without /v1 */
    { HTTP_POST, "/chat/completions", call_begin, API_CHAT },
    { HTTP_POST, "/completions", call_begin, API_COMPLETION },
    { HTTP_GET, "/models", page_models, 0 },
};

const struct route *route_at(size_t i)
{
    return i < ARRAY_LEN(routes) ? &routes[i] : NULL;
}

/* Does the path match? *rest gets what the '*' stands for: one segment, not empty; of "**" all that follow. */
static bool matches(const char *pattern, struct str path, struct str *rest)
{
    struct str p = str_c(pattern);

    *rest = STR_NULL;
    if (p.p[p.n - 1] != '*') return str_eq(p, path);
    bool many = str_ends(p, STR("**"));
    p.n -= many ? 2 : 1;
    if (!str_starts(path, p) || path.n == p.n) return false;
    *rest = str_from(path, p.n);
    return many || str_find_byte(*rest, '/') == SIZE_MAX;
}

static bool takes(const struct route *r, enum http_method m)
{
    return r->method == m || (r->method == HTTP_GET && m == HTTP_HEAD);
}

int route_find(const struct http_head *h, const struct route **ret, struct str *rest, char *allow,
               size_t allow_size, struct err *e)
{
    size_t at = 0;
    char   q[96];

    allow[0] = 0;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *r = &routes[i];
        if (!matches(r->path, h->path, rest)) continue;
        if (takes(r, h->method)) {
            *ret = r;
            return 0;
        }
        int n = snprintf(allow + at, allow_size - at, "%s%s%s", at ? ", " : "", http_method_name(r->method),
                         r->method == HTTP_GET ? ", HEAD" : "");
        if (n > 0 && at + (size_t)n < allow_size) at += (size_t)n;
    }
    str_quote(q, sizeof q, h->path);
    if (at) {
        err_set(e, ERR_BAD_METHOD, "%s does not take %s; %s does", q, http_method_name(h->method), allow);
        snprintf(allow + at, allow_size - at, ", OPTIONS");
        return -ERR_BAD_METHOD;
    }
    return err_set(e, ERR_UNKNOWN_URL, "unknown request URL: %s %s", http_method_name(h->method), q);
}
