/* http_io.c - bytes from and to client sockets, plain or through TLS. */
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http_int.h"
#include "http/http_ssl.h"

int io_start(struct http_conn *c, struct http_tls *tls, struct err *e)
{
    if (!tls) return 0;
    SSL *ssl = SSL_new((SSL_CTX *)tls);
    if (!ssl || SSL_set_fd(ssl, c->fd) != 1) {
        SSL_free(ssl);
        return err_nomem(e, "starting TLS");
    }
    SSL_set_accept_state(ssl);
    c->ssl       = ssl;
    c->handshake = true;
    return 0;
}

static ssize_t result(ssize_t n)
{
    if (n >= 0) return n;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? IO_AGAIN : IO_ERROR;
}

static ssize_t tls_result(struct http_conn *c, int n)
{
    c->handshake     = !SSL_is_init_finished(c->ssl);
    c->tls_wants_out = false;
    if (n > 0) return n;
    switch (SSL_get_error(c->ssl, n)) {
    case SSL_ERROR_WANT_WRITE: c->tls_wants_out = true; return IO_AGAIN;
    case SSL_ERROR_WANT_READ: return IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: break;
    }
    c->tls_failed = true; // no closing words on it (SSL_shutdown's manual)
    return IO_ERROR;
}

ssize_t io_read(struct http_conn *c, void *dst, size_t n)
{
    if (!c->ssl) return result(recv(c->fd, dst, n, 0));
    ERR_clear_error();
    return tls_result(c, SSL_read(c->ssl, dst, (int)n));
}

ssize_t io_write(struct http_conn *c, const void *src, size_t n)
{
    if (!c->ssl) return result(send(c->fd, src, n, MSG_NOSIGNAL));
    ERR_clear_error();
    ssize_t done = tls_result(c, SSL_write(c->ssl, src, n < INT_MAX ? (int)n : INT_MAX));
    return done == 0 ? IO_ERROR : done;
}

bool io_buffered(const struct http_conn *c)
{
    return c->ssl && SSL_pending(c->ssl) > 0;
}

bool io_wants_write(const struct http_conn *c)
{
    return c->tls_wants_out;
}

void io_shut(struct http_conn *c)
{
    if (c->ssl && !c->handshake && !c->tls_failed) {
        ERR_clear_error();
        SSL_shutdown(c->ssl); // says "no more" as far as the kernel takes it now
    }
    shutdown(c->fd, SHUT_WR);
}

void io_close(struct http_conn *c)
{
    SSL_free(c->ssl);
    close(c->fd);
}
