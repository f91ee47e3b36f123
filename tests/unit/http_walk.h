/* http_walk.h - read a stream of bytes as the server would and write down what was understood.
 *
 * Used by the unit test and the fuzz target. The notes: one "METHOD target[=body][ close]" for each
 * whole request, separated by "; ", then the error's name, "more" (bytes are missing) or nothing.
 */
#ifndef CURLEW_TESTS_HTTP_WALK_H
#define CURLEW_TESTS_HTTP_WALK_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "http/http_parse.h"

struct http_walk {
    struct buf         in, body, notes; // owned
    struct arena       arena;
    struct http_scan   scan;
    struct http_head   head;
    struct http_chunks chunks;
    int64_t            left;
    bool               in_body, over;
};

static void http_walk_init(struct http_walk *w)
{
    *w = (struct http_walk){ 0 };
    buf_init(&w->in, MIB(16));
    buf_init(&w->body, MIB(16));
    buf_init(&w->notes, MIB(16));
    arena_init(&w->arena, MIB(16));
}

static void http_walk_release(struct http_walk *w)
{
    buf_release(&w->in);
    buf_release(&w->body);
    buf_release(&w->notes);
    arena_release(&w->arena);
}

static void http_walk_note(struct http_walk *w, const char *what)
{
    if (w->notes.n) buf_str(&w->notes, STR("; "));
    buf_str(&w->notes, str_c(what));
}

static void http_walk_refused(struct http_walk *w, const struct err *e)
{
    w->over = true;
    http_walk_note(w, err_row(e->code)->name);
}

static void http_walk_request(struct http_walk *w)
{
    http_walk_note(w, http_method_name(w->head.method));
    buf_byte(&w->notes, ' ');
    buf_str(&w->notes, w->head.target);
    if (w->body.n) buf_byte(&w->notes, '=');
    buf_str(&w->notes, buf_text(&w->body));
    if (!w->head.keep_alive) buf_str(&w->notes, STR(" close"));
    w->over    = !w->head.keep_alive;
    w->in_body = false;
    w->scan    = (struct http_scan){ 0 };
    buf_clear(&w->body);
    arena_clear(&w->arena);
}

/* True when something was understood and there may be more. */
static bool http_walk_step(struct http_walk *w)
{
    struct str in = buf_text(&w->in), data = STR("");
    struct err e  = { 0 };
    size_t     used;
    int        rc;

    if (w->in_body) {
        if (w->head.chunked) {
            rc = http_chunks_feed(&w->chunks, &http_limits_default, in, &used, &data, &e);
        } else {
            used = (uint64_t)w->left < in.n ? (size_t)w->left : in.n;
            data = str_sub(in, 0, used);
            w->left -= (int64_t)used;
            rc = w->left <= 0;
        }
        if (rc < 0) return http_walk_refused(w, &e), false;
        buf_str(&w->body, data);
        buf_drop(&w->in, used);
        if (rc) http_walk_request(w);
        return rc || w->in.n;
    }
    rc = http_scan(&w->scan, &http_limits_default, in, &e);
    if (rc > 0) {
        struct str head = str_sub(in, w->scan.start, w->scan.at - w->scan.start);
        head            = arena_str(&w->arena, head);
        rc = http_head_parse(head, w->scan.lines, &w->arena, &w->head, &e);
        if (rc == 0) {
            buf_drop(&w->in, w->scan.at);
            w->in_body = true;
            w->left    = w->head.length;
            w->chunks  = (struct http_chunks){ 0 };
            if (!w->head.chunked && w->left <= 0) http_walk_request(w);
            return true;
        }
    }
    if (rc < 0) http_walk_refused(w, &e);
    return false;
}

static void http_walk_feed(struct http_walk *w, struct str bytes)
{
    buf_str(&w->in, bytes);
    while (!w->over && http_walk_step(w)) {}
}

static struct str http_walk_end(struct http_walk *w)
{
    if (!w->over && (w->in_body || w->in.n)) http_walk_note(w, "more");
    return buf_text(&w->notes);
}

#endif
