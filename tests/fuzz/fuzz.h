/* fuzz.h - what a fuzz target is: one function that takes any bytes and survives.
 *
 * Targets are tests/fuzz/x_fuzz.c; a room adds its own with `fuzz_targets += { 'x_fuzz': [deps] }`.
 * Each is linked with driver.c, which replays the corpus (tests/fuzz/corpus/x) and fixed-seed
 * mutations of it in the suite `fuzz`; under clang with -fsanitize=fuzzer-no-link it is linked with
 * libFuzzer too (tests/fuzz/meson.build).
 */
#ifndef CURLEW_TESTS_FUZZ_H
#define CURLEW_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0. Whatever the bytes: no crash, leak or endless loop, no memory out of proportion. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise that the code under test must keep; unlike assert it is never compiled away. */
#define FUZZ_CHECK(x) ((x) ? (void)0 : __builtin_trap())

#endif
