/* axera_opt.h - what --child KEY=VALUE says about a child program: each fact that builds differ in. */
#ifndef CURLEW_ENGINES_AXERA_AXERA_OPT_H
#define CURLEW_ENGINES_AXERA_AXERA_OPT_H

#include "base/arena.h"
#include "base/err.h"

#define AXERA_ENV_MAX 32

/* The generations of Axera's runner. */
enum axera_kind {
    AXERA_AUTO,
    AXERA_MAIN,  // a line dialogue on a terminal, each line a conversation of its own (2024)
    AXERA_CTX,   // the same with a conversation that it keeps (2025)
    AXERA_API,   // main_api_*: HTTP with a polled or an OpenAI-like form
    AXERA_AXLLM, // axllm serve: OpenAI's API (from December 2025)
    AXERA_NW1,   // no Axera program: one of the user's that speaks JSON lines (docs/npu-children.md)
};
const char *axera_kind_name(int kind);

enum { AXERA_RESET, AXERA_EXTEND };     // order of history's words
enum { AXERA_NONE, AXERA_FIRST };       // of reset-ids'
enum { AXERA_ARRAY, AXERA_OBJECT };     // of messages'
enum { AXERA_GUESS, AXERA_GENERATE, AXERA_OPENAI }; // of api's
enum { AXERA_TICKET, AXERA_TEXT };      // of send's
enum { AXERA_REFUSE, AXERA_IGNORE };    // of sampling's

struct axera_opts {
    int         kind;      // enum axera_kind
    const char *program;   // instead of the script's, or NULL
    const char *tokenizer; // tokenizer.json or its folder, or NULL
    const char *model;     // what an nw1 program is told to load, or NULL
    const char *arg[AXERA_ENV_MAX]; // [n_arg] of an nw1 program
    int         n_arg;
    const char *env[AXERA_ENV_MAX]; // [n_env] "NAME=VALUE"
    int         n_env;
    int64_t     port;      // of the tokenizer server for the child; 0: any
    int64_t     http_port; // of the child's HTTP; 0: any where the child takes one, 8000 where it is fixed
    int64_t     start_s, stall_s, cancel_s, health_s; // 0 start_s: by the size of the model
    int64_t     ctx, prompt; // tokens; 0: what the child says
    int         history, reset_ids, messages, api, send, sampling;
    bool        old_uid_error; // {"error"} with status 200 for an unknown uid
};

/* Read n words KEY=VALUE; strings stay in them. Error: BAD_CONFIG with the word and what is possible. */
NODISCARD int axera_opts_parse(const char *const *word, int n, struct axera_opts *ret, struct err *e);

#endif
