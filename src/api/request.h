/* request.h - a request's JSON body to a chat_req, field by field from one table. */
#ifndef CURLEW_API_REQUEST_H
#define CURLEW_API_REQUEST_H

#include "chat/chat.h"
#include "json/json.h"

enum api_kind {
    API_CHAT       = 1 << 0,
    API_COMPLETION = 1 << 1,
    API_TEXT       = 1 << 2, // tokenize, detokenize, apply-template
};

#define API_IGNORED_BYTES 1024 // names of fields without effect, for a reply header

struct api_req {
    struct chat_req r;     // of one prompt; the others differ in prompt and prompt_tok only
    struct str      model;
    bool            stream;
    bool            include_usage;

    /* completions: the prompts; at least one */
    struct api_prompt {
        struct str     text;
        const int32_t *tok; // [n_tok], or NULL
        int            n_tok;
    } *prompt;
    int n_prompt;

    /* questions about text */
    struct str     text; // or STR_NULL
    const int32_t *tok;  // [n_tok], or NULL
    int            n_tok;
    bool           add_special, parse_special, pieces, offsets;

    uint32_t tuned;                  // fields given that not every engine obeys: api_effect_bit
    char ignored[API_IGNORED_BYTES]; // "user, metadata": accepted, without effect
};

/* Add a field's name to `ignored`. */
void api_req_ignore(struct api_req *q, struct str name);

/* effect.c: the bit of a field in `tuned`, 0 when every engine obeys it; and note those as ignored that a model
 * with these abilities (enum chat_can) does not. */
uint32_t api_effect_bit(struct str name);
void     api_effect_note(struct api_req *q, unsigned can);

/* Parse body. Everything kept is in `a`. Errors name the field (param), the value found and what is
 * allowed. null counts as absent. */
NODISCARD int api_req_parse(struct str body, enum api_kind kind, struct arena *a, struct api_req *ret,
                            struct err *e);

#endif
