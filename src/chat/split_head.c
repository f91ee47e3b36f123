/* split_head.c - families that put a header before each part of an answer.
 *
 * Harmony (gpt-oss; github.com/openai/harmony, format of messages):
 *
 *     <|channel|>analysis<|message|>thinking<|end|><|start|>assistant<|channel|>final<|message|>answer
 *     <|start|>assistant to=functions.NAME<|channel|>commentary json<|message|>{...}<|call|>
 *
 * the prompt ending in "<|start|>assistant". Functionary v3.2:
 *
 *     all\nanswer>>>NAME\n{...}>>>NAME\n{...}
 *
 * the prompt ending in ">>>". Headers are held until they are complete; what cannot be one is text.
 */
#include "chat/split_int.h"

#include <string.h>

static const struct split_rule channel_rule = { .open = "", .close = "<|call|>", .inner_end = "<|end|>" };
static const struct split_rule recipient_rule = { .open = "" };

/* What stands behind `mark` in the header, up to a blank or the next mark. */
static struct str field(struct str head, const char *mark)
{
    size_t at = str_find(head, str_c(mark));

    if (at == SIZE_MAX) return STR_NULL;
    head = str_from(head, at + strlen(mark));
    size_t n = 0;
    while (n < head.n && !split_blank(head.p[n]) && head.p[n] != '<') n++;
    return str_sub(head, 0, n);
}

/* The call's name is s->name: its arguments follow. */
static void head_call(struct split *s, const struct split_rule *rule)
{
    s->rule = rule;
    s->any = false;
    s->open_n = s->hold.n;
    s->state = SPLIT_BODY;
    s->body = BODY_WORD;
    s->list = false;
    split_word_begin(s);
    buf_str(&s->word, buf_text(&s->name));
    s->sep_args = true;
    s->wd = WORD_GAP;
}

static bool name_from(struct split *s, struct str to)
{
    bool ours = str_starts(to, STR("functions."));

    split_call_begin(s);
    buf_str(&s->name, ours ? str_from(to, 10) : to);
    s->rule = &channel_rule;
    return s->conf.calls && s->n_call < LIM_SPLIT_CALLS && (ours || split_tool(s)) && split_name_ok(s);
}

static void channel_head(struct split *s, struct str head)
{
    struct str channel = field(head, "<|channel|>"), to = field(head, "to=");

    if (to.n && name_from(s, to)) {
        head_call(s, &channel_rule);
        return;
    }
    s->state = SPLIT_TEXT;
    if (s->conf.reasoning && str_eq(channel, STR("analysis"))) split_think_open(s, -1);
    split_clear(s, &s->hold);
}

/* Can these be the first bytes of a header? */
static bool channel_may_be(struct str head)
{
    static const char *const words[] = { "<|channel|>", "<|start|>", "<|message|>", "<|constrain|>", "to=",
                                         "assistant" };

    while (head.n && split_blank(head.p[0])) head = str_from(head, 1);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct str w = str_c(words[i]);
        if (head.n < w.n ? str_starts(w, head) : str_starts(head, w)) return true;
    }
    return false;
}

static void recipient_head(struct split *s, struct str head)
{
    struct str to = str_trim(head);

    if (str_starts(to, STR(">>>"))) to = str_from(to, 3);
    if (str_eq(to, STR("all"))) {
        s->state = SPLIT_TEXT;
        split_clear(s, &s->hold);
        return;
    }
    split_call_begin(s);
    buf_str(&s->name, to);
    s->rule = &recipient_rule;
    if (s->conf.calls && s->n_call < LIM_SPLIT_CALLS && split_name_ok(s))
        head_call(s, &recipient_rule);
    else
        split_fail(s);
}

void split_head_begin(struct split *s, struct str mark)
{
    s->from = SPLIT_TEXT;
    s->state = SPLIT_HEAD;
    s->rule = NULL;
    s->live = false;
    s->n_part = 0;
    split_clear(s, &s->hold);
    buf_str(&s->hold, mark);
    s->open_n = mark.n;
}

void split_head_byte(struct split *s, char c)
{
    buf_byte(&s->hold, c);
    struct str head = buf_text(&s->hold);

    if (s->conf.form.row->channels) {
        if (str_ends(head, STR("<|message|>")))
            channel_head(s, head);
        else if (!channel_may_be(head) || head.n >= LIM_SPLIT_TAG_BYTES)
            split_fail(s);
    } else if (c == '\n' && head.n > s->open_n + 1) {
        recipient_head(s, head);
    } else if (head.n >= LIM_SPLIT_NAME_BYTES || (split_blank(c) && c != '\n')) {
        split_fail(s);
    }
}

/* The text ended in a header. One that is cut short is a mark like any other. */
void split_head_end(struct split *s)
{
    struct str head = buf_text(&s->hold);

    if (s->conf.form.row->channels
        && (str_find(head, STR("<|")) != SIZE_MAX || str_find(head, STR("to=")) != SIZE_MAX)) {
        split_clear(s, &s->hold);
        s->state = SPLIT_TEXT;
        return;
    }
    split_fail(s);
}

enum split_state split_head_prompt(struct split *s, struct str prompt)
{
    const struct split_row *row = s->conf.form.row;
    struct str              tail = str_trim(prompt);

    if (row->recipients) return SPLIT_HEAD;
    if (!str_ends(tail, STR("<|message|>"))) return SPLIT_HEAD;
    for (size_t at; (at = str_find(tail, STR("<|start|>"))) != SIZE_MAX;) tail = str_from(tail, at + 9);
    return str_eq(field(tail, "<|channel|>"), STR("analysis")) && s->conf.reasoning ? SPLIT_THINK : SPLIT_TEXT;
}
