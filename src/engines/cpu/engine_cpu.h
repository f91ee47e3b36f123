/* engine_cpu.h - the native engine: GGUF models on this machine's processors (ENGINE_FORWARD).
 *
 * Files: file[0] is the model. The environment variable CPU chooses the instruction sets (os/cpu.h).
 * Everything is allocated by open: forward calls no malloc. System calls while it runs: futex only; in
 * open and close also mmap, munmap, madvise, and what pool.h names to start threads.
 */
#ifndef CURLEW_ENGINES_ENGINE_CPU_H
#define CURLEW_ENGINES_ENGINE_CPU_H

#include "engine.h"

extern const struct engine_ops engine_cpu;

#endif
