/* axera_opt.c - the table of --child's keys. */
#include "engines/axera/axera_opt.h"

#include <stddef.h>
#include <string.h>

enum type { TEXT, NUMBER, WORDS, ENV, ARG };

static const struct row {
    const char *key;
    enum type   type;
    size_t      offset;
    int64_t     min, max, def;
    const char *words; // in the order of their numbers, '|' between
} rows[] = {
    { "kind", WORDS, offsetof(struct axera_opts, kind), 0, 0, 0, "auto|main|ctx|api|axllm" },
    { "program", TEXT, offsetof(struct axera_opts, program), 0, 0, 0, NULL },
    { "tokenizer", TEXT, offsetof(struct axera_opts, tokenizer), 0, 0, 0, NULL },
    { "model", TEXT, offsetof(struct axera_opts, model), 0, 0, 0, NULL },
    { "env", ENV, 0, 0, 0, 0, NULL },
    { "arg", ARG, 0, 0, 0, 0, NULL },
    { "port", NUMBER, offsetof(struct axera_opts, port), 0, 65535, 0, NULL },
    { "http-port", NUMBER, offsetof(struct axera_opts, http_port), 0, 65535, 0, NULL },
    { "start-s", NUMBER, offsetof(struct axera_opts, start_s), 0, 86400, 0, NULL },
    { "stall-s", NUMBER, offsetof(struct axera_opts, stall_s), 1, 86400, 60, NULL },
    { "cancel-s", NUMBER, offsetof(struct axera_opts, cancel_s), 1, 3600, 5, NULL },
    { "health-s", NUMBER, offsetof(struct axera_opts, health_s), 1, 3600, 10, NULL },
    { "ctx", NUMBER, offsetof(struct axera_opts, ctx), 0, 1 << 24, 0, NULL },
    { "prompt", NUMBER, offsetof(struct axera_opts, prompt), 0, 1 << 24, 0, NULL },
    { "history", WORDS, offsetof(struct axera_opts, history), 0, 0, 0, "reset|extend" },
    { "reset-ids", WORDS, offsetof(struct axera_opts, reset_ids), 0, 0, 0, "none|first" },
    { "messages", WORDS, offsetof(struct axera_opts, messages), 0, 0, 0, "array|object" },
    { "api", WORDS, offsetof(struct axera_opts, api), 0, 0, 0, "auto|generate|openai" },
    { "sampling", WORDS, offsetof(struct axera_opts, sampling), 0, 0, 0, "refuse|ignore" },
    { "send", WORDS, offsetof(struct axera_opts, send), 0, 0, 0, "ticket|text" },
    { "uid-error", NUMBER, offsetof(struct axera_opts, old_uid_error), 200, 400, 400, NULL },
};

const char *axera_kind_name(int kind)
{
    static const char *const names[] = { "auto", "main", "ctx", "api", "axllm", "nw1" };

    return kind >= 0 && (size_t)kind < ARRAY_LEN(names) ? names[kind] : "?";
}

static int word_index(const char *words, struct str w)
{
    struct str rest = str_c(words), item;

    for (int i = 0; str_cut(&rest, '|', &item); i++)
        if (str_eq(item, w)) return i;
    return -1;
}

static int set(struct axera_opts *o, const struct row *r, const char *value, struct err *e)
{
    char   *at = (char *)o + r->offset;
    int64_t n;
    int     i;

    switch (r->type) {
    case TEXT: *(const char **)(void *)at = value; return 0;
    case ENV:
        if (o->n_env == AXERA_ENV_MAX || !strchr(value, '=') || value[0] == '=')
            return err_set(e, ERR_BAD_CONFIG, "--child env=%.60s: NAME=VALUE is wanted, at most %d times", value,
                           AXERA_ENV_MAX);
        o->env[o->n_env++] = value;
        return 0;
    case ARG:
        if (o->n_arg == AXERA_ENV_MAX)
            return err_set(e, ERR_BAD_CONFIG, "--child arg: more than %d", AXERA_ENV_MAX);
        o->arg[o->n_arg++] = value;
        return 0;
    case NUMBER:
        if (!str_to_i64(str_c(value), &n) || n < r->min || n > r->max)
            return err_set(e, ERR_BAD_CONFIG, "--child %s=%.60s: a number from %lld to %lld is wanted", r->key, value,
                           (long long)r->min, (long long)r->max);
        if (r->offset == offsetof(struct axera_opts, old_uid_error)) o->old_uid_error = n == 200;
        else *(int64_t *)(void *)at = n;
        return 0;
    case WORDS:
        i = word_index(r->words, str_c(value));
        if (i < 0)
            return err_set(e, ERR_BAD_CONFIG, "--child %s=%.60s: one of %s is wanted", r->key, value, r->words);
        *(int *)(void *)at = i;
        return 0;
    }
    return 0;
}

int axera_opts_parse(const char *const *word, int n, struct axera_opts *ret, struct err *e)
{
    struct axera_opts o = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].type == NUMBER && rows[i].offset != offsetof(struct axera_opts, old_uid_error))
            *(int64_t *)(void *)((char *)&o + rows[i].offset) = rows[i].def;
    for (int i = 0; i < n; i++) {
        const char *eq = strchr(word[i], '=');
        size_t      k  = 0;
        while (k < ARRAY_LEN(rows) &&
               !(eq && str_eq(str_c(rows[k].key), (struct str){ word[i], (size_t)(eq - word[i]) })))
            k++;
        if (k == ARRAY_LEN(rows))
            return err_set(e, ERR_BAD_CONFIG, "--child %.60s: KEY=VALUE with a known key is wanted; docs/npu-axera.md "
                           "lists them", word[i]);
        int rc = set(&o, &rows[k], eq + 1, e);
        if (rc < 0) return rc;
    }
    *ret = o;
    return 0;
}
