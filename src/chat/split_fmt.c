/* split_fmt.c - the tables: which marks there are, and which of them a template means.
 *
 * A format is a handful of rules, each a pair of marks around calls. Source of every row: the chat
 * templates that the families publish (their marks are facts; the texts are theirs).
 */
#include "chat/split_int.h"

#include <string.h>

const struct split_pair split_think_tab[] = {
    { "<think>", "</think>", RULE_START, false }, // DeepSeek-R1, Qwen3, QwQ, SmolLM3, GLM, MiniMax, ...
    { "[THINK]", "[/THINK]", RULE_TOKEN, false }, // Magistral, Ministral
    { "<seed:think>", "</seed:think>", RULE_TOKEN, false },
    { "\xE2\x97\x81think\xE2\x96\xB7", "\xE2\x97\x81/think\xE2\x96\xB7", RULE_TOKEN, false }, // Kimi-VL
    { "<|START_THINKING|>", "<|END_THINKING|>", RULE_TOKEN, false },           // Command
    { "<|channel>thought\n", "<channel|>", RULE_TOKEN, false },                // Gemma 4
    { "<|inner_prefix|>", "<|inner_suffix|>", RULE_TOKEN, false },             // Apertus
    { "<|begin_of_thought|>", "<|end_of_thought|>", RULE_START, false },       // Sky-T1, OpenThinker
    { "<thinking>", "</thinking>", RULE_START, true },
    { "<thought>", "</thought>", RULE_START, true },   // EXAONE Deep
    { "<Thought>", "</Thought>", RULE_START, true },   // Marco-o1
    { "<reasoning>", "</reasoning>", RULE_START, true }, // Reka
    { "<reason>", "</reason>", RULE_START, true },
    { "Here is my thought process:", "Here is my response:", RULE_START, true }, // Granite 3.2
    { "Here are my reasoning steps:\n", "[BEGIN FINAL RESPONSE]", RULE_START, true }, // Apriel
};
const size_t split_think_n = ARRAY_LEN(split_think_tab);

const struct split_pair split_wrap_tab[] = {
    { "<|START_RESPONSE|>", "<|END_RESPONSE|>", RULE_TOKEN, false },
    { "<|START_TEXT|>", "<|END_TEXT|>", RULE_TOKEN, false },
    { "<|begin_of_solution|>", "<|end_of_solution|>", RULE_START, false },
    { "[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]", RULE_START, true },
    { "<response>", "</response>", RULE_START, true }, // Granite 3.3, ERNIE
    { "<answer>", "</answer>", RULE_START, true },     // Hunyuan
    { "<Output>", "</Output>", RULE_START, true },     // Marco-o1
};
const size_t split_wrap_n = ARRAY_LEN(split_wrap_tab);

const char *const split_turn_tab[] = {
    "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|eom|>",
    "</s>", "<|end|>", "<|user_end|>", "<|assistant_end|>", "<|return|>", "<|call|>", "<end_of_turn>",
    "<turn|>", "<eos>", "<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>",
    "<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>", "<\xEF\xBD\x9C" "Assistant\xEF\xBD\x9C>",
    "<|observation|>", "<|im_user|>", "[e~[", "<|role_end|>",
};
const size_t split_turn_n = ARRAY_LEN(split_turn_tab);

#define BAR "\xEF\xBD\x9C" // full-width |
#define LOW "\xE2\x96\x81" // U+2581
#define DS(x) "<" BAR "tool" LOW x BAR ">"

#define RULE_HERMES   { .open = "<tool_call>", .close = "</tool_call>" }
#define RULE_BARE_XML { .open = "<function=", .keep = 10 }
#define RULE_PYTHON   { .open = "<|python_tag|>", .flags = RULE_TOKEN }
#define RULE_MISTRAL  { .open = "[TOOL_CALLS]", .flags = RULE_TOKEN | RULE_WORD }
#define RULE_PHI      { .open = "<|tool_call|>", .close = "<|/tool_call|>", .flags = RULE_TOKEN }
#define RULE_KIMI_ALL                                                                         \
    { .open = "<|tool_calls_section_begin|>", .close = "<|tool_calls_section_end|>",          \
      .inner = "<|tool_call_begin|>", .inner_end = "<|tool_call_end|>",                       \
      .flags = RULE_TOKEN | RULE_WORD | RULE_KIMI }
#define RULE_DEEPSEEK                                                                         \
    { .open = DS("calls" LOW "begin"), .close = DS("calls" LOW "end"),                        \
      .inner = DS("call" LOW "begin"), .inner_end = DS("call" LOW "end"),                     \
      .flags = RULE_TOKEN | RULE_WORD }
#define RULE_COHERE   { .open = "<|START_ACTION|>", .close = "<|END_ACTION|>", .flags = RULE_TOKEN }
#define RULE_GEMMA                                                                            \
    { .open = "<|tool_call>call:", .close = "<tool_call|>", .flags = RULE_TOKEN | RULE_WORD,  \
      .quote = "<|\"|>" }
#define RULE_LFM      { .open = "<|tool_call_start|>", .close = "<|tool_call_end|>", .flags = RULE_TOKEN }
#define RULE_TAGGED                                                                           \
    { .open = "<tool_calls>", .close = "</tool_calls>", .inner = "<tool_call>",               \
      .inner_end = "</tool_call>", .flags = RULE_LOOSE | RULE_WORD }

/* The first row whose marks are all in the template is taken: what says more stands first. */
const struct split_row split_row_tab[] = {
    { .name = "harmony", .detect = { "<|channel|>", "<|message|>" }, .channels = true },
    { .name = "functionary-v3.2", .detect = { ">>>all", "<|start_header_id|>" }, .recipients = true },
    { .name = "deepseek-dsml",
      .detect = { BAR "DSML" BAR },
      .rule = { { .open = "<" BAR "DSML" BAR "function_calls>", .close = "</" BAR "DSML" BAR "function_calls>",
                  .flags = RULE_TOKEN | RULE_EXACT },
                { .open = "<" BAR "DSML" BAR "tool_calls>", .close = "</" BAR "DSML" BAR "tool_calls>",
                  .flags = RULE_TOKEN | RULE_EXACT } } },
    { .name = "deepseek",
      .detect = { DS("calls" LOW "begin") },
      .rule = { RULE_DEEPSEEK,
                { .open = DS("call" LOW "begin"), .inner_end = DS("call" LOW "end"), .flags = RULE_TOKEN | RULE_WORD },
                { .open = "<" BAR "tool_calls_begin" BAR ">", .close = "<" BAR "tool_calls_end" BAR ">",
                  .inner = "<" BAR "tool_call_begin" BAR ">", .inner_end = "<" BAR "tool_call_end" BAR ">",
                  .flags = RULE_TOKEN | RULE_WORD } } },
    { .name = "step3",
      .detect = { "<" BAR "tool_calls_begin" BAR ">" },
      .rule = { { .open = "<" BAR "tool_calls_begin" BAR ">", .close = "<" BAR "tool_calls_end" BAR ">",
                  .inner = "<" BAR "tool_call_begin" BAR ">", .inner_end = "<" BAR "tool_call_end" BAR ">",
                  .flags = RULE_TOKEN | RULE_WORD | RULE_EXACT } } },
    { .name = "kimi",
      .detect = { "<|tool_call_begin|>" },
      .rule = { RULE_KIMI_ALL,
                { .open = "<|tool_call_begin|>", .inner_end = "<|tool_call_end|>",
                  .flags = RULE_TOKEN | RULE_WORD | RULE_KIMI } },
      .id = SPLIT_ID_MODEL },
    { .name = "gemma4", .detect = { "<|tool_call>" }, .rule = { RULE_GEMMA } },
    { .name = "functiongemma",
      .detect = { "<start_function_call>" },
      .rule = { { .open = "<start_function_call>call:", .close = "<end_function_call>",
                  .flags = RULE_TOKEN | RULE_WORD, .quote = "<escape>" } } },
    { .name = "minimax",
      .detect = { "<minimax:tool_call>" },
      .rule = { { .open = "<minimax:tool_call>", .close = "</minimax:tool_call>", .flags = RULE_TOKEN | RULE_EXACT } } },
    { .name = "seed",
      .detect = { "<seed:tool_call>" },
      .rule = { { .open = "<seed:tool_call>", .close = "</seed:tool_call>", .flags = RULE_TOKEN } } },
    { .name = "command",
      .detect = { "<|START_ACTION|>" },
      .rule = { RULE_COHERE } },
    { .name = "command-r",
      .detect = { "Action:", "```json", "\"tool_name\"" },
      .rule = { { .open = "Action:```json", .close = "```" },
                { .open = "Action: ```json", .close = "```" } } },
    { .name = "apertus",
      .detect = { "<|tools_prefix|>" },
      .rule = { { .open = "<|tools_prefix|>", .close = "<|tools_suffix|>", .flags = RULE_TOKEN | RULE_KEYED } } },
    { .name = "mistral", .detect = { "[TOOL_CALLS]" }, .rule = { RULE_MISTRAL }, .id = SPLIT_ID_NINE },
    { .name = "lfm2", .detect = { "<|tool_call_start|>" }, .rule = { RULE_LFM } },
    { .name = "lfm2", .detect = { "<|tool_list_start|>" }, .rule = { RULE_LFM } },
    { .name = "phi4", .detect = { "<|tool_call|>", "<|/tool_call|>" }, .rule = { RULE_PHI } },
    { .name = "granite", .detect = { "<|tool_call|>" }, .rule = { RULE_PHI } },
    { .name = "firefunction", .detect = { "functools" }, .rule = { { .open = "functools[", .keep = 1 } } },
    { .name = "nemotron", .detect = { "<TOOLCALL>" }, .rule = { { .open = "<TOOLCALL>", .close = "</TOOLCALL>" } } },
    { .name = "internlm",
      .detect = { "<|action_start|>" },
      .rule = { { .open = "<|action_start|><|plugin|>", .close = "<|action_end|>", .flags = RULE_TOKEN },
                { .open = "<|action_start|> <|plugin|>", .close = "<|action_end|>", .flags = RULE_TOKEN } } },
    { .name = "glm", .detect = { "<tool_call>", "<arg_key>" }, .rule = {
      { .open = "<tool_call>", .close = "</tool_call>", .flags = RULE_WORD } } },
    { .name = "qwen3-coder", .detect = { "<tool_call>", "<function=" }, .rule = { RULE_HERMES, RULE_BARE_XML } },
    { .name = "tool-calls", .detect = { "<tool_calls>" }, .rule = { RULE_TAGGED, RULE_HERMES } },
    { .name = "hermes", .detect = { "<tool_call>" }, .rule = { RULE_HERMES } },
    { .name = "functionary-v3.1", .detect = { "<function=" }, .rule = { RULE_BARE_XML, RULE_PYTHON } },
    { .name = "olmo", .detect = { "<function_calls>" }, .rule = { { .open = "<function_calls>", .close = "</function_calls>" } } },
    { .name = "llama4-pythonic", .detect = { "func_name1(" }, .rule = { RULE_PYTHON,
      { .open = "<|python_start|>", .close = "<|python_end|>", .flags = RULE_TOKEN } }, .bare_py = true },
    { .name = "llama3-json", .detect = { "<|python_tag|>" }, .rule = { RULE_PYTHON }, .bare_json = true, .bare_py = true },
    { .name = "llama3-json", .detect = { "\"parameters\": dictionary of argument name" }, .rule = { RULE_PYTHON }, .bare_json = true, .bare_py = true },
    { .name = "none" },
    { .name = "generic",
      .rule = { RULE_HERMES,
                { .open = "<function_call>", .close = "</function_call>" },
                { .open = "```json\n", .close = "```", .flags = RULE_START | RULE_KNOWN } },
      .bare_json = true, .bare_py = true, .all = true },
};
const size_t split_row_n = ARRAY_LEN(split_row_tab);

/* Without the blanks at its ends: a line end may be written \\n there. */
static bool has(struct str text, const char *z)
{
    return str_find(text, str_trim(str_c(z))) != SIZE_MAX;
}

static struct split_form form_of(const struct split_row *row, struct str source)
{
    struct split_form f = { .row = row };

    for (size_t i = 0; i < split_think_n; i++)
        if (!split_think_tab[i].asked || has(source, split_think_tab[i].open)) f.think |= 1u << i;
    for (size_t i = 0; i < split_wrap_n; i++)
        if (!split_wrap_tab[i].asked || has(source, split_wrap_tab[i].open)) f.wrap |= 1u << i;
    return f;
}

struct split_form split_detect(struct str source)
{
    const struct split_row *row = &split_row_tab[split_row_n - 1];

    for (size_t i = 0; i < split_row_n; i++) {
        bool all = split_row_tab[i].detect[0] != NULL;
        for (size_t k = 0; k < ARRAY_LEN(split_row_tab[i].detect) && split_row_tab[i].detect[k]; k++)
            all = all && has(source, split_row_tab[i].detect[k]);
        if (!all) continue;
        row = &split_row_tab[i];
        break;
    }
    return form_of(row, source);
}

bool split_form_by_name(struct str name, struct split_form *ret)
{
    for (size_t i = 0; i < split_row_n; i++) {
        if (!str_eq(str_c(split_row_tab[i].name), name)) continue;
        *ret = form_of(&split_row_tab[i], STR_NULL);
        return true;
    }
    return false;
}

const char *split_form_name(const struct split_form *f)
{
    return f->row->name;
}

const char *split_form_list(size_t i)
{
    for (size_t k = 0; k < split_row_n; k++) { // rows that only differ in what detects them are neighbours
        if (k > 0 && !strcmp(split_row_tab[k].name, split_row_tab[k - 1].name)) continue;
        if (i-- == 0) return split_row_tab[k].name;
    }
    return NULL;
}

struct str split_form_think(const struct split_form *f, size_t i)
{
    for (size_t k = 0; k < split_think_n; k++)
        if ((f->think >> k & 1) && i-- == 0) return str_c(split_think_tab[k].open);
    return STR_NULL;
}

int split_prompt_think(const struct split_form *f, struct str prompt)
{
    /* Only an opener that nothing but white space follows is the template's doing: a user's message
     * cannot be the last thing in a prompt. */
    struct str tail = str_trim(prompt);

    for (size_t i = 0; i < split_think_n; i++)
        if ((f->think >> i & 1) && str_ends(tail, str_trim(str_c(split_think_tab[i].open)))) return (int)i;
    return -1;
}
