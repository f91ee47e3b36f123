/* page.c - what the server says of itself: root, health, models. */
#include "api/api_int.h"
#include "base/clock.h"
#include "base/limits.h"

static const char *state_name(enum model_state s)
{
    static const char *const names[MODEL_STATES] = {
        [MODEL_LOADING] = "loading", [MODEL_READY] = "ready", [MODEL_RESTARTING] = "restarting",
        [MODEL_FAILED] = "failed",
    };
    return names[s];
}

static void reply_json(struct http_req *h, int status, struct buf *b)
{
    struct err e;

    if (b->failed) {
        err_nomem(&e, "writing a reply");
        http_reply_err(h, &e);
        return;
    }
    http_reply(h, status, STR("application/json"), buf_text(b));
}

void page_root(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct buf *b = &a->text;
    (void)r;
    (void)rest;

    buf_clear(b);
    buf_str(b, STR("{\"name\":\"curlew\",\"version\":\"" CURLEW_VERSION "\",\"models\":["));
    for (size_t i = 0; i < gateway_n_model(a->gw); i++) {
        if (i) buf_byte(b, ',');
        json_put_str(b, gateway_model_at(a->gw, i)->id);
    }
    buf_str(b, STR("],\"endpoints\":["));
    for (size_t i = 0; route_at(i); i++) {
        if (i) buf_byte(b, ',');
        json_put_str(b, str_c(route_at(i)->path));
    }
    buf_str(b, STR("]}"));
    reply_json(h, 200, b);
}

void page_ping(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    (void)a;
    (void)r;
    (void)rest;
    http_reply(h, 200, STR("application/json"), STR("{\"status\":\"ok\"}"));
}

/* 200 while some model answers; 503 with a hint to retry while none does. */
void page_health(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    size_t      n = gateway_n_model(a->gw), n_ready = 0, n_failed = 0;
    struct buf *b = &a->text;
    (void)r;
    (void)rest;

    for (size_t i = 0; i < n; i++) {
        n_ready += gateway_model_at(a->gw, i)->state == MODEL_READY;
        n_failed += gateway_model_at(a->gw, i)->state == MODEL_FAILED;
    }
    const char *status = n_ready == n ? "ok" : n_ready ? "degraded" : n_failed == n ? "failed" : "loading";
    buf_clear(b);
    buf_printf(b, "{\"status\":\"%s\",\"uptime_s\":%llu,\"running\":%d,\"models\":[", status,
               (unsigned long long)((clock_mono_us() - a->start_us) / 1000000), gateway_running(a->gw));
    for (size_t i = 0; i < n; i++) {
        const struct gateway_model *m = gateway_model_at(a->gw, i);
        buf_str(b, i ? STR(",{\"id\":") : STR("{\"id\":"));
        json_put_str(b, m->id);
        buf_printf(b, ",\"state\":\"%s\",\"running\":%d,\"restarts\":%u}", state_name(m->state), m->n_running,
                   m->restarts);
    }
    buf_str(b, STR("]}"));
    if (!n_ready) http_reply_field(h, "retry-after", STR("1"));
    reply_json(h, n_ready ? 200 : 503, b);
}

static void put_model(struct buf *b, const struct gateway_model *m)
{
    buf_str(b, STR("{\"id\":"));
    json_put_str(b, m->id);
    buf_printf(b, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"curlew\",\"state\":\"%s\"",
               (long long)m->created, state_name(m->state));
    if (m->state == MODEL_FAILED || m->state == MODEL_RESTARTING) {
        buf_str(b, STR(",\"reason\":"));
        json_put_str(b, m->why);
    }
    buf_printf(b, ",\"file_bytes\":%llu", (unsigned long long)m->file_bytes);
    if (m->has_info) {
        const struct chat_info *i = &m->info;
        buf_printf(b, ",\"max_model_len\":%d,\"context_length\":%d,\"parallel\":%d,\"parameters\":%llu,"
                   "\"architecture\":{\"name\":", i->n_ctx, i->n_ctx, i->n_seq, (unsigned long long)i->n_param);
        json_put_str(b, i->arch);
        buf_str(b, STR(",\"input_modalities\":[\"text\"],\"output_modalities\":[\"text\"]},\"quantization\":"));
        json_put_str(b, i->quant);
        buf_str(b, STR(",\"engine\":"));
        json_put_str(b, i->engine);
        if (i->can & CHAT_CAN_EMBED) buf_printf(b, ",\"embedding_length\":%d", i->n_embd);
        buf_printf(b, ",\"capabilities\":{\"chat\":%s,\"completions\":%s,\"embeddings\":%s,\"rerank\":%s,\"tools\":%s,\"reasoning\":%s,"
                   "\"logprobs\":%s,\"seed\":%s,\"logit_bias\":%s}",
                   i->can & CHAT_CAN_CHAT ? "true" : "false", i->can & CHAT_CAN_GENERATE ? "true" : "false",
                   i->can & CHAT_CAN_EMBED ? "true" : "false", i->can & CHAT_CAN_RANK ? "true" : "false",
                   i->can & CHAT_CAN_TOOLS ? "true" : "false",
                   i->can & CHAT_CAN_THINK ? "true" : "false", i->can & CHAT_CAN_LOGPROBS ? "true" : "false",
                   i->can & CHAT_CAN_SEED ? "true" : "false", i->can & CHAT_CAN_BIAS ? "true" : "false");
    }
    buf_byte(b, '}');
}

void page_models(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    struct buf *b = &a->text;
    (void)r;
    (void)rest;

    buf_clear(b);
    buf_str(b, STR("{\"object\":\"list\",\"data\":["));
    for (size_t i = 0; i < gateway_n_model(a->gw); i++) {
        if (i) buf_byte(b, ',');
        put_model(b, gateway_model_at(a->gw, i));
    }
    buf_str(b, STR("]}"));
    reply_json(h, 200, b);
}

void page_model(struct api *a, struct http_req *h, const struct route *r, struct str rest)
{
    const struct gateway_model *m;
    struct buf                 *b = &a->text;
    struct str                  id;
    struct err                  e;
    (void)r;

    if (http_pct_decode(rest, http_req_arena(h), &id, &e) < 0 || gateway_find(a->gw, id, &m, &e) < 0) {
        http_reply_err(h, &e);
        return;
    }
    buf_clear(b);
    put_model(b, m);
    reply_json(h, 200, b);
}
