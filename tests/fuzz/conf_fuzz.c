/* conf_fuzz.c - any bytes as a configuration file, and as a place to listen. What is accepted is within its limits
 * and reaches a worker as it was read; what is not says where it is wrong. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "conf/conf.h"
#include "conf/place.h"

/* "text:LINE:COLUMN: ..." within the text; errors about all of it together have none. */
static void check_place(struct str text, const struct err *e)
{
    int    line, col, n_line = 1;
    size_t n = 0, longest = 0;

    for (size_t i = 0; i < text.n; i++) {
        n = text.p[i] == '\n' ? 0 : n + 1;
        n_line += text.p[i] == '\n' || text.p[i] == '\r' || (unsigned char)text.p[i] >= 0x80; // NEL, LS, PS
        if (n > longest) longest = n;
    }
    if (sscanf(e->msg, "text:%d:%d: ", &line, &col) == 2)
        FUZZ_CHECK(line >= 1 && line <= n_line + 1 && col >= 1 && (size_t)col <= longest + 2);
}

static void check_settings(const struct settings *s, struct arena *a)
{
    struct settings back;
    struct buf      b;
    struct err      e;

    FUZZ_CHECK(s->listen.n >= 1 && s->listen.n <= LIM_MODELS && s->n_models <= LIM_MODELS);
    FUZZ_CHECK(s->port >= 0 && s->port <= 65535 && s->parallel >= 1);
    buf_init(&b, MIB(4));
    for (int i = 0; i < s->n_models; i++) {
        const struct conf_model *m = &s->models[i];
        FUZZ_CHECK(m->path && m->own && m->alias.n <= LIM_ALIASES);
        buf_clear(&b);
        opt_pack(&b, m->own, OPT_WORKER);
        FUZZ_CHECK(!b.failed && opt_unpack(buf_text(&b), &back, OPT_WORKER, a, &e) == 0);
        FUZZ_CHECK(back.ctx == m->own->ctx && back.threads == m->own->threads);
    }
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf               all;
    const struct conf_source src = { .roles = OPT_SERVE, .text = { size ? (const char *)data : "", size },
                                     .errors = size & 1 ? &all : NULL }; // every mistake, or the first one
    struct settings          s;
    struct arena             a;
    struct place             p;
    struct err               e      = { .code = ERR_NONE };
    int                      n_rest = 0;

    arena_init(&a, MIB(32));
    buf_init(&all, MIB(4));
    if (conf_load(&src, &s, &a, NULL, &n_rest, &e) == 0) {
        check_settings(&s, &a);
    } else {
        FUZZ_CHECK(e.code == ERR_BAD_CONFIG || e.code == ERR_NO_MEMORY);
        FUZZ_CHECK(e.msg[0]);
        check_place(src.text, &e);
    }
    if (place_parse(src.text, 80, &a, &p, &e) == 0) {
        FUZZ_CHECK(p.host[0] == '/' ? p.port == -1 : p.port >= 0 && p.port <= 65535);
        FUZZ_CHECK(p.host[0] && (p.host[0] == '/' || strlen(p.host) <= 255));
    }
    buf_release(&all);
    arena_release(&a);
    return 0;
}
