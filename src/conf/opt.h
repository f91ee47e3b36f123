/* opt.h - one table of options, many uses: flags, environment, --help, docs, and the settings that
 * the supervisor hands to its children.
 *
 * A row says name, type, default, range, which commands and roles it concerns, and where its value
 * lies in struct settings. Nothing else in the program knows a flag's name. Configuration files (conf.h)
 * have the same names as keys.
 */
#ifndef CURLEW_CONF_OPT_H
#define CURLEW_CONF_OPT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum opt_type {
    OPT_FLAG, // no argument: bool
    OPT_INT,  // int64_t, min..max
    OPT_SIZE, // int64_t bytes; K, M, G (1024) may follow
    OPT_STR,  // const char *
    OPT_ENUM, // int: index into `words`
    OPT_LIST, // struct opt_list: may be given again
};

struct opt_list {
    const char **v; // [n]
    int          n;
};

/* Who has the option. */
enum opt_role {
    OPT_SERVE      = 1 << 0, // curlew serve; reaches front and workers
    OPT_BENCH      = 1 << 1,
    OPT_WORKER     = 1 << 3, // sent to workers
    OPT_FRONT      = 1 << 4, // sent to the front
    OPT_RUN        = 1 << 5, // from here on: the command of that name
    OPT_SHOW       = 1 << 6,
    OPT_TOKENIZE   = 1 << 7,
    OPT_TEMPLATE   = 1 << 8,
    OPT_SPLIT      = 1 << 9,
    OPT_TOK_SERVER = 1 << 10,
    OPT_MODEL      = 1 << 11, // each model may have its own; so may it of all OPT_WORKER ones
    OPT_RESTART    = 1 << 12, // a reload does not change it
    OPT_DOCTOR     = 1 << 16,
};

struct opt {
    const char   *name; // "ctx": flag --ctx, environment CURLEW_CTX
    char          letter; // short flag, or 0
    const char   *arg;  // "TOKENS"
    enum opt_type type;
    const char   *def;  // as text; NULL: empty
    int64_t       min, max;
    const char   *words; // OPT_ENUM: "text|json"
    unsigned      roles; // enum opt_role
    size_t        offset; // in struct settings
    const char   *help;
    const char   *also; // another name of it, or NULL
};

struct settings; // options.h

extern const struct opt opt_table[];
extern const size_t     opt_count;

/* Fill *s with the defaults, then the environment (CURLEW_NAME, dashes as underscores), then argv
 * (flags of `roles`; `--name value` and `--name=value`; a list given by flags replaces the environment's;
 * after `--` nothing is a flag). Texts are kept in a. Arguments that are no
 * flags go to rest[*n_rest] (at most *n_rest on entry). Errors: BAD_CONFIG with the flag, the value
 * and what is allowed; an unknown flag names the nearest known one. */
NODISCARD int opt_parse(struct settings *s, unsigned roles, int argc, char **argv, struct arena *a,
                        const char **rest, int *n_rest, struct err *e);

/* All values of the rows with `role` as text for a child, and back. */
void          opt_pack(struct buf *b, const struct settings *s, unsigned role);
/* One more value behind those, as text; of two of a name the later counts, lists but grow. */
void          opt_pack_text(struct buf *b, const char *name, struct str value);
NODISCARD int opt_unpack(struct str text, struct settings *s, unsigned role, struct arena *a,
                         struct err *e);

void opt_help(struct buf *b, unsigned roles);     // for --help
void opt_markdown(struct buf *b);                 // docs/options.md

#endif
