/* conf_yaml.c - libyaml's events to a tree, within limits.
 *
 * Events and not libyaml's own documents: each event says where it stands, depth and number are counted as they
 * come, and what configurations do not need is refused where it is met.
 */
#include "conf/conf_yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/limits.h"
#include "base/utf8.h"

struct reader {
    yaml_parser_t p;
    struct str    text;
    const char   *name;
    struct arena *arena;
    int           n_node;
};

const char *conf_yaml_kind_name(enum conf_yaml_kind k)
{
    switch (k) {
    case CONF_YAML_NULL: return "nothing";
    case CONF_YAML_TEXT: return "a single value";
    case CONF_YAML_LIST: return "a list";
    case CONF_YAML_MAP: return "a group of keys";
    }
    return "";
}

/* Line and column of a byte of the text. */
static void locate(struct str text, size_t at, int *line, int *col)
{
    *line = *col = 1;
    for (size_t i = 0; i < at && i < text.n; i++) {
        if (text.p[i] == '\n') {
            (*line)++;
            *col = 1;
        } else if (((unsigned char)text.p[i] & 0xC0) != 0x80) { // characters, not bytes
            (*col)++;
        }
    }
}

static int not_yaml(struct reader *r, struct err *e)
{
    const yaml_parser_t *p    = &r->p;
    int                  line = (int)p->problem_mark.line + 1, col = (int)p->problem_mark.column + 1;
    const char          *why  = p->problem ? p->problem : "malformed";

    switch (p->error) {
    case YAML_MEMORY_ERROR: return err_nomem(e, "reading a configuration");
    case YAML_READER_ERROR:
        locate(r->text, p->problem_offset, &line, &col);
        return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: not text in UTF-8: %s", r->name, line, col, why);
    case YAML_NO_ERROR:
    case YAML_SCANNER_ERROR:
    case YAML_PARSER_ERROR:
    case YAML_COMPOSER_ERROR:
    case YAML_WRITER_ERROR:
    case YAML_EMITTER_ERROR: break;
    }
    return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: not valid YAML: %s", r->name, line, col, why);
}

static int next_event(struct reader *r, yaml_event_t *ev, struct err *e)
{
    return yaml_parser_parse(&r->p, ev) ? 0 : not_yaml(r, e);
}

static int refuse(struct reader *r, const yaml_event_t *ev, const char *what, struct err *e)
{
    return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: %s", r->name, (int)ev->start_mark.line + 1,
                   (int)ev->start_mark.column + 1, what);
}

static int over_limit(struct reader *r, const yaml_event_t *ev, const char *what, size_t limit, struct err *e)
{
    return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: %s, the limit is %zu", r->name, (int)ev->start_mark.line + 1,
                   (int)ev->start_mark.column + 1, what, limit);
}

static bool is_null(const yaml_event_t *ev, struct str v)
{
    if (ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    return v.n == 0 || str_eq(v, STR("~")) || str_eq_nocase(v, STR("null"));
}

static int take_text(struct reader *r, const yaml_event_t *ev, struct str *ret, struct err *e)
{
    struct str v = { (const char *)ev->data.scalar.value, ev->data.scalar.length };

    if (ev->data.scalar.anchor) return refuse(r, ev, "anchors (&name) are not supported", e);
    if (ev->data.scalar.tag) return refuse(r, ev, "tags (!name) are not supported", e);
    if (v.n > LIM_CONF_TEXT) return over_limit(r, ev, "a value of very many bytes", LIM_CONF_TEXT, e);
    if (memchr(v.p, 0, v.n)) return refuse(r, ev, "a value holds a NUL", e);
    *ret = arena_str(r->arena, v);
    return ret->p ? 0 : err_nomem(e, "reading a configuration");
}

static int read_node(struct reader *r, const yaml_event_t *ev, int depth, struct conf_yaml **ret, struct err *e);

static int key_twice(struct reader *r, const struct conf_yaml *map, const struct conf_yaml *m, const yaml_event_t *ev,
                     struct err *e)
{
    char q[LIM_QUOTE_BYTES];

    for (const struct conf_yaml *o = map->child; o; o = o->next)
        if (str_eq(o->key, m->key))
            return err_set(e, ERR_BAD_CONFIG, "%s:%d:%d: \"%s\" is there already, in line %d", r->name,
                           (int)ev->start_mark.line + 1, (int)ev->start_mark.column + 1,
                           str_quote(q, sizeof q, m->key), o->key_line);
    return 0;
}

/* What stands between the begin of a list or map and its end. */
static int read_members(struct reader *r, struct conf_yaml *n, int depth, struct err *e)
{
    bool               map  = n->kind == CONF_YAML_MAP;
    struct conf_yaml **last = &n->child;

    for (;;) {
        struct conf_yaml *m = NULL, k = { .key = STR_NULL };
        yaml_event_t      ev;
        int               rc = next_event(r, &ev, e);
        if (rc < 0) return rc;
        if (ev.type == YAML_SEQUENCE_END_EVENT || ev.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&ev);
            return 0;
        }
        if (map) {
            k.key_line = (int)ev.start_mark.line + 1;
            k.key_col  = (int)ev.start_mark.column + 1;
            if (ev.type == YAML_ALIAS_EVENT) rc = refuse(r, &ev, "aliases (*name) are not supported", e);
            else if (ev.type != YAML_SCALAR_EVENT) rc = refuse(r, &ev, "a key must be a single word", e);
            else rc = take_text(r, &ev, &k.key, e);
            if (rc == 0 && n->n_child >= LIM_CONF_KEYS) rc = over_limit(r, &ev, "too many keys in one group", LIM_CONF_KEYS, e);
            if (rc == 0) rc = key_twice(r, n, &k, &ev, e);
            yaml_event_delete(&ev);
            if (rc == 0) rc = next_event(r, &ev, e);
            if (rc < 0) return rc;
        }
        rc = read_node(r, &ev, depth, &m, e);
        yaml_event_delete(&ev);
        if (rc < 0) return rc;
        m->key      = k.key;
        m->key_line = k.key_line;
        m->key_col  = k.key_col;
        *last       = m;
        last        = &m->next;
        n->n_child++;
    }
}

static int read_node(struct reader *r, const yaml_event_t *ev, int depth, struct conf_yaml **ret, struct err *e)
{
    struct conf_yaml *n  = arena_zalloc(r->arena, sizeof *n);
    int               rc = 0;

    if (!n) return err_nomem(e, "reading a configuration");
    if (++r->n_node > LIM_CONF_NODES) return over_limit(r, ev, "too many values", LIM_CONF_NODES, e);
    if (depth > LIM_CONF_DEPTH) return over_limit(r, ev, "lists and groups inside each other too deep", LIM_CONF_DEPTH, e);
    n->line = (int)ev->start_mark.line + 1;
    n->col  = (int)ev->start_mark.column + 1;
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        rc      = take_text(r, ev, &n->text, e);
        n->kind = rc == 0 && is_null(ev, n->text) ? CONF_YAML_NULL : CONF_YAML_TEXT;
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: {
        bool map = ev->type == YAML_MAPPING_START_EVENT;
        n->kind  = map ? CONF_YAML_MAP : CONF_YAML_LIST;
        if (map ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor)
            return refuse(r, ev, "anchors (&name) are not supported", e);
        if (map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag)
            return refuse(r, ev, "tags (!name) are not supported", e);
        rc = read_members(r, n, depth + 1, e);
        break;
    }
    case YAML_ALIAS_EVENT: return refuse(r, ev, "aliases (*name) are not supported", e);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return refuse(r, ev, "a value is missing", e);
    }
    *ret = n;
    return rc;
}

/* The next event, which must be of this type, and be gone again. */
static int skip(struct reader *r, yaml_event_type_t type, const char *otherwise, struct err *e)
{
    yaml_event_t ev;
    int          rc = next_event(r, &ev, e);

    if (rc < 0) return rc;
    if (ev.type != type) rc = refuse(r, &ev, otherwise, e);
    yaml_event_delete(&ev);
    return rc;
}

static int read_all(struct reader *r, struct conf_yaml **ret, struct err *e)
{
    yaml_event_t      ev;
    struct conf_yaml *n  = NULL;
    int               rc = skip(r, YAML_STREAM_START_EVENT, "not a configuration", e);

    if (rc == 0) rc = next_event(r, &ev, e);
    if (rc < 0) return rc;
    bool empty = ev.type == YAML_STREAM_END_EVENT; // blanks and comments only
    yaml_event_delete(&ev);
    if (empty) {
        *ret = NULL;
        return 0;
    }
    rc = next_event(r, &ev, e);
    if (rc < 0) return rc;
    rc = read_node(r, &ev, 1, &n, e);
    if (rc == 0 && n->kind != CONF_YAML_MAP && n->kind != CONF_YAML_NULL)
        rc = refuse(r, &ev, "a configuration is a group of keys (name: value)", e);
    yaml_event_delete(&ev);
    if (rc == 0) rc = skip(r, YAML_DOCUMENT_END_EVENT, "a second value", e);
    if (rc == 0) rc = skip(r, YAML_STREAM_END_EVENT, "a second document begins; one is allowed", e);
    if (rc < 0) return rc;
    *ret = n->kind == CONF_YAML_MAP ? n : NULL;
    return 0;
}

int conf_yaml_parse(struct str text, const char *name, struct arena *a, struct conf_yaml **ret, struct err *e)
{
    struct reader r = { .text = text, .name = name, .arena = a };

    if (text.n > LIM_CONF_BYTES)
        return err_set(e, ERR_BAD_CONFIG, "%s: %zu bytes, the limit is %zu", name, text.n, LIM_CONF_BYTES);
    if (!yaml_parser_initialize(&r.p)) return err_nomem(e, "reading a configuration");
    yaml_parser_set_encoding(&r.p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.p, (const unsigned char *)text.p, text.n);
    int rc = read_all(&r, ret, e);
    yaml_parser_delete(&r.p);
    return rc;
}
