/* msg_fuzz.c - any bytes as frames between our processes: each reader survives them, and what one
 * accepts comes out the same when it is written and read again. The first byte chooses the reader. */
#include "fuzz.h"

#include <string.h>

#include "base/limits.h"
#include "chat/chat.h"
#include "chat/info.h"
#include "chat/query.h"

static void request(struct str in)
{
    struct arena    a;
    struct chat_req r, again;
    struct buf      one, two;
    struct err      e;

    arena_init(&a, MIB(64));
    buf_init(&one, MIB(64));
    buf_init(&two, MIB(64));
    if (chat_req_unpack(in, &a, &r, &e) == 0) {
        FUZZ_CHECK(r.n_choice >= 1 && r.n_choice <= LIM_CHOICES && r.n_stop <= LIM_STOPS && r.n_max >= -1);
        FUZZ_CHECK(r.params.n_bias <= LIM_LOGIT_BIAS && r.n_top <= LIM_TOP_LOGPROBS);
        chat_req_pack(&one, &r);
        FUZZ_CHECK(!one.failed && chat_req_unpack(buf_text(&one), &a, &again, &e) == 0);
        chat_req_pack(&two, &again);
        FUZZ_CHECK(str_eq(buf_text(&one), buf_text(&two)));
        FUZZ_CHECK(str_eq(buf_text(&one), in)); // there is one way to write a request
    }
    arena_release(&a);
    buf_release(&one);
    buf_release(&two);
}

static void events(struct str in)
{
    struct unpack       u = unpack_init(in);
    struct chat_logprob top[LIM_TOP_LOGPROBS];
    struct chat_event   ev;
    struct buf          b;

    buf_init(&b, MIB(64));
    while (u.n) {
        const unsigned char *from = u.p;
        unpack_u32(&u); // the request's number
        if (!chat_event_unpack(&u, &ev, top, LIM_TOP_LOGPROBS)) break;
        FUZZ_CHECK(ev.choice < LIM_CHOICES && ev.n_top <= LIM_TOP_LOGPROBS);
        buf_clear(&b);
        chat_event_pack(&b, &ev);
        /* all but errors, whose texts are cut to their fields, are written back as they came */
        struct str raw = { (const char *)from + 4, (size_t)(u.p - from) - 4 };
        if (ev.kind != CHAT_EV_ERROR) FUZZ_CHECK(str_eq(buf_text(&b), raw));
    }
    buf_release(&b);
}

static void question(struct str in)
{
    struct arena      a;
    struct chat_query q;
    struct buf        b;
    struct err        e;

    arena_init(&a, MIB(64));
    buf_init(&b, MIB(64));
    if (chat_query_unpack(in, &a, &q, &e) == 0) {
        chat_query_pack(&b, &q);
        FUZZ_CHECK(str_eq(buf_text(&b), in));
    }
    arena_release(&a);
    buf_release(&b);
}

static void answer(struct str in)
{
    struct arena       a;
    struct chat_answer an;
    struct err         e;

    arena_init(&a, MIB(64));
    if (chat_answer_unpack(in, &a, &an, &e) == 0) FUZZ_CHECK(an.n_tok >= 0 && (unsigned)an.err.code < ERR_CODES);
    arena_release(&a);
}

static void info(struct str in)
{
    struct arena     a;
    struct chat_info i;
    struct buf       b;
    struct err       e;

    arena_init(&a, MIB(1));
    buf_init(&b, MIB(1));
    if (chat_info_unpack(in, &a, &i, &e) == 0) {
        chat_info_pack(&b, &i);
        FUZZ_CHECK(str_eq(buf_text(&b), in));
    }
    arena_release(&a);
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const reader[])(struct str) = { request, events, question, answer, info };

    if (size == 0) return 0;
    /* a copy of its own size, so that a read past its end shows */
    struct buf b;
    buf_init(&b, size);
    buf_put(&b, data + 1, size - 1);
    reader[data[0] % (sizeof reader / sizeof reader[0])](buf_text(&b));
    buf_release(&b);
    return 0;
}
