/* upstreams.c - see upstreams.h. */
#include "prog/upstreams.h"

#include <unistd.h>

#include "base/limits.h"
#include "base/pack.h"
#include "os/fd.h"

#define PACKED_BYTES KIB(240) // below what msg.def allows

static int read_key(const struct conf_upstream *u, struct arena *a, struct str *ret, struct err *e)
{
    *ret = STR("");
    if (!u->key_file) return 0;
    int rc = fd_read_file(u->key_file, LIM_UPSTREAM_KEY_BYTES, a, ret, e);
    if (rc < 0) return rc;
    *ret = str_trim(*ret);
    for (size_t i = 0; i < ret->n; i++)
        if ((unsigned char)ret->p[i] <= ' ' || (unsigned char)ret->p[i] >= 0x7f)
            return err_set(e, ERR_BAD_CONFIG, "%s: a key is one word of printable ASCII", u->key_file);
    return ret->n ? 0 : err_set(e, ERR_BAD_CONFIG, "%s: there is no key in it", u->key_file);
}

static int pack_one(struct buf *b, const struct model_spec *m, const struct conf_upstream *u, struct arena *a, struct err *e)
{
    struct upstream_url url;
    struct str          key;
    int                 rc = upstream_url_parse(str_c(u->url), a, &url, e);

    if (rc == 0) rc = read_key(u, a, &key, e);
    if (rc < 0) return err_wrap(e, "%s", u->where);
    pack_str(b, u->unix_path ? str_c(u->unix_path) : url.base);
    pack_str(b, url.base);
    pack_str(b, u->unix_path ? str_c(u->unix_path) : STR(""));
    pack_str(b, u->model ? str_c(u->model) : m->id);
    pack_str(b, key);
    pack_str(b, url.address || u->unix_path ? STR("") : url.host);
    pack_u32(b, (uint32_t)u->weight);
    return 0;
}

int upstreams_pack(const struct model_spec *m, struct arena *a, struct str *ret, struct err *e)
{
    struct buf b;
    int        rc = 0;

    buf_init(&b, PACKED_BYTES);
    pack_u32(&b, (uint32_t)m->n_upstream);
    for (int i = 0; rc == 0 && i < m->n_upstream; i++) rc = pack_one(&b, m, &m->upstream[i], a, e);
    if (rc == 0) {
        *ret = b.failed ? STR_NULL : arena_str(a, buf_text(&b));
        if (!ret->p) rc = err_nomem(e, "reading upstreams");
    }
    buf_release(&b);
    return rc;
}

int upstreams_unpack(struct str packed, struct remote_spec ret[LIM_UPSTREAMS])
{
    struct unpack u = unpack_init(packed);
    uint32_t      n = unpack_count(&u, LIM_UPSTREAMS, 28);

    for (uint32_t i = 0; i < n; i++) {
        struct remote_spec *s = &ret[i];
        s->name      = unpack_str(&u);
        s->base      = unpack_str(&u);
        s->unix_path = unpack_str(&u);
        s->model     = unpack_str(&u);
        s->key       = unpack_str(&u);
        s->host      = unpack_str(&u);
        uint32_t w   = unpack_u32(&u);
        s->weight    = w > UPSTREAM_WEIGHT_MAX ? UPSTREAM_WEIGHT_MAX : (int)w;
    }
    return unpack_done(&u) ? (int)n : 0;
}

static bool wants_ca(const struct model_list *l)
{
    for (int i = 0; i < l->n; i++)
        for (int k = 0; k < l->v[i].n_upstream; k++)
            if (str_starts(str_c(l->v[i].upstream[k].url), STR("https://"))) return true;
    return false;
}

int upstreams_read_ca(const struct settings *s, const struct model_list *l, struct arena *a, struct str *ret, struct err *e)
{
    /* where distributions keep them: Debian, Fedora, Alpine and the BSDs, openSUSE */
    static const char *const places[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem" };

    *ret = STR("");
    if (s->upstream_ca_file) return fd_read_file(s->upstream_ca_file, LIM_UPSTREAM_CA_BYTES, a, ret, e);
    if (!wants_ca(l)) return 0;
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (access(places[i], R_OK) == 0) return fd_read_file(places[i], LIM_UPSTREAM_CA_BYTES, a, ret, e);
    return err_set(e, ERR_BAD_CONFIG, "an upstream has https:// and this system has no certificates to check it against; "
                   "name a file with upstream-ca-file");
}
