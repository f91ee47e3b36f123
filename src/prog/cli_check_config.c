/* cli_check_config.c - `curlew check-config FILE`: what a server would make of its configuration. */
#include <stdio.h>

#include "base/limits.h"
#include "conf/options.h"
#include "prog/admin_key.h"
#include "prog/cli.h"
#include "prog/models.h"

static void put_model(struct buf *b, const struct model_spec *m)
{
    const struct settings *s = m->own;

    if (m->why) {
        buf_str(b, STR("not served: "));
        cli_put_clean(b, str_c(m->path));
        buf_printf(b, "\n  %s\n", m->why);
        return;
    }
    buf_str(b, STR("model "));
    cli_put_clean(b, m->id);
    buf_byte(b, '\n');
    buf_str(b, STR("  file      "));
    cli_put_clean(b, str_c(m->path));
    buf_printf(b, " (%llu bytes)\n", (unsigned long long)m->size);
    for (int i = 0; i < m->alias.n; i++) {
        buf_str(b, i ? STR(", ") : STR("  aliases   "));
        cli_put_clean(b, str_c(m->alias.v[i]));
    }
    if (m->alias.n) buf_byte(b, '\n');
    if (s->ctx) buf_printf(b, "  context   %lld\n", (long long)s->ctx);
    buf_printf(b, "  parallel  %lld\n", (long long)s->parallel);
    if (s->threads) buf_printf(b, "  threads   %lld\n", (long long)s->threads);
    if (s->chat_template) {
        buf_str(b, STR("  template  "));
        cli_put_clean(b, str_c(s->chat_template));
        buf_byte(b, '\n');
    }
}

int cli_check_config(const struct settings *s)
{
    struct model_list l = { .n = 0 };
    struct arena      a;
    char              key[ADMIN_KEY_MAX + 1];
    struct buf        b;
    struct err        e;

    if (!s->config) return cli_usage("check-config", "name a configuration file");
    arena_init(&a, MIB(16));
    buf_init(&b, MIB(4));
    int rc = models_list(s, &a, &l, &e);
    if (rc == 0) rc = models_open(&l, &e);
    if (rc == 0) rc = admin_key_read(s, key, &e);
    if (rc == 0) {
        for (int i = 0; i < s->listen.n; i++) {
            buf_str(&b, STR("listen "));
            cli_put_clean(&b, str_c(s->listen.v[i]));
            buf_byte(&b, '\n');
        }
        for (int i = 0; i < l.n; i++) put_model(&b, &l.v[i]);
        for (int i = 0; i < s->note.n; i++) buf_printf(&b, "note: %s\n", s->note.v[i]);
        rc = b.failed ? err_nomem(&e, "checking a configuration") : cli_write(buf_text(&b), &e);
    }
    models_close(&l);
    buf_release(&b);
    arena_release(&a);
    return rc < 0 ? cli_failed("check-config", &e) : PROG_OK;
}
