/* options.h - the settings, one field per row of the table in options.c. */
#ifndef CURLEW_CONF_OPTIONS_H
#define CURLEW_CONF_OPTIONS_H

#include "conf/opt.h"

enum { THINK_WORD_AUTO, THINK_WORD_ON, THINK_WORD_OFF }; // order of --think
enum { LOG_WORD_ERROR, LOG_WORD_WARN, LOG_WORD_INFO, LOG_WORD_DEBUG }; // order of --log-level

struct settings {
    /* what to serve */
    struct opt_list model;  // paths
    struct opt_list alias;  // n-th: id of the n-th model
    const char     *engine; // "auto", "cpu", "script:FILE", "axera:PATH"
    struct opt_list child;  // KEY=VALUE for the program of "axera:"

    /* where */
    const char     *host;
    int64_t         port;
    struct opt_list allow_host;
    struct opt_list allow_origin;

    /* how */
    int64_t ctx;      // tokens, 0: the model's own
    int64_t parallel; // sequences at once
    int64_t batch;    // tokens of one forward
    int64_t kv_bytes; // 0: parallel x ctx
    int64_t threads;  // 0: as many as the machine gives us
    int64_t queue;    // waiting requests

    /* text */
    struct opt_list chat_template;   // n-th: of the n-th model, a file or a built-in one's name; "": its own
    struct opt_list answer_format;   // n-th likewise: a format of answers (chat/split.h); "auto"
    int             reasoning_field; // index of --reasoning-field's words
    int             think;           // of --think's

    /* limits */
    int64_t conns;
    int64_t body_bytes;
    int64_t queue_ms;
    int64_t head_ms;
    int64_t body_ms;
    int64_t keepalive_ms;
    int64_t ping_ms;

    /* reports */
    int log_level; // index of --log-level's words

    /* bench */
    int64_t prompt;
    int64_t generate;
    int64_t repeat;
    int64_t together;
    bool    json;

    /* commands */
    struct opt_list arg;         // what stands on the command line and is no flag
    const char     *system;      // system message, or NULL
    const char     *temperature; // a number
    int64_t         max_tokens;  // of an answer, 0: to the context's end
    int64_t         seed;        // -1: a random one
    bool            tensors;
    bool            metadata;
    bool            decode;
    bool            special;
    const char     *file;     // a template's, or NULL
    bool            repair;
    const char     *tmpl;     // a template's file, or NULL
    const char     *format;   // of answers, or NULL
    int64_t         pieces;   // bytes
    int64_t         tok_port; // --port of the tokenizer server
};

#endif
