/* conf_test.c - configuration files: what they say, who wins over them, and each error with its place. */
#include "unit.h"

#include "base/limits.h"
#include "conf/compat.h"
#include "conf/conf.h"
#include "conf/conf_yaml.h"
#include "conf/opt_int.h"
#include "conf/place.h"

#define LOAD(text, ...) load(text, &s, (const char *const[]){ "serve", __VA_ARGS__, NULL }, &e)

static struct arena a;
static char         folder[] = "/tmp/curlew-conf-XXXXXX";
static char         file[64];

static void write_file(const char *text, size_t n)
{
    FILE *f = fopen(file, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* The flags, with --config naming a file of this text. */
static int load(const char *text, struct settings *s, const char *const *arg, struct err *e)
{
    char *argv[24] = { (char *)(uintptr_t)"--config", file };
    int   argc = 2, n_rest = 0;

    if (text) write_file(text, strlen(text));
    for (int i = 1; arg[i]; i++) argv[argc++] = (char *)(uintptr_t)arg[i];
    const struct conf_source src = { .roles = OPT_SERVE, .argc = text ? argc : argc - 2, .argv = text ? argv : argv + 2 };
    return conf_load(&src, s, &a, NULL, &n_rest, e);
}

static int setup(void **state)
{
    static const char *const var[] = { "CURLEW_PORT", "CURLEW_CTX", "CURLEW_MODEL", "CURLEW_CONFIG", "CURLEW_COMPAT",
                                       "CURLEW_LISTEN", "CURLEW_ALIAS", "HOST", "PORT", "MODEL_NAME", "SGLANG_URL",
                                       "ENABLE_AUDIO", "HF_TOKEN" };
    (void)state;
    arena_init(&a, MIB(16));
    for (size_t i = 0; i < ARRAY_LEN(var); i++) unsetenv(var[i]);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&a);
    return setup(state);
}

/* --- good ones --- */

static void whole(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;

    assert_ok(LOAD("# a server\n"
                   "listen: [127.0.0.1:8080, \"unix:/run/curlew.sock\"]\n"
                   "models_dir: /srv/models\n"
                   "body-bytes: 2M\n"
                   "strict: yes\n"
                   "log_level: warn\n"
                   "admin_key_file: key\n"
                   "allow_origin:\n  - https://a.example\n  - https://b.example\n"
                   "models:\n"
                   "  - id: small\n"
                   "    path: s.gguf\n"
                   "    aliases: [default, 'Mein Modell']\n"
                   "    context: 4096\n"
                   "    threads: 2\n"
                   "    reasoning_field: both\n"
                   "  - /other/b.gguf\n"
                   "parallel: 3\n", NULL));
    assert_int_equal(s.listen.n, 2);
    assert_string_equal(s.listen.v[1], "unix:/run/curlew.sock");
    assert_string_equal(s.models_dir, "/srv/models");
    assert_int_equal(s.body_bytes, 2 << 20);
    assert_true(s.strict);
    assert_int_equal(s.log_level, LOG_WORD_WARN);
    assert_int_equal(s.allow_origin.n, 2);
    assert_string_equal(s.allow_origin.v[1], "https://b.example");
    char want[128];
    snprintf(want, sizeof want, "%s/key", folder); // of the file's folder
    assert_string_equal(s.admin_key_file, want);

    assert_int_equal(s.n_models, 2);
    assert_string_equal(s.models[0].id, "small");
    assert_string_equal(s.models[0].path, "/srv/models/s.gguf");
    assert_int_equal(s.models[0].alias.n, 2);
    assert_string_equal(s.models[0].alias.v[1], "Mein Modell");
    assert_int_equal(s.models[0].own->ctx, 4096);
    assert_int_equal(s.models[0].own->threads, 2);
    assert_int_equal(s.models[0].own->parallel, 3); // everybody's, though it stands after the list
    assert_int_equal(s.models[0].own->reasoning_field, THINK_BOTH);
    assert_null(s.models[1].id);
    assert_string_equal(s.models[1].path, "/other/b.gguf");
    assert_int_equal(s.models[1].own->ctx, 0);
    assert_int_equal(s.models[1].own->reasoning_field, THINK_CONTENT);
    assert_true(str_ends(str_c(s.models[0].where), STR("c.yaml:12:5")));
}

static void empty(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;

    assert_err(LOAD("", "-m", "x"), ERR_IO, "the file is empty"); // more likely a mistake
    assert_ok(LOAD("# nothing\n---\n", "-m", "x"));
    assert_ok(LOAD("port:\nmodels: ~\nalias: null\n", "-m", "x")); // nothing said: as if not there
    assert_int_equal(s.port, 8080);
    assert_int_equal(s.listen.n, 1);
    assert_string_equal(s.listen.v[0], "127.0.0.1:8080");
}

static void beside_the_file(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;
    char            want[128];

    assert_ok(LOAD("models: [{path: m/x.gguf, chat_template: t.jinja}, {path: y.gguf, chat-template: chatml}]\n", NULL));
    snprintf(want, sizeof want, "%s/m/x.gguf", folder);
    assert_string_equal(s.models[0].path, want);
    snprintf(want, sizeof want, "%s/t.jinja", folder);
    assert_string_equal(s.models[0].own->chat_template, want);
    assert_string_equal(s.models[1].own->chat_template, "chatml"); // a name, no file
}

/* --- who wins --- */

static void precedence(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;

    assert_ok(LOAD(NULL, "-m", "x"));
    assert_int_equal(s.port, 8080); // default
    assert_ok(LOAD("port: 1\n", "-m", "x"));
    assert_int_equal(s.port, 1); // file over default
    setenv("CURLEW_PORT", "2", 1);
    assert_ok(LOAD("port: 1\n", "-m", "x"));
    assert_int_equal(s.port, 2); // environment over file
    assert_ok(LOAD("port: 1\n", "-m", "x", "--port", "3"));
    assert_int_equal(s.port, 3); // flag over environment
    unsetenv("CURLEW_PORT");

    /* a model's own entry is of the file: flags and environment win over it too */
    assert_ok(LOAD("context: 100\nmodels: [{path: a, context: 200}, {path: b}]\n", NULL));
    assert_int_equal(s.models[0].own->ctx, 200);
    assert_int_equal(s.models[1].own->ctx, 100);
    setenv("CURLEW_CTX", "300", 1);
    assert_ok(LOAD("context: 100\nmodels: [{path: a, context: 200}]\n", NULL));
    assert_int_equal(s.models[0].own->ctx, 300);
    assert_ok(LOAD("context: 100\nmodels: [{path: a, context: 200}]\n", "-c", "400"));
    assert_int_equal(s.models[0].own->ctx, 400);
    unsetenv("CURLEW_CTX");

    /* lists are replaced, not joined */
    assert_ok(LOAD("allow_host: [a, b]\n", "-m", "x", "--allow-host", "c"));
    assert_int_equal(s.allow_host.n, 1);
    assert_string_equal(s.allow_host.v[0], "c");

    /* the file itself may be named in the environment */
    setenv("CURLEW_CONFIG", file, 1);
    write_file("port: 7\n", 8);
    assert_ok(LOAD(NULL, "-m", "x"));
    assert_int_equal(s.port, 7);
}

/* The table's own rule, whatever is read first. */
static void any_order(void **state)
{
    (void)state;
    const struct opt *host = opt_by_name(STR("allow-host"), OPT_SERVE), *port = opt_by_name(STR("port"), OPT_SERVE);
    struct settings   s;
    struct opt_in     in;
    struct err        e;

    assert_ok(opt_begin(&in, &s, OPT_SERVE, &a, &e));
    assert_ok(opt_put(&in, host, STR("a"), OPT_FILE, "x", &e));
    assert_ok(opt_put(&in, host, STR("b"), OPT_FILE, "x", &e));
    assert_int_equal(s.allow_host.n, 2);
    assert_ok(opt_put(&in, host, STR("c"), OPT_ENV, "x", &e)); // stronger: anew
    assert_ok(opt_put(&in, host, STR("d"), OPT_FILE, "x", &e)); // weaker: nothing
    assert_int_equal(s.allow_host.n, 1);
    assert_string_equal(s.allow_host.v[0], "c");
    assert_ok(opt_put(&in, port, STR("1"), OPT_CLI, "x", &e));
    assert_ok(opt_put(&in, port, STR("2"), OPT_COMPAT, "x", &e));
    assert_int_equal(s.port, 1);
    assert_err(opt_put(&in, port, STR("x"), OPT_FILE, "where", &e), ERR_BAD_CONFIG, "where: \"x\" is not an integer");
}

static void what_is_served(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;

    assert_ok(LOAD("models_dir: /d\nmodels: [{path: a}]\nmodel: [b, /c]\n", NULL));
    assert_true(s.models_dir && s.n_models == 1 && s.model.n == 2); // all of the file
    assert_ok(LOAD("models_dir: /d\nmodels: [{path: a}]\n", "-m", "x"));
    assert_true(!s.models_dir && s.n_models == 0 && s.model.n == 1); // a flag replaces them
    assert_ok(LOAD("models: [{path: a}]\n", "--models-dir", "/e"));
    assert_true(s.models_dir && s.n_models == 0);
}

static void places(void **state)
{
    (void)state;
    struct settings s;
    struct place    p;
    struct err      e;

    assert_ok(LOAD("listen: 127.0.0.1:1\n", "-m", "x", "--port", "9"));
    assert_string_equal(s.listen.v[0], "127.0.0.1:9"); // the flag is about where to listen
    assert_ok(LOAD("host: ::1\nport: 5\n", "-m", "x"));
    assert_string_equal(s.listen.v[0], "[::1]:5");
    assert_ok(LOAD("host: /run/s\n", "-m", "x"));
    assert_string_equal(s.listen.v[0], "unix:/run/s");
    assert_err(LOAD("listen: 127.0.0.1:1\nport: 5\n", "-m", "x"), ERR_BAD_CONFIG, "both given");
    assert_err(LOAD("listen: nowhere:x\n", "-m", "x"), ERR_BAD_CONFIG, "listen: \"nowhere:x\" is no place");

    static const struct {
        const char *text, *host;
        int         port;
    } good[] = {
        { "127.0.0.1:80", "127.0.0.1", 80 }, { "example.org:1", "example.org", 1 }, { "[::1]:65535", "::1", 65535 },
        { "::1", "::1", 7 },                 { "[::]", "::", 7 },                   { "8080", "127.0.0.1", 8080 },
        { "localhost", "localhost", 7 },     { "unix:/a b", "/a b", -1 },           { "/run/x", "/run/x", -1 },
    };
    static const char *const bad[] = { "", ":", ":80", "a:", "a:b", "a:-1", "a:65536", "a:+1", "unix:rel", "[::1", "[::1]80",
                                       "http://a:1", "a b:1", "a:1:", "99999", "-1" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_ok(place_parse(str_c(good[i].text), 7, &a, &p, &e));
        assert_string_equal(p.host, good[i].host);
        assert_int_equal(p.port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (!strcmp(bad[i], "a:1:")) continue; // reads as an IPv6 address; resolving refuses it
        if (place_parse(str_c(bad[i]), 7, &a, &p, &e) != -ERR_BAD_CONFIG) fail_msg("\"%s\" was accepted", bad[i]);
    }
}

/* --- errors --- */

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; // after the file's name
    } bad[] = {
        { "prot: 1\n", "1:1: \"prot\" is not a key of the configuration; did you mean port?" },
        { "port: 1\nzzzzzzzz: 2\n", "2:1: \"zzzzzzzz\" is not a key of the configuration; docs/config.md" },
        { "model_dir: x\n", "1:1: \"model_dir\" is not a key of the configuration; did you mean models_dir?" },
        { "model: x\nport: high\n", "2:7: port: \"high\" is not an integer" },
        { "port: 70000\n", "1:7: port: 70000 is out of range, 0 to 65535" },
        { "port: [1]\n", "1:7: port is a list, it must be a single value" },
        { "port: {a: 1}\n", "1:7: port is a group of keys, it must be a single value" },
        { "log_level: loud\n", "1:12: log_level: \"loud\" is not one of error|warn|info|debug" },
        { "strict: maybe\n", "1:9: strict: \"maybe\" is not true or false" },
        { "body_bytes: 1T\n", "1:13: body_bytes: \"1T\" is not a size" },
        { "allow_host: [a, [b]]\n", "1:17: an element of allow_host is a list" },
        { "config: other.yaml\n", "1:1: a configuration cannot name another one" },
        { "models: {a: 1}\n", "1:9: models is a group of keys, it must be a list" },
        { "models:\n  - id: a\n", "2:5: this model has no path" },
        { "models:\n  - [a]\n", "2:5: a model is a list, it must be a path" },
        { "models:\n  - path: [a]\n", "2:11: path is a list, it must be a text" },
        { "models:\n  - path: ''\n", "2:11: path is empty" },
        { "models:\n  - path: a\n    aliases: [b, {c: d}]\n", "3:18: aliases is a group of keys" },
        { "models:\n  - path: a\n    contxt: 1\n", "3:5: \"contxt\" is not a key of a model; did you mean context?" },
        { "models:\n  - pth: a\n", "2:5: \"pth\" is not a key of a model; did you mean path?" },
        { "models:\n  - path: a\n    port: 1\n", "3:5: port is for all models together" },
        { "models:\n  - path: a\n    context: many\n", "3:14: context: \"many\" is not an integer" },
        { "port: 1\nport: 2\n", "2:1: \"port\" is there already, in line 1" },
        { "a: &x 1\n", "1:4: anchors (&name) are not supported" },
        { "models: &x [a]\n", "1:9: anchors (&name)" },
        { "port: *x\n", "1:7: aliases (*name) are not supported" },
        { "*x : 1\n", "1:1: aliases (*name)" },
        { "port: !!int 1\n", "1:7: tags (!name) are not supported" },
        { "models: !x [a]\n", "1:9: tags (!name)" },
        { "? [a]\n: 1\n", "1:3: a key must be a single word" },
        { "- a\n", "1:1: a configuration is a group of keys" },
        { "just text\n", "1:1: a configuration is a group of keys" },
        { "port: 1\n---\nport: 2\n", "2:1: a second document begins" },
        { "port: 1\n\tctx: 2\n", "2:1: not valid YAML: found a tab character that violates indentation" },
        { "listen: [a, b\nport: 1\n", "2:5: not valid YAML" },
        { "alias: \"open\n", "2:1: not valid YAML: found unexpected end of stream" },
        { "port: 1\nalias: \"\xc3\xa4\xff\"\n", "2:10: not text in UTF-8" },
        { "port: 1\nalias: a\x01z\n", "2:9: not text in UTF-8" },
        { "alias: \"a\\0b\"\n", "1:8: a value holds a NUL" },
    };
    struct settings s;
    struct err      e;
    char            want[256];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(want, sizeof want, "%s:%s", file, bad[i].want);
        assert_err(LOAD(bad[i].text, NULL), ERR_BAD_CONFIG, want);
        assert_int_equal(strncmp(e.msg, file, strlen(file)), 0); // begins with the place
    }
    assert_err(LOAD("port: high\n", "-m", "x", "--port", "1"), ERR_BAD_CONFIG, "\"high\""); // wrong, though a flag wins
    write_file("\xff\xfe" "p\0o\0", 6); // UTF-16
    assert_err(LOAD(NULL, "--config", file), ERR_BAD_CONFIG, ":1:1: not text in UTF-8");
    assert_err(LOAD(NULL, "--config", "/nowhere/c.yaml"), ERR_IO, "/nowhere/c.yaml: No such file");
    assert_err(LOAD(NULL, "--config"), ERR_BAD_CONFIG, "--config needs a value");
}

/* All of a file's mistakes, for check-config; the first one is what conf_load returns. */
static void all_errors(void **state)
{
    (void)state;
    static const char text[] = "prt: 1\nport: high\nmodels:\n  - {pth: a, context: no}\n  - path: x\n    ctx: 4\nctxx: 1\n";
    struct buf        all;
    struct settings   s;
    struct err        e;
    int               n_rest = 0;

    buf_init(&all, KIB(4));
    struct conf_source of = { .roles = OPT_SERVE, .text = str_c(text), .errors = &all };
    assert_err(conf_load(&of, &s, &a, NULL, &n_rest, &e), ERR_BAD_CONFIG, "text:1:1: \"prt\" is not a key");
    assert_str(buf_text(&all), "text:1:1: \"prt\" is not a key of the configuration; did you mean port?\n"
                               "text:2:7: port: \"high\" is not an integer\n"
                               "text:7:1: \"ctxx\" is not a key of the configuration; did you mean ctx?\n"
                               "text:4:6: \"pth\" is not a key of a model; did you mean path?\n"
                               "text:4:23: context: \"no\" is not an integer\n"
                               "text:4:5: this model has no path\n");
    buf_clear(&all);
    of.text = STR("models: [x]\n");
    assert_ok(conf_load(&of, &s, &a, NULL, &n_rest, &e));
    assert_int_equal(all.n, 0);
    buf_release(&all);
}

/* Texts that would take forever, or all memory, or the stack. */
static void hostile(void **state)
{
    (void)state;
    static char text[LIM_CONF_BYTES + 64];
    struct settings s;
    struct err      e;

    memset(text, '[', 100000);
    memcpy(text, "listen: ", 8);
    text[100000] = 0;
    assert_err(LOAD(text, NULL), ERR_BAD_CONFIG, "lists and groups inside each other too deep, the limit is 16");
    assert_err(LOAD("host: [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]\n", NULL), ERR_BAD_CONFIG, "too deep"); // 17 levels
    assert_err(LOAD("host: [[[[[[[[[[[[[[1]]]]]]]]]]]]]]\n", NULL), ERR_BAD_CONFIG, "host is a list"); // 16
    memset(text, '\n', sizeof text - 1);
    assert_err(LOAD(text, NULL), ERR_TOO_LARGE, "the limit is 262144");
    struct buf b;
    buf_init(&b, LIM_CONF_BYTES);
    buf_str(&b, STR("listen: ["));
    for (int i = 0; i < 30000; i++) buf_str(&b, STR("1,"));
    buf_str(&b, STR("1]\n"));
    buf_byte(&b, 0);
    assert_err(LOAD(b.p, NULL), ERR_BAD_CONFIG, "too many values, the limit is 20000");
    buf_clear(&b);
    for (int i = 0; i < 600; i++) buf_printf(&b, "k%d: 1\n", i);
    buf_byte(&b, 0);
    assert_err(LOAD(b.p, NULL), ERR_BAD_CONFIG, ":513:1: too many keys in one group, the limit is 512");
    buf_clear(&b);
    buf_str(&b, STR("alias: "));
    for (int i = 0; i < 17000; i++) buf_byte(&b, 'a');
    buf_byte(&b, 0);
    assert_err(LOAD(b.p, NULL), ERR_BAD_CONFIG, ":1:8: a value of very many bytes, the limit is 16384");
    buf_clear(&b);
    buf_str(&b, STR("models:\n"));
    for (int i = 0; i <= LIM_MODELS; i++) buf_printf(&b, "- m%d\n", i);
    buf_byte(&b, 0);
    assert_err(LOAD(b.p, NULL), ERR_BAD_CONFIG, "257 models, the limit is 256");
    buf_release(&b);
}

/* --- replaced servers --- */

static void compat(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;

    assert_ok(LOAD(NULL, "--compat", "simple-rkllm", "--rkllm_model_path", "m.rkllm", "--target_platform", "rk3588"));
    assert_int_equal(s.compat, COMPAT_SIMPLE_RKLLM);
    assert_int_equal(s.port, 5000);
    assert_string_equal(s.model.v[0], "m.rkllm");
    assert_string_equal(s.npu_platform, "rk3588");
    assert_ok(LOAD(NULL, "--compat=simple-rkllm", "-m", "x", "--lora_model_path=a", "--prompt_cache_path=b"));
    assert_string_equal(s.rkllm_lora, "a");
    assert_string_equal(s.rkllm_prompt_cache, "b");
    assert_err(LOAD(NULL, "--rkllm_model_path", "m"), ERR_BAD_CONFIG, "unknown flag"); // only with its --compat
    assert_ok(LOAD(NULL, "--compat", "simple-rkllm", "-m", "x", "--port", "1"));
    assert_int_equal(s.port, 1);

    assert_ok(LOAD(NULL, "--compat", "fast-inference", "--model-path", "m", "--tokenizer-path", "t", "--host", "::1"));
    assert_string_equal(s.listen.v[0], "[::1]:8000");

    setenv("HOST", "0.0.0.0", 1);
    setenv("PORT", "81", 1);
    setenv("MODEL_NAME", "gemma", 1);
    setenv("HF_TOKEN", "secret", 1);
    assert_ok(LOAD(NULL, "-m", "x"));
    assert_string_equal(s.listen.v[0], "127.0.0.1:8080"); // not ours without --compat
    assert_ok(LOAD("compat: gemma-gateway\nport: 5\n", "-m", "x"));
    assert_string_equal(s.listen.v[0], "0.0.0.0:81");
    assert_string_equal(s.alias.v[0], "gemma");
    assert_int_equal(s.note.n, 1);
    setenv("CURLEW_PORT", "82", 1);
    assert_ok(LOAD("compat: gemma-gateway\n", "-m", "x"));
    assert_string_equal(s.listen.v[0], "0.0.0.0:82"); // our own name is the plainer one
    setenv("ENABLE_AUDIO", "true", 1);
    assert_err(LOAD("compat: gemma-gateway\n", "-m", "x"), ERR_BAD_CONFIG, "ENABLE_AUDIO: \"true\"");
    unsetenv("ENABLE_AUDIO");
    setenv("SGLANG_URL", "http://x", 1);
    assert_ok(LOAD("compat: gemma-gateway\n", NULL));
    assert_int_equal(s.upstream.n, 1);
    assert_string_equal(s.upstream.v[0], "http://x");
    assert_err(LOAD("compat: rkllm\n", "-m", "x"), ERR_BAD_CONFIG, ":1:9: compat: \"rkllm\" is not one of");
}

/* The rules for URLs of other servers: RFC 3986 for what a host and a port are; the rest is what we want to keep out. */
static void upstream_urls(void **state)
{
    static const struct {
        const char *url, *base, *host;
        bool        address;
    } good[] = {
        { "http://gpu", "http://gpu:80", "gpu", false },
        { "http://gpu:30000/v1", "http://gpu:30000", "gpu", false },
        { "http://gpu:30000/v1///", "http://gpu:30000", "gpu", false },
        { "https://api.example.org/openai/v1", "https://api.example.org:443/openai", "api.example.org", false },
        { "http://192.0.2.1:8", "http://192.0.2.1:8", "192.0.2.1", true },
        { "http://[2001:db8::1]:8000", "http://[2001:db8::1]:8000", "2001:db8::1", true },
        { "https://[::1]", "https://[::1]:443", "::1", true },
    };
    static const struct {
        const char *url, *say;
    } bad[] = {
        { "ftp://gpu", "must begin with http" },     { "gpu:8000", "must begin with http" },
        { "http://", "its host has to have" },       { "http://:80", "its host has to have" },
        { "http://user:pw@gpu", "key_file" },        { "http://gpu?x=1", "a query or a fragment" },
        { "http://gpu/#a", "a query or a fragment" }, { "http://gpu:0", "its port" },
        { "http://gpu:65536", "its port" },          { "http://gpu:", "its port" },
        { "http://gpu:80x", "its port" },            { "http://g pu", "neither a name nor an address" },
        { "http://[::1", "cannot be told apart" },   { "http://[gpu]:80", "neither a name nor an address" },
        { "http://[::1]80", "cannot be told apart" }, { "http://gpu/a b", "its path" },
        { "http://gpu/\r\nx", "its path" },          { "http://gpu\n", "neither a name nor an address" },
    };
    struct upstream_url u;
    struct err          e;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_ok(upstream_url_parse(str_c(good[i].url), &a, &u, &e));
        assert_str(u.base, good[i].base);
        assert_str(u.host, good[i].host);
        assert_int_equal(u.address, good[i].address);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_err(upstream_url_parse(str_c(bad[i].url), &a, &u, &e), ERR_BAD_CONFIG, bad[i].say);
        assert_null(strstr(e.msg, "pw")); // a password does not end up in a log
    }
}

static void upstreams(void **state)
{
    static const struct {
        const char *text, *say;
    } bad[] = {
        { "models:\n  - id: a\n    path: b\n    upstreams: [http://x]\n", "2:5: this model has a path and upstreams" },
        { "models:\n  - upstreams: [http://x]\n", "2:5: this model has upstreams and no id" },
        { "models:\n  - id: a\n    upstreams: []\n", "3:16: upstreams must be a list of 1 to 32" },
        { "models:\n  - id: a\n    upstreams: http://x\n", "3:16: upstreams must be a list" },
        { "models:\n  - id: a\n    upstreams: [{model: x}]\n", "3:17: this upstream has no url" },
        { "models:\n  - id: a\n    upstreams: [gpu]\n", "3:17: \"gpu\" is no address" },
        { "models:\n  - id: a\n    upstreams: [{url: http://x, weight: 0}]\n", "weight is no whole number in 1..100" },
        { "models:\n  - id: a\n    upstreams: [{url: http://x, wait: 0}]\n", "\"wait\" is not a key of an upstream" },
        { "models:\n  - id: a\n    upstreams: [[http://x]]\n", "an upstream is a list" },
    };
    struct settings s;
    struct err      e;
    (void)state;

    assert_ok(LOAD("models:\n  - id: a\n    upstreams:\n      - http://x\n      - {url: 'http://y/v1', model: b, weight: 3,"
                   " key_file: /k, unix: /s}\n", NULL));
    assert_int_equal(s.n_models, 1);
    assert_null(s.models[0].path);
    assert_int_equal(s.models[0].n_upstream, 2);
    assert_string_equal(s.models[0].upstream[0].url, "http://x");
    assert_int_equal(s.models[0].upstream[0].weight, 1);
    assert_null(s.models[0].upstream[0].model);
    assert_string_equal(s.models[0].upstream[1].model, "b");
    assert_int_equal(s.models[0].upstream[1].weight, 3);
    assert_string_equal(s.models[0].upstream[1].key_file, "/k");
    assert_string_equal(s.models[0].upstream[1].unix_path, "/s");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_err(LOAD(bad[i].text, NULL), ERR_BAD_CONFIG, bad[i].say);
    assert_ok(LOAD("models: [x.gguf]\n", "--upstream", "a=http://x")); // the stronger says what is served
    assert_int_equal(s.n_models, 0);
    assert_int_equal(s.upstream.n, 1);
}

static void differ(void **state)
{
    (void)state;
    struct settings s, t;
    struct err      e;
    struct buf      b;

    buf_init(&b, KIB(1));
    assert_ok(LOAD("port: 1\nparallel: 2\n", "-m", "x"));
    t = s;
    conf_differ(&b, &s, &t, OPT_RESTART);
    assert_str(buf_text(&b), "");
    assert_ok(LOAD("port: 2\nparallel: 3\nconnections: 5\n", "-m", "x"));
    conf_differ(&b, &s, &t, OPT_RESTART);
    assert_str(buf_text(&b), "listen, port, connections"); // parallel is new to a worker, not to the server
    conf_keep(&s, &t, OPT_RESTART);
    assert_int_equal(s.port, 1);
    assert_int_equal(s.parallel, 3);
    buf_release(&b);
}

static void no_memory(void **state)
{
    (void)state;
    struct settings s;
    struct err      e;

    for (uint64_t at = 1; at < 100; at++) {
        write_file("listen: [1, 2]\nmodels: [{path: a, aliases: [b]}]\n", 49);
        mem_fail_at(at);
        int rc = LOAD(NULL, "--config", file);
        mem_fail_at(0);
        if (rc == 0) return;
        assert_int_equal(rc, -ERR_NO_MEMORY);
        arena_clear(&a);
    }
    fail_msg("never enough memory");
}

/* --- the pages about it --- */

static char *page(const char *name)
{
    char   path[4096];
    size_t n;

    snprintf(path, sizeof path, "%s/../../docs/%s", getenv("CURLEW_DATA"), name);
    char *doc = unit_read(path, &n);
    assert_non_null(doc);
    return doc;
}

/* docs/config.md: its example is one, and its keys are all there are. */
static void config_page(void **state)
{
    (void)state;
    char           *doc  = page("config.md");
    char           *from = strstr(doc, "```yaml\n"), *to = from ? strstr(from + 8, "```") : NULL;
    struct settings s;
    struct err      e;
    char            key[80];

    assert_non_null(to);
    *to = 0;
    assert_ok(LOAD(from + 8, NULL));
    assert_int_equal(s.n_models, 2);
    assert_string_equal(s.models[0].path, "/var/lib/curlew/models/Qwen3-0.6B-Q8_0.gguf");
    assert_int_equal(s.models[1].own->parallel, 16);
    assert_int_equal(s.models[0].own->parallel, 4);
    *to = '`';
    for (size_t i = 0; i < opt_count; i++) {
        const struct opt *o = &opt_table[i];
        if (!(o->roles & OPT_SERVE) || !(o->roles & (OPT_WORKER | OPT_MODEL))) continue;
        snprintf(key, sizeof key, "`%s`", o->name);
        for (char *p = key; *p; p++)
            if (*p == '-') *p = '_';
        if (!strstr(doc, key)) fail_msg("docs/config.md lacks %s, which a model may have", key);
    }
    free(doc);
}

/* docs/switching.md: each name of the replaced servers has its row, with what it means here. */
static void switching_page(void **state)
{
    (void)state;
    char *doc = page("switching.md");
    char  head[80], row[160];

    for (size_t i = 0; i < compat_count; i++) {
        const struct compat_row *r = &compat_table[i];
        snprintf(head, sizeof head, "\n## %s\n", compat_name(r->who));
        const char *from = strstr(doc, head), *to = from ? strstr(from + 4, "\n## ") : NULL;
        if (!from) fail_msg("docs/switching.md has no section %s", compat_name(r->who));
        if (r->kind == COMPAT_DEFAULT) snprintf(row, sizeof row, "%s %s.", r->old, r->value);
        else if (r->opt) snprintf(row, sizeof row, "| `%s` | `--%s` |", r->old, r->opt);
        else if (r->refused) snprintf(row, sizeof row, "| `%s` | refused: ", r->old);
        else if (r->words && strstr(r->words, "false")) snprintf(row, sizeof row, "| `%s` | `false` has no effect", r->old);
        else snprintf(row, sizeof row, "| `%s` | no effect: ", r->old);
        const char *at = strstr(from, row);
        if (!at || (to && at > to)) fail_msg("docs/switching.md, section %s, lacks: %s", compat_name(r->who), row);
        if (r->opt) assert_non_null(strstr(doc, r->opt));
    }
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole, setup, teardown),
        cmocka_unit_test_setup_teardown(empty, setup, teardown),
        cmocka_unit_test_setup_teardown(beside_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(precedence, setup, teardown),
        cmocka_unit_test_setup_teardown(any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_served, setup, teardown),
        cmocka_unit_test_setup_teardown(places, setup, teardown),
        cmocka_unit_test_setup_teardown(errors, setup, teardown),
        cmocka_unit_test_setup_teardown(all_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(compat, setup, teardown),
        cmocka_unit_test_setup_teardown(upstream_urls, setup, teardown),
        cmocka_unit_test_setup_teardown(upstreams, setup, teardown),
        cmocka_unit_test_setup_teardown(differ, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(config_page, setup, teardown),
        cmocka_unit_test_setup_teardown(switching_page, setup, teardown),
    };
    if (!mkdtemp(folder)) return 1;
    snprintf(file, sizeof file, "%s/c.yaml", folder);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    remove(file);
    remove(folder);
    return rc;
}
