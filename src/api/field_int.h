/* field_int.h - one row for each request field: how it is read, and what it means for us. */
#ifndef CURLEW_API_FIELD_INT_H
#define CURLEW_API_FIELD_INT_H

#include "api/request.h"

enum field_kind {
    FIELD_INT,    // int at offset, min..max; 3.0 counts as 3
    FIELD_NUM,    // float at offset, min..max
    FIELD_BOOL,   // bool at offset
    FIELD_STR,    // struct str at offset
    FIELD_PARSE,  // parse() reads it
    FIELD_IDLE,   // accepted without effect, listed in x-curlew-ignored
    FIELD_REFUSE, // what it asks for cannot be done: 400, unless its value is the harmless one
};

struct parse {
    struct api_req *q;
    struct arena   *a;
    enum api_kind   kind;
    int             n_max_new; // max_completion_tokens, which wins over max_tokens; -2: absent
    int             think;     // enable_thinking: -1 absent, else 0 or 1
    const struct json *root; // the body
    struct str      kwargs;    // chat_template_kwargs as JSON text
    bool            top_logprobs_given;
    bool            stream_options_given;
    bool            add_prompt_given;
    bool            choice_only;    // tool_choice listed allowed_tools: [n_allowed] names
    struct str     *allowed;
    int             n_allowed;
};

typedef int field_fn(struct parse *p, const char *name, const struct json *v, struct err *e);

struct field {
    const char     *name;
    enum field_kind kind;
    unsigned        apis; // enum api_kind
    double          min, max;
    size_t          offset; // in struct api_req
    field_fn       *parse;
    const char     *help;
};

extern const struct field field_table[];
extern const size_t       field_count;

/* Messages and tools have files of their own, and so have the forms that an answer may be held to. */
field_fn field_response_format, field_form_schema, field_form_grammar, field_form_regex, field_form_choice, field_structured;
field_fn field_messages, field_tools, field_tool_choice, field_functions;

/* Texts to embed and documents to compare are in field_embed.c. */
field_fn field_input, field_encoding, field_query, field_rank_documents;

/* A list of token ids. Error: INVALID_VALUE. */
NODISCARD int field_token_ids(struct parse *p, const char *name, const struct json *v, const int32_t **ret, int *ret_n,
                              struct err *e);
/* Sampling and the end of an answer (field_sample.c). */
field_fn field_samplers, field_breakers, field_stop_tokens, field_logit_bias;

/* The name of a nested field ("messages[3].content"), cut if it is too long. */
void field_path(char dst[ERR_PARAM_MAX], const char *fmt, ...) PRINTF_LIKE(2, 3);

/* tool_choice against the tools, which may come after it. */
NODISCARD int field_choice_check(struct parse *p, struct err *e);

int field_type_err(const char *name, const struct json *v, const char *want, struct err *e);

#endif
