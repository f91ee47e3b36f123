/* gram_int.h - grammars while they are built: a tree of nodes over characters, and rules that refer to
 * one another.
 *
 * Every front end (GBNF, regular expressions, JSON Schema, tool calls) makes such trees with the
 * functions below; gram_emit turns them into the operations that pda.c runs. Failure is sticky: once a
 * limit was hit or memory ran out, g->rc is set, functions return NULL and take NULL, and the caller
 * looks once at the end.
 */
#ifndef CURLEW_CONSTRAIN_GRAM_INT_H
#define CURLEW_CONSTRAIN_GRAM_INT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/buf.h"
#include "base/limits.h"

enum gram_kind {
    GRAM_NEVER, // no text at all
    GRAM_CLASS, // one character of a set
    GRAM_LIT,   // these bytes; the empty text too
    GRAM_SEQ,
    GRAM_ALT,
    GRAM_REP,   // min .. max times; max GRAM_INF: without end
    GRAM_RULE,
};

#define GRAM_INF (-1)

struct gram_range {
    uint32_t lo, hi; // code points, both included
};

struct gram_node {
    enum gram_kind           kind;
    int                      height; // of the tree below
    int                      n;      // of range, kid
    const struct gram_range *range;  // CLASS: sorted, apart from each other
    struct str               lit;    // LIT
    struct gram_node       **kid;    // SEQ, ALT; REP: one
    int                      min, max; // REP
    int                      rule;   // RULE
    bool                     plain;  // REP: over the characters of a JSON string (pda_mask.c)
};

struct gram {
    struct arena      *a;
    struct gram_node **rule; // [n_rule], NULL while not set
    int                n_rule, cap_rule;
    int                n_node;
    int                rc; // first failure, 0: none
    struct err        *e;  // where it is described
    int                shared[16]; // rules that every schema uses (gram_json.c), by their number; -1: not made
};

void gram_init(struct gram *g, struct arena *a, struct err *e);
/* Record a failure (the first one counts); returns NULL. */
struct gram_node *gram_fail(struct gram *g, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

struct gram_node *gram_never(struct gram *g);
struct gram_node *gram_lit(struct gram *g, struct str bytes); // copied
struct gram_node *gram_z(struct gram *g, const char *z);      // the same
struct gram_node *gram_buf(struct gram *g, struct buf *b);    // the same; the buffer is released
struct gram_node *gram_empty(struct gram *g);
/* Ranges in any order, overlapping or not; surrogates fall out. An empty set is NEVER. */
struct gram_node *gram_class(struct gram *g, const struct gram_range *r, int n, bool negate);
struct gram_node *gram_seq(struct gram *g, struct gram_node *const *kid, int n);
struct gram_node *gram_alt(struct gram *g, struct gram_node *const *kid, int n);
struct gram_node *gram_rep(struct gram *g, struct gram_node *x, int min, int max);
/* One of many literals: those that begin alike share their beginning. Other nodes among them are as in
 * gram_alt. */
struct gram_node *gram_words(struct gram *g, struct gram_node **kid, int n);
struct gram_node *gram_rule(struct gram *g, int rule); // a use of it

/* A new rule; its tree comes with gram_rule_set. -1 on failure. */
int  gram_rule_new(struct gram *g);
void gram_rule_set(struct gram *g, int rule, struct gram_node *x);

/* gram_seq(g, {...}) and so on, without counting. */
#define GRAM_SEQ(g, ...)                                                                      \
    gram_seq(g, (struct gram_node *const[]){ __VA_ARGS__ },                                   \
             (int)ARRAY_LEN(((struct gram_node *const[]){ __VA_ARGS__ })))
#define GRAM_ALT(g, ...)                                                                      \
    gram_alt(g, (struct gram_node *const[]){ __VA_ARGS__ },                                   \
             (int)ARRAY_LEN(((struct gram_node *const[]){ __VA_ARGS__ })))
#define GRAM_OPT(g, x) gram_rep(g, x, 0, 1)

/* A list that grows, for kids. */
struct gram_list {
    struct gram_node **v;
    int                n, cap;
};
void gram_push(struct gram *g, struct gram_list *l, struct gram_node *x);

/* --- front ends; each gives the tree of the whole text --- */

/* gram_gbnf.c. Errors: INVALID_VALUE with the line. */
struct gram_node *gram_gbnf(struct gram *g, struct str text);

/* gram_regex.c: `json`: the match is the content of a JSON string, escaped where it must be. `whole`: the
 * match is the whole text, else it may stand anywhere in it unless ^ and $ say otherwise. */
struct gram_regex_opt {
    bool json, whole;
    bool soft;         // NULL without a failure when the length cannot be held
    int  n_min, n_max; // characters; GRAM_INF: any
};
struct gram_node *gram_regex(struct gram *g, struct str re, const struct gram_regex_opt *o);
/* Does the regular expression match somewhere in the text? -1 when it cannot be read. */
int               gram_regex_test(struct str re, struct str text);

/* gram_json.c */
enum gram_shared {
    SHARED_STRING,
    SHARED_NUMBER,
    SHARED_INTEGER,
    SHARED_VALUE,
    SHARED_OBJECT,
    SHARED_ARRAY,
    SHARED_CHAR,
    SHARED_ESC
};
struct gram_node *gram_json(struct gram *g, enum gram_shared what);
struct gram_node *gram_sp(struct gram *g); // an optional space
struct gram_node *gram_json_string(struct gram *g, int n_min, int n_max);
struct gram_node *gram_json_class(struct gram *g, const struct gram_range *r, int n, bool negate);
struct json;
struct gram_node *gram_json_const(struct gram *g, const struct json *v, int depth);
struct gram_node *gram_json_text(struct gram *g, struct str s); // as a JSON string with its quotes
struct gram_node *gram_json_list(struct gram *g, struct gram_node *const *head, int n_head, int n_head_min,
                                 struct gram_node *rest, int n_min, int n_max);
/* A string that is none of these. */
struct gram_node *gram_json_key_not(struct gram *g, const struct str *name, int n);

/* gram_num.c: numbers in a range, bounds as decimal text ("-1.5"); STR_NULL: none. */
struct gram_num {
    struct str lo, hi;
    bool       lo_open, hi_open; // the bound itself is not in
    bool       integer;
    int        n_frac; // most digits after the point, GRAM_INF: the default
};
struct gram_node *gram_num(struct gram *g, const struct gram_num *r);

/* gram_format.c: the pattern of a string format, or NULL. */
const char *gram_format(struct str name);

/* gram_schema.c. `loose`: what cannot be held is left free instead of refused. `open`: objects that do not
 * mention additionalProperties may have more of them. `where`: how messages name the schema. */
struct gram_schema_opt {
    bool        loose, open;
    const char *where;
};
struct gram_node *gram_schema(struct gram *g, struct str text, const struct gram_schema_opt *o);

#endif
