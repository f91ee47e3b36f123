/* http_guard.h - who may talk to us from inside a browser.
 *
 * A page on the web can send requests to 127.0.0.1, and by giving its own name our address (DNS
 * rebinding) it can read the answers too. So the Host a browser was told must be one of ours, and an
 * Origin must be one we know. Pure functions of a head and the rules; any thread.
 */
#ifndef CURLEW_HTTP_HTTP_GUARD_H
#define CURLEW_HTTP_HTTP_GUARD_H

#include "base/buf.h"
#include "http/http_parse.h"

struct http_guard { // all borrowed
    const struct str *host;   // names without port we answer to, besides loopback; "*" for any
    size_t            n_host;
    const struct str *origin; // "https://chat.example", a head ending in '*', or "*"; loopback
    size_t            n_origin; // pages and our own are always fine
    bool              any_ip; // a Host that is an address is fine: for listeners on all addresses
};

/* The name (of "name:port") is one of ours. */
bool http_guard_host(const struct http_guard *g, struct str host);
/* A page of this origin may call us, which it does under the name `host`. */
bool http_guard_origin(const struct http_guard *g, struct str origin, struct str host);
/* Both for a whole head. An absent Host (HTTP/1.0) and an absent Origin are no browser's: fine.
 * Error: FORBIDDEN. */
NODISCARD int http_guard_check(const struct http_guard *g, const struct http_head *h, struct err *e);

/* The head is a CORS preflight: OPTIONS with Origin and Access-Control-Request-Method. */
bool http_cors_preflight(const struct http_head *h);
/* Append the reply's CORS field lines for a head that http_guard_check let pass; nothing without an
 * Origin. For a preflight also what it asked for, as far as we know such fields. */
void http_cors_fields(struct buf *b, const struct http_head *h);

#endif
