/* lookup.c - see lookup.h. */
#include "prog/lookup.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/fd.h"

#define EVERY_S 60
#define SOON_S  5

struct host {
    char name[LOOKUP_HOST_BYTES], addr[LOOKUP_ADDR_BYTES];
    bool fresh; // a result that nobody has fetched
    bool known; // it was looked up
};

struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    bool            running, stop, again;
    int             fd;
    int             n;
    struct host     host[LOOKUP_HOSTS];
};

static void addresses(const char *name, char addr[LOOKUP_ADDR_BYTES])
{
    const struct addrinfo want = { .ai_socktype = SOCK_STREAM };
    struct addrinfo      *list;
    size_t                at = 0;
    char                  one[64];

    addr[0] = 0;
    if (getaddrinfo(name, NULL, &want, &list)) return;
    for (struct addrinfo *x = list; x; x = x->ai_next) {
        if (getnameinfo(x->ai_addr, x->ai_addrlen, one, sizeof one, NULL, 0, NI_NUMERICHOST)) continue;
        size_t n = strlen(one);
        if (strchr(one, '%') || at + n + 2 > LOOKUP_ADDR_BYTES) continue; // of one interface only, or too many
        if (at) addr[at++] = ',';
        memcpy(addr + at, one, n + 1);
        at += n;
    }
    freeaddrinfo(list);
}

/* One round; the lock is held but while a host is looked up. */
static void look_up_all(struct lookup *l, bool new_only)
{
    for (int i = 0; i < l->n && !l->stop; i++) {
        char name[LOOKUP_HOST_BYTES], addr[LOOKUP_ADDR_BYTES];
        if (new_only && l->host[i].known) continue;
        memcpy(name, l->host[i].name, sizeof name);
        pthread_mutex_unlock(&l->lock);
        addresses(name, addr);
        pthread_mutex_lock(&l->lock);
        memcpy(l->host[i].addr, addr, sizeof addr);
        l->host[i].known = l->host[i].fresh = true;
        uint64_t one = 1;
        if (write(l->fd, &one, sizeof one) < 0) return; // cannot be: the counter is far from full
    }
}

static bool has_new(const struct lookup *l)
{
    for (int i = 0; i < l->n; i++)
        if (!l->host[i].known) return true;
    return false;
}

static void destroy(struct lookup *l)
{
    fd_close(&l->fd);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->wake);
    mem_free(l);
}

static void *work(void *arg)
{
    struct lookup  *l = arg;
    struct timespec now, due, soon;

    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        look_up_all(l, false);
        l->again = false;
        clock_gettime(CLOCK_REALTIME, &now);
        due = soon = now;
        due.tv_sec += EVERY_S;
        soon.tv_sec += SOON_S;
        for (int rc = 0; rc != ETIMEDOUT && !l->stop;) {
            if (has_new(l)) look_up_all(l, true);
            else rc = pthread_cond_timedwait(&l->wake, &l->lock, l->again ? &soon : &due);
        }
    }
    pthread_mutex_unlock(&l->lock);
    destroy(l);
    return NULL;
}

int lookup_new(struct lookup **ret, struct err *e)
{
    struct lookup *l = mem_zalloc(sizeof *l);

    if (!l) return err_nomem(e, "starting the resolver");
    l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->fd < 0) {
        mem_free(l);
        return err_set(e, ERR_IO, "starting the resolver: %s", err_errno(errno));
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    *ret = l;
    return 0;
}

void lookup_free(struct lookup *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    bool running = l->running;
    l->stop      = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    if (!running) destroy(l); // else the thread does, which may be in the resolver for long
}

int lookup_fd(const struct lookup *l)
{
    return l->fd;
}

static int start(struct lookup *l, struct err *e)
{
    pthread_attr_t attr;
    pthread_t      t;
    sigset_t       all, old;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); // signals are the main thread's
    int rc = pthread_create(&t, &attr, work, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    l->running = rc == 0;
    return rc ? err_set(e, ERR_IO, "starting the resolver: %s", err_errno(rc)) : 0;
}

int lookup_add(struct lookup *l, struct str host, struct err *e)
{
    int rc = 0, i = 0;

    if (host.n == 0 || host.n >= LOOKUP_HOST_BYTES) return err_set(e, ERR_TOO_LARGE, "a host's name has %zu bytes", host.n);
    pthread_mutex_lock(&l->lock);
    while (i < l->n && !str_eq(str_c(l->host[i].name), host)) i++;
    if (i < l->n) {
        l->host[i].fresh = l->host[i].known; // told again to who asks again
        uint64_t one = 1;
        if (write(l->fd, &one, sizeof one) < 0) rc = 0;
    } else if (l->n == LOOKUP_HOSTS) {
        rc = err_set(e, ERR_TOO_LARGE, "more than %d different hosts", LOOKUP_HOSTS);
    } else {
        l->host[l->n] = (struct host){ .fresh = false };
        str_copy_z(l->host[l->n++].name, LOOKUP_HOST_BYTES, host);
        if (!l->running) rc = start(l, e);
        pthread_cond_signal(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

void lookup_again(struct lookup *l)
{
    pthread_mutex_lock(&l->lock);
    l->again = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

bool lookup_take(struct lookup *l, char host[LOOKUP_HOST_BYTES], char addr[LOOKUP_ADDR_BYTES])
{
    uint64_t count;
    bool     found = false;

    if (read(l->fd, &count, sizeof count) < 0) count = 0; // nothing new, or taken before
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < l->n && !found; i++) {
        struct host *h = &l->host[i];
        if (!h->fresh) continue;
        memcpy(host, h->name, LOOKUP_HOST_BYTES);
        memcpy(addr, h->addr, LOOKUP_ADDR_BYTES);
        h->fresh = false;
        found    = true;
    }
    pthread_mutex_unlock(&l->lock);
    return found;
}
