/* split_arg.c - arguments that come one by one, as text between marks: into one JSON object.
 *
 * A string argument streams; one of any other or unknown type is held until its end, because only
 * then it is known whether it reads as JSON. What does not is a string.
 */
#include "chat/split_int.h"

#include <string.h>

static void put_text(struct split *s, struct str text)
{
    struct buf *out = split_args(s);

    for (size_t i = 0; out && i < text.n; i++) split_val_put_esc(out, text.p[i]);
}

static void put_raw(struct split *s, struct str text)
{
    struct buf *out = split_args(s);

    if (out) buf_str(out, text);
}

void split_args_open(struct split *s)
{
    if (!s->live) split_call_live(s);
    s->n_arg = 0;
    put_raw(s, STR("{"));
}

void split_args_key(struct split *s, struct str key)
{
    put_raw(s, s->n_arg++ ? STR(",\"") : STR("\""));
    put_text(s, key);
    put_raw(s, STR("\":"));
}

void split_args_close(struct split *s)
{
    put_raw(s, STR("}"));
    split_call_end(s);
}

void split_arg_begin(struct split *s, struct str key, unsigned types, bool lines)
{
    split_args_key(s, key);
    s->arg_types = types;
    s->arg_lines = lines;
    s->arg_seen = s->arg_led = false;
    s->arg_eol = 0;
    s->arg_held = types != 1u << JSON_T_STR;
    s->n_part = 0;
    split_clear(s, &s->value);
    if (!s->arg_held) put_raw(s, STR("\""));
}

/* Held text turns out to be a string. */
static void unhold(struct split *s)
{
    s->arg_held = false;
    put_raw(s, STR("\""));
    put_text(s, buf_text(&s->value));
    split_clear(s, &s->value);
}

static void arg_data_put(struct split *s, char c)
{
    if (s->arg_held && s->value.n + 1 >= LIM_SPLIT_VALUE_BYTES) unhold(s);
    if (s->arg_held)
        buf_byte(&s->value, c);
    else
        put_text(s, (struct str){ &c, 1 });
}

static void arg_data(struct split *s, char c)
{
    if (s->arg_lines && !s->arg_seen) { // the line end after the opening mark
        s->arg_seen = c != '\r';
        if (c == '\r') return;
        s->arg_led = c == '\n';
        if (s->arg_led) return;
    }
    if (s->arg_led && c == '\n') { // perhaps the one before the closing mark
        if (s->arg_eol++ == 0) return;
        s->arg_eol = 1;
    } else if (s->arg_eol) {
        s->arg_eol = 0;
        arg_data_put(s, '\n');
    }
    arg_data_put(s, c);
}

/* The value is over: what was held is a value of its type, or a string. */
static void arg_close(struct split *s, bool whole)
{
    static const unsigned text = 1u << JSON_T_STR;
    enum json_kind        kind;

    if (!s->arg_held) {
        if (whole) put_raw(s, STR("\""));
        return;
    }
    split_clear(s, &s->args);
    bool fits = split_val_convert(buf_text(&s->value), &s->args, &kind);
    if (fits && (s->arg_types & text)) fits = kind != JSON_T_STR && (s->arg_types >> kind & 1);
    if (fits) {
        put_raw(s, buf_text(&s->args));
    } else {
        unhold(s);
        if (whole) put_raw(s, STR("\""));
    }
    split_clear(s, &s->args);
    s->arg_held = false;
}

bool split_arg_byte(struct split *s, char c, struct str close)
{
    s->part[s->n_part++] = c;
    while (s->n_part) {
        if (s->n_part <= close.n && !memcmp(s->part, close.p, s->n_part)) {
            if (s->n_part < close.n) return false;
            s->n_part = 0;
            arg_close(s, true);
            return true;
        }
        char head = s->part[0];
        memmove(s->part, s->part + 1, --s->n_part);
        arg_data(s, head);
    }
    return false;
}

void split_arg_finish(struct split *s, bool whole)
{
    s->n_part = 0;
    arg_close(s, whole);
}

bool split_arg_key_byte(struct split *s, char c, struct str close)
{
    buf_byte(&s->word, c);
    if (!str_ends(buf_text(&s->word), close)) return false;
    s->word.n -= close.n;
    return true;
}
