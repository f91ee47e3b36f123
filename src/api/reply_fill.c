/* reply_fill.c - replies in the shape of llama.cpp's own routes, which editors' plug-ins read (/infill, /completion).
 *
 * One object, or a stream of objects with `content` of which the last has `stop` true and the numbers;
 * no [DONE] comes after it.
 */
#include "api/api_int.h"
#include "base/clock.h"

static double per_second(int n, double ms)
{
    return ms > 0 ? n * 1000.0 / ms : 0;
}

static void put_timings(struct buf *b, const struct call *c)
{
    const struct chat_usage *u       = &c->usage;
    uint64_t                 now     = clock_mono_us(), first = c->first_us ? c->first_us : now;
    int                      n_eval  = u->n_prompt - u->n_cached;
    double                   prompt_ms = (double)(first - c->submit_us) / 1000, gen_ms = (double)(now - first) / 1000;

    buf_printf(b, "{\"cache_n\":%d,\"prompt_n\":%d,\"prompt_ms\":%.3f,\"prompt_per_second\":%.3f,"
               "\"predicted_n\":%d,\"predicted_ms\":%.3f,\"predicted_per_second\":%.3f}", u->n_cached, n_eval,
               prompt_ms, per_second(n_eval, prompt_ms), u->n_gen, gen_ms, per_second(u->n_gen, gen_ms));
}

void reply_fill_end(struct buf *b, const struct call *c, struct str content)
{
    const struct answer *an = &c->answer[0];
    const char          *why = an->finish == CHAT_FINISH_LENGTH ? "limit" : an->stop.p ? "word" : "eos";

    buf_str(b, STR("{\"index\":0,\"content\":"));
    json_put_str(b, content);
    buf_str(b, STR(",\"tokens\":[],\"stop\":true,\"model\":"));
    json_put_str(b, c->model);
    buf_printf(b, ",\"tokens_predicted\":%d,\"tokens_evaluated\":%d,\"tokens_cached\":%d,\"truncated\":false,"
               "\"stop_type\":\"%s\",\"stopping_word\":", c->usage.n_gen, c->usage.n_prompt, c->usage.n_cached, why);
    json_put_str(b, an->stop.p ? an->stop : STR(""));
    buf_str(b, STR(",\"timings\":"));
    put_timings(b, c);
    buf_byte(b, '}');
}

void reply_fill_chunk(struct buf *b, struct str content)
{
    buf_str(b, STR("{\"index\":0,\"content\":"));
    json_put_str(b, content);
    buf_str(b, STR(",\"tokens\":[],\"stop\":false}"));
}
