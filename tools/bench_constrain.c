/* bench_constrain.c - what holding an answer to a form costs: `bench_constrain VOCAB.gguf`.
 *
 * An answer is walked token by token as the tokenizer cuts it, mask and step, microseconds of CPU for each
 * token: for a form that was just compiled, and again for the next answer. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "constrain/constrain.h"
#include "model/gguf.h"

#define WORDS "The quick brown fox jumps over the lazy dog, and then it rests for a while in the shade of an old tree. "

static const struct {
    const char          *name;
    enum constrain_kind  kind;
    const char          *form, *text;
} rows[] = {
    { "any object", CONSTRAIN_OBJECT, "",
      "{\"title\": \"" WORDS "\", \"list\": [1, 2.5, {\"a\": null, \"text\": \"" WORDS
      "\"}], \"ok\": true}" },
    { "four members", CONSTRAIN_SCHEMA,
      "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\","
      "\"minimum\":0,\"maximum\":150},"
      "\"about\":{\"type\":\"string\"},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},"
      "\"required\":[\"name\",\"age\",\"about\",\"tags\"]}",
      "{\"name\": \"Jane Doe\", \"age\": 42, \"about\": \"" WORDS WORDS
      "\", \"tags\": [\"red\", \"green\", \"a longer tag\"]}" },
    { "strings with maxLength", CONSTRAIN_SCHEMA,
      "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":300},\"b\":{\"type\":"
      "\"string\",\"minLength\":5,\"maxLength\":120}},"
      "\"required\":[\"a\",\"b\"]}",
      "{\"a\": \"" WORDS WORDS "\", \"b\": \"" WORDS "\"}" },
    { "patterns and formats", CONSTRAIN_SCHEMA,
      "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"at\":{"
      "\"type\":\"string\",\"format\":\"date-time\"},"
      "\"slug\":{\"type\":\"string\",\"pattern\":\"^[a-z0-9-]+$\"}},\"required\":[\"id\",\"at\",\"slug\"]}",
      "{\"id\": \"123e4567-e89b-12d3-a456-426614174000\", \"at\": \"2024-05-06T07:08:09Z\", \"slug\": "
      "\"the-quick-brown-fox-jumps-over\"}" },
    { "recursive tree", CONSTRAIN_SCHEMA,
      "{\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"string\"},\"kids\":{\"type\":"
      "\"array\",\"items\":{\"$ref\":\"#/$defs/n\"}}},"
      "\"required\":[\"v\",\"kids\"]}},\"$ref\":\"#/$defs/n\"}",
      "{\"v\": \"root\", \"kids\": [{\"v\": \"left one\", \"kids\": []}, {\"v\": \"right\", \"kids\": "
      "[{\"v\": \"deep\", \"kids\": []}]}]}" },
};

static struct tok *load(const char *path)
{
    struct gguf *g;
    struct tok  *t;
    struct err   e;
    struct stat  st;
    int          fd = open(path, O_RDONLY);

    if (fd < 0 || fstat(fd, &st) < 0 || gguf_open(fd, (uint64_t)st.st_size, path, &g, &e) < 0 ||
        tok_from_gguf(g, &t, &e) < 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    close(fd);
    gguf_close(g);
    return t;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Of this thread: the machine may be shared. */
static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* One answer. */
static void walk(struct constrain *c, const struct ids *ids, const char *what)
{
    static double        us[4096];
    struct constrain_run r;
    const uint64_t      *mask;
    struct err           e;
    bool                 fits = true;
    double               all  = 0;

    if (constrain_start(&r, c, &e) < 0) exit(1);
    for (size_t i = 0; i < ids->n && i < 4096; i++) {
        double t0 = cpu_us();
        if (constrain_mask(&r, &mask, &e) < 0 || constrain_token(&r, ids->id[i], &fits, &e) < 0 || !fits) {
            printf("  token %zu does not fit\n", i);
            exit(1);
        }
        us[i] = cpu_us() - t0;
        all += us[i];
    }
    qsort(us, ids->n, sizeof *us, by_value);
    printf("  %-8s %4zu tokens: median %6.1f, 90%% %6.1f, most %7.1f, mean %6.1f us\n", what, ids->n,
           us[ids->n / 2], us[ids->n * 9 / 10], us[ids->n - 1], all / (double)ids->n);
    constrain_stop(&r);
}

int main(int argc, char **argv)
{
    struct constrain_vocab *v;
    struct err              e;

    if (argc != 2) {
        fprintf(stderr, "usage: bench_constrain VOCAB.gguf\n");
        return 2;
    }
    struct tok *t  = load(argv[1]);
    double      t0 = cpu_us();
    if (constrain_vocab_new(t, tok_n(t), &v, &e) < 0) return 1;
    printf("%d tokens, made ready in %.1f ms\n", tok_n(t), (cpu_us() - t0) / 1e3);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct constrain_conf conf = { .kind = rows[i].kind, .text = str_c(rows[i].form) };
        struct constrain     *c;
        struct ids            ids;
        t0 = cpu_us();
        if (constrain_new(v, &conf, &c, &e) < 0) {
            fprintf(stderr, "%s\n", e.msg);
            return 1;
        }
        printf("%s, compiled in %.2f ms\n", rows[i].name, (cpu_us() - t0) / 1e3);
        ids_init(&ids, 4096);
        if (tok_encode(t, str_c(rows[i].text), 0, &ids, &e) < 0) return 1;
        walk(c, &ids, "first");
        walk(c, &ids, "again");
        ids_release(&ids);
        constrain_unref(c);
    }
    constrain_vocab_free(v);
    tok_free(t);
    return 0;
}
