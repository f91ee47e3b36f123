/* rkllm_doctor.h - look at a library and say what it is: for `curlew doctor rkllm`.
 *
 * Each line is written at once, so that what was found before a crash is there. Run them in a process that
 * may end: they run the vendor's code.
 */
#ifndef CURLEW_ENGINES_RKLLM_RKLLM_DOCTOR_H
#define CURLEW_ENGINES_RKLLM_RKLLM_DOCTOR_H

#include "engines/rkllm/engine_rkllm.h"

/* Functions, version, every default by its name, verdict; to descriptor `out`. True: it can be used. */
bool rkllm_doctor_library(const struct rkllm_conf *c, int out);
/* Load a model and let it say a few words. True: it did. */
bool rkllm_doctor_model(const struct rkllm_conf *c, const struct engine_file *file, int n_ctx, int out);

#endif
