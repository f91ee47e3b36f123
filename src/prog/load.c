/* load.c - see load.h. */
#include "prog/load.h"

#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "http/http_parse.h"
#include "json/json.h"
#include "os/fd.h"

#define REPLY_MS    120000   // a stream that is silent for so long has failed
#define EVENT_BYTES MIB(4)   // of one event, or of a head
#define TIMES_MAX   (1 << 24)

struct times {
    float *ms; // [n]
    size_t n, cap;
};

/* One request in flight. */
struct conn {
    int                fd; // -1: not in use
    struct buf         out, in, line; // to send; not yet decoded; an event line not yet whole
    size_t             sent;
    bool               head_done, done;
    int                status;
    bool               chunked;
    struct http_chunks chunks;
    uint64_t           start_us, last_us, heard_us; // last_us: of the last content, 0 before the first
    uint64_t           n_event, n_usage;
};

struct load {
    const struct load_conf *conf;
    struct load_result     *r;
    struct addrinfo        *addr;
    struct conn            *conn; // [n_client]
    struct pollfd          *poll; // [n_client]
    struct times            first, between;
    int                     n_begun;
};

/* --- addresses --- */

int load_url_parse(const char *url, struct load_url *ret, struct err *e)
{
    struct str rest = str_c(url), port = STR("80"), host;

    if (!str_starts(rest, STR("http://")))
        return err_set(e, ERR_BAD_CONFIG, "\"%.200s\": an address that begins with http:// is wanted (TLS is not spoken)", url);
    rest = str_from(rest, 7);
    size_t     slash = str_find_byte(rest, '/');
    struct str path = slash == SIZE_MAX ? STR("/v1") : str_from(rest, slash);
    host = str_sub(rest, 0, slash);
    while (path.n && path.p[path.n - 1] == '/') path.n--;
    size_t colon = host.n && host.p[host.n - 1] == ']' ? SIZE_MAX : host.n;
    while (colon != SIZE_MAX && colon > 0 && host.p[colon - 1] != ':') colon--;
    if (colon != SIZE_MAX && colon > 0) {
        port = str_from(host, colon);
        host.n = colon - 1;
    }
    if (host.n > 1 && host.p[0] == '[' && host.p[host.n - 1] == ']') host = str_sub(host, 1, host.n - 2);
    if (!host.n || host.n >= sizeof ret->host || !port.n || port.n >= sizeof ret->port || path.n >= sizeof ret->path)
        return err_set(e, ERR_BAD_CONFIG, "\"%.200s\" is no address like http://127.0.0.1:8080", url);
    str_copy_z(ret->host, sizeof ret->host, host);
    str_copy_z(ret->port, sizeof ret->port, port);
    str_copy_z(ret->path, sizeof ret->path, path);
    return 0;
}

static int resolve(const struct load_url *u, struct addrinfo **ret, struct err *e)
{
    const struct addrinfo want = { .ai_socktype = SOCK_STREAM };
    int rc = getaddrinfo(u->host, u->port, &want, ret);

    return rc ? err_set(e, ERR_IO, "%s:%s: %s", u->host, u->port, gai_strerror(rc)) : 0;
}

int load_first_model(const struct load_url *u, char *ret, size_t size, struct err *e)
{
    struct addrinfo *addr;
    struct buf       b;
    struct json_doc *doc = NULL;
    int              rc = resolve(u, &addr, e);

    if (rc) return rc;
    buf_init(&b, EVENT_BYTES);
    buf_printf(&b, "GET %s/models HTTP/1.0\r\nHost: %s:%s\r\n\r\n", u->path, u->host, u->port);
    int fd = socket(addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, addr->ai_addr, addr->ai_addrlen) || send(fd, b.p, b.n, MSG_NOSIGNAL) != (ssize_t)b.n) {
        rc = err_set(e, ERR_IO, "%s:%s: %s", u->host, u->port, err_errno(errno));
        goto out;
    }
    buf_clear(&b);
    for (char piece[4096];;) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0) break;
        buf_put(&b, piece, (size_t)n);
    }
    size_t body = str_find(buf_text(&b), STR("\r\n\r\n"));
    rc = body == SIZE_MAX ? -1 : json_parse(str_from(buf_text(&b), body + 4), NULL, &doc, NULL);
    struct str id = rc ? STR_NULL : json_str(json_get(json_at(json_get(json_root(doc), "data"), 0), "id"));
    rc = 0;
    if (!id.n || id.n >= size)
        rc = err_set(e, ERR_IO, "%s:%s%s/models names no model; say which with --model", u->host, u->port, u->path);
    else
        str_copy_z(ret, size, id);
out:
    if (fd >= 0) close(fd);
    json_free(doc);
    buf_release(&b);
    freeaddrinfo(addr);
    return rc;
}

/* --- times --- */

static void note(struct times *t, uint64_t us)
{
    if (t->n < TIMES_MAX && mem_grow(&t->ms, &t->cap, t->n + 1, sizeof *t->ms, TIMES_MAX) == 0)
        t->ms[t->n++] = (float)us * 1e-3f;
}

static int by_size(const void *a, const void *b)
{
    float x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* The smallest time that a share `p` of all does not exceed; sorted. */
static double quantile(const struct times *t, double p)
{
    size_t at = (size_t)(p * (double)t->n);

    return t->n ? (double)t->ms[at < t->n ? at : t->n - 1] : 0;
}

/* --- processor time --- */

struct process {
    int    pid, parent;
    double seconds;
};

static bool read_process(int pid, struct process *ret)
{
    char  path[64], text[1024];
    unsigned long user, system;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    const char *end = strrchr(text, ')'); // its name may hold anything
    if (!end || sscanf(end + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ret->parent, &user, &system) != 3)
        return false;
    ret->pid = pid;
    ret->seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    return true;
}

/* Of a process and what it started, two generations deep: a server and its parts. */
static double cpu_of(int pid)
{
    struct process p;
    double         sum = 0;

    if (!pid) return 0;
    DIR *d = opendir("/proc");
    for (struct dirent *f; d && (f = readdir(d));) {
        struct process up = { .parent = 0 };
        int64_t        k;
        if (!str_to_i64(str_c(f->d_name), &k) || !read_process((int)k, &p)) continue;
        if (p.pid == pid || p.parent == pid || (p.parent > 1 && read_process(p.parent, &up) && up.parent == pid))
            sum += p.seconds;
    }
    if (d) closedir(d);
    return sum;
}

/* --- a request --- */

/* Words that no other request has, so that nothing of its prompt is in a cache. */
static void put_words(struct buf *b, uint64_t request, int n)
{
    for (int i = 0; i < n; i++) {
        uint64_t x = (request * 1000003 + (uint64_t)i) * 0x9e3779b97f4a7c15;
        buf_printf(b, i ? " %c%c%c" : "%c%c%c", (char)('a' + (x >> 40) % 26), (char)('a' + (x >> 48) % 26),
                   (char)('a' + (x >> 56) % 26));
    }
}

static void fail(struct load *l, struct conn *c, const char *why)
{
    if (!l->r->n_failed++) snprintf(l->r->why, sizeof l->r->why, "%s", why);
    fd_close(&c->fd);
}

static void begin(struct load *l, struct conn *c)
{
    const struct load_conf *conf = l->conf;
    struct buf body;
    uint64_t   number = conf->first + (uint64_t)l->n_begun++;

    buf_clear(&c->out);
    buf_clear(&c->in);
    buf_clear(&c->line);
    *c = (struct conn){ .fd = -1, .out = c->out, .in = c->in, .line = c->line };
    buf_init(&body, EVENT_BYTES);
    buf_str(&body, STR("{\"model\":"));
    json_put_str(&body, str_c(conf->model));
    buf_str(&body, STR(",\"messages\":[{\"role\":\"user\",\"content\":\""));
    put_words(&body, number, conf->n_word);
    buf_printf(&body, "\"}],\"max_tokens\":%d,\"temperature\":0,\"ignore_eos\":true,\"stream\":true,"
                      "\"stream_options\":{\"include_usage\":true}}", conf->n_tok);
    buf_printf(&c->out, "POST %s/chat/completions HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\n"
                        "Connection: close\r\nContent-Length: %zu\r\n\r\n",
               conf->url.path, conf->url.host, conf->url.port, body.n);
    buf_str(&c->out, buf_text(&body));
    bool failed = body.failed || c->out.failed;
    buf_release(&body);

    c->start_us = c->heard_us = clock_mono_us();
    c->fd = failed ? -1 : socket(l->addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        fail(l, c, failed ? "the prompt is too long" : err_errno(errno));
        return;
    }
    const int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, l->addr->ai_addr, l->addr->ai_addrlen) && errno != EINPROGRESS) fail(l, c, err_errno(errno));
}

/* --- its reply --- */

static void on_event(struct load *l, struct conn *c, struct str data)
{
    struct json_doc *doc;
    uint64_t         now = clock_mono_us();

    if (str_eq(data, STR("[DONE]"))) {
        c->done = true;
        return;
    }
    if (json_parse(data, NULL, &doc, NULL)) return;
    const struct json *choice = json_at(json_get(json_root(doc), "choices"), 0), *delta = json_get(choice, "delta");
    if (json_str(json_get(delta, "content")).n || json_str(json_get(delta, "reasoning_content")).n) {
        note(c->last_us ? &l->between : &l->first, now - (c->last_us ? c->last_us : c->start_us));
        c->last_us = now;
        c->n_event++;
    }
    int64_t n = json_int(json_get(json_get(json_root(doc), "usage"), "completion_tokens"));
    if (n > 0) c->n_usage = (uint64_t)n;
    json_free(doc);
}

static void on_body(struct load *l, struct conn *c, struct str part)
{
    struct str line;

    buf_str(&c->line, part);
    for (size_t end; (end = str_find_byte(buf_text(&c->line), '\n')) != SIZE_MAX;) {
        line = str_trim(str_sub(buf_text(&c->line), 0, end));
        if (str_starts(line, STR("data:"))) on_event(l, c, str_trim(str_from(line, 5)));
        buf_drop(&c->line, end + 1);
    }
}

/* A reply's head: its status and whether its body is chunked. False while it is not whole. */
static bool take_head(struct conn *c)
{
    struct str in = buf_text(&c->in), line;
    size_t     end = str_find(in, STR("\r\n\r\n"));
    int64_t    status = 0;

    if (end == SIZE_MAX) return false;
    struct str rest = str_sub(in, 0, end);
    str_cut(&rest, '\n', &line);
    str_to_i64(str_sub(line, 9, 3), &status); // "HTTP/1.1 200 OK"
    c->status = (int)status;
    while (str_cut(&rest, '\n', &line)) {
        struct str name;
        if (!str_cut(&line, ':', &name) || !str_eq_nocase(name, STR("transfer-encoding"))) continue;
        c->chunked = str_eq_nocase(str_trim(line), STR("chunked"));
    }
    c->head_done = true;
    buf_drop(&c->in, end + 4);
    return true;
}

/* What came in. NULL, or why the request has failed. */
static const char *take(struct load *l, struct conn *c)
{
    if (c->in.failed || c->line.failed) return "an event or a head is too long";
    if (!c->head_done && !take_head(c)) return NULL;
    while (c->in.n && c->status == 200 && !c->done) {
        struct str data = buf_text(&c->in);
        size_t     used = data.n;
        int        rc = c->chunked ? http_chunks_feed(&c->chunks, &http_limits_default, buf_text(&c->in), &used, &data, NULL) : 0;
        if (rc < 0) return "its chunks are malformed";
        on_body(l, c, data);
        buf_drop(&c->in, used);
        if (rc == 1 || !used) break;
    }
    return NULL;
}

static void finish(struct load *l, struct conn *c)
{
    char why[64 + 200];

    if (c->done && c->status == 200) {
        l->r->n_ok++;
        l->r->n_event += c->n_event;
        l->r->n_tok += c->n_usage ? c->n_usage : c->n_event;
        fd_close(&c->fd);
        return;
    }
    struct str said = str_sub(buf_text(&c->in), 0, 200);
    snprintf(why, sizeof why, c->status == 200 ? "the stream ended early" : "status %d: " STR_FMT, c->status, STR_ARG(said));
    fail(l, c, why);
}

static void on_ready(struct load *l, struct conn *c)
{
    char piece[65536];

    if (c->sent < c->out.n) {
        ssize_t n = send(c->fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            fail(l, c, err_errno(errno));
            return;
        }
        if (n > 0) c->sent += (size_t)n;
    }
    ssize_t n = recv(c->fd, piece, sizeof piece, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    c->heard_us = clock_mono_us();
    if (n > 0) {
        buf_put(&c->in, piece, (size_t)n);
        const char *why = take(l, c);
        if (why) fail(l, c, why);
        else if (c->done) finish(l, c);
        return;
    }
    if (n < 0) fail(l, c, err_errno(errno));
    else finish(l, c);
}

/* --- all of them --- */

static void serve_all(struct load *l)
{
    const struct load_conf *conf = l->conf;

    for (;;) {
        int n = 0, ms = 1000;
        for (int i = 0; i < conf->n_client; i++) {
            struct conn *c = &l->conn[i];
            if (c->fd < 0 && l->n_begun < conf->n_req) begin(l, c);
            if (c->fd >= 0 && clock_mono_us() - c->heard_us > REPLY_MS * 1000ull) fail(l, c, "nothing came for two minutes");
            l->poll[i] = (struct pollfd){ .fd = c->fd, .events = (short)(POLLIN | (c->sent < c->out.n ? POLLOUT : 0)) };
            n += c->fd >= 0;
            if (c->fd < 0 && l->n_begun < conf->n_req) ms = 0;
        }
        if (!n && l->n_begun >= conf->n_req) return;
        if (poll(l->poll, (nfds_t)conf->n_client, ms) <= 0) continue;
        for (int i = 0; i < conf->n_client; i++)
            if (l->poll[i].revents && l->conn[i].fd >= 0) on_ready(l, &l->conn[i]);
    }
}

static double own_cpu(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

int load_run(const struct load_conf *conf, struct load_result *ret, struct err *e)
{
    struct load l = { .conf = conf, .r = ret };
    int         rc = resolve(&conf->url, &l.addr, e);

    if (rc) return rc;
    *ret = (struct load_result){ 0 };
    l.conn = mem_array((size_t)conf->n_client, sizeof *l.conn);
    l.poll = mem_array((size_t)conf->n_client, sizeof *l.poll);
    if (!l.conn || !l.poll) {
        rc = err_nomem(e, "starting the clients");
        goto out;
    }
    for (int i = 0; i < conf->n_client; i++) {
        l.conn[i].fd = -1;
        buf_init(&l.conn[i].out, EVENT_BYTES);
        buf_init(&l.conn[i].in, EVENT_BYTES);
        buf_init(&l.conn[i].line, EVENT_BYTES);
    }
    double   cpu = cpu_of(conf->pid), own = own_cpu();
    uint64_t start = clock_mono_us();
    serve_all(&l);
    ret->seconds = (double)(clock_mono_us() - start) * 1e-6;
    ret->cpu_s = cpu_of(conf->pid) - cpu;
    ret->own_cpu_s = own_cpu() - own;
    if (l.first.n) qsort(l.first.ms, l.first.n, sizeof *l.first.ms, by_size);
    if (l.between.n) qsort(l.between.ms, l.between.n, sizeof *l.between.ms, by_size);
    static const double share[3] = { 0.5, 0.9, 0.99 };
    for (int i = 0; i < 3; i++) ret->between_ms[i] = quantile(&l.between, share[i]);
    ret->first_ms[0] = quantile(&l.first, 0.5);
    ret->first_ms[1] = quantile(&l.first, 0.99);
out:
    for (int i = 0; l.conn && i < conf->n_client; i++) {
        fd_close(&l.conn[i].fd);
        buf_release(&l.conn[i].out);
        buf_release(&l.conn[i].in);
        buf_release(&l.conn[i].line);
    }
    mem_free(l.conn);
    mem_free(l.poll);
    mem_free(l.first.ms);
    mem_free(l.between.ms);
    freeaddrinfo(l.addr);
    return rc;
}
