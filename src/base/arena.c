/* arena.c - bump allocation in growing blocks. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define ALIGN     16u
#define FIRST_CAP 1024u
#define BLOCK_CAP (64u * 1024u)

struct arena_block {
    struct arena_block *next; // older
    size_t              cap;
    size_t              at;
    ALIGNED(ALIGN) char data[];
};

void arena_init(struct arena *a, size_t bytes_max)
{
    *a = (struct arena){ .bytes_max = bytes_max };
}

void arena_release(struct arena *a)
{
    if (!a) return;
    while (a->head) {
        struct arena_block *b = a->head;
        a->head = b->next;
        mem_free(b);
    }
    a->used = 0;
}

void arena_clear(struct arena *a)
{
    struct arena_block *keep = a->head;

    for (struct arena_block *b = a->head; b; b = b->next)
        if (b->cap > keep->cap) keep = b;
    while (a->head) {
        struct arena_block *b = a->head;
        a->head = b->next;
        if (b != keep) mem_free(b);
    }
    if (keep) {
        keep->next = NULL;
        keep->at   = 0;
    }
    a->head = keep;
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2) return NULL;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size > a->bytes_max || a->used > a->bytes_max - size) return NULL;

    struct arena_block *b = a->head;
    if (!b || b->cap - b->at < size) {
        size_t cap = b ? b->cap * 2 : FIRST_CAP;
        if (cap > BLOCK_CAP) cap = BLOCK_CAP;
        if (cap < size) cap = size;
        b = mem_alloc(sizeof *b + cap);
        if (!b) return NULL;
        *b      = (struct arena_block){ .next = a->head, .cap = cap };
        a->head = b;
    }
    void *p = b->data + b->at;
    b->at += size;
    a->used += size;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);

    if (p) memset(p, 0, size);
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total)) return NULL;
    return arena_zalloc(a, total);
}

struct str arena_str(struct arena *a, struct str s)
{
    if (s.n == SIZE_MAX) return STR_NULL;
    char *p = arena_alloc(a, s.n + 1);

    if (!p) return STR_NULL;
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (struct str){ p, s.n };
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) return STR_NULL;

    char *p = arena_alloc(a, (size_t)n + 1);
    if (!p) return STR_NULL;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return (struct str){ p, (size_t)n };
}
