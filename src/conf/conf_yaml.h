/* conf_yaml.h - the text of a configuration file as a tree that knows where each part stands.
 *
 * The YAML that configurations are written in: maps, lists and scalars. Anchors, aliases, tags, a second
 * document, keys that are no plain text and keys given twice are refused. Line and column count from 1, columns
 * in characters. */
#ifndef CURLEW_CONF_CONF_YAML_H
#define CURLEW_CONF_CONF_YAML_H

#include "base/arena.h"
#include "base/err.h"

enum conf_yaml_kind { CONF_YAML_NULL, CONF_YAML_TEXT, CONF_YAML_LIST, CONF_YAML_MAP };

struct conf_yaml {
    enum conf_yaml_kind kind;
    int                 line, col;
    struct str          text;              // TEXT: NUL-terminated
    struct str          key;               // of a member of a map, NUL-terminated
    int                 key_line, key_col;
    struct conf_yaml   *child;             // first element or member of LIST and MAP
    struct conf_yaml   *next;
    int                 n_child;
};

/* Parse text; `name` is the file's for messages ("NAME:LINE:COLUMN: ..."). The tree and its texts are in `a`.
 * *ret is a MAP, or NULL when the text holds nothing. Errors: BAD_CONFIG, NO_MEMORY. */
NODISCARD int conf_yaml_parse(struct str text, const char *name, struct arena *a, struct conf_yaml **ret,
                              struct err *e);

const char *conf_yaml_kind_name(enum conf_yaml_kind k); // "a list", ... for messages

#endif
