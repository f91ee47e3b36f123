/* rkllm_engine_test.c - the engine over the double, in this process: what opens closes, who waits is waited for. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engines/rkllm/engine_rkllm.h"
#include "unit.h"

#define STALL_MS 150

static char model[128];

static const struct rkllm_conf base = { .layout = "auto", .stall_ms = STALL_MS, .own_template = true };

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int  n = 0;

    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static struct engine *open_model(const char *layout, struct engine_file *file)
{
    static char        path[512];
    struct rkllm_conf  c    = base;
    struct engine_conf conf = { .file = file, .n_file = 1, .n_thread = 1, .n_ctx = 512, .n_seq = 1, .n_batch = 1,
                                .own = &c };
    struct engine     *en;
    struct err         e;
    struct stat        st;

    snprintf(path, sizeof path, "%s/librkllmrt-%s.so", getenv("CURLEW_FAKE"), layout);
    c.library = path;
    file->fd  = open(model, O_RDONLY | O_CLOEXEC);
    assert_true(file->fd >= 0 && fstat(file->fd, &st) == 0);
    file->name = "m.rkllm";
    file->size = (uint64_t)st.st_size;
    assert_ok(engine_rkllm.open(&conf, &en, &e));
    return en;
}

struct heard {
    char text[4096];
    int  n, wait_ms, leave_after; // pieces
};

static bool on_piece(void *ctx, const struct engine_piece *piece)
{
    struct heard *h  = ctx;
    size_t        at = strlen(h->text);

    assert_true(at + piece->n < sizeof h->text);
    memcpy(h->text + at, piece->text, piece->n);
    if (h->wait_ms) usleep((useconds_t)h->wait_ms * 1000);
    return ++h->n != h->leave_after;
}

static struct engine_gen_result say(struct engine *en, const char *prompt, struct heard *h)
{
    const struct engine_gen  gen = { .text = prompt, .n_text = strlen(prompt), .n_max = 100,
                                     .sampling = { .temperature = 1, .top_p = 1, .repeat_penalty = 1, .seed = -1 } };
    struct engine_gen_result r;
    struct err               e;

    assert_ok(engine_rkllm.generate(en, &gen, on_piece, h, &r, &e));
    return r;
}

static void test_open_close(void **state)
{
    static const char *const layouts[] = { "11", "120", "12", "13" };
    struct engine_file       file;
    struct engine_info       i;
    (void)state;

    for (size_t k = 0; k < ARRAY_LEN(layouts); k++) {
        engine_rkllm.close(open_model(layouts[k], &file)); // the first brings what stays: the library itself
        close(file.fd);
        int before = count_fds();
        for (int n = 0; n < 50; n++) {
            struct engine *en = open_model(layouts[k], &file);
            struct heard   h  = { .n = 0 };
            engine_rkllm.info(en, &i);
            assert_int_equal(i.n_ctx, 512);
            assert_true(!(i.caps & ENGINE_SAMPLING) == (k != 3));
            assert_int_equal(say(en, "Hi", &h).end, ENGINE_END_STOP);
            assert_string_equal(h.text, "h\303\251llo");
            engine_rkllm.close(en);
            close(file.fd);
        }
        assert_int_equal(count_fds(), before);
    }
}

/* Whoever takes the pieces may take his time: the library is not silent then. */
static void test_slow_listener(void **state)
{
    struct engine_file file;
    struct engine     *en = open_model("12", &file);
    struct heard       h  = { .wait_ms = STALL_MS * 3 };
    (void)state;

    assert_int_equal(say(en, "Hi", &h).n_gen, 6);
    assert_string_equal(h.text, "h\303\251llo");
    engine_rkllm.close(en);
    close(file.fd);
}

static void test_ends(void **state)
{
    struct engine_file file;
    struct engine     *en = open_model("12", &file);
    struct heard       h  = { .leave_after = 2 };
    struct err         e;
    (void)state;

    engine_rkllm.abort(en); // nobody runs
    struct engine_gen_result r = say(en, "Hi", &h);
    assert_int_equal(r.end, ENGINE_END_ABORTED);
    assert_int_equal(h.n, 2); // it was ended, and nothing came after that
    h = (struct heard){ .n = 0 };
    assert_int_equal(say(en, "Hi", &h).end, ENGINE_END_STOP);

    const struct engine_gen nul = { .text = "a\0b", .n_text = 3, .n_max = 5 };
    assert_err(engine_rkllm.generate(en, &nul, on_piece, &h, &r, &e), ERR_INVALID_VALUE, "NUL");
    const int32_t           tok[512] = { 0 };
    const struct engine_gen full     = { .tok = tok, .n_tok = 512, .n_max = 5 };
    assert_err(engine_rkllm.generate(en, &full, on_piece, &h, &r, &e), ERR_CONTEXT_LENGTH, "512");
    engine_rkllm.close(en);
    close(file.fd);
}

/* Every allocation of an answer fails once: an error, and nothing left. */
static void test_no_memory(void **state)
{
    struct engine_file      file;
    struct engine          *en  = open_model("13", &file);
    const struct engine_gen gen = { .text = "Hi", .n_text = 2, .n_max = 100 };
    struct engine_gen_result r;
    struct heard             h = { .n = 0 };
    struct err               e;
    int                      n = 0;
    (void)state;

    for (int rc = -1; rc < 0; n++) {
        h = (struct heard){ .n = 0 };
        mem_fail_at((uint64_t)n + 1);
        rc = engine_rkllm.generate(en, &gen, on_piece, &h, &r, &e);
        mem_fail_at(0);
        if (rc < 0) assert_int_equal(rc, -ERR_NO_MEMORY);
    }
    assert_true(n > 1);
    assert_string_equal(h.text, "h\303\251llo");
    engine_rkllm.close(en);
    close(file.fd);
}

static int setup(void **state)
{
    static const char text[] = "FAKE-RKLLM 1\nanswer=h\303\251llo\n";
    char              dir[]  = P_tmpdir "/curlew-rkllm-XXXXXX";
    (void)state;

    if (!getenv("CURLEW_FAKE") || !mkdtemp(dir)) return -1;
    snprintf(model, sizeof model, "%s/m.rkllm", dir);
    int fd = open(model, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, text, sizeof text - 1) != (ssize_t)sizeof text - 1) return -1;
    return close(fd);
}

static int teardown(void **state)
{
    (void)state;
    unlink(model);
    *strrchr(model, '/') = 0;
    return rmdir(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_open_close), cmocka_unit_test(test_slow_listener),
                                        cmocka_unit_test(test_ends), cmocka_unit_test(test_no_memory) };

    return cmocka_run_group_tests(tests, setup, teardown);
}
