/* conf.h - the settings of a server from everywhere they may come from.
 *
 * Command line over environment over configuration file over defaults (those of --compat over our own); one table
 * of options for all of them (options.c). The file (YAML) has the table's names as keys, with - or _ in them, and
 * beside them `models`, a list of what to serve:
 *
 *     listen: [127.0.0.1:8080, unix:/run/curlew.sock]
 *     models_dir: models            # of this file's folder
 *     models:
 *       - id: small
 *         path: small-Q8_0.gguf     # in models_dir, if there is one
 *         aliases: [default]
 *         context: 4096
 *
 * What the file says is wrong with it begins with FILE:LINE:COLUMN. */
#ifndef CURLEW_CONF_CONF_H
#define CURLEW_CONF_CONF_H

#include "base/buf.h"
#include "conf/options.h"

struct conf_source {
    unsigned    roles; // of the command
    int         argc;
    char      **argv; // the flags
    bool        rest; // what is no flag is the file, as if --config named it
    struct buf *errors; // or NULL: gets all of the file's mistakes, a line each; conf_load returns the first
    struct str  text; // the file's text in place of a file, or STR_NULL; for tests
};

/* Read all of it. As opt_parse, and errors of the file. What to serve is what the strongest of all that say
 * something about it says: --model replaces the file's models. On return s->listen names at least one place. */
NODISCARD int conf_load(const struct conf_source *src, struct settings *s, struct arena *a, const char **rest,
                        int *n_rest, struct err *e);

/* Names of the rows with `role` whose values differ, for messages: "listen, port"; empty when none does. */
void conf_differ(struct buf *b, const struct settings *x, const struct settings *y, unsigned role);
/* The values of the rows with `role` as `from` has them; texts stay where they are. */
void conf_keep(struct settings *to, const struct settings *from, unsigned role);

#endif
