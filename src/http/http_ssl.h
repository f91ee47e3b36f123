/* http_ssl.h - OpenSSL's headers for the two files that use them.
 *
 * They call parameters `rand`, a name that base/banned.h forbids: these files are built with its
 * guard defined (meson.build), and get the bans here, after those headers.
 */
#ifndef CURLEW_HTTP_HTTP_SSL_H
#define CURLEW_HTTP_HTTP_SSL_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#undef CURLEW_BASE_BANNED_H
#include "base/banned.h"

#endif
