/* cpu_cache.c - packed weights in a file, so that the next start maps them instead of packing.
 *
 *     0      header, zeros up to a page
 *     4096   a checksum for each MiB of weights, zeros up to a page
 *     ...    the weights as they lie in memory: the packed matrices one after the other
 *
 * The layout of packed weights is the same for every instruction set. The file is for one model file (its size and
 * samples of its bytes), one list of matrices and one KERN_LAYOUT on a machine of the same byte order; whatever
 * does not agree makes it stale. All checksums are read before the first weight is used: two running sums of 64-bit
 * words in 8 lanes, in the manner of Fletcher (IEEE Transactions on Communications 30, 1982), which see every
 * changed word and every exchange. They are for accidents: who can write the file could as well have written the model,
 * and weights are never trusted to be anything but numbers.
 */
#include "engines/cpu/cpu_int.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "os/huge.h"

enum { PAGE = 4096, CHUNK = 1 << 20, SAMPLES = 64, LANES = 8 };

#define MAGIC "curlewpk"

struct header {
    char     magic[8];
    uint32_t order;  // 0x01020304 as this machine writes it
    uint32_t layout; // KERN_LAYOUT
    uint64_t plan;   // what the matrices are
    uint64_t source; // what the model file is
    uint64_t weights_bytes;
    uint64_t table; // checksum of the table
    uint64_t self;  // of all before
};

static uint64_t hash(uint64_t seed, const void *p, size_t n)
{
    const uint64_t key[2] = { seed, 0x6b63617065727063 };
    return map_hash(key, (struct str){ p, n });
}

/* --- what the file is for --- */

static uint64_t plan_hash(const struct engine *en)
{
    uint64_t h = hash(0, &en->weights_bytes, sizeof en->weights_bytes);

    for (int i = 0; i <= en->hp.n_layer; i++) {
        const struct cpu_mat *m;
        for (int k = 0; (m = i < en->hp.n_layer ? cpu_layer_mat(en, &en->layer[i], k) : k ? NULL : &en->output); k++) {
            if (!m->packed.panel_bytes) continue;
            const uint64_t is[] = { (uint64_t)(m->src->data - gguf_tensor_at(en->gguf, 0)->data), (uint64_t)m->src->type,
                                    (uint64_t)m->row0, (uint64_t)m->packed.rows, (uint64_t)m->packed.cols,
                                    (uint64_t)m->packed.type, m->packed.panel_bytes };
            h = hash(h, is, sizeof is);
        }
    }
    return h;
}

/* The whole file would take as long as packing it: its start, which has all names and places, and pieces. */
static uint64_t source_hash(const struct engine_file *f)
{
    unsigned char piece[PAGE];
    uint64_t      h = f->size;

    for (uint64_t i = 0; i <= SAMPLES; i++) {
        uint64_t at = f->size > PAGE ? (f->size - PAGE) / SAMPLES * i : 0;
        ssize_t  n = pread(f->fd, piece, sizeof piece, (off_t)at);
        h = hash(h ^ i, piece, n > 0 ? (size_t)n : 0);
    }
    return h;
}

static size_t n_chunk(size_t bytes) { return bytes / CHUNK + (bytes % CHUNK != 0); }
static size_t to_page(size_t n) { return (n + PAGE - 1) & ~(size_t)(PAGE - 1); }

static struct header header_for(const struct engine *en, const struct engine_file *f, const uint64_t *table)
{
    struct header h = { .order = 0x01020304, .layout = KERN_LAYOUT, .plan = plan_hash(en), .source = source_hash(f),
                        .weights_bytes = en->weights_bytes };

    memcpy(h.magic, MAGIC, 8);
    h.table = hash(1, table, n_chunk(en->weights_bytes) * sizeof *table);
    h.self = hash(2, &h, offsetof(struct header, self));
    return h;
}

/* --- checksums --- */

static uint64_t chunk_sum(const unsigned char *p, size_t n) // n a multiple of 64, as panels are
{
    uint64_t a[LANES] = { 0 }, b[LANES] = { 0 }, w[LANES];

    for (size_t at = 0; at < n; at += sizeof w) {
        memcpy(w, p + at, sizeof w);
        for (int j = 0; j < LANES; j++) {
            a[j] += w[j];
            b[j] += a[j];
        }
    }
    return hash(hash(3, a, sizeof a), b, sizeof b);
}

struct sum_job {
    const unsigned char *p;
    size_t               bytes;
    uint64_t            *table; // written, or compared with
    bool                 compare;
    _Atomic bool         differs;
};

static void sum_lane(void *ctx, struct lane *l)
{
    struct sum_job *job = ctx;

    for (int i; lane_next(l, (int)n_chunk(job->bytes), &i);) {
        size_t   at = (size_t)i * CHUNK, n = job->bytes - at < CHUNK ? job->bytes - at : CHUNK;
        uint64_t sum = chunk_sum(job->p + at, n);
        if (!job->compare)
            job->table[i] = sum;
        else if (job->table[i] != sum)
            atomic_store(&job->differs, true);
    }
}

/* --- reading --- */

/* NULL, or what is wrong with the mapped file. */
static const char *check(struct engine *en, const struct engine_file *src, unsigned char *map)
{
    struct header h;
    uint64_t     *table = (uint64_t *)(void *)(map + PAGE);

    memcpy(&h, map, sizeof h);
    if (memcmp(h.magic, MAGIC, 8)) return "it is no cache of ours";
    struct header want = header_for(en, src, table);
    if (memcmp(&h, &want, sizeof h)) return "it is of another model or version";
    struct sum_job job = { .p = map + PAGE + to_page(n_chunk(en->weights_bytes) * sizeof *table),
                           .bytes = en->weights_bytes, .table = table, .compare = true };
    pool_run(en->pool, sum_lane, &job);
    if (job.differs) return "its weights are damaged";
    en->weights = (unsigned char *)job.p;
    return NULL;
}

bool cpu_cache_read(struct engine *en, const struct engine_file *src, struct engine_cache *c)
{
    size_t      bytes = PAGE + to_page(n_chunk(en->weights_bytes) * sizeof(uint64_t)) + en->weights_bytes;
    uint64_t    start = clock_mono_us();
    const char *wrong = "its length is another";

    if (!c || c->state != ENGINE_CACHE_THERE) return false;
    if (c->size == bytes) {
        void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, c->fd, 0);
        wrong = map == MAP_FAILED ? err_errno(errno) : check(en, src, map);
        if (!wrong) {
            en->map = map;
            en->map_bytes = bytes;
            c->state = ENGINE_CACHE_USED;
            log_info("repack_cache_used", "model=%s mib=%zu us=%llu", src->name, bytes >> 20,
                     (unsigned long long)(clock_mono_us() - start));
            return true;
        }
        if (map != MAP_FAILED) munmap(map, bytes);
    }
    c->state = ENGINE_CACHE_STALE;
    log_warn("repack_cache_stale", "model=%s why=\"%s\"", src->name, wrong);
    return false;
}

/* --- writing --- */

static bool put(int fd, const void *p, size_t n)
{
    while (n) {
        ssize_t k = write(fd, p, n < (size_t)1 << 30 ? n : (size_t)1 << 30);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        p = (const char *)p + k;
        n -= (size_t)k;
    }
    return true;
}

void cpu_cache_write(struct engine *en, const struct engine_file *src, struct engine_cache *c)
{
    size_t   chunks = n_chunk(en->weights_bytes), table_bytes = to_page(chunks * sizeof(uint64_t));
    uint64_t start = clock_mono_us();

    if (!c || c->state != ENGINE_CACHE_WANTED || !en->weights_bytes) return;
    c->state = ENGINE_CACHE_FAILED;
    uint64_t *table = huge_alloc(table_bytes); // zeros
    if (!table) return;
    struct sum_job job = { .p = en->weights, .bytes = en->weights_bytes, .table = table };
    pool_run(en->pool, sum_lane, &job);
    unsigned char page[PAGE] = { 0 };
    struct header h = header_for(en, src, table);
    memcpy(page, &h, sizeof h);
    if (put(c->fd, page, PAGE) && put(c->fd, table, table_bytes) && put(c->fd, en->weights, en->weights_bytes)) {
        c->state = ENGINE_CACHE_WRITTEN;
        log_info("repack_cache_written", "model=%s mib=%zu us=%llu", src->name, en->weights_bytes >> 20,
                 (unsigned long long)(clock_mono_us() - start));
    } else {
        log_warn("repack_cache_not_written", "model=%s error=\"%s\"", src->name, err_errno(errno));
    }
    huge_free(table, table_bytes);
}
