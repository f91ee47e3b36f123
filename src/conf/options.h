/* options.h - the settings, one field per row of the table in options.c. */
#ifndef CURLEW_CONF_OPTIONS_H
#define CURLEW_CONF_OPTIONS_H

#include "conf/opt.h"
#include "conf/upstream.h"

enum { RKLLM_WORD_AUTO, RKLLM_WORD_TEXT };       // order of --rkllm-input and --rkllm-output
enum { RKLLM_WORD_OWN, RKLLM_WORD_LIBRARY };     // order of --rkllm-template
enum { RKLLM_WORD_PATH, RKLLM_WORD_FD };         // order of --rkllm-path
enum { THINK_WORD_AUTO, THINK_WORD_ON, THINK_WORD_OFF }; // order of --think
enum { LOG_WORD_ERROR, LOG_WORD_WARN, LOG_WORD_INFO, LOG_WORD_DEBUG }; // order of --log-level
enum { BUSY_QUEUE, BUSY_REJECT };                                          // of --busy
enum { THINK_CONTENT, THINK_REASONING, THINK_BOTH, THINK_NONE };           // of --reasoning-field

struct conf_source; // conf.h

/* A model that the configuration file describes: an entry of its `models` list. */
struct conf_model {
    const char            *where; // "FILE:LINE:COLUMN", for messages
    const char            *id;    // or NULL: the file's name
    const char            *path;  // or NULL: it has upstreams
    const struct conf_upstream *upstream; // [n_upstream] servers that answer for it
    int                    n_upstream;
    struct opt_list        alias; // other names
    const struct settings *own;   // everybody's settings, and what the entry says differently
};

struct settings {
    /* what to serve */
    struct opt_list model;  // paths
    struct opt_list alias;  // n-th: id of the n-th model
    const char     *engine; // "auto", "cpu", "script:FILE", "axera:PATH"
    struct opt_list child;  // KEY=VALUE for the program of "axera:"
    const char     *config; // the file that was read, or NULL
    const char     *models_dir;
    const struct conf_model  *models; // [n_models] of the file
    int                       n_models;
    const struct conf_source *source; // to read all of it again; NULL but in `serve`
    struct opt_list upstream;         // "NAME=URL" or URL
    const char     *upstream_key_file; // of those, or NULL
    const char     *upstream_ca_file; // or NULL: the system's
    int64_t         upstream_connect_ms, upstream_idle_ms, upstream_health_ms;
    struct opt_list           note;   // what was accepted without effect, for the log

    /* each model's own */
    const char *chat_template;   // file or built-in name, or NULL
    const char *answer_format;   // a format of answers by its name (chat/split.h), or NULL
    int         reasoning_field; // THINK_...

    /* where */
    struct opt_list listen; // places; conf_load leaves at least one
    const char     *host;
    int64_t         port;
    const char     *admin_key_file; // or NULL
    int             compat; // enum compat_who
    bool            strict;
    int             busy;   // BUSY_...
    struct opt_list allow_host;
    struct opt_list allow_origin;

    /* how */
    int64_t ctx;      // tokens, 0: the model's own
    int64_t parallel; // sequences at once
    int64_t batch;    // tokens of one forward
    int64_t kv_bytes; // 0: parallel x ctx
    int     kv_type;  // enum engine_kv: index of --kv-type's words
    bool    context_shift; // for requests that do not say
    int64_t threads;  // 0: as many as the machine gives us
    const char *repack_cache; // a directory, or "off"
    int64_t queue;    // waiting requests
    int     spec;     // index of --spec's words

    /* text */
    int think; // THINK_WORD_...

    /* limits */
    int64_t conns;
    int64_t body_bytes;
    int64_t queue_ms;
    int64_t head_ms;
    int64_t body_ms;
    int64_t keepalive_ms;
    int64_t ping_ms;

    /* NPU models: engines/rkllm */
    const char     *npu_platform; // "auto", "rk3588" ...
    int64_t         npu_cores;    // 0: as the model's name says
    const char     *npu_cpus;     // mask as text, or "auto"
    const char     *npu_domain;   // address spaces of the models, "0,1"; in a worker: its own
    struct opt_list npu_allow;
    int64_t         npu_stall_ms;
    const char     *npu_lock;
    const char     *rkllm_library;
    const char     *rkllm_layout;
    const char     *rkllm_sampling;
    bool            rkllm_reuse;
    const char     *rkllm_lora;
    const char     *rkllm_prompt_cache;
    int             rkllm_input;    // index of its words
    int             rkllm_output;
    int             rkllm_template;
    int             rkllm_path;

    /* reports */
    int log_level; // index of --log-level's words

    /* bench */
    int64_t prompt;
    int64_t generate;
    int64_t repeat;
    int64_t together;
    bool    json;
    const char *peer;    // a program, or NULL
    const char *serve;   // a server's address, or NULL
    const char *clients; // numbers with commas between
    const char *words;   // likewise
    int64_t     pid;     // 0: none

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
