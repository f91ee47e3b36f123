/* request.h - a request's JSON body to a chat_req, field by field from one table. */
#ifndef CURLEW_API_REQUEST_H
#define CURLEW_API_REQUEST_H

#include "chat/chat.h"
#include "json/json.h"

enum api_kind {
    API_CHAT       = 1 << 0,
    API_COMPLETION = 1 << 1,
    API_TEXT       = 1 << 2, // tokenize, detokenize, apply-template
    API_EMBED      = 1 << 8, // embeddings
    API_RERANK     = 1 << 9,
    API_INFILL     = 1 << 10, // llama.cpp's /infill
    API_NATIVE     = 1 << 11, // llama.cpp's /completion
};

#define API_IGNORED_BYTES 1024 // names of fields without effect, for a reply header

struct api_req {
    struct chat_req r;     // of one prompt; the others differ in prompt and prompt_tok only
    struct str      model;
    bool            stream;
    bool            include_usage;
    int             best_of;   // completions: answers to generate
    int             n_shown;   // of r.n_choice answers to a prompt, so many come back: n
    bool            show_lps;  // logprobs were asked for; best_of needs them, too
    bool            obfuscate; // stream_options.include_obfuscation

    /* completions: the prompts; at least one */
    struct api_prompt {
        struct str     text;
        const int32_t *tok; // [n_tok], or NULL
        int            n_tok;
    } *prompt;
    int n_prompt;

    struct str prefix; // infill: input_prefix, or STR_NULL

    /* questions about text */
    struct str     text; // or STR_NULL
    const int32_t *tok;  // [n_tok], or NULL
    int            n_tok;
    bool           add_special, parse_special, pieces, offsets;

    /* embeddings, rerank: texts are in r.input */
    bool base64;
    bool with_documents; // the reply repeats them
    int  top_n;          // results wanted; 0: all

    char     ignored[API_IGNORED_BYTES]; // "user, metadata": accepted, without effect
    int      n_ignored;                  // how many, also those that the list has no place for
    uint64_t given;                      // bits of fields that not all engines obey (caps.h)
};

/* What a request that says nothing asks for. */
void api_req_init(enum api_kind kind, struct api_req *ret);
/* One more field without effect. */
void api_req_ignore(struct api_req *q, struct str name);

/* Parse body. Everything kept is in `a`. Errors name the field (param), the value found and what is
 * allowed. null counts as absent. */
NODISCARD int api_req_parse(struct str body, enum api_kind kind, struct arena *a, struct api_req *ret,
                            struct err *e);

#endif
