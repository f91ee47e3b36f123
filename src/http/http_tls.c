/* http_tls.c - OpenSSL set up the one way we want it. */
#include "http/http_tls.h"

#include <signal.h>

#include "http/http_int.h"
#include "http/http_ssl.h"

/* OpenSSL's oldest complaint, which is the one that says why. */
static int bad(struct err *e, const char *what)
{
    char why[160] = "unknown reason";

    unsigned long code = ERR_get_error();
    if (code) ERR_error_string_n(code, why, sizeof why);
    ERR_clear_error();
    return err_set(e, ERR_BAD_CONFIG, "%s: %s", what, why);
}

/* An encrypted key fails instead of asking the terminal for its password. */
static int no_password(char *dst, int size, int writing, void *arg)
{
    (void)dst, (void)size, (void)writing, (void)arg;
    return -1;
}

static int use_cert(SSL_CTX *ctx, BIO *pem, struct err *e)
{
    X509 *cert = PEM_read_bio_X509(pem, NULL, no_password, NULL);

    if (!cert) return bad(e, "certificate is not PEM");
    int ok = SSL_CTX_use_certificate(ctx, cert);
    X509_free(cert);
    if (ok != 1) return bad(e, "certificate cannot be used");
    while ((cert = PEM_read_bio_X509(pem, NULL, no_password, NULL)))
        if (SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
            X509_free(cert);
            return bad(e, "certificate chain cannot be used");
        }
    ERR_clear_error(); // the end of the text is reported as one
    return 0;
}

static int use_key(SSL_CTX *ctx, BIO *pem, struct err *e)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, no_password, NULL);

    if (!key) return bad(e, "private key is not PEM, or is encrypted");
    int ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return ok ? 0 : bad(e, "private key does not belong to the certificate");
}

/* http/1.1 if the client offers it; a client that offers only others is answered without. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                       unsigned in_n, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char             *found;

    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&found, out_n, ours, sizeof ours - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = found;
    return SSL_TLSEXT_ERR_OK;
}

static int set_up(SSL_CTX *ctx, struct str cert_pem, struct str key_pem, struct err *e)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF); // a request cut short is dropped anyway
#endif
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"curlew", 6);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);

    BIO *cert = BIO_new_mem_buf(cert_pem.p, (int)cert_pem.n);
    BIO *key  = BIO_new_mem_buf(key_pem.p, (int)key_pem.n);
    int  rc   = cert && key ? use_cert(ctx, cert, e) : err_nomem(e, "reading a certificate");
    if (rc == 0) rc = use_key(ctx, key, e);
    BIO_free(cert);
    BIO_free(key);
    return rc;
}

int http_tls_new(struct str cert_pem, struct str key_pem, struct http_tls **ret, struct err *e)
{
    if (cert_pem.n > MIB(1) || key_pem.n > MIB(1) || !cert_pem.n || !key_pem.n)
        return err_set(e, ERR_BAD_CONFIG, "certificate or key is empty or larger than 1 MiB");
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) return err_nomem(e, "setting up TLS");
    int rc = set_up(ctx, cert_pem, key_pem, e);
    if (rc < 0) {
        SSL_CTX_free(ctx);
        return rc;
    }
    signal(SIGPIPE, SIG_IGN); // OpenSSL writes without MSG_NOSIGNAL
    *ret = (struct http_tls *)ctx;
    return 0;
}

void http_tls_free(struct http_tls *t)
{
    SSL_CTX_free((SSL_CTX *)t);
}
