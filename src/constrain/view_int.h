/* view_int.h - several schemas that must hold at once, as one. */
#ifndef CURLEW_CONSTRAIN_VIEW_INT_H
#define CURLEW_CONSTRAIN_VIEW_INT_H

#include "constrain/gram_int.h"
#include "json/json.h"

#define VIEW_MAX 24

/* Where a schema stands, for messages: "#/properties/a". */
struct view_path {
    const struct view_path *up; // NULL: the root
    struct str              name;
};

enum view_done {
    VIEW_ANY = 1,
    VIEW_ONE = 2,
    VIEW_ALL = 4,
    VIEW_REF = 8
}; // keywords that were taken apart already

struct view_part {
    const struct json      *s;
    const struct view_path *path;
    unsigned                done;
};

struct view {
    struct view_part part[VIEW_MAX];
    int              n;
    bool             never; // a part is `false`
};

struct schema {
    struct gram                  *g;
    const struct gram_schema_opt *o;
    const struct json            *root;
    struct view_memo             *memo; // views that have a rule
    int                           n_memo, cap_memo;
    struct schema_doc            *docs; // schemas that we wrote ourselves
};

enum view_type {
    TYPE_NULL = 1,
    TYPE_BOOL = 2,
    TYPE_INT  = 4,
    TYPE_REAL = 8,
    TYPE_STR  = 16,
    TYPE_ARR  = 32,
    TYPE_OBJ  = 64,
    TYPE_ALL  = 127
};

/* A failure at a place: "the schema at #/properties/a: ..." */
void schema_fail(struct schema *s, const struct view_path *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
const struct view_path *schema_path(struct schema *s, const struct view_path *up, struct str name);
/* What is meant cannot be held: refused, or left free when the options say loose (then false). */
bool schema_cannot(struct schema *s, const struct view_path *at, const char *what);

/* Add a schema; `true` and {} add nothing. */
void view_add(struct schema *s, struct view *v, const struct json *x, const struct view_path *path,
              unsigned done);
/* allOf and $ref become parts of their own; unknown keywords are refused. */
void view_flatten(struct schema *s, struct view *v);
unsigned view_types(struct schema *s, const struct view *v);
/* Add the schema {"properties": {name: false}}. */
void view_forbid(struct schema *s, struct view *v, struct str name);
void schema_release(struct schema *s);
/* No value can fit both, as far as one look at types, constants and required members tells. */
bool view_disjoint(const struct json *a, const struct json *b);

/* The value is one that all parts allow, as far as scalars go. `known`: an enum that has it, or NULL. */
bool view_fits(const struct view *v, const struct json *x, const struct json *known);
/* The tightest integer of a keyword: the largest when `most`; -1 when no part has it. */
int64_t view_count(struct schema *s, const struct view *v, const char *key, bool most);

struct gram_node *view_value(struct schema *s, const struct view *v); // gram_schema.c: a use of its rule
struct gram_node *view_object(struct schema *s, const struct view *v); // gram_object.c

#endif
