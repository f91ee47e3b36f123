/* listen.c - the sockets that the front will serve, and the words for a person who starts the server. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "os/fd.h"
#include "prog/supervisor_int.h"

int listen_open(struct supervisor *sv, struct err *e)
{
    const struct settings *s = sv->first;

    if (s->listen.n > PLACES_MAX)
        return err_set(e, ERR_BAD_CONFIG, "listen: %d places, the limit is %d", s->listen.n, PLACES_MAX);
    for (int i = 0; i < s->listen.n; i++) {
        struct place *p  = &sv->place[i];
        int           rc = place_parse(str_c(s->listen.v[i]), (int)s->port, &sv->arena, p, e);
        if (rc == 0) rc = fd_listen(p->host, p->port, &sv->listen_fd[i], &p->port, e);
        if (rc < 0) return rc;
        sv->n_listen++;
        if (!fd_host_is_loopback(p->host))
            log_warn("open_to_others", "host=%s anyone who reaches this address can use the models: there are no "
                     "keys", p->host);
    }
    return 0;
}

void listen_close(struct supervisor *sv)
{
    for (int i = 0; i < sv->n_listen; i++) {
        if (sv->place[i].host[0] == '/') unlink(sv->place[i].host);
        fd_close(&sv->listen_fd[i]);
    }
}

static void put_place(const struct place *p, bool for_curl)
{
    bool        any  = !strcmp(p->host, "0.0.0.0") || !strcmp(p->host, "::");
    const char *host = any ? "127.0.0.1" : p->host;
    bool        v6   = strchr(host, ':') != NULL;

    if (p->host[0] == '/')
        printf(for_curl ? "--unix-socket %s http://localhost" : "%s", p->host);
    else
        printf("http://%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", p->port);
}

/* A word of a command as a shell takes it. */
static void print_word(const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%,=";

    if (s[strspn(s, plain)] == 0) {
        fputs(s, stdout);
        return;
    }
    putchar('\'');
    for (; *s; s++) *s == '\'' ? fputs("'\\''", stdout) : putchar(*s);
    putchar('\'');
}

void listen_banner(const struct supervisor *sv, const struct model_spec *m)
{
    printf("curlew " CURLEW_VERSION " serves " STR_FMT " on ", STR_ARG(m->id));
    for (int i = 0; i < sv->n_listen; i++) {
        if (i) printf(" and ");
        put_place(&sv->place[i], false);
    }
    printf("\n\nTry:\n  curl ");
    put_place(&sv->place[0], true);
    printf("/v1/chat/completions -H 'Content-Type: application/json' \\\n    -d '{\"model\": \"" STR_FMT "\", "
           "\"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}], \"max_tokens\": 64}'\n", STR_ARG(m->id));
    if (str_ends(str_c(m->base), STR(".gguf"))) {
        printf("or chat in another terminal:\n  ");
        print_word(program_invocation_name);
        printf(" run --model ");
        print_word(m->path);
        putchar('\n');
    }
    putchar('\n');
    fflush(stdout);
}
