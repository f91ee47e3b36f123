/* admin.c - /admin/reload and /admin/shutdown: who may ask, and the way to the supervisor and back. */
#include "api/admin.h"

#include "api/api_int.h"
#include "base/mem.h"

#define ASKED_MAX 16 // questions on their way

struct admin_question {
    struct api_user        user;
    struct api            *a;
    struct http_req       *http; // NULL: the client is gone
    uint32_t               id;
    struct admin_question *next;
};

static void take_out(struct admin_question *q)
{
    struct admin_question **at = &q->a->asked;

    while (*at && *at != q) at = &(*at)->next;
    if (!*at) return; // answered
    *at = q->next;
    q->a->n_asked--;
}

static void question_gone(struct api_user *u)
{
    take_out((struct admin_question *)u); // what was asked is done all the same
}

static void question_detach(struct api_user *u)
{
    take_out((struct admin_question *)u);
    mem_free(u);
}

/* As long for a wrong key as for the right one. */
static bool same_key(struct str given, struct str key)
{
    unsigned char diff = given.n != key.n;

    for (size_t i = 0; i < key.n; i++) diff |= (unsigned char)(key.p[i] ^ (i < given.n ? given.p[i] : 0));
    return diff == 0;
}

static struct str key_of(const struct http_req *h)
{
    struct str auth = http_req_field(h, "authorization");

    if (auth.n > 7 && str_eq_nocase(str_sub(auth, 0, 7), STR("bearer "))) return str_trim(str_from(auth, 7));
    return http_req_field(h, "x-api-key");
}

static int may_ask(const struct api *a, struct http_req *h, struct err *e)
{
    struct str key = key_of(h);

    if (str_eq(http_req_peer(h), STR("unix"))) return 0;
    if (!a->conf.admin_key.n)
        return err_set(e, ERR_FORBIDDEN, "administration is answered over a Unix socket (--listen unix:/PATH), or with the "
                       "key of --admin-key-file, which this server has not");
    if (!key.n)
        return err_set(e, ERR_UNAUTHORIZED, "administration over TCP needs the key of --admin-key-file, as "
                       "\"Authorization: Bearer KEY\"");
    return same_key(key, a->conf.admin_key) ? 0 : err_set(e, ERR_UNAUTHORIZED, "this is not the admin key");
}

static int begin(struct api *a, struct http_req *h, enum admin_ask what, struct err *e)
{
    int rc = may_ask(a, h, e);

    if (rc < 0) return rc;
    if (a->n_asked == ASKED_MAX)
        return err_set(e, ERR_RATE_LIMIT, "%d administrators are waiting already", ASKED_MAX);
    struct admin_question *q = mem_zalloc(sizeof *q);
    if (!q) return err_nomem(e, "asking the supervisor");
    *q = (struct admin_question){ .user = { question_gone, question_detach }, .a = a, .http = h, .id = ++a->last_ask };
    rc = a->conf.ask(a->conf.ask_ctx, q->id, what, e);
    if (rc < 0) {
        mem_free(q);
        return rc;
    }
    q->next  = a->asked;
    a->asked = q;
    a->n_asked++;
    http_req_set_user(h, &q->user);
    return 0;
}

void admin_told(struct api *a, uint32_t id, bool done, struct str text)
{
    struct admin_question *q = a->asked;
    struct err             e;

    while (q && q->id != id) q = q->next;
    if (!q) return;
    take_out(q);
    if (done) {
        http_reply(q->http, 200, STR("application/json"), text);
        return;
    }
    err_set(&e, ERR_BAD_REQUEST, STR_FMT, STR_ARG(text));
    http_reply_err(q->http, &e);
}

void admin_reload(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct err e;
    (void)r;
    (void)rest;

    if (begin(a, h, ADMIN_RELOAD, &e) < 0) http_reply_err(h, &e);
}

void admin_shutdown(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct err e;
    (void)r;
    (void)rest;

    if (begin(a, h, ADMIN_SHUTDOWN, &e) < 0) http_reply_err(h, &e);
}
