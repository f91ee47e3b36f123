/* cli_tokenize.c - `curlew tokenize`: text to ids and back, for programs and for people. */
#include "base/limits.h"
#include "base/utf8.h"
#include "json/json.h"
#include "prog/cli.h"

#define COMMAND "tokenize"

static void put_ids(struct buf *out, const struct ids *ids)
{
    buf_str(out, STR("{\"ids\": ["));
    for (size_t i = 0; i < ids->n; i++) {
        if (i) buf_str(out, STR(", "));
        buf_i64(out, ids->id[i]);
    }
    buf_str(out, STR("]}"));
}

/* A member that is a boolean or absent (false). */
static int get_bool(const struct json *line, const char *key, bool absent, bool *ret, struct err *e)
{
    const struct json *v = json_get(line, key);

    if (v && json_kind(v) != JSON_T_BOOL && json_kind(v) != JSON_T_NULL)
        return err_set(e, ERR_INVALID_TYPE, "%s is %s, true or false is wanted", key, json_kind_name(json_kind(v)));
    *ret = json_kind(v) == JSON_T_BOOL ? json_bool(v) : absent;
    return 0;
}

static int encode(const struct tok *t, const struct json *line, struct ids *ids, struct err *e)
{
    const struct json *text = json_get(line, "text");
    bool               add = false, parse = false;

    if (json_kind(text) != JSON_T_STR)
        return err_set(e, text ? ERR_INVALID_TYPE : ERR_MISSING_PARAM, "a line needs \"text\", a string");
    int rc = get_bool(line, "add_special", false, &add, e);
    if (rc == 0) rc = get_bool(line, "parse_special", false, &parse, e);
    if (rc < 0) return rc;
    return tok_encode(t, json_str(text), (add ? TOK_ADD_SPECIAL : 0u) | (parse ? TOK_PARSE_SPECIAL : 0u), ids, e);
}

static int encode_line(void *ctx, struct str line, struct buf *out, struct err *e)
{
    const struct cli_vocab *v = ctx;
    struct json_doc        *doc;
    struct ids              ids;
    int                     rc = json_parse(line, NULL, &doc, e);

    if (rc < 0) return rc;
    ids_init(&ids, LIM_PROMPT_BYTES);
    rc = encode(v->tok, json_root(doc), &ids, e);
    if (rc == 0) put_ids(out, &ids);
    ids_release(&ids);
    json_free(doc);
    return rc;
}

/* --- from ids --- */

static int add_id(const struct tok *t, struct ids *ids, int64_t id, struct err *e)
{
    if (id < 0 || id >= tok_n(t))
        return err_set(e, ERR_INVALID_VALUE, "ids[%zu] is %lld, the vocabulary has 0 to %d", ids->n, (long long)id,
                       tok_n(t) - 1);
    ids_put(ids, (int32_t)id);
    return ids->failed ? err_nomem(e, "reading ids") : 0;
}

static int decode(const struct tok *t, const struct json *line, struct ids *ids, struct buf *text, struct err *e)
{
    const struct json *list = json_get(line, "ids");
    bool               special = true;
    int                rc      = get_bool(line, "special", true, &special, e);

    if (rc == 0 && json_kind(list) != JSON_T_ARR)
        rc = err_set(e, list ? ERR_INVALID_TYPE : ERR_MISSING_PARAM, "a line needs \"ids\", an array of integers");
    for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
        int64_t id;
        if (json_whole(json_at(list, i), &id)) rc = add_id(t, ids, id, e);
        else
            rc = err_set(e, ERR_INVALID_TYPE, "ids[%zu] is %s, an integer is wanted", i,
                         json_kind_name(json_kind(json_at(list, i))));
    }
    return rc < 0 ? rc : tok_decode(t, ids->id, ids->n, special, text, e);
}

static int decode_line(void *ctx, struct str line, struct buf *out, struct err *e)
{
    const struct cli_vocab *v = ctx;
    struct json_doc        *doc;
    struct ids              ids;
    struct buf              text;
    int                     rc = json_parse(line, NULL, &doc, e);

    if (rc < 0) return rc;
    ids_init(&ids, LIM_JSON_VALUES);
    buf_init(&text, MIB(64));
    rc = decode(v->tok, json_root(doc), &ids, &text, e);
    if (rc == 0 && text.failed) rc = err_set(e, ERR_TOO_LARGE, "the text is larger than %zu bytes", text.max);
    if (rc == 0) {
        buf_str(out, STR("{\"text\": "));
        json_put_str(out, buf_text(&text));
        buf_byte(out, '}');
    }
    buf_release(&text);
    ids_release(&ids);
    json_free(doc);
    return rc;
}

/* --- for people --- */

static void put_piece(struct buf *b, const struct tok *t, int32_t id)
{
    struct str s = tok_bytes(t, id, true);

    buf_printf(b, "%8d  ", id);
    if (utf8_valid(s)) {
        json_put_str(b, s);
    } else { // part of a character
        for (size_t i = 0; i < s.n; i++) buf_printf(b, "%s%02X", i ? " " : "bytes ", (unsigned)(unsigned char)s.p[i]);
    }
    buf_byte(b, '\n');
}

static int show_text(const struct tok *t, struct str text, bool special, struct buf *out, struct err *e)
{
    struct ids ids;

    ids_init(&ids, LIM_PROMPT_BYTES);
    int rc = tok_encode(t, text, special ? TOK_ADD_SPECIAL | TOK_PARSE_SPECIAL : 0, &ids, e);
    for (size_t i = 0; rc == 0 && i < ids.n; i++) put_piece(out, t, ids.id[i]);
    if (rc == 0) buf_printf(out, "%zu bytes, %zu tokens of %s\n", text.n, ids.n, tok_kind(t));
    ids_release(&ids);
    return rc;
}

static int show_ids(const struct tok *t, struct str list, struct buf *out, struct err *e)
{
    struct ids ids;
    int        rc = 0;
    char       q[LIM_QUOTE_BYTES];

    ids_init(&ids, LIM_PROMPT_BYTES);
    for (size_t i = 0; rc == 0 && i < list.n;) {
        size_t  from = i;
        int64_t id;
        while (i < list.n && !str_starts(str_from(list, i), STR(" ")) && !str_starts(str_from(list, i), STR(","))) i++;
        struct str word = str_sub(list, from, i++ - from);
        if (!word.n) continue;
        if (str_to_i64(word, &id)) rc = add_id(t, &ids, id, e);
        else rc = err_set(e, ERR_INVALID_VALUE, "\"%s\" is not a token id", str_quote(q, sizeof q, word));
    }
    if (rc == 0) rc = tok_decode(t, ids.id, ids.n, true, out, e);
    if (rc == 0) buf_byte(out, '\n');
    ids_release(&ids);
    return rc;
}

/* TEXT of the command line. */
static int once(const struct settings *s, const struct tok *t)
{
    struct buf out;
    struct err e;
    struct str arg = str_c(s->arg.v[0]);

    buf_init(&out, MIB(256));
    int rc = s->decode ? show_ids(t, arg, &out, &e) : show_text(t, arg, s->special, &out, &e);
    if (rc == 0 && out.failed) rc = err_nomem(&e, "writing the output");
    if (rc == 0) rc = cli_write(buf_text(&out), &e);
    buf_release(&out);
    return rc < 0 ? cli_failed(COMMAND, &e) : PROG_OK;
}

int cli_tokenize(const struct settings *s)
{
    struct cli_vocab v;
    struct err       e;
    const char      *path = cli_model(COMMAND, s);

    if (!path) return PROG_USAGE;
    if (cli_vocab_open(path, false, &v, &e) < 0) return cli_failed(COMMAND, &e);
    int status = s->arg.n ? once(s, v.tok) : cli_lines(COMMAND, s->decode ? decode_line : encode_line, &v);
    cli_vocab_close(&v);
    return status;
}
