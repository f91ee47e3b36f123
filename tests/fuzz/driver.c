/* driver.c - run a fuzz target without libFuzzer: every file of a corpus, then mutations of them.
 *
 *   x_fuzz CORPUS [N [SEED]]     every file, then N mutations with this seed (0 and 1 by default)
 *   x_fuzz FILE                  that one input: to look at a crash
 *
 * The same corpus, N and SEED give the same inputs. An input that kills the target is written to
 * crash-x_fuzz in the working directory.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"

#define FILE_BYTES_MAX  MIB(4)
#define INPUT_BYTES_MAX (2 * FILE_BYTES_MAX)
#define FILES_MAX       10000

struct file {
    char      *path; // owned
    struct buf text;
};

static struct file *file;
static size_t       n_file, cap_file;

static struct buf input; // the one being run
static char       crash_path[300] = "crash";

static void save_crash(void)
{
    int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0) return;
    ssize_t n = write(fd, input.p, input.n);
    close(fd);
    static const char said[] = "fuzz driver: the input is in the file ";
    if (n == (ssize_t)input.n && write(2, said, sizeof said - 1) > 0 &&
        write(2, crash_path, strlen(crash_path)) > 0)
        (void)!write(2, "\n", 1);
}

static void on_signal(int sig)
{
    save_crash();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* The sanitizers call this, when they are there, before they end the process. */
void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

static void watch_crashes(const char *program)
{
    static const int sigs[] = { SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP };
    const char      *base   = strrchr(program, '/');

    snprintf(crash_path, sizeof crash_path, "crash-%.200s", base ? base + 1 : program);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(save_crash);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(sigs); i++) signal(sigs[i], on_signal);
}

static void die(const char *what, const char *which)
{
    fprintf(stderr, "fuzz driver: %s %s\n", what, which);
    exit(2);
}

static void load(const char *path)
{
    char  block[4096];
    FILE *f = fopen(path, "rb");

    if (!f) die("cannot read", path);
    if (n_file == FILES_MAX || mem_grow(&file, &cap_file, n_file + 1, sizeof *file, FILES_MAX))
        die("too many files at", path);
    struct file *it = &file[n_file++];
    it->path        = strdup(path);
    buf_init(&it->text, FILE_BYTES_MAX);
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;) buf_put(&it->text, block, n);
    fclose(f);
    if (!it->path || it->text.failed) die("too large:", path);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

/* A missing folder is an empty corpus: a new target has none yet. */
static void load_dir(const char *path)
{
    DIR *d = opendir(path);
    char name[4096];

    if (!d) return;
    for (const struct dirent *it; (it = readdir(d));) {
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", path, it->d_name);
        if (stat(name, &st) == 0 && S_ISREG(st.st_mode)) load(name);
    }
    closedir(d);
    if (n_file) qsort(file, n_file, sizeof *file, by_path);
}

/* The target gets a copy of exactly its size: the sanitizer sees one byte too far. */
static void run_input(void)
{
    uint8_t *copy = mem_alloc(input.n);

    if (!copy) die("out of memory", "");
    if (input.n) memcpy(copy, input.p, input.n);
    LLVMFuzzerTestOneInput(copy, input.n);
    mem_free(copy);
}

/* --- mutations --- */

static void overwrite(struct rng *r, size_t at, size_t n)
{
    /* Numbers that break things: borders of signed and unsigned, and small ones. */
    static const uint64_t odd[] = { 0,
                                    1,
                                    2,
                                    7,
                                    8,
                                    9,
                                    12,
                                    13,
                                    127,
                                    128,
                                    255,
                                    256,
                                    32767,
                                    65535,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    1ull << 32,
                                    1ull << 61,
                                    INT64_MAX,
                                    1ull << 63,
                                    UINT64_MAX,
                                    UINT64_MAX - 31 };
    uint64_t              v     = rng_below(r, 3) ? odd[rng_below(r, ARRAY_LEN(odd))] : rng_u64(r);

    for (size_t i = 0; i < n && at + i < input.n; i++) input.p[at + i] = (char)(v >> (8 * i));
}

/* Replace n bytes at `at` by a piece of a file of the corpus. */
static void insert_piece(struct rng *r, size_t at, size_t n)
{
    const struct buf *from  = &file[rng_below(r, n_file)].text;
    size_t            start = rng_below(r, from->n + 1), len = rng_below(r, from->n - start + 1);
    struct buf        out;

    if (rng_below(r, 4)) len = len > 64 ? 64 : len;
    buf_init(&out, INPUT_BYTES_MAX);
    buf_put(&out, input.p, at);
    buf_put(&out, from->p + start, len);
    buf_put(&out, input.p + at + n, input.n - at - n);
    if (out.failed) {
        buf_release(&out);
        return;
    }
    buf_release(&input);
    input = out;
}

static void mutate(struct rng *r)
{
    static const char text[] = "{}[]()<>\"'\\/:;,.%#$&*+-|?!=_ \n\r\t\0019aZ";

    size_t at = rng_below(r, input.n + 1), n = input.n - at;
    if (rng_below(r, 8)) n = n > 16 ? 16 : n;
    n = rng_below(r, n + 1);
    switch (rng_below(r, 7)) {
    case 0: insert_piece(r, at, n); break;
    case 1: // cut the end
        if (!rng_below(r, 4)) input.n = at;
        break;
    case 2: // take a piece out
        memmove(input.p + at, input.p + at + n, input.n - at - n);
        input.n -= n;
        break;
    case 3: insert_piece(r, at, 0); break;
    case 4: overwrite(r, at, (size_t)1 << rng_below(r, 4)); break;
    case 5:
        if (at < input.n) input.p[at] = text[rng_below(r, sizeof text - 1)];
        break;
    default:
        if (at < input.n) input.p[at] = (char)(input.p[at] ^ 1 << rng_below(r, 8));
        break;
    }
}

static void run_mutations(uint64_t n, uint64_t seed)
{
    struct rng r;

    rng_seed(&r, seed);
    for (uint64_t i = 0; i < n; i++) {
        const struct buf *from = &file[rng_below(&r, n_file)].text;
        buf_clear(&input);
        buf_put(&input, from->p, from->n);
        if (!from->n) // of nothing: noise
            for (uint64_t k = rng_below(&r, 64); k; k--) buf_byte(&input, (char)rng_u64(&r));
        for (uint64_t k = 1 + rng_below(&r, 4); k; k--)
            if (input.n) mutate(&r);
        run_input();
    }
}

int main(int argc, char **argv)
{
    uint64_t    n = 0, seed = 1;
    struct stat st;

    if (argc < 2 || argc > 4 || (argc > 2 && !str_to_u64(str_c(argv[2]), &n)) ||
        (argc > 3 && !str_to_u64(str_c(argv[3]), &seed)))
        die("usage: CORPUS [N [SEED]], not", argc > 1 ? argv[1] : "nothing");
    watch_crashes(argv[0]);
    buf_init(&input, INPUT_BYTES_MAX);
    if (stat(argv[1], &st) == 0 && S_ISREG(st.st_mode))
        load(argv[1]);
    else
        load_dir(argv[1]);

    size_t n_loaded = n_file;
    if (!n_file) load("/dev/null");
    for (size_t i = 0; i < n_file; i++) {
        buf_clear(&input);
        buf_put(&input, file[i].text.p, file[i].text.n);
        run_input();
    }
    run_mutations(n, seed);
    printf("%zu files, %llu mutations, seed %llu: survived\n", n_loaded, (unsigned long long)n,
           (unsigned long long)seed);
    for (size_t i = 0; i < n_file; i++) {
        buf_release(&file[i].text);
        free(file[i].path);
    }
    mem_free(file);
    buf_release(&input);
    return 0;
}
