/* tmpl_test.c - chat templates: the language against Jinja2's answers, who wrote which piece,
 * limits. */
#include "unit.h"

#include <dirent.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "chat/chat.h"
#include "chat/tmpl.h"
#include "json/json.h"

#define NOW 1768472430 // 2026-01-15 10:20:30

static struct tmpl *compile(const char *text)
{
    struct tmpl *t = NULL;
    struct err   e;

    assert_ok(tmpl_compile(STR("test"), str_c(text), &t, &e));
    return t;
}

static const struct json *root(const struct json_doc *d)
{
    return d ? json_root(d) : NULL;
}

static struct json_doc *parse(const char *text)
{
    struct json_doc *d = NULL;
    struct err       e;

    if (text) assert_ok(json_parse(str_c(text), NULL, &d, &e));
    return d;
}

/* Render template text over JSON texts (NULL: absent). */
static int render(const char *text, const char *messages, const char *kwargs, struct arena *a,
                  struct tmpl_out *out, struct err *e)
{
    struct tmpl     *t = NULL;
    struct json_doc *m = parse(messages), *k = parse(kwargs);
    struct tmpl_in   in = { .messages = root(m), .kwargs = root(k), .now_s = NOW };

    int rc = tmpl_compile(STR("test"), str_c(text), &t, e);
    if (rc == 0) rc = tmpl_render(t, &in, a, out, e);
    tmpl_free(t);
    json_free(m);
    json_free(k);
    return rc;
}

/* --- the language --- */

static struct json_doc *read_json(const char *path)
{
    struct json_doc *d = NULL;
    struct err       e;
    size_t           n;
    char            *p = unit_read(path, &n);

    if (!p) fail_msg("cannot read %s", path);
    assert_ok(json_parse((struct str){ p, n }, NULL, &d, &e));
    free(p);
    return d;
}

/* The vectors that Python's Jinja2 answered (tests/data/tmpl/README.md). */
static void language(void **state)
{
    (void)state;
    struct json_doc   *doc = read_json(unit_data("tmpl/language.json"));
    const struct json *all = json_root(doc);

    for (size_t i = 0; i < json_len(all); i++) {
        const struct json *c    = json_at(all, i);
        struct str         text = json_str(json_get(c, "template"));
        struct tmpl       *t    = NULL;
        struct tmpl_in in = { .kwargs = json_get(c, "kwargs"), .trust_kwargs = true, .now_s = NOW };
        struct tmpl_out    out  = { 0 };
        struct err         e    = { 0 };
        struct arena       a;

        arena_init(&a, LIM_TMPL_ARENA);
        int rc = tmpl_compile(STR("test"), text, &t, &e);
        if (rc == 0) rc = tmpl_render(t, &in, &a, &out, &e);
        const struct json *want = json_get(c, "expected");
        if (want && rc < 0) fail_msg("%.*s: %s", STR_ARG(text), e.msg);
        if (!want && rc == 0)
            fail_msg("%.*s: gives \"%.*s\", Jinja2 fails", STR_ARG(text), STR_ARG(out.text));
        if (want && !str_eq(out.text, json_str(want)))
            fail_msg("%.*s: gives \"%.*s\", want \"%.*s\"", STR_ARG(text), STR_ARG(out.text),
                     STR_ARG(json_str(want)));
        if (rc < 0) assert_true(e.msg[0] != 0);
        tmpl_free(t);
        arena_release(&a);
    }
    assert_true(json_len(all) > 80);
    json_free(doc);
}

/* Templates of real models. See the shared material's README for what "both" means. */
static int one_case(const struct tmpl *t, const struct json *c, const char *file)
{
    struct tmpl_in  in = { .messages = json_get(c, "messages"), .tools = json_get(c, "tools"),
                           .documents = json_get(c, "documents"), .kwargs = json_get(c, "kwargs"),
                           .trust_kwargs = true, .now_s = NOW };
    struct str want = json_str(json_get(c, "expected")), check = json_str(json_get(c, "check"));
    struct tmpl_out out  = { 0 };
    struct err      e    = { 0 };
    struct arena    a;
    size_t          n = 0;

    arena_init(&a, LIM_TMPL_ARENA);
    int  rc   = tmpl_render(t, &in, &a, &out, &e);
    bool good = json_get(c, "expected") ? rc == 0 && str_eq(out.text, want) : rc < 0;
    if (!good && (str_eq(check, STR("both")) || str_eq(check, STR("both-error"))))
        fail_msg("%s, %.*s: %s", file, STR_ARG(json_str(json_get(c, "name"))),
                 rc < 0 ? e.msg : out.text.p);
    for (size_t i = 0; i < out.n_piece;
         i++) { // the pieces are the text, and no client text is trusted
        assert_true(out.piece[i].text.n > 0 && out.piece[i].text.p == out.text.p + n);
        assert_true(i == 0 || out.piece[i].trusted != out.piece[i - 1].trusted);
        n += out.piece[i].text.n;
    }
    assert_true(n == out.text.n);
    arena_release(&a);
    return good;
}

static void shared_templates(void **state)
{
    (void)state;
    char        path[8192], dir[4096];
    const char *readme = unit_shared("chat-templates/README.md");
    int         n = 0, good = 0;

    if (!readme) {
        print_message("skipped: no shared templates\n");
        return;
    }
    str_copy_z(dir, sizeof dir, str_sub(str_c(readme), 0, strlen(readme) - strlen("README.md")));
    snprintf(path, sizeof path, "%scases", dir);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%scases/%s", dir, f->d_name);
        struct json_doc   *doc = read_json(path);
        const struct json *j   = json_root(doc);
        struct err         e;
        struct tmpl       *t = NULL;
        size_t             len = 0;

        snprintf(path, sizeof path, "%s%.*s", dir, STR_ARG(json_str(json_get(j, "template"))));
        char *text = unit_read(path, &len);
        assert_non_null(text);
        assert_ok(tmpl_compile(str_c(f->d_name), (struct str){ text, len }, &t, &e));
        const struct json *cases = json_get(j, "cases");
        for (size_t i = 0; i < json_len(cases); i++, n++)
            good += one_case(t, json_at(cases, i), f->d_name);
        tmpl_free(t);
        free(text);
        json_free(doc);
    }
    closedir(d);
    print_message("%d of %d renderings are Python's\n", good, n);
    assert_true(n >= 900);
}

/* --- who wrote what --- */

/* The rendering with the client's pieces in [ ]. */
static void assert_pieces(const char *text, const char *kwargs, const char *want)
{
    struct arena    a;
    struct tmpl_out out;
    struct err      e;
    struct buf      b;

    arena_init(&a, LIM_TMPL_ARENA);
    buf_init(&b, 4096);
    assert_ok(render(text, NULL, kwargs, &a, &out, &e));
    for (size_t i = 0; i < out.n_piece; i++) {
        if (!out.piece[i].trusted) buf_byte(&b, '[');
        buf_str(&b, out.piece[i].text);
        if (!out.piece[i].trusted) buf_byte(&b, ']');
    }
    if (!str_eq(buf_text(&b), str_c(want)))
        fail_msg("%s: \"%.*s\", want \"%s\"", text, STR_ARG(buf_text(&b)), want);
    buf_release(&b);
    arena_release(&a);
}

static void provenance(void **state)
{
    (void)state;
    static const char k[] = "{\"c\": \"one two\", \"m\": \"<|im_end|>\", \"l\": [\"p\", \"q\"], "
                            "\"d\": {\"k\": \"v\"}, \"i\": 5}";
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "<{{ c }}>", "<[one two]>" },
        { "<|im_start|>{{ m }}<|im_end|>", "<|im_start|>[<|im_end|>]<|im_end|>" },
        { "{{ '<' + c + '>' }}", "<[one two]>" },
        { "{{ '<' ~ c ~ '>' }}{{ 1 ~ none }}", "<[one two]>1None" },
        { "{{ ('<' + c + '>')[2:] }}", "[ne two]>" },
        { "{{ ('<' + c + '>')[::-1] }}", ">[owt eno]<" },
        { "{{ ('  <' + c + '>  ')|trim }}", "<[one two]>" },
        { "{{ ('<' + c + '>').split('two')|join('|') }}", "<[one ]|>" },
        { "{{ c.split(' ')|join('<s>') }}", "[one]<s>[two]" },
        { "{{ ('<s>' + c + '</s>').replace('one', 'ONE') }}", "<s>ONE[ two]</s>" },
        { "{{ c|replace(' ', '<s>') }}", "[one]<s>[two]" },
        { "{{ c|upper }}{{ ('<s>' + c)|upper }}", "[ONE TWO]<S>[ONE TWO]" },
        { "{{ '<%s>' % c }}{{ '<{}>'.format(c) }}{{ '<%s>'|format(c) }}",
          "<[one two]><[one two]><[one two]>" },
        { "{{ '{:>9}|{:.3}'.format(c, c) }}", "  [one two]|[one]" },
        { "{{ d }}{{ d|tojson }}{{ ['a']|tojson }}{{ [] }}",
          "[{'k': 'v'}{\"k\": \"v\"}][\"a\"][]" },
        { "{{ l|join('<s>') }}{{ l|map('upper')|join }}", "[p]<s>[qPQ]" },
        { "{% set x %}<s>{{ c }}{% endset %}{{ x }}{% filter upper %}a{{ c }}{% endfilter %}",
          "<s>[one two]A[ONE TWO]" },
        { "{% macro f(x) %}<s>{{ x }}{% endmacro %}{{ f(c) }}{{ f('y') }}", "<s>[one two]<s>y" },
        { "{% set ns = namespace(t='') %}{% for x in l %}{% set ns.t = ns.t + '<s>' + x %}{% "
          "endfor %}{{ ns.t }}{{ ns.t[:4] }}",
          "<s>[p]<s>[q]<s>[p]" },
        { "{% for x in c %}{{ x }}{% if loop.first %}<s>{% endif %}{% endfor %}",
          "[o]<s>[ne two]" },
        { "{{ c|indent(2, true) }}{{ (c ~ '\n' ~ c)|indent('<s>') }}",
          "  [one twoone two]\n<s>[one two]" },
        { "{{ m|e }}{{ m|safe }}{{ (m|safe) ~ '<s>' }}",
          "[&lt;|im_end|&gt;<|im_end|><|im_end|>]<s>" },
        { "{{ d.k }}{{ d.items()|first|last }}{{ d|dictsort }}", "[vv[('k', 'v')]]" },
        { "{{ i }}{{ i + 1 }}{{ '<' ~ i ~ '>' }}", "56<5>" },
        { "{{ c.title() }}{{ 'x' * 2 }}{{ ('<' + c[0]) * 2 }}", "[One Two]xx<[o]<[o]" },
        { "{{ dict(**d) }}{{ dict(a='b') }}{% macro f() %}{{ kwargs }}{% endmacro %}{{ f(**d) }}",
          "[{'k': 'v'}]{'a': 'b'}[{'k': 'v'}]" },
        { "{{ [1]|tojson(indent=c) }}{{ [1, 2]|tojson(separators=(m, ':')) }}",
          "[[\none two1\n][1<|im_end|>2]]" },
        { "{{ '{:{f}>3}'.format(1, f=c[0]) }}{{ '{:>3}'.format(1) }}", "[oo]1  1" },
        { "{{ c.center(9, '*') }}{{ c.partition(' ')|join('<s>') }}",
          "*[one two]*[one]<s>[ ]<s>[two]" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) assert_pieces(rows[i].text, k, rows[i].want);
}

/* Known roles are the template's words, whoever sent them; others are not. */
static void roles(void **state)
{
    (void)state;
    struct arena    a;
    struct tmpl_out out;
    struct err      e;
    static const char t[] =
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}";

    arena_init(&a, LIM_TMPL_ARENA);
    assert_ok(render(t,
                     "[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"end\",\"content\":\"\"}]",
                     NULL, &a, &out, &e));
    assert_int_equal(out.n_piece, 5);
    assert_str(out.piece[0].text, "<|user|>");
    assert_true(out.piece[0].trusted);
    assert_str(out.piece[1].text, "hi");
    assert_str(out.piece[3].text, "end");
    assert_false(out.piece[3].trusted);
    arena_release(&a);
}

/* --- errors and limits --- */

static void errors(void **state)
{
    (void)state;
    struct arena    a;
    struct tmpl_out out;
    struct err      e;

    arena_init(&a, LIM_TMPL_ARENA);
    assert_err(render("a\n\n{% if x %}", NULL, NULL, &a, &out, &e), ERR_BAD_FILE,
               "'test': line 3: the template ends");
    assert_err(render("{% for %}", NULL, NULL, &a, &out, &e), ERR_BAD_FILE, "line 1");
    assert_err(render("\xff", NULL, NULL, &a, &out, &e), ERR_BAD_FILE, "not UTF-8 at byte 0");
    assert_err(render("x\n{{ y.z }}", NULL, NULL, &a, &out, &e), ERR_UNSUPP_VALUE,
               "'test', line 2: 'y' is undefined");
    assert_err(render("{{ messages[0].nope.x }}", "[{}]", NULL, &a, &out, &e), ERR_UNSUPP_VALUE,
               "'dict object' has no attribute 'nope'");
    assert_err(render("{{ [].append(1) }}", NULL, NULL, &a, &out, &e), ERR_UNSUPP_VALUE,
               "access to attribute 'append' of 'list' object is unsafe");
    assert_err(render("{{ raise_exception('Roles must alternate!') }}", NULL, NULL, &a, &out, &e),
               ERR_BAD_REQUEST, "Roles must alternate!");
    assert_string_equal(e.msg, "Roles must alternate!");
    assert_err(render("{{ x }}", NULL, "{\"messages\": []}", &a, &out, &e), ERR_INVALID_VALUE,
               "'messages' cannot be set");
    assert_string_equal(e.param, "chat_template_kwargs");
    arena_release(&a);
}

/* Templates that try to hang, crash or eat the machine. Each must end in an error; what it says is
 * not always the same limit, as several bind. */
static void hostile(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999999999) %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% "
        "endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% "
        "endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% "
        "endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% "
        "endfor %}{{ ns.s|tojson }}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(999) %}{% set ns.s = [ns.s] %}{% endfor "
        "%}{{ ns.s }}",
        "{% set ns = namespace(s=[1], t=[1]) %}{% for i in range(999) %}{% set ns.s = [ns.s] %}{% "
        "set ns.t = [ns.t] %}{% endfor %}{{ ns.s == ns.t }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(x) %}{{ f(x)|upper }}{% endmacro %}{% for i in [1] recursive %}{{ f(1) }}{% "
        "endfor %}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro f(n) %}{% for i in range(9) %}{{ f(n) }}{% endfor %}{% endmacro %}{{ f(1) }}",
        "{{ 'x' * 999999999 }}",
        "{{ 'x' * 9999999999999999999 }}",
        "{{ ('x' * 4000000) * 4000000 }}",
        "{{ [1] * 999999999 }}",
        "{{ 'x'.center(999999999) }}",
        "{{ 'x'|center(999999999) }}",
        "{{ 'x\ny'|indent(999999999) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ '%.999999999f' % 1 }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ '{:{}}'.format(1, 999999999) }}",
        "{{ 'x'.zfill(999999999) }}",
        "{{ 'x\t'.expandtabs(999999999) }}",
        "{{ range(9)|batch(99999999, 'x')|list }}",
        "{{ range(9)|slice(99999999, 'x')|list }}",
        "{{ 9999999999 ** 99 }}",
        "{{ 'x'|truncate(5, end='y' * 9) }}",
        "{% for i in range(99999) %}{{ "
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxx' }}{% endfor %}",
        "{% set s = 'a' * 4000000 %}{{ s.rfind('a' * 2000000 + 'b') }}",
        "{% set s = 'a' * 4000000 %}{% for i in range(99999) %}{% set x = s.replace('b', 'c') %}{% "
        "endfor %}",
        "{% set s = 'a' * 4000000 %}{% for i in range(99999) %}{% if s.upper() %}{% endif %}{% "
        "endfor %}",
        "{% set s = 'a' * 4000000 %}{% for i in range(99999) %}{% if s == s ~ 'b' %}{% endif %}{% "
        "endfor %}",
        "{{ ('a' * 4000000)|list|length }}",
        "{{ '' .join(['a' * 4000000, 'b' * 4000000]) }}",
        "{{ strftime_now('%c' * 999999) }}",
    };
    struct arena    a;
    struct tmpl_out out;
    struct err      e;

    arena_init(&a, LIM_TMPL_ARENA);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        memset(&e, 0, sizeof e);
        if (render(bad[i], NULL, NULL, &a, &out, &e) == 0) fail_msg("%s: rendered", bad[i]);
        if (!e.msg[0]) fail_msg("%s: no message", bad[i]);
        arena_clear(&a);
    }
    arena_release(&a);
}

/* Each limit by itself, and its name in the message. */
static void limits(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
          "more than 1000000 steps" },
        { "{% for a in range(100001) %}{% endfor %}", "range of more than 100000" },
        { "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
          "macros call each other deeper than 64" },
        { "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
          "loops recurse deeper than 64" },
        { "{{ 'x' * 5000000 }}", "a string exceeds 4194304 bytes" },
        { "{% for i in range(90000) %}{{ 'x' * 100 }}{% endfor %}",
          "the rendering exceeds 8388608 bytes" },
        { "{% set ns = namespace(s=[1]) %}{% for i in range(999) %}{% set ns.s = [ns.s] %}{% "
          "endfor %}{{ ns.s }}",
          "nested deeper than 200" },
        { "{{ [1] * 1000001 }}", "list of more than 1000000" },
        { "{% set ns = namespace(s='') %}{% for i in range(99) %}{% set ns.s = 'y' ~ 'x' * 4000000 "
          "%}{% endfor %}",
          "bytes of memory" },
    };
    struct arena    a;
    struct tmpl_out out;
    struct err      e;

    arena_init(&a, LIM_TMPL_ARENA);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (render(rows[i].text, NULL, NULL, &a, &out, &e) != -ERR_TOO_LARGE)
            fail_msg("%s: %s", rows[i].text, e.msg);
        if (!strstr(e.msg, rows[i].says)) fail_msg("%s: %s", rows[i].text, e.msg);
        arena_clear(&a);
    }
    arena_release(&a);
}

static void deep_syntax(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "{{ (", "" },
        { "{{ [", "" },
        { "{% if 1 %}", "{% endif %}" },
        { "{% for a in b %}", "{% endfor %}" },
        { "{{ not ", "" },
        { "{{ - ", "" },
        { "{{ a.b", "" },
        { "{{ a|b", "" },
        { "{{ 1 + ", "" },
        { "{{ a(", "" },
        { "{{ {1: ", "" },
        { "{{ a[", "" },
        { "{{ 1 if 1 else ", "" },
        { "{% set x %}", "{% endset %}" },
        { "{% macro a() %}", "{% endmacro %}" },
        { "{% call a() %}", "{% endcall %}" },
    };
    struct err e;

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct buf   b;
        struct tmpl *t    = NULL;
        const char  *head = pairs[i][0];
        buf_init(&b, MIB(1));
        buf_str(&b, str_c(head));
        const char *rest =
            head[1] == '{' ? head + 3 : head; // expressions: one opening, then what follows it
        if (str_starts(str_c(rest), STR("a."))) rest = ".b";
        if (str_starts(str_c(rest), STR("a|"))) rest = "|b";
        for (int k = 0; k < 20000; k++) buf_str(&b, str_c(rest));
        assert_false(b.failed);
        int rc = tmpl_compile(STR("deep"), buf_text(&b), &t, &e);
        if (rc == 0) fail_msg("%s nested 20000 deep compiles", head);
        tmpl_free(t);
        buf_release(&b);
    }
}

/* What is long but not deep must work: many messages, long contents, text put together piece by
 * piece. */
static void large(void **state)
{
    (void)state;
    struct arena    a;
    struct tmpl_out out;
    struct err      e;
    struct buf      b;

    buf_init(&b, MIB(16));
    buf_str(&b, STR("["));
    for (int i = 0; i < 4000; i++)
        buf_printf(&b, "%s{\"role\":\"%s\",\"content\":\"%01000d\"}", i ? "," : "",
                   i % 2 ? "assistant" : "user", i);
    buf_str(&b, STR("]"));
    buf_byte(&b, 0);
    arena_init(&a, LIM_TMPL_ARENA);
    static const char t[] =
        "{% for m in messages %}{% if m.role == 'user' %}{{ '<|im_start|>' + m.role + '\\n' + "
        "m.content|trim + '<|im_end|>' }}"
        "{% else %}{% set ns = namespace(t='') %}{% for x in m.content.split('1') %}{% set ns.t = "
        "ns.t + x %}{% endfor %}{{ ns.t }}{% endif %}{% endfor %}";
    assert_ok(render(t, b.p, NULL, &a, &out, &e));
    assert_true(out.text.n > 3900000);
    arena_clear(&a);
    assert_ok(render("{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t + "
                     "m.content[:900] %}{% endfor %}{{ ns.t|length }}",
                     b.p, NULL, &a, &out, &e));
    assert_str(out.text, "3600000");
    buf_release(&b);
    arena_release(&a);
}

/* Every allocation fails once: an error each time, no leak (the sanitizers watch), nothing half
 * done. */
static void out_of_memory(void **state)
{
    (void)state;
    static const char t[] =
        "{% macro f(x, y=1) %}<s>{{ x|upper }}{{ y }}{% endmacro %}{% set ns = namespace(t='') %}"
        "{% for m in messages if m.role != 'x' %}{{ f(m.content) + loop.last|string }}"
        "{% set ns.t = ns.t + m.content + '|' %}{% for w in m.content.split(' ')|sort %}{{ w }}{% "
        "endfor %}"
        "{% if m.tool_calls %}{{ m.tool_calls[0]|tojson(indent=2) }}{% endif %}{% endfor %}"
        "{% set x %}{{ ns.t|replace('a', 'b') }}{% endset %}{% filter indent(2) %}{{ x }}{% "
        "endfilter %}"
        "{{ {'a': [1, 2.5]} }}{{ '%s %05d' % ('x', 3) }}{{ '{:>5}'.format('y') }}{{ "
        "messages|map(attribute='role')|unique|list }}";
    static const char m[] =
        "[{\"role\":\"user\",\"content\":\"b a\"},{\"role\":\"assistant\",\"content\":\"q\","
        "\"tool_calls\":[{\"k\":\"v\"}]}]";
    struct arena    a;
    struct tmpl_out out;
    struct err      e;
    struct json_doc *doc = parse(m);
    int             failures = 0;

    for (uint64_t at = 1;; at++) {
        struct tmpl   *c  = NULL;
        struct tmpl_in in = { .messages = json_root(doc) };
        memset(&e, 0, sizeof e);
        memset(&out, 0, sizeof out);
        arena_init(&a, LIM_TMPL_ARENA);
        mem_fail_at(at);
        int rc = tmpl_compile(STR("test"), str_c(t), &c, &e);
        if (rc == 0) rc = tmpl_render(c, &in, &a, &out, &e);
        mem_fail_at(0);
        if (rc < 0) assert_int_equal(e.code, ERR_NO_MEMORY);
        if (rc < 0) assert_null(out.piece);
        if (rc == 0) assert_true(out.text.n > 80);
        tmpl_free(c);
        arena_release(&a);
        failures += rc < 0;
        if (rc == 0) break;
    }
    assert_true(failures > 15);

    /* the same with the arena's ceiling, which counts every allocation from it */
    struct tmpl *c = compile(t);
    for (size_t max = 0;; max += 512) {
        struct tmpl_in in = { .messages = json_root(doc) };
        arena_init(&a, max);
        memset(&out, 0, sizeof out);
        int rc = tmpl_render(c, &in, &a, &out, &e);
        arena_release(&a);
        if (rc == 0) break;
        assert_true(e.code == ERR_TOO_LARGE || e.code == ERR_NO_MEMORY);
        assert_true(max < MIB(1));
    }
    tmpl_free(c);
    json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language),      cmocka_unit_test(shared_templates),
        cmocka_unit_test(provenance),    cmocka_unit_test(roles),
        cmocka_unit_test(errors),        cmocka_unit_test(hostile), cmocka_unit_test(limits),
        cmocka_unit_test(deep_syntax),   cmocka_unit_test(large),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
