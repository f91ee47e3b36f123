/* fake_brain.h - where the fake library's answers come from: a script, or a small real model.
 *
 * A fake model file is text:
 *
 *     FAKE-RKLLM 1
 *     toolkit=1.2.3             also: platform, dtype
 *     max_context_limit=4096
 *     npu_cores=3
 *     tok_ms=0                  milliseconds a token
 *     prefill_ms=0              milliseconds a token of the prompt
 *     eos=257                   a token that is called back before the end; -1: none is
 *     gguf=curlew-tiny.gguf     a real model beside this file answers, greedily; else the script does:
 *     on=weather|It rains.      the answer to prompts that contain the text (\n is a line end)
 *     answer=Hello!             ... to all others; "echo": the prompt itself
 *
 * A scripted model's tokens are bytes; ids from 256 on are special and no text.
 */
#ifndef FAKE_BRAIN_H
#define FAKE_BRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_ONS 32

struct brain;

struct fake_model {
    char  toolkit[16], platform[16], dtype[16];
    int   max_context_limit, npu_cores, tok_ms, prefill_ms, eos;
    char *on[FAKE_ONS], *then[FAKE_ONS];
    int   n_on;
    char *answer;
    struct brain *brain; // the real model, or NULL
};

/* NULL: not a fake model, *why says what the real library would. */
struct fake_model *fake_model_open(const char *path, const char **why);
void               fake_model_close(struct fake_model *m);

/* A text's tokens in a list to be freed; *n of them. */
int32_t *fake_encode(const struct fake_model *m, const char *text, size_t *n);

/* One answer, token by token. */
struct fake_answer;
struct fake_answer *fake_answer_begin(struct fake_model *m, const int32_t *tok, size_t n);
/* The next token: its id and the bytes that it adds, *n_bytes of them (not whole characters, necessarily). False:
 * the answer is over. */
bool fake_answer_next(struct fake_answer *a, int32_t *tok, const char **bytes, size_t *n_bytes);
void fake_answer_end(struct fake_answer *a);

#endif
