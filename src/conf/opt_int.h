/* opt_int.h - values from several places onto one table: who said each, and who wins. */
#ifndef CURLEW_CONF_OPT_INT_H
#define CURLEW_CONF_OPT_INT_H

#include "conf/compat.h"
#include "conf/opt.h"

#define OPTS_MAX 256 // rows of the table

/* Later ones win over earlier ones, in whatever order they are read. */
enum opt_level { OPT_DEFAULT, OPT_COMPAT, OPT_FILE, OPT_ENV, OPT_CLI };

struct opt_in {
    struct settings *s;
    unsigned         roles;
    struct arena    *arena; // of texts
    enum compat_who  compat; // whose flags are taken beside our own
    unsigned char    level[OPTS_MAX]; // enum opt_level: who said the value of each row
};

/* Defaults into *s, said by nobody. */
NODISCARD int opt_begin(struct opt_in *in, struct settings *s, unsigned roles, struct arena *a, struct err *e);

/* One value for a row, unless something stronger said one; a list begins anew when something stronger speaks.
 * `where` names the place for messages: "--ctx", "CURLEW_CTX", "FILE:3:8: ctx". Errors: BAD_CONFIG, NO_MEMORY. */
NODISCARD int opt_put(struct opt_in *in, const struct opt *o, struct str v, enum opt_level level, const char *where,
                      struct err *e);
enum opt_level opt_level(const struct opt_in *in, const struct opt *o);

/* A name of a replaced server that means nothing here: a note in the settings, or an error. */
NODISCARD int opt_no_effect(struct opt_in *in, const struct compat_row *r, struct str v, struct err *e);

/* One row's values as opt_pack writes them. */
void opt_pack_row(struct buf *b, const struct settings *s, const struct opt *o);

/* The command line, and the environment for what it did not say. As opt_parse. */
NODISCARD int opt_flags(struct opt_in *in, int argc, char **argv, const char **rest, int *n_rest, struct err *e);
NODISCARD int opt_env(struct opt_in *in, struct err *e);

/* By its name or the other one it has; NULL when none of these roles has it. */
const struct opt *opt_by_name(struct str name, unsigned roles);

/* The known name that a wrong one is most like, if any is like it: begin with { 0 }, offer all. */
struct opt_near {
    const char *best; // or NULL
    int         least;
};
void opt_near_try(struct opt_near *n, struct str name, const char *known);
void opt_near_rows(struct opt_near *n, struct str name, unsigned roles);

#endif
