/* bench_tok.c - encode speed: `bench_tok VOCAB.gguf [text-file ...]`, MB/s of one thread's CPU time.
 *
 * Without files, three texts of 4 MiB made here from word lists: English prose, C code, and a mix of
 * scripts. Word frequencies fall as in real text (rank^-1), so the pieces repeat as much as they
 * would. The long ones at the end must not be much slower than the prose.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/rng.h"
#include "model/gguf.h"
#include "token/tok.h"

#define TEXT_BYTES MIB(4)

static const char *const english[] = {
    "the", "of", "and", "to", "a", "in", "is", "that", "it", "was", "for", "on", "are", "with", "as", "his",
    "they", "be", "at", "one", "have", "this", "from", "or", "had", "by", "but", "some", "what", "there",
    "we", "can", "out", "other", "were", "all", "your", "when", "up", "use", "word", "how", "said", "each",
    "she", "which", "their", "time", "will", "way", "about", "many", "then", "them", "would", "write",
    "like", "these", "her", "long", "make", "thing", "see", "him", "two", "has", "look", "more", "day",
    "could", "come", "did", "number", "sound", "most", "people", "over", "know", "water", "than", "call",
    "first", "who", "may", "down", "side", "been", "now", "find", "any", "new", "work", "part", "take",
    "get", "place", "made", "live", "where", "after", "back", "little", "only", "round", "man", "year",
    "came", "show", "every", "good", "give", "under", "name", "very", "through", "just", "sentence",
    "great", "think", "help", "low", "line", "differ", "turn", "cause", "much", "mean", "before", "move",
    "right", "boy", "old", "too", "same", "tell", "does", "set", "three", "want", "air", "well", "also",
    "play", "small", "end", "put", "home", "read", "hand", "port", "large", "spell", "add", "even", "land",
    "here", "must", "big", "high", "such", "follow", "act", "why", "ask", "men", "change", "went", "light",
    "kind", "off", "need", "house", "picture", "try", "us", "again", "animal", "point", "mother", "world",
    "near", "build", "self", "earth", "father", "don't", "it's", "wouldn't", "government", "understanding",
    "development", "notwithstanding", "philosophical", "characteristically", "bicycle", "harbour",
};
static const char *const code[] = {
    "int", "return", "if", "(", ")", "{\n", "}\n", ";\n", "    ", "        ", "const", "struct", "static", "size_t",
    "i", "n", "p", "->", "=", "==", "!=", "<", "+", "++", "0", "1", "NULL", "void", "char", "*", "&", "for",
    "while", "buf", "len", "ctx", "node", "next", "value", "count", "index", "->next", "sizeof", "uint32_t",
    "/* ", " */\n", "// ", "\n", "\n\n", "#include", "\"error: %s\"", "[i]", "[0]", ", ", "err", "rc", "goto", "out",
    "malloc", "free", "memcpy", "0x1F", "255", "my_function_name", "camelCaseName", "CONSTANT_VALUE", "else",
};
static const char *const mixed[] = {
    "привет", "мир", "который", "государство", "это", "не", "на", "что", "und", "für", "größe", "schön", "été",
    "où", "garçon", "español", "niño", "mañana", "你好", "世界", "我们", "中华人民共和国", "的", "是", "在",
    "こんにちは", "世界", "東京", "カタカナ", "です", "ます", "안녕하세요", "한국어", "그리고", "مرحبا",
    "العالم", "في", "من", "नमस्ते", "दुनिया", "है", "שלום", "עולם", "Ελλάδα", "και", "😀", "🚀", "—", "„", "“",
    "the", "and", "of", "2024", "3.14", "ไทย", "ภาษา",
};

static char *make(const char *const *word, size_t n, bool spaces, uint64_t seed)
{
    struct rng r;
    char      *s  = malloc(TEXT_BYTES + 64);
    size_t     at = 0;

    if (!s) exit(1);
    rng_seed(&r, seed);
    while (at < TEXT_BYTES) {
        /* exp of a uniform number has the distribution wanted */
        size_t i = (size_t)exp(rng_f64(&r) * log((double)n + 1)) - 1;
        size_t k = strlen(word[i < n ? i : n - 1]);
        memcpy(s + at, word[i < n ? i : n - 1], k);
        at += k;
        uint64_t x = rng_below(&r, 40);
        if (x == 0) s[at++] = ',';
        if (x == 1) s[at++] = '.';
        if (spaces || x < 20) s[at++] = x == 2 ? '\n' : ' ';
    }
    s[TEXT_BYTES] = 0;
    return s;
}

static char *slurp(const char *path, size_t *n)
{
    struct stat st;
    int         fd = open(path, O_RDONLY);
    char       *s;

    if (fd < 0 || fstat(fd, &st) < 0 || !(s = malloc((size_t)st.st_size + 1))) {
        perror(path);
        exit(1);
    }
    ssize_t got = read(fd, s, (size_t)st.st_size);
    *n          = got < 0 ? 0 : (size_t)got;
    close(fd);
    return s;
}

/* The thread's own time: what others run beside it does not count. */
static uint64_t cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void bench(const struct tok *t, const char *what, const char *s, size_t n)
{
    struct ids ids;
    struct err e    = { 0 };
    uint64_t   best = UINT64_MAX;

    if (n > LIM_PROMPT_BYTES) n = LIM_PROMPT_BYTES;
    for (int i = 0; i < 7; i++) {
        ids_init(&ids, SIZE_MAX / 8);
        uint64_t t0 = cpu_us();
        if (tok_encode(t, (struct str){ s, n }, 0, &ids, &e) < 0) {
            printf("%-28s %s\n", what, e.msg);
            return;
        }
        uint64_t us = cpu_us() - t0;
        if (us < best) best = us;
        if (i < 6) ids_release(&ids);
    }
    printf("%-28s %8.1f MB/s  %6.2f bytes/token  %8.1f ms\n", what, (double)n / (double)best,
           (double)n / (double)(ids.n ? ids.n : 1), (double)best / 1000);
    ids_release(&ids);
}

int main(int argc, char **argv)
{
    struct gguf *g = NULL;
    struct tok  *t = NULL;
    struct err   e = { 0 };
    struct stat  st;
    int          fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;

    if (fd < 0 || fstat(fd, &st) < 0) {
        fprintf(stderr, "usage: bench_tok VOCAB.gguf [text-file ...]\n");
        return 2;
    }
    uint64_t t0 = cpu_us();
    if (gguf_open(fd, (uint64_t)st.st_size, argv[1], &g, &e) < 0) goto bad;
    uint64_t t1 = cpu_us();
    if (tok_from_gguf(g, &t, &e) < 0) goto bad;
    printf("%s: %s, %d tokens, file %.1f ms, vocabulary %.1f ms\n", argv[1], tok_kind(t), tok_n(t),
           (double)(t1 - t0) / 1000, (double)(cpu_us() - t1) / 1000);
    for (int i = 2; i < argc; i++) {
        size_t n;
        char  *s = slurp(argv[i], &n);
        bench(t, argv[i], s, n);
        free(s);
    }
    if (argc == 2) {
        static const struct { const char *name; const char *const *word; size_t n; bool spaces; } texts[] = {
            { "English", english, ARRAY_LEN(english), true },
            { "code", code, ARRAY_LEN(code), false },
            { "mixed scripts", mixed, ARRAY_LEN(mixed), true },
        };
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
            char *s = make(texts[i].word, texts[i].n, texts[i].spaces, i + 1);
            bench(t, texts[i].name, s, TEXT_BYTES);
            bench(t, "  first 2 KiB of it", s, 2048);
            free(s);
        }
        static const struct { const char *name, *unit; } hard[] = {
            { "8 MiB of spaces", " " }, { "8 MiB of line feeds", "\n" }, { "8 MiB of a", "a" },
            { "8 MiB of A", "A" }, { "8 MiB of 1", "1" }, { "8 MiB of 0xFF", "\xFF" }, { "8 MiB of ab", "ab" },
            { "8 MiB of ' \\n'", " \n" }, { "8 MiB of <", "<" }, { "8 MiB of <|", "<|" }, { "8 MiB of 'é'", "é" },
            { "8 MiB of CJK", "中" }, { "8 MiB of '.", "'." }, { "8 MiB of aA", "aA" }, { "8 MiB of a\xCC\x81", "a\xCC\x81\xCC\x80" },
        };
        char *s = malloc(MIB(8));
        for (size_t i = 0; s && i < ARRAY_LEN(hard); i++) {
            size_t k = strlen(hard[i].unit);
            for (size_t j = 0; j < MIB(8); j++) s[j] = hard[i].unit[j % k];
            bench(t, hard[i].name, s, MIB(8) / k * k);
        }
        free(s);
    }
    tok_free(t);
    gguf_close(g);
    close(fd);
    return 0;
bad:
    fprintf(stderr, "%s\n", e.msg);
    return 1;
}
