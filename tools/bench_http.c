/* bench_http.c - what the HTTP server costs: CPU of the server per request and per event.
 *
 *   bench_http [SECONDS]
 *
 * A child process is the client, on another core where there is one; the parent serves and reads
 * its own CPU clock, so the figure holds on a busy machine too. SSE events are 250 bytes of JSON.
 * "Heap" is what a connection holds when the client leaves: idle, or in the middle of its stream.
 */
#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "http/http.h"

#define CLIENTS_MAX 1000

static struct {
    int              events_a_turn; // SSE: 0 for none
    struct http_req *stream[CLIENTS_MAX];
    int              n_stream, n;
    uint64_t         events, turns;
    size_t           heap; // in use while the clients are there
    uint64_t         done;
    struct event    *pump;
} bench;

static char payload[250];

static void on_head(void *ctx, struct http_req *r)
{
    (void)ctx;
    if (http_req_head(r)->method == HTTP_POST) {
        http_req_read(r, MIB(1));
    } else if (str_eq(http_req_head(r)->path, STR("/stream"))) {
        bench.stream[bench.n_stream++] = r;
        http_sse_start(r);
    } else {
        http_reply(r, 200, STR("application/json"), STR("{\"status\":\"ok\"}"));
    }
}

static void on_body(void *ctx, struct http_req *r)
{
    (void)ctx;
    http_reply(r, 200, STR("application/json"), http_req_body(r));
}

static void on_gone(void *ctx, struct http_req *r)
{
    (void)ctx;
    for (int i = 0; i < bench.n_stream; i++)
        if (bench.stream[i] == r) bench.stream[i] = bench.stream[--bench.n_stream];
}

static void on_done(void *ctx, struct http_req *r)
{
    (void)ctx, (void)r;
    if (++bench.done == 20000) bench.heap = mallinfo2().uordblks;
}

/* One turn: so many events to each stream that has taken its last ones. */
static void on_pump(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    for (int i = 0; i < bench.n_stream; i++) {
        if (http_req_pending(bench.stream[i])) continue;
        for (int k = 0; k < bench.events_a_turn; k++)
            http_sse_data(bench.stream[i], (struct str){ payload, sizeof payload });
        bench.events += (uint64_t)bench.events_a_turn;
    }
    if (bench.n_stream == bench.n && ++bench.turns == 20) bench.heap = mallinfo2().uordblks;
    event_add(bench.pump, &(struct timeval){ 0 });
}

/* --- the client --- */

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void client(uint16_t port, int n, const char *req, bool stream, double seconds)
{
    static struct pollfd p[CLIENTS_MAX];
    static char          in[1 << 16];
    struct sockaddr_in   a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons(port) };
    uint64_t             end = clock_mono_us() + (uint64_t)(seconds * 1e6);

    pin(1);
    for (int i = 0; i < n; i++) {
        p[i] = (struct pollfd){ .fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN };
        if (connect(p[i].fd, (struct sockaddr *)&a, sizeof a) < 0) _exit(1);
        if (send(p[i].fd, req, strlen(req), MSG_NOSIGNAL) < 0) _exit(1);
    }
    while (clock_mono_us() < end) {
        poll(p, (nfds_t)n, 100);
        for (int i = 0; i < n; i++) {
            if (!p[i].revents) continue;
            if (recv(p[i].fd, in, sizeof in, 0) <= 0) _exit(1);
            if (!stream && send(p[i].fd, req, strlen(req), MSG_NOSIGNAL) < 0) _exit(1);
        }
    }
    _exit(0);
}

/* --- the measurement --- */

static double cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void on_child(evutil_socket_t sig, short what, void *base)
{
    (void)sig, (void)what;
    if (!bench.heap) bench.heap = mallinfo2().uordblks;
    event_base_loopbreak(base);
}

static void run(const char *name, int n, const char *req, int events_a_turn, double seconds)
{
    static const struct http_calls calls = { .head = on_head, .body = on_body, .gone = on_gone, .done = on_done };
    struct sockaddr_in a   = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          len = sizeof a;
    struct http_serv  *s;
    struct err         e  = { 0 };
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 1024) || getsockname(fd, (struct sockaddr *)&a, &len))
        exit(1);
    struct event_base *base = event_base_new();
    struct event      *child = evsignal_new(base, SIGCHLD, on_child, base);
    event_add(child, NULL);
    pid_t pid = fork();
    if (pid == 0) client(ntohs(a.sin_port), n, req, events_a_turn > 0, seconds);
    if (http_serv_new(base, &http_conf_default, &calls, NULL, &s, &e) || http_serv_listen(s, fd, NULL, &e)) exit(1);
    memset(&bench, 0, sizeof bench);
    bench.n             = n;
    bench.events_a_turn = events_a_turn;
    bench.pump          = evtimer_new(base, on_pump, NULL);
    if (events_a_turn) event_add(bench.pump, &(struct timeval){ 0 });

    size_t   heap = mallinfo2().uordblks;
    double   cpu  = cpu_us();
    uint64_t wall = clock_mono_us();
    event_base_dispatch(base);
    cpu  = cpu_us() - cpu;
    wall = clock_mono_us() - wall;
    waitpid(pid, NULL, 0);
    uint64_t ops = events_a_turn ? bench.events : http_serv_stats(s)->reqs;
    printf("%-40s %9.0f /s  %6.2f us CPU each  %6.0f bytes of heap a connection\n", name,
           (double)ops * 1e6 / (double)wall, cpu / (double)ops,
           bench.heap > heap ? (double)(bench.heap - heap) / n : 0.0);
    fflush(stdout);
    http_serv_free(s);
    event_free(bench.pump);
    event_free(child);
    event_base_free(base);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    char   body[2400];

    pin(0);
    memset(payload, 'x', sizeof payload);
    memset(body, 'x', sizeof body);
    int n = snprintf(body, sizeof body, "POST /echo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer abc\r\n"
                     "Content-Type: application/json\r\nContent-Length: 2048\r\n\r\n");
    body[n] = 'x';
    body[n + 2048] = 0;
    run("GET /health, 64 connections", 64, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 0, seconds);
    run("POST echo 2 KB, 64 connections", 64, body, 0, seconds);
    const char *stream = "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    run("SSE, 1 client, flush every event", 1, stream, 1, seconds);
    run("SSE, 64 clients, flush every event", 64, stream, 1, seconds);
    run("SSE, 1000 clients, flush every event", 1000, stream, 1, seconds);
    run("SSE, 64 clients, 32 events a flush", 64, stream, 32, seconds);
    return 0;
}
