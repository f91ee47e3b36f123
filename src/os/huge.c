/* huge.c - see huge.h. */
#include "os/huge.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/mem.h"

#define HUGE_PAGE ((size_t)2 << 20)

void *huge_alloc(size_t size)
{
    /* The switch that makes allocations fail in tests is in mem.c: pass by it. */
    void *door = mem_alloc(1);
    if (!door) return NULL;
    mem_free(door);

    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_PAGE) (void)madvise(p, size, MADV_HUGEPAGE); // a wish
#endif
    return p;
}

void huge_free(void *p, size_t size)
{
    if (p) munmap(p, size);
}

void huge_drop_file(const void *p, size_t size)
{
    const uintptr_t page = 4096;
    uintptr_t from = ((uintptr_t)p + page - 1) & ~(page - 1), to = ((uintptr_t)p + size) & ~(page - 1);

    if (from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
}
