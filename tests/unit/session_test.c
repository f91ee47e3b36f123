/* session_test.c - steps of a worker: what they allocate, and which salts they tell apart. */
#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "chat/chat.h"
#include "engines/script/script.h"
#include "session/session.h"

struct rig {
    struct engine  *en;
    struct tok     *tok;
    struct tmpl    *tmpl;
    struct session *s;
};

static struct rig open_rig(const char *script)
{
    struct rig m;
    struct err e;
    int        fd = memfd_create("script", MFD_CLOEXEC);

    assert_true(fd >= 0 && write(fd, script, strlen(script)) == (ssize_t)strlen(script));
    const struct engine_file file = { "a.script", fd, strlen(script) };
    const struct engine_conf conf = { .file = &file, .n_file = 1, .n_thread = 1, .n_seq = 8, .n_batch = 64 };
    assert_ok(engine_script_forward.open(&conf, &m.en, &e));
    close(fd);
    assert_ok(tok_from_bytes(&m.tok, &e));
    assert_ok(tmpl_compile(STR("m"), tmpl_builtin(STR("chatml")), &m.tmpl, &e));
    struct session_conf sc = { .ops = &engine_script_forward, .engine = m.en, .tok = m.tok, .tmpl = m.tmpl,
                               .n_queue = 8, .queue_ms = 100000 };
    tmpl_caps(m.tmpl, &sc.caps);
    assert_ok(session_new(&sc, &m.s, &e));
    return m;
}

static void close_rig(struct rig *m)
{
    session_free(m->s);
    tmpl_free(m->tmpl);
    tok_free(m->tok);
    engine_script_forward.close(m->en);
}

static struct chat_req text_req(const char *prompt, int n_max)
{
    struct chat_req r;

    chat_req_init(&r);
    r.kind = CHAT_KIND_TEXT;
    r.prompt = str_c(prompt);
    r.n_max = n_max;
    return r;
}

static void submit(struct rig *m, uint32_t id, const struct chat_req *r)
{
    struct buf b;

    buf_init(&b, MIB(1));
    chat_req_pack(&b, r);
    session_submit(m->s, id, buf_text(&b));
    buf_release(&b);
}

/* Once answers flow, a step of three of them takes no memory: plan, pass, sampling, text, events. */
static void decode_allocates_nothing(void **state)
{
    struct rig m = open_rig("mode forward\nctx 4096\nsay \"Hello there. \"\nendless\n");
    (void)state;

    for (uint32_t i = 0; i < 3; i++) {
        struct chat_req r = text_req("0123456789", 400);
        static const struct str stop[] = { STR("never said") };
        r.params.temperature = i ? 0.8f : 0;
        r.params.top_p = 0.95f;
        r.params.repeat_penalty = i == 2 ? 1.1f : 1;
        r.stop = stop, r.n_stop = 1;
        submit(&m, i, &r);
    }
    for (int i = 0; i < 60; i++) { // buffers have their size
        assert_true(session_step(m.s));
        session_sent(m.s);
    }
    uint64_t before = mem_count();
    size_t   bytes = 0;
    for (int i = 0; i < 200; i++) {
        assert_true(session_step(m.s));
        bytes += session_out(m.s)->n;
        session_sent(m.s);
    }
    assert_true(bytes > 200 * 3);
    assert_int_equal(mem_count() - before, 0);
    close_rig(&m);
}

/* The usage of a request that runs alone to its end: tokens found in the cache. */
static int cached(struct rig *m, const struct chat_req *r)
{
    struct chat_logprob top[1];
    int n = -1;

    submit(m, 7, r);
    while (session_running(m->s)) session_step(m->s);
    struct unpack u = unpack_init(buf_text(session_out(m->s)));
    while (!unpack_done(&u)) {
        struct chat_event ev;
        assert_int_equal(unpack_u32(&u), 7);
        assert_true(chat_event_unpack(&u, &ev, top, 1));
        if (ev.kind == CHAT_EV_END) n = ev.usage.n_cached;
    }
    session_sent(m->s);
    return n;
}

/* All combinations of client, key and salt, also such whose names put together are alike; and more salts than are
 * kept apart at a time: then what was computed is forgotten, never shown to another. */
static void salts_never_share(void **state)
{
    struct rig m = open_rig("mode forward\nctx 4096\nsay \"Hi\"\n");
    static const struct {
        uint64_t    client;
        const char *key, *salt;
    } rows[] = {
        { 0, "", "" },   { 1, "", "" },   { 2, "", "" },   { 0, "a", "" },   { 0, "", "a" }, { 0, "a", "a" },
        { 0, "aa", "" }, { 0, "", "aa" }, { 1, "a", "" },  { 1, "", "a" },   { 0, "ab", "c" }, { 0, "a", "bc" },
    };
    char name[32];
    (void)state;

    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            struct chat_req r = text_req("0123456789abcdef0123456789abcdef-", 3);
            r.client = rows[i].client;
            r.cache_key = str_c(rows[i].key);
            r.cache_salt = str_c(rows[i].salt);
            assert_int_equal(cached(&m, &r), round ? 32 : 0);
        }
    for (int i = 0; i < LIM_SALTS + 30; i++) { // the first of them take a number only: less than a page
        struct chat_req r = text_req(i < LIM_SALTS - 11 ? "0" : "0123456789abcdef0123456789abcdef-", 1);
        snprintf(name, sizeof name, "salt %d", i);
        r.cache_salt = str_c(name);
        assert_int_equal(cached(&m, &r), 0);
    }
    struct chat_req r = text_req("0123456789abcdef0123456789abcdef-", 3);
    r.cache_salt = STR("a");
    assert_int_equal(cached(&m, &r), 0);
    assert_int_equal(cached(&m, &r), 32);
    close_rig(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_allocates_nothing),
        cmocka_unit_test(salts_never_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
