/* cli_io.c - lines in, lines out; complaints; a conversation in memory. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "json/json.h"
#include "prog/cli.h"

#define LINE_BYTES MIB(64)  // LIM_TMPL_OUT_BYTES, each byte as \u00NN, and room
#define OUT_BYTES  MIB(256) // answers to what was read together
#define READ_BYTES KIB(64)
#define TALK_BYTES MIB(256) // texts of one conversation, those forgotten since the last /clear included

/* --- complaints --- */

int cli_failed(const char *command, const struct err *e)
{
    fprintf(stderr, "curlew %s: %s\n", command, e->msg);
    return PROG_FAILED;
}

int cli_usage(const char *command, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "curlew %s: ", command);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "; curlew help %s lists the options\n", command);
    return PROG_USAGE;
}

const char *cli_model(const char *command, const struct settings *s)
{
    if (s->model.n == 1) return s->model.v[0];
    if (s->model.n == 0) cli_usage(command, "no model: name a file with --model FILE");
    else cli_usage(command, "--model: one model is wanted, %d were named", s->model.n);
    return NULL;
}

/* --- lines --- */

int cli_write(struct str s, struct err *e)
{
    while (s.n) {
        ssize_t n = write(STDOUT_FILENO, s.p, s.n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set(e, ERR_IO, "writing the output: %s", err_errno(errno));
        s = str_from(s, (size_t)n);
    }
    return 0;
}

void cli_put_clean(struct buf *b, struct str s)
{
    while (s.n) {
        uint32_t cp  = 0;
        int      len = utf8_decode(s, &cp);
        size_t   n   = (size_t)(len < 0 ? -len : len);
        bool     bad = len < 0 || (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0);
        buf_str(b, bad ? STR("\xef\xbf\xbd") : str_sub(s, 0, n));
        s = str_from(s, n);
    }
}

struct lines {
    cli_line_fn *fn;
    void        *ctx;
    struct buf   in, out;
    size_t       clean; // head of `in` that holds no line end
    bool         skip;  // the rest of a line that was too long
};

static void put_refusal(struct buf *out, const struct err *e)
{
    buf_str(out, STR("{\"error\": "));
    json_put_str(out, str_c(e->msg));
    buf_byte(out, '}');
}

static int flush(struct lines *l, struct err *e)
{
    int rc = l->out.failed ? err_nomem(e, "writing the output") : cli_write(buf_text(&l->out), e);

    buf_clear(&l->out);
    return rc;
}

static int answer(struct lines *l, struct str line, struct err *e)
{
    struct err why  = { 0 };
    size_t     mark = l->out.n;

    if (line.n && line.p[line.n - 1] == '\r') line.n--;
    int rc = l->fn(l->ctx, line, &l->out, &why);
    if (rc == 0 && l->out.failed) rc = err_set(&why, ERR_TOO_LARGE, "the answer is larger than %zu bytes", OUT_BYTES - mark);
    if (rc < 0) {
        l->out.n      = mark;
        l->out.failed = false;
        put_refusal(&l->out, &why);
    }
    buf_byte(&l->out, '\n');
    return l->out.n > MIB(1) || l->out.failed ? flush(l, e) : 0;
}

/* The complete lines of what was read; with `end` also one that lacks its line end. */
static int take(struct lines *l, bool end, struct err *e)
{
    struct str rest = buf_text(&l->in);
    int        rc   = 0;

    while (rc == 0 && rest.n) {
        size_t nl = str_find_byte(str_from(rest, l->clean), '\n');
        if (nl == SIZE_MAX && !end) break;
        size_t     n    = nl == SIZE_MAX ? rest.n : l->clean + nl;
        struct str line = str_sub(rest, 0, n);
        rest            = str_from(rest, n + 1);
        l->clean        = 0;
        if (!l->skip) rc = answer(l, line, e);
        l->skip = false;
    }
    l->clean = rest.n;
    buf_drop(&l->in, l->in.n - rest.n);
    return rc;
}

static int too_long(struct lines *l)
{
    struct err e;

    if (!l->skip) {
        err_set(&e, ERR_TOO_LARGE, "the line is longer than %zu bytes", LINE_BYTES);
        put_refusal(&l->out, &e);
        buf_byte(&l->out, '\n');
    }
    l->skip  = true;
    l->clean = 0;
    buf_clear(&l->in);
    return 0;
}

static int read_more(struct lines *l, bool *end, struct err *e)
{
    char   *p = buf_room(&l->in, READ_BYTES);
    ssize_t n;

    if (!p) return err_nomem(e, "reading the input");
    do n = read(STDIN_FILENO, p, READ_BYTES);
    while (n < 0 && errno == EINTR);
    l->in.n -= READ_BYTES - (n > 0 ? (size_t)n : 0);
    if (n < 0) return err_set(e, ERR_IO, "reading the input: %s", err_errno(errno));
    *end = n == 0;
    return 0;
}

int cli_lines(const char *command, cli_line_fn *fn, void *ctx)
{
    struct lines l = { .fn = fn, .ctx = ctx };
    struct err   e;
    bool         end = false;
    int          rc  = 0;

    if (isatty(STDIN_FILENO)) fprintf(stderr, "curlew %s: reads a JSON object a line; Ctrl-D ends\n", command);
    buf_init(&l.in, LINE_BYTES + READ_BYTES);
    buf_init(&l.out, OUT_BYTES);
    while (rc == 0 && !end) {
        rc = read_more(&l, &end, &e);
        if (rc == 0) rc = take(&l, end, &e);
        if (rc == 0 && l.in.n > LINE_BYTES) rc = too_long(&l);
        if (rc == 0) rc = flush(&l, &e);
    }
    buf_release(&l.in);
    buf_release(&l.out);
    return rc < 0 ? cli_failed(command, &e) : PROG_OK;
}

/* --- conversations --- */

void cli_talk_init(struct cli_talk *t)
{
    *t = (struct cli_talk){ 0 };
    arena_init(&t->arena, TALK_BYTES);
}

void cli_talk_release(struct cli_talk *t)
{
    arena_release(&t->arena);
    mem_free(t->msg);
    *t = (struct cli_talk){ 0 };
}

void cli_talk_clear(struct cli_talk *t)
{
    t->n = 0;
    arena_release(&t->arena);
}

static int set(struct cli_talk *t, struct chat_msg *m, enum chat_role role, struct str text, struct err *e)
{
    struct str copy = arena_str(&t->arena, text);

    if (!copy.p) return err_nomem(e, "remembering the conversation");
    *m = (struct chat_msg){ .role = role, .has_content = true, .content = copy };
    return 0;
}

int cli_talk_add(struct cli_talk *t, enum chat_role role, struct str text, struct err *e)
{
    if (t->n == LIM_MESSAGES)
        return err_set(e, ERR_ARRAY_TOO_LONG, "the conversation has %d messages, the limit", LIM_MESSAGES);
    if (mem_grow(&t->msg, &t->cap, t->n + 1, sizeof *t->msg, LIM_MESSAGES) < 0)
        return err_nomem(e, "remembering the conversation");
    int rc = set(t, &t->msg[t->n], role, text, e);
    if (rc == 0) t->n++;
    return rc;
}

int cli_talk_system(struct cli_talk *t, struct str text, struct err *e)
{
    bool has = t->n && t->msg[0].role == CHAT_SYSTEM;

    if (!text.n) {
        if (has) memmove(t->msg, t->msg + 1, --t->n * sizeof *t->msg);
        return 0;
    }
    if (has) return set(t, &t->msg[0], CHAT_SYSTEM, text, e);
    int rc = cli_talk_add(t, CHAT_SYSTEM, text, e);
    if (rc < 0) return rc;
    struct chat_msg m = t->msg[t->n - 1];
    memmove(t->msg + 1, t->msg, (t->n - 1) * sizeof m);
    t->msg[0] = m;
    return 0;
}
