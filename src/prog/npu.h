/* npu.h - what serving a model on a vendor's NPU takes besides: which files, which options, which machine. */
#ifndef CURLEW_PROG_NPU_H
#define CURLEW_PROG_NPU_H

#include "engines/rkllm/engine_rkllm.h"
#include "prog/models.h"

#define NPU_TEMPLATE "beside.jinja" // what the worker calls the chat_template.jinja beside a model

/* Is this model one for Rockchip's library, by the settings and its file's name? */
bool npu_is_rkllm(const struct settings *s, const char *base);

/* For the supervisor: the machine's chip ("rk3588"), NULL when it has none that is known. Error: the option. */
NODISCARD int npu_platform(const struct settings *s, const char **ret, struct err *e);
/* Open what lies beside a model, and refuse one that was made for another chip, or settings that cannot be. */
NODISCARD int npu_open_beside(struct model_spec *m, struct err *e);
/* The address space of the n-th NPU model. Error: the option. */
NODISCARD int npu_domain(const struct settings *s, int n, int64_t *ret, struct err *e);
/* A new descriptor of the lock that NPU loads take in turn, or -1: none, which is logged. */
int npu_lock_open(const struct settings *s);

/* For the worker: the settings as the engine wants them. */
NODISCARD int npu_conf(const struct settings *s, struct rkllm_conf *ret, struct err *e);

#endif
