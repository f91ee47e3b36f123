/* split.c - bytes in, events out: answer, reasoning, marks, sections of calls.
 *
 *                  mark of thinking            its end
 *           TEXT ---------------------> THINK ---------> TEXT
 *            |  opener of calls   a body begins       the call is complete
 *            +-----------------> SECT ---------> BODY -------------------> SECT
 *                                 | end mark: TEXT
 *                                 | anything else: what is held is read again as text
 */
#include "chat/split_int.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

#define OUT_BYTES 4096 // an event goes out when its text is this long, or the piece ends

void split_clear(struct split *s, struct buf *b)
{
    s->nomem |= b->failed;
    buf_clear(b);
}

/* --- events --- */

static void out_flush(struct split *s)
{
    if (s->out.n > 0 && !s->out.failed) {
        struct chat_event ev = {
            .kind = s->out_kind, .choice = s->conf.choice, .index = s->n_call, .text = buf_text(&s->out)
        };
        s->emit(s->ctx, &ev);
    }
    split_clear(s, &s->out);
}

static struct buf *out_kind(struct split *s, enum chat_event_kind kind)
{
    if (s->out_kind != kind) out_flush(s);
    s->out_kind = kind;
    return &s->out;
}

/* A byte of the answer (which 0) or the reasoning (1) that no mark claims. White space waits. */
static void say(struct split *s, int which, char c)
{
    struct buf *blank = &s->blank[which];
    bool       *any = which ? &s->think_any : &s->text_any;
    enum chat_event_kind kind = which ? CHAT_EV_REASONING : CHAT_EV_TEXT;

    if (split_blank(c)) {
        if (which ? !*any : blank->n == 0 && (s->lead == 2 || (s->lead == 1 && (c == '\n' || c == '\r'))))
            return;
        if (blank->n < LIM_SPLIT_BLANK_BYTES) {
            buf_byte(blank, c);
            return;
        }
    }
    struct buf *out = out_kind(s, kind);
    buf_str(out, buf_text(blank));
    buf_clear(blank);
    buf_byte(out, c);
    *any = true;
    if (!which) s->lead = 0;
}

static void say_state(struct split *s, char c)
{
    say(s, s->state == SPLIT_THINK, c);
}

/* --- calls --- */

static const char id_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static void id_make(struct split *s, struct buf *id)
{
    enum split_id style = s->conf.form.row->id;

    if (style == SPLIT_ID_MODEL && id->n > 0) return;
    buf_clear(id);
    if (style != SPLIT_ID_NINE) buf_str(id, STR("call_"));
    for (int i = style == SPLIT_ID_NINE ? 9 : 24; i > 0; i--)
        buf_byte(id, id_chars[rng_below(&s->rng, sizeof id_chars - 1)]);
}

/* A call that is read but not reported: the only one allowed went out already. */
static bool mute(const struct split *s)
{
    return !s->conf.parallel && s->n_call > 0;
}

const struct chat_tool *split_tool(const struct split *s)
{
    for (int i = 0; i < s->conf.n_tool; i++)
        if (str_eq(s->conf.tool[i].name, buf_text(&s->name))) return &s->conf.tool[i];
    return NULL;
}

bool split_name_ok(const struct split *s)
{
    if (s->name.n == 0 || s->name.failed) return false;
    for (size_t i = 0; i < s->name.n; i++)
        if ((unsigned char)s->name.p[i] <= ' ' || strchr("\"'`\\<>{}[](),;", s->name.p[i])) return false;
    return !(s->rule->flags & RULE_KNOWN) || s->conf.n_tool == 0 || split_tool(s);
}

void split_call_begin(struct split *s)
{
    buf_clear(&s->name);
    buf_clear(&s->id);
    buf_clear(&s->word);
    split_clear(s, &s->args);
    split_type_forget(s);
    s->has_args = false;
    s->live = false;
}

void split_call_live(struct split *s)
{
    assert(!s->live && s->name.n > 0);
    s->live = true;
    split_clear(s, &s->hold);
    if (mute(s)) return;

    id_make(s, &s->id);
    out_flush(s);
    struct chat_event ev = {
        .kind = CHAT_EV_CALL, .choice = s->conf.choice, .index = s->n_call,
        .text = buf_text(&s->name), .id = buf_text(&s->id),
    };
    if (s->name.p && s->id.p) s->emit(s->ctx, &ev);
    buf_str(out_kind(s, CHAT_EV_ARGS), buf_text(&s->args));
    split_clear(s, &s->args);
}

struct buf *split_args(struct split *s)
{
    if (!s->live) return &s->args;
    return mute(s) ? NULL : out_kind(s, CHAT_EV_ARGS);
}

void split_call_end(struct split *s)
{
    if (!s->live) split_call_live(s);
    out_flush(s);
    if (!mute(s)) s->n_call++;
    s->live = false;
    s->any = true;
    s->open_n = 0;
    split_clear(s, &s->hold);
    if (s->text_any) return;
    buf_clear(&s->blank[0]);
    s->lead = 2;
}

/* --- reading again --- */

static void redo_push(struct split *s, struct str bytes)
{
    struct buf *b = &s->redo;
    size_t      rest = b->n - s->redo_at;

    if (bytes.n > s->redo_at) { // make room at the front
        size_t more = bytes.n - s->redo_at;
        if (!buf_room(b, more)) return;
        memmove(b->p + bytes.n, b->p + s->redo_at, rest);
        s->redo_at = bytes.n;
        b->n = bytes.n + rest;
    }
    s->redo_at -= bytes.n;
    if (bytes.n) memcpy(b->p + s->redo_at, bytes.p, bytes.n);
}

void split_unread(struct split *s, struct str bytes)
{
    if (!s->live && s->hold.n >= bytes.n) s->hold.n -= bytes.n;
    redo_push(s, bytes);
}

void split_fail(struct split *s)
{
    if (s->open_n > s->hold.n) s->open_n = s->hold.n;
    size_t again = s->hold.n - s->open_n;

    s->state = s->from;
    s->n_part = 0;
    s->rule = NULL;
    if (s->redo_all + again > LIM_SPLIT_REDO_BYTES || s->hold.n >= LIM_SPLIT_HEAD_BYTES)
        s->open_n = s->hold.n, again = 0;
    s->redo_all += again;
    for (size_t i = 0; i < s->open_n; i++) say_state(s, s->hold.p[i]);
    redo_push(s, str_from(buf_text(&s->hold), s->open_n));
    split_clear(s, &s->hold);
}

static bool hold_byte(struct split *s, char c)
{
    if (s->live) return true;
    buf_byte(&s->hold, c);
    if (s->hold.n < LIM_SPLIT_HEAD_BYTES) return true;
    split_fail(s);
    return false;
}

/* --- marks in text --- */

static void open_calls(struct split *s, const struct split_rule *rule, struct str opener)
{
    s->from = s->state;
    s->rule = rule;
    s->any = false;
    s->live = false;
    split_clear(s, &s->hold);
    buf_str(&s->hold, opener);
    s->open_n = opener.n;
    s->state = SPLIT_SECT;
    s->n_part = 0;
    if (rule->keep) {
        struct str keep = str_from(opener, opener.n - (size_t)rule->keep);
        s->open_n = 1; // the rest is read again, by the body and should it fail
        split_unread(s, keep);
    }
}

static bool mark_on(const struct split *s, const struct mark *m)
{
    if ((m->flags & RULE_START) && s->text_any) return false;
    if (m->kind == MARK_UNWRAP) return s->wrapped >> m->index & 1;
    return m->kind != MARK_CALL || s->n_call < LIM_SPLIT_CALLS;
}

void split_think_open(struct split *s, int which)
{
    s->state = SPLIT_THINK;
    s->think = which;
    s->think_any = false;
    buf_clear(&s->blank[1]);
    if (!s->text_any) buf_clear(&s->blank[0]);
}

/* Reasoning is over. Its end mark may be the answer's opening one at the same time. */
static void think_close(struct split *s, const struct mark *m)
{
    s->state = SPLIT_TEXT;
    s->lead = s->text_any ? 0 : 1;
    buf_clear(&s->blank[1]);
    for (size_t i = 0; i < split_wrap_n; i++)
        if ((s->conf.form.wrap >> i & 1) && str_eq(str_c(split_wrap_tab[i].open), m->text))
            s->wrapped |= 1u << i;
}

static void mark_hit(struct split *s, const struct mark *m)
{
    switch (m->kind) {
    case MARK_THINK:
        split_think_open(s, m->index);
        break;
    case MARK_UNTHINK:
        think_close(s, m);
        break;
    case MARK_WRAP:
        s->wrapped |= 1u << m->index;
        if (!s->text_any) s->lead = 2;
        break;
    case MARK_UNWRAP:
        s->wrapped &= ~(1u << m->index);
        s->turn_seen = true;
        break;
    case MARK_TURN:
        s->state = SPLIT_TEXT;
        s->turn_seen = true;
        break;
    case MARK_HEAD:
        s->turn_seen = true;
        split_head_begin(s, m->index ? m->text : STR_NULL);
        break;
    case MARK_CALL:
        open_calls(s, m->rule, m->text);
        break;
    }
}

/* 1: part is the head of a mark that may stand here; 2: it is one (*hit). */
static int mark_find(const struct split *s, const struct mark **hit)
{
    int        which = s->state == SPLIT_THINK;
    struct str part = { s->part, s->n_part };

    for (int i = 0; i < s->n_mark[which]; i++) {
        const struct mark *m = &s->mark[which * SPLIT_MARKS / 2 + i];
        if (which && m->kind == MARK_UNTHINK && m->index != s->think) continue;
        if (!str_starts(m->text, part) || !mark_on(s, m)) continue;
        *hit = m;
        return m->text.n == part.n ? 2 : 1;
    }
    return 0;
}

/* Nothing but a bracket says that calls begin; it is read again as part of them. */
static const struct split_rule bare_rule = { .open = "", .flags = RULE_KNOWN };

static bool bare_begins(const struct split *s, char c)
{
    const struct split_row *row = s->conf.form.row;

    return s->state == SPLIT_TEXT && s->conf.calls && !s->text_any && s->n_call < LIM_SPLIT_CALLS
           && ((c == '{' && row->bare_json) || (c == '[' && (row->bare_json || row->bare_py)));
}

static void text_byte(struct split *s, char c)
{
    const struct mark *m = NULL;

    if (s->n_part == 0 && !s->first[s->state == SPLIT_THINK][(unsigned char)c] && !bare_begins(s, c)) {
        say_state(s, c);
        return;
    }
    s->part[s->n_part++] = c;
    while (s->n_part) {
        int found = mark_find(s, &m);
        if (found == 1) return;
        if (found == 2) {
            s->n_part = 0;
            mark_hit(s, m);
            return;
        }
        char   head = s->part[0];
        size_t n = s->n_part - 1;
        if (bare_begins(s, head)) { // all of it belongs to the call
            struct str part = { s->part, s->n_part };
            open_calls(s, &bare_rule, STR_NULL);
            s->open_n = 1;
            redo_push(s, part);
            return;
        }
        say_state(s, head);
        memmove(s->part, s->part + 1, n);
        s->n_part = n;
    }
}

/* --- among calls --- */

/* part against what may come here: 0 none, 1 the head of some, 2 an inner opener, 3 an inner end,
 * 4 the end. */
static int sect_find(const struct split *s)
{
    const char *const may[] = { s->rule->inner, s->rule->inner_end, s->rule->close, "```" };
    struct str        part = { s->part, s->n_part };
    int               found = 0;

    for (int i = 0; i < 4; i++) {
        if (!may[i] || (i == 3 && !s->any) || !str_starts(str_c(may[i]), part)) continue;
        if (strlen(may[i]) == part.n) return i == 3 ? 3 : i + 2;
        found = 1;
    }
    return found;
}

static void sect_byte(struct split *s, char c)
{
    if (!hold_byte(s, c)) return;
    if (s->n_part == 0 && (split_blank(c) || (s->any && strchr(",;}]", c) && c))) return;
    s->part[s->n_part++] = c;
    switch (sect_find(s)) {
    case 1:
        return;
    case 2:
        s->state = SPLIT_BODY;
        split_body_begin(s);
        break;
    case 3:
        break;
    case 4:
        if (!s->any) {
            split_fail(s);
            return;
        }
        s->state = SPLIT_TEXT;
        split_clear(s, &s->hold);
        break;
    case 0:
        if ((!s->rule->inner || s->any || (s->rule->flags & RULE_LOOSE)) && split_body_can_begin(s, s->part[0])) {
            s->state = SPLIT_BODY;
            split_body_begin(s);
            char   rest[LIM_SPLIT_MARK_BYTES];
            size_t n = s->n_part;
            memcpy(rest, s->part, n);
            split_unread(s, (struct str){ rest, n });
        } else {
            split_fail(s);
            return;
        }
        break;
    }
    s->n_part = 0;
}

/* --- one byte --- */

void split_feed(struct split *s, char c)
{
    switch (s->state) {
    case SPLIT_TEXT:
    case SPLIT_THINK:
        text_byte(s, c);
        return;
    case SPLIT_SECT:
        sect_byte(s, c);
        return;
    case SPLIT_HEAD:
        split_head_byte(s, c);
        return;
    case SPLIT_BODY:
        break;
    }
    if (!hold_byte(s, c)) return;
    switch (split_body_byte(s, c)) {
    case STEP_MORE:
        return;
    case STEP_BAD:
        if (!s->live) {
            split_fail(s);
            return;
        }
        split_body_finish(s, true);
        redo_push(s, (struct str){ &c, 1 });
        break;
    case STEP_BACK:
        split_clear(s, &s->hold);
        redo_push(s, (struct str){ &c, 1 });
        break;
    case STEP_END:
        split_clear(s, &s->hold);
        break;
    }
    s->state = SPLIT_SECT;
    s->n_part = 0;
}

static void drain(struct split *s)
{
    while (s->redo_at < s->redo.n && !s->redo.failed) split_feed(s, s->redo.p[s->redo_at++]);
    s->redo_at = 0;
    split_clear(s, &s->redo);
}

static bool broken(const struct split *s)
{
    return s->nomem || s->out.failed || s->hold.failed || s->redo.failed || s->args.failed || s->value.failed;
}

int split_put(struct split *s, struct str piece, split_emit *emit, void *ctx, struct err *e)
{
    s->emit = emit;
    s->ctx = ctx;
    for (size_t i = 0; i < piece.n && !broken(s); i++) {
        split_feed(s, piece.p[i]);
        if (s->redo.n) drain(s);
        bool inside = i + 1 < piece.n && ((unsigned char)piece.p[i + 1] & 0xC0) == 0x80; // of a character
        if (s->out.n >= OUT_BYTES && !inside) out_flush(s);
    }
    out_flush(s);
    return broken(s) ? err_nomem(e, "taking an answer apart") : 0;
}

int split_end(struct split *s, bool cut, split_emit *emit, void *ctx, struct err *e)
{
    s->emit = emit;
    s->ctx = ctx;
    while (s->state != SPLIT_TEXT && s->state != SPLIT_THINK) {
        if (s->state == SPLIT_HEAD) {
            split_head_end(s);
            drain(s);
            continue;
        }
        if (s->state == SPLIT_SECT && s->any) break; // at most the head of an end mark is held
        if (s->state == SPLIT_BODY && s->live) {
            split_body_finish(s, !cut);
            break;
        }
        if (s->state == SPLIT_BODY && split_body_idle(s)) break;
        split_fail(s);
        drain(s);
        if (broken(s)) break;
    }
    if (s->state == SPLIT_TEXT || s->state == SPLIT_THINK) {
        int which = s->state == SPLIT_THINK;
        for (size_t i = 0; i < s->n_part; i++) say(s, which, s->part[i]);
        s->n_part = 0;
        if (!which && s->n_call == 0 && !s->turn_seen) {
            buf_str(out_kind(s, CHAT_EV_TEXT), buf_text(&s->blank[0]));
            buf_clear(&s->blank[0]);
        }
    }
    out_flush(s);
    return broken(s) ? err_nomem(e, "taking an answer apart") : 0;
}

/* --- life --- */

static struct mark *mark_add(struct split *s, int which, const char *text, enum mark_kind kind, int index,
                             unsigned flags)
{
    struct mark *m = &s->mark[which * SPLIT_MARKS / 2 + s->n_mark[which]++];

    assert(s->n_mark[which] <= SPLIT_MARKS / 2 && text[0] && strlen(text) <= LIM_SPLIT_MARK_BYTES);
    *m = (struct mark){ .text = str_c(text), .kind = kind, .index = index, .flags = flags };
    s->first[which][(unsigned char)text[0]] = true;
    return m;
}

/* The openers of a row's calls; of equal ones the first counts. */
static void rules_add(struct split *s, const struct split_row *row)
{
    for (const struct split_rule *r = row->rule; r < row->rule + SPLIT_RULES && r->open; r++) {
        bool there = false;
        for (int i = 0; i < s->n_mark[0]; i++) there |= str_eq(s->mark[i].text, str_c(r->open));
        if (there) continue;
        mark_add(s, 0, r->open, MARK_CALL, 0, r->flags)->rule = r;
        if (r->flags & RULE_TOKEN) mark_add(s, 1, r->open, MARK_CALL, 0, 0)->rule = r;
    }
}

static void marks_init(struct split *s)
{
    const struct split_form *f = &s->conf.form;

    if (f->row->channels) {
        static const char *const ends[] = { "<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|channel|>" };
        for (int which = 0; which < 2; which++)
            for (size_t i = 0; i < ARRAY_LEN(ends); i++)
                mark_add(s, which, ends[i], MARK_HEAD, i >= 3, 0);
    }
    if (f->row->recipients) mark_add(s, 0, ">>>", MARK_HEAD, 1, 0);
    for (size_t i = 0; i < split_think_n && s->conf.reasoning; i++) {
        const struct split_pair *p = &split_think_tab[i];
        if (!(f->think >> i & 1)) continue;
        mark_add(s, 0, p->open, MARK_THINK, (int)i, p->flags);
        mark_add(s, 0, p->close, MARK_UNTHINK, (int)i, RULE_START);
        mark_add(s, 1, p->close, MARK_UNTHINK, (int)i, 0);
    }
    for (size_t i = 0; i < split_wrap_n; i++) {
        if (!(f->wrap >> i & 1)) continue;
        mark_add(s, 0, split_wrap_tab[i].open, MARK_WRAP, (int)i, split_wrap_tab[i].flags);
        mark_add(s, 0, split_wrap_tab[i].close, MARK_UNWRAP, (int)i, 0);
    }
    for (size_t i = 0; i < split_turn_n && s->conf.turn_marks; i++) {
        mark_add(s, 0, split_turn_tab[i], MARK_TURN, 0, 0);
        mark_add(s, 1, split_turn_tab[i], MARK_TURN, 0, 0);
    }
    if (!s->conf.calls) return;
    rules_add(s, f->row);
    for (size_t i = 0; f->row->all && i < split_row_n; i++) rules_add(s, &split_row_tab[i]);
}

void split_conf_init(struct split_conf *c)
{
    *c = (struct split_conf){ .calls = true, .parallel = true, .reasoning = true };
    c->form = split_detect(STR_NULL);
}

/* FNV-1a (Fowler, Noll, Vo) over the end of the prompt and its length. Ids need to differ between the
 * turns of a conversation, not to withstand anybody. */
static uint64_t prompt_hash(struct str prompt)
{
    struct str end = str_from(prompt, prompt.n > 4096 ? prompt.n - 4096 : 0);
    uint64_t   h = 0xcbf29ce484222325u ^ prompt.n;

    for (size_t i = 0; i < end.n; i++) h = (h ^ (unsigned char)end.p[i]) * 0x100000001b3u;
    return h;
}

/* An empty buffer that takes `now` bytes without asking for memory again. */
static bool room(struct buf *b, size_t now, size_t max)
{
    buf_init(b, max);
    bool ok = buf_room(b, now);
    buf_clear(b);
    return ok;
}

int split_new(const struct split_conf *c, struct split **ret, struct err *e)
{
    struct split *s = mem_zalloc(sizeof *s);

    if (!s) return err_nomem(e, "an answer splitter");
    s->conf = *c;
    rng_seed(&s->rng, c->seed ^ prompt_hash(c->prompt));
    /* Those with a small ceiling get all of it now: then `failed` means too long, never no memory. */
    bool ok = room(&s->out, 2 * OUT_BYTES, SIZE_MAX / 2);
    ok &= room(&s->hold, KIB(1), LIM_SPLIT_HEAD_BYTES + LIM_SPLIT_MARK_BYTES);
    ok &= room(&s->redo, KIB(1), 4 * LIM_SPLIT_HEAD_BYTES);
    ok &= room(&s->blank[0], LIM_SPLIT_BLANK_BYTES, LIM_SPLIT_BLANK_BYTES);
    ok &= room(&s->blank[1], LIM_SPLIT_BLANK_BYTES, LIM_SPLIT_BLANK_BYTES);
    ok &= room(&s->name, LIM_SPLIT_NAME_BYTES, LIM_SPLIT_NAME_BYTES);
    ok &= room(&s->id, LIM_SPLIT_NAME_BYTES, LIM_SPLIT_NAME_BYTES);
    ok &= room(&s->word, LIM_SPLIT_TAG_BYTES, LIM_SPLIT_TAG_BYTES);
    buf_init(&s->args, 8 * LIM_SPLIT_HEAD_BYTES); // escapes make values longer
    buf_init(&s->value, LIM_SPLIT_VALUE_BYTES);
    if (!ok) {
        split_free(s);
        return err_nomem(e, "an answer splitter");
    }
    marks_init(s);
    s->think = c->reasoning ? split_prompt_think(&c->form, c->prompt) : -1;
    if (s->think >= 0) s->state = SPLIT_THINK;
    if (c->form.row->channels || c->form.row->recipients) s->state = split_head_prompt(s, c->prompt);
    s->conf.prompt = STR_NULL;
    *ret = s;
    return 0;
}

void split_free(struct split *s)
{
    if (!s) return;
    struct buf *const all[] = { &s->out, &s->hold, &s->redo, &s->blank[0], &s->blank[1],
                                &s->name, &s->id, &s->word, &s->args, &s->value };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) buf_release(all[i]);
    split_type_forget(s);
    mem_free(s);
}

int split_calls(const struct split *s)
{
    return s->n_call;
}

bool split_done(const struct split *s)
{
    return !s->conf.parallel && s->n_call > 0;
}

bool split_call_begun(const struct split *s, struct str *open, struct str *rest)
{
    if ((s->state != SPLIT_SECT && s->state != SPLIT_BODY) || s->live || s->any || !s->rule) return false;
    *open = str_c(s->rule->open);
    *rest = str_from(buf_text(&s->hold), open->n);
    return true;
}

bool split_in_reasoning(const struct split *s)
{
    return s->state == SPLIT_THINK;
}

bool split_in_answer(const struct split *s)
{
    return s->state == SPLIT_TEXT;
}
