/* http_tls.h - a certificate and its key, for listeners that speak TLS.
 *
 * TLS 1.2 or newer, HTTP/1.1 only. Share one among listeners; free it after the server.
 */
#ifndef CURLEW_HTTP_HTTP_TLS_H
#define CURLEW_HTTP_HTTP_TLS_H

#include "base/err.h"
#include "base/str.h"

struct http_tls;

/* From PEM text: the certificate, then the chain up to the root; the private key, not encrypted. The
 * text is borrowed for the call. The process ignores SIGPIPE from then on. Error: BAD_CONFIG. */
NODISCARD int http_tls_new(struct str cert_pem, struct str key_pem, struct http_tls **ret,
                           struct err *e);
void http_tls_free(struct http_tls *t); // NULL is fine

#endif
