/* chat_test.c - requests, events, questions and descriptions on the channel: what goes in comes out,
 * and a frame cut or bent anywhere is refused. */
#include "unit.h"

#include "base/limits.h"
#include "base/rng.h"
#include "chat/chat.h"
#include "chat/info.h"
#include "chat/query.h"

static struct chat_req sample_req(void)
{
    static const struct chat_call call[]   = { { STR("id"), STR("f"), STR("{\"a\":1}") } };
    static const struct str       part[]   = { STR("Hel"), STR("lo") };
    static const struct chat_msg  msg[]    = {
        { .role = CHAT_SYSTEM, .has_content = true, .content = STR("be\0brief") },
        { .role = CHAT_USER, .has_content = true, .content = STR("Hello"), .part = part, .n_part = 2 },
        { .role = CHAT_ASSISTANT, .content = STR(""), .reasoning = STR("hm"), .call = call, .n_call = 1 },
        { .role = CHAT_TOOL, .has_content = true, .content = STR("7"), .call_id = STR("id"), .name = STR("f") },
    };
    static const struct chat_tool tool[]   = { { STR("{}"), STR("f"), STR("{\"type\":\"object\"}"), true, true } };
    static const struct str       stop[]   = { STR("x"), STR("\n\n") };
    static const struct chat_bias bias[]   = { { 5, -100 }, { 6, 1.5f } };
    static const int32_t          prompt[] = { 1, 2, 300000 };
    static const struct chat_file extra[]  = { { STR("a.c"), STR("int a;") } };
    struct chat_req               r;

    chat_req_init(&r);
    r.msg = msg, r.n_msg = ARRAY_LEN(msg);
    r.tool = tool, r.n_tool = 1;
    r.choice = CHAT_CHOICE_NAMED, r.choice_name = STR("f");
    r.parallel_calls = false;
    r.template_kwargs = STR("{\"k\":true}"), r.effort = STR("low");
    r.documents = STR("[{}]"), r.add_prompt = false, r.continue_final = true;
    r.prompt = STR(""), r.prompt_tok = prompt, r.n_prompt_tok = 3;
    r.params.temperature = 0.25f, r.params.top_k = 40, r.params.seed = UINT64_MAX, r.params.has_seed = true;
    r.params.bias = bias, r.params.n_bias = 2;
    r.params.order[0] = CHAT_SAMPLER_TEMPERATURE, r.params.n_order = 1;
    r.n_choice = 3, r.n_max = 77, r.stop = stop, r.n_stop = 2;
    r.logprobs = true, r.n_top = 4;
    r.fill = true, r.suffix = STR(" end"), r.extra = extra, r.n_extra = 1;
    r.keep_stop = true, r.n_min = 3, r.stop_tok = prompt, r.n_stop_tok = 2;
    r.breaker = stop, r.n_breaker = 2, r.own_breakers = true;
    r.cache_key = STR("key"), r.cache_salt = STR("salt"), r.client = 1ull << 63;
    r.context_shift = CHAT_SHIFT_ON, r.n_keep = -1;
    r.format = CHAT_FORMAT_REGEX, r.schema = STR("a+"), r.format_field = STR("guided_regex");
    return r;
}

static void request_round_trip(void **state)
{
    (void)state;
    struct chat_req r = sample_req(), got;
    struct arena    a;
    struct buf      b, again;
    struct err      e;

    arena_init(&a, MIB(1));
    buf_init(&b, MIB(1));
    buf_init(&again, MIB(1));
    chat_req_pack(&b, &r);
    assert_ok(chat_req_unpack(buf_text(&b), &a, &got, &e));
    assert_int_equal(got.n_msg, 4);
    assert_int_equal(got.msg[0].content.n, 8); // NUL inside
    assert_str(got.msg[1].part[1], "lo");
    assert_str(got.msg[2].reasoning, "hm");
    assert_false(got.msg[2].has_content);
    assert_str(got.msg[2].call[0].args, "{\"a\":1}");
    assert_null(got.msg[0].name.p); // absent stays absent, empty stays empty
    assert_non_null(got.prompt.p);
    assert_int_equal(got.prompt_tok[2], 300000);
    assert_str(got.schema, "a+");
    assert_str(got.format_field, "guided_regex");
    assert_true(got.format == CHAT_FORMAT_REGEX && got.tool[0].barred);
    assert_true(got.tool[0].strict && !got.parallel_calls && got.params.has_seed);
    assert_true(got.params.seed == UINT64_MAX && got.params.bias[1].bias == 1.5f);
    assert_str(got.stop[1], "\n\n");
    assert_str(got.documents, "[{}]");
    assert_true(!got.add_prompt && got.continue_final);
    assert_str(got.extra[0].text, "int a;");
    assert_true(got.fill && got.keep_stop && got.own_breakers && got.n_min == 3 && got.stop_tok[1] == 2);
    assert_str(got.cache_key, "key");
    assert_str(got.cache_salt, "salt");
    assert_true(got.client == 1ull << 63 && got.context_shift == CHAT_SHIFT_ON && got.n_keep == -1);
    chat_req_pack(&again, &got);
    assert_true(str_eq(buf_text(&b), buf_text(&again)));

    for (size_t n = 0; n < b.n; n++) // cut anywhere
        assert_err(chat_req_unpack((struct str){ b.p, n }, &a, &got, &e), ERR_PROTOCOL, "malformed");
    buf_byte(&b, 0);
    assert_err(chat_req_unpack(buf_text(&b), &a, &got, &e), ERR_PROTOCOL, "malformed"); // one byte too many
    arena_release(&a);
    buf_release(&b);
    buf_release(&again);
}

/* Each byte of a frame set to other values: refused, or read as a request within its limits. */
static void request_bent(void **state)
{
    (void)state;
    struct chat_req r = sample_req(), got;
    struct arena    a;
    struct buf      b;
    struct err      e;
    int             refused = 0;

    arena_init(&a, MIB(8));
    buf_init(&b, MIB(1));
    chat_req_pack(&b, &r);
    for (size_t i = 0; i < b.n; i++) {
        for (int v = 0; v < 256; v += 51) {
            char old = b.p[i];
            b.p[i]   = (char)v;
            arena_clear(&a);
            if (chat_req_unpack(buf_text(&b), &a, &got, &e) == 0) {
                assert_in_range(got.n_choice, 1, LIM_CHOICES);
                assert_true(got.context_shift <= CHAT_SHIFT_ON && got.n_keep >= -1);
                assert_true(got.n_stop <= LIM_STOPS && got.n_top <= LIM_TOP_LOGPROBS && got.n_max >= -1);
                for (int m = 0; m < got.n_msg; m++) assert_true(got.msg[m].role < CHAT_ROLES);
            } else {
                refused++;
            }
            b.p[i] = old;
        }
    }
    assert_true(refused > 500);
    arena_release(&a);
    buf_release(&b);
}

static void request_out_of_memory(void **state)
{
    (void)state;
    struct chat_req r = sample_req(), got;
    struct arena    a;
    struct buf      b;
    struct err      e;

    buf_init(&b, MIB(1));
    chat_req_pack(&b, &r);
    arena_init(&a, 600); // too small for all of it
    assert_err(chat_req_unpack(buf_text(&b), &a, &got, &e), ERR_NO_MEMORY, "reading a request");
    arena_release(&a);
    for (uint64_t n = 1;; n++) {
        arena_init(&a, MIB(1));
        mem_fail_at(n);
        int rc = chat_req_unpack(buf_text(&b), &a, &got, &e);
        mem_fail_at(0);
        arena_release(&a);
        if (rc == 0) break;
        assert_int_equal(rc, -ERR_NO_MEMORY);
    }
    buf_release(&b);
}

static void events(void **state)
{
    (void)state;
    struct chat_logprob top[] = { { 1, -0.5f, STR("a") }, { 2, -1.5f, STR("\xC3") } };
    struct chat_event   ev[]  = {
        { .kind = CHAT_EV_START, .usage = { 5, 4, 0, 0 } },
        { .kind = CHAT_EV_TEXT, .choice = 2, .text = STR("hi") },
        { .kind = CHAT_EV_REASONING, .text = STR("hm") },
        { .kind = CHAT_EV_CALL, .index = 1, .id = STR("call_1"), .text = STR("f") },
        { .kind = CHAT_EV_ARGS, .index = 1, .text = STR("{}") },
        { .kind = CHAT_EV_LOGPROB, .lp = { 1, -0.5f, STR("a") }, .top = top, .n_top = 2, .prompt_lp = true },
        { .kind = CHAT_EV_FINISH, .finish = CHAT_FINISH_CALLS, .stop = STR("x") },
        { .kind = CHAT_EV_END, .usage = { 5, 4, 3, 2 } },
        { .kind = CHAT_EV_ERROR, .err = { ERR_QUEUE_FULL, "param", "message" } },
    };
    struct chat_logprob got_top[LIM_TOP_LOGPROBS];
    struct chat_event   got;
    struct buf          b;

    buf_init(&b, MIB(1));
    for (size_t i = 0; i < ARRAY_LEN(ev); i++) {
        buf_clear(&b);
        chat_event_pack(&b, &ev[i]);
        for (size_t n = 0; n <= b.n; n++) {
            struct unpack u = unpack_init((struct str){ b.p, n });
            assert_true(chat_event_unpack(&u, &got, got_top, LIM_TOP_LOGPROBS) == (n == b.n));
        }
        assert_int_equal(got.kind, ev[i].kind);
        assert_true(str_eq(got.text, ev[i].text) && str_eq(got.id, ev[i].id) && str_eq(got.stop, ev[i].stop));
        assert_int_equal(got.choice, ev[i].choice);
        assert_int_equal(got.index, ev[i].index);
        assert_int_equal(got.usage.n_gen, ev[i].usage.n_gen);
        assert_int_equal(got.n_top, ev[i].n_top);
        assert_int_equal(got.err.code, ev[i].err.code);
        assert_string_equal(got.err.msg, ev[i].err.msg);
    }
    struct unpack u = unpack_init(STR("\x01\x7f\x00\x00\x00\x00")); // a choice that cannot be
    assert_false(chat_event_unpack(&u, &got, got_top, LIM_TOP_LOGPROBS));
    u = unpack_init(STR("\x63\x00")); // a kind that is not
    assert_false(chat_event_unpack(&u, &got, got_top, LIM_TOP_LOGPROBS));
    buf_release(&b);
}

static void questions_and_answers(void **state)
{
    (void)state;
    static const int32_t    tok[]   = { 1, 2 };
    static const int32_t    offset[] = { 0, 1, 1, 2 };
    static const struct str piece[] = { STR("a"), STR("\xC3") };
    struct chat_query       q = { .kind = CHAT_QUERY_TOKENIZE, .pieces = true, .offsets = true, .text = STR("t"), .tok = tok,
                                  .n_tok = 2, .chat = true, .req = sample_req() }, q2;
    struct chat_answer      an = { .text = STR("x"), .tok = tok, .piece = piece, .offset = offset, .n_tok = 2 }, an2;
    struct arena            a;
    struct buf              b;
    struct err              e;

    arena_init(&a, MIB(4));
    buf_init(&b, MIB(1));
    chat_query_pack(&b, &q);
    assert_ok(chat_query_unpack(buf_text(&b), &a, &q2, &e));
    assert_true(q2.pieces && q2.offsets && q2.chat && q2.req.n_msg == 4 && q2.tok[1] == 2);
    for (size_t n = 0; n < b.n; n++)
        assert_err(chat_query_unpack((struct str){ b.p, n }, &a, &q2, &e), ERR_PROTOCOL, "malformed");
    buf_clear(&b);
    chat_answer_pack(&b, &an);
    assert_ok(chat_answer_unpack(buf_text(&b), &a, &an2, &e));
    assert_int_equal(an2.n_tok, 2);
    assert_int_equal(an2.piece[1].n, 1);
    assert_memory_equal(an2.offset, offset, sizeof offset);
    for (size_t n = 0; n < b.n; n++)
        assert_err(chat_answer_unpack((struct str){ b.p, n }, &a, &an2, &e), ERR_PROTOCOL, "malformed");
    arena_release(&a);
    buf_release(&b);
}

static void description(void **state)
{
    (void)state;
    struct chat_info i = { STR("cpu"), STR("llama"), STR("Q8_0"), STR("bpe"), 512, 512, 8, 1000, 1, 2, 3, 5, STR("fp_1"), 384 };
    struct chat_info got;
    struct arena     a;
    struct buf       b;
    struct err       e;

    arena_init(&a, KIB(64));
    buf_init(&b, KIB(64));
    chat_info_pack(&b, &i);
    assert_ok(chat_info_unpack(buf_text(&b), &a, &got, &e));
    assert_str(got.arch, "llama");
    assert_int_equal(got.n_ctx, 512);
    for (size_t n = 0; n < b.n; n++)
        assert_err(chat_info_unpack((struct str){ b.p, n }, &a, &got, &e), ERR_PROTOCOL, "malformed");
    i.arch = STR("\xff"); // a name that is not text
    buf_clear(&b);
    chat_info_pack(&b, &i);
    assert_err(chat_info_unpack(buf_text(&b), &a, &got, &e), ERR_PROTOCOL, "malformed");
    arena_release(&a);
    buf_release(&b);
}

/* Texts to embed: what they are comes through, a list without its kind or a kind without its list does not. */
static void inputs(void **state)
{
    (void)state;
    static const int32_t           tok[] = { 7, 9 };
    static const struct chat_input in[]  = { { STR("one"), NULL, 0 }, { STR(""), tok, 2 } };
    const unsigned char            half[4] = { 0, 0, 0, 0x3f }; // 0.5
    struct chat_req                r, got;
    struct arena                   a;
    struct buf                     b;
    struct err                     e;

    arena_init(&a, MIB(1));
    buf_init(&b, MIB(1));
    chat_req_init(&r);
    r.kind = CHAT_KIND_EMBED, r.input = in, r.n_input = 2, r.n_dim = 64;
    chat_req_pack(&b, &r);
    assert_ok(chat_req_unpack(buf_text(&b), &a, &got, &e));
    assert_int_equal(got.n_input, 2);
    assert_str(got.input[0].text, "one");
    assert_true(got.input[1].n_tok == 2 && got.input[1].tok[1] == 9 && got.n_dim == 64);
    for (size_t n = 0; n < b.n; n++)
        assert_err(chat_req_unpack((struct str){ b.p, n }, &a, &got, &e), ERR_PROTOCOL, "malformed");
    for (int i = 0; i < 2; i++) {
        buf_clear(&b);
        r.kind    = i ? CHAT_KIND_RANK : CHAT_KIND_TEXT;
        r.n_input = i ? 0 : 2;
        chat_req_pack(&b, &r);
        assert_err(chat_req_unpack(buf_text(&b), &a, &got, &e), ERR_PROTOCOL, "malformed");
    }

    struct chat_event ev = { .kind = CHAT_EV_VECTOR, .index = 3, .text = { (const char *)half, 4 } }, back;
    buf_clear(&b);
    chat_event_pack(&b, &ev);
    struct unpack u = unpack_init(buf_text(&b));
    assert_true(chat_event_unpack(&u, &back, NULL, 0) && unpack_done(&u));
    assert_true(back.index == 3 && str_eq(back.text, ev.text));
    ev.text.n = 3; // no whole number of values
    buf_clear(&b);
    chat_event_pack(&b, &ev);
    u = unpack_init(buf_text(&b));
    assert_false(chat_event_unpack(&u, &back, NULL, 0));
    arena_release(&a);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_round_trip), cmocka_unit_test(request_bent),
        cmocka_unit_test(request_out_of_memory), cmocka_unit_test(events),
        cmocka_unit_test(questions_and_answers), cmocka_unit_test(description),
        cmocka_unit_test(inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
