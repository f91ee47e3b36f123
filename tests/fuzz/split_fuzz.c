/* split_fuzz.c - any text as a model's output, in any format.
 *
 * The first line names the format (any other line picks one by its bytes), its last byte the
 * settings; the rest is the output. However it is cut, the same comes out; arguments are JSON when
 * the model ended them itself; nothing comes out that did not go in.
 */
#include "fuzz.h"

#include <string.h>

#include "../unit/json_syntax.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/rng.h"
#include "chat/split.h"
#include "chat/stop.h"

#define TEXT_MAX KIB(64)

struct got {
    struct buf text, think, calls, args;
    int        n_call;
    bool       whole;
};

static void call_over(struct got *g)
{
    if (g->n_call > 0 && g->whole) FUZZ_CHECK(json_syntax_ok(buf_text(&g->args)));
    buf_clear(&g->args);
}

static void take(void *ctx, const struct chat_event *ev)
{
    struct got *g = ctx;

    FUZZ_CHECK(ev->text.n > 0);
    switch (ev->kind) {
    case CHAT_EV_TEXT:
        buf_str(&g->text, ev->text);
        return;
    case CHAT_EV_REASONING:
        buf_str(&g->think, ev->text);
        return;
    case CHAT_EV_CALL:
        call_over(g);
        FUZZ_CHECK(ev->index == g->n_call && ev->id.n > 0);
        g->n_call++;
        buf_printf(&g->calls, "\n%d " STR_FMT " " STR_FMT " ", ev->index, STR_ARG(ev->id), STR_ARG(ev->text));
        return;
    case CHAT_EV_ARGS:
        FUZZ_CHECK(ev->index == g->n_call - 1);
        buf_str(&g->args, ev->text);
        buf_str(&g->calls, ev->text);
        return;
    case CHAT_EV_START:
    case CHAT_EV_VECTOR:
    case CHAT_EV_LOGPROB:
    case CHAT_EV_FINISH:
    case CHAT_EV_END:
    case CHAT_EV_ERROR:
        FUZZ_CHECK(false);
    }
}

/* piece: 0 random lengths */
static void run(const struct split_conf *c, struct str text, size_t piece, bool cut, struct got *g)
{
    struct split *s;
    struct err    e;
    struct rng    r;

    memset(g, 0, sizeof *g);
    g->whole = !cut;
    buf_init(&g->text, MIB(4));
    buf_init(&g->think, MIB(4));
    buf_init(&g->calls, MIB(4));
    buf_init(&g->args, MIB(4));
    rng_seed(&r, text.n);
    FUZZ_CHECK(split_new(c, &s, &e) == 0);
    for (size_t at = 0; at < text.n;) {
        size_t n = piece ? piece : rng_below(&r, 12);
        FUZZ_CHECK(split_put(s, str_sub(text, at, n), take, g, &e) == 0);
        at += n;
    }
    FUZZ_CHECK(split_end(s, cut, take, g, &e) == 0);
    FUZZ_CHECK(split_calls(s) == g->n_call && (c->parallel || g->n_call <= 1));
    call_over(g);
    FUZZ_CHECK(!g->text.failed && !g->think.failed && !g->calls.failed);
    split_free(s);
}

static void release(struct got *g)
{
    buf_release(&g->text);
    buf_release(&g->think);
    buf_release(&g->calls);
    buf_release(&g->args);
}

/* part is text with bytes left out. */
static bool left_out(struct str part, struct str text)
{
    size_t k = 0;

    for (size_t i = 0; i < text.n && k < part.n; i++) k += text.p[i] == part.p[k];
    return k == part.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct chat_tool tools[] = {
        { .name = { "f", 1 },
          .parameters = STR("{\"properties\":{\"a\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"b\":{\"anyOf\":"
                            "[{\"type\":\"boolean\"},{\"type\":\"null\"}]},\"o\":{\"$ref\":\"#/properties/o\"}}}") },
        { .name = { "now", 3 } },
    };
    struct str        text = { (const char *)data, size }, head;
    struct split_conf c;
    struct got        a, b;

    if (size > TEXT_MAX || !str_cut(&text, '\n', &head)) return 0;
    unsigned flags = head.n ? (unsigned char)head.p[head.n - 1] : 0;
    split_conf_init(&c);
    if (!split_form_by_name(head, &c.form)) {
        size_t n = 0, pick = 0;
        while (split_form_list(n)) n++;
        for (size_t i = 0; i < head.n; i++) pick += (unsigned char)head.p[i];
        FUZZ_CHECK(split_form_by_name(str_c(split_form_list(pick % n)), &c.form));
        c.parallel = flags & 1;
        c.calls = flags & 2;
        c.reasoning = flags & 4;
        c.turn_marks = flags & 8;
        if (flags & 16) c.prompt = STR("<think>\n");
        if (flags & 32) c.form = split_detect(text);
    }
    if (text.n % 2) {
        c.tool = tools;
        c.n_tool = 2;
    }
    for (int cut = 0; cut < 2; cut++) {
        run(&c, text, size, cut, &a);
        FUZZ_CHECK(left_out(buf_text(&a.text), text) && left_out(buf_text(&a.think), text));
        for (size_t piece = 0; piece < 3; piece++) {
            run(&c, text, piece, cut, &b);
            FUZZ_CHECK(str_eq(buf_text(&a.text), buf_text(&b.text)));
            FUZZ_CHECK(str_eq(buf_text(&a.think), buf_text(&b.think)));
            FUZZ_CHECK(str_eq(buf_text(&a.calls), buf_text(&b.calls)));
            release(&b);
        }
        release(&a);
    }
    return 0;
}
