/* axera_script.c - a bounded reader of the part of the shell's language that run scripts use. */
#include "engines/axera/axera_script.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"

struct var {
    struct str name, value;
    bool       exported;
};

struct reader {
    const char   *name;
    struct arena *a;
    struct str    rest;
    int           line;
    struct var    var[AXERA_VARS];
    int           n_var;
    struct buf    word;

    /* the command being read */
    const char *cmd[AXERA_WORDS];
    int         n_cmd, cmd_line;
    int         odd_line; // of a word that only a shell could work out; 0: none
};

static int bad(const struct reader *r, int line, struct err *e, const char *what)
{
    return err_set(e, ERR_BAD_FILE, "%s:%d: %s", r->name, line, what);
}

bool axera_is_runner(struct str name)
{
    return str_starts(name, STR("main")) || str_starts(name, STR("axllm"));
}

static struct str base_name(struct str path)
{
    for (size_t at; (at = str_find_byte(path, '/')) != SIZE_MAX && at + 1 < path.n;) path = str_from(path, at + 1);
    return path;
}

static bool is_name(char c, bool first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!first && c >= '0' && c <= '9');
}

/* Length of the NAME in "NAME=...", or 0. */
static size_t assignment(struct str s)
{
    size_t n = 0;

    while (n < s.n && is_name(s.p[n], n == 0)) n++;
    return n && n < s.n && s.p[n] == '=' ? n : 0;
}

static struct var *find(struct reader *r, struct str name)
{
    for (int i = 0; i < r->n_var; i++)
        if (str_eq(r->var[i].name, name)) return &r->var[i];
    return NULL;
}

static int assign(struct reader *r, struct str word, bool exported, struct err *e)
{
    size_t      n    = assignment(word);
    struct str  name = n ? str_sub(word, 0, n) : word;
    struct var *v    = find(r, name);

    if (!v && r->n_var == AXERA_VARS) return bad(r, r->line, e, "more than 64 variables");
    if (!v) {
        v  = &r->var[r->n_var++];
        *v = (struct var){ .name = name, .value = STR("") };
    }
    if (n) v->value = str_from(word, n + 1);
    v->exported |= exported;
    return 0;
}

/* --- words --- */

static char peek(const struct reader *r, size_t at)
{
    return at < r->rest.n ? r->rest.p[at] : '\0';
}

static void skip(struct reader *r, size_t n)
{
    for (size_t i = 0; i < n && i < r->rest.n; i++) r->line += r->rest.p[i] == '\n';
    r->rest = str_from(r->rest, n);
}

/* $NAME, ${NAME}, $1, $@ ... at the head of rest. */
static void expand(struct reader *r)
{
    bool   brace = peek(r, 1) == '{';
    size_t from  = brace ? 2 : 1, n = 0;
    char   c     = peek(r, from);

    if (c && strchr("0123456789@*#?!$-", c)) n = 1; // parameters: none are given
    else
        while (is_name(peek(r, from + n), n == 0)) n++;
    if (n == 0 || (brace && peek(r, from + n) != '}')) { // $(...), ${x:-y}, a lone $
        if (brace || c == '(') r->odd_line = r->line;
        else buf_byte(&r->word, '$');
        skip(r, 1);
        return;
    }
    const struct var *v = find(r, str_sub(r->rest, from, n));
    if (v) buf_str(&r->word, v->value);
    skip(r, from + n + brace);
}

/* "..." or '...' at the head of rest. */
static int quoted(struct reader *r, struct err *e)
{
    char q    = peek(r, 0);
    int  line = r->line;

    skip(r, 1);
    while (r->rest.n && peek(r, 0) != q) {
        char c = peek(r, 0);
        if (q == '"' && c == '$') {
            expand(r);
            continue;
        }
        if (q == '"' && c == '`') r->odd_line = r->line;
        if (q == '"' && c == '\\' && peek(r, 1) && strchr("\"\\$`\n", peek(r, 1))) {
            if (peek(r, 1) != '\n') buf_byte(&r->word, peek(r, 1));
            skip(r, 2);
            continue;
        }
        buf_byte(&r->word, c);
        skip(r, 1);
    }
    if (!r->rest.n) return bad(r, line, e, "a quote has no end");
    skip(r, 1);
    return 0;
}

/* A word into r->word; *any: there is one, if only "". Stops at blanks and at what ends a command. */
static int read_word(struct reader *r, bool *any, struct err *e)
{
    *any = false;
    buf_clear(&r->word);
    while (r->rest.n) {
        char c = peek(r, 0);
        if (c == '\\' && peek(r, 1) == '\n') {
            skip(r, 2);
            if (*any) continue;
            break;
        }
        if (strchr(" \t\r\n;&|()<>", c)) break;
        *any = true;
        if (c == '"' || c == '\'') {
            int rc = quoted(r, e);
            if (rc < 0) return rc;
        } else if (c == '$') {
            expand(r);
        } else {
            if (c == '`') r->odd_line = r->line;
            if (c == '\\') skip(r, 1);
            buf_byte(&r->word, peek(r, 0));
            skip(r, 1);
        }
    }
    return r->word.failed ? bad(r, r->line, e, "a word of more than 4096 bytes") : 0;
}

/* --- commands --- */

static bool is_prefix(struct str w)
{
    static const char *const words[] = { "exec", "nohup", "sudo", "time", "env", "then", "do", "else", "{", "!" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(w, str_c(words[i]))) return true;
    return false;
}

/* A command has been read. 1: it is the one; its words are r->cmd + *first. */
static int end_command(struct reader *r, int *first, struct err *e)
{
    bool export = r->n_cmd && !strcmp(r->cmd[0], "export");
    int  i      = export, rc = 0;

    while (i < r->n_cmd && (is_prefix(str_c(r->cmd[i])) || assignment(str_c(r->cmd[i])))) i++;
    if (export || i == r->n_cmd) { // assignments alone
        for (int k = export; rc == 0 && k < r->n_cmd; k++)
            if (assignment(str_c(r->cmd[k])) || export) rc = assign(r, str_c(r->cmd[k]), export, e);
        return rc;
    }
    if (!axera_is_runner(base_name(str_c(r->cmd[i])))) return 0;
    for (int k = 0; rc == 0 && k < i; k++)
        if (assignment(str_c(r->cmd[k]))) rc = assign(r, str_c(r->cmd[k]), true, e);
    *first = i;
    return rc < 0 ? rc : 1;
}

static int put_word(struct reader *r, struct err *e)
{
    if (r->n_cmd == AXERA_WORDS) return bad(r, r->line, e, "a command of more than 256 words");
    if (r->n_cmd == 0) r->cmd_line = r->line;
    struct str w = arena_str(r->a, buf_text(&r->word));
    if (!w.p) return err_nomem(e, "reading a run script");
    r->cmd[r->n_cmd++] = w.p;
    return 0;
}

/* A redirection at the head of rest: skipped, with its target. */
static int redirect(struct reader *r, struct err *e)
{
    bool any;

    while (peek(r, 0) && strchr("<>&", peek(r, 0))) skip(r, 1);
    while (peek(r, 0) == ' ' || peek(r, 0) == '\t') skip(r, 1);
    return read_word(r, &any, e);
}

static int next_command(struct reader *r, struct err *e)
{
    bool any;

    r->n_cmd    = 0;
    r->odd_line = 0;
    while (r->rest.n) {
        char c = peek(r, 0);
        int  rc;
        if (c == '\n' || c == ';' || c == '|' || c == '(' || c == ')' || (c == '&' && peek(r, 1) != '>')) {
            skip(r, 1);
            return 0;
        }
        if (c == '#') {
            while (r->rest.n && peek(r, 0) != '\n') skip(r, 1);
        } else if (c == '<' || c == '>' || c == '&') {
            rc = redirect(r, e);
            if (rc < 0) return rc;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            skip(r, 1);
        } else {
            rc = read_word(r, &any, e);
            bool number = any && r->word.n == 1 && r->word.p[0] >= '0' && r->word.p[0] <= '9';
            if (rc == 0 && any && !(number && peek(r, 0) == '>')) rc = put_word(r, e); // not the 2 of 2>file
            if (rc < 0) return rc;
        }
    }
    return 0;
}

static int take(struct reader *r, int first, struct axera_script *ret, struct err *e)
{
    struct axera_script s = { .line = r->cmd_line, .n_word = r->n_cmd - first };

    s.word = arena_array(r->a, (size_t)s.n_word, sizeof *s.word);
    s.env  = arena_array(r->a, AXERA_VARS, sizeof *s.env);
    if (!s.word || !s.env) return err_nomem(e, "reading a run script");
    memcpy(s.word, r->cmd + first, sizeof *s.word * (size_t)s.n_word);
    for (int i = 0; i < r->n_var; i++) {
        const struct var *v = &r->var[i];
        if (!v->exported) continue;
        s.env[s.n_env] = arena_printf(r->a, STR_FMT "=" STR_FMT, STR_ARG(v->name), STR_ARG(v->value)).p;
        if (!s.env[s.n_env++]) return err_nomem(e, "reading a run script");
    }
    *ret = s;
    return 0;
}

int axera_script_parse(struct str text, const char *name, struct arena *a, struct axera_script *ret, struct err *e)
{
    struct reader r = { .name = name, .a = a, .rest = text, .line = 1 };
    int           rc = 0, first = 0;

    if (str_find_byte(text, '\0') != SIZE_MAX) return err_set(e, ERR_BAD_FILE, "%s: a NUL byte; is it a script?", name);
    buf_init(&r.word, AXERA_WORD_BYTES);
    while (rc == 0 && r.rest.n) {
        rc = next_command(&r, e);
        if (rc == 0 && r.n_cmd) rc = end_command(&r, &first, e);
    }
    if (rc == 1 && r.odd_line)
        rc = bad(&r, r.odd_line, e, "only a shell could work this word out; write its value into the script");
    else if (rc == 1) rc = take(&r, first, ret, e);
    else if (rc == 0) rc = bad(&r, r.line, e, "no command here starts a runner (main..., axllm)");
    buf_release(&r.word);
    return rc;
}
