/* http_client.c - libcurl multi, its sockets and timer as events of our loop.
 *
 * Two rules of libcurl shape it (libcurl-multi(3)): no multi function may be called from inside one of its
 * callbacks, and a paused write function gets the same bytes again. So a cancel from inside a callback only
 * marks the call, and what is over is reaped after curl_multi_socket_action returned. */
#include "http/http_client.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

struct http_call {
    struct http_client         *c;
    CURL                       *easy;
    struct curl_slist          *fields, *resolve;
    char                       *body; // owned
    const struct http_call_fns *fns;
    void                       *ctx;
    struct http_call           *next, **link; // of c->first
    unsigned                    idle_ms, total_ms;
    uint64_t                    start_us, last_us;
    size_t                      body_max, n_body, n_head;
    char                        type[128], retry_after[32];
    char                        error[CURL_ERROR_SIZE];
    bool                        head_told, paused;
    bool                        dead, wake; // cancelled, or resumed, from inside a callback: reap sees to it
    enum err_code               broken;                  // why we ended it ourselves
};

struct http_client {
    struct event_base *base;
    CURLM             *multi;
    struct event      *timer, *tick;
    struct buf         ca;
    struct http_call  *first;
    int                inside;  // depth of libcurl's calls into us
    unsigned           tick_ms;
};

struct sock { // a socket libcurl wants to hear of
    struct http_client *c;
    struct event       *ev;
};

/* --- the end of a call --- */

static void call_free(struct http_call *k)
{
    *k->link = k->next;
    if (k->next) k->next->link = k->link;
    curl_easy_cleanup(k->easy);
    curl_slist_free_all(k->fields);
    curl_slist_free_all(k->resolve);
    mem_free(k->body);
    mem_free(k);
}

static void tell_head(struct http_call *k)
{
    struct http_answer a = { .type = str_c(k->type), .retry_after = str_c(k->retry_after) };
    long               status = 0;

    if (k->head_told) return;
    k->head_told = true;
    curl_easy_getinfo(k->easy, CURLINFO_RESPONSE_CODE, &status);
    a.status = (int)status;
    if (k->fns->head) k->fns->head(k->ctx, &a);
}

static int why(struct http_call *k, CURLcode rc, struct err *e)
{
    const char *url  = NULL;
    const char *text = k->error[0] ? k->error : curl_easy_strerror(rc);

    curl_easy_getinfo(k->easy, CURLINFO_EFFECTIVE_URL, &url);
    if (!url) url = "";
    if (k->broken == ERR_TOO_LARGE)
        return err_set(e, ERR_TOO_LARGE, "%.200s: the reply has more than %zu bytes", url, k->body_max);
    if (k->broken == ERR_UPSTREAM_TIMEOUT)
        return err_set(e, ERR_UPSTREAM_TIMEOUT, "%.200s: no answer in time (%u ms idle, %u ms in all)", url, k->idle_ms,
                       k->total_ms);
    if (k->broken == ERR_UPSTREAM)
        return err_set(e, ERR_UPSTREAM, "%.200s: the reply's head has more than %zu bytes", url, (size_t)LIM_FIELDS_BYTES);
    if (rc == CURLE_OUT_OF_MEMORY) return err_nomem(e, "asking another server");
    return err_set(e, rc == CURLE_OPERATION_TIMEDOUT ? ERR_UPSTREAM_TIMEOUT : ERR_UPSTREAM, "%.200s: %.200s", url, text);
}

static void finish(struct http_call *k, CURLcode rc)
{
    struct err e;

    curl_multi_remove_handle(k->c->multi, k->easy);
    if (!k->dead && rc == CURLE_OK && !k->broken) {
        tell_head(k);
        if (!k->dead) k->fns->done(k->ctx, NULL);
    } else if (!k->dead) {
        why(k, rc, &e);
        k->fns->done(k->ctx, &e);
    }
    call_free(k);
}

static void unpause(struct http_call *k);
static int  want_timer(CURLM *multi, long ms, void *ctx);

/* After libcurl returned: what is over leaves, what may go on goes on. */
static void reap(struct http_client *c)
{
    CURLMsg *m;
    int      left;

    while ((m = curl_multi_info_read(c->multi, &left))) {
        struct http_call *k  = NULL;
        CURLcode          rc = m->data.result;
        if (m->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&k);
        finish(k, rc);
    }
    for (struct http_call *k = c->first, *next; k; k = next) {
        next = k->next;
        if (k->dead) finish(k, CURLE_OK);
    }
    for (struct http_call *k = c->first; k;) {
        bool wake = k->wake;
        k->wake   = false;
        if (wake) unpause(k);
        k = wake ? c->first : k->next; // its data may have ended any other
    }
}

static void unpause(struct http_call *k)
{
    struct http_client *c = k->c;

    c->inside++;
    curl_easy_pause(k->easy, CURLPAUSE_CONT); // may call on_body at once
    c->inside--;
    reap(c);
    want_timer(c->multi, 0, c); // and what it holds beyond that only when it is asked
}

static void act(struct http_client *c, curl_socket_t fd, int what)
{
    int running;

    c->inside++;
    curl_multi_socket_action(c->multi, fd, what, &running);
    c->inside--;
    if (!c->inside) reap(c);
}

/* --- libcurl's wishes --- */

static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
    struct sock *s = ctx;

    act(s->c, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static void sock_free(struct sock *s)
{
    if (s->ev) event_free(s->ev);
    mem_free(s);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *sock_ctx)
{
    struct http_client *c = ctx;
    struct sock        *s = sock_ctx;
    short               ev = EV_PERSIST;
    (void)easy;

    if (what == CURL_POLL_REMOVE) {
        if (s) sock_free(s);
        curl_multi_assign(c->multi, fd, NULL);
        return 0;
    }
    if (!s) {
        s = mem_zalloc(sizeof *s);
        if (!s) return -1;
        s->c = c;
        curl_multi_assign(c->multi, fd, s);
    }
    if (what & CURL_POLL_IN) ev |= EV_READ;
    if (what & CURL_POLL_OUT) ev |= EV_WRITE;
    if (s->ev) event_free(s->ev);
    s->ev = event_new(c->base, fd, ev, on_socket, s);
    return s->ev && event_add(s->ev, NULL) == 0 ? 0 : -1;
}

static int want_timer(CURLM *multi, long ms, void *ctx)
{
    struct http_client *c  = ctx;
    struct timeval      tv = { ms / 1000, ms % 1000 * 1000 };
    (void)multi;

    if (ms < 0) evtimer_del(c->timer);
    else evtimer_add(c->timer, &tv); // also for 0: libcurl must not be called from here
    return 0;
}

/* --- what comes back --- */

static bool field_is(struct str line, const char *name, struct str *value)
{
    size_t n = strlen(name);

    if (line.n <= n || line.p[n] != ':' || !str_eq_nocase((struct str){ line.p, n }, str_c(name))) return false;
    *value = str_trim(str_from(line, n + 1));
    return true;
}

static size_t on_head(char *p, size_t size, size_t n, void *ctx)
{
    struct http_call *k    = ctx;
    struct str        line = { p, size * n }, value;

    k->n_head += line.n;
    if (k->n_head > LIM_FIELDS_BYTES) {
        k->broken = ERR_UPSTREAM;
        return 0;
    }
    k->last_us = clock_mono_us();
    if (str_starts(line, STR("HTTP/"))) k->type[0] = k->retry_after[0] = 0; // an interim reply's are not meant
    if (field_is(line, "content-type", &value)) str_copy_z(k->type, sizeof k->type, value);
    if (field_is(line, "retry-after", &value)) str_copy_z(k->retry_after, sizeof k->retry_after, value);
    return k->dead ? 0 : line.n;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct http_call *k = ctx;

    n *= size;
    if (k->paused) return CURL_WRITEFUNC_PAUSE;
    if (k->dead) return CURL_WRITEFUNC_ERROR;
    k->last_us = clock_mono_us();
    if (k->body_max && n > k->body_max - k->n_body) {
        k->broken = ERR_TOO_LARGE;
        return CURL_WRITEFUNC_ERROR;
    }
    k->n_body += n;
    k->c->inside++;
    tell_head(k);
    if (!k->dead) k->fns->data(k->ctx, (struct str){ p, n });
    k->c->inside--;
    return k->dead ? CURL_WRITEFUNC_ERROR : n;
}

/* Deadlines, ours: libcurl counts in seconds, and counts pauses. */
static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct http_client *c   = ctx;
    uint64_t            now = clock_mono_us();
    (void)fd;
    (void)what;

    for (struct http_call *k = c->first, *next; k; k = next) {
        next = k->next;
        if (k->paused) k->last_us = now; // we do not read: the server cannot be blamed
        bool idle = k->idle_ms && now - k->last_us > (uint64_t)k->idle_ms * 1000;
        bool late = k->total_ms && now - k->start_us > (uint64_t)k->total_ms * 1000;
        if (!idle && !late) continue;
        k->broken = ERR_UPSTREAM_TIMEOUT;
        finish(k, CURLE_OPERATION_TIMEDOUT);
        next = c->first; // its done may have ended others: look again from the beginning
    }
}

/* --- the client --- */

int http_client_new(struct event_base *base, const struct http_client_conf *conf, struct http_client **ret, struct err *e)
{
    struct http_client *c = mem_zalloc(sizeof *c);
    struct timeval      tv = { conf->tick_ms / 1000, (long)(conf->tick_ms % 1000) * 1000 };

    if (!c) return err_nomem(e, "starting the HTTP client");
    *c = (struct http_client){ .base = base, .tick_ms = conf->tick_ms };
    buf_init(&c->ca, MIB(4));
    buf_str(&c->ca, conf->ca);
    c->timer = evtimer_new(base, on_timer, c);
    c->tick  = event_new(base, -1, EV_PERSIST, on_tick, c);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) c->multi = curl_multi_init();
    if (!c->multi || !c->timer || !c->tick || c->ca.failed || event_add(c->tick, &tv) < 0) {
        http_client_free(c);
        return err_nomem(e, "starting the HTTP client");
    }
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)conf->conns_host);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    *ret = c;
    return 0;
}

void http_client_free(struct http_client *c)
{
    if (!c) return;
    while (c->first) {
        curl_multi_remove_handle(c->multi, c->first->easy);
        call_free(c->first);
    }
    if (c->multi) curl_multi_cleanup(c->multi); // closes connections: want_socket is still called
    if (c->timer) event_free(c->timer);
    if (c->tick) event_free(c->tick);
    buf_release(&c->ca);
    mem_free(c);
}

/* --- a call --- */

static int add_line(struct curl_slist **list, struct buf *b, struct err *e)
{
    buf_byte(b, 0);
    struct curl_slist *more = b->failed ? NULL : curl_slist_append(*list, b->p);

    buf_clear(b);
    if (!more) return err_nomem(e, "asking another server");
    *list = more;
    return 0;
}

static int add_fields(struct http_call *k, const struct http_ask *ask, struct buf *b, struct err *e)
{
    int rc;

    for (int i = 0; i < ask->n_field; i++) {
        buf_str(b, ask->field[i].name);
        buf_str(b, STR(": "));
        buf_str(b, ask->field[i].value);
        if (memchr(b->p, '\r', b->n) || memchr(b->p, '\n', b->n) || memchr(b->p, 0, b->n))
            return err_set(e, ERR_INVALID_VALUE, "a header field for another server has a line end in it");
        if ((rc = add_line(&k->fields, b, e)) < 0) return rc;
    }
    buf_str(b, STR("Expect:")); // none: bodies would wait for a 100
    return add_line(&k->fields, b, e);
}

/* Check the URL (NUL-terminated); with addresses make the line "host:port:addresses" of it, so that libcurl asks
 * no resolver. */
static int check_url(struct http_call *k, const struct http_ask *ask, const char *url, struct err *e)
{
    CURLU     *u    = curl_url();
    char      *host = NULL, *port = NULL, *scheme = NULL;
    struct buf b;
    int        rc = 0;

    buf_init(&b, LIM_FIELDS_BYTES);
    if (!u) rc = err_nomem(e, "asking another server");
    else if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
             curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
             curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
             curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
             (!str_eq(str_c(scheme), STR("http")) && !str_eq(str_c(scheme), STR("https"))))
        rc = err_set(e, ERR_INVALID_VALUE, "\"%.200s\" is no http or https URL", url);
    if (rc == 0 && ask->addr.p) {
        buf_printf(&b, "%s:%s:" STR_FMT, host, port, STR_ARG(ask->addr));
        rc = add_line(&k->resolve, &b, e);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    buf_release(&b);
    return rc;
}

static int set_up(struct http_call *k, const struct http_ask *ask, struct buf *b, struct err *e)
{
    CURL *h  = k->easy;
    int   rc = add_fields(k, ask, b, e);

    if (rc < 0) return rc;
    buf_str(b, ask->url);
    buf_byte(b, 0);
    if (b->failed || memchr(b->p, 0, b->n - 1))
        return err_set(e, ERR_INVALID_VALUE, "the URL of another server has %zu bytes or a NUL in it", ask->url.n);
    rc = check_url(k, ask, b->p, e);
    if (rc < 0) return rc;
    bool bad = curl_easy_setopt(h, CURLOPT_URL, b->p) != CURLE_OK;
    buf_clear(b);
    if (ask->unix_path.p) {
        buf_str(b, ask->unix_path);
        buf_byte(b, 0);
        bad |= b->failed || curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, b->p) != CURLE_OK;
    }
    if (k->resolve) bad |= curl_easy_setopt(h, CURLOPT_RESOLVE, k->resolve) != CURLE_OK;
    struct curl_blob ca = { .data = k->c->ca.p, .len = k->c->ca.n, .flags = CURL_BLOB_NOCOPY };
    curl_easy_setopt(h, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(h, CURLOPT_CAPATH, NULL);
    if (ca.len) bad |= curl_easy_setopt(h, CURLOPT_CAINFO_BLOB, &ca) != CURLE_OK;
    bad |= curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK;
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_PROXY, ""); // not the environment's
    curl_easy_setopt(h, CURLOPT_USERAGENT, "curlew");
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, k->fields);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, k->error);
    curl_easy_setopt(h, CURLOPT_PRIVATE, k);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, k);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, k);
    if (ask->connect_ms) curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)ask->connect_ms);
    if (ask->post) {
        curl_easy_setopt(h, CURLOPT_POST, 1L);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, k->body);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask->body.n);
    }
    return bad ? err_set(e, ERR_INVALID_VALUE, "\"" STR_FMT "\" cannot be asked", STR_ARG(ask->url)) : 0;
}

int http_call_start(struct http_client *c, const struct http_ask *ask, const struct http_call_fns *fns, void *ctx,
                    struct http_call **ret, struct err *e)
{
    struct http_call *k = mem_zalloc(sizeof *k);
    struct buf        b;

    if (!k) return err_nomem(e, "asking another server");
    *k = (struct http_call){ .c = c, .fns = fns, .ctx = ctx, .idle_ms = ask->idle_ms, .total_ms = ask->total_ms,
                             .body_max = ask->body_max, .next = c->first, .link = &c->first };
    if (c->first) c->first->link = &k->next;
    c->first    = k;
    k->start_us = k->last_us = clock_mono_us();
    k->easy     = curl_easy_init();
    k->body     = mem_alloc(ask->body.n + 1);
    if (k->body && ask->body.n) memcpy(k->body, ask->body.p, ask->body.n);
    buf_init(&b, LIM_FIELDS_BYTES);
    int rc = k->easy && k->body ? set_up(k, ask, &b, e) : err_nomem(e, "asking another server");
    buf_release(&b);
    if (rc == 0 && curl_multi_add_handle(c->multi, k->easy) != CURLM_OK) rc = err_nomem(e, "asking another server");
    if (rc < 0) {
        call_free(k);
        return rc;
    }
    *ret = k;
    return 0;
}

void http_call_cancel(struct http_call *k)
{
    k->dead = true;
    if (k->c->inside) return; // reaped when libcurl is back
    curl_multi_remove_handle(k->c->multi, k->easy);
    call_free(k);
}

void http_call_pause(struct http_call *k)
{
    k->paused = true;
}

void http_call_resume(struct http_call *k)
{
    struct http_client *c = k->c;

    if (!k->paused) return;
    k->paused  = false;
    k->last_us = clock_mono_us();
    if (c->inside) k->wake = true;
    else unpause(k);
}
