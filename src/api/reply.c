/* reply.c - events to JSON: chunks of a stream, or one object at the end.
 *
 * Chunks are written by hand around a head made once a call: a token costs the escaping of its text
 * and one append, no JSON tree. Order and presence of members: OpenAI's API reference, and what its
 * clients rely on (a role in the first chunk only, choices always an array, usage only when asked).
 */
#include <math.h>
#include <string.h>

#include "api/api_int.h"
#include "base/clock.h"
#include "base/limits.h"
#include "conf/options.h"
#include "base/utf8.h"

/* In the shape of llama.cpp's own routes (reply_fill.c). */
static bool is_llama(const struct call *c)
{
    return c->kind == API_INFILL || c->kind == API_NATIVE;
}

static const char *finish_name(const struct answer *an)
{
    return chat_finish_name(an->finish);
}

/* --- log-probabilities --- */

static void put_bytes(struct buf *b, struct str s)
{
    buf_byte(b, '[');
    for (size_t i = 0; i < s.n; i++) {
        if (i) buf_byte(b, ',');
        buf_u64(b, (unsigned char)s.p[i]);
    }
    buf_byte(b, ']');
}

static void put_lp(struct buf *b, const struct chat_logprob *lp)
{
    buf_str(b, STR("{\"token\":"));
    json_put_str(b, lp->text);
    buf_str(b, STR(",\"logprob\":"));
    json_put_f64(b, (double)lp->logprob);
    buf_str(b, STR(",\"bytes\":"));
    put_bytes(b, lp->text);
}

static void keep_chat_lp(struct answer *an, const struct chat_event *ev)
{
    struct buf *b = &an->lps;

    if (an->n_lp++) buf_byte(b, ',');
    put_lp(b, &ev->lp);
    buf_str(b, STR(",\"top_logprobs\":["));
    for (int i = 0; i < ev->n_top; i++) {
        if (i) buf_byte(b, ',');
        put_lp(b, &ev->top[i]);
        buf_byte(b, '}');
    }
    buf_str(b, STR("]}"));
}

/* In completions tokens are keys: those that are not text by themselves are spelled out, as OpenAI
 * does, so that no two are the same. */
static void put_token_name(struct buf *b, struct str text)
{
    if (utf8_valid(text)) {
        json_put_str(b, text);
        return;
    }
    buf_str(b, STR("\"bytes:"));
    for (size_t i = 0; i < text.n; i++) buf_printf(b, "\\\\x%02x", (unsigned)(unsigned char)text.p[i]);
    buf_byte(b, '"');
}

static void put_number_or_null(struct buf *b, float v)
{
    if (isnan(v)) buf_str(b, STR("null"));
    else json_put_f64(b, (double)v);
}

enum { LP_VALUE, LP_TOP, LP_OFFSET }; // lp_parts

static void keep_text_lp(struct answer *an, const struct chat_event *ev)
{
    an->sum_lp += (double)ev->lp.logprob;
    an->n_summed++;
    if (an->n_lp++) {
        buf_byte(&an->lps, ',');
        for (size_t k = 0; k < ARRAY_LEN(an->lp_parts); k++) buf_byte(&an->lp_parts[k], ',');
    }
    put_token_name(&an->lps, ev->lp.text);
    put_number_or_null(&an->lp_parts[LP_VALUE], ev->lp.logprob);
    if (ev->n_top == 0) buf_str(&an->lp_parts[LP_TOP], STR("null"));
    else buf_byte(&an->lp_parts[LP_TOP], '{');
    for (int i = 0; i < ev->n_top; i++) {
        if (i) buf_byte(&an->lp_parts[LP_TOP], ',');
        put_token_name(&an->lp_parts[LP_TOP], ev->top[i].text);
        buf_byte(&an->lp_parts[LP_TOP], ':');
        json_put_f64(&an->lp_parts[LP_TOP], (double)ev->top[i].logprob);
    }
    if (ev->n_top) buf_byte(&an->lp_parts[LP_TOP], '}');
    buf_u64(&an->lp_parts[LP_OFFSET], an->n_char);
    for (size_t i = 0; i < ev->lp.text.n; i++) // characters are counted by their first byte
        an->n_char += ((unsigned char)ev->lp.text.p[i] & 0xC0) != 0x80;
}

/* "logprobs": what has been kept, and forget it; null when none were asked for. */
static void put_lps(struct buf *b, const struct call *c, struct answer *an)
{
    buf_str(b, STR(",\"logprobs\":"));
    if (!c->q.show_lps) {
        buf_str(b, STR("null"));
        return;
    }
    if (c->kind == API_CHAT) {
        buf_str(b, STR("{\"content\":["));
        buf_str(b, buf_text(&an->lps));
        buf_str(b, STR("],\"refusal\":null}"));
    } else {
        buf_str(b, STR("{\"tokens\":["));
        buf_str(b, buf_text(&an->lps));
        buf_str(b, STR("],\"token_logprobs\":["));
        buf_str(b, buf_text(&an->lp_parts[LP_VALUE]));
        buf_str(b, STR("],\"top_logprobs\":["));
        buf_str(b, buf_text(&an->lp_parts[LP_TOP]));
        buf_str(b, STR("],\"text_offset\":["));
        buf_str(b, buf_text(&an->lp_parts[LP_OFFSET]));
        buf_str(b, STR("]}"));
    }
    buf_clear(&an->lps);
    for (size_t k = 0; k < ARRAY_LEN(an->lp_parts); k++) buf_clear(&an->lp_parts[k]);
    an->n_lp = 0;
}

/* --- common members --- */

static void put_head(struct buf *b, const struct call *c, const char *object)
{
    buf_printf(b, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", c->id, object,
               (long long)c->created);
    json_put_str(b, c->q.model);
    if (c->fingerprint.n) {
        buf_str(b, STR(",\"system_fingerprint\":"));
        json_put_str(b, c->fingerprint);
    }
    buf_str(b, STR(",\"choices\":["));
}

/* The members that hold thinking: clients look for one or the other. */
static void put_reasoning(struct buf *b, const struct call *c, struct str text)
{
    if (c->reasoning_field != THINK_REASONING) {
        buf_str(b, STR("\"reasoning_content\":"));
        json_put_str(b, text);
    }
    if (c->reasoning_field == THINK_BOTH) buf_byte(b, ',');
    if (c->reasoning_field != THINK_CONTENT) {
        buf_str(b, STR("\"reasoning\":"));
        json_put_str(b, text);
    }
}

static void put_usage(struct buf *b, const struct chat_usage *u)
{
    buf_printf(b, "{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%d,\"audio_tokens\":0},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":%d,\"audio_tokens\":0,"
               "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
               u->n_prompt, u->n_gen, u->n_prompt + u->n_gen, u->n_cached, u->n_reasoning);
}

/* --- streams --- */

static void send(struct call *c, struct buf *b)
{
    struct err e;

    if (b->failed) {
        err_nomem(&e, "writing a reply");
        reply_error(c, &e);
        return;
    }
    http_sse_data(c->http, buf_text(b));
}

static struct buf *chunk_begin(struct call *c, int choice)
{
    struct buf *b = &c->a->text;

    buf_clear(b);
    buf_str(b, buf_text(&c->head));
    if (choice >= 0) buf_printf(b, "{\"index\":%d,", choice);
    return b;
}

static void chunk_end(struct call *c, struct buf *b)
{
    buf_str(b, c->q.include_usage ? STR("],\"usage\":null}") : STR("]}"));
    send(c, b);
}

#define PAD_TO 16 // bytes of text and padding together are a multiple of it

/* The end of a chunk that carries text: on request so much more that its size does not tell the text's, whoever
 * listens on the way (OpenAI API reference, stream_options.include_obfuscation). */
static void text_end(struct call *c, struct buf *b, size_t n_text)
{
    static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    if (c->q.obfuscate) {
        buf_str(b, c->q.include_usage ? STR("],\"usage\":null,\"obfuscation\":\"") : STR("],\"obfuscation\":\""));
        for (size_t n = PAD_TO - n_text % PAD_TO; n > 0; n--)
            buf_byte(b, letter[rng_below(&c->rng, sizeof letter - 1)]);
        buf_str(b, STR("\"}"));
        send(c, b);
        return;
    }
    chunk_end(c, b);
}

/* The chunk's choice has its delta (or text), of n_text bytes: its log-probabilities, and away with it. */
static void chunk_close(struct call *c, int choice, struct buf *b, size_t n_text)
{
    put_lps(b, c, &c->answer[choice]);
    buf_str(b, STR(",\"finish_reason\":null}"));
    text_end(c, b, n_text);
}

/* A chunk whose delta (or text) is `open`, s escaped, `close`. */
static void chunk(struct call *c, int choice, struct str open, struct str s, struct str close)
{
    struct buf *b = chunk_begin(c, choice);

    buf_str(b, open);
    json_put_esc(b, s);
    buf_str(b, close);
    chunk_close(c, choice, b, s.n);
}

void reply_stream_start(struct call *c)
{
    if (!is_llama(c)) put_head(&c->head, c, c->kind == API_CHAT ? "chat.completion.chunk" : "text_completion");
    http_sse_start(c->http);
    if (c->kind != API_CHAT) return;
    for (int i = 0; i < c->n_answer; i++) {
        struct buf *b = chunk_begin(c, i);
        buf_str(b, STR("\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                       "\"finish_reason\":null}"));
        chunk_end(c, b);
    }
}

static void stream_call(struct call *c, int choice, const struct chat_event *ev)
{
    struct buf *b = chunk_begin(c, choice);

    buf_printf(b, "\"delta\":{\"tool_calls\":[{\"index\":%d,", ev->index);
    if (ev->kind == CHAT_EV_CALL) {
        buf_str(b, STR("\"id\":"));
        json_put_str(b, ev->id);
        buf_str(b, STR(",\"type\":\"function\",\"function\":{\"name\":"));
        json_put_str(b, ev->text);
        buf_str(b, STR(",\"arguments\":\"\"}}]}"));
    } else {
        buf_str(b, STR("\"function\":{\"arguments\":"));
        json_put_str(b, ev->text);
        buf_str(b, STR("}}]}"));
    }
    put_lps(b, c, &c->answer[choice]);
    buf_str(b, STR(",\"finish_reason\":null}"));
    text_end(c, b, ev->text.n);
}

static void stream_finish(struct call *c, int choice)
{
    struct answer *an = &c->answer[choice];
    struct buf    *b  = chunk_begin(c, choice);

    buf_str(b, c->kind == API_CHAT ? STR("\"delta\":{}") : STR("\"text\":\"\""));
    put_lps(b, c, an);
    buf_printf(b, ",\"finish_reason\":\"%s\"}", finish_name(an));
    chunk_end(c, b);
}

/* One piece, or with `last` the numbers. */
static void stream_fill(struct call *c, struct str text, bool last)
{
    struct buf *b = &c->a->text;

    buf_clear(b);
    if (last) reply_fill_end(b, c, text);
    else reply_fill_chunk(b, text);
    send(c, b);
}

void reply_stream_end(struct call *c)
{
    if (is_llama(c)) {
        stream_fill(c, STR(""), true);
        http_stream_end(c->http);
        return;
    }
    if (c->q.include_usage) {
        struct buf *b = chunk_begin(c, -1);
        buf_str(b, STR("],\"usage\":"));
        put_usage(b, &c->usage);
        buf_byte(b, '}');
        send(c, b);
    }
    http_sse_done(c->http);
    http_stream_end(c->http);
}

static void stream_reasoning(struct call *c, int choice, struct str text)
{
    if (c->reasoning_field == THINK_NONE) return;
    struct buf *b = chunk_begin(c, choice);

    buf_str(b, STR("\"delta\":{"));
    put_reasoning(b, c, text);
    buf_byte(b, '}');
    chunk_close(c, choice, b, text.n);
}

static void stream_event(struct call *c, int choice, const struct chat_event *ev)
{
    if (is_llama(c)) {
        if (ev->kind == CHAT_EV_TEXT) stream_fill(c, ev->text, false);
        return;
    }
    switch (ev->kind) {
    case CHAT_EV_TEXT:
        if (c->kind == API_CHAT) chunk(c, choice, STR("\"delta\":{\"content\":\""), ev->text, STR("\"}"));
        else chunk(c, choice, STR("\"text\":\""), ev->text, STR("\""));
        break;
    case CHAT_EV_REASONING: stream_reasoning(c, choice, ev->text); break;
    case CHAT_EV_CALL:
    case CHAT_EV_ARGS: stream_call(c, choice, ev); break;
    case CHAT_EV_FINISH: stream_finish(c, choice); break;
    case CHAT_EV_START:
    case CHAT_EV_VECTOR:
    case CHAT_EV_LOGPROB:
    case CHAT_EV_END:
    case CHAT_EV_ERROR: break;
    }
}

/* --- whole replies --- */

static void keep_call(struct answer *an, const struct chat_event *ev)
{
    struct buf *b = &an->calls;

    if (an->n_call++) buf_str(b, STR("\"}},"));
    buf_str(b, STR("{\"id\":"));
    json_put_str(b, ev->id);
    buf_str(b, STR(",\"type\":\"function\",\"function\":{\"name\":"));
    json_put_str(b, ev->text);
    buf_str(b, STR(",\"arguments\":\""));
}

static void keep_event(struct answer *an, const struct chat_event *ev)
{
    switch (ev->kind) {
    case CHAT_EV_TEXT: buf_str(&an->text, ev->text); break;
    case CHAT_EV_REASONING: buf_str(&an->reasoning, ev->text); break;
    case CHAT_EV_CALL: keep_call(an, ev); break;
    case CHAT_EV_ARGS: json_put_esc(&an->calls, ev->text); break;
    case CHAT_EV_START:
    case CHAT_EV_VECTOR:
    case CHAT_EV_LOGPROB:
    case CHAT_EV_FINISH:
    case CHAT_EV_END:
    case CHAT_EV_ERROR: break;
    }
}

static void put_message(struct buf *b, const struct call *c, const struct answer *an)
{
    buf_str(b, STR("\"message\":{\"role\":\"assistant\",\"content\":"));
    if (an->text.n == 0 && an->n_call) buf_str(b, STR("null"));
    else json_put_str(b, buf_text(&an->text));
    buf_str(b, STR(",\"refusal\":null"));
    if (an->reasoning.n && c->reasoning_field != THINK_NONE) {
        buf_byte(b, ',');
        put_reasoning(b, c, buf_text(&an->reasoning));
    }
    if (an->n_call) {
        buf_str(b, STR(",\"tool_calls\":["));
        buf_str(b, buf_text(&an->calls));
        buf_str(b, STR("\"}}]"));
    }
    buf_byte(b, '}');
}

static double mean_lp(const struct answer *an)
{
    return an->n_summed ? an->sum_lp / an->n_summed : 0;
}

/* best_of: of each prompt's answers the n_shown with the highest mean log-probability move to the front, best
 * first; the earlier one of equals. Insertion sort of at most LIM_CHOICES. */
static void choose_best(struct call *c)
{
    int n = c->q.r.n_choice;

    for (int f = 0; f < c->n_flight; f++) {
        struct answer *an = c->answer + (ptrdiff_t)f * n;
        for (int i = 1; i < n; i++) {
            struct answer one = an[i];
            int           k   = i;
            for (; k > 0 && mean_lp(&an[k - 1]) < mean_lp(&one); k--) an[k] = an[k - 1];
            an[k] = one;
        }
        for (int k = 0; k < c->q.n_shown && f > 0; k++) { // answers are numbered without those left out
            struct answer *to = &c->answer[f * c->q.n_shown + k], swap = *to;
            *to   = an[k];
            an[k] = swap;
        }
    }
}

/* False: a part of it was lost for want of memory. */
static bool put_whole(struct buf *b, struct call *c)
{
    bool lost = false;

    put_head(b, c, c->kind == API_CHAT ? "chat.completion" : "text_completion");
    if (c->q.n_shown < c->q.r.n_choice) choose_best(c);
    for (int i = 0; i < c->n_flight * c->q.n_shown; i++) {
        struct answer *an = &c->answer[i];
        lost |= an->text.failed || an->reasoning.failed || an->calls.failed || an->lps.failed;
        buf_printf(b, "%s{\"index\":%d,", i ? "," : "", i);
        if (c->kind == API_CHAT) {
            put_message(b, c, an);
        } else {
            buf_str(b, STR("\"text\":"));
            json_put_str(b, buf_text(&an->text));
        }
        put_lps(b, c, an);
        buf_printf(b, ",\"finish_reason\":\"%s\"}", finish_name(an));
    }
    buf_str(b, STR("],\"usage\":"));
    put_usage(b, &c->usage);
    buf_byte(b, '}');
    return !lost && !b->failed;
}

static bool put_fill(struct buf *b, const struct call *c)
{
    reply_fill_end(b, c, buf_text(&c->answer[0].text));
    return !c->answer[0].text.failed && !b->failed;
}

void reply_whole(struct call *c)
{
    struct buf b;
    struct err e;

    buf_init(&b, LIM_REQ_ARENA);
    if (is_llama(c) ? put_fill(&b, c) : put_whole(&b, c)) {
        http_reply(c->http, 200, STR("application/json"), buf_text(&b));
    } else {
        err_nomem(&e, "writing a reply");
        http_reply_err(c->http, &e);
    }
    buf_release(&b);
}

/* --- both --- */

void reply_event(struct call *c, int choice, const struct chat_event *ev)
{
    struct answer *an = &c->answer[choice];

    if (c->over || an->finished) return;
    if (ev->kind == CHAT_EV_LOGPROB) {
        /* a prompt's belong to each of its answers */
        int last = ev->prompt_lp ? choice + c->q.r.n_choice - 1 : choice;
        for (int i = choice; i <= last; i++) {
            if (c->kind == API_CHAT) keep_chat_lp(&c->answer[i], ev);
            else keep_text_lp(&c->answer[i], ev);
        }
        return;
    }
    if (ev->kind == CHAT_EV_FINISH) {
        an->finished = true;
        an->finish   = ev->finish;
        if (ev->stop.p) an->stop = arena_str(&c->arena, ev->stop);
    }
    if (!c->first_us) c->first_us = clock_mono_us();
    if (c->streaming) stream_event(c, choice, ev);
    else keep_event(an, ev);
}

void reply_error(struct call *c, const struct err *e)
{
    struct buf *b = &c->a->text;

    if (!http_req_started(c->http)) {
        http_reply_err(c->http, e);
        return;
    }
    buf_clear(b);
    http_err_body(b, e);
    http_sse_data(c->http, buf_text(b));
    http_stream_end(c->http);
}
