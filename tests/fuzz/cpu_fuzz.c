/* cpu_fuzz.c - any bytes as a model file of the native engine: open it, and run two tokens where it was taken.
 *
 * The files in tests/data/model are good seeds: give that folder to libFuzzer as one more corpus. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "engines/cpu/engine_cpu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct engine *en = NULL;
    struct err     e = { 0 };
    int fd = memfd_create("model", MFD_CLOEXEC);

    if (fd < 0) return 0;
    log_init(LOG_LVL_ERROR, "cpu_fuzz"); // a lowered context is no news
    if (size && write(fd, data, size) == (ssize_t)size) {
        const struct engine_file file = { "fuzz.gguf", fd, size };
        const struct engine_conf conf = { .file = &file, .n_file = 1, .n_thread = 1, .n_ctx = 64, .n_seq = 1,
                                          .n_batch = 2, .kv_bytes = MIB(64), .kv_type = (enum engine_kv)(size & 1) };
        if (engine_cpu.open(&conf, &en, &e)) {
            FUZZ_CHECK(e.code && e.msg[0] && !en);
        } else {
            static const int32_t page[2] = { 0, 1 }, win[2] = { 0, 0 }, tok[2] = { 0, 0 };
            struct engine_info   info;
            engine_cpu.info(en, &info);
            FUZZ_CHECK(info.n_ctx >= 1 && info.n_vocab >= 1 && info.n_kv_page >= 1 && info.kv_bytes <= MIB(64));
            const struct engine_run   run = { tok, info.n_ctx < 2 ? 1 : 2, 0, page, 1, info.n_swa ? win : NULL };
            const struct engine_batch batch = { &run, 1 };
            FUZZ_CHECK(engine_cpu.forward(en, &batch, &e) == 0 && engine_cpu.logits(en, 0));
            engine_cpu.close(en);
        }
    }
    close(fd);
    return 0;
}
