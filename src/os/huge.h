/* huge.h - large memory straight from the system: page-aligned, zero, in huge pages where it gives them,
 * taken from the machine only when touched. For weights, KV caches and large scratch: with 4 KiB pages
 * a matrix-vector product loses several percent to address translation.
 */
#ifndef CURLEW_OS_HUGE_H
#define CURLEW_OS_HUGE_H

#include <stddef.h>

#include "base/cc.h"

/* NULL when the system refuses; counts as an allocation of base/mem.h. size > 0. */
NODISCARD void *huge_alloc(size_t size);
void            huge_free(void *p, size_t size); // NULL is fine

/* The pages that lie wholly in p .. p + size of a file's mapping may leave memory; reading them again
 * fetches them from the file. */
void huge_drop_file(const void *p, size_t size);

#endif
