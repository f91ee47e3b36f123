/* tmpl_builtin.c - templates for models that carry none.
 *
 * Each is the published prompt format of a family, in as few words as it takes; the line above a
 * text says whose. Tool use needs a model's own template: formats for it differ even inside a
 * family. Where several rows fit a model the first one counts, so special ones stand early.
 */
#include "chat/tmpl_int.h"

/* DeepSeek's markers have full-width bars (U+FF5C) and low blocks for blanks (U+2581). */
#define DS_BAR       "\xEF\xBD\x9C"
#define DS_USER      "<" DS_BAR "User" DS_BAR ">"
#define DS_ASSISTANT "<" DS_BAR "Assistant" DS_BAR ">"
#define DS_END       "<" DS_BAR "end\xE2\x96\x81of\xE2\x96\x81sentence" DS_BAR ">"

static const struct builtin {
    const char *name;
    const char *token[2]; // all of these in the vocabulary (NULL: no more) speak for it
    const char *match;    // words in a model's name that do, with | between
    const char *text;
} builtins[] = {
    /* Microsoft, Phi-4 model card */
    { "phi4", { "<|im_start|>", "<|im_sep|>" }, "phi-4|phi4",
      "{%- for m in messages %}{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + "
      "'<|im_end|>' }}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}" },
    /* OpenAI's "Chat Markup Language"; Qwen, Yi, Hermes, SmolLM and many fine-tunes */
    { "chatml", { "<|im_start|>", "<|im_end|>" }, "chatml|qwen|smollm|hermes|yi-|dolphin|internlm",
      "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' "
      "}}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}" },
    /* Meta, Llama 3 model card */
    { "llama3", { "<|start_header_id|>", "<|eot_id|>" }, "llama-3|llama3",
      "{{ bos_token }}"
      "{%- for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + "
      "m.content | trim + '<|eot_id|>' }}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' "
      "}}{% endif %}" },
    /* Meta, Llama 4 model card */
    { "llama4", { "<|header_start|>", "<|eot|>" }, "llama-4|llama4",
      "{{ bos_token }}"
      "{%- for m in messages %}{{ '<|header_start|>' + m.role + '<|header_end|>\\n\\n' + "
      "m.content | trim + '<|eot|>' }}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '<|header_start|>assistant<|header_end|>\\n\\n' }}{% "
      "endif %}" },
    /* Google, Gemma formatting guide: no system turn; it goes in front of the first user turn */
    { "gemma", { "<start_of_turn>", "<end_of_turn>" }, "gemma",
      "{{ bos_token }}{%- set ns = namespace(system='') %}"
      "{%- for m in messages %}"
      "{%- if m.role == 'system' %}{% set ns.system = ns.system + (m.content | trim) + '\\n\\n' %}"
      "{%- else %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' }}"
      "{%- if m.role == 'user' %}{{ ns.system }}{% set ns.system = '' %}{% endif %}"
      "{{- m.content | trim }}{{ '<end_of_turn>\\n' }}{% endif %}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}" },
    /* IBM, Granite 3 documentation */
    { "granite", { "<|start_of_role|>", "<|end_of_role|>" }, "granite",
      "{%- for m in messages %}{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + "
      "'<|end_of_text|>\\n' }}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif "
      "%}" },
    /* Cohere, Command R prompting guide */
    { "command-r", { "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>" }, "command-r|c4ai|aya",
      "{{ bos_token }}"
      "{%- for m in messages %}{{ '<|START_OF_TURN_TOKEN|><|' + {'system': 'SYSTEM', 'user': "
      "'USER', 'assistant': 'CHATBOT'}.get(m.role, 'SYSTEM')"
      " + '_TOKEN|>' + m.content | trim + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif "
      "%}" },
    /* LG, EXAONE 3 model card */
    { "exaone", { "[|user|]", "[|endofturn|]" }, "exaone",
      "{%- for m in messages %}{{ '[|' + m.role + '|]' + m.content + ('\\n' if m.role == 'user' "
      "else '[|endofturn|]\\n') }}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}" },
    /* DeepSeek-V3 and R1 */
    { "deepseek", { DS_USER, DS_ASSISTANT }, "deepseek-v|deepseek-r1|deepseek_",
      "{{ bos_token }}"
      "{%- for m in messages if m.role == 'system' %}{{ m.content }}"
      "{{ '' if loop.last else '\\n\\n' }}{% endfor %}"
      "{%- for m in messages %}"
      "{%- if m.role == 'user' %}{{ '" DS_USER "' + m.content }}"
      "{%- elif m.role == 'assistant' %}{{ '" DS_ASSISTANT "' + m.content + '" DS_END "' }}"
      "{%- endif %}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '" DS_ASSISTANT "' }}{% endif %}" },
    /* Microsoft, Phi-3 model card */
    { "phi3", { "<|user|>", "<|end|>" }, "phi-3|phi3",
      "{%- for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}" },
    /* Hugging Face, Zephyr model card; TinyLlama */
    { "zephyr", { "<|user|>", "<|assistant|>" }, "zephyr|tinyllama|stablelm",
      "{%- for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}{% "
      "endfor %}"
      "{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}" },
    /* Mistral AI, tokenization guide (v3): the system text goes in front of the last user turn */
    { "mistral", { "[INST]", "[/INST]" }, "mistral|mixtral|codestral|ministral",
      "{{ bos_token }}{%- set ns = namespace(system='', last=-1) %}"
      "{%- for m in messages %}"
      "{%- if m.role == 'system' %}{% set ns.system = ns.system + m.content + '\\n\\n' %}"
      "{%- elif m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
      "{%- for m in messages %}"
      "{%- if m.role == 'user' %}{{ '[INST] ' + (ns.system if loop.index0 == ns.last else '') + "
      "m.content + '[/INST]' }}"
      "{%- elif m.role == 'assistant' %}{{ ' ' + m.content | trim + eos_token }}"
      "{%- endif %}{% endfor %}" },
    /* OpenChat 3.5 model card */
    { "openchat", { "<|end_of_turn|>", NULL }, "openchat|starling",
      "{{ bos_token }}"
      "{%- for m in messages %}"
      "{%- if m.role == 'system' %}{{ m.content + '<|end_of_turn|>' }}"
      "{%- else %}{{ 'GPT4 Correct ' + m.role | title + ': ' + m.content + '<|end_of_turn|>' }}{% "
      "endif %}{% endfor %}"
      "{%- if add_generation_prompt %}{{ 'GPT4 Correct Assistant:' }}{% endif %}" },
    /* Meta, Llama 2 model card: the system text sits inside the first user turn */
    { "llama2", { NULL, NULL }, "llama-2|llama2|codellama",
      "{%- set ns = namespace(system='') %}"
      "{%- for m in messages %}"
      "{%- if m.role == 'system' %}{% set ns.system = ns.system + ('\\n\\n' if ns.system else '') "
      "+ m.content %}"
      "{%- elif m.role == 'user' %}{{ bos_token + '[INST] ' + ('<<SYS>>\\n' + ns.system + "
      "'\\n<</SYS>>\\n\\n' if ns.system else '') + m.content | trim + ' [/INST]' }}{% set "
      "ns.system = '' %}"
      "{%- elif m.role == 'assistant' %}{{ ' ' + m.content | trim + ' ' + eos_token }}"
      "{%- endif %}{% endfor %}" },
    /* LMSYS, Vicuna v1.1 */
    { "vicuna", { NULL, NULL }, "vicuna|wizardlm",
      "{{ bos_token }}"
      "{%- for m in messages %}"
      "{%- if m.role == 'system' %}{{ m.content + '\\n\\n' }}"
      "{%- elif m.role == 'user' %}{{ 'USER: ' + m.content + '\\n' }}"
      "{%- elif m.role == 'assistant' %}{{ 'ASSISTANT: ' + m.content + eos_token + '\\n' }}"
      "{%- endif %}{% endfor %}"
      "{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}" },
    /* Stanford, Alpaca */
    { "alpaca", { NULL, NULL }, "alpaca",
      "{{ bos_token }}"
      "{%- for m in messages %}"
      "{%- if m.role == 'system' %}{{ m.content + '\\n\\n' }}"
      "{%- elif m.role == 'user' %}{{ '### Instruction:\\n' + m.content + '\\n\\n' }}"
      "{%- elif m.role == 'assistant' %}{{ '### Response:\\n' + m.content + eos_token + '\\n\\n' }}"
      "{%- endif %}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}" },
    /* DeepSeek-Coder (first generation) model card */
    { "deepseek-coder", { "<|EOT|>", NULL }, "deepseek-coder",
      "{{ bos_token }}"
      "{%- for m in messages %}"
      "{%- if m.role == 'system' %}{{ m.content }}"
      "{%- elif m.role == 'user' %}{{ '### Instruction:\\n' + m.content + '\\n' }}"
      "{%- elif m.role == 'assistant' %}{{ '### Response:\\n' + m.content + '\\n<|EOT|>\\n' }}"
      "{%- endif %}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '### Response:' }}{% endif %}" },
    /* TII, Falcon-Instruct */
    { "falcon", { NULL, NULL }, "falcon",
      "{%- for m in messages %}{{ ('' if loop.first else '\\n') + m.role | title + ': ' + "
      "m.content | trim }}{% endfor %}"
      "{%- if add_generation_prompt %}{{ '\\nAssistant:' }}{% endif %}" },
    /* Nothing known: a transcript that any text model can continue */
    { "plain", { NULL, NULL }, NULL,
      "{{ bos_token }}"
      "{%- for m in messages %}{{ m.role | title + ': ' + m.content + '\\n' }}{% endfor %}"
      "{%- if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}" },
};

struct str tmpl_builtin(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
        if (str_eq_nocase(name, str_c(builtins[i].name))) return str_c(builtins[i].text);
    return STR_NULL;
}

const char *tmpl_builtin_name(size_t i)
{
    return i < ARRAY_LEN(builtins) ? builtins[i].name : NULL;
}

static bool has_all(const struct builtin *b, tmpl_has has, const void *ctx)
{
    if (!b->token[0]) return false;
    return has(ctx, b->token[0]) && (!b->token[1] || has(ctx, b->token[1]));
}

static bool contains_nocase(struct str s, struct str word)
{
    for (size_t at = 0; at + word.n <= s.n; at++)
        if (str_eq_nocase(str_sub(s, at, word.n), word)) return true;
    return false;
}

static bool name_matches(const struct builtin *b, struct str name)
{
    struct str rest = str_c(b->match), word;

    while (str_cut(&rest, '|', &word))
        if (contains_nocase(name, word)) return true;
    return false;
}

const char *tmpl_builtin_guess(struct str model_name, tmpl_has has, const void *ctx)
{
    const struct builtin *by_token = NULL;

    /* a vocabulary may fit several rows, as fine-tunes add tokens: then the name decides */
    for (size_t i = 0; has && i < ARRAY_LEN(builtins); i++) {
        const struct builtin *b = &builtins[i];
        if (!has_all(b, has, ctx)) continue;
        if (name_matches(b, model_name)) return b->name;
        if (!by_token) by_token = b;
    }
    if (by_token) return by_token->name;
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
        if (name_matches(&builtins[i], model_name)) return builtins[i].name;
    return "plain";
}
