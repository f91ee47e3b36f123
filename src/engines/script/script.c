/* script.c - read a script. */
#include "engines/script/script.h"

#include <string.h>

#define STEPS_MAX   100000
#define REPLIES_MAX 1000
#define REPEAT_MAX  100000000
#define WAIT_MS_MAX 600000

struct reader {
    const char    *name;
    int            line;
    struct arena  *a;
    struct script *s;
    int            cap_reply;
    int            cap_step; // of the last reply
};

static int bad(const struct reader *r, struct err *e, const char *what)
{
    return err_set(e, ERR_BAD_FILE, "%s:%d: %s", r->name, r->line, what);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* "..." at the head of *rest, unescaped; *rest moves past it. */
static int take_string(struct reader *r, struct str *rest, struct str *ret, struct err *e)
{
    struct str in  = str_trim(*rest);
    size_t     n   = 0, i = 1;
    char      *out = arena_alloc(r->a, in.n + 1);

    if (!out) return err_nomem(e, "reading a script");
    if (in.n == 0 || in.p[0] != '"') return bad(r, e, "a \"string\" is missing");
    for (; i < in.n && in.p[i] != '"'; i++) {
        char c = in.p[i];
        if (c == '\\' && i + 1 < in.n) {
            c = in.p[++i];
            if (c == 'n') c = '\n';
            else if (c == 't') c = '\t';
            else if (c == 'r') c = '\r';
            else if (c == 'x') {
                if (i + 2 >= in.n || hex(in.p[i + 1]) < 0 || hex(in.p[i + 2]) < 0)
                    return bad(r, e, "\\x needs two hex digits");
                c = (char)(hex(in.p[i + 1]) << 4 | hex(in.p[i + 2]));
                i += 2;
            } else if (c != '"' && c != '\\') {
                return bad(r, e, "unknown escape in a string");
            }
        }
        out[n++] = c;
    }
    if (i >= in.n) return bad(r, e, "the string has no end");
    *ret  = (struct str){ out, n };
    *rest = str_from(in, i + 1);
    return 0;
}

static int take_int(struct reader *r, struct str *rest, int min, int max, int *ret, struct err *e)
{
    struct str in = str_trim(*rest), word = in;
    int64_t    v;
    size_t     blank = str_find_byte(in, ' ');

    if (blank != SIZE_MAX) word = str_sub(in, 0, blank);
    if (!str_to_i64(word, &v) || v < min || v > max)
        return err_set(e, ERR_BAD_FILE, "%s:%d: a number from %d to %d is missing", r->name, r->line,
                       min, max);
    *ret  = (int)v;
    *rest = str_from(in, word.n);
    return 0;
}

static int add_reply(struct reader *r, struct str on, struct err *e)
{
    struct script *s = r->s;

    if (s->n_reply == REPLIES_MAX) return bad(r, e, "too many replies");
    if (s->n_reply == r->cap_reply) {
        int                  cap  = r->cap_reply ? r->cap_reply * 2 : 4;
        struct script_reply *more = arena_array(r->a, (size_t)cap, sizeof *more);
        if (!more) return err_nomem(e, "reading a script");
        if (s->n_reply) memcpy(more, s->reply, sizeof *more * (size_t)s->n_reply);
        s->reply     = more;
        r->cap_reply = cap;
    }
    s->reply[s->n_reply++] = (struct script_reply){ .on = on };
    r->cap_step            = 0;
    return 0;
}

static int add_step(struct reader *r, struct script_step st, struct err *e)
{
    int rc = r->s->n_reply ? 0 : add_reply(r, STR(""), e);
    if (rc < 0) return rc;

    struct script_reply *p = &r->s->reply[r->s->n_reply - 1];
    if (p->n_step == STEPS_MAX) return bad(r, e, "too many steps");
    if (p->n_step == r->cap_step) {
        int                 cap  = r->cap_step ? r->cap_step * 2 : 8;
        struct script_step *more = arena_array(r->a, (size_t)cap, sizeof *more);
        if (!more) return err_nomem(e, "reading a script");
        if (p->n_step) memcpy(more, p->step, sizeof *more * (size_t)p->n_step);
        p->step     = more;
        r->cap_step = cap;
    }
    p->step[p->n_step++] = st;
    return 0;
}

static int set_mode(struct reader *r, struct str *rest, struct err *e)
{
    struct str word = str_trim(*rest);

    r->s->forward = str_eq(word, STR("forward"));
    if (!r->s->forward && !str_eq(word, STR("generate")))
        return bad(r, e, "mode is forward or generate");
    *rest = STR("");
    return 0;
}

static int set_embed(struct reader *r, struct str *rest, struct err *e)
{
    static const char *const names[] = { [ENGINE_POOL_LAST] = "last", [ENGINE_POOL_FIRST] = "first",
                                         [ENGINE_POOL_MEAN] = "mean" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!str_eq(str_trim(*rest), str_c(names[i]))) continue;
        r->s->embed   = true;
        r->s->pooling = (enum engine_pooling)i;
        *rest         = STR("");
        return 0;
    }
    return bad(r, e, "embed is first, last or mean");
}

void script_state(int32_t byte, float *ret)
{
    for (int i = 0; i < SCRIPT_EMBD; i++) ret[i] = byte % SCRIPT_EMBD == i;
}

/* One directive; *rest is what follows its word and must be used up. */
static int directive(struct reader *r, struct str word, struct str *rest, struct err *e)
{
    struct script     *s  = r->s;
    struct script_step st = { .op = SCRIPT_SAY, .n = 1 };
    int                rc;

    if (str_eq(word, STR("mode"))) return set_mode(r, rest, e);
    if (str_eq(word, STR("embed"))) return set_embed(r, rest, e);
    if (str_eq(word, STR("ctx"))) return take_int(r, rest, 16, 1 << 20, &s->n_ctx, e);
    if (str_eq(word, STR("seqs"))) return take_int(r, rest, 1, 1024, &s->n_seq, e);
    if (str_eq(word, STR("batch"))) return take_int(r, rest, 1, 1 << 16, &s->n_batch, e);
    if (str_eq(word, STR("load-wait"))) return take_int(r, rest, 0, WAIT_MS_MAX, &s->load_wait_ms, e);
    if (str_eq(word, STR("prefill-wait")))
        return take_int(r, rest, 0, WAIT_MS_MAX, &s->prefill_wait_ms, e);
    if (str_eq(word, STR("load-fail"))) return take_string(r, rest, &s->load_fail, e);
    if (str_eq(word, STR("on"))) {
        struct str on;
        rc = take_string(r, rest, &on, e);
        return rc < 0 ? rc : add_reply(r, on, e);
    }
    if (str_eq(word, STR("end"))) return 0;
    if (str_eq(word, STR("endless"))) {
        if (s->n_reply == 0 || s->reply[s->n_reply - 1].n_step == 0)
            return bad(r, e, "endless needs an answer before it");
        s->reply[s->n_reply - 1].endless = true;
        return 0;
    }

    if (str_eq(word, STR("say"))) {
        rc = take_string(r, rest, &st.text, e);
    } else if (str_eq(word, STR("repeat"))) {
        rc = take_int(r, rest, 1, REPEAT_MAX, &st.n, e);
        if (rc == 0) rc = take_string(r, rest, &st.text, e);
    } else if (str_eq(word, STR("wait"))) {
        st.op = SCRIPT_WAIT;
        rc    = take_int(r, rest, 0, WAIT_MS_MAX, &st.n, e);
    } else if (str_eq(word, STR("fail"))) {
        st.op = SCRIPT_FAIL;
        rc    = take_string(r, rest, &st.text, e);
    } else if (str_eq(word, STR("crash"))) {
        st.op = SCRIPT_CRASH;
        rc    = 0;
    } else if (str_eq(word, STR("hang"))) {
        st.op = SCRIPT_HANG;
        rc    = 0;
    } else {
        return bad(r, e, "unknown directive");
    }
    if (rc == 0 && st.op == SCRIPT_SAY && st.text.n == 0) rc = bad(r, e, "nothing to say");
    return rc < 0 ? rc : add_step(r, st, e);
}

int script_parse(struct str text, const char *name, struct arena *a, struct script *ret, struct err *e)
{
    struct script s = { .n_ctx = 8192, .n_seq = 8, .n_batch = 512 };
    struct reader r = { .name = name, .a = a, .s = &s };
    struct str    line;

    while (str_cut(&text, '\n', &line)) {
        r.line++;
        line = str_trim(line);
        if (line.n == 0 || line.p[0] == '#') continue;
        size_t     blank = str_find_byte(line, ' ');
        struct str word  = blank == SIZE_MAX ? line : str_sub(line, 0, blank);
        struct str rest  = str_from(line, word.n);
        int        rc    = directive(&r, word, &rest, e);
        if (rc < 0) return rc;
        rest = str_trim(rest);
        if (rest.n && rest.p[0] != '#') return bad(&r, e, "something follows that does not belong there");
    }
    if (s.n_reply == 0) {
        int rc = add_reply(&r, STR(""), e);
        if (rc < 0) return rc;
    }
    *ret = s;
    return 0;
}

const struct script_reply *script_match(const struct script *s, struct str prompt)
{
    const struct script_reply *other = &s->reply[s->n_reply - 1];

    for (int i = 0; i < s->n_reply; i++) {
        if (s->reply[i].on.n == 0) other = &s->reply[i];
        else if (str_find(prompt, s->reply[i].on) != SIZE_MAX) return &s->reply[i];
    }
    return other;
}
