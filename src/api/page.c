/* page.c - what the server says of itself: root, health, models. */
#include "api/api_int.h"
#include "base/clock.h"
#include "base/limits.h"
#include "conf/compat.h"
#include "gateway/name.h"

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

static void put_time(struct buf *b)
{
    int64_t us = clock_wall_us();

    buf_printf(b, "%lld.%03d", (long long)(us / 1000000), (int)(us / 1000 % 1000));
}

/* As simple-rkllm has it: nothing more, nothing less. */
static void put_simple_health(struct buf *b, bool ready)
{
    buf_printf(b, "{\"status\":\"%s\",\"model_loaded\":%s,\"timestamp\":", ready ? "healthy" : "unhealthy",
               ready ? "true" : "false");
    put_time(b);
    buf_byte(b, '}');
}

/* As qwen-axcl has it: one model and its tokenizer, which are one process here. */
static void put_axcl_health(struct buf *b, const struct gateway_model *m, bool ready)
{
    buf_printf(b, "{\"status\":\"%s\",\"model\":{\"status\":\"%s\",\"id\":", ready ? "healthy" : "unhealthy",
               m ? state_name(m->state) : "none");
    json_put_str(b, m ? m->id : STR(""));
    buf_printf(b, ",\"running\":%d,\"restarts\":%u", m ? m->n_running : 0, m ? m->restarts : 0);
    if (m && m->state != MODEL_READY) {
        buf_str(b, STR(",\"reason\":"));
        json_put_str(b, m->why);
    }
    buf_printf(b, "},\"tokenizer\":{\"status\":\"%s\"},\"timestamp\":", m ? state_name(m->state) : "none");
    put_time(b);
    buf_byte(b, '}');
}

static void put_health(struct buf *b, const struct api *a, size_t n_ready, size_t n_failed);

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
    buf_clear(b);
    switch ((enum compat_who)a->conf.compat) {
    case COMPAT_SIMPLE_RKLLM: put_simple_health(b, n_ready); break;
    case COMPAT_QWEN_AXCL: put_axcl_health(b, n ? gateway_model_at(a->gw, 0) : NULL, n_ready); break;
    case COMPAT_NONE:
    case COMPAT_RKLLM_OPENAI:
    case COMPAT_FAST_INFERENCE:
    case COMPAT_GEMMA_GATEWAY: put_health(b, a, n_ready, n_failed); break;
    }
    if (!n_ready) http_reply_field(h, "retry-after", STR("1"));
    reply_json(h, n_ready ? 200 : 503, b);
}

static void put_health(struct buf *b, const struct api *a, size_t n_ready, size_t n_failed)
{
    size_t      n      = gateway_n_model(a->gw);
    const char *status = n_ready == n ? "ok" : n_ready ? "degraded" : n_failed == n ? "failed" : "loading";

    buf_printf(b, "{\"status\":\"%s\",\"uptime_s\":%llu,\"running\":%d,\"models\":[", status,
               (unsigned long long)((clock_mono_us() - a->start_us) / 1000000), gateway_running(a->gw));
    for (size_t i = 0; i < n; i++) {
        const struct gateway_model *m = gateway_model_at(a->gw, i);
        buf_str(b, i ? STR(",{\"id\":") : STR("{\"id\":"));
        json_put_str(b, m->id);
        buf_printf(b, ",\"state\":\"%s\",\"running\":%d,\"restarts\":%u}", state_name(m->state), m->n_running,
                   m->restarts);
    }
    buf_printf(b, "],\"model_loaded\":%s,\"timestamp\":", n_ready ? "true" : "false");
    put_time(b);
    buf_byte(b, '}');
}

/* What is known before a model is loaded: what its name says. */
static void put_facts(struct buf *b, const struct gateway_model *m)
{
    struct name_facts f;

    name_read(m->id, &f);
    if (f.params.p) {
        buf_str(b, STR(",\"parameter_size\":"));
        json_put_str(b, f.params);
    }
    if (f.platform.p) {
        buf_str(b, STR(",\"platform\":"));
        json_put_str(b, f.platform);
    }
    if (f.n_npu) buf_printf(b, ",\"npu_cores\":%d", f.n_npu);
    if (m->has_info) return;
    if (f.n_ctx) buf_printf(b, ",\"max_model_len\":%d,\"context_length\":%d", f.n_ctx, f.n_ctx);
    if (f.quant.p) {
        buf_str(b, STR(",\"quantization\":"));
        json_put_str(b, f.quant);
    }
}

/* llama-server's word for a state. */
static const char *status_value(enum model_state s)
{
    return s == MODEL_READY ? "loaded" : s == MODEL_FAILED ? "failed" : "loading";
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
    buf_str(b, STR(",\"aliases\":["));
    for (int i = 0; i < m->n_alias; i++) {
        if (i) buf_byte(b, ',');
        json_put_str(b, m->alias[i]);
    }
    buf_printf(b, "],\"status\":{\"value\":\"%s\"},\"file_bytes\":%llu", status_value(m->state),
               (unsigned long long)m->file_bytes);
    put_facts(b, m);
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
    if (m->has_info) // llama-server's names
        buf_printf(b, ",\"meta\":{\"n_ctx_train\":%d,\"n_vocab\":%d,\"n_params\":%llu,\"size\":%llu}", m->info.n_ctx_train,
                   m->info.n_vocab, (unsigned long long)m->info.n_param, (unsigned long long)m->info.weight_bytes);
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
